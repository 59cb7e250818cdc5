//! Starts what may start: the lane says what is next, the gate whether it may go, and an attempt task takes it from there.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{AsyncContext as _, Context};

use super::{WebhookActor, set_alarm};
use crate::domain::{Timestamp, WaitReason, WebhookOwner};
use crate::engine::attempt::{self, Flight};
use crate::engine::clock::Now;
use crate::engine::lane::{Peek, Waiting};
use crate::engine::runway::Place;
use crate::format::{self, Sender};
use crate::policy::Permit;

/// When the store is slow to take settlements: look again after this.
const STORE_IS_SLOW: Duration = Duration::from_millis(20);
/// `data` of one webhook's events in flight, unless a single event has more.
const MAX_FLYING_BYTES: u64 = 8 << 20;
/// Later than this behind its due time a delivery is said to have waited.
const PUNCTUAL: Duration = Duration::from_millis(5);

impl WebhookActor {
    /// All of it as of `at`: what starts last is said to have started some microseconds early, what becomes due meanwhile waits.
    pub(super) fn pump(&mut self, at: Now, ctx: &mut Context<Self>) {
        let core = Arc::clone(&self.room.core);
        let Now { wall: now, mono: started } = at;
        if core.draining.load(Ordering::Relaxed) {
            return;
        }
        if !core.serves(self.config.id) {
            // The lease has run out: whoever has it now starts what is here.
            return;
        }
        if !self.config.is_delivering() {
            self.holds.hold(WaitReason::Paused, now);
            self.lane.rest();
            return;
        }
        loop {
            match self.lane.peek(now) {
                Peek::Nothing => {
                    self.holds.hold(if self.lane.waiting() > 0 { WaitReason::Order } else { WaitReason::None }, now);
                    return;
                }
                Peek::NotBefore(due) => {
                    self.holds.hold(WaitReason::None, now);
                    // The wall clock may lag a little behind the runtime's: never early (P8).
                    let after = due.since(now) + Duration::from_millis(1);
                    set_alarm(self, ctx, started + after);
                    return;
                }
                Peek::Due { data_bytes } => {
                    // The rest of what is in flight must end first: a few huge events must not fill the memory (P7).
                    if self.flying_bytes > 0 && self.flying_bytes + u64::from(data_bytes) > MAX_FLYING_BYTES {
                        self.holds.hold(WaitReason::Window, now);
                        return;
                    }
                }
            }
            if !core.settler.has_room() {
                set_alarm(self, ctx, started + STORE_IS_SLOW);
                return;
            }
            if !self.may_take_off(started, ctx) {
                // The thread's own doing, for milliseconds: what holds the lane is what held it before.
                return;
            }
            let mut gate = self.gate.borrow_mut();
            let circuit = gate.circuit();
            let admitted = gate.admit(started);
            if gate.circuit() != circuit {
                core.meters.circuit(gate.circuit());
            }
            drop(gate);
            match admitted {
                Ok(permit) => {
                    self.lane.resume();
                    let waiting = self.lane.take(now).expect("the lane said that one is due");
                    let place = self.room.runway.take(started, &mut self.stand);
                    self.start(waiting, permit, place, now, started, ctx);
                }
                Err(hold) => {
                    self.holds.hold(hold.reason, now);
                    if hold.reason == WaitReason::CircuitOpen {
                        self.lane.rest();
                    }
                    if let Some(until) = hold.until {
                        set_alarm(self, ctx, until);
                    }
                    return;
                }
            }
        }
    }

    /// Whether its thread has room for one more young attempt of this webhook.
    fn may_take_off(&mut self, now: Instant, ctx: &Context<Self>) -> bool {
        let Self { room, stand, config, .. } = self;
        room.runway.is_free(now, stand, config.concurrency, || ctx.address().recipient())
    }

    fn start(
        &mut self,
        waiting: Waiting,
        permit: Permit,
        place: Place,
        started_at: Timestamp,
        started: Instant,
        ctx: &Context<Self>,
    ) {
        let Waiting { entry, carried } = waiting;
        let sender = self.own_sender();
        self.flying_bytes += u64::from(entry.data_bytes);
        let waited = started_at.since(entry.due);
        let waited_for = if waited > PUNCTUAL {
            self.holds.longest(entry.due, started_at, entry.order_key != 0)
        } else {
            WaitReason::None
        };
        self.presence.took_off(started_at);
        self.room.core.meters.lag(waited_for, waited);
        attempt::spawn(Flight {
            room: Rc::clone(&self.room),
            actor: ctx.address(),
            entry,
            carried,
            permit: Some(permit),
            place,
            config: Arc::clone(&self.config),
            signer: Rc::clone(&self.signer),
            endpoint: self.endpoint(),
            sender,
            waited_for,
            started_at,
            started,
        });
    }

    /// Whom an instance's webhook tells of, its endpoint from here on too; `None` for a business's webhook.
    fn own_sender(&mut self) -> Option<Rc<Sender>> {
        let WebhookOwner::Instance(instance) = &self.config.owner else { return None };
        let sender = self.room.sender(instance)?;
        if !self.sender.as_ref().is_some_and(|known| Rc::ptr_eq(known, &sender)) {
            // Its connections go with the endpoint: it is made anew only when it would tell something else.
            if !self.sender.as_ref().is_some_and(|known| format::tell_alike(known, &sender)) {
                self.endpoint = None;
            }
            self.sender = Some(Rc::clone(&sender));
        }
        Some(sender)
    }
}
