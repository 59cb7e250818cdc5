//! What the API needs of the engine, so that handlers are tested without running actors.

use futures_util::future::LocalBoxFuture;

use crate::domain::{DeliveryStatus, EventId, InstanceId, NewEvent, Timestamp, WebhookId};
use crate::engine::{Accepted, Engine, IngestError, OperateError, TestReport, Top, WebhookStatus};

/// See the methods of [`Engine`] with the same names.
pub trait EnginePort: std::fmt::Debug + Send + Sync {
    fn ingest<'a>(
        &'a self,
        instance: &'a InstanceId,
        events: Vec<NewEvent>,
    ) -> LocalBoxFuture<'a, Result<Accepted, IngestError>>;
    fn status(&self, webhook: WebhookId) -> LocalBoxFuture<'_, WebhookStatus>;
    fn retry(&self, webhook: WebhookId, event: EventId) -> LocalBoxFuture<'_, Result<(), OperateError>>;
    fn replay(
        &self,
        webhook: WebhookId,
        from: Timestamp,
        to: Timestamp,
        statuses: Vec<DeliveryStatus>,
    ) -> LocalBoxFuture<'_, Result<u64, OperateError>>;
    fn test(&self, webhook: WebhookId) -> LocalBoxFuture<'_, Result<TestReport, OperateError>>;
    /// Empty for an engine without running actors.
    fn top(&self, _limit: usize) -> LocalBoxFuture<'_, Top> {
        Box::pin(std::future::ready(Top::default()))
    }
    /// Counts an ingest request that was refused before the engine saw it.
    fn note_refused(&self, _reason: &'static str) {}
    /// Whether more work should be sent here.
    fn is_ready(&self) -> bool;
}

impl EnginePort for Engine {
    fn ingest<'a>(
        &'a self,
        instance: &'a InstanceId,
        events: Vec<NewEvent>,
    ) -> LocalBoxFuture<'a, Result<Accepted, IngestError>> {
        Box::pin(Self::ingest(self, instance, events))
    }

    fn status(&self, webhook: WebhookId) -> LocalBoxFuture<'_, WebhookStatus> {
        Box::pin(Self::status(self, webhook))
    }

    fn retry(&self, webhook: WebhookId, event: EventId) -> LocalBoxFuture<'_, Result<(), OperateError>> {
        Box::pin(Self::retry(self, webhook, event))
    }

    fn replay(
        &self,
        webhook: WebhookId,
        from: Timestamp,
        to: Timestamp,
        statuses: Vec<DeliveryStatus>,
    ) -> LocalBoxFuture<'_, Result<u64, OperateError>> {
        Box::pin(Self::replay(self, webhook, from, to, statuses))
    }

    fn test(&self, webhook: WebhookId) -> LocalBoxFuture<'_, Result<TestReport, OperateError>> {
        Box::pin(Self::test(self, webhook))
    }

    fn top(&self, limit: usize) -> LocalBoxFuture<'_, Top> {
        Box::pin(Self::top(self, limit))
    }

    fn note_refused(&self, reason: &'static str) {
        Self::note_refused(self, reason);
    }

    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }
}
