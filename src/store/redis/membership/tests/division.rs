//! Who gets what when nodes come and go.

use super::*;

#[tokio::test]
async fn a_node_that_joins_or_leaves_moves_only_its_own_shards() {
    let server = Server::start(&[]);
    let mut a = Node::join(&server, "a").await;
    divided(&[&a]).await;
    let alone = a.tokens().await;
    let b = Node::join(&server, "b").await;
    divided(&[&a, &b]).await;
    let both = a.tokens().await;
    for shard in ShardId::all() {
        let (before, after) = (alone[&shard.index()], both[&shard.index()]);
        assert_eq!(before < after, b.owned().contains(&shard), "tokens rise with a new owner, only then");
    }
    let c = Node::join(&server, "c").await;
    divided(&[&a, &b, &c]).await;
    let (kept, went) = (a.owned(), b.owned());
    b.member.leave(Duration::from_millis(300)).await;
    assert_eq!(b.owned(), []);
    divided(&[&a, &c]).await;
    assert!(kept.iter().all(|shard| a.owned().contains(shard)));
    let three = a.tokens().await;
    assert!(went.iter().all(|shard| three[&shard.index()] >= both[&shard.index()]));
    let view = a.member.view().await.unwrap();
    let names: Vec<_> = view.nodes.iter().map(|node| (&*node.name, node.shards)).collect();
    assert_eq!(names, [("a", a.owned().len()), ("c", c.owned().len())]);
    assert!(view.shards.iter().all(|shard| shard.lease_until > Some(view.now)));
    assert!(serde_json::to_string(&view).unwrap().contains("\"leaseUntil\""));
    a.told(|event| matches!(event, ClusterEvent::Lost(_))).await;
}

#[tokio::test]
async fn what_a_crashed_node_owned_is_taken_over_within_two_leases() {
    let server = Server::start(&[]);
    let (a, b) = (Node::join(&server, "a").await, Node::join(&server, "b").await);
    divided(&[&a, &b]).await;
    let crashed = Instant::now();
    drop(b);
    divided(&[&a]).await;
    assert!(crashed.elapsed() < LEASE * 2, "{:?}", crashed.elapsed());
}

#[tokio::test]
async fn what_is_in_flight_may_be_settled_before_a_shard_goes() {
    let server = Server::start(&[]);
    let slow = MembershipConfig { hand_over: PATIENCE, ..config("a") };
    let mut a = Node::join_as(&server, slow).await;
    divided(&[&a]).await;
    let mut b = Node::join(&server, "b").await;
    let mut parted = Vec::new();
    while parted.len() < b.share(&[&a, &b]).len() {
        let ClusterEvent::Lost(shard) = a.told(|event| matches!(event, ClusterEvent::Lost(_))).await else { panic!() };
        assert!(!a.member.leases().owns(shard, Instant::now()));
        settles(&a, shard, parted.len() as u128).await.unwrap();
        parted.push(shard);
    }
    assert_eq!(b.owned(), [], "nothing was handed over yet");
    a.member.handed_over(parted[0]);
    let gained = b.told(|event| matches!(event, ClusterEvent::Gained(_))).await;
    assert_eq!(gained, ClusterEvent::Gained(parted[0]));
    assert!(matches!(settles(&a, parted[0], 900).await, Err(StoreError::Fenced { .. })), "too late");
    settles(&b, parted[0], 901).await.unwrap();
    for shard in &parted {
        a.member.handed_over(*shard);
    }
    divided(&[&a, &b]).await;
}

#[tokio::test]
async fn nodes_are_told_of_changes_and_of_events_for_their_shards() {
    let server = Server::start(&[]);
    let mut a = Node::join(&server, "a").await;
    divided(&[&a]).await;
    a.told(|event| *event == ClusterEvent::LookAgain).await;
    let other = store(&server).await;
    let webhook = a.owned()[9].webhook_id();
    appended(&other, webhook, event_id(1, 1)).await;
    a.told(|event| *event == ClusterEvent::Wake(vec![webhook])).await;
    other.change_directory(vec![crate::store::DirectoryChange::DeleteWebhook(webhook)]).await.unwrap();
    a.told(|event| *event == ClusterEvent::DirectoryChanged).await;
}

#[tokio::test]
async fn an_idle_node_asks_redis_rarely() {
    let server = Server::start(&[]);
    let calm = MembershipConfig { lease: Duration::from_secs(4), ..config("a") };
    let a = Node::join_as(&server, calm).await;
    divided(&[&a]).await;
    // As Redis counts them: calls of the network, not those within scripts.
    let calls = async || -> u64 {
        let info: String = server.ask(&words(&["INFO", "commandstats"])).await;
        let of = |line: &str| -> Option<u64> {
            line.strip_prefix("cmdstat_eval")?.split_once("calls=")?.1.split(',').next()?.parse().ok()
        };
        info.lines().filter_map(of).sum()
    };
    let (before, began) = (calls().await, Instant::now());
    while calls().await < before + 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(1_800), "three ticks in {:?}", began.elapsed());
}
