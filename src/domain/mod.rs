//! The nouns of the field, as plain data: no I/O, no clock, no runtime.
//!
//! A **business** owns **instances** (WhatsApp numbers). An instance, or a business as a whole, has **webhooks**.
//! Something that happens on an instance is an **event**; one event owed to one webhook is a **delivery**;
//! one HTTP request of a delivery is an **attempt**.

pub mod attempt;
pub mod business;
pub mod delivery;
pub mod event;
pub mod ids;
pub mod instance;
pub mod kind;
pub mod message;
pub mod secret;
pub mod shard;
pub mod time;
pub mod webhook;

pub use attempt::{Attempt, AttemptOrigin, Failure, FailureCode, Outcome, Phases, WaitReason};
pub use business::Business;
pub use delivery::{DeadReason, Delivery, DeliveryStatus, LaneClass, LaneEntry, WebhookIdBits};
pub use event::{Chat, Effects, Event, NewEvent, stable_key};
pub use ids::{BusinessId, EventId, EventIds, InstanceId, NodeId, WebhookId};
pub use instance::{Connection, Instance, InstanceState, WhatsApp};
pub use kind::{EventFlags, EventKind};
pub use message::{MessageState, MessageStatus};
pub use secret::{Secret, Secrets};
pub use shard::ShardId;
pub use time::Timestamp;
pub use webhook::{DisabledReason, Filter, Format, HeldBack, Ordering, RateLimit, RetryPolicy, Webhook, WebhookOwner};
