//! What operators ask of a webhook: its state, a retry, a replay, a test.

use tokio::sync::oneshot;

use super::handle::Engine;
use super::lane::Waiting;
use super::loft::{self, Deliver};
use super::{HastenReply, OperateError, TestReport, WebhookStatus};
use crate::domain::{AttemptOrigin, DeliveryStatus, EventId, LaneClass, LaneEntry, Timestamp, WebhookId};
use crate::store::{Next, Requeue, Settle};

/// Deliveries put back at once by a replay.
const REPLAY_STEP: usize = 256;

impl Engine {
    pub async fn status(&self, webhook: WebhookId) -> WebhookStatus {
        let Ok(loft) = self.loft_of(webhook) else { return WebhookStatus::default() };
        let (reply, status) = oneshot::channel();
        loft.do_send(loft::Status(webhook, reply));
        status.await.unwrap_or_default()
    }

    /// Puts a finished delivery back, or makes a waiting one due now.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn retry(&self, webhook: WebhookId, event: EventId) -> Result<(), OperateError> {
        let core = &self.inner.core;
        let loft = self.loft_of(webhook)?;
        if !core.serves(webhook) {
            // Its owner is told by the store.
            return match core.store.requeue(webhook, event, AttemptOrigin::Manual, core.clock.wall()).await? {
                Requeue::Queued(_) | Requeue::Unfinished(_) => Ok(()),
                Requeue::Unknown => Err(OperateError::UnknownDelivery),
            };
        }
        let (reply, hastened) = oneshot::channel();
        loft.do_send(loft::Hasten(webhook, event, reply));
        match hastened.await.unwrap_or(HastenReply::NotWaiting) {
            HastenReply::Hastened => return Ok(()),
            HastenReply::InFlight => return Err(OperateError::InFlight),
            HastenReply::NotWaiting => {}
        }
        core.settler.barrier().await;
        let now = core.clock.wall();
        match core.store.requeue(webhook, event, AttemptOrigin::Manual, now).await? {
            Requeue::Queued(entry) => self.deliver(webhook, vec![entry]),
            // A retry too far off to be in memory. Anything else is due already and waits for its turn.
            Requeue::Unfinished(entry) if entry.class == LaneClass::Retry && entry.due > now => {
                let hastened = LaneEntry { due: now, origin: AttemptOrigin::Manual, ..entry };
                let settle = Settle { entry, attempt: None, next: Next::Move(hastened), at: now };
                core.settler.settle(vec![settle]);
                self.deliver(webhook, vec![hastened])
            }
            Requeue::Unfinished(_) => Ok(()),
            Requeue::Unknown => Err(OperateError::UnknownDelivery),
        }
    }

    /// Puts back the finished deliveries of events accepted in `from..to` that have one of `statuses`; answers how many.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn replay(
        &self,
        webhook: WebhookId,
        from: Timestamp,
        to: Timestamp,
        statuses: Vec<DeliveryStatus>,
    ) -> Result<u64, OperateError> {
        let core = &self.inner.core;
        self.loft_of(webhook)?;
        core.settler.barrier().await;
        let (mut start, end) = (EventId::first_at(from), EventId::first_at(to));
        let mut replayed = 0;
        loop {
            let page = core.store.finished(webhook, start..end, statuses.clone(), REPLAY_STEP).await?;
            let Some(last) = page.last().copied() else { return Ok(replayed) };
            let full = page.len() == REPLAY_STEP;
            let now = core.clock.wall();
            let requeues = page.into_iter().map(|event| core.store.requeue(webhook, event, AttemptOrigin::Replay, now));
            let mut entries = Vec::new();
            for requeue in futures_util::future::join_all(requeues).await {
                if let Requeue::Queued(entry) = requeue? {
                    entries.push(entry);
                }
            }
            replayed += entries.len() as u64;
            self.deliver(webhook, entries)?;
            if !full {
                return Ok(replayed);
            }
            start = EventId::from_u128(last.as_u128() + 1);
        }
    }

    /// Sends a test event now, past the gate and the lane; nothing is stored.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn test(&self, webhook: WebhookId) -> Result<TestReport, OperateError> {
        let (reply, report) = oneshot::channel();
        self.loft_of(webhook)?.do_send(loft::Test(webhook, reply));
        report.await.unwrap_or(Err(OperateError::UnknownWebhook))
    }

    fn deliver(&self, webhook: WebhookId, entries: Vec<LaneEntry>) -> Result<(), OperateError> {
        // Where another node is the owner, the loft leaves them to it.
        let waiting = entries.into_iter().map(|entry| (webhook, Waiting { entry, carried: None }));
        self.loft_of(webhook)?.do_send(Deliver(waiting.collect()));
        Ok(())
    }

    fn loft_of(&self, webhook: WebhookId) -> Result<&actix::Addr<loft::LoftActor>, OperateError> {
        let config = self.inner.core.directory.webhook(webhook).ok_or(OperateError::UnknownWebhook)?;
        Ok(self.inner.lofts.of_owner(&config.owner))
    }
}
