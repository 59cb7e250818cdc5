//! What is read while commits are applied shows each of them whole or not at all.

use super::*;
use crate::domain::{Business, BusinessId, LaneClass};

const MANY: u64 = 300;
const TURNS: u64 = 60;

/// Reads again and again while `turn` commits one change after the other; every answer must count 0 or [`MANY`].
async fn all_or_nothing<Turn, Turning, Read, Reading>(turn: Turn, read: Read)
where
    Turn: Fn(u64) -> Turning + Send + 'static,
    Turning: Future<Output = ()> + Send,
    Read: Fn() -> Reading,
    Reading: Future<Output = usize>,
{
    let turns = tokio::spawn(async move {
        for number in 0..TURNS {
            turn(number).await;
        }
    });
    while !turns.is_finished() {
        let seen = read().await as u64;
        assert!(seen == 0 || seen == MANY, "{seen} of {MANY} were seen");
    }
    turns.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_parked_by_one_commit_are_listed_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(config(folder.path())).unwrap());
    let live = |number: u64| {
        let id = event_id(0, u128::from(number));
        LaneEntry { order_key: number + 1, ..entry(webhook(1), id) }
    };
    let batch = (0..MANY).map(|number| append(event(live(number).event), &[live(number)]));
    store.append(batch.collect()).await.unwrap();
    let writing = Arc::clone(&store);
    let turn = move |turn: u64| {
        let store = Arc::clone(&writing);
        async move {
            let moves = (0..MANY).map(|number| {
                let live = live(number);
                let parked = LaneEntry { class: LaneClass::Parked, ..live };
                let (entry, moved) = if turn.is_multiple_of(2) { (live, parked) } else { (parked, live) };
                Settle { entry, attempt: None, next: Next::Move(moved), at: at(0) }
            });
            store.settle(moves.collect()).await.unwrap();
        }
    };
    all_or_nothing(turn, || async { store.parked_keys(webhook(1), 1_000).await.unwrap().len() }).await;
    assert_eq!(store.lane_counts(webhook(1)).waiting[LaneClass::Live as usize], MANY, "the turns took place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_changed_by_one_commit_is_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(config(folder.path())).unwrap());
    let business = |number: u64| Business {
        id: BusinessId::from_u128(u128::from(number)),
        name: "Loja".into(),
        token: "secret".into(),
        attributes: serde_json::Map::new(),
        created_at: at(0),
        updated_at: at(0),
    };
    let writing = Arc::clone(&store);
    let turn = move |turn: u64| {
        let store = Arc::clone(&writing);
        async move {
            let changes = (0..MANY).map(business).map(|business| {
                if turn.is_multiple_of(2) {
                    DirectoryChange::PutBusiness(Box::new(business))
                } else {
                    DirectoryChange::DeleteBusiness(business.id)
                }
            });
            store.change_directory(changes.collect()).await.unwrap();
        }
    };
    all_or_nothing(turn, || async { store.directory().await.unwrap().businesses.len() }).await;
}
