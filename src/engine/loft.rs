//! The actor of one engine thread: where its instance and webhook actors live. It starts them when something is for them, hands
//! messages on, rebuilds those that panicked and lets idle ones go.

mod ended;
mod rounds;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext as _, Context, Handler, Message};
use ahash::AHashMap;
use tokio::sync::{mpsc, oneshot};

use self::ended::{InstanceEnded, WebhookEnded};
pub(super) use self::rounds::Observe;
use self::rounds::Sweep;
use super::background;
use super::committer::Commit;
use super::core::Core;
use super::instance::{Ingest, InstanceActor};
use super::lane::Waiting;
use super::room::Room;
use super::slot::{Presence, Slot};
use super::supervise::{self, RestartBudget};
use super::webhook::{self, WebhookActor};
use super::{HastenReply, OperateError, TestReport, WebhookStatus};
use crate::domain::{EventId, InstanceId, ShardId, WebhookId};
use crate::policy::Gate;
use crate::store::LaneCounts;

/// What a lane holds while settlements of a dead actor may be on their way to the store: every part must be read.
const UNKNOWN: LaneCounts = LaneCounts { waiting: [1; 4], dead: 0 };

/// Entries that have become durable, for webhooks of this thread.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Deliver(pub(super) Vec<(WebhookId, Waiting)>);

/// The webhook has entries in the store: start it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Wake(pub(super) WebhookId);

/// Another node delivers for the shard: end its actors.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Abandon(pub(super) ShardId);

/// The webhook may have entries in the store that nobody was told of.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Nudge {
    pub(super) webhook: WebhookId,
    /// So many retries are stored, as far as is known: when more than in memory, they are read anew.
    pub(super) stored_retries: u64,
}

/// The webhook's settings have changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Reconfigure(pub(super) WebhookId);

/// The webhook is deleted: end its actor, answer when no attempt will start any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Remove(pub(super) WebhookId, pub(super) oneshot::Sender<()>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Status(pub(super) WebhookId, pub(super) oneshot::Sender<WebhookStatus>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Hasten(pub(super) WebhookId, pub(super) EventId, pub(super) oneshot::Sender<HastenReply>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Test(pub(super) WebhookId, pub(super) oneshot::Sender<Result<TestReport, OperateError>>);

/// Hand all buffered settlements on; answered when that is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Flush(pub(super) oneshot::Sender<()>);

/// See the module.
#[derive(Debug)]
pub(super) struct LoftActor {
    /// Counts from 0.
    thread: usize,
    pub(super) core: Arc<Core>,
    commits: mpsc::UnboundedSender<Commit>,
    room: Option<Rc<Room>>,
    instances: AHashMap<InstanceId, Slot<InstanceActor>>,
    pub(super) webhooks: AHashMap<WebhookId, Slot<WebhookActor>>,
    /// The gates of all webhooks that were served lately: breaker and pace outlive an idle actor.
    pub(super) gates: AHashMap<WebhookId, (Rc<RefCell<Gate>>, Instant)>,
    restarts: AHashMap<WebhookId, RestartBudget>,
    generations: u64,
}

impl LoftActor {
    pub(super) fn new(thread: usize, core: Arc<Core>, commits: mpsc::UnboundedSender<Commit>) -> Self {
        Self {
            thread,
            core,
            commits,
            room: None,
            instances: AHashMap::new(),
            webhooks: AHashMap::new(),
            gates: AHashMap::new(),
            restarts: AHashMap::new(),
            generations: 0,
        }
    }

    fn room(&self) -> Rc<Room> {
        Rc::clone(self.room.as_ref().expect("made when the actor starts, before any message"))
    }

    /// The webhook's slot, its actor started if it was not running; `None` when the directory does not know it.
    /// `offered`: entries of the store that are about to be sent to it, by class.
    fn webhook(&mut self, id: WebhookId, offered: [u64; 4]) -> Option<&mut Slot<WebhookActor>> {
        if !self.webhooks.contains_key(&id) {
            // Just taken over: others may have stored what this process has not counted yet.
            let is_counted = self.core.shards.is_counted(id);
            let mut counts = if is_counted { self.core.store.lane_counts(id) } else { UNKNOWN };
            if is_counted {
                for (stored, offered) in counts.waiting.iter_mut().zip(offered) {
                    *stored = stored.saturating_sub(offered);
                }
            }
            self.start(id, &counts);
        }
        self.webhooks.get_mut(&id)
    }

