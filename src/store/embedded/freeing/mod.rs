//! A thread that gives back disk room and memory the library below is done with: the library would do it where commits wait.

mod buffers;
mod files;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use self::buffers::HeldBuffers;
use self::files::HeldFiles;
use super::shared::Shared;
use super::tables::tables_path;

/// Between two steps of giving back a file: 125 MiB a second at most.
const STEP_EVERY: Duration = Duration::from_millis(8);
/// Between two looks for what is new and what is gone, while there are commits and otherwise. A file or buffer that comes and goes in
/// between is not noticed: it goes at once, as all would without this.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(5);

/// The thread, until this is dropped.
#[derive(Debug)]
pub struct Freeing {
    _end: Sender<()>,
}

impl Freeing {
    /// `None` when there is no thread to be had: nothing depends on it.
    pub fn start(shared: Arc<Shared>) -> Option<Self> {
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("store-freeing".into());
        match thread.spawn(move || run(&shared, &ended)) {
            Ok(_) => Some(Self { _end: end }),
            Err(error) => {
                tracing::debug!(%error, "the store's removed files go at once");
                None
            }
        }
    }
}

fn run(shared: &Shared, ended: &Receiver<()>) {
    let (mut files, mut buffers) = (HeldFiles::of(tables_path(&shared.config.path)), HeldBuffers::default());
    let mut looked: Option<(Instant, u64)> = None;
    loop {
        let commits = shared.figures.commits.load(Relaxed);
        let is_time =
            looked.is_none_or(|(at, seen)| at.elapsed() >= if commits == seen { IDLE_LOOK_EVERY } else { LOOK_EVERY });
        if is_time {
            looked = Some((Instant::now(), commits));
            if let Ok(tables) = shared.tables() {
                buffers.look(&tables);
            }
            if let Some(files) = &mut files {
                files.look();
            }
        }
        let mut left = 0;
        if let Some(files) = &mut files {
            files.step();
            // Room that is needed now is worth more than an even pace.
            if shared.figures.disk_free_bytes.load(Relaxed) < shared.config.reserve_bytes.saturating_mul(2) {
                files.let_go();
            }
            left = files.removed_bytes();
        }
        shared.figures.freeing_bytes.store(left, Relaxed);
        if ended.recv_timeout(if left > 0 { STEP_EVERY } else { LOOK_EVERY }) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
