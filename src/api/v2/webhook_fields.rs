//! The single fields of a webhook's body.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::validate::{Fields, Given, text};
use crate::domain::{EventKind, RateLimit, Secret, Timestamp, Webhook};
use crate::format::check_custom_header;

const MAX_URL_CHARS: usize = 2_048;
const MAX_HEADERS: usize = 64;
const MAX_RATE: u64 = 100_000;
/// The rule of [`url_text`].
pub const URL_RULE: &str = "must be a text of 1 to 2048 characters: an https:// URL";

/// The flags of a `WebhookEvents` that were given, `statusInstance` read as `stateInstance`.
pub fn read_flags(fields: &mut Fields<'_>) -> Vec<(EventKind, bool)> {
    let alias = fields.boolean("statusInstance").map(|wanted| (EventKind::StateInstance, wanted));
    let known = EventKind::ALL.into_iter().filter_map(|kind| Some((kind, fields.boolean(kind.flag())?)));
    alias.into_iter().chain(known).collect()
}

/// Sets the given flags.
pub fn set_flags(webhook: &mut Webhook, flags: &[(EventKind, bool)], now: Timestamp) {
    let before = webhook.events;
    for (kind, wanted) in flags {
        webhook.events.set(*kind, *wanted);
    }
    if webhook.events != before {
        webhook.events_updated_at = now;
    }
}

/// The field `secret`.
pub fn read_secret(fields: &mut Fields<'_>) -> Option<Secret> {
    fields.optional("secret", "must be whsec_ followed by base64 of 24 to 64 bytes", |value| {
        Secret::parse(value.as_str()?).ok()
    })
}

/// The text of a URL, not yet parsed.
pub fn url_text(value: Value) -> Option<String> {
    text(value, MAX_URL_CHARS)
}

/// The field `headers`: each name and value checked by the rules of the wire.
pub fn read_headers(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let names = fields.names();
    if names.len() > MAX_HEADERS {
        fields.problem("", format_args!("must hold at most {MAX_HEADERS} headers"));
        return BTreeMap::new();
    }
    let (mut headers, mut seen) = (BTreeMap::new(), Vec::with_capacity(names.len()));
    for name in names {
        // Told under its escaped name: what breaks a line must not break one in the answer or a log either.
        let shown: String = name.escape_debug().take(64).collect();
        let rule = "must be a text of 1 to 4096 characters";
        let Given::Value(value) = fields.raw(&name) else {
            fields.problem(&shown, rule);
            continue;
        };
        let Some(value) = text(value, 4_096) else {
            fields.problem(&shown, rule);
            continue;
        };
        match check_custom_header(&name, &value) {
            Ok((parsed, _)) if seen.contains(&parsed) => {
                fields.problem(&shown, "is given twice: names differ in case only");
            }
            Ok((parsed, _)) => {
                seen.push(parsed);
                headers.insert(name, value);
            }
            // It begins with the field's full name.
            Err(problem) => fields.report(problem),
        }
    }
    headers
}

/// The field `rateLimit`; `periodMs` is a second and `burst` is `limit` when left out.
pub fn read_rate_limit(fields: &mut Fields<'_>) -> RateLimit {
    let limit = fields.required_integer("limit", 1..=MAX_RATE);
    let period_ms = fields.integer("periodMs", 100..=3_600_000).value().unwrap_or(1_000);
    let burst = fields.integer("burst", 1..=limit.unwrap_or(MAX_RATE)).value().or(limit);
    // What is missing has been reported: the value is dropped then.
    RateLimit { limit: limit.unwrap_or(1) as u32, period_ms, burst: burst.unwrap_or(1) as u32 }
}