    /// Starts the webhook's actor, if the directory knows it; it reads the parts of the lane that `counts` tells of.
    fn start(&mut self, id: WebhookId, counts: &LaneCounts) {
        if let Some(slot) = self.spawn(id, counts) {
            self.webhooks.insert(id, slot);
        }
    }

    fn spawn(&mut self, id: WebhookId, counts: &LaneCounts) -> Option<Slot<WebhookActor>> {
        let config = self.core.directory.webhook(id)?;
        let now = self.core.clock.mono();
        let gate_config = webhook::gate_config(&config, &self.core.config);
        // Others may have delivered to it until this stint began, at a pace this process does not know (P6).
        let before = self.core.shards.since(id).filter(|since| config.created_at < since.wall).map(|since| since.mono);
        let fresh = || (Rc::new(RefCell::new(Gate::resumed(gate_config, before, now))), now);
        let gate = Rc::clone(&self.gates.entry(id).or_insert_with(fresh).0);
        let presence = Rc::new(Presence::default());
        let actor = WebhookActor::new(self.room(), config, gate, Rc::clone(&presence), counts);
        let (loft, generation) = (self.room().loft.clone(), self.next_generation());
        let address = supervise::start(actor, move |exit| {
            if let Some(loft) = loft.upgrade() {
                loft.do_send(WebhookEnded { id, generation, exit });
            }
        });
        Some(Slot::new(address, presence, generation, now))
    }

    fn instance(&mut self, id: &InstanceId) -> &mut Slot<InstanceActor> {
        if !self.instances.contains_key(id) {
            let presence = Rc::new(Presence::default());
            let (room, commits) = (self.room(), self.commits.clone());
            let actor = InstanceActor { room, presence: Rc::clone(&presence), commits };
            let (loft, generation, ended) = (self.room().loft.clone(), self.next_generation(), id.clone());
            // Whatever ends it, the next event starts it again: it holds nothing that a new one would lack.
            let address = supervise::start(actor, move |_| {
                if let Some(loft) = loft.upgrade() {
                    loft.do_send(InstanceEnded { id: ended, generation });
                }
            });
            let slot = Slot::new(address, presence, generation, self.core.clock.mono());
            self.instances.insert(id.clone(), slot);
        }
        self.instances.get_mut(id).expect("it is there or was put there just now")
    }

    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    fn running(&mut self, id: WebhookId) -> Option<&mut Slot<WebhookActor>> {
        self.webhooks.get_mut(&id)
    }
}

impl Actor for LoftActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(65_536);
        self.room = Some(Room::new(Arc::clone(&self.core), ctx.address().downgrade()));
        let (loft, every) = (ctx.address().downgrade(), self.core.config.idle_after / 2);
        actix::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(loft) = loft.upgrade() else { return };
                loft.do_send(Sweep);
            }
        });
    }
}

impl Handler<Ingest> for LoftActor {
    type Result = ();

    fn handle(&mut self, ingest: Ingest, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        self.instance(&ingest.instance).send_to(now).do_send(ingest);
    }
}

impl Handler<Deliver> for LoftActor {
    type Result = ();

    fn handle(&mut self, Deliver(deliveries): Deliver, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        let mut by_webhook: AHashMap<WebhookId, Vec<Waiting>> = AHashMap::new();
        for (webhook, waiting) in deliveries {
            by_webhook.entry(webhook).or_default().push(waiting);
        }
        for (id, entries) in by_webhook {
            if !self.core.serves(id) {
                continue;
            }
            let mut offered = [0; 4];
            for waiting in &entries {
                offered[waiting.entry.class as usize] += 1;
            }
            match self.webhook(id, offered) {
                Some(slot) => slot.send_to(now).do_send(webhook::Offer(entries)),
                // It was deleted between the routing and the commit.
                None => {
                    actix::spawn(background::cancel(id, Arc::clone(&self.core)));
                }
            }
        }
    }
}

