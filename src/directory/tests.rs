use std::collections::BTreeMap;

use futures_util::poll;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    Connection, EventFlags, Filter, Format, InstanceState, Ordering, RetryPolicy, Secret, Secrets, WebhookOwner,
};
use crate::store::memory::MemoryStore;

fn business(n: u8) -> Business {
    Business {
        id: BusinessId::from_u128(u128::from(n)),
        name: format!("business {n}"),
        token: format!("token-{n}"),
        attributes: serde_json::Map::new(),
        created_at: Timestamp::from_millis(u64::from(n)),
        updated_at: Timestamp::from_millis(0),
    }
}

fn instance_id(n: u8) -> InstanceId {
    InstanceId::new(&format!("instance-{n}")).expect("a valid id")
}

fn instance(n: u8, of: u8) -> Instance {
    Instance {
        id: instance_id(n),
        business: BusinessId::from_u128(u128::from(of)),
        name: format!("name {n}"),
        state: InstanceState::Active,
        connection: Connection::Close,
        status_reason: 0,
        auth_id: String::new(),
        jwt: String::new(),
        auth_updated_at: Timestamp::from_millis(0),
        whatsapp: None,
        created_at: Timestamp::from_millis(u64::from(n)),
        updated_at: Timestamp::from_millis(0),
    }
}

fn webhook(n: u8, owner: WebhookOwner) -> Webhook {
    Webhook {
        id: WebhookId::from_u128(u128::from(n)),
        owner,
        name: format!("webhook {n}"),
        url: "https://example.com".into(),
        enabled: true,
        paused: false,
        disabled_reason: None,
        failing_since: None,
        events: EventFlags::ALL,
        events_id: String::new(),
        events_created_at: Timestamp::from_millis(0),
        events_updated_at: Timestamp::from_millis(0),
        headers: BTreeMap::new(),
        format: Format::Codechat,
        secrets: Secrets::new(Secret::random().expect("randomness")),
        rate_limit: None,
        concurrency: 1,
        ordering: Ordering::None,
        timeout_ms: 1_000,
        retry: RetryPolicy::default(),
        filter: Filter::default(),
        created_at: Timestamp::from_millis(u64::from(n)),
        updated_at: Timestamp::from_millis(0),
    }
}

fn put_webhook(n: u8, owner: WebhookOwner) -> DirectoryChange {
    DirectoryChange::PutWebhook(Box::new(webhook(n, owner)))
}

async fn empty() -> (Arc<MemoryStore>, Directory) {
    let store = Arc::new(MemoryStore::new());
    let directory = Directory::load(Arc::clone(&store) as Arc<dyn Store>).await.expect("an open store");
    (store, directory)
}

/// A business with one instance, two webhooks of it and one of the business.
async fn furnished() -> (Arc<MemoryStore>, Directory) {
    let (store, directory) = empty().await;
    let owner = WebhookOwner::Instance(instance_id(1));
    let changes = vec![
        DirectoryChange::PutBusiness(Box::new(business(1))),
        DirectoryChange::PutInstance(Box::new(instance(1, 1))),
        put_webhook(2, owner.clone()),
        put_webhook(1, owner),
        put_webhook(9, WebhookOwner::Business(business(1).id)),
    ];
    directory.apply(changes).await.expect("an open store");
    (store, directory)
}

fn ids(webhooks: &[Arc<Webhook>]) -> Vec<u128> {
    webhooks.iter().map(|webhook| webhook.id.as_u128()).collect()
}

#[tokio::test]
async fn a_route_holds_the_instances_webhooks_then_the_businesss() {
    let (_, directory) = furnished().await;
    let route = directory.route(&instance_id(1)).expect("a route");
    assert_eq!(ids(&route.webhooks), [1, 2, 9]);
    assert!(Arc::ptr_eq(&route, &directory.route(&instance_id(1)).expect("a route")), "cached");
    assert!(directory.route(&instance_id(2)).is_none());
}

#[tokio::test]
async fn a_route_follows_every_change_that_touches_it() {
    let (_, directory) = furnished().await;
    let route = || directory.route(&instance_id(1)).expect("a route");
    route();
    directory.apply(vec![DirectoryChange::DeleteWebhook(WebhookId::from_u128(1))]).await.expect("applied");
    assert_eq!(ids(&route().webhooks), [2, 9]);
    directory.apply(vec![DirectoryChange::DeleteWebhook(WebhookId::from_u128(9))]).await.expect("applied");
    assert_eq!(ids(&route().webhooks), [2]);
    let renamed = Business { name: "new".into(), ..business(1) };
    directory.apply(vec![DirectoryChange::PutBusiness(Box::new(renamed))]).await.expect("applied");
    assert_eq!(route().business.name, "new");
    directory.update_instance(&instance_id(1), |i| i.connection = Connection::Open).await.expect("applied");
    assert_eq!(route().instance.connection, Connection::Open);
}

#[tokio::test]
async fn subscribers_hear_of_a_deletion_from_the_leaves_up() {
    let (_, directory) = furnished().await;
    let mut changes = directory.subscribe();
    directory.apply(vec![DirectoryChange::DeleteBusiness(business(1).id)]).await.expect("applied");
    let heard: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    let gone = |n| Changed::WebhookDeleted(WebhookId::from_u128(n));
    assert_eq!(heard, [gone(1), gone(2), Changed::InstanceDeleted(instance_id(1)), gone(9)]);
    assert!(directory.all_webhooks().is_empty() && directory.route(&instance_id(1)).is_none());
}

