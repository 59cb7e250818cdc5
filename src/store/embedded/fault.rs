//! What went wrong below, in the words of [`StoreError`].

use std::fmt::Display;
use std::io::{Error as IoError, ErrorKind};

use crate::store::StoreError;

pub fn corrupt(what: &str, error: &dyn Display) -> StoreError {
    StoreError::Corrupt(format!("{what} cannot be read: {error}"))
}

pub fn from_io(error: &IoError) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full(error.to_string())
        }
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        use fjall::{Error, LsmError};
        match &error {
            Error::Io(io) | Error::Storage(LsmError::Io(io)) => from_io(io),
            Error::Locked => Self::Locked(error.to_string()),
            Error::Poisoned | Error::KeyspaceDeleted => {
                Self::Unavailable("an earlier write failed; the store is being opened again".into())
            }
            // Everything else says that bytes on disk are not what was written, or not of a version the library knows.
            _ => {
                Self::Corrupt(format!("{error}; restore the data folder from a backup, or move it away to start empty"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        for code in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::FBIG] {
            let io = || IoError::from_raw_os_error(code.raw_os_error());
            assert!(matches!(from_io(&io()), StoreError::Full(_)), "{code}");
            let below = fjall::Error::Storage(fjall::LsmError::Io(io()));
            assert!(matches!(StoreError::from(below), StoreError::Full(_)), "{code}");
        }
        let other = IoError::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
        assert!(matches!(from_io(&other), StoreError::Unavailable(_)));
    }

    #[test]
    fn bytes_that_are_not_what_was_written_are_damage() {
        assert!(matches!(StoreError::from(fjall::Error::Unrecoverable), StoreError::Corrupt(_)));
        assert!(matches!(
            StoreError::from(fjall::Error::Storage(fjall::LsmError::InvalidTrailer)),
            StoreError::Corrupt(_)
        ));
    }
}
