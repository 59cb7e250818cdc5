//! An attempt from start to end, on connections owned by one webhook.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::domain::{Failure, FailureCode, Outcome};

use super::failure::{self as failures, failure};
use super::http1::{self, Answer, Broken};
use super::pool::{Http1Lease, Http2Lease, Lease, Pool};
use super::request::{AttemptHeaders, Template};
use super::response;
use super::route::Route;
use super::sockets::Socket;
use super::trace::{Stage, Trace};
use super::{Shared, Target, dial};

/// Keep-alive connections owned by one webhook (cheap to clone, `!Send`).
///
/// Must be used inside a `tokio::task::LocalSet`: connections are driven by local tasks. When the last clone is dropped
/// its idle connections close. A request in flight borrows its endpoint, so it finishes first.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// `None` for a URL that cannot be requested, which [`Target::parse`] does not let through.
    way: Option<(Route, Template)>,
    pool: Rc<Pool>,
}

/// The head of an answer, and the connection on which the rest of it comes.
enum Answered {
    Http1(Answer, Http1Lease),
    Http2(Box<Response<Incoming>>, Http2Lease),
}

/// Why there is no answer.
struct Unanswered {
    failure: Failure,
    /// The request was certainly not processed, so another connection may carry it.
    is_unsent: bool,
}

impl Endpoint {
    pub(super) fn new(shared: Arc<Shared>, target: &Target, headers: HeaderMap) -> Self {
        let way = Route::new(&target.url).map(|route| {
            let template = Template::new(&route, headers, shared.proxy.as_ref(), shared.user_agent.as_ref());
            (route, template)
        });
        let may_multiplex = way.as_ref().is_some_and(|(route, _)| route.https);
        let pool = Rc::new(Pool::new(shared.keep_alive, may_multiplex));
        Self { inner: Rc::new(Inner { shared, way, pool }) }
    }

    /// Sends one request and reads its answer within `timeout`, connecting included. Never panics, never follows a redirect.
    pub async fn post(&self, headers: &AttemptHeaders, body: &Bytes, timeout: Duration) -> Outcome {
        let socket = self.inner.socket_ahead().await;
        let mut trace = Trace::start(timeout);
        let deadline = trace.deadline;
        match timeout_at(deadline, self.inner.exchange(headers, body, socket, &mut trace)).await {
            Ok(Ok(answered)) => self.inner.finish(answered, trace).await,
            Ok(Err(failure)) => trace.failed(failure),
            Err(_) => trace.timed_out(),
        }
    }

    /// Closes idle connections older than the keep-alive time; answers how many are open.
    pub fn sweep(&self) -> usize {
        self.inner.pool.sweep()
    }

    /// Closes idle connections now and keeps none from here on. Requests in flight finish.
    pub fn close(&self) {
        self.inner.pool.close();
    }

    /// A view on the number of open connections that outlives the endpoint.
    #[cfg(test)]
    pub(super) fn watch_open(&self) -> super::connection::OpenCount {
        self.inner.pool.open.clone()
    }
}

impl Inner {
    /// A socket for an attempt that will need one. Waiting for it is not the receiver's fault: the attempt's time has not begun.
    async fn socket_ahead(&self) -> Option<Socket> {
        // Apart, as all that few attempts need: each attempt is a task that has room for its largest future.
        if self.pool.is_likely_to_have_one() { None } else { Some(Box::pin(self.shared.sockets.open()).await) }
    }

    async fn exchange(
        &self,
        headers: &AttemptHeaders,
        body: &Bytes,
        mut socket: Option<Socket>,
        trace: &mut Trace,
    ) -> Result<Answered, Failure> {
        let Some((route, template)) = &self.way else { return Err(cannot_be_requested()) };
        let mut lease = match self.pool.reuse(trace.started) {
            Some(lease) => {
                trace.reuses();
                // Not needed after all.
                socket.take();
                lease
            }
            None => Box::pin(self.connect(route, &mut socket, trace)).await?,
        };
        loop {
            match self.send(lease, template, headers, body, trace).await {
                Ok(answered) => return Ok(answered),
                Err(unanswered) if unanswered.is_unsent && trace.phases.reused => {}
                Err(unanswered) => return Err(unanswered.failure),
            }
            // The receiver had closed the connection while it was idle, or takes no more streams on it. Once more: never on
            // another idle HTTP/1.1 connection, which may be as stale.
            trace.phases.reused = false;
            lease = match self.pool.stream() {
                Some(stream) => Lease::Http2(stream),
                None => Box::pin(self.connect(route, &mut socket, trace)).await?,
            };
        }
    }

