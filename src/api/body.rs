//! A request's body, read and inflated under one bound.
//!
//! The bytes are gathered in a buffer of their own: a chunk as it comes is a window into the connection's read buffer, and an
//! event that shares it would keep that buffer for as long as it waits. Inflation reads through a bound, so a bomb costs
//! no more memory than an honest body; a stream decoder that inflates whole chunks would not hold that (zstd reaches 30 000 : 1).
//!
//! A body has to come at a pace: who sends a byte now and then is cut off with a 408 and does not hold a connection for ever.

use std::io::Read;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use super::intake::{Crowded, Intake, Share};
use crate::engine::IngestError;

/// The largest zstd window that is unpacked: 8 MiB, what RFC 8878 (section 3.1.1.1.2) asks every decoder to support.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// When to try again while there is no room for bodies.
const CROWDED_FOR: Duration = Duration::from_secs(1);
/// A body may pause this long in all, as a request's head may.
const PATIENCE: Duration = Duration::from_secs(10);
/// What has come buys more time at this rate: a slow line may still send a large body.
const MIN_BYTES_PER_SECOND: u64 = 32 << 10;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {max} bytes (max_body_bytes, counted after inflation)")]
    TooLarge { max: usize },
    #[error("Content-Encoding must be gzip or zstd, or absent")]
    Encoding,
    #[error("the body is not {encoding}: {detail}")]
    Inflate { encoding: &'static str, detail: String },
    #[error("the body ended early or could not be read: {0}")]
    Broken(String),
    #[error("the body came too slowly: {received} bytes in {seconds} seconds")]
    Slow { received: usize, seconds: u64 },
    #[error(transparent)]
    Crowded(#[from] Crowded),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, BodyError> {
        let mut values = headers.get_all(CONTENT_ENCODING);
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let name = value.to_str().map_err(|_| BodyError::Encoding)?.trim();
        match () {
            () if values.next().is_some() => Err(BodyError::Encoding),
            () if name.eq_ignore_ascii_case("identity") => Ok(Self::Identity),
            () if name.eq_ignore_ascii_case("gzip") => Ok(Self::Gzip),
            () if name.eq_ignore_ascii_case("zstd") => Ok(Self::Zstd),
            () => Err(BodyError::Encoding),
        }
    }
}

