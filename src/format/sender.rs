//! Who an event comes from, and the parts of bodies that tell it, each written once.

use std::sync::{Arc, OnceLock};

use super::{cloudevents, codechat, codechat_v1, legacy};
use crate::domain::{Business, Instance};

/// What a body may tell beside the event.
///
/// Make a new one when the instance or the business has changed: parts already written do not follow. Clones share
/// what is written.
#[derive(Clone, Debug)]
pub struct Sender {
    pub instance: Arc<Instance>,
    pub business: Arc<Business>,
    written: Arc<Written>,
}

#[derive(Debug, Default)]
struct Written {
    codechat: OnceLock<Box<str>>,
    codechat_v1: OnceLock<Box<str>>,
    legacy: OnceLock<Box<str>>,
    cloudevents: OnceLock<Box<str>>,
}

impl Sender {
    /// Writes nothing yet: each format's part is written at its first use.
    #[must_use]
    pub fn new(instance: Arc<Instance>, business: Arc<Business>) -> Self {
        Self { instance, business, written: Arc::default() }
    }

    pub(super) fn codechat(&self) -> &str {
        self.written.codechat.get_or_init(|| text(|out| codechat::write_instance(out, &self.instance, &self.business)))
    }

    pub(super) fn codechat_v1(&self) -> &str {
        self.written.codechat_v1.get_or_init(|| text(|out| codechat_v1::write_instance(out, &self.instance)))
    }

    pub(super) fn legacy(&self) -> &str {
        self.written.legacy.get_or_init(|| text(|out| legacy::write_instance(out, &self.instance)))
    }

    pub(super) fn cloudevents(&self) -> &str {
        self.written
            .cloudevents
            .get_or_init(|| text(|out| cloudevents::write_source(out, &self.instance, &self.business)))
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> Box<str> {
    let mut out = Vec::with_capacity(512);
    write(&mut out);
    String::from_utf8(out).expect("pieces of UTF-8 join to UTF-8").into_boxed_str()
}

#[cfg(test)]
mod tests {
    use crate::format::fixture::sender;

    #[test]
    fn clones_share_what_is_written() {
        let first = sender();
        let clone = first.clone();
        assert_eq!(first.codechat().as_ptr(), clone.codechat().as_ptr());
        assert_eq!(first.cloudevents().as_ptr(), clone.cloudevents().as_ptr());
    }

    #[test]
    fn no_token_of_ours_is_written() {
        let sender = sender();
        for part in [sender.codechat(), sender.codechat_v1(), sender.legacy(), sender.cloudevents()] {
            assert!(!part.contains("business-token") && !part.contains("instance-token"), "{part}");
        }
    }
}
