//! What can be wrong with the folder: full, in use, damaged, of a newer version. Said clearly, never answered with a reset.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::{Api, Hook, short_retries};
use crate::support::deadline::until_true;
use crate::support::ledger::{Pair, compare};
use crate::support::pombo::{Pombo, Setup};
use crate::support::receiver::Inbox;

/// A small file system in memory, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where the test may not mount.
    fn mount(folder: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Something else on the disk that leaves this much.
    fn fill_up_to(&self, left: u64) -> PathBuf {
        let filler = self.0.join("filler");
        fs::write(&filler, vec![1; usize::try_from(self.free_bytes().saturating_sub(left)).unwrap()]).unwrap();
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        // What the process's folder could not remove while it was mounted.
        let _ = fs::remove_dir_all(self.0.parent().expect("it is in a folder of the test"));
    }
}

/// A batch of `count` events of a kilobyte.
fn batch(name: &str, count: usize) -> String {
    let line = |number: usize| {
        let data = json!({ "messageId": format!("{name}-{number}"), "content": { "text": "x".repeat(1_000) } });
        format!("{}\n", json!({ "event": "messages.upsert", "id": format!("{name}-{number}"), "data": data }))
    };
    (0..count).map(line).collect()
}

/// The answer to a batch that must be refused, as the API words it.
async fn refused(api: &mut Api, instance: &str, name: &str) -> Value {
    let path = format!("/api/v2/instance/{instance}/events");
    let answer = api.send("POST", &path, "application/x-ndjson", batch(name, 10)).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!([503, 507].contains(&answer.status.as_u16()), "{}: {text}", answer.status);
    assert!(answer.headers.contains_key("retry-after"), "a caller is told when to come back");
    serde_json::from_str(&text).unwrap()
}

async fn all_arrive(api: &mut Api, hook: &Hook, inbox: &Inbox, ids: &[String]) {
    until_true("everything is delivered and settled", Duration::from_mins(1), async || {
        let left = api.unfinished(hook).await;
        (left == 0, (left, inbox.len()))
    })
    .await;
    let owed: BTreeSet<Pair> = ids.iter().map(|id| (hook.path.clone(), id.clone())).collect();
    let difference = compare(&owed, &inbox.receipts());
    assert!(difference.lost.is_empty() && difference.strange.is_empty(), "{}", difference.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_events_loses_none_and_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    // The store keeps 256 MiB in reserve.
    let Some(disk) = SmallDisk::mount(&home.path().join("data"), 480) else {
        eprintln!("not allowed to mount a small disk: the test by a limit on file sizes stands alone");
        return;
    };
    let mut pombo = Setup::default().start_in(home).await;
    let inbox = Inbox::open().await;
    let mut api = pombo.api();
    let instance = api.tenant("full").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &short_retries()).await;
    let mut ids = api.events(&instance, batch("first", 200)).await.ids;
    all_arrive(&mut api, &hook, &inbox, &ids).await;

    // A backlog that must drain although nothing new is taken.
    api.call("POST", &Api::path_of(&hook, "/pause"), &Value::Null).await;
    ids.extend(api.events(&instance, batch("paused", 3_000)).await.ids);
    let filler = disk.fill_up_to(200 << 20);
    until_true("a full disk makes it not ready", Duration::from_secs(10), async || {
        let answer = api.send("GET", "/readyz", "application/json", "").await.unwrap();
        (answer.status.as_u16() == 503, String::from_utf8_lossy(&answer.body).into_owned())
    })
    .await;
    let answer = refused(&mut api, &instance, "refused").await;
    assert!(answer["message"][0].as_str().unwrap().contains("full"), "{answer}");
    api.call("POST", &Api::path_of(&hook, "/resume"), &Value::Null).await;
    all_arrive(&mut api, &hook, &inbox, &ids).await;

    fs::remove_file(&filler).unwrap();
    let mut again = None;
    until_true("events are taken again", Duration::from_secs(10), async || {
        again = api.try_events(&instance, batch("refused", 10)).await.ok();
        (again.is_some(), "still refused")
    })
    .await;
    let again = again.unwrap();
    assert_eq!((again.accepted, again.duplicates), (10, 0), "what was refused was not stored");
    ids.extend(again.ids);
    all_arrive(&mut api, &hook, &inbox, &ids).await;

    // Not a byte left, not even the reserve: the settlements wait, and nothing is lost nor forgotten.
    let filler = disk.fill_up_to(0);
    refused(&mut api, &instance, "none").await;
    fs::remove_file(&filler).unwrap();
    until_true("events are taken again", Duration::from_secs(20), async || {
        let taken = api.try_events(&instance, batch("none", 10)).await;
        if let Ok(taken) = &taken {
            ids.extend(taken.ids.clone());
        }
        (taken.is_ok(), taken)
    })
    .await;
    all_arrive(&mut api, &hook, &inbox, &ids).await;
    assert!(pombo.terminate().await.success());
    drop(pombo);
    drop(disk);
}

