//! From a configuration to a running process, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::first_start::{self, Admin};
use super::observer::Observer;
use super::runtimes::Runtimes;
use super::storage::{self, Storage};
use super::traces;
use super::{files, keeper, server};
use crate::api::auth::Auth;
use crate::api::ingest::limits::IngestLimits;
use crate::api::intake::Intake;
use crate::api::routes::Shared;
use crate::api::state::{ApiState, Limits};
use crate::cluster::Membership;
use crate::config::Config;
use crate::directory::Directory;
use crate::domain::EventIds;
use crate::engine::{Clock, Engine, EngineConfig, Parts};
use crate::shutdown::Stop;
use crate::store::Store;
use crate::telemetry::traces::Tracer;
use crate::telemetry::{metrics, repeats};
use crate::transport::{Transport, TransportConfig};

/// Requests that are being answered when the server ends get this long.
const SERVER_GRACE: Duration = Duration::from_secs(2);

/// How long a stop may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// `/readyz` says no and everything is served: load balancers look away.
    delay: Duration,
    /// What is in flight ends.
    grace: Duration,
}

impl Patience {
    pub(super) const fn of(config: &Config) -> Self {
        Self { delay: config.shutdown_delay, grace: config.shutdown_grace }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// `None`: this process is alone with its store.
    membership: Option<Arc<dyn Membership>>,
    store: Arc<dyn Store>,
    engine: Engine,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    keeper: JoinHandle<()>,
    observer: JoinHandle<()>,
    exporting: Option<traces::Exporting>,
    addr: SocketAddr,
    admin_token: Option<String>,
}

impl Running {
    pub(super) async fn build(config: Config) -> anyhow::Result<Self> {
        // First: what is opened next records into it.
        let metrics = metrics::install()?;
        let Storage { store, leases, cluster: membership } = storage::open(&config).await?;
        let held = Arc::clone(&leases);
        let directory = Arc::new(Directory::load(Arc::clone(&store)).await.context("reading the directory")?);
        let recovery = store.recovery();
        let seed = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("the system has no randomness to give"))?
            .expose();
        let mut ids = EventIds::new(u64::from_ne_bytes(seed));
        if let Some(last) = recovery.last_event {
            ids = ids.after(last);
        }
        let transport = TransportConfig { max_sockets: files::sockets_for_receivers(), ..config.transport() };
        let transport = Transport::new(transport)?;
        let (tracer, exporting) = match &config.trace.otlp_url {
            Some(url) => {
                let (tracer, spans) = Tracer::new(config.trace.sample);
                (Some(tracer), Some(traces::start(spans, url.clone(), transport.clone())))
            }
            None => (None, None),
        };
        let engine = Engine::start(Parts {
            store: Arc::clone(&store),
            directory: Arc::clone(&directory),
            transport,
            tracer,
            config: engine_config(&config),
            clock: Clock::System,
            ids,
            leases,
            cluster: membership.clone(),
        })
        .await
        .context("starting the engine")?;

        let admin = first_start::admin(&config, &*store).await?;
        let auth = Auth::load(&*store, admin.digest()).await?;
        let state = ApiState {
            directory: Arc::clone(&directory),
            store: Arc::clone(&store),
            engine: Arc::new(engine.clone()),
            cluster: membership.clone().unwrap_or_else(|| storage::alone(&config)),
            targets: config.targets.clone(),
            auth,
            limits: Limits::default(),
            intake: Intake::new(config.limits.max_in_flight_bytes.max(4 * config.limits.max_body_bytes as u64)),
        };
        let limits = IngestLimits {
            max_body_bytes: config.limits.max_body_bytes,
            max_events: config.limits.max_events_per_request,
            ..IngestLimits::default()
        };
        let shown = metrics.clone();
        let shared = Shared::new(state, limits, Arc::new(move || shown.render()));
        let runtimes = Runtimes::default();
        engine.runtimes().iter().for_each(|(kind, runtime)| runtimes.join(kind, runtime.clone()));
        runtimes.join("main", tokio::runtime::Handle::current());
        let (server, addr) = server::bind(&config, shared, &runtimes)?;
        let handle = server.handle();
        let serving = actix::spawn(server);
        let keeper = actix::spawn(keeper::run(Arc::clone(&store), config.retention));
        let observer = Observer {
            store: Arc::clone(&store),
            store_kind: if config.redis_url.is_some() { "redis" } else { "embedded" },
            directory,
            engine: engine.clone(),
            leases: held,
            recorder: metrics,
            runtimes,
        };
        let observer = actix::spawn(observer.run());
        tracing::info!(%addr, durability = ?store.durability(), "serving");
        if let Admin::New(token) = &admin {
            first_start::greet(addr, token, &config.targets);
        }
        let admin_token = admin.token().map(str::to_owned);
        Ok(Self { membership, store, engine, server: handle, serving, keeper, observer, exporting, addr, admin_token })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Known only when it was configured or made by this start.
    pub(super) fn admin_token(&self) -> Option<&str> {
        self.admin_token.as_deref()
    }

    /// The phases of the shutdown; see `crate::shutdown`.
    pub(super) async fn end(self, stop: &Stop, Patience { delay, grace }: Patience) -> anyhow::Result<()> {
        tracing::info!(phase = "not ready", ?delay, "shutdown");
        self.engine.announce_end();
        stop.patiently(delay).await;
        tracing::info!(phase = "refusing", "shutdown");
        self.engine.refuse_ingest();
        self.keeper.abort();
        self.observer.abort();
        tracing::info!(phase = "draining", in_flight = self.engine.in_flight(), ?grace, "shutdown");
        // Shards go to others one by one, as what is in flight there ends: none waits for the slowest receiver of all.
        let leave = async |patience| {
            if let Some(membership) = &self.membership {
                membership.leave(patience).await;
            }
        };
        let left = tokio::select! {
            (left, ()) = async { tokio::join!(self.engine.drain(grace), leave(grace)) } => left,
            () = stop.hurried() => self.engine.in_flight(),
        };
        if left > 0 {
            tracing::warn!(
                left,
                "attempts were still in flight at the end of the grace period; they are made again after the next start"
            );
        }
        tracing::info!(phase = "flushing", "shutdown");
        self.server.stop(false).await;
        let _ended = tokio::time::timeout(SERVER_GRACE, self.serving).await;
        self.engine.flush().await.context("making the last settlements durable")?;
        leave(Duration::ZERO).await;
        self.engine.stop();
        self.store.close().await.context("closing the store")?;
        if let Some(exporting) = self.exporting {
            exporting.end().await;
        }
        repeats::tell_all();
        tracing::info!(phase = "closed", "shutdown");
        Ok(())
    }
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        threads: config.engine_threads,
        memory_budget_bytes: config.memory_budget_bytes,
        max_ingest_bytes: config.limits.max_in_flight_bytes,
        max_backlog: config.limits.max_backlog,
        breaker: config.breaker,
        retry: config.retry,
        disable_after: config.disable_after,
        send_traceparent: config.trace.send,
        ..EngineConfig::default()
    }
}
