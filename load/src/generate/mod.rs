//! The generator: one thread, some keep-alive connections, requests prepared but for the numbers in them.
//!
//! Open loop: each request has its time from a fixed schedule and waits for a free connection in a queue; its latency
//! counts from that time, so a stall of the engine is charged to every request that should have been sent during it.

mod connection;
mod pace;
pub mod payload;
mod window;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use hdrhistogram::Histogram;

use self::pace::Source;
use crate::clock;
use crate::latency::{Latency, histogram};
use crate::plan::{Outcome, Plan};
use crate::usage::Usage;

/// What the connections share.
struct Shared {
    plan: Plan,
    source: Source,
    /// The next number of each instance.
    next: RefCell<Vec<u64>>,
    /// Requests so far; decides whose turn it is.
    turn: Cell<usize>,
    accept: RefCell<Histogram<u64>>,
    outcome: RefCell<Outcome>,
}

impl Shared {
    /// Instance and first number of the next request.
    fn assign(&self) -> (usize, u64) {
        let mut next = self.next.borrow_mut();
        let instance = self.turn.get() % next.len();
        self.turn.set(self.turn.get() + 1);
        let first = next[instance];
        next[instance] += self.plan.batch as u64;
        (instance, first)
    }
}

/// # Errors
/// When the plan cannot be read or the engine cannot be reached at all.
pub fn run(plan: &Path, result: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read(plan).with_context(|| plan.display().to_string())?;
    let plan: Plan = serde_json::from_slice(&text).context("the plan")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, generate(plan))?;
    std::fs::write(result, serde_json::to_vec(&outcome)?).with_context(|| result.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn generate(plan: Plan) -> anyhow::Result<Outcome> {
    let before = Usage::of_this_process()?;
    let begun = clock::now();
    let measured_from = begun + (plan.warmup * 1e9) as u64;
    let shared = Rc::new(Shared {
        source: Source::start(&plan, begun, measured_from)?,
        next: RefCell::new(vec![0; plan.instances.len()]),
        turn: Cell::new(0),
        accept: RefCell::new(histogram()),
        outcome: RefCell::new(Outcome { begun, measured_from, ..Outcome::default() }),
        plan,
    });
    let connections =
        (0..shared.plan.connections).map(|_| tokio::task::spawn_local(connection::run(Rc::clone(&shared))));
    for connection in connections.collect::<Vec<_>>() {
        connection.await.context("a connection's task died")?;
    }
    let mut outcome = shared.outcome.take();
    outcome.ended = clock::now();
    outcome.accept = Latency::of(&shared.accept.borrow());
    outcome.sent = shared.next.take();
    outcome.late_requests = shared.source.late_requests();
    outcome.usage = Usage::of_this_process()?.since(&before);
    Ok(outcome)
}
