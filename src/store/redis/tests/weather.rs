//! Redis goes away, forgets its scripts, is full, or is not what it should be.

use super::*;
use crate::domain::LaneClass;
use crate::store::StoreError;

#[tokio::test]
async fn what_was_accepted_survives_a_crash_of_redis_and_the_store_finds_back_by_itself() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = RedisStore::open(RedisConfig::new(server.url())).await.unwrap();
    assert_eq!(store.durability(), Durability::AofAlways);
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    server.kill();
    for _ in 0..3 {
        let began = Instant::now();
        let refused = store.append(vec![append(event(event_id(0, 2)), &[])]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(4));
    }
    server.restart();
    // It may be reading its file still.
    until("the store does not find back", async || store.check().await.is_ok()).await;
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waiting]);
    store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), 0);
}

#[tokio::test]
async fn a_redis_that_hangs_is_away_after_the_time_out() {
    let server = Server::start(&[]);
    let config = RedisConfig { timeout: Duration::from_millis(200), ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(config).await.unwrap();
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(800);
    server.ask::<()>(&pause).await;
    let began = Instant::now();
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert!(began.elapsed() < Duration::from_millis(700));
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.check().await.is_err() {
        assert!(Instant::now() < deadline, "it does not find back");
    }
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let house = Tenancy::new();
    let store = house.enter().await;
    for n in 0..3 {
        let waiting = appended(&*store, webhook(1), event_id(n, 1)).await;
        let mut flush = redis::cmd("SCRIPT");
        flush.arg("FLUSH");
        house.0.ask::<()>(&flush).await;
        store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
        house.0.ask::<()>(&flush).await;
    }
    assert_eq!(store.stats().unfinished, 0);
}

#[tokio::test]
async fn a_full_redis_takes_no_events_and_goes_on_settling() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let waiting = appended(&*store, webhook(1), event_id(0, 1)).await;
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg("1mb");
    house.0.ask::<()>(&limit).await;
    let id = event_id(0, 2);
    let mut repeated = event(id);
    repeated.client_id = Some("again".into());
    let refused = || store.append(vec![append(repeated.clone(), &[entry(webhook(1), id)])]);
    assert!(matches!(refused().await, Err(StoreError::Full(_))));
    assert!(matches!(store.check().await, Err(StoreError::Full(_))));
    store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
    assert_eq!(store.count_lane(webhook(1)).await.unwrap().unfinished(), 0);
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg(0);
    house.0.ask::<()>(&limit).await;
    assert_eq!(refused().await.unwrap(), [Appended::New], "the refused call has left nothing behind");
}

#[tokio::test]
async fn an_operator_is_told_what_is_unsafe() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let store = RedisStore::open(RedisConfig::new(server.url())).await.unwrap();
    assert_eq!(store.durability(), Durability::RedisNone);
    let warnings = store.persistence().warnings.join("\n");
    assert!(warnings.contains("appendonly") && warnings.contains("noeviction"), "{warnings}");
    let safe = Server::start(&["--appendonly", "yes"]);
    let store = RedisStore::open(RedisConfig::new(safe.url())).await.unwrap();
    assert_eq!((store.durability(), store.persistence().warnings.len()), (Durability::AofEverysec, 0));
    let told = store.persistence().redis.unwrap();
    assert!(told.version.starts_with(|first: char| first.is_ascii_digit()), "{told:?}");
    let settings = [told.appendonly, told.appendfsync, told.maxmemory_policy].map(Option::unwrap);
    assert_eq!(settings, ["yes", "everysec", "noeviction"]);
}

#[tokio::test]
async fn data_of_another_layout_is_refused() {
    let house = Tenancy::new();
    drop(house.enter().await);
    let mut other = redis::cmd("HSET");
    other.arg("pombo:{directory}:meta").arg("shards").arg(128);
    house.0.ask::<()>(&other).await;
    let refused = RedisStore::open(RedisConfig::new(house.0.url())).await;
    assert!(matches!(refused, Err(StoreError::NewerFormat(_))), "{refused:?}");
}

#[tokio::test]
async fn an_append_without_its_replicas_is_not_confirmed() {
    let server = Server::start(&[]);
    let timeout = Duration::from_millis(400);
    let config = RedisConfig { wait_replicas: 1, timeout, ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(config).await.unwrap();
    let refused = store.append(vec![append(event(event_id(0, 1)), &[])]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("replicas")), "{refused:?}");
}

async fn set(server: &Server, name: &str, value: &str) {
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg(name).arg(value);
    server.ask::<()>(&set).await;
}

#[tokio::test]
async fn events_are_refused_while_redis_keeps_less_than_is_required_and_the_change_is_seen() {
    let server = Server::start(&["--appendonly", "yes"]);
    let (least, look_every) = (Durability::AofEverysec, Duration::from_millis(20));
    let config = RedisConfig { least, look_every, ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(config).await.unwrap();
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    set(&server, "appendonly", "no").await;
    until("the change is not seen", async || store.durability() == Durability::RedisNone).await;
    let told = store.persistence();
    assert_eq!(told.redis.unwrap().appendonly.as_deref(), Some("no"));
    assert!(told.warnings.iter().any(|warning| warning.contains("events are refused")), "{:?}", told.warnings);
    let refused = store.append(vec![append(event(event_id(0, 2)), &[])]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("redis-none")), "{refused:?}");
    assert!(store.check().await.is_err());
    store.settle(vec![settle(waiting, Next::Delivered)]).await.unwrap();
    set(&server, "appendonly", "yes").await;
    set(&server, "maxmemory-policy", "allkeys-lru").await;
    let is_seen = async || store.persistence().warnings.iter().any(|warning| warning.contains("allkeys-lru"));
    until("the second change is not seen", is_seen).await;
    assert_eq!(store.durability(), Durability::AofEverysec);
    appended(&store, webhook(1), event_id(0, 3)).await;
}

#[tokio::test]
async fn a_redis_without_waitaof_says_so() {
    let server = Server::start(&["--appendonly", "yes"]);
    let store = RedisStore::open(RedisConfig { wait_aof: true, ..RedisConfig::new(server.url()) }).await.unwrap();
    let version = store.persistence().redis.unwrap().version;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    let has_it = (numbers.next(), numbers.next()) >= (Some(7), Some(2));
    let answer = store.can_confirm().await.unwrap();
    assert_eq!(answer.is_ok(), has_it, "{version}: {answer:?}");
    let appended = store.append(vec![append(event(event_id(0, 1)), &[])]).await;
    assert_eq!(appended.is_ok(), has_it, "{appended:?}");
    assert!(RedisStore::open(RedisConfig::new(server.url())).await.unwrap().can_confirm().await.unwrap().is_ok());
}
