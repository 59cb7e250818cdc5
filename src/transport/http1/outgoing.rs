//! A request on its way out: its head, made in a buffer that the thread's requests share, and its body.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::Stream;
use crate::transport::request::{AttemptHeaders, Template};

thread_local! {
    /// A request is nearly always written in one go, so the next finds its buffer here.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that a large head has made larger than this is not kept.
const MAX_KEPT: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Outgoing<'b> {
    head: Vec<u8>,
    body: &'b [u8],
    written: usize,
}

impl<'b> Outgoing<'b> {
    pub(super) fn new(template: &Template, headers: &AttemptHeaders, body: &'b [u8]) -> Self {
        let mut head = BUFFER.take();
        head.clear();
        template.write_http1(headers, body.len(), &mut head);
        Self { head, body, written: 0 }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.written > 0
    }

    pub(super) fn is_done(&self) -> bool {
        self.written == self.head.len() + self.body.len()
    }

    /// Writes until all has left.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_done() {
            let head = &self.head[self.written.min(self.head.len())..];
            let body = &self.body[self.written.saturating_sub(self.head.len())..];
            let parts = [IoSlice::new(head), IoSlice::new(body)];
            let parts = if head.is_empty() { &parts[1..] } else { &parts };
            match ready!(stream.poll_write(cx, parts)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => self.written += written,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        stream.poll_flush(cx)
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        if self.head.capacity() <= MAX_KEPT {
            BUFFER.set(std::mem::take(&mut self.head));
        }
    }
}