impl Handler<Wake> for LoftActor {
    type Result = ();

    fn handle(&mut self, Wake(id): Wake, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        if !self.core.serves(id) {
            return;
        }
        if let Some(slot) = self.webhook(id, [0; 4]) {
            slot.send_to(now).do_send(webhook::Offer(Vec::new()));
        }
    }
}

impl Handler<Nudge> for LoftActor {
    type Result = ();

    fn handle(&mut self, Nudge { webhook: id, stored_retries }: Nudge, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        if !self.core.serves(id) {
            return;
        }
        match self.webhook(id, [0; 4]) {
            Some(slot) => slot.send_to(now).do_send(webhook::Nudge { stored_retries }),
            // It was deleted between the routing and the commit.
            None => {
                actix::spawn(background::cancel(id, Arc::clone(&self.core)));
            }
        }
    }
}

impl Handler<Reconfigure> for LoftActor {
    type Result = ();

    fn handle(&mut self, Reconfigure(id): Reconfigure, ctx: &mut Context<Self>) {
        let now = self.core.clock.mono();
        let Some(config) = self.core.directory.webhook(id) else { return };
        if let Some((gate, _)) = self.gates.get(&id) {
            gate.borrow_mut().reconfigure(webhook::gate_config(&config, &self.core.config), now);
        }
        if let Some(slot) = self.running(id) {
            slot.send_to(now).do_send(webhook::NewConfig(config));
        } else if config.is_delivering() && self.core.store.lane_counts(id).unfinished() > 0 {
            // Its actor was given up as faulted: what waits must not wait for the next event.
            ctx.address().do_send(Wake(id));
        }
    }
}

impl Handler<Remove> for LoftActor {
    type Result = ();

    fn handle(&mut self, Remove(id, reply): Remove, _: &mut Context<Self>) {
        self.gates.remove(&id);
        self.restarts.remove(&id);
        match self.webhooks.remove(&id) {
            Some(slot) => slot.address.do_send(webhook::Close(Some(reply))),
            None => {
                let _nobody_waits = reply.send(());
            }
        }
    }
}

impl Handler<Status> for LoftActor {
    type Result = ();

    fn handle(&mut self, Status(id, reply): Status, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        if let Some(slot) = self.running(id) {
            slot.send_to(now).do_send(webhook::Describe(reply));
            return;
        }
        let circuit = self.gates.get(&id).map(|(gate, _)| gate.borrow().circuit());
        let _hung_up = reply.send(WebhookStatus { circuit, ..WebhookStatus::default() });
    }
}

impl Handler<Hasten> for LoftActor {
    type Result = ();

    fn handle(&mut self, Hasten(id, event, reply): Hasten, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        match self.running(id) {
            Some(slot) => slot.send_to(now).do_send(webhook::Hasten(event, reply)),
            None => {
                let _hung_up = reply.send(HastenReply::NotWaiting);
            }
        }
    }
}

impl Handler<Test> for LoftActor {
    type Result = ();

    fn handle(&mut self, Test(id, reply): Test, _: &mut Context<Self>) {
        let now = self.core.clock.mono();
        if self.core.serves(id)
            && let Some(slot) = self.webhook(id, [0; 4])
        {
            slot.send_to(now).do_send(webhook::Test(reply));
        } else if let Some(slot) = self.spawn(id, &LaneCounts::default()) {
            // Another node's: an actor for this one request, which sees nothing of the lane.
            slot.address.do_send(webhook::Test(reply));
            slot.address.do_send(webhook::Leave);
            self.gates.remove(&id);
        } else {
            let _hung_up = reply.send(Err(OperateError::UnknownWebhook));
        }
    }
}

impl Handler<Flush> for LoftActor {
    type Result = ();

    fn handle(&mut self, Flush(reply): Flush, _: &mut Context<Self>) {
        self.room().flush();
        let _nobody_waits = reply.send(());
    }
}
