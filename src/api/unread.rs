//! A body that nobody reads to its end ends its connection.
//!
//! The server reads on to the end of a chunked body that its handler has let go of, however slowly it comes: a stranger who is
//! answered 401 could hold a connection for ever by sending a byte now and then. The server closes instead while the body
//! is still held when the answer goes out: so it is held a little longer.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::middleware::Next;
use bytes::Bytes;
use futures_util::Stream;

/// Enough for an answer of a few hundred bytes to go out.
const HELD: Duration = Duration::from_secs(5);

/// A body of which two parts hold an end: the handler that reads it, and the middleware that sees whether it did.
#[derive(Clone)]
struct Shared(Rc<Inner>);

struct Inner {
    payload: RefCell<Payload>,
    ended: Cell<bool>,
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = Pin::new(&mut *self.0.payload.borrow_mut()).poll_next(context);
        if matches!(read, Poll::Ready(None | Some(Err(_)))) {
            self.0.ended.set(true);
        }
        read
    }
}

/// Middleware of the whole application.
///
/// # Errors
/// Those of the service it wraps.
pub async fn close_unread<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // A body of announced length is left unread by the server as well.
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return next.call(request).await;
    }
    let payload = request.take_payload();
    let shared = Shared(Rc::new(Inner { payload: RefCell::new(payload), ended: Cell::new(false) }));
    request.set_payload(Payload::Stream { payload: Box::pin(shared.clone()) });
    let response = next.call(request).await;
    if !shared.0.ended.get() {
        actix_web::rt::spawn(async move {
            tokio::time::sleep(HELD).await;
            drop(shared);
        });
    }
    response
}
