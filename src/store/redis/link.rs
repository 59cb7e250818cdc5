//! The way to Redis: one multiplexed connection, taken from a pool, replaced when it breaks. Every answer is waited for in bounded time.
//!
//! Concurrent requests share the connection and are written together, so nothing waits for a free one. A request that may have
//! reached Redis is never repeated here: whoever asked decides (settlements can be repeated, appends with a client id too).

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use deadpool_redis::{cluster, sentinel};
use parking_lot::Mutex;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

use super::script::{Call, Script};
use super::url::{Place, RedisUrl};
use crate::store::StoreError;
use crate::store::meters::{CommandFault, CommandKind, RedisMeters};

enum Pool {
    Single(deadpool_redis::Pool),
    Sentinel(sentinel::Pool),
    Cluster(cluster::Pool),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// See the module.
pub struct Link {
    pool: Pool,
    url: RedisUrl,
    timeout: Duration,
    meters: RedisMeters,
    /// The connection in use, and which one it is by count: a failure takes away only the one it happened on.
    current: Mutex<(u64, Option<Connection>)>,
    /// One task connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects on first use.
    pub fn new(url: &RedisUrl, timeout: Duration, meters: RedisMeters) -> Result<Self, StoreError> {
        let refused = |error: &dyn fmt::Display| StoreError::Unavailable(format!("{url}: {error}"));
        let pool = match &url.place {
            Place::Single(info) => {
                // This link bounds the time of an answer itself: a time-out of the connection's own would hit all who share it.
                let config = redis::AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(timeout))
                    .set_response_timeout(None);
                let manager = deadpool_redis::Manager::new_with_config((**info).clone(), config);
                let manager = manager.map_err(|error| refused(&error))?;
                Pool::Single(deadpool_redis::Pool::builder(manager).max_size(2).build().map_err(|e| refused(&e))?)
            }
            Place::Sentinel { sentinels, service, settings, is_tls } => {
                let node = sentinel::SentinelNodeConnectionInfo {
                    tls_mode: is_tls.then_some(sentinel::TlsMode::Secure),
                    redis_connection_info: Some(deadpool_redis::RedisConnectionInfo {
                        db: settings.db(),
                        username: settings.username().map(Into::into),
                        password: settings.password().map(Into::into),
                        ..Default::default()
                    }),
                };
                let master = sentinel::SentinelServerType::Master;
                let manager = sentinel::Manager::new(sentinels.clone(), service.clone(), Some(node), master);
                let manager = manager.map_err(|error| refused(&error))?;
                Pool::Sentinel(sentinel::Pool::builder(manager).max_size(2).build().map_err(|e| refused(&e))?)
            }
            Place::Cluster(nodes) => {
                let manager = cluster::Manager::new(nodes.clone(), false).map_err(|error| refused(&error))?;
                Pool::Cluster(cluster::Pool::builder(manager).max_size(2).build().map_err(|e| refused(&e))?)
            }
        };
        let (current, connecting) = (Mutex::new((0, None)), tokio::sync::Mutex::new(()));
        Ok(Self { pool, url: url.clone(), timeout, meters, current, connecting })
    }

    pub const fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Which connection is in use, by count; connects when there is none.
    pub async fn number(&self) -> Result<u64, StoreError> {
        self.in_time(async { Ok(self.connection().await?.0) }).await
    }

    fn connected(&self) -> Option<(u64, Connection)> {
        let current = self.current.lock();
        current.1.clone().map(|connection| (current.0, connection))
    }

    async fn connection(&self) -> Result<(u64, Connection), StoreError> {
        if let Some(connected) = self.connected() {
            return Ok(connected);
        }
        // Seldom taken and large: kept out of the futures of all requests.
        Box::pin(self.connect()).await
    }

    async fn connect(&self) -> Result<(u64, Connection), StoreError> {
        let _turn = self.connecting.lock().await;
        if let Some(connected) = self.connected() {
            return Ok(connected);
        }
        let refused = |error: &dyn fmt::Display| StoreError::Unavailable(format!("{}: {error}", self.url));
        // Taken out of the pool: clones of it outlive what the pool would know of.
        let connection = match &self.pool {
            Pool::Single(pool) => {
                Connection::One(deadpool_redis::Connection::take(pool.get().await.map_err(|e| refused(&e))?))
            }
            Pool::Sentinel(pool) => {
                Connection::One(sentinel::Connection::take(pool.get().await.map_err(|e| refused(&e))?))
            }
            Pool::Cluster(pool) => {
                Connection::Cluster(cluster::Connection::take(pool.get().await.map_err(|e| refused(&e))?))
            }
        };
        let mut current = self.current.lock();
        *current = (current.0 + 1, Some(connection.clone()));
        Ok((current.0, connection))
    }

    /// Lets go of the connection something failed on, unless it was replaced already.
    fn forget(&self, number: u64) {
        let mut current = self.current.lock();
        if current.0 == number {
            current.1 = None;
        }
    }

    async fn try_run(&self, command: &Cmd, kind: CommandKind) -> Result<Result<Value, RedisError>, StoreError> {
        let began = Instant::now();
        self.in_time(async {
            let connected = self.connection().await.inspect_err(|_| self.failed(CommandFault::Connection));
            let (number, connection) = connected?;
            let answer = match connection {
                Connection::One(mut one) => one.req_packed_command(command).await,
                Connection::Cluster(mut cluster) => cluster.req_packed_command(command).await,
            };
            self.meters.seconds[kind as usize].record(began.elapsed());
            Ok(self.looked_at(number, answer))
        })
        .await
    }

