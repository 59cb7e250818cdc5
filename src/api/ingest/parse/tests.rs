//! What callers send, well and badly.

use proptest::prelude::*;

use super::*;

fn parse_as(media: Media, body: impl Into<Vec<u8>>) -> Result<Vec<NewEvent>, ParseError> {
    parse_events(&Bytes::from(body.into()), media, &IngestLimits::default())
}

fn parse(body: &str) -> Result<Vec<NewEvent>, ParseError> {
    parse_as(Media::Json, body)
}

fn faults(result: Result<Vec<NewEvent>, ParseError>) -> Vec<String> {
    match result {
        Err(ParseError::Invalid(sentences)) => sentences,
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn one_event_keeps_the_bytes_of_its_data() {
    let data = "{ \"n\" : 1.50e+00,\"dup\":1,\"dup\":2, \"s\":\"\\u00e9\" }";
    let body = format!(
        r#"{{"event":"messagesUpsert","data":{data},"id":"a\/b","occurredAt":"2024-04-14T11:11:05.660-03:00"}}"#
    );
    let events = parse(&body).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, EventKind::MessagesUpsert);
    assert_eq!(events[0].data, data.as_bytes());
    assert_eq!(events[0].client_id.as_deref(), Some("a/b"));
    assert_eq!(events[0].occurred_at, Timestamp::parse_rfc3339("2024-04-14T14:11:05.660Z"));
}

#[test]
fn data_shares_the_body_when_it_is_most_of_it_and_is_copied_when_it_would_pin_it() {
    let single = Bytes::from(format!(r#"{{"event":"new.jwt","data":"{}"}}"#, "x".repeat(400)));
    let events = parse_events(&single, Media::Json, &IngestLimits::default()).unwrap();
    assert!(single.as_ptr_range().contains(&events[0].data.as_ptr()));

    let small = r#"{"event":"new.jwt","data":1}"#;
    let batch = Bytes::from(format!("[{}]", vec![small; 100].join(",")));
    let events = parse_events(&batch, Media::Json, &IngestLimits::default()).unwrap();
    assert!(events.iter().all(|event| !batch.as_ptr_range().contains(&event.data.as_ptr())));
}

#[test]
fn data_may_be_any_json_even_null_but_not_missing() {
    for data in ["null", "0", "\"\"", "[]", "false"] {
        assert_eq!(parse(&format!(r#"{{"event":"new.jwt","data":{data}}}"#)).unwrap()[0].data, data.as_bytes());
    }
    assert_eq!(faults(parse(r#"{"event":"new.jwt"}"#)), ["data is required"]);
}

#[test]
fn everything_wrong_with_an_event_is_told_at_once() {
    let sentences = faults(parse(r#"{"event":"nope","id":7,"occurredAt":"yesterday","id":8}"#));
    for word in ["event \"nope\"", "data is required", "id must be a string", "occurredAt must be", "id must not stand"]
    {
        assert!(sentences.iter().any(|sentence| sentence.starts_with(word)), "{word}: {sentences:?}");
    }
}

#[test]
fn one_bad_entry_refuses_the_batch_and_is_named_by_index_and_line() {
    let good = r#"{"event":"new.jwt","data":1}"#;
    assert_eq!(faults(parse(&format!("[{good},{{\"event\":\"new.jwt\"}},7]")))[0], "entry 1: data is required");
    let lines = format!("{good}\r\n\r\n{good}\n{{\"data\":1}}\n{{\n");
    let sentences = faults(parse_as(Media::Ndjson, lines));
    assert_eq!(sentences[0], "entry 2 (line 4): event is required");
    assert!(sentences[1].starts_with("entry 3 (line 5): not JSON at column"), "{sentences:?}");
}

#[test]
fn broken_json_in_an_array_names_the_entry_it_breaks_in() {
    let good = r#"{"event":"new.jwt","data":1}"#;
    assert!(faults(parse(&format!("[{good},{good},{{\"event\":}}]")))[0].starts_with("entry 2: not JSON"));
    assert!(faults(parse(&format!("[{good}] x")))[0].contains("not JSON"));
    assert!(faults(parse(&format!("{good}{good}")))[0].starts_with("the body is not JSON"));
}

#[test]
fn twenty_bad_entries_are_listed_and_the_rest_counted() {
    let sentences = faults(parse(&format!("[{}]", vec!["1"; 35].join(","))));
    assert_eq!(sentences.len(), 21);
    assert_eq!(sentences[20], "and 15 more entries are wrong");
}

#[test]
fn a_batch_over_the_bound_is_too_many_whatever_its_entries_are() {
    let limits = IngestLimits { max_events: 3, ..IngestLimits::default() };
    let entry = r#"{"event":"new.jwt","data":1}"#;
    for (media, open, separator, close) in [(Media::Json, "[", ",", "]"), (Media::Ndjson, "", "\n", "")] {
        let body = |n: usize| Bytes::from(format!("{open}{}{close}", vec![entry; n].join(separator)));
        assert_eq!(parse_events(&body(3), media, &limits).unwrap().len(), 3);
        assert_eq!(parse_events(&body(4), media, &limits).unwrap_err(), ParseError::TooMany { max: 3 });
    }
}

#[test]
fn nothing_at_all_is_an_error() {
    assert!(faults(parse(" \n"))[0].contains("empty"));
    assert!(faults(parse("[]"))[0].contains("empty"));
    assert!(faults(parse_as(Media::Ndjson, "\n\n"))[0].contains("empty"));
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let body = b"{\"event\":\"new.jwt\",\"data\":\"\xff\"}".to_vec();
    assert_eq!(faults(parse_as(Media::Json, body)), ["the body is not UTF-8 at byte 27"]);
}

#[test]
fn a_bomb_of_depth_is_refused_wherever_it_hides() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let sentences = faults(parse(&format!(r#"{{"event":"new.jwt","data":{deep}}}"#)));
    assert_eq!(sentences, ["data must not nest deeper than 127 levels"]);
    assert!(faults(parse(&deep))[0].contains("not an array"));
    assert!(faults(parse(&"{\"data\":".repeat(200_000)))[0].contains("not JSON"));
}

#[test]
fn an_id_has_a_bound() {
    let with = |id: String| parse(&format!(r#"{{"event":"new.jwt","data":1,"id":"{id}"}}"#));
    assert!(with("x".repeat(256)).is_ok());
    assert_eq!(faults(with("x".repeat(257))), ["id must be 1 to 256 bytes long"]);
    assert_eq!(faults(with(String::new())), ["id must be 1 to 256 bytes long"]);
}

#[test]
fn content_types_are_told_apart() {
    assert_eq!(Media::parse("Application/JSON; charset=utf-8"), Some(Media::Json));
    assert_eq!(Media::parse("application/x-ndjson"), Some(Media::Ndjson));
    assert_eq!(Media::parse("text/plain"), None);
    assert_eq!(Media::parse(""), None);
}

#[test]
fn every_recorded_event_keeps_its_bytes_alone_in_lines_and_in_an_array() {
    let recorded = include_str!("../../../../tests/data/events.jsonl");
    let lines: Vec<&str> = recorded.lines().collect();
    let datas: Vec<&str> = lines
        .iter()
        .map(|line| {
            // The recording writes `data` last, so its bytes end one brace before the line does.
            let start = line.find("\"data\":").unwrap() + 7;
            &line[start..line.len() - 1]
        })
        .collect();
    assert_eq!(lines.len(), 4000);
    for (line, data) in lines.iter().zip(&datas) {
        assert_eq!(parse(line).unwrap()[0].data, data.trim().as_bytes());
    }
    let array = format!("[{}]", lines.join(","));
    for (media, body) in [(Media::Ndjson, recorded), (Media::Json, array.as_str())] {
        let events = parse_as(media, body).unwrap();
        assert_eq!(events.len(), datas.len());
        assert!(events.iter().zip(&datas).all(|(event, data)| event.data == data.trim().as_bytes()), "{media:?}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_as(Media::Json, body.clone());
        let _ = parse_as(Media::Ndjson, body);
    }

    #[test]
    fn text_that_looks_like_events_never_panics(body in r#"[\[\]{},:"\\ \n0-9a-e]{0,80}|\{("event"|"data"|"id"):["\[\]{},:0-9a-z]{0,40}"#) {
        let _ = parse_as(Media::Json, body.clone());
        let _ = parse_as(Media::Ndjson, body);
    }

    #[test]
    fn any_data_comes_through_as_it_was(datas in prop::collection::vec(any_json(), 1..8), id in "[^\u{0}]{1,40}", pretty: bool) {
        let write = |value: &serde_json::Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap();
        let datas: Vec<String> = datas.iter().map(write).collect();
        let id_json = serde_json::to_string(&id).unwrap();
        let entries: Vec<String> =
            datas.iter().map(|data| format!(r#"{{ "id":{id_json} ,"data" : {data} , "event":"messages.set"}}"#)).collect();
        let events = parse(&format!(" [{}]", entries.join(" , "))).unwrap();
        prop_assert_eq!(events.len(), datas.len());
        for (event, data) in events.iter().zip(&datas) {
            prop_assert_eq!(&event.data[..], data.as_bytes());
            prop_assert_eq!(event.client_id.as_deref(), Some(id.as_str()));
        }
    }
}
