//! Which files there are: logs, the newest of which is written to, and segments.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::fault::from_io;
use super::log::Log;
use super::rows::Source;
use super::segment::Segment;
use super::span::Span;
use crate::domain::EventId;
use crate::store::StoreError;

#[derive(Debug, Default)]
pub struct Files {
    /// The newest is written to.
    pub logs: BTreeMap<u64, Arc<Log>>,
    pub segments: BTreeMap<u64, Arc<Segment>>,
}

impl Files {
    /// What is in the folder; what a process that was killed left half done is cleared away.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut found = Self::default();
        std::fs::create_dir_all(folder).map_err(|error| from_io(&error))?;
        let mut logs = Vec::new();
        for item in std::fs::read_dir(folder).map_err(|error| from_io(&error))? {
            let path = item.map_err(|error| from_io(&error))?.path();
            let number = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(number), Some("rows")) => {
                    found.segments.insert(number, Arc::new(Segment::open(folder, number)?));
                }
                (Some(number), Some("log")) => logs.push((number, path)),
                // The process ended while it wrote it.
                (Some(_), Some("draft")) => std::fs::remove_file(&path).map_err(|error| from_io(&error))?,
                _ => {}
            }
        }
        for (number, path) in logs {
            // Sealed already.
            if found.segments.contains_key(&number) {
                std::fs::remove_file(&path).map_err(|error| from_io(&error))?;
            } else {
                found.logs.insert(number, Arc::new(Log::open(folder, number)?));
            }
        }
        Ok(found)
    }

    /// Of the next log.
    pub fn next_number(&self) -> u64 {
        let newest = |number: Option<&u64>| number.map_or(0, |number| number + 1);
        newest(self.logs.keys().next_back()).max(newest(self.segments.keys().next_back()))
    }

    /// Those of wanted spans, the oldest first.
    pub fn sources(&self, is_wanted: impl Fn(Span) -> bool) -> Vec<Source> {
        let segments = self.segments.values().filter(|segment| is_wanted(segment.span));
        let logs = self.logs.values().filter(|log| is_wanted(log.span()));
        segments.cloned().map(Source::Segment).chain(logs.cloned().map(Source::Log)).collect()
    }

    /// A segment that retention has walked past and nobody has looked through since.
    pub fn to_sweep(&self, walked: EventId, walk: u64) -> Option<&Arc<Segment>> {
        self.segments.values().find(|one| one.span.newest <= walked && one.swept_in.load(Relaxed) < walk)
    }
}
