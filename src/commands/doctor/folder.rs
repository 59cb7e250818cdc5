//! The store's folder: there, writable, free, with room, and how long it takes to make a write durable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::finding::Finding;

const SUBJECT: &str = "data folder";
/// Files whose lock a running process holds.
const LOCK_FILES: [&str; 2] = ["LOCK", "lock"];
/// Below it the store may fill up within hours of a receiver's outage.
const LITTLE_ROOM_BYTES: u64 = 1 << 30;
const NO_ROOM_BYTES: u64 = 64 << 20;
const SYNCS: usize = 20;
/// A commit cannot be faster than this: fine for group commit, slow for single requests.
const SLOW_SYNC: Duration = Duration::from_millis(25);

pub fn check(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    let existing = nearest_existing(folder);
    let mut findings = Vec::new();
    if folder.is_dir() {
        findings.push(Finding::good(SUBJECT, format!("{shown} exists")));
        findings.extend(lock(folder));
    } else if folder.exists() {
        return vec![Finding::fail(SUBJECT, format!("{shown} is not a folder"), "set data_dir to a folder")];
    } else {
        findings.push(Finding::good(SUBJECT, format!("{shown} does not exist yet and will be made")));
    }
    match sync_latency(&existing) {
        Ok((median, worst)) => findings.push(rate_sync(median, worst)),
        Err(error) => {
            let remedy = "give the folder to the user that runs pombo, or choose another with --data-dir";
            findings.push(Finding::fail(SUBJECT, format!("{} is not writable: {error}", existing.display()), remedy));
        }
    }
    findings.push(room(&existing));
    findings
}

fn nearest_existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn lock(folder: &Path) -> Option<Finding> {
    let path = LOCK_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file())?;
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let unsupported = |error: io::Error| {
        let text = format!("{} cannot be locked: {error}", path.display());
        Finding::fail(SUBJECT, text, "the file system must support locks; network file systems often do not")
    };
    Some(match file.map(|file| file.try_lock()) {
        // Closing the file gives the lock back.
        Ok(Ok(())) => Finding::good(SUBJECT, "no other process uses it"),
        Ok(Err(TryLockError::WouldBlock)) => {
            Finding::warn(SUBJECT, "a process is using it", "stop that process before you start another here")
        }
        Ok(Err(TryLockError::Error(error))) | Err(error) => unsupported(error),
    })
}

/// Median and worst of some small durable writes.
fn sync_latency(folder: &Path) -> io::Result<(Duration, Duration)> {
    let path = folder.join(format!(".pombo-doctor-{}", std::process::id()));
    let result = File::create(&path).and_then(|mut file| {
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let start = Instant::now();
            file.write_all(&[0x5a; 4_096])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok((times[SYNCS / 2], times[SYNCS - 1]))
    });
    // Also after an error: nothing of ours stays behind.
    let _ = fs::remove_file(&path);
    result
}

fn rate_sync(median: Duration, worst: Duration) -> Finding {
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    let text = format!("writable; a durable write takes {:.2} ms (worst {:.2} ms)", millis(median), millis(worst));
    if median > SLOW_SYNC {
        let remedy = "each acceptance waits for such a write: use a local SSD, or durability = \"os\" if a loss of power may lose events";
        return Finding::warn(SUBJECT, text, remedy);
    }
    Finding::good(SUBJECT, text)
}

fn room(folder: &Path) -> Finding {
    match fs4::available_space(folder) {
        Ok(free) => rate_room(free),
        Err(error) => Finding::warn(SUBJECT, format!("free space is unknown: {error}"), "check it by hand"),
    }
}

fn rate_room(free: u64) -> Finding {
    let text = format!("{:.1} GiB free", free as f64 / (1_u64 << 30) as f64);
    let remedy = "free space, or lower retention.history_max_bytes";
    match free {
        ..NO_ROOM_BYTES => Finding::fail(SUBJECT, text, remedy),
        NO_ROOM_BYTES..LITTLE_ROOM_BYTES => Finding::warn(SUBJECT, text, remedy),
        _ => Finding::good(SUBJECT, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn a_good_folder_passes_and_nothing_is_left_in_it() {
        let folder = tempfile::tempdir().expect("folder");
        let findings = check(folder.path());
        assert!(findings.iter().all(|finding| finding.level != Level::Failure), "{findings:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
        let missing = check(&folder.path().join("a/b"));
        assert!(missing[0].text.contains("will be made"), "{missing:?}");
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn a_file_in_the_way_and_a_folder_in_use_are_found() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let held = File::create(&path).expect("written");
        assert_eq!(check(&path)[0].level, Level::Failure);
        held.lock().expect("locked");
        assert!(check(folder.path()).iter().any(|finding| finding.text == "a process is using it"));
    }

    #[test]
    fn a_slow_disk_and_a_full_one_are_told() {
        assert_eq!(rate_sync(Duration::from_millis(40), Duration::from_millis(90)).level, Level::Warning);
        assert_eq!(rate_sync(Duration::from_millis(1), Duration::from_millis(90)).level, Level::Good);
        let levels = [1_u64 << 20, 1 << 29, 1 << 40].map(|free| rate_room(free).level);
        assert_eq!(levels, [Level::Failure, Level::Warning, Level::Good]);
    }
}
