//! The process: parts built and joined, served, and taken down in order. `main`, the demo and the tests all start here.

mod build;
mod files;
mod first_start;
mod keeper;
mod observer;
mod requirements;
mod runtimes;
mod server;
mod storage;
mod store_meters;
mod traces;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::oneshot;

use self::build::{Patience, Running};
use crate::config::Config;
use crate::shutdown::{self, Stop};

/// Serves until a signal asks to stop. Called on the main thread; builds its own actix system.
///
/// # Errors
/// When a part cannot be started or closed.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let patience = Patience::of(&config);
    actix::System::new().block_on(async move {
        let stop = Stop::default();
        let running = Running::build(config).await?;
        let signals = actix::spawn(shutdown::listen_for_signals(stop.clone()));
        tokio::select! {
            () = stop.asked() => {}
            failed = signals => failed.context("the signal task died")?.context("signals cannot be caught")?,
        }
        running.end(&stop, patience).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts the same on a thread of its own and answers when it serves: for the demo and for tests.
///
/// # Errors
/// When a part cannot be started.
pub fn start(config: Config) -> anyhow::Result<App> {
    let stop = Stop::default();
    let (ready, started) = oneshot::channel();
    let patience = Patience::of(&config);
    let thread = std::thread::Builder::new().name("pombo".into()).spawn({
        let stop = stop.clone();
        move || {
            actix::System::new().block_on(async move {
                let running = match Running::build(config).await {
                    Ok(running) => running,
                    Err(error) => {
                        let _nobody_waits = ready.send(Err(error));
                        return Ok(());
                    }
                };
                let _nobody_waits = ready.send(Ok((running.addr(), running.admin_token().map(str::to_owned))));
                stop.asked().await;
                running.end(&stop, patience).await
            })
        }
    })?;
    let (addr, admin_token) = started.blocking_recv().context("the process died while it started")??;
    Ok(App { addr, admin_token: admin_token.unwrap_or_default(), stop, thread })
}

/// A process within the process.
#[derive(Debug)]
pub struct App {
    addr: SocketAddr,
    admin_token: String,
    stop: Stop,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl App {
    /// Where the API listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The admin token of the configuration, or the one made on this first start.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Runs the shutdown phases and waits for them.
    ///
    /// # Errors
    /// When a part could not be closed cleanly.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.ask();
        self.thread.join().map_err(|_| anyhow::anyhow!("the process's thread panicked"))?
    }
}
