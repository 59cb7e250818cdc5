//! Removed files give their room back a little at a time.
//!
//! The library below removes a log of 64 MiB every few seconds under load, and tables and bodies whenever it compacts. On a file system
//! that tells its disk at once of what is free (`discard`, as many cloud disks are mounted) the room of such a file is given back in
//! one go of some 80 ms, and *every* sync waits meanwhile: commits too.
//!
//! So the library's files are held open. A file that is removed then has no name any more but keeps its room, and is shortened step by
//! step. Only a file that has no name left at all is ever shortened: nobody can open it any more, and a copy made of hard links keeps
//! it whole. When the process ends, however it ends, the system closes the files and gives back what is left.

use std::collections::{HashMap, VecDeque};
use std::fs::{DirEntry, File};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

const MIB: u64 = 1024 * 1024;

/// A sync that meets a step waits for some 2 ms.
const STEP_BYTES: u64 = MIB;
/// Of the file descriptors this process may have: a quarter is kept from receivers for the store and callers.
const SHARE_OF_DESCRIPTORS: u64 = 8;
/// With tables and bodies of 16 MiB and more, a store of more than 64 GiB.
const MAX_HELD: usize = 4_096;

/// Whether a file that is removed while it is open simply has no name any more. Over a network it may get a strange one instead,
/// which the library would not understand.
#[cfg(target_os = "linux")]
fn keeps_removed_files_apart(folder: &Path) -> bool {
    const EXT: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683e;
    const F2FS: u64 = 0xf2f5_2010;
    rustix::fs::statfs(folder).is_ok_and(|disk| [EXT, XFS, BTRFS, F2FS].contains(&(disk.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn keeps_removed_files_apart(_: &Path) -> bool {
    false
}

/// The library's files.
pub struct HeldFiles {
    folder: PathBuf,
    max: usize,
    /// By inode, which stays taken as long as the file is open.
    files: HashMap<u64, File>,
    /// Without a name, with what is left of them.
    removed: VecDeque<(File, u64)>,
}

impl HeldFiles {
    /// Of the library's folder; `None` where it cannot be done.
    pub fn of(folder: PathBuf) -> Option<Self> {
        if !keeps_removed_files_apart(&folder) {
            tracing::debug!("the store's removed files go at once: another file system");
            return None;
        }
        let allowed = getrlimit(Resource::Nofile).current.map_or(u64::MAX, |limit| limit / SHARE_OF_DESCRIPTORS);
        Some(Self::new(folder, usize::try_from(allowed).map_or(MAX_HELD, |allowed| allowed.min(MAX_HELD))))
    }

    fn new(folder: PathBuf, max: usize) -> Self {
        Self { folder, max, files: HashMap::new(), removed: VecDeque::new() }
    }

    /// What is left of removed files.
    pub fn removed_bytes(&self) -> u64 {
        self.removed.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Gives all of it back at once.
    pub fn let_go(&mut self) {
        self.removed.clear();
    }

    /// Takes hold of new files, and of their room when they have been removed.
    pub fn look(&mut self) {
        let is_gone = |file: &File| file.metadata().map_or(true, |now| now.nlink() == 0);
        for (_, file) in self.files.extract_if(|_, file| is_gone(file)) {
            let bytes = file.metadata().map_or(0, |now| now.len());
            self.removed.push_back((file, bytes));
        }
        for item in files_of(&self.folder) {
            let is_log = item.path().extension().is_some_and(|extension| extension == "jnl");
            // Logs are few, large, and go soonest.
            if self.files.contains_key(&item.ino()) || (self.files.len() >= self.max && !is_log) {
                continue;
            }
            // What has gone meanwhile, or may not be opened, goes as it would without this.
            if let Ok(file) = File::options().write(true).open(item.path())
                && let Ok(found) = file.metadata()
                && found.is_file()
            {
                self.files.insert(found.ino(), file);
            }
        }
    }

    /// Gives back a little of the oldest removed file.
    pub fn step(&mut self) {
        let Some((file, bytes)) = self.removed.front_mut() else { return };
        *bytes = bytes.saturating_sub(STEP_BYTES);
        // Looked at again, for what would be lost is a user's: a file with a name is never shortened.
        let is_nameless = file.metadata().is_ok_and(|now| now.nlink() == 0);
        if *bytes == 0 || !is_nameless || file.set_len(*bytes).is_err() {
            self.removed.pop_front();
        }
    }
}

/// The log in the folder itself; tables and bodies below `keyspaces/NUMBER`. What cannot be read is not there.
fn files_of(folder: &Path) -> impl Iterator<Item = DirEntry> {
    let items = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let logs = items(folder.to_owned()).filter(|item| item.path().extension().is_some_and(|suffix| suffix == "jnl"));
    let tables = items(folder.join("keyspaces"));
    logs.chain(tables.flat_map(move |table| ["tables", "blobs"].map(|part| table.path().join(part))).flat_map(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
        for path in &paths {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![7; 3 * MIB as usize]).unwrap();
        }
        (folder, paths)
    }

    fn lengths(held: &HeldFiles) -> Vec<u64> {
        held.removed.iter().map(|(file, _)| file.metadata().unwrap().len() / MIB).collect()
    }

    #[test]
    fn a_removed_file_is_given_back_step_by_step() {
        let (folder, paths) = folder_with(&["0.jnl", "keyspaces/1/tables/4", "keyspaces/1/blobs/2"]);
        let mut held = HeldFiles::new(folder.path().to_owned(), 8);
        held.look();
        assert_eq!(held.files.len(), 3);
        std::fs::remove_file(&paths[0]).unwrap();
        std::fs::remove_file(&paths[2]).unwrap();
        held.look();
        assert_eq!((held.files.len(), lengths(&held)), (1, vec![3, 3]));
        held.step();
        held.step();
        assert_eq!(lengths(&held), [1, 3]);
        held.step();
        assert_eq!(lengths(&held), [3]);
        (0..3).for_each(|_| held.step());
        assert!(held.removed.is_empty());
        assert_eq!(std::fs::read(&paths[1]).unwrap().len(), 3 * MIB as usize, "what has its name is left alone");
    }

    #[test]
    fn a_file_with_another_name_is_never_shortened() {
        let (folder, paths) = folder_with(&["0.jnl"]);
        let mut held = HeldFiles::new(folder.path().to_owned(), 8);
        held.look();
        // A copy made of hard links, and the library removes its name.
        let kept = folder.path().join("kept");
        std::fs::hard_link(&paths[0], &kept).unwrap();
        std::fs::remove_file(&paths[0]).unwrap();
        held.look();
        assert_eq!((held.files.len(), lengths(&held)), (1, vec![]));
        // Even one that is wrongly taken for removed.
        let file = File::options().write(true).open(&kept).unwrap();
        held.removed.push_back((file, 3 * MIB));
        held.step();
        assert_eq!(std::fs::read(&kept).unwrap(), vec![7; 3 * MIB as usize]);
        std::fs::remove_file(&kept).unwrap();
        held.look();
        assert_eq!(lengths(&held), [3], "once the copy has gone, it is given back");
    }

    #[test]
    fn beyond_the_bound_only_logs_are_held() {
        let (folder, _paths) = folder_with(&["0.jnl", "1.jnl", "keyspaces/1/tables/4", "keyspaces/2/tables/4"]);
        let mut held = HeldFiles::new(folder.path().to_owned(), 2);
        held.look();
        held.look();
        assert_eq!(held.files.len(), 2);
        let (later, _paths) = folder_with(&["keyspaces/1/tables/4", "keyspaces/2/tables/4"]);
        let mut held = HeldFiles::new(later.path().to_owned(), 1);
        held.look();
        std::fs::write(later.path().join("7.jnl"), [0]).unwrap();
        held.look();
        assert_eq!(held.files.len(), 2, "a log is held in any case");
    }
}
