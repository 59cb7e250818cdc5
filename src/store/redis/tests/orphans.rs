//! After everything is drained nothing is left that nobody owns; and what is, is found.

use super::*;
use crate::domain::{DeadReason, MessageState};
use crate::store::DirectoryChange;
use crate::store::contract::directory::a_webhook;
use crate::store::contract::fixtures::{DAY, a_week, retained, retry_of};

async fn keys(server: &Server, pattern: &str) -> Vec<String> {
    let mut keys: Vec<Vec<u8>> = server.ask(redis::cmd("KEYS").arg(pattern)).await;
    keys.sort();
    keys.iter().map(|key| key.escape_ascii().to_string()).collect()
}

#[tokio::test]
async fn nothing_without_an_owner_is_left_after_a_drain() {
    let house = Tenancy::new();
    let store = house.enter().await;
    store.change_directory(vec![DirectoryChange::PutWebhook(Box::new(a_webhook()))]).await.unwrap();
    let mut entries = Vec::new();
    for number in 0..60_u128 {
        let mut event = event(event_id(number as u64, number));
        event.client_id = Some(number.to_string().into());
        let owed = [1, 2].map(|hook| entry(webhook(hook), event.id));
        let mut append = append(event, &owed);
        append.messages.push(crate::domain::MessageStatus {
            message_id: number.to_string().into(),
            state: MessageState::Read,
            number: "55".into(),
            updated_at: at(number as u64),
        });
        store.append(vec![append]).await.unwrap();
        entries.extend(owed);
    }
    let mut retries = Vec::new();
    let ends = entries.iter().enumerate().map(|(place, entry)| match place % 6 {
        0 | 1 => settle(*entry, Next::Delivered),
        2 | 3 => settle(*entry, Next::Dead(DeadReason::Exhausted)),
        _ => {
            let retry = retry_of(*entry, at(9_000));
            retries.push(retry);
            settle(*entry, Next::Move(retry))
        }
    });
    let ends = ends.collect();
    store.settle(ends).await.unwrap();
    assert!(retries.len() > 30 && store.stats().dead > 30);
    // The webhook that exists delivers in the end; the other was deleted with retries and dead letters.
    let finish = retries.iter().filter(|retry| retry.webhook == 1).map(|retry| settle(*retry, Next::Delivered));
    let finish = finish.collect();
    store.settle(finish).await.unwrap();
    while store.cancel_lane(webhook(2), 7).await.unwrap() {}
    let meanwhile = store.orphans(1_000_000).await.unwrap();
    assert!(meanwhile.is_whole && meanwhile.keys > 5 && meanwhile.found.is_empty(), "{meanwhile:?}");

    retained(&*store, at(40 * DAY), a_week()).await;
    // A second walk: the first may have passed events before their dead letters were gone.
    retained(&*store, at(40 * DAY + 2 * 3_600_000), a_week()).await;
    let orphans = store.orphans(1_000_000).await.unwrap();
    assert!(orphans.is_whole && orphans.found.is_empty(), "{orphans:?}");
    for kind in ["e:*", "l:*", "h:*", "d:*", "t:*", "x", "b", "td"] {
        let left = keys(&house.0, &format!("pombo:{{??}}:{kind}")).await;
        assert!(left.is_empty(), "{left:?}");
    }
    let base = store.shared.keys.base(ShardId::of_webhook(1)).to_owned();
    let marks: Vec<Vec<u8>> = house.0.ask(redis::cmd("HKEYS").arg(format!("{base}m"))).await;
    assert!(marks.iter().all(|mark| mark.starts_with(&1_u128.to_be_bytes())), "{marks:?}");
    for shard in ShardId::all() {
        let sizes: Vec<Option<i64>> =
            house.0.ask(redis::cmd("HMGET").arg(store.shared.keys.of(shard, b"s")).arg("bytes").arg("held")).await;
        assert!(sizes.iter().flatten().all(|size| *size == 0), "{sizes:?}: the sizes add up to nothing");
    }
}

#[tokio::test]
async fn what_is_planted_is_found() {
    let house = Tenancy::new();
    let store = house.enter().await;
    let kept = appended(&*store, webhook(1), event_id(0, 1)).await;
    store.settle(vec![settle(kept, Next::Dead(DeadReason::Gone))]).await.unwrap();
    appended(&*store, webhook(2), event_id(0, 2)).await;
    let shard = |number| store.shared.keys.base(ShardId::of_webhook(number)).to_owned();
    let mut plant = Vec::new();
    let mut put = |words: &[&[u8]]| {
        let mut command = redis::Cmd::new();
        command.arg(words);
        plant.push(command);
    };
    put(&[b"HSET", b"pombo:{03}:e:7", b"x", b"y"]);
    put(&[b"HSET", b"pombo:{03}:c:7", b"x", b"y"]);
    put(&[b"HSET", b"pombo:{03}:t:7", b"x", b"y"]);
    put(&[b"SET", b"pombo:{03}:unheard", b"of"]);
    put(&[b"SET", b"pombo:{directory}:unheard", b"of"]);
    put(&[b"DEL", format!("{}h:", shard(1)).as_bytes()]);
    let history = [shard(1).as_bytes(), b"h:", &1_u128.to_be_bytes()].concat();
    put(&[b"DEL", &history]);
    let mark = [&9_u128.to_be_bytes()[..], b"1"].concat();
    put(&[b"HSET", format!("{}m", shard(9)).as_bytes(), &mark, b""]);
    let lost = [&event_id(5, 5).to_be_bytes()[..], b"record"].concat();
    let other = [shard(4).as_bytes(), b"h:", &4_u128.to_be_bytes()].concat();
    put(&[b"ZADD", &other, b"0", &lost]);
    let lane = [shard(5).as_bytes(), b"l:", &5_u128.to_be_bytes(), b"3"].concat();
    put(&[b"ZADD", &lane, b"0", &[&[0; 16][..], &lost].concat()]);
    for command in &plant {
        house.0.ask::<redis::Value>(command).await;
    }
    let found = store.orphans(1_000_000).await.unwrap().found;
    let counts: Vec<_> = found.iter().map(|(what, (count, _))| (*what, *count)).collect();
    assert_eq!(
        counts,
        [
            ("days of messages that retention does not find", 1),
            ("dead letters without a timeline", 1),
            ("deliveries of webhooks that do not exist", 2),
            ("deliveries without their event", 1),
            ("events that retention does not find", 1),
            ("keys that never expire and should", 1),
            ("keys that nobody knows", 2),
            ("marks of webhooks that do not exist", 1),
            ("timelines without their event", 1),
        ]
    );
}
