//! The bytes of request bodies that may be in memory at once, over all connections (P7). A body takes its share as it comes; when
//! there is none left the request is refused at once: waiting would let slow senders starve the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares are counted in KiB.
const UNIT: usize = 1 << 10;

/// Shared by all workers of the server.
#[derive(Clone, Debug)]
pub struct Intake(Arc<Semaphore>);

/// What one request holds; given back when it is answered.
#[derive(Debug)]
pub struct Share {
    intake: Intake,
    held: Option<OwnedSemaphorePermit>,
}

/// There is no room now.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("too many request bodies are being worked on")]
pub struct Crowded;

impl Intake {
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let units = usize::try_from(max_bytes).unwrap_or(usize::MAX) / UNIT;
        Self(Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// A share of nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { intake: self.clone(), held: None }
    }
}

impl Share {
    /// Makes the share large enough for `bytes` in all.
    ///
    /// # Errors
    /// When there is no room; what is held already stays held.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Crowded> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Crowded)?;
        let more = Arc::clone(&self.intake.0).try_acquire_many_owned(missing).map_err(|_| Crowded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_until_all_is_taken_and_comes_back_when_it_ends() {
        let intake = Intake::new(10 << 10);
        let (mut first, mut second) = (intake.share(), intake.share());
        assert_eq!(first.grow_to(1), Ok(()));
        assert_eq!(first.grow_to(9 << 10), Ok(()));
        assert_eq!(second.grow_to(2 << 10), Err(Crowded));
        assert_eq!(second.grow_to(1 << 10), Ok(()), "one unit is left");
        drop(first);
        assert_eq!(second.grow_to(10 << 10), Ok(()));
    }
}