    /// A connection that another attempt is about to have, or a new one.
    async fn connect(&self, route: &Route, socket: &mut Option<Socket>, trace: &mut Trace) -> Result<Lease, Failure> {
        if self.pool.wait_for_dial().await
            && let Some(lease) = self.pool.reuse(Instant::now())
        {
            socket.take();
            trace.reuses();
            return Ok(lease);
        }
        self.dial(route, socket, trace).await
    }

    async fn dial(&self, route: &Route, socket: &mut Option<Socket>, trace: &mut Trace) -> Result<Lease, Failure> {
        let _dialing = self.pool.dialing();
        let socket = match socket.take() {
            Some(socket) => socket,
            None => self.shared.sockets.open().await,
        };
        let connection = dial::dial(&self.shared, route, &self.pool.open, socket, trace).await?;
        trace.enter(Stage::Answer);
        Ok(self.pool.adopt(connection))
    }

    /// Sends on the leased connection.
    async fn send(
        &self,
        lease: Lease,
        template: &Template,
        headers: &AttemptHeaders,
        body: &Bytes,
        trace: &mut Trace,
    ) -> Result<Answered, Unanswered> {
        match lease {
            Lease::Http1(mut lease) => {
                let stream = &mut lease.connection.stream;
                let answer = http1::exchange(stream, template, headers, body, self.shared.limits.bytes).await?;
                trace.answered(answer.sent_at);
                Ok(Answered::Http1(answer, lease))
            }
            Lease::Http2(lease) => {
                let (response, lease) = Box::pin(send_http2(lease, template, headers, body)).await?;
                trace.answered(None);
                Ok(Answered::Http2(Box::new(response), lease))
            }
        }
    }

    /// The head decides; the body is read as far as it is cheap.
    async fn finish(&self, answered: Answered, mut trace: Trace) -> Outcome {
        let limits = self.shared.limits;
        match answered {
            Answered::Http1(mut answer, mut lease) => {
                let (failure, retry_after_s) = response::judge(answer.status, &answer.headers);
                if !answer.is_read() {
                    let reading = answer.read(&mut lease.connection.stream);
                    // What has come until then is kept in the answer.
                    Box::pin(timeout_at(limits.deadline(trace.deadline), reading)).await.ok();
                    trace.read();
                }
                let status = answer.status.as_u16();
                let (snippet, is_reusable) = answer.into_parts();
                if is_reusable {
                    lease.give_back(trace.mark);
                }
                Outcome { status, failure, retry_after_s, snippet, phases: trace.finish() }
            }
            Answered::Http2(response, lease) => {
                let (head, body) = response.into_parts();
                let (failure, retry_after_s) = response::judge(head.status, &head.headers);
                let snippet = Box::pin(response::read(body, limits, trace.deadline)).await;
                trace.read();
                // Dropping a body that is not read to its end resets its stream alone.
                lease.release();
                Outcome { status: head.status.as_u16(), failure, retry_after_s, snippet, phases: trace.finish() }
            }
        }
    }
}

async fn send_http2(
    mut lease: Http2Lease,
    template: &Template,
    headers: &AttemptHeaders,
    body: &Bytes,
) -> Result<(Response<Incoming>, Http2Lease), Unanswered> {
    let request = template.http2(headers, body.clone());
    let request = request.ok_or_else(|| Unanswered { failure: cannot_be_requested(), is_unsent: false })?;
    match lease.sender.try_send_request(request).await {
        Ok(response) => Ok((response, lease)),
        Err(mut error) => {
            let is_unsent = error.take_message().is_some() || failures::was_not_processed(error.error());
            let failure = failures::of_request(error.error());
            if failures::is_of_one_stream(error.error()) {
                lease.release();
            }
            Err(Unanswered { failure, is_unsent })
        }
    }
}

impl From<Broken> for Unanswered {
    fn from(broken: Broken) -> Self {
        Self { is_unsent: broken.is_unsent, failure: broken.into() }
    }
}

fn cannot_be_requested() -> Failure {
    failure(FailureCode::Internal, "the webhook's URL cannot be requested")
}
