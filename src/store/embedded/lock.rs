//! One process per data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::fault::from_io;
use crate::store::StoreError;

const NAME: &str = "pombo.lock";

/// Held as long as the store is open; the system releases it however the process ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is starting holds a copy of the file until it runs its program.
        let _closed_soon = self.file.unlock();
    }
}

impl FolderLock {
    pub fn acquire(folder: &Path) -> Result<Self, StoreError> {
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(NAME));
        let mut file = open().map_err(|error| from_io(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let owner = file.read_to_string(&mut owner).map_or("", |_| owner.trim());
                let process = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
                return Err(StoreError::Locked(format!(
                    "{}{process}; stop that process, or give this one another data_dir",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(from_io(&error)),
        }
        // Only a hint for the message above: a full disk must not keep the store from opening and making room.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_owner_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        let StoreError::Locked(text) = FolderLock::acquire(folder.path()).unwrap_err() else { panic!("not locked") };
        assert!(text.contains(&folder.path().display().to_string()) && text.contains("data_dir"), "{text}");
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn a_copy_that_a_starting_child_holds_does_not_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let _of_child = lock.file.try_clone().unwrap();
        drop(lock);
        FolderLock::acquire(folder.path()).unwrap();
    }
}
