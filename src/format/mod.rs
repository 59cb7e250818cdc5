//! From an event to the request a receiver gets. `data` is copied byte for byte, never parsed and written again.
//!
//! A body is `head ++ event name ++ what the sender is ++ data ++ tail`. Only `legacy` looks into `data`, because its
//! bodies consist of fields of it. What depends on the sender alone is written once per [`Sender`].

mod cloudevents;
mod codechat;
mod codechat_v1;
mod fields;
#[cfg(test)]
mod fixture;
mod headers;
mod inspect;
mod json;
mod legacy;
mod names;
mod sender;
mod signature;
mod standard;

pub use headers::{check_custom_header, static_headers, tell_alike};
pub use inspect::{Inspected, inspect};
pub use sender::Sender;
pub use signature::{Signer, id_header};

use crate::domain::{Event, EventKind, Format};
use bytes::Bytes;

/// The format has no body for this event (e.g. `legacy` knows five kinds only).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the format {} has no body for {kind}", .format.as_str())]
pub struct NoBody {
    pub format: Format,
    pub kind: EventKind,
}

/// The body of `event` in `format`: the same for all webhooks of that format.
///
/// `event.data` must be one JSON value, as ingest has checked: it is not looked at again.
///
/// # Errors
/// When the format has no body for the event: see [`has_body_for`].
pub fn render(format: Format, event: &Event, sender: &Sender) -> Result<Bytes, NoBody> {
    let body = match format {
        Format::Codechat => codechat::body(event, sender),
        Format::CodechatV1 => codechat_v1::body(event, sender),
        Format::Standard => standard::body(event),
        Format::Cloudevents => cloudevents::body(event, sender),
        Format::Legacy => legacy::body(event, sender).ok_or(NoBody { format, kind: event.kind })?,
    };
    Ok(Bytes::from(body))
}

/// Whether `format` has a body for `kind`: a delivery is not made where it has none.
#[must_use]
pub fn has_body(format: Format, kind: EventKind) -> bool {
    format != Format::Legacy || legacy::knows(kind)
}

/// Whether [`render`] gives a body for an event of `kind` with this `data`. Stricter than [`has_body`] for `legacy` only,
/// which has no word for a connection that is neither open nor close, or for a message that is pending or failed.
#[must_use]
pub fn has_body_for(format: Format, kind: EventKind, data: &[u8]) -> bool {
    format != Format::Legacy || legacy::has_body_for(kind, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fixture::{event, recorded_events, sender};
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeSet;

    const WITH_DATA: [Format; 4] = [Format::Codechat, Format::CodechatV1, Format::Standard, Format::Cloudevents];

    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }

    fn data_of(body: &[u8]) -> &str {
        serde_json::from_slice::<Body<'_>>(body).expect("a body is JSON").data.get()
    }

    #[test]
    fn every_recorded_event_passes_through_byte_for_byte() {
        let sender = sender();
        let mut seen = BTreeSet::new();
        for event in recorded_events() {
            seen.insert(event.kind);
            for format in WITH_DATA {
                let body = render(format, &event, &sender).expect("these formats know every kind");
                assert_eq!(data_of(&body).as_bytes(), event.data, "{format:?}");
            }
            match render(Format::Legacy, &event, &sender) {
                Ok(body) => drop(serde_json::from_slice::<serde_json::Value>(&body).expect("a body is JSON")),
                Err(error) => assert_eq!(error, NoBody { format: Format::Legacy, kind: event.kind }),
            }
        }
        assert_eq!(seen.len(), 18, "the recorded events cover the eighteen kinds");
    }

    #[test]
    fn spelling_that_a_parser_would_lose_survives() {
        for data in [
            r#"{"n":123456789012345678901234567890}"#,
            r#"{"n":1e2,"m":1.0,"z":-0.0,"h":1e400}"#,
            r#"{ "b" : 1 , "a" : 2, "b":3 }"#,
            "{\"line\":\"\u{2028}\\u2028\\/\\ud83d\u{1F600}\"}",
            "null",
            "[]",
            r#""text""#,
        ] {
            for kind in EventKind::ALL {
                for format in WITH_DATA {
                    let body = render(format, &event(kind, data), &sender()).expect("a body");
                    assert_eq!(data_of(&body), data, "{format:?} {kind}");
                }
            }
        }
    }

    #[test]
    fn names_with_quotes_and_control_characters_are_escaped() {
        let awkward = "Loja \"7\"\\ \n\u{7} ação 😀 \u{2028}";
        let mut changed = sender();
        let mut instance = (*changed.instance).clone();
        instance.name = awkward.into();
        changed = Sender::new(instance.into(), changed.business.clone());
        let at = |format, path: &str| {
            let kind = EventKind::ConnectionUpdate;
            let body = render(format, &event(kind, r#"{"state":"open"}"#), &changed).expect("a body");
            let value: serde_json::Value = serde_json::from_slice(&body).expect("a body is JSON");
            value.pointer(path).and_then(|name| name.as_str()).expect("the name is a string").to_owned()
        };
        assert_eq!(at(Format::Codechat, "/instance/name"), awkward);
        assert_eq!(at(Format::CodechatV1, "/instance/name"), awkward);
        assert_eq!(at(Format::Legacy, "/instanceName"), awkward);
        // CloudEvents bars control characters in attributes.
        assert_eq!(at(Format::Cloudevents, "/instancename"), "Loja \"7\"\\  ação 😀 \u{2028}");
    }

    #[test]
    fn only_legacy_lacks_bodies() {
        use EventKind::{ConnectionUpdate, MessagesUpdate, MessagesUpsert, SendMessage};
        for kind in EventKind::ALL {
            for format in WITH_DATA {
                assert!(has_body(format, kind) && has_body_for(format, kind, b"null"));
            }
        }
        let known: Vec<_> = EventKind::ALL.into_iter().filter(|kind| has_body(Format::Legacy, *kind)).collect();
        assert_eq!(known, [MessagesUpsert, MessagesUpdate, SendMessage, ConnectionUpdate]);
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<f64>().prop_filter_map("finite", |n| serde_json::to_string(&n).ok()),
            any::<String>().prop_filter_map("a string", |s| serde_json::to_string(&s).ok()),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            let member = (any::<String>(), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
                proptest::collection::vec(member, 0..6).prop_map(|members| {
                    let text = |(name, value)| format!("{} : {value}", serde_json::to_string(&name).unwrap());
                    format!("{{{}}}", members.into_iter().map(text).collect::<Vec<String>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_passes_through(data in any_json(), format in proptest::sample::select(&WITH_DATA[..])) {
            let body = render(format, &event(EventKind::MessagesUpsert, &data), &sender()).expect("a body");
            prop_assert_eq!(data_of(&body), data);
        }

        #[test]
        fn legacy_renders_exactly_when_it_says_so(data in any_json()) {
            for kind in EventKind::ALL {
                let rendered = render(Format::Legacy, &event(kind, &data), &sender());
                prop_assert_eq!(rendered.is_ok(), has_body_for(Format::Legacy, kind, data.as_bytes()));
            }
        }
    }
}