    /// Runs a command on every server that takes writes.
    pub async fn ask_all(&self, command: &Cmd) -> Result<Result<Vec<Value>, RedisError>, StoreError> {
        self.in_time(async {
            let (number, connection) = self.connection().await?;
            let answer = match connection {
                Connection::One(mut one) => one.req_packed_command(command).await.map(|answer| vec![answer]),
                Connection::Cluster(mut cluster) => {
                    let each = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special));
                    let answers = cluster.route_command(command.clone(), RoutingInfo::MultiNode(each)).await;
                    answers.map(|answers| match answers {
                        Value::Map(of_nodes) => of_nodes.into_iter().map(|(_, answer)| answer).collect(),
                        other => vec![other],
                    })
                }
            };
            let answers = self.looked_at(number, answer.map(Value::Array));
            Ok(answers.map(|answers| if let Value::Array(answers) = answers { answers } else { vec![answers] }))
        })
        .await
    }

    /// Errors within the answer are errors; those of the connection end it.
    fn looked_at(&self, number: u64, answer: Result<Value, RedisError>) -> Result<Value, RedisError> {
        let answer = answer.and_then(Value::extract_error);
        if let Err(error) = &answer {
            if breaks_connection(error) {
                self.forget(number);
            }
            if error.kind() != ErrorKind::Server(ServerErrorKind::NoScript) {
                self.failed(fault(error));
            }
        }
        answer
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if let Ok(answer) = tokio::time::timeout(self.timeout, asked).await {
            return answer;
        }
        // Whoever hangs longer than this is taken for gone, e.g. behind a cut network.
        let number = self.current.lock().0;
        self.forget(number);
        self.failed(CommandFault::Timeout);
        Err(StoreError::Unavailable(format!("{} did not answer within {:?}", self.url, self.timeout)))
    }

    fn failed(&self, fault: CommandFault) {
        self.meters.faults[fault as usize].increment(1);
    }

    pub async fn run(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.run_as(command, CommandKind::Command).await
    }

    async fn run_as(&self, command: &Cmd, kind: CommandKind) -> Result<Value, StoreError> {
        self.try_run(command, kind).await?.map_err(|error| self.fault(&error))
    }

    /// Runs a script by its hash; one that Redis does not know (any more) is sent whole.
    pub async fn call(&self, script: &Script, call: &Call) -> Result<Value, StoreError> {
        match self.try_run(&call.by_hash(script), script.kind).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.run_as(&call.whole(script), script.kind).await
            }
            answer => answer.map_err(|error| self.fault(&error)),
        }
    }

    /// Runs a script that relies on commands before it. All are written together, so it costs no second way there and back.
    ///
    /// The script must notice when one of them was not carried out: it runs all the same.
    ///
    /// # Errors
    /// The script's, or, as its cause, that of the first of the commands that failed.
    pub async fn call_behind(&self, ahead: Vec<Cmd>, script: &Script, call: &Call) -> Result<Value, StoreError> {
        let mut answers = self.try_run_all(ahead, call.by_hash(script), script.kind).await?;
        match answers.pop().unwrap_or(Ok(Value::Nil)) {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.run_as(&call.whole(script), script.kind).await
            }
            Err(error) => Err(self.fault(answers.iter().find_map(|answer| answer.as_ref().err()).unwrap_or(&error))),
            Ok(answer) => Ok(answer),
        }
    }

    /// The answers of all, the last one's last; or one error, when none is known.
    async fn try_run_all(
        &self,
        ahead: Vec<Cmd>,
        last: Cmd,
        kind: CommandKind,
    ) -> Result<Vec<Result<Value, RedisError>>, StoreError> {
        let began = Instant::now();
        self.in_time(async {
            let connected = self.connection().await.inspect_err(|_| self.failed(CommandFault::Connection));
            let (number, connection) = connected?;
            let answers = match connection {
                Connection::One(mut one) => {
                    let mut commands = Pipeline::with_capacity(ahead.len() + 1);
                    let count = ahead.len() + 1;
                    for command in ahead.into_iter().chain([last]) {
                        commands.add_command(command);
                    }
                    let answers = one.req_packed_commands(&commands, 0, count).await;
                    answers.map_or_else(|error| vec![Err(error)], |answers| answers.into_iter().map(Ok).collect())
                }
                // A shard that has moved is followed command by command.
                Connection::Cluster(mut cluster) => {
                    let mut answers = Vec::with_capacity(ahead.len() + 1);
                    for command in ahead.iter().chain([&last]) {
                        answers.push(cluster.req_packed_command(command).await);
                    }
                    answers
                }
            };
            self.meters.seconds[kind as usize].record(began.elapsed());
            Ok(answers.into_iter().map(|answer| self.looked_at(number, answer)).collect())
        })
        .await
    }

    fn fault(&self, error: &RedisError) -> StoreError {
        match error.code() {
            Some("OOM") => StoreError::Full(format!("{}: Redis is at its maxmemory", self.url)),
            Some("FENCED") => StoreError::Fenced { shards: 0 },
            Some("MISCONF") => StoreError::Full(format!("{}: {error}", self.url)),
            _ => StoreError::Unavailable(format!("{}: {error}", self.url)),
        }
    }
}

fn fault(error: &RedisError) -> CommandFault {
    match error.code() {
        Some("OOM" | "MISCONF") => CommandFault::Full,
        Some("FENCED") => CommandFault::Fenced,
        _ if breaks_connection(error) => CommandFault::Connection,
        _ => CommandFault::Other,
    }
}

/// Whether the next request should take a new connection. A replica or a loading server is left as well: Sentinel and Cluster
/// name another one then.
fn breaks_connection(error: &RedisError) -> bool {
    let other_server = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
    );
    error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() || other_server
}
