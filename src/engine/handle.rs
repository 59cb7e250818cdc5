//! The engine from outside: starts its threads, takes events in, drains and ends.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Addr, Arbiter};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::carried::Budget;
use super::clock::Clock;
use super::committer::{self, Commit, Credit, Dispatch};
use super::config::EngineConfig;
use super::core::Core;
use super::instance::Ingest;
use super::lane::Waiting;
use super::loft::{Deliver, Flush, LoftActor, Nudge, Observe, Wake};
use super::observe::{Observations, Observed};
use super::shards::{Shards, Since};
use super::{Accepted, IngestError, background, ownership};
use super::{settler, supervise};
use crate::cluster::{Leases, Membership};
use crate::directory::Directory;
use crate::domain::{EventIds, InstanceId, NewEvent, WebhookId, WebhookOwner};
use crate::store::{Store, StoreError};
use crate::telemetry::meters::Meters;
use crate::telemetry::traces::Tracer;
use crate::transport::Transport;

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub transport: Transport,
    pub config: EngineConfig,
    pub clock: Clock,
    pub ids: EventIds,
    /// What this node may deliver for: everything, or what the membership says.
    pub leases: Arc<Leases>,
    /// `None`: no spans are made.
    pub tracer: Option<Tracer>,
    /// The place among other nodes; `None`: there are none. Its events are taken.
    pub cluster: Option<Arc<dyn Membership>>,
}

/// A handle to the running engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) core: Arc<Core>,
    pub(super) lofts: Lofts,
    accepting: AtomicBool,
    ready: AtomicBool,
    /// Shares of a KiB of the bytes that may be on their way to the store.
    credit: Arc<Semaphore>,
    /// Threads: one for the store's tasks, then one a loft.
    arbiters: Vec<Arbiter>,
    /// What runs on them.
    runtimes: Vec<(&'static str, Runtime)>,
}

/// Which thread serves whom: an instance and its webhooks live together.
#[derive(Clone, Debug)]
pub(super) struct Lofts(Arc<[Addr<LoftActor>]>);

impl Lofts {
    pub(super) fn index_of(owner: &impl Hash, threads: usize) -> usize {
        // Fixed keys: the place of an owner must not depend on who asks.
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(owner);
        (hash % threads.max(1) as u64) as usize
    }

    pub(super) fn of_instance(&self, id: &InstanceId) -> &Addr<LoftActor> {
        &self.0[Self::index_of(id, self.0.len())]
    }

    pub(super) fn of_owner(&self, owner: &WebhookOwner) -> &Addr<LoftActor> {
        &self.0[owner_index(owner, self.0.len())]
    }

    pub(super) fn all(&self) -> &[Addr<LoftActor>] {
        &self.0
    }
}

/// The index of the thread that serves the webhooks of `owner`.
pub(super) fn owner_index(owner: &WebhookOwner, threads: usize) -> usize {
    match owner {
        WebhookOwner::Instance(id) => Lofts::index_of(id, threads),
        WebhookOwner::Business(id) => Lofts::index_of(&id.as_u128(), threads),
    }
}

impl Dispatch for Lofts {
    fn nudge(&self, webhooks: Vec<(usize, WebhookId)>) {
        for (loft, webhook) in webhooks {
            self.0[loft].do_send(Nudge { webhook, stored_retries: 0 });
        }
    }

    fn dispatch(&self, deliveries: Vec<(usize, WebhookId, Waiting)>) {
        if let [only] = &*self.0 {
            return only
                .do_send(Deliver(deliveries.into_iter().map(|(_, webhook, waiting)| (webhook, waiting)).collect()));
        }
        let mut shares: Vec<Vec<(WebhookId, Waiting)>> = self.0.iter().map(|_| Vec::new()).collect();
        for (loft, webhook, waiting) in deliveries {
            shares[loft].push((webhook, waiting));
        }
        for (loft, share) in self.0.iter().zip(shares) {
            if !share.is_empty() {
                loft.do_send(Deliver(share));
            }
        }
    }
}

