//! Redis hangs, restarts, forgets, cuts connections; nodes stand still.

use super::*;

#[tokio::test]
async fn a_node_that_stood_still_owns_nothing_and_settles_nothing() {
    let server = Server::start(&[]);
    // The node lives in a runtime of its own, which stands still between two uses.
    let paused = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let in_it = |work: BoxFuture<'_, ()>| {
        std::thread::scope(|scope| scope.spawn(|| paused.block_on(work)).join().unwrap());
    };
    let mut node = None;
    in_it(
        async {
            let a = Node::join(&server, "a").await;
            divided(&[&a]).await;
            node = Some(a);
        }
        .boxed(),
    );
    let mut a = node.expect("it has joined");
    let (shard, leases) = (ShardId::from_index(3).unwrap(), a.member.leases());
    until("a lease outlives its deadline", || !leases.owns(shard, Instant::now())).await;
    let b = Node::join(&server, "b").await;
    until("nobody takes over", || b.owned().len() == ShardId::COUNT).await;
    in_it(
        async {
            let late = settles(&a, shard, 1).await;
            assert!(matches!(late, Err(StoreError::Fenced { shards }) if shards == shard.bit()), "{late:?}");
            a.told(|event| *event == ClusterEvent::Lost(shard)).await;
        }
        .boxed(),
    );
    settles(&b, shard, 2).await.unwrap();
    std::thread::spawn(move || drop((a, paused))).join().unwrap();
}

#[tokio::test]
async fn an_emptied_redis_is_divided_from_the_beginning() {
    let mut server = Server::start(&[]);
    let (mut a, b) = (Node::join(&server, "a").await, Node::join(&server, "b").await);
    divided(&[&a, &b]).await;
    let before = a.tokens().await;
    a.told(|event| *event == ClusterEvent::LookAgain).await;
    server.restart();
    a.told(|event| *event == ClusterEvent::LookAgain).await;
    until("tokens do not rise", || a.owned() == a.share(&[&a, &b])).await;
    let risen = async || {
        let after = a.tokens().await;
        before.iter().all(|(shard, token)| after.get(shard).is_some_and(|after| after > token))
    };
    let deadline = Instant::now() + PATIENCE;
    while !risen().await {
        assert!(Instant::now() < deadline, "the old tokens are still good");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    divided(&[&a, &b]).await;
    settles(&a, a.owned()[0], 1).await.unwrap();
    let marked: bool = server.ask(&words(&["EXISTS", "pombo:{directory}:meta"])).await;
    assert!(marked);
}

#[tokio::test]
async fn a_redis_that_kept_its_data_finds_its_nodes_again() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (a, b) = (Node::join(&server, "a").await, Node::join(&server, "b").await);
    divided(&[&a, &b]).await;
    let before = a.tokens().await;
    server.kill();
    until("leases outlive their deadlines", || a.owned().is_empty() && b.owned().is_empty()).await;
    server.restart();
    divided(&[&a, &b]).await;
    let after = a.tokens().await;
    assert!(before.iter().all(|(shard, token)| after[shard] > *token));
    settles(&b, b.owned()[0], 1).await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_costs_no_lease() {
    let server = Server::start(&[]);
    let a = Node::join(&server, "a").await;
    divided(&[&a]).await;
    let before = a.tokens().await;
    for kind in ["normal", "pubsub"] {
        server.ask::<u64>(&words(&["CLIENT", "KILL", "TYPE", kind])).await;
    }
    let cut = Instant::now();
    while cut.elapsed() < LEASE * 2 {
        assert_eq!(a.owned().len(), ShardId::COUNT);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(a.tokens().await, before);
}

#[tokio::test]
async fn a_redis_that_hangs_ends_the_leases_until_it_answers() {
    let server = Server::start(&[]);
    let mut a = Node::join(&server, "a").await;
    divided(&[&a]).await;
    let before = a.tokens().await;
    let pause = (LEASE * 3).as_millis().to_string();
    server.ask::<()>(&words(&["CLIENT", "PAUSE", &pause])).await;
    let paused = Instant::now();
    a.told(|event| matches!(event, ClusterEvent::Lost(_))).await;
    assert!(paused.elapsed() < LEASE * 2, "{:?}", paused.elapsed());
    divided(&[&a]).await;
    assert!(paused.elapsed() > LEASE * 2);
    let after = a.tokens().await;
    assert!(before.iter().all(|(shard, token)| after[shard] > *token));
    settles(&a, a.owned()[0], 1).await.unwrap();
}

#[tokio::test]
async fn leaving_takes_a_bounded_time_also_without_redis() {
    let mut server = Server::start(&[]);
    let a = Node::join(&server, "a").await;
    divided(&[&a]).await;
    server.kill();
    let began = Instant::now();
    a.member.leave(Duration::from_millis(300)).await;
    assert!(began.elapsed() < LEASE * 2 && a.owned().is_empty());
    a.member.leave(Duration::from_millis(300)).await;
}
