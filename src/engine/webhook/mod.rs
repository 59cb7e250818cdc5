//! The actor of one webhook: its lane, its gate, its connections. It decides; attempts and reads are tasks that report back.
//!
//! Nothing a receiver does reaches another webhook: not its window, its breaker, its pace, nor its connections (P5).

mod finish;
mod health;
mod holds;
mod load;
mod pump;
mod test;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Message};
use http::HeaderMap;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::health::Health;
use self::holds::Holds;
use super::clock::Now;
use super::config::EngineConfig;
use super::lane::{Lane, Waiting};
use super::room::Room;
use super::runway::{Cleared, Stand};
use super::slot::Presence;
use super::{HastenReply, WebhookStatus};
use crate::domain::{EventId, Ordering, Webhook};
use crate::format::{self, Sender, Signer};
use crate::policy::{Gate, GateConfig};
use crate::store::{LaneCounts, Next, Settle};
use crate::transport::{Endpoint, Target};

pub(super) use self::finish::Finished;
pub(super) use self::test::Test;

/// Entries that are durable now, or none: look at the lane.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Offer(pub(super) Vec<Waiting>);

/// Something may be in the store that was not handed over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Nudge {
    pub(super) stored_retries: u64,
}

/// The time for something has come.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Wake;

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct NewConfig(pub(super) Arc<Webhook>);

/// Start nothing more and end; attempts in flight report to the store by themselves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Close(pub(super) Option<oneshot::Sender<()>>);

/// Another node delivers from now on: start nothing more, and end when what is in flight has been settled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Leave;

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Describe(pub(super) oneshot::Sender<WebhookStatus>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Hasten(pub(super) EventId, pub(super) oneshot::Sender<HastenReply>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct SweepConnections;

/// See the module.
#[derive(Debug)]
pub(super) struct WebhookActor {
    room: Rc<Room>,
    config: Arc<Webhook>,
    gate: Rc<RefCell<Gate>>,
    presence: Rc<Presence>,
    lane: Lane,
    signer: Rc<Signer>,
    /// Made by the first attempt. An error: the URL is not one we may call; attempts fail with the reason.
    endpoint: Option<Result<Endpoint, String>>,
    /// Whom `endpoint` tells of with every attempt. A business's webhook has none: each attempt tells its own instance.
    sender: Option<Rc<Sender>>,
    /// `data` of the events in flight.
    flying_bytes: u64,
    /// What the thread has of attempts of this webhook.
    stand: Stand,
    health: Health,
    /// Why the front of the lane did not start at once, while that is so.
    holds: Holds,
    alarm: Option<(Instant, JoinHandle<()>)>,
    /// See [`Leave`].
    leaves: bool,
}

/// What the gate needs to know of a webhook.
pub(super) fn gate_config(webhook: &Webhook, engine: &EngineConfig) -> GateConfig {
    GateConfig {
        breaker: engine.breaker,
        concurrency: u32::from(webhook.concurrency),
        initial_window: engine.initial_window.min(u32::from(webhook.concurrency)),
        rate_limit: webhook.rate_limit,
    }
}

impl WebhookActor {
    pub(super) fn new(
        room: Rc<Room>,
        config: Arc<Webhook>,
        gate: Rc<RefCell<Gate>>,
        presence: Rc<Presence>,
        counts: &LaneCounts,
    ) -> Self {
        let single_key = config.ordering == Ordering::Instance;
        let ordered = config.ordering != Ordering::None;
        let lane = Lane::new(room.core.config.bounds, counts, ordered, single_key);
        Self {
            signer: Rc::new(Signer::new(&config.secrets)),
            health: Health::new(&config),
            room,
            config,
            gate,
            presence,
            lane,
            endpoint: None,
            sender: None,
            flying_bytes: 0,
            stand: Stand::default(),
            holds: Holds::default(),
            alarm: None,
            leaves: false,
        }
    }

    /// After every message: carry out what the lane asks for, start what may start, set the alarm, tell whether there is work.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        self.turn_at(self.room.core.clock.now(), ctx);
    }

    fn turn_at(&mut self, now: Now, ctx: &mut Context<Self>) {
        if self.leaves {
            if !self.lane.has_in_flight() {
                ctx.stop();
            }
            return;
        }
        self.pump(now, ctx);
        self.carry_out_asks(now.wall, ctx);
        let is_idle = self.lane.is_idle();
        if is_idle {
            self.lane.let_go();
        }
        self.presence.set_idle(is_idle);
        let oldest_due = self.lane.oldest_due().filter(|due| *due <= now.wall);
        self.presence.tell(self.holds.reason(), oldest_due, self.lane.oldest_retry());
    }

    fn endpoint(&mut self) -> Result<Endpoint, String> {
        let Self { room, config, sender, endpoint, .. } = self;
        let make = || {
            let target = Target::parse(&config.url, room.core.transport.targets())?;
            let headers = sender.as_ref().map_or_else(HeaderMap::new, |sender| format::static_headers(config, sender));
            Ok(room.core.transport.endpoint(&target, headers))
        };
        endpoint.get_or_insert_with(make).clone()
    }
}

impl Actor for WebhookActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(65_536);
        if self.lane.wants_parked_keys() {
            self.load_parked_keys(ctx);
        }
        self.turn(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
    }
}