impl Engine {
    /// Starts the threads and goes on with what the store holds. Must be called within an actix system.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { store, directory, transport, config, clock, ids, leases, tracer, cluster } = parts;
        let active = store.active_lanes().await?;
        let (settler, settler_task) = settler::settler(Arc::clone(&store), config.max_unsettled);
        let (commits, commit_queue) = mpsc::unbounded_channel::<Commit>();
        let changes = directory.subscribe();
        let shards = match &cluster {
            Some(_) => Shards::none(leases),
            None => Shards::all(leases, Since { mono: clock.mono(), wall: clock.wall() }),
        };
        let core = Arc::new(Core {
            budget: Budget::new(config.memory_budget_bytes),
            store,
            directory,
            transport,
            clock,
            ids,
            settler,
            shards,
            draining: AtomicBool::new(false),
            backlog_is_full: AtomicBool::new(false),
            meters: Meters::default(),
            tracer,
            observations: Observations::new(config.threads.max(1)),
            config,
        });

        let unstarted = || StoreError::Unavailable("an engine thread did not start".into());
        let store_thread = Arbiter::new();
        let (runtime, started) = oneshot::channel();
        store_thread.spawn_fn(move || {
            let _engine_waits = runtime.send(Runtime::current());
        });
        let mut runtimes = vec![("store", started.await.map_err(|_| unstarted())?)];
        let mut arbiters = vec![];
        let mut lofts = vec![];
        for thread in 0..core.config.threads.max(1) {
            let arbiter = Arbiter::new();
            let (core, commits) = (Arc::clone(&core), commits.clone());
            let (address, started) = oneshot::channel();
            arbiter.spawn_fn(move || {
                let loft = LoftActor::new(thread, core, commits);
                let _engine_waits = address.send((supervise::start_vital("loft", loft), Runtime::current()));
            });
            let (loft, runtime) = started.await.map_err(|_| unstarted())?;
            lofts.push(loft);
            runtimes.push(("engine", runtime));
            arbiters.push(arbiter);
        }
        let lofts = Lofts(lofts.into());
        let (effects, effect_queue) = mpsc::unbounded_channel();
        store_thread.spawn(supervise::vital("settler", settler_task.run()));
        let committer = committer::run(commit_queue, Arc::clone(&core), lofts.clone(), effects);
        store_thread.spawn(supervise::vital("committer", committer));
        store_thread.spawn(background::keep_instances(effect_queue, Arc::clone(&core)));
        store_thread.spawn(background::follow_directory(changes, Arc::clone(&core), lofts.clone()));
        store_thread.spawn(background::watch_backlog(Arc::downgrade(&core)));
        arbiters.insert(0, store_thread);

