//! The payload that Standard Webhooks 1.0.0 recommends: `{"type", "timestamp", "data"}`. The timestamp is when it
//! happened, or when we accepted it if the gateway did not say.

use super::json::push;
use super::names::names;
use crate::domain::Event;

pub(super) fn body(event: &Event) -> Vec<u8> {
    let at = event.occurred_at.unwrap_or(event.accepted_at).to_rfc3339();
    let mut out = Vec::with_capacity(96 + event.data.len());
    push(&mut out, &[r#"{"type":""#, names(event.kind).dotted, r#"","timestamp":""#, &at, r#"","data":"#]);
    out.extend_from_slice(&event.data);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, Timestamp};
    use crate::format::fixture::event;

    #[test]
    fn the_body_is_the_recommended_one() {
        let mut event = event(EventKind::GroupParticipantsUpdate, "[1]");
        let golden = r#"{"type":"group.participants.update","timestamp":"2024-04-14T14:11:05.660Z","data":[1]}"#;
        assert_eq!(std::str::from_utf8(&body(&event)), Ok(golden));

        event.occurred_at = Timestamp::parse_rfc3339("2024-04-14T14:11:04Z");
        let golden = r#"{"type":"group.participants.update","timestamp":"2024-04-14T14:11:04.000Z","data":[1]}"#;
        assert_eq!(std::str::from_utf8(&body(&event)), Ok(golden));
    }
}