impl Handler<Offer> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Offer(entries): Offer, ctx: &mut Context<Self>) {
        for waiting in entries {
            // Another lane may hold its event until this one comes to it.
            if let Some(Waiting { carried: Some(carried), .. }) = self.lane.offer(waiting) {
                self.room.shelf.put(&carried);
            }
        }
        self.presence.handled(false);
        self.turn(ctx);
    }
}

impl Handler<Nudge> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Nudge { stored_retries }: Nudge, ctx: &mut Context<Self>) {
        self.lane.nudge(stored_retries);
        self.presence.handled(false);
        self.turn(ctx);
    }
}

impl Handler<Wake> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.turn(ctx);
    }
}

impl Handler<Cleared> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Cleared, ctx: &mut Context<Self>) {
        self.turn(ctx);
    }
}

impl Handler<NewConfig> for WebhookActor {
    type Result = ();

    fn handle(&mut self, NewConfig(config): NewConfig, ctx: &mut Context<Self>) {
        self.signer = Rc::new(Signer::new(&config.secrets));
        if config.url != self.config.url || config.headers != self.config.headers || config.format != self.config.format
        {
            self.sender = None;
            self.endpoint = None;
        }
        if self.config.disabled_reason.is_some() && config.disabled_reason.is_none() {
            // Switched on again: the days before do not count against it.
            self.health = Health::new(&config);
        }
        self.config = config;
        // Waiting entries keep the keys of the rule they were accepted under.
        self.lane.set_single_key(self.config.ordering == Ordering::Instance);
        self.presence.handled(false);
        self.turn(ctx);
    }
}

impl Handler<Close> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Close(reply): Close, ctx: &mut Context<Self>) {
        ctx.stop();
        if let Some(reply) = reply {
            let _nobody_waits = reply.send(());
        }
    }
}

impl Handler<Leave> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        self.leaves = true;
        self.turn(ctx);
    }
}

impl Handler<Describe> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Describe(reply): Describe, _: &mut Context<Self>) {
        let gate = self.gate.borrow();
        let status = WebhookStatus {
            circuit: Some(gate.circuit()),
            in_flight: gate.in_flight(),
            window: gate.window(),
            waiting_in_memory: u32::try_from(self.lane.waiting()).unwrap_or(u32::MAX),
            blocked_keys: u32::try_from(self.lane.blocked_keys()).unwrap_or(u32::MAX),
            next_due_at: self.lane.next_retry_at(),
            ..self.presence.stats().describe()
        };
        self.presence.handled(self.lane.is_idle());
        let _hung_up = reply.send(status);
    }
}

impl Handler<Hasten> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Hasten(event, reply): Hasten, ctx: &mut Context<Self>) {
        let now = self.room.core.clock.wall();
        let answer = if self.lane.is_in_flight(event) {
            HastenReply::InFlight
        } else if let Some((before, after)) = self.lane.hasten(event, now) {
            self.room.settle(Settle { entry: before, attempt: None, next: Next::Move(after), at: now });
            HastenReply::Hastened
        } else {
            HastenReply::NotWaiting
        };
        self.presence.handled(false);
        let _hung_up = reply.send(answer);
        self.turn(ctx);
    }
}

impl Handler<SweepConnections> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: SweepConnections, _: &mut Context<Self>) {
        if let Some(Ok(endpoint)) = &self.endpoint {
            endpoint.sweep();
        }
    }
}

/// Sets the one alarm of the actor to ring no later than `at`.
fn set_alarm(actor: &mut WebhookActor, ctx: &Context<WebhookActor>, at: Instant) {
    if actor.alarm.as_ref().is_some_and(|(set, _)| *set <= at) {
        return;
    }
    if let Some((_, later)) = actor.alarm.take() {
        later.abort();
    }
    let address = ctx.address().downgrade();
    let alarm = actix::spawn(async move {
        tokio::time::sleep_until(at.into()).await;
        if let Some(address) = address.upgrade() {
            address.do_send(Wake);
        }
    });
    actor.alarm = Some((at, alarm));
}