        let credit = Arc::new(Semaphore::new(usize::try_from(core.config.max_ingest_bytes >> 10).unwrap_or(1 << 20)));
        let (accepting, ready) = (AtomicBool::new(true), AtomicBool::new(true));
        let inner = Inner { core, lofts, accepting, ready, credit, arbiters, runtimes };
        let engine = Self { inner: Arc::new(inner) };
        match cluster {
            // Shards come one by one; their lanes are woken then.
            Some(membership) => {
                let events = membership
                    .take_events()
                    .ok_or_else(|| StoreError::Unavailable("the events of the other nodes were taken before".into()))?;
                engine.inner.arbiters[0].spawn(ownership::follow(events, membership, engine.clone()));
            }
            None => active.into_iter().for_each(|(webhook, _)| engine.wake(webhook)),
        }
        Ok(engine)
    }

    /// Goes on with a lane of the store; cancels it when its webhook is gone.
    pub(super) fn wake(&self, webhook: WebhookId) {
        let core = &self.inner.core;
        match core.directory.webhook(webhook) {
            Some(config) => self.inner.lofts.of_owner(&config.owner).do_send(Wake(webhook)),
            None => {
                self.inner.arbiters[0].spawn(background::cancel(webhook, Arc::clone(core)));
            }
        }
    }

    /// Routes and makes durable; all or nothing (P1).
    ///
    /// # Errors
    /// [`IngestError`]; nothing was accepted then.
    pub async fn ingest(&self, instance: &InstanceId, mut events: Vec<NewEvent>) -> Result<Accepted, IngestError> {
        let tracer = self.inner.core.tracer.as_ref();
        let span = tracer.and_then(|tracer| tracer.ingest(&mut events));
        let (started, count) = (Instant::now(), events.len() as u64);
        let result = self.take_in(instance, events).await;
        if let (Some(tracer), Some(span)) = (tracer, span) {
            tracer.ingested(span, started.elapsed(), result.as_ref().err().map(IngestError::reason));
        }
        let meters = &self.inner.core.meters;
        match &result {
            Ok(accepted) => {
                meters.accepted.increment((accepted.ids.len() - accepted.duplicates) as u64);
                meters.duplicates.increment(accepted.duplicates as u64);
                meters.ingest_seconds.record(started.elapsed());
            }
            Err(error) => {
                meters.refused(error.reason());
                meters.refused_events.increment(count);
            }
        }
        result
    }

    async fn take_in(&self, instance: &InstanceId, events: Vec<NewEvent>) -> Result<Accepted, IngestError> {
        let core = &self.inner.core;
        if !self.is_accepting() {
            return Err(IngestError::ShuttingDown);
        }
        if core.backlog_is_full.load(Ordering::Relaxed) {
            let max = core.config.max_backlog;
            return Err(IngestError::Backlog { max, retry_after: Duration::from_secs(10) });
        }
        let bytes: u64 = events.iter().map(|event| event.data.len() as u64 + 256).sum();
        let shares = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        let Ok(permit) = Arc::clone(&self.inner.credit).try_acquire_many_owned(shares) else {
            return Err(IngestError::Busy { bound: "max_in_flight_bytes", retry_after: Duration::from_secs(1) });
        };
        let (reply, accepted) = oneshot::channel();
        let credit = Credit { _permit: permit };
        let ingest = Ingest { instance: instance.clone(), events, bytes, credit, reply };
        self.inner.lofts.of_instance(instance).do_send(ingest);
        accepted.await.unwrap_or(Err(IngestError::ShuttingDown))
    }

    /// Counts a request that was refused before it came here, for one of the reasons of its metric.
    pub fn note_refused(&self, reason: &'static str) {
        self.inner.core.meters.refused(reason);
    }

    /// Whether ingest is open.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.inner.accepting.load(Ordering::Acquire)
    }

    /// Whether more work should be sent here: not from the moment the end is announced, although ingest is open for a while.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
            && self.is_accepting()
            && !self.inner.core.backlog_is_full.load(Ordering::Relaxed)
    }

    /// The first phase of the end: `/readyz` says no from here on.
    pub fn announce_end(&self) {
        self.inner.ready.store(false, Ordering::Release);
    }

    /// Attempts in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.core.shards.in_flight()
    }

    /// The runtimes of the engine's threads, by what runs on them: engine or store.
    #[must_use]
    pub fn runtimes(&self) -> &[(&'static str, Runtime)] {
        &self.inner.runtimes
    }

    /// Sockets to receivers: open or being opened, and how many there may be.
    #[must_use]
    pub fn sockets(&self) -> (usize, usize) {
        self.inner.core.transport.sockets()
    }

    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.inner.core.config
    }

    /// Settlements on their way to the store.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.inner.core.settler.unsettled()
    }

    /// What the actors were doing when they were last looked at.
    #[must_use]
    pub fn observe(&self) -> Observed {
        for loft in self.inner.lofts.all() {
            loft.do_send(Observe);
        }
        self.inner.core.observations.sum()
    }

    /// Bytes of events held in memory.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.inner.core.budget.used()
    }

    /// From here on every ingest is refused.
    pub fn refuse_ingest(&self) {
        self.inner.accepting.store(false, Ordering::Release);
    }

    /// Starts no new attempt and waits until those in flight have ended, at most `grace`; answers how many had not.
    /// Their deliveries are attempted again after the next start.
    pub async fn drain(&self, grace: Duration) -> usize {
        let core = &self.inner.core;
        core.draining.store(true, Ordering::Release);
        let _in_time = tokio::time::timeout(grace, core.shards.all_landed()).await;
        core.shards.in_flight()
    }

    /// Makes every settlement so far durable.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.settle_all().await;
        self.inner.core.store.flush().await
    }

    /// Waits until the store has taken every settlement so far.
    pub(super) async fn settle_all(&self) {
        for loft in self.inner.lofts.all() {
            let (reply, flushed) = oneshot::channel();
            loft.do_send(Flush(reply));
            let _ended = flushed.await;
        }
        self.inner.core.settler.barrier().await;
    }

    /// Ends the threads. What was not flushed is lost as in a crash: repeated, not skipped.
    pub fn stop(&self) {
        for arbiter in &self.inner.arbiters {
            arbiter.stop();
        }
    }
}
