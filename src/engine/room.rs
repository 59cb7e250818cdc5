//! What the actors of one thread share: the process's [`Core`] and the thread's own buffers. No lock, no atomic of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::WeakAddr;
use ahash::AHashMap;

use super::core::Core;
use super::loft::LoftActor;
use super::runway::Runway;
use super::shelf::Shelf;
use crate::directory::Route;
use crate::domain::InstanceId;
use crate::format::Sender;
use crate::store::Settle;

/// Senders kept ready; one more forgets them all.
const MAX_SENDERS: usize = 4_096;

/// Good as long as the directory answers with the same route.
type Senders = AHashMap<InstanceId, (Arc<Route>, Rc<Sender>)>;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) core: Arc<Core>,
    pub(super) loft: WeakAddr<LoftActor>,
    pub(super) runway: Rc<Runway>,
    pub(super) shelf: Shelf,
    settles: RefCell<Vec<Settle>>,
    flush_is_due: Cell<bool>,
    senders: RefCell<Senders>,
}

impl Room {
    pub(super) fn new(core: Arc<Core>, loft: WeakAddr<LoftActor>) -> Rc<Self> {
        let senders = RefCell::new(AHashMap::new());
        let runway = Runway::new(core.clock.mono());
        let (shelf, settles) = (Shelf::new(), RefCell::default());
        Rc::new(Self { core, loft, runway, shelf, settles, flush_is_due: Cell::new(false), senders })
    }

    /// Hands a settlement in with the others of this turn of the thread: one crossing for all of them.
    pub(super) fn settle(self: &Rc<Self>, settle: Settle) {
        self.settles.borrow_mut().push(settle);
        if !self.flush_is_due.replace(true) {
            let room = Rc::clone(self);
            actix::spawn(async move { room.flush() });
        }
    }

    /// Sends what is buffered now. Before a barrier this must come first.
    pub(super) fn flush(&self) {
        self.flush_is_due.set(false);
        let settles = std::mem::take(&mut *self.settles.borrow_mut());
        if !settles.is_empty() {
            self.core.settler.settle(settles);
        }
    }

    /// What bodies tell of an instance beside the event; `None` when the instance is gone.
    pub(super) fn sender(&self, instance: &InstanceId) -> Option<Rc<Sender>> {
        let route = self.core.directory.route(instance)?;
        let mut senders = self.senders.borrow_mut();
        if let Some((known, sender)) = senders.get(instance)
            && Arc::ptr_eq(known, &route)
        {
            return Some(Rc::clone(sender));
        }
        if senders.len() >= MAX_SENDERS {
            senders.clear();
        }
        let sender = Rc::new(Sender::new(Arc::clone(&route.instance), Arc::clone(&route.business)));
        senders.insert(instance.clone(), (route, Rc::clone(&sender)));
        Some(sender)
    }
}