/// Writes fail in the middle of a commit: no file may grow past 64 MiB and a little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_half_way_is_refused_and_undone_and_the_process_goes_on() {
    let limited = Setup::default().through(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let mut pombo = limited.start().await;
    let inbox = Inbox::open().await;
    let mut api = pombo.api();
    let instance = api.tenant("limited").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &short_retries()).await;
    let mut ids = api.events(&instance, batch("first", 200)).await.ids;
    all_arrive(&mut api, &hook, &inbox, &ids).await;

    // As if the disk were full at this very byte.
    limit_file_size(&pombo, Some(4_096));
    let answer = refused(&mut api, &instance, "refused").await;
    assert!(answer["message"][0].as_str().unwrap().contains("full"), "{answer}");
    limit_file_size(&pombo, None);
    let mut again = None;
    until_true("events are taken again", Duration::from_secs(30), async || {
        let answer = api.try_events(&instance, batch("refused", 10)).await;
        let seen = format!("{answer:?}");
        again = answer.ok();
        (again.is_some(), seen)
    })
    .await;
    let again = again.unwrap();
    assert!(again.accepted == 10 || again.duplicates == 10, "half of a batch was there: {again:?}");
    ids.extend(again.ids);
    all_arrive(&mut api, &hook, &inbox, &ids).await;
    pombo.crash_and_restart().await;
    let mut api = pombo.api();
    ids.extend(api.events(&instance, batch("last", 10)).await.ids);
    all_arrive(&mut api, &hook, &inbox, &ids).await;
}

fn limit_file_size(pombo: &Pombo, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(pombo.pid() as i32);
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_told_which_folder_is_in_use() {
    let pombo = Pombo::new().await;
    let folder = pombo.data_dir();
    let mut second = Setup::default().set("POMBO_DATA_DIR", folder.to_str().unwrap()).ready();
    let (status, output) = second.start_and_fail().await;
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains(folder.to_str().unwrap()) && output.contains("in use"), "{output}");
    assert!(output.contains(&pombo.pid().to_string()), "it names the process: {output}");
    // The first one is none the worse for it.
    pombo.api().get("/readyz").await;
}

/// A folder with an instance, a webhook and a backlog, its process ended; answers what was accepted.
async fn with_backlog(pombo: &mut Pombo) -> (String, Hook, usize) {
    let mut api = pombo.api();
    let instance = api.tenant("kept").await;
    let hook = api.webhook(&instance, "http://127.0.0.1:9/dead", &json!({})).await;
    api.call("POST", &Api::path_of(&hook, "/pause"), &Value::Null).await;
    let mut count = 0;
    for name in ["a", "b", "c", "d", "e"] {
        count += api.events(&instance, batch(name, 400)).await.ids.len();
    }
    (instance, hook, count)
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Bytes turned over in the middle of what was written; in the log within a body, for damage to the head of one of the log's
/// records cannot be told from a write that a crash cut short, which ends the log there by right.
fn damage(file: &Path) -> bool {
    let mut bytes = fs::read(file).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if written < 16 {
        return false;
    }
    let is_log = file.extension().is_some_and(|extension| extension == "jnl");
    let in_a_body = bytes.windows(64).enumerate().skip(written / 3).find(|(_, bytes)| **bytes == [b'x'; 64]);
    let middle = if is_log { in_a_body.expect("a body is in the log").0 } else { written / 2 };
    for byte in &mut bytes[middle..(middle + 16).min(written)] {
        *byte = !*byte;
    }
    fs::write(file, bytes).unwrap();
    true
}

#[tokio::test]
async fn a_damaged_file_is_named_as_damage_and_never_answered_with_an_empty_store() {
    let mut pombo = Pombo::new().await;
    let (instance, hook, count) = with_backlog(&mut pombo).await;
    assert!(pombo.terminate().await.success());
    let whole = tempfile::tempdir().unwrap();
    copy_folder(&pombo.data_dir(), whole.path());
    let mut files = Vec::new();
    files_below(whole.path(), &mut files);
    files.sort();
    let mut lost = Vec::new();
    let mut refused = 0;
    for file in files {
        let name = file.strip_prefix(whole.path()).unwrap().to_owned();
        fs::remove_dir_all(pombo.data_dir()).unwrap();
        copy_folder(whole.path(), &pombo.data_dir());
        if name.ends_with("pombo.lock") || !damage(&pombo.data_dir().join(&name)) {
            continue;
        }
        if let Err(output) = pombo.try_start().await {
            refused += 1;
            assert!(output.contains("damaged") && output.contains("backup"), "{}: {output}", name.display());
            assert!(!output.contains("panicked"), "{}: {output}", name.display());
        } else {
            let mut api = pombo.api();
            let path = format!("/api/v2/instance/{instance}/webhook");
            let answer = api.send("GET", &path, "application/json", "").await.unwrap();
            let found = String::from_utf8_lossy(&answer.body).contains(&hook.id);
            let left = if found { api.unfinished(&hook).await } else { 0 };
            if left != count as u64 {
                lost.push(format!("{}: started with {left} of {count} deliveries", name.display()));
            }
            pombo.kill9().await;
        }
    }
    assert!(lost.is_empty(), "silent losses: {lost:#?}");
    assert!(refused > 0, "no file was damaged so that it matters");
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused_and_left_as_it_is() {
    let mut pombo = Pombo::new().await;
    let (_, hook, count) = with_backlog(&mut pombo).await;
    assert!(pombo.terminate().await.success());
    set_format(&pombo.data_dir(), "4");
    let (status, output) = pombo.start_and_fail().await;
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("newer version") && output.contains("format is 4"), "{output}");
    set_format(&pombo.data_dir(), "3");
    pombo.start().await;
    assert_eq!(pombo.api().unfinished(&hook).await, count as u64);
}

fn set_format(data: &Path, version: &str) {
    let db = fjall::Database::builder(data.join("store")).open().unwrap();
    let meta = db.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
    meta.insert("format", version).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
}
