//! One connection that hands batches in and takes "later" for an answer.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::batch::Batch;
use crate::commands::http::{Answer, Client, ClientError};
use crate::domain::EventId;

/// `Retry-After` is obeyed up to this.
const MAX_WAIT: Duration = Duration::from_mins(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What became of a batch.
#[derive(Clone, Debug)]
pub enum Sent {
    Accepted {
        ids: Vec<EventId>,
        duplicates: usize,
        /// Of the request that was accepted.
        took: Duration,
        /// Answers 429 and 503 before it.
        put_off: u32,
    },
    Refused {
        reason: String,
    },
}

/// Nothing can be sent any more.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the token is refused ({0}): give the admin's, the business's or the instance's token with --token")]
    Token(StatusCode),
    #[error("no success for {} s, the last failure: {last}", .patience.as_secs())]
    OutOfPatience { patience: Duration, last: String },
    #[error(transparent)]
    Client(#[from] ClientError),
}

#[derive(Deserialize)]
struct AcceptedBody {
    duplicates: usize,
    ids: Vec<EventId>,
}

/// Speaks to one engine.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    base: Url,
    authorization: String,
    /// How long failures in a row are put up with.
    patience: Duration,
}

impl Sender {
    /// # Errors
    /// When the URL is not usable.
    pub fn new(base: &Url, token: &str, patience: Duration) -> Result<Self, ClientError> {
        let client = Client::new(base)?;
        Ok(Self { client, base: base.clone(), authorization: format!("Bearer {token}"), patience })
    }

    /// Hands a batch in, waiting and repeating as needed.
    ///
    /// # Errors
    /// [`SendError`], when going on with other batches makes no sense either.
    pub async fn send(&mut self, batch: &Batch) -> Result<Sent, SendError> {
        let path = events_path(&self.base, &batch.instance);
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/x-ndjson")];
        let (begun, mut put_off, mut backoff) = (Instant::now(), 0, FIRST_BACKOFF);
        loop {
            let start = Instant::now();
            let (wait, failure) = match self.client.send("POST", &path, &headers, batch.body.clone()).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(accepted(&answer, batch, start.elapsed(), put_off));
                }
                Ok(Answer { status: status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), .. }) => {
                    return Err(SendError::Token(status));
                }
                Ok(answer) if is_later(answer.status) => {
                    put_off += 1;
                    (retry_after(&answer).unwrap_or(backoff), reason(&answer))
                }
                Ok(answer) if answer.status.is_server_error() => (backoff, reason(&answer)),
                Ok(answer) => return Ok(Sent::Refused { reason: reason(&answer) }),
                Err(error) => (backoff, error.to_string()),
            };
            if begun.elapsed() + wait > self.patience {
                return Err(SendError::OutOfPatience { patience: self.patience, last: failure });
            }
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

fn events_path(base: &Url, instance: &str) -> String {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v2", "instance", instance, "events"]);
    }
    url.path().to_owned()
}

fn is_later(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

fn accepted(answer: &Answer, batch: &Batch, took: Duration, put_off: u32) -> Sent {
    match serde_json::from_slice::<AcceptedBody>(&answer.body) {
        Ok(body) if body.ids.len() == batch.len() => {
            Sent::Accepted { ids: body.ids, duplicates: body.duplicates, took, put_off }
        }
        Ok(body) => Sent::Refused { reason: format!("{} ids for {} events", body.ids.len(), batch.len()) },
        Err(error) => {
            Sent::Refused { reason: format!("{} with an answer that cannot be read: {error}", answer.status) }
        }
    }
}

/// The API's messages in one line, or the beginning of whatever else came.
fn reason(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Body {
        message: Vec<String>,
    }
    let text = serde_json::from_slice::<Body>(&answer.body).map_or_else(
        |_| String::from_utf8_lossy(&answer.body).chars().take(200).collect(),
        |body| body.message.join("; "),
    );
    format!("{}: {text}", answer.status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::listen::{Receiver, ReceiverConfig, Script};

    fn batch() -> Batch {
        Batch { instance: "a b".into(), body: "{}\n".into(), client_ids: vec![None] }
    }

    #[test]
    fn an_instance_id_is_one_segment_of_the_path() {
        let path = |base: &str, id: &str| events_path(&base.parse().expect("a URL"), id);
        assert_eq!(path("http://h", "a/b c"), "/api/v2/instance/a%2Fb%20c/events");
        assert_eq!(path("http://h/below/", "x"), "/below/api/v2/instance/x/events");
    }

    async fn sent_to(script: Script) -> Result<Sent, SendError> {
        let config = ReceiverConfig { script, ..ReceiverConfig::default() };
        let server = Receiver::start(([127, 0, 0, 1], 0).into(), config).await.expect("a port");
        let url = server.url("/").parse().expect("a URL");
        Sender::new(&url, "t", Duration::from_secs(3)).expect("a client").send(&batch()).await
    }

    #[tokio::test]
    async fn a_refusal_is_told_and_a_wrong_token_ends_everything() {
        let status = |status| Script { status, ..Script::default() };
        assert!(matches!(sent_to(status(400)).await, Ok(Sent::Refused { reason }) if reason.starts_with("400")));
        assert!(matches!(sent_to(status(401)).await, Err(SendError::Token(_))));
        assert!(matches!(sent_to(status(202)).await, Ok(Sent::Refused { .. })), "202 without ids is no acceptance");
    }

    #[tokio::test]
    async fn later_beyond_the_patience_is_an_error_with_its_reason() {
        let headers = vec![("retry-after".to_owned(), "60".to_owned())];
        let error = sent_to(Script { status: 503, headers, ..Script::default() }).await.expect_err("impatient");
        assert!(matches!(&error, SendError::OutOfPatience { last, .. } if last.starts_with("503")), "{error}");
    }
}
