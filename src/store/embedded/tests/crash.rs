//! A process that is killed, and one whose disk is full: both in a child, which runs one ignored test of this binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::domain::{DeadReason, LaneClass};

const FOLDER: &str = "POMBO_TEST_FOLDER";

#[expect(clippy::disallowed_methods, reason = "how a test's parent tells its child where to work")]
fn folder_of_child() -> Option<PathBuf> {
    std::env::var(FOLDER).ok().map(PathBuf::from)
}

fn child(test: &str, folder: &Path) -> Command {
    // A shell that ignores SIGXFSZ: the child inherits that, so a write past the limit is an error and not the end.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", test]).env(FOLDER, folder).stdout(Stdio::piped());
    command
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Appends, settles every second event, flushes; says each answer. Until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a child that is killed"]
async fn child_that_works_until_it_is_killed() {
    let Some(folder) = folder_of_child() else { return };
    let store = EmbeddedStore::open(EmbeddedConfig { reserve_bytes: 0, ..EmbeddedConfig::new(folder) }).unwrap();
    for n in 0.. {
        let id = event_id(n, 0);
        let waiting = appended(&store, webhook(1), id).await;
        say(&format!("appended {n}"));
        if n % 2 == 0 {
            let next = if n % 4 == 0 { Next::Delivered } else { Next::Dead(DeadReason::Gone) };
            store.settle(vec![settle(waiting, next)]).await.unwrap();
            if n % 16 == 0 {
                store.flush().await.unwrap();
            }
            say(&format!("settled {n}"));
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_had_answered_is_there() {
    for kill_after in [1, 40, 200] {
        let folder = tempfile::tempdir().unwrap();
        let test = "store::embedded::tests::crash::child_that_works_until_it_is_killed";
        let mut child = child(test, folder.path()).spawn().unwrap();
        let (mut appended, mut settled) = (None, None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let number = |prefix: &str| line.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
            appended = number("appended ").or(appended);
            settled = number("settled ").or(settled);
            if appended == Some(kill_after) {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let (appended, settled) = (appended.unwrap(), settled.unwrap_or(0));
        assert!(appended >= kill_after);

        let store = EmbeddedStore::open(config(folder.path())).unwrap();
        assert!(store.recovery().unclean);
        let events = store.events((0..=appended).map(|n| event_id(n, 0)).collect()).await.unwrap();
        assert!(events.iter().all(Option::is_some), "an answered append is lost");
        let waiting = store.lane(LaneQuery { limit: 100_000, ..part(webhook(1), LaneClass::Live) }).await.unwrap();
        let waiting: std::collections::HashSet<_> = waiting.iter().map(|entry| entry.event).collect();
        for n in 0..=appended {
            let is_waiting = waiting.contains(&event_id(n, 0));
            if n % 2 == 1 {
                assert!(is_waiting, "{n} was never settled");
            } else if n <= settled {
                // A kill does not lose what the system has; `settle` answers after that.
                assert!(!is_waiting, "the answered settlement of {n} is lost");
            }
        }
        let counts = store.lane_counts(webhook(1));
        assert_eq!(counts.unfinished(), waiting.len() as u64);
    }
}

/// Its disk takes nothing more after some appends, then has room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a child whose files may not grow"]
async fn child_whose_disk_fills_up() {
    let Some(folder) = folder_of_child() else { return };
    let store = EmbeddedStore::open(EmbeddedConfig { reserve_bytes: 0, ..EmbeddedConfig::new(&folder) }).unwrap();
    let mut kept = vec![appended(&store, webhook(1), event_id(0, 0)).await];
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(256 * 1024), ..unlimited }).unwrap();
    let mut refused = None;
    for n in 1..200 {
        let mut event = event(event_id(n, 0));
        event.data = bytes::Bytes::from(vec![u8::try_from(n).unwrap(); 8 * 1024]);
        // Random enough not to be packed away.
        event.data = event.data.iter().enumerate().map(|(i, b)| (i * 31 % 251) as u8 ^ (i >> 3) as u8 ^ b).collect();
        let entry = entry(webhook(1), event.id);
        match store.append(vec![append(event, &[entry])]).await {
            Ok(_) => kept.push(entry),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    let refused = refused.expect("a full disk refuses");
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");

    setrlimit(Resource::Fsize, unlimited).unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while let Err(error) = store.check().await {
        assert!(tokio::time::Instant::now() < deadline, "not back: {error}");
        tokio::task::yield_now().await;
    }
    kept.push(appended(&store, webhook(1), event_id(500, 0)).await);
    let waiting = store.lane(part(webhook(1), LaneClass::Live)).await.unwrap();
    assert!(kept.iter().all(|entry| waiting.contains(entry)), "an answered append is lost");
    assert_eq!(store.lane_counts(webhook(1)).unfinished(), waiting.len() as u64);
    store.settle(vec![settle(kept[0], Next::Delivered)]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(config(&folder)).unwrap();
    assert_eq!(store.recovery().unfinished, waiting.len() as u64 - 1);
    say("done");
}

#[test]
fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let test = "store::embedded::tests::crash::child_whose_disk_fills_up";
    let output = child(test, folder.path()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("done"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
