//! Exports read back, and those that must not be.

use bytes::Bytes;

use super::*;
use crate::store::contract::directory::{a_business, a_webhook};
use crate::store::contract::fixtures::{append, entry, event, event_id, webhook};
use crate::store::contract::moving::{fill, is_filled};
use crate::store::memory::MemoryStore;
use crate::store::moving::{JWT_KEY_SETTING, Record, UNFINISHED_MOVE_SETTING};
use crate::store::{DirectoryChange, Store as _};

/// A store with something of everything, and several pages of events.
async fn source() -> MemoryStore {
    let store = MemoryStore::new();
    fill(&store).await;
    let (business, hook) = (Box::new(a_business()), Box::new(a_webhook()));
    store
        .change_directory(vec![DirectoryChange::PutBusiness(business), DirectoryChange::PutWebhook(hook)])
        .await
        .unwrap();
    store.put_setting(JWT_KEY_SETTING, vec![0xff, 1, 2]).await.unwrap();
    let more = (0..600).map(|number| {
        let id = event_id(100, number);
        let mut event = event(id);
        event.data = Bytes::from_static("{\n \"tên\":  1.0,\t\"\\u00e9\": \"\u{1F426}\"}".as_bytes());
        append(event, &[entry(webhook(4), id)])
    });
    store.append(more.collect()).await.unwrap();
    store
}

async fn exported(store: &MemoryStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(store, &mut bytes, &Export { from: "here".into(), force: false }).await.unwrap();
    bytes
}

async fn all(store: &MemoryStore) -> Vec<Record> {
    use futures_util::TryStreamExt as _;
    store.records().try_concat().await.unwrap()
}

const PLAIN: Import = Import { resume: false, force: false };
const RESUME: Import = Import { resume: true, force: false };

#[tokio::test]
async fn an_export_fills_an_empty_store_with_the_same() {
    let (from, to) = (source().await, MemoryStore::new());
    let bytes = exported(&from).await;
    let totals = verify(&bytes[..]).unwrap();
    assert_eq!((totals.events, totals.waiting, totals.dead, totals.finished), (603, 603, 1, 1));
    assert_eq!(
        (totals.businesses, totals.instances, totals.webhooks, totals.settings, totals.messages),
        (1, 1, 1, 1, 1)
    );
    assert_eq!(import(&to, &bytes[..], PLAIN).await.unwrap(), (totals, 603));
    assert_eq!(all(&to).await, all(&from).await);
    let (kept, given) = (to.directory().await.unwrap(), from.directory().await.unwrap());
    assert_eq!((kept.businesses, kept.instances, kept.webhooks), (given.businesses, given.instances, given.webhooks));
    assert_eq!(to.setting(JWT_KEY_SETTING).await.unwrap(), Some(vec![0xff, 1, 2]));
    assert_eq!(to.setting(UNFINISHED_MOVE_SETTING).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn a_cut_export_is_refused_and_its_import_goes_on_with_the_whole() {
    let from = source().await;
    let bytes = exported(&from).await;
    let text = std::str::from_utf8(&bytes).unwrap();
    let seals: Vec<_> = text.match_indices("{\"seal\"").map(|(at, _)| at).collect();
    assert!(seals.len() > 5, "several pages");
    // Between two pages, within a line, before the last seal.
    let between = seals[3] + text[seals[3]..].find('\n').unwrap() + 1;
    for cut in [between, between + 40, *seals.last().unwrap()] {
        assert!(matches!(verify(&bytes[..cut]), Err(MigrateError::Cut { .. })), "cut at {cut}");
        let to = MemoryStore::new();
        assert!(matches!(import(&to, &bytes[..cut], PLAIN).await, Err(MigrateError::Cut { .. })));
        assert!(matches!(import(&to, &bytes[..], PLAIN).await, Err(MigrateError::Unfinished)));
        assert!(matches!(export(&to, Vec::new(), &Export::default()).await, Err(MigrateError::Unfinished)));
        let (totals, taken) = import(&to, &bytes[..], RESUME).await.unwrap();
        assert!(taken < totals.events);
        assert_eq!(all(&to).await, all(&from).await);
    }
}

#[tokio::test]
async fn a_damaged_export_is_refused_at_the_page_that_is_damaged() {
    let bytes = exported(&source().await).await;
    let at = bytes.len() / 2;
    let mut damaged = bytes.clone();
    damaged[at] = if damaged[at] == b'1' { b'2' } else { b'1' };
    assert!(matches!(verify(&damaged[..]), Err(MigrateError::Damaged { .. })));
    let to = MemoryStore::new();
    assert!(matches!(import(&to, &damaged[..], PLAIN).await, Err(MigrateError::Damaged { .. })));
    let taken = all(&to).await;
    assert!(!taken.is_empty() && taken.iter().all(|record| all_of(&bytes).contains(record)), "only what was written");
    assert!(matches!(import(&to, &bytes[..], RESUME).await, Ok((_, 1..603))));
    let twice = [&bytes[..], &bytes[..]].concat();
    assert!(matches!(verify(&twice[..]), Err(MigrateError::Damaged { .. } | MigrateError::Trailing { .. })));
}

fn all_of(bytes: &[u8]) -> Vec<Record> {
    futures_util::FutureExt::now_or_never(async {
        let store = MemoryStore::new();
        import(&store, bytes, PLAIN).await.unwrap();
        all(&store).await
    })
    .expect("memory waits for nothing")
}

#[tokio::test]
async fn a_newer_format_and_what_is_no_export_leave_the_store_alone() {
    let to = MemoryStore::new();
    let newer = b"{\"pombo\":{\"version\":2,\"all\":\"is new\"}}\nwhatever";
    assert!(matches!(import(&to, &newer[..], PLAIN).await, Err(MigrateError::NewerVersion(2))));
    for other in [&b""[..], b"{\"event\":{}}\n", b"PK\x03\x04"] {
        assert!(matches!(import(&to, other, PLAIN).await, Err(MigrateError::NotAnExport(_))));
    }
    assert_eq!(to.setting(UNFINISHED_MOVE_SETTING).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_is_not_empty_is_left_alone_unless_told() {
    let bytes = exported(&source().await).await;
    let with_business = MemoryStore::new();
    let business = DirectoryChange::PutBusiness(Box::new(a_business()));
    with_business.change_directory(vec![business]).await.unwrap();
    let with_event = MemoryStore::new();
    with_event.append(vec![append(event(event_id(9_000, 0)), &[])]).await.unwrap();
    for to in [with_business, with_event] {
        assert!(matches!(import(&to, &bytes[..], PLAIN).await, Err(MigrateError::NotEmpty(_))));
        assert!(matches!(import(&to, &bytes[..], RESUME).await, Err(MigrateError::NotEmpty(_))));
        assert!(import(&to, &bytes[..], Import { resume: false, force: true }).await.is_ok());
    }
    let started_once = MemoryStore::new();
    started_once.put_setting(JWT_KEY_SETTING, vec![9]).await.unwrap();
    assert!(import(&started_once, &bytes[..], PLAIN).await.is_ok(), "a first start leaves settings");
}

#[tokio::test]
async fn what_is_imported_is_as_it_was() {
    let from = MemoryStore::new();
    let entries = fill(&from).await;
    let to = MemoryStore::new();
    import(&to, &exported(&from).await[..], PLAIN).await.unwrap();
    is_filled(&to, entries).await;
}
