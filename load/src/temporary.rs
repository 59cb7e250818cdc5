//! A folder that is gone when the run is.

use std::path::{Path, PathBuf};

pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Below `parent`, or below the system's folder for temporary files.
    pub fn make(parent: Option<&Path>) -> std::io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("pombo-load-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in a folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
