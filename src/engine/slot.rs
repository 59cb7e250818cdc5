//! How a loft knows that a child has nothing to do, without asking it: both live on one thread and share this.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr};

use super::stats::Stats;
use crate::domain::{Timestamp, WaitReason};

/// Kept by the child.
#[derive(Debug, Default)]
pub(super) struct Presence {
    handled: Cell<u64>,
    idle: Cell<bool>,
    held_by: Cell<WaitReason>,
    oldest_due: Cell<Option<Timestamp>>,
    oldest_retry: Cell<Option<Timestamp>>,
    /// When the attempts in flight started; as many as the window lets through.
    flights: RefCell<Vec<Timestamp>>,
    stats: RefCell<Stats>,
}

impl Presence {
    /// A message from the loft has been handled; `idle`: nothing waits and nothing is in flight.
    pub(super) fn handled(&self, idle: bool) {
        self.handled.set(self.handled.get() + 1);
        self.idle.set(idle);
    }

    /// What holds the lane's front, since when it is due, and when the oldest retry was accepted.
    pub(super) fn tell(&self, held_by: WaitReason, oldest_due: Option<Timestamp>, oldest_retry: Option<Timestamp>) {
        self.held_by.set(held_by);
        self.oldest_due.set(oldest_due);
        self.oldest_retry.set(oldest_retry);
    }

    pub(super) fn took_off(&self, at: Timestamp) {
        self.flights.borrow_mut().push(at);
    }

    /// One that took off then has ended.
    pub(super) fn landed(&self, took_off_at: Timestamp) {
        let mut flights = self.flights.borrow_mut();
        if let Some(place) = flights.iter().position(|at| *at == took_off_at) {
            flights.swap_remove(place);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.borrow().len()
    }

    pub(super) fn oldest_flight(&self) -> Option<Timestamp> {
        self.flights.borrow().iter().min().copied()
    }

    pub(super) fn stats(&self) -> Ref<'_, Stats> {
        self.stats.borrow()
    }

    pub(super) fn stats_mut(&self) -> RefMut<'_, Stats> {
        self.stats.borrow_mut()
    }

    pub(super) fn held_by(&self) -> WaitReason {
        self.held_by.get()
    }

    pub(super) fn oldest_due(&self) -> Option<Timestamp> {
        self.oldest_due.get()
    }

    pub(super) fn oldest_retry(&self) -> Option<Timestamp> {
        self.oldest_retry.get()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// What changed without a message of the loft.
    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }
}

/// Kept by the loft, one per child.
#[derive(Debug)]
pub(super) struct Slot<A: Actor> {
    pub(super) address: Addr<A>,
    pub(super) presence: Rc<Presence>,
    /// Tells this child from an earlier one for the same thing.
    pub(super) generation: u64,
    sent: u64,
    last_used: Instant,
}

impl<A: Actor> Slot<A> {
    pub(super) fn new(address: Addr<A>, presence: Rc<Presence>, generation: u64, now: Instant) -> Self {
        Self { address, presence, generation, sent: 0, last_used: now }
    }

    /// The address to send one message to. The child must call [`Presence::handled`] for it.
    pub(super) fn send_to(&mut self, now: Instant) -> &Addr<A> {
        self.sent += 1;
        self.last_used = now;
        &self.address
    }

    /// Messages sent and not handled yet.
    pub(super) fn unhandled(&self) -> u64 {
        self.sent - self.presence.handled.get()
    }

    /// Nothing was sent for a while, all that was has been handled, and the child says it is idle: it can go without a loss.
    pub(super) fn can_retire(&self, now: Instant, idle_after: Duration) -> bool {
        self.presence.idle.get()
            && self.presence.handled.get() == self.sent
            && now.duration_since(self.last_used) >= idle_after
    }
}
