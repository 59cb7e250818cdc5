//! Bodies come ahead of their append's script. Whatever happens to either, no entry is without its body, and no body stays for good
//! without anybody who removes it.

use futures_util::TryStreamExt as _;

use super::batches::sums_of;
use super::*;
use crate::domain::{EventId, LaneClass, LaneEntry};
use crate::store::StoreError;
use crate::store::redis::staged::Staged;

fn home() -> ShardId {
    ShardId::of_instance(&fixtures::instance())
}

/// An append of one event, with an entry in its shard.
fn one(n: u128) -> Append {
    let id = event_id(1_000, n);
    append(event(id), &[entry(WebhookId::from_u128((7 << 64) | home().index() as u128), id)])
}

fn staged(append: &Append) -> Staged {
    let mut staged = Staged::default();
    staged.event(home(), append).unwrap();
    staged
}

async fn send_bodies(store: &RedisStore, append: &Append) {
    for command in staged(append).ahead(&store.shared, home()) {
        store.shared.link.run(&command).await.unwrap();
    }
}

async fn send_script(store: &RedisStore, append: &Append) -> Result<redis::Value, StoreError> {
    let call = staged(append).call(&store.shared, home()).unwrap();
    store.shared.link.call(&store.shared.scripts.append, &call).await
}

async fn limit(house: &Tenancy, memory: &str) {
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg(memory);
    house.0.ask::<()>(&limit).await;
}

async fn keys(house: &Tenancy) -> Vec<String> {
    let mut keys: Vec<String> = house.0.ask(redis::cmd("KEYS").arg("pombo:{[0-9]*")).await;
    keys.sort();
    keys
}

async fn is_stored(store: &RedisStore, id: EventId) -> bool {
    store.events(vec![id]).await.unwrap()[0].is_some()
}

#[tokio::test]
async fn entries_do_not_come_without_their_bodies() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let refused = send_script(&store, &one(1)).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("did not come")), "{refused:?}");
    assert_eq!(keys(&house).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_refused_append_takes_its_bodies_with_it() {
    let house = Tenancy::new();
    let store = house.enter().await;
    // As between the two, when memory runs short just then.
    send_bodies(&store, &one(1)).await;
    limit(&house, "1mb").await;
    assert!(matches!(send_script(&store, &one(1)).await, Err(StoreError::Full(_))));
    assert_eq!(keys(&house).await, Vec::<String>::new());
    limit(&house, "0").await;
    assert_eq!(store.append(vec![one(1)]).await.unwrap(), [Appended::New]);
}

#[tokio::test]
async fn an_append_that_came_already_keeps_its_bodies_when_it_is_refused_the_second_time() {
    let house = Tenancy::new();
    let store = house.enter().await;
    store.append(vec![one(1)]).await.unwrap();
    limit(&house, "1mb").await;
    assert!(matches!(send_script(&store, &one(1)).await, Err(StoreError::Full(_))));
    assert!(is_stored(&store, one(1).event.id).await);
}

#[tokio::test]
async fn the_body_of_an_event_that_was_known_does_not_stay() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let named = |n| {
        let mut append = one(n);
        Arc::make_mut(&mut append.event).client_id = Some("order-7".into());
        append
    };
    store.append(vec![named(1)]).await.unwrap();
    let before = sums_of(&store, home()).await;
    let first = Appended::Duplicate(named(1).event.id);
    assert_eq!(store.append(vec![named(2), named(3)]).await.unwrap(), [first, first]);
    assert!(!is_stored(&store, named(2).event.id).await && !is_stored(&store, named(3).event.id).await);
    assert_eq!(sums_of(&store, home()).await, before);
}

/// The same client id as that of `one(1)`, 20 seconds later: its body was alone in its bucket.
#[tokio::test]
async fn a_bucket_of_which_nothing_was_kept_is_passed_by() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let (mut first, mut repeated) = (one(1), append(event(event_id(20_000, 2)), &[]));
    for append in [&mut first, &mut repeated] {
        Arc::make_mut(&mut append.event).client_id = Some("order-7".into());
    }
    let id = first.event.id;
    assert_eq!(store.append(vec![first]).await.unwrap(), [Appended::New]);
    assert_eq!(store.append(vec![repeated]).await.unwrap(), [Appended::Duplicate(id)]);
    let told: Vec<_> = store.records().try_concat().await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(house.enter().await.recovery().last_event, Some(id));
    store.settle(vec![settle(one(1).entries[0], Next::Delivered)]).await.unwrap();
    fixtures::retained(&*store, at(8 * 24 * fixtures::HOUR), fixtures::a_week()).await;
    let left = keys(&house).await;
    assert!(!left.iter().any(|key| key.ends_with(":b") || key.contains(":e:")), "{left:?}");
}

#[tokio::test]
async fn an_event_that_is_known_as_itself_keeps_its_body() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let mut named = one(1);
    Arc::make_mut(&mut named.event).client_id = Some("order-7".into());
    // As a client of a cluster sends it again when the connection broke before the answer.
    store.append(vec![named.clone()]).await.unwrap();
    let before = sums_of(&store, home()).await;
    assert_eq!(store.append(vec![named.clone()]).await.unwrap(), [Appended::Duplicate(named.event.id)]);
    assert!(is_stored(&store, named.event.id).await);
    assert_eq!(sums_of(&store, home()).await, before);
}

#[tokio::test]
async fn an_append_that_was_given_up_takes_nothing_from_the_one_that_came_instead() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let waiting = appended_one(&store).await;
    let retry = LaneEntry { class: LaneClass::Retry, attempts: 1, ..waiting };
    store.settle(vec![settle(waiting, Next::Move(retry))]).await.unwrap();
    // What was sent before comes only now: the process has announced since that it gave it up.
    let late = staged(&one(1)).call(&store.shared, home()).unwrap();
    let mut announce = redis::cmd("SET");
    let nonce = store.shared.keys.of(home(), &crate::store::redis::keys::named("g:", &store.shared.nonce));
    announce.arg(nonce).arg(u64::MAX >> 12);
    store.shared.link.run(&announce).await.unwrap();
    let refused = store.shared.link.call(&store.shared.scripts.append, &late).await;
    assert!(refused.is_err());
    assert!(is_stored(&store, one(1).event.id).await, "its retry would have nothing to deliver");
}

async fn appended_one(store: &RedisStore) -> LaneEntry {
    assert_eq!(store.append(vec![one(1)]).await.unwrap(), [Appended::New]);
    one(1).entries[0]
}

#[tokio::test]
async fn retention_removes_a_body_whose_append_was_cut_off_and_none_that_is_on_its_way() {
    let house = Tenancy::new();
    let store = house.enter().await;
    send_bodies(&store, &one(1)).await;
    assert!(is_stored(&store, one(1).event.id).await);
    assert!(store.timeline(one(1).entries[0].webhook_id(), one(1).event.id).await.unwrap().is_none());
    let no_room = Retention { history_max_bytes: 0, ..fixtures::a_week() };
    store.append(vec![append(event(event_id(1_000, 2)), &[])]).await.unwrap();
    assert_eq!(fixtures::retained(&*store, at(3_000), no_room).await.events, 1, "owed to nobody");
    assert!(is_stored(&store, one(1).event.id).await);
    let after = at(8 * 24 * fixtures::HOUR);
    assert_eq!(fixtures::retained(&*store, after, fixtures::a_week()).await.events, 1);
    assert_eq!(sums_of(&store, home()).await, (0, 0), "it was never counted");
    let left = keys(&house).await;
    assert!(left.iter().all(|key| key.ends_with(":s")), "{left:?}");
}
