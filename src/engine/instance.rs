//! The actor of one instance: routes its events, in the order they came, to the webhooks that want them.

use std::rc::Rc;

use actix::{Actor, Context, Handler, Message};
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use super::committer::{Commit, Credit, Draft};
use super::handle::owner_index;
use super::room::Room;
use super::slot::Presence;
use super::{Accepted, IngestError};
use crate::directory::Route;
use crate::domain::{
    AttemptOrigin, Chat, Connection, Event, EventId, EventKind, InstanceId, LaneClass, LaneEntry, NewEvent, Timestamp,
    Webhook, stable_key,
};
use crate::format;
use crate::store::HeldBack;

/// Events of one request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Ingest {
    pub(super) instance: InstanceId,
    pub(super) events: Vec<NewEvent>,
    pub(super) bytes: u64,
    pub(super) credit: Credit,
    pub(super) reply: oneshot::Sender<Result<Accepted, IngestError>>,
}

/// The instance has nothing to do: end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Retire;

/// See the module.
#[derive(Debug)]
pub(super) struct InstanceActor {
    pub(super) room: Rc<Room>,
    pub(super) presence: Rc<Presence>,
    pub(super) commits: mpsc::UnboundedSender<Commit>,
}

impl Actor for InstanceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(4_096);
    }
}

impl Handler<Ingest> for InstanceActor {
    type Result = ();

    fn handle(&mut self, ingest: Ingest, _: &mut Context<Self>) {
        self.presence.handled(true);
        let core = &self.room.core;
        let Some(route) = core.directory.route(&ingest.instance) else {
            let _hung_up = ingest.reply.send(Err(IngestError::UnknownInstance));
            return;
        };
        let threads = core.config.threads.max(1);
        let drafts = ingest.events.into_iter().map(|event| route_event(&route, event, threads)).collect();
        let commit = Commit { drafts, bytes: ingest.bytes, reply: ingest.reply, credit: ingest.credit };
        // The committer outlives the actors; when it is gone the caller sees its reply dropped.
        let _ended = self.commits.send(commit);
    }
}

impl Handler<Retire> for InstanceActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        actix::ActorContext::stop(ctx);
    }
}

/// Decides to whom an event is owed, once and for all (P2: who matched at acceptance).
pub(super) fn route_event(route: &Route, new: NewEvent, threads: usize) -> Draft {
    let event = Event {
        id: EventId::MIN,
        instance: route.instance.id.clone(),
        kind: new.kind,
        data: new.data,
        client_id: new.client_id,
        accepted_at: Timestamp::default(),
        occurred_at: new.occurred_at,
        chat: new.chat,
        traceparent: new.traceparent,
    };
    let mut entries = SmallVec::new();
    let mut lofts = SmallVec::new();
    let mut held_back = SmallVec::new();
    let connection = new.effects.connection.map(|(state, _)| state);
    let message_id = new.effects.messages.first().map(|message| &*message.message_id);
    for webhook in route.webhooks.iter() {
        match held_back_by(webhook, &event, connection) {
            None => {
                entries.push(entry(webhook, &event, message_id));
                lofts.push(owner_index(&webhook.owner, threads));
            }
            Some(rule) => held_back.push((webhook.id.as_u128(), rule)),
        }
    }
    Draft { event, entries, lofts, held_back, effects: new.effects }
}

fn held_back_by(webhook: &Webhook, event: &Event, connection: Option<Connection>) -> Option<HeldBack> {
    webhook
        .refuses(event.kind, event.chat.as_ref(), connection)
        .or_else(|| (!format::has_body_for(webhook.format, event.kind, &event.data)).then_some(HeldBack::Format))
}

fn entry(webhook: &Webhook, event: &Event, message_id: Option<&str>) -> LaneEntry {
    LaneEntry {
        webhook: webhook.id.as_u128(),
        event: event.id,
        class: if event.kind.is_history() { LaneClass::Low } else { LaneClass::Live },
        due: event.accepted_at,
        kind: event.kind,
        origin: AttemptOrigin::First,
        attempts: 0,
        round_attempts: 0,
        order_key: webhook.order_key(event.chat.as_ref(), message_id),
        coalesce_key: coalesce_key(event.kind, event.chat.as_ref(), &event.instance),
        data_bytes: u32::try_from(event.data.len()).unwrap_or(u32::MAX),
    }
}

/// The newest QR code of an instance and the newest presence of a chat make the older ones useless.
fn coalesce_key(kind: EventKind, chat: Option<&Chat>, instance: &InstanceId) -> u64 {
    let scope = match kind {
        EventKind::QrcodeUpdate => 0x5152,
        EventKind::PresenceUpdate => match chat {
            Some(chat) => chat.key(),
            None => return 0,
        },
        _ => return 0,
    };
    // A business's webhook sees many instances: their states must not supersede each other.
    let instance = stable_key(instance.as_str());
    (scope ^ instance.rotate_left(17) ^ kind as u64).max(1)
}
