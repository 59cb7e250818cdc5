//! A test event, sent now: past the lane and the gate, stored nowhere.

use std::sync::Arc;

use actix::{Context, Handler, Message};
use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::oneshot;

use super::WebhookActor;
use crate::domain::{Attempt, AttemptOrigin, Event, EventKind, InstanceId, WaitReason, WebhookOwner};
use crate::engine::{OperateError, TestReport};
use crate::format;
use crate::transport::AttemptHeaders;

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Test(pub(in crate::engine) oneshot::Sender<Result<TestReport, OperateError>>);

const MESSAGE: &str = r#"{"messageId":"TEST","keyId":"TEST","keyRemoteJid":"5500000000000@s.whatsapp.net","keyParticipant":null,"pushName":"Pombo","contentType":"conversation","content":{"text":"A test of this webhook. Nothing was received on WhatsApp."},"source":"web","messageTimestamp":0,"createdAt":"1970-01-01T00:00:00.000Z"}"#;
const STATUS: &str =
    r#"{"messageStatusId":"TEST","status":"READ","dateTime":"1970-01-01T00:00:00.000Z","messageMessageId":"TEST"}"#;
const CONNECTION_OPEN: &str = r#"{"state":"open","statusReason":200}"#;
const CONNECTION_CLOSED: &str = r#"{"state":"close","statusReason":401}"#;
const EMPTY: &str = "{}";

impl Handler<Test> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Test(reply): Test, _: &mut Context<Self>) {
        self.presence.handled(self.lane.is_idle());
        let _hung_up = match self.test(reply) {
            Ok(()) => Ok(()),
            Err((reply, error)) => reply.send(Err(error)),
        };
    }
}

type Reply = oneshot::Sender<Result<TestReport, OperateError>>;

impl WebhookActor {
    fn test(&mut self, reply: Reply) -> Result<(), (Reply, OperateError)> {
        let refuse = |reply, problem: &str| Err((reply, OperateError::Refused(problem.into())));
        let endpoint = match self.endpoint() {
            Ok(endpoint) => endpoint,
            Err(problem) => return refuse(reply, &problem),
        };
        let Some(instance) = self.an_instance() else {
            return refuse(reply, "the business has no instance yet: there is nobody a test event could come from");
        };
        let Some(sender) = self.room.sender(&instance) else {
            return refuse(reply, "the webhook's instance was deleted");
        };
        let core = Arc::clone(&self.room.core);
        let now = core.clock.wall();
        let Some((kind, data)) = self.sample() else {
            return refuse(reply, "no event flag is on: switch one on, there is nothing this webhook would receive");
        };
        let event = Event {
            id: core.ids.next(now),
            instance,
            kind,
            data: Bytes::from_static(data.as_bytes()),
            client_id: None,
            accepted_at: now,
            occurred_at: None,
            chat: None,
            traceparent: None,
        };
        let body = match format::render(self.config.format, &event, &sender) {
            Ok(body) => body,
            Err(no_body) => return refuse(reply, &no_body.to_string()),
        };
        let attempt_headers = AttemptHeaders {
            id: format::id_header(event.id),
            timestamp: HeaderValue::from(now.seconds()),
            signature: self.signer.sign(event.id, now, &body),
            attempt: 1,
            traceparent: None,
            sender: Some(Box::new(format::static_headers(&self.config, &sender))),
        };
        let timeout = self.config.timeout();
        actix::spawn(async move {
            let outcome = endpoint.post(&attempt_headers, &body, timeout).await;
            core.meters.attempt(AttemptOrigin::Test, &outcome);
            let attempt = Attempt {
                number: 1,
                origin: AttemptOrigin::Test,
                due_at: now,
                started_at: now,
                waited_for: WaitReason::None,
                outcome,
            };
            let _hung_up = reply.send(Ok(TestReport { event: event.id, attempt }));
        });
        Ok(())
    }

    fn an_instance(&self) -> Option<InstanceId> {
        match &self.config.owner {
            WebhookOwner::Instance(id) => Some(id.clone()),
            WebhookOwner::Business(id) => {
                self.room.core.directory.instances_of_business(*id).first().map(|i| i.id.clone())
            }
        }
    }

    /// A harmless event of a kind that this webhook would receive.
    fn sample(&self) -> Option<(EventKind, &'static str)> {
        let samples = [
            (EventKind::MessagesUpsert, MESSAGE),
            (EventKind::SendMessage, MESSAGE),
            (EventKind::MessagesUpdate, STATUS),
            (EventKind::ConnectionUpdate, CONNECTION_OPEN),
            (EventKind::ConnectionUpdate, CONNECTION_CLOSED),
        ];
        let rest = EventKind::ALL.into_iter().map(|kind| (kind, EMPTY));
        samples.into_iter().chain(rest).find(|(kind, data)| {
            self.config.events.contains(*kind) && format::has_body_for(self.config.format, *kind, data.as_bytes())
        })
    }
}
