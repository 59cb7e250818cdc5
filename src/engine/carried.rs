//! An event on its way through memory: shared by all its deliveries, its body rendered once per format.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Event, Format};
use crate::format::{self, NoBody, Sender};

/// Bytes of events that may be held in memory at once, over all lanes (P7). Past it, entries go on without their body, which is
/// read from the store when they start.
///
/// What is read when it starts has a budget of its own, for which an attempt waits.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: u64,
    /// In KiB.
    fetches: Arc<Semaphore>,
    max_fetch: u32,
}

impl Budget {
    pub fn new(max: u64) -> Arc<Self> {
        let max_fetch = u32::try_from(max >> 10).unwrap_or(u32::MAX >> 4).max(1);
        Arc::new(Self {
            used: AtomicU64::new(0),
            max,
            fetches: Arc::new(Semaphore::new(max_fetch as usize)),
            max_fetch,
        })
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Waits for room to read an event of `data_bytes` from the store; one that is larger than all of it takes all of it.
    pub async fn room_to_fetch(&self, data_bytes: u32) -> Option<OwnedSemaphorePermit> {
        let kib = ((2 * u64::from(data_bytes) + OVERHEAD) >> 10) + 1;
        let kib = u32::try_from(kib).unwrap_or(u32::MAX).min(self.max_fetch);
        Arc::clone(&self.fetches).acquire_many_owned(kib).await.ok()
    }

    fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| (used + bytes <= self.max).then_some(used + bytes);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Carried {
    pub event: Arc<Event>,
    /// `None`: the format has no body for the event.
    bodies: [OnceLock<Option<Bytes>>; Format::ALL.len()],
    held: u64,
    budget: Arc<Budget>,
    _fetch: Option<OwnedSemaphorePermit>,
}

/// What an event takes in memory beside its `data`.
const OVERHEAD: u64 = 512;

impl Carried {
    /// Takes the event's share of the budget, rendering included; `None` when there is none left.
    pub fn new(event: Arc<Event>, budget: &Arc<Budget>) -> Option<Arc<Self>> {
        let held = 2 * event.data.len() as u64 + OVERHEAD;
        budget.take(held).then(|| Arc::new(Self::of(event, held, budget, None)))
    }

    /// An event read when it starts; `fetch` is its [`Budget::room_to_fetch`].
    pub fn fetched(event: Arc<Event>, budget: &Arc<Budget>, fetch: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Arc::new(Self::of(event, 0, budget, fetch))
    }

    fn of(event: Arc<Event>, held: u64, budget: &Arc<Budget>, fetch: Option<OwnedSemaphorePermit>) -> Self {
        Self { event, bodies: Default::default(), held, budget: Arc::clone(budget), _fetch: fetch }
    }

    /// The body in `format`, rendered by the first who asks.
    pub fn body(&self, format: Format, sender: &Sender) -> Result<&Bytes, NoBody> {
        let body = self.bodies[format as usize].get_or_init(|| format::render(format, &self.event, sender).ok());
        body.as_ref().ok_or(NoBody { format, kind: self.event.kind })
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}