#[tokio::test]
async fn a_refused_change_is_not_visible_and_not_told() {
    let (store, directory) = furnished().await;
    let mut changes = directory.subscribe();
    store.close().await.expect("closed");
    let result = directory.apply(vec![DirectoryChange::DeleteInstance(instance_id(1))]).await;
    assert!(matches!(result, Err(StoreError::Closed)));
    assert!(directory.instance(&instance_id(1)).is_some());
    assert!(changes.try_recv().is_err());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_change_half_done() {
    let (_, directory) = empty().await;
    let mut change = Box::pin(directory.apply(vec![DirectoryChange::PutBusiness(Box::new(business(1)))]));
    assert!(poll!(&mut change).is_pending(), "the commit is under way");
    drop(change);
    // The next change waits for the abandoned one.
    directory.apply(vec![DirectoryChange::PutInstance(Box::new(instance(1, 1)))]).await.expect("applied");
    assert!(directory.business(business(1).id).is_some());
    assert!(directory.route(&instance_id(1)).is_some());
}

#[tokio::test]
async fn updates_at_the_same_time_lose_nothing() {
    let (_, directory) = furnished().await;
    let id = WebhookId::from_u128(1);
    let updates = (0..100).map(|_| directory.update_webhook(id, |webhook| webhook.concurrency += 1));
    futures_util::future::join_all(updates).await;
    assert_eq!(directory.webhook(id).expect("there").concurrency, 101);
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_not_told() {
    let (_, directory) = furnished().await;
    let mut changes = directory.subscribe();
    let same = directory.update_webhook(WebhookId::from_u128(1), |webhook| webhook.enabled = true).await;
    assert!(same.expect("open").is_some() && changes.try_recv().is_err());
    assert!(directory.update_webhook(WebhookId::from_u128(7), |_| ()).await.expect("open").is_none());
}

#[tokio::test]
async fn an_old_token_and_an_old_name_are_found_no_more() {
    let (_, directory) = furnished().await;
    assert!(directory.business_by_token("token-1").is_some() && directory.business_by_token("token-2").is_none());
    let refreshed = Business { token: "fresh".into(), ..business(1) };
    let renamed = Instance { name: "other".into(), ..instance(1, 1) };
    let changes =
        vec![DirectoryChange::PutBusiness(Box::new(refreshed)), DirectoryChange::PutInstance(Box::new(renamed))];
    directory.apply(changes).await.expect("applied");
    assert!(directory.business_by_token("token-1").is_none() && directory.business_by_token("fresh").is_some());
    let id = business(1).id;
    assert!(directory.instance_by_name(id, "name 1").is_none() && directory.instance_by_name(id, "other").is_some());
}

#[tokio::test]
async fn a_webhook_whose_instance_is_gone_is_not_written() {
    let (store, directory) = furnished().await;
    let owner = WebhookOwner::Instance(instance_id(1));
    let late = vec![DirectoryChange::DeleteInstance(instance_id(1)), put_webhook(5, owner)];
    directory.apply(late).await.expect("applied");
    let stored = store.directory().await.expect("open").webhooks;
    assert_eq!(stored.iter().map(|webhook| webhook.id.as_u128()).collect::<Vec<_>>(), [9]);
}

fn any_change() -> impl Strategy<Value = DirectoryChange> {
    let webhook_of_instance = (1..5_u8, 1..4_u8).prop_map(|(n, of)| (n + 10 * of, instance_id(of)));
    prop_oneof![
        (1..3_u8).prop_map(|n| DirectoryChange::PutBusiness(Box::new(business(n)))),
        // An instance keeps its business: 1 and 2 are the first's, 3 the second's.
        (1..4_u8).prop_map(|n| DirectoryChange::PutInstance(Box::new(instance(n, 1 + n / 3)))),
        webhook_of_instance.prop_map(|(n, of)| put_webhook(n, WebhookOwner::Instance(of))),
        (1..3_u8).prop_map(|n| put_webhook(100 + n, WebhookOwner::Business(business(n).id))),
        (11..35_u8).prop_map(|n| DirectoryChange::DeleteWebhook(WebhookId::from_u128(u128::from(n)))),
        (1..4_u8).prop_map(|n| DirectoryChange::DeleteInstance(instance_id(n))),
        (1..3_u8).prop_map(|n| DirectoryChange::DeleteBusiness(business(n).id)),
    ]
}

fn seen(directory: &Directory) -> Vec<String> {
    let mut all: Vec<String> = directory.all_webhooks().iter().map(|webhook| webhook.id.to_string()).collect();
    all.sort();
    for n in 1..3 {
        let instances = directory.instances_of_business(business(n).id);
        let names = instances.iter().map(|i| (i.id.clone(), directory.instance_by_name(i.business, &i.name).is_some()));
        all.push(format!("{n} {:?}", names.collect::<Vec<_>>()));
    }
    for n in 1..4 {
        let route = directory.route(&instance_id(n));
        all.push(format!("{n} {:?}", route.map(|route| ids(&route.webhooks))));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_visible_is_what_a_restart_finds(batches in prop::collection::vec(prop::collection::vec(any_change(), 1..4), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (store, directory) = empty().await;
            for batch in batches {
                directory.apply(batch).await.expect("an open store");
                let stored = store.directory().await.expect("an open store");
                let count = (stored.instances.len(), stored.webhooks.len());
                let again = Directory::load(Arc::clone(&store) as Arc<dyn Store>).await.expect("an open store");
                prop_assert_eq!(seen(&directory), seen(&again));
                let visible = again.read(|r| (r.instances_of(business(1).id).count() + r.instances_of(business(2).id).count(), r.webhooks().count()));
                prop_assert_eq!(count, visible, "nothing in the store is without its owner");
            }
            Ok(())
        })?;
    }
}
