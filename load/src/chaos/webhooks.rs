//! The webhooks of each instance: one of a sort, so that each promise has its witness.

use serde_json::{Map, Value, json};

/// In this order at every instance: webhook `k` of instance `i` is `i * SORTS.len() + k`.
pub const SORTS: [Sort; 5] = [Sort::Plain, Sort::Slow, Sort::Ordered, Sort::Failing, Sort::Limited];
pub const PERIOD_MS: u64 = 2_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Answers at once.
    Plain,
    /// Answers after a while: something is always in flight.
    Slow,
    /// `ordering: chat`.
    Ordered,
    /// `ordering: chat`, and some requests fail: the order has to survive retries.
    Failing,
    /// `rateLimit`.
    Limited,
}

impl Sort {
    pub const fn of(webhook: usize) -> Self {
        SORTS[webhook % SORTS.len()]
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Slow => "slow",
            Self::Ordered => "ordered",
            Self::Failing => "ordered, failing",
            Self::Limited => "rate-limited",
        }
    }

    pub const fn is_ordered(self) -> bool {
        matches!(self, Self::Ordered | Self::Failing)
    }

    /// Whether nothing but Pombo delays its deliveries.
    pub const fn is_prompt(self) -> bool {
        matches!(self, Self::Plain | Self::Slow | Self::Ordered)
    }

    pub const fn delay_ms(self) -> u64 {
        match self {
            Self::Plain | Self::Limited => 0,
            Self::Slow => 25,
            Self::Ordered | Self::Failing => 3,
        }
    }

    /// Share of the requests that are answered 503.
    pub const fn fails(self) -> f64 {
        if matches!(self, Self::Failing) { 0.03 } else { 0.0 }
    }

    /// The API's fields beside name and address. A limited webhook may have `limit` starts in each period.
    pub fn fields(self, limit: u64) -> Map<String, Value> {
        let fields = match self {
            Self::Plain | Self::Slow => json!({}),
            Self::Ordered => json!({ "ordering": "chat" }),
            Self::Failing => json!({ "ordering": "chat", "retry": { "scheduleSeconds": vec![1; 12] } }),
            Self::Limited => json!({ "rateLimit": { "limit": limit, "periodMs": PERIOD_MS } }),
        };
        let Value::Object(fields) = fields else { unreachable!("each of them is an object") };
        fields
    }
}
