//! One exchange: write and read at once, because a receiver may answer before it has read everything.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::framing::Framing;
use super::head::{self, BadHead, MAX_HEAD_BYTES};
use super::outgoing::Outgoing;
use super::{Answer, Broken, Cause, Stream};
use crate::domain::Outcome;
use crate::transport::request::{AttemptHeaders, Template};
use crate::transport::response;

/// What is read at once. Nothing stays in it: what is not used up is copied out, which is rare.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

struct Exchange<'a> {
    stream: &'a mut Stream,
    /// Until all is written.
    request: Option<Outgoing<'a>>,
    sent_at: Option<Instant>,
    /// Writing failed. An answer may have come all the same, to say why.
    write_error: Option<io::Error>,
    /// A head of which the end has not come.
    unparsed: Vec<u8>,
    max_body_bytes: usize,
}

/// Sends one request and reads its answer's head, with as much of the body as comes along.
/// Whoever drops this half-way must close the connection.
pub(in crate::transport) async fn exchange(
    stream: &mut Stream,
    template: &Template,
    headers: &AttemptHeaders,
    body: &[u8],
    max_body_bytes: usize,
) -> Result<Answer, Broken> {
    let request = Some(Outgoing::new(template, headers, body));
    let unparsed = Vec::new();
    let mut exchange = Exchange { stream, request, sent_at: None, write_error: None, unparsed, max_body_bytes };
    poll_fn(|cx| exchange.poll(cx)).await
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Broken>> {
        self.write(cx)?;
        loop {
            let read = BUFFER.with_borrow_mut(|buffer| {
                let bytes = ready!(read(self.stream, cx, buffer));
                Poll::Ready(bytes.map_err(Cause::Io).and_then(|bytes| self.parse(bytes)))
            });
            match ready!(read) {
                Ok(None) => {}
                Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                Err(cause) => return Poll::Ready(Err(self.broken(cause))),
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        let Some(request) = &mut self.request else { return Ok(()) };
        match request.poll_write(self.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.request = None;
                self.sent_at = Some(Instant::now());
            }
            Poll::Ready(Err(error)) if !request.has_begun() => {
                return Err(Broken { is_unsent: true, cause: Cause::Io(error) });
            }
            Poll::Ready(Err(error)) => self.write_error = self.write_error.take().or(Some(error)),
        }
        Ok(())
    }

    /// `None`: the head goes on.
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Cause> {
        if bytes.is_empty() {
            return Err(Cause::Closed);
        }
        if self.unparsed.is_empty() {
            let answer = self.answer(bytes)?;
            if answer.is_none() {
                self.unparsed.extend_from_slice(bytes);
            }
            return Ok(answer);
        }
        let mut unparsed = std::mem::take(&mut self.unparsed);
        unparsed.extend_from_slice(bytes);
        // A head that drips in is looked at when a line has ended, not at each byte.
        let is_worth_a_look = bytes.contains(&b'\n') || unparsed.len() >= MAX_HEAD_BYTES;
        let answer = if is_worth_a_look { self.answer(&unparsed)? } else { None };
        self.unparsed = unparsed;
        Ok(answer)
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<Answer>, Cause> {
        let head = head::parse(bytes).map_err(|bad| match bad {
            BadHead::NotHttp => Cause::NotHttp,
            BadHead::TooLarge => Cause::HeadTooLarge,
        })?;
        let Some((head, end)) = head else { return Ok(None) };
        let mut answer = Answer {
            status: head.status,
            headers: head.headers,
            sent_at: self.sent_at,
            framing: head.framing,
            snippet: Vec::new(),
            left: self.max_body_bytes,
            // What is left of a request is not going to be written.
            keeps_connection: head.keeps_connection && self.request.is_none(),
        };
        answer.take(&bytes[end..]);
        Ok(Some(answer))
    }

    fn broken(&mut self, cause: Cause) -> Broken {
        let cause = match (cause, self.write_error.take()) {
            (Cause::Io(_) | Cause::Closed, Some(error)) => Cause::Io(error),
            (cause, _) => cause,
        };
        let is_unsent = self.request.as_ref().is_some_and(|request| !request.has_begun());
        Broken { is_unsent, cause }
    }
}

impl Answer {
    /// Reads the body to its end, or as far as it may cost. Whoever drops this half-way keeps what has come.
    pub(in crate::transport) async fn read(&mut self, stream: &mut Stream) {
        poll_fn(|cx| {
            while !self.is_read() {
                ready!(BUFFER.with_borrow_mut(|buffer| {
                    match ready!(read(stream, cx, buffer)) {
                        Ok(bytes) if !bytes.is_empty() => self.take(bytes),
                        Ok(_) | Err(_) => self.give_up(),
                    }
                    Poll::Ready(())
                }));
            }
            Poll::Ready(())
        })
        .await;
    }

    pub(super) fn has_snippet(&self) -> bool {
        self.snippet.len() >= Outcome::SNIPPET_BYTES || self.left == 0
    }

    /// Takes in what has come of the body.
    fn take(&mut self, bytes: &[u8]) {
        let snippet = &mut self.snippet;
        let taken = self.framing.take(bytes, |data| response::keep_first(snippet, data));
        // More than the answer, or not what it said it would be: what comes next cannot be told apart.
        if taken != Ok(bytes.len()) {
            self.keeps_connection = false;
        }
        if taken.is_err() || bytes.len() > self.left {
            self.give_up();
        }
        self.left = self.left.saturating_sub(bytes.len());
    }

    /// Nothing more is read.
    fn give_up(&mut self) {
        self.keeps_connection = false;
        self.framing = Framing::Ended;
    }
}

/// What has come; nothing at the connection's end.
fn read<'b>(stream: &mut Stream, cx: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<io::Result<&'b [u8]>> {
    let mut buf = ReadBuf::new(buffer);
    ready!(stream.poll_read(cx, &mut buf))?;
    let read = buf.filled().len();
    Poll::Ready(Ok(&buffer[..read]))
}
