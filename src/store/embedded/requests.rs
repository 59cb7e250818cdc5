//! What the writer is asked for, and the commit that answers many such requests at once.

use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::recent::Recent;
use super::stage::Stage;
use super::tables::Tables;
use crate::domain::{AttemptOrigin, EventId, Timestamp, WebhookId};
use crate::store::moving::Record;
use crate::store::{Append, Appended, DirectoryChange, Requeue, Retention, RetentionStep, Settle, StoreError};

/// A commit takes no more than this, give or take one request.
const COMMIT_BYTES: usize = 8 * 1024 * 1024;

pub type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the writer.
pub enum Op {
    Append(Vec<Append>, Answer<Vec<Appended>>),
    Settle(Vec<Settle>, Answer<()>),
    Flush(Answer<()>),
    ChangeDirectory(Vec<DirectoryChange>, Answer<()>),
    PutSetting(&'static str, Vec<u8>, Answer<()>),
    PutSettingIfAbsent(&'static str, Vec<u8>, Answer<Vec<u8>>),
    Requeue { webhook: WebhookId, event: EventId, origin: AttemptOrigin, due: Timestamp, answer: Answer<Requeue> },
    CancelLane(WebhookId, usize, Answer<bool>),
    Retain(Timestamp, Retention, Answer<RetentionStep>),
    Restore(Vec<Record>, Answer<u64>),
    Check(Answer<()>),
    Close(Answer<()>),
}

impl Op {
    /// Reads what is committed, so everything before it must be.
    pub const fn reads_committed(&self) -> bool {
        matches!(self, Self::Requeue { .. } | Self::CancelLane(..) | Self::Retain(..) | Self::PutSettingIfAbsent(..))
    }

    pub fn refuse(self, error: StoreError) {
        match self {
            Self::Append(_, answer) => drop(answer.send(Err(error))),
            Self::Requeue { answer, .. } => drop(answer.send(Err(error))),
            Self::CancelLane(_, _, answer) => drop(answer.send(Err(error))),
            Self::PutSettingIfAbsent(_, _, answer) => drop(answer.send(Err(error))),
            Self::Retain(_, _, answer) => drop(answer.send(Err(error))),
            Self::Restore(_, answer) => drop(answer.send(Err(error))),
            Self::Settle(_, answer)
            | Self::Flush(answer)
            | Self::ChangeDirectory(_, answer)
            | Self::PutSetting(_, _, answer)
            | Self::Check(answer)
            | Self::Close(answer) => drop(answer.send(Err(error))),
        }
    }
}

/// Called with what became of the commit.
pub type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

fn reply<T: 'static>(answer: Answer<T>, value: T) -> Reply {
    // A caller that has gone does not need its answer.
    Box::new(move |committed| drop(answer.send(committed.map(|()| value))))
}

/// One commit and those who wait for it.
pub struct Commit<'t> {
    pub stage: Stage<'t>,
    pub replies: Vec<Reply>,
    pub needs_sync: bool,
    /// Settlements of earlier commits are to be durable too.
    pub flushes: bool,
    pub spoilt: Option<StoreError>,
    /// Holds a request that read what is committed: nothing may come after it.
    pub is_alone: bool,
}

impl<'t> Commit<'t> {
    pub fn new(tables: &'t Tables, recent: &'t RwLock<Recent>) -> Self {
        Self {
            stage: Stage::new(tables, recent),
            replies: Vec::new(),
            needs_sync: false,
            flushes: false,
            spoilt: None,
            is_alone: false,
        }
    }

    pub fn has_room_for(&self, op: &Op) -> bool {
        let is_full = self.is_alone || self.spoilt.is_some() || self.stage.staged_bytes() >= COMMIT_BYTES;
        !is_full && (self.stage.is_empty() || !op.reads_committed())
    }

    pub fn take<T: 'static>(&mut self, staged: Result<T, StoreError>, answer: Answer<T>) {
        match staged {
            Ok(value) => self.replies.push(reply(answer, value)),
            Err(error) => {
                self.spoilt.get_or_insert_with(|| error.clone());
                drop(answer.send(Err(error)));
            }
        }
    }
}
