//! What other nodes tell: changes of the directory, appends to shards this node owns. A hint, never the only way: what is told
//! while the connection is away is lost, so after each connection [`Notice::Connected`] asks to look at everything once.

use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::PubSub;
use tokio::sync::mpsc;

use super::keys::Keys;
use super::shared::Shared;
use super::url::Place;
use crate::domain::{EventId, ShardId, WebhookId};
use crate::store::StoreError;

/// What was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Listening from now on: read the directory and the owned lanes anew.
    Connected,
    /// The directory has reached `version`; names are `b/<id>`, `i/<id>`, `w/<id>`.
    Directory { version: u64, changed: Vec<String> },
    /// Another node has appended to these webhooks' lanes.
    Wake(Vec<WebhookId>),
    /// Another node has put a finished delivery of the webhook back.
    PutBack(WebhookId),
    /// Another node was asked to attempt a waiting delivery now.
    Hasten(WebhookId, EventId),
}

/// What a node that is not the owner tells of a single delivery: webhook, event and this letter. Appends tell of webhooks only.
const PUT_BACK: u8 = b'q';
const HASTEN: u8 = b'h';

/// Tells the owner of a webhook's lane of a delivery that was put back, or that is to be hastened.
pub async fn tell_owner(
    shared: &Shared,
    webhook: WebhookId,
    event: EventId,
    is_put_back: bool,
) -> Result<(), StoreError> {
    let mut payload = [webhook.as_u128().to_be_bytes(), event.to_be_bytes()].concat();
    payload.push(if is_put_back { PUT_BACK } else { HASTEN });
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(shared.keys.wake_channel(ShardId::of_webhook(webhook.as_u128()))).arg(payload);
    shared.link.run(&publish).await.map(drop)
}

/// Between two tries to connect.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Silence after which Redis is asked whether it is still there: a connection that a network has forgotten looks like one on which
/// nothing happens.
const ASK_AFTER: Duration = Duration::from_secs(3);
/// Notices that wait; more wait in Redis's output buffer.
const QUEUE: usize = 1_024;

/// Listens until the receiver or the store is gone.
pub fn listen(shared: Weak<Shared>) -> mpsc::Receiver<Notice> {
    let (notices, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut is_away = false;
        while !notices.is_closed() {
            let Some(listening) = shared.upgrade().filter(|shared| shared.open().is_ok()) else { return };
            match subscribe(&listening).await {
                Ok(feed) => {
                    if std::mem::take(&mut is_away) {
                        tracing::info!("Redis tells of other nodes again");
                    }
                    let (channel, patience) = (listening.keys.directory_channel(), listening.config.timeout);
                    drop(listening);
                    if notices.send(Notice::Connected).await.is_err() {
                        return;
                    }
                    forward(feed, &channel, patience, &notices).await;
                }
                Err(error) => {
                    drop(listening);
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(%error, "cannot listen to other nodes; trying again until it works");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_AFTER) => {}
                () = notices.closed() => return,
            }
        }
    });
    receiver
}

async fn subscribe(shared: &Shared) -> redis::RedisResult<PubSub> {
    let client = match &shared.config.url.place {
        Place::Single(info) => redis::Client::open((**info).clone())?,
        // Messages reach every node of a cluster.
        Place::Cluster(nodes) => reachable(nodes).await?,
        Place::Sentinel { sentinels, service, settings, is_tls } => {
            let node =
                redis::sentinel::SentinelNodeConnectionInfo::default().set_redis_connection_info(settings.clone());
            let node = if *is_tls { node.set_tls_mode(redis::TlsMode::Secure) } else { node };
            redis::sentinel::Sentinel::build(sentinels.clone())?.async_master_for(service, Some(&node)).await?
        }
    };
    let mut feed = tokio::time::timeout(shared.config.timeout, client.get_async_pubsub())
        .await
        .map_err(|_| redis::RedisError::from((redis::ErrorKind::Io, "no connection in time")))??;
    feed.subscribe(shared.keys.directory_channel()).await?;
    if shared.config.many_nodes {
        feed.psubscribe(Keys::wake_channels(&shared.config.prefix)).await?;
    }
    Ok(feed)
}

async fn reachable(nodes: &[redis::ConnectionInfo]) -> redis::RedisResult<redis::Client> {
    let mut failure = redis::RedisError::from((redis::ErrorKind::InvalidClientConfig, "no node is named"));
    for node in nodes {
        let client = redis::Client::open(node.clone())?;
        match client.get_multiplexed_async_connection().await {
            Ok(_) => return Ok(client),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Until the connection ends, or does not answer for `patience`.
async fn forward(feed: PubSub, directory: &str, patience: Duration, notices: &mpsc::Sender<Notice>) {
    let (mut ask, mut told) = feed.split();
    loop {
        let message = tokio::select! {
            message = told.next() => message,
            () = tokio::time::sleep(ASK_AFTER) => {
                match tokio::time::timeout(patience, ask.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => continue,
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            () = notices.closed() => return,
        };
        let Some(message) = message else { return };
        let notice = if message.get_channel_name() == directory {
            parse_directory(message.get_payload_bytes())
        } else {
            parse_wake(message.get_payload_bytes())
        };
        if let Some(notice) = notice
            && notices.send(notice).await.is_err()
        {
            return;
        }
    }
}

fn parse_wake(payload: &[u8]) -> Option<Notice> {
    let (ids, kind) = payload.as_chunks::<16>();
    let webhook = |raw: &[u8; 16]| WebhookId::from_u128(u128::from_be_bytes(*raw));
    match (kind, ids) {
        ([], ids) => Some(Notice::Wake(ids.iter().map(webhook).collect())),
        ([PUT_BACK], [id, _]) => Some(Notice::PutBack(webhook(id))),
        ([HASTEN], [id, event]) => Some(Notice::Hasten(webhook(id), EventId::from_u128(u128::from_be_bytes(*event)))),
        // Of a newer version.
        _ => None,
    }
}

fn parse_directory(payload: &[u8]) -> Option<Notice> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut words = text.split_whitespace();
    let version = words.next()?.parse().ok()?;
    Some(Notice::Directory { version, changed: words.map(Into::into).collect() })
}