/// Reads a body of at most `max` bytes, before and after inflation. The share is held for as long as the body is worked on.
///
/// # Errors
/// [`BodyError`]; the rest of the body is not read then.
pub async fn read<P>(
    mut payload: P,
    headers: &HeaderMap,
    max: usize,
    intake: &Intake,
) -> Result<(Bytes, Share), BodyError>
where
    P: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let encoding = Encoding::of(headers)?;
    let announced = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
    if announced > max {
        return Err(BodyError::TooLarge { max });
    }
    // What is announced may never come: memory is taken as bytes arrive, beyond a first piece that fits most events.
    let mut body = BytesMut::with_capacity(announced.min(64 << 10));
    let mut share = intake.share();
    let started = Instant::now();
    loop {
        let deadline = started + PATIENCE + earned(body.len());
        let chunk = timeout_at(deadline, payload.next())
            .await
            .map_err(|_| BodyError::Slow { received: body.len(), seconds: started.elapsed().as_secs() })?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
        if body.len() + chunk.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        share.grow_to(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    if encoding == Encoding::Identity {
        return Ok((body.freeze(), share));
    }
    // What it inflates to is not known: the most it may.
    share.grow_to(body.len() + max)?;
    // A few kilobytes can inflate to the bound: not work for the thread that serves the connections.
    let inflated = web::block(move || inflate(encoding, &body, max)).await;
    let inflated = inflated.map_err(|_| BodyError::Broken("the server is shutting down".into()))??;
    Ok((inflated, share))
}

/// The time that `received` bytes may take beyond [`PATIENCE`].
const fn earned(received: usize) -> Duration {
    Duration::from_millis(received as u64 * 1_000 / MIN_BYTES_PER_SECOND)
}

fn inflate(encoding: Encoding, body: &[u8], max: usize) -> Result<Bytes, BodyError> {
    let mut inflated = Vec::new();
    let bound = max as u64 + 1;
    let (name, read) = match encoding {
        Encoding::Identity => return Ok(Bytes::copy_from_slice(body)),
        Encoding::Gzip => ("gzip", flate2::read::MultiGzDecoder::new(body).take(bound).read_to_end(&mut inflated)),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Ok(decoder)
            });
            ("zstd", decoder.and_then(|decoder| decoder.take(bound).read_to_end(&mut inflated)))
        }
    };
    read.map_err(|error| BodyError::Inflate { encoding: name, detail: error.to_string() })?;
    if inflated.len() > max {
        return Err(BodyError::TooLarge { max });
    }
    inflated.shrink_to_fit();
    Ok(inflated.into())
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            BodyError::Encoding => Self::UnsupportedMedia(error.to_string()),
            BodyError::Crowded(_) => {
                Self::from(IngestError::Busy { bound: "max_in_flight_bytes", retry_after: CROWDED_FOR })
            }
            BodyError::Slow { .. } => Self::RequestTimeout(error.to_string()),
            BodyError::Inflate { .. } | BodyError::Broken(_) => Self::bad_request(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    async fn receive(encoding: Option<&str>, body: Vec<u8>, max: usize) -> Result<Bytes, BodyError> {
        let mut request = TestRequest::post().set_payload(body);
        if let Some(encoding) = encoding {
            request = request.insert_header((CONTENT_ENCODING, encoding));
        }
        let (request, mut payload) = request.to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        read(payload, request.headers(), max, &Intake::new(64 << 20)).await.map(|(body, _)| body)
    }

    fn room() -> Intake {
        Intake::new(64 << 20)
    }

    #[actix_web::test]
    async fn every_encoding_gives_the_same_bytes() {
        let body = b"{\"event\":\"new.jwt\"}".repeat(50);
        let zstd = zstd::encode_all(&body[..], 3).unwrap();
        for (encoding, sent) in [(None, body.clone()), (Some("gzip"), gzip(&body)), (Some("ZSTD"), zstd)] {
            assert_eq!(receive(encoding, sent, body.len()).await.unwrap(), body, "{encoding:?}");
        }
    }

    #[actix_web::test]
    async fn a_bomb_is_refused_at_the_bound_and_not_after_it() {
        let huge = vec![b' '; 64 << 20];
        let max = 1 << 20;
        for (encoding, bomb) in [("gzip", gzip(&huge)), ("zstd", zstd::encode_all(&huge[..], 3).unwrap())] {
            assert!(bomb.len() < max, "the bomb itself fits");
            let outcome = receive(Some(encoding), bomb, max).await;
            assert!(matches!(outcome, Err(BodyError::TooLarge { max: told }) if told == max), "{encoding}");
        }
    }

    #[actix_web::test]
    async fn a_plain_body_one_byte_over_the_bound_is_refused() {
        assert!(receive(None, vec![b'x'; 100], 100).await.is_ok());
        assert!(matches!(receive(None, vec![b'x'; 101], 100).await, Err(BodyError::TooLarge { max: 100 })));
    }

    #[actix_web::test]
    async fn a_cut_or_false_compressed_body_is_an_error_and_not_a_short_body() {
        let whole = gzip(&b"abcdefgh".repeat(1000));
        let cut = whole[..whole.len() - 9].to_vec();
        assert!(matches!(receive(Some("gzip"), cut, 1 << 20).await, Err(BodyError::Inflate { .. })));
        assert!(matches!(receive(Some("zstd"), b"plain".to_vec(), 1 << 20).await, Err(BodyError::Inflate { .. })));
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let chunks = [Ok(Bytes::from_static(b"{}")), Err(PayloadError::Incomplete(None))];
        let outcome = read(futures_util::stream::iter(chunks), &HeaderMap::new(), 100, &room()).await;
        assert!(matches!(outcome, Err(BodyError::Broken(_))));
    }

    /// `chunk` every `pause`, without end.
    fn dripping(chunk: &'static [u8], pause: Duration) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
        Box::pin(futures_util::stream::repeat(()).then(move |()| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from_static(chunk))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_cut_off_and_one_on_a_slow_line_is_not() {
        const SECOND: &[u8] = &[b'x'; MIN_BYTES_PER_SECOND as usize];
        let started = Instant::now();
        let outcome = read(dripping(b"x", Duration::from_secs(1)), &HeaderMap::new(), 1 << 20, &room()).await;
        assert!(matches!(outcome, Err(BodyError::Slow { received: 9 | 10, seconds: 10 })), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(11));
        let slow = dripping(SECOND, Duration::from_secs(1)).take(120);
        let outcome = read(slow, &HeaderMap::new(), 120 * SECOND.len(), &room()).await;
        assert_eq!(outcome.unwrap().0.len(), 120 * SECOND.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let outcome = read(futures_util::stream::pending(), &HeaderMap::new(), 100, &room()).await;
        assert!(matches!(outcome, Err(BodyError::Slow { received: 0, seconds: 10 })), "{outcome:?}");
    }

    #[actix_web::test]
    async fn other_encodings_are_refused_before_the_body_is_read() {
        for encoding in ["br", "deflate", "gzip, zstd", ""] {
            assert!(
                matches!(receive(Some(encoding), b"{}".to_vec(), 9).await, Err(BodyError::Encoding)),
                "{encoding:?}"
            );
        }
    }
}
