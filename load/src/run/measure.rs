//! One run: floor, receivers, engine, generator, drain, count.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tokio::net::TcpSocket;

use super::RunArgs;
use crate::engine::{Engine, TOKEN};
use crate::floor::{self, FloorArgs};
use crate::plan::{Outcome, Pace, Plan};
use crate::processes::{Process, Receiver};
use crate::receive::{self, Behaviour, Expected, Progress, Verdict};
use crate::report::{Costs, Run, Sample};
use crate::scenario::{Mode, Scenario};
use crate::temporary::TemporaryFolder;
use crate::usage::Usage;
use crate::{api, clock};

const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// After everything has arrived: whether something arrives again.
const LISTEN_ON: Duration = Duration::from_millis(500);
const END_WITHIN: Duration = Duration::from_mins(1);
/// Of the envelope around an event's data.
const ENVELOPE_BYTES: usize = 200;

pub fn once(scenario: &Scenario, program: &Path, args: &RunArgs) -> anyhow::Result<Run> {
    let folder = TemporaryFolder::make(args.data_parent.as_deref())?;
    let floor = floor::measure(&FloorArgs {
        body_bytes: scenario.load.body_bytes + ENVELOPE_BYTES,
        connections: 32,
        seconds: args.floor_seconds,
        tls: scenario.tls,
    })
    .context("the floor")?;
    let certificate = scenario.tls.then(|| folder.path().join("ca.pem"));
    let behaviours: Vec<Behaviour> = scenario.webhooks.iter().map(|webhooks| webhooks.behaviour).collect();
    let receiver = Receiver::start(&behaviours, scenario.is_ordered(), certificate.as_deref())?;
    let engine = Engine::start(program, folder.path(), certificate.as_deref(), &scenario.engine)?;
    let dead = DeadPort::reserve()?;
    let set_up = Instant::now();
    let webhooks = |instance| webhooks(scenario, instance, &receiver, &dead);
    let instances = api::set_up(engine.addr, TOKEN, scenario.load.instances, &webhooks).context("setting up")?;
    let set_up = set_up.elapsed();
    eprintln!("engine {}, receiver {}, set up in {set_up:.1?}", engine.process.pid(), receiver.process.pid());

    let mut watch = Watch { engine: &engine, receiver: &receiver, begun: Instant::now(), samples: Vec::new() };
    let (engine_before, receiver_before) = (engine.process.usage()?, receiver.process.usage()?);
    let draining = scenario.load.mode == Mode::Drain;
    if draining {
        api::each_webhook(engine.addr, TOKEN, &instances, "pause").context("pausing")?;
    }
    let plan = plan(scenario, &engine, &receiver, instances.iter().map(|instance| instance.id.clone()).collect());
    let outcome = generate(&plan, folder.path(), &mut watch)?;
    let (mut engine_from, mut receiver_from, mut from) = (engine_before, receiver_before, outcome.measured_from);
    if draining {
        (engine_from, receiver_from, from) = (engine.process.usage()?, receiver.process.usage()?, clock::now());
        api::each_webhook(engine.addr, TOKEN, &instances, "resume").context("resuming")?;
    }
    let must_deliver = scenario.must_deliver();
    let fan_out = must_deliver.iter().filter(|must| **must).count() as u64;
    let owed = (outcome.events_sent() - outcome.events_refused()) * fan_out;
    let delivered = watch.drain(owed, Duration::from_secs_f64(scenario.load.patience))?;
    clock::pause(LISTEN_ON);

    let (engine_after, receiver_after) = (engine.process.usage()?, receiver.process.usage()?);
    let report: receive::Report = receiver.ask("/report", &Value::Null)?;
    let expected = Expected { must_deliver, sent: outcome.sent.clone(), refused: outcome.refused.clone() };
    let verdict: Verdict = receiver.ask("/verify", &json!(expected))?;
    let costs = Costs {
        engine: engine_after.since(&engine_from),
        receiver: receiver_after.since(&receiver_from),
        generator: outcome.usage,
    };
    let samples = watch.samples;
    let durability = engine.durability.clone();
    let ended = engine.process.end(END_WITHIN).context("ending the engine");
    if args.keep {
        println!("the engine's folder is kept: {}", folder.path().display());
        std::mem::forget(folder);
    }
    let mut run = Run::new(scenario, floor, &outcome, report, verdict, costs, samples, from);
    run.durability = durability;
    run.set_up_seconds = set_up.as_secs_f64();
    run.owed = owed;
    if delivered < owed {
        run.failures.push(format!("{delivered} of {owed} deliveries arrived"));
    }
    match ended {
        Ok(took) => run.stop_seconds = took.as_secs_f64(),
        Err(error) => run.failures.push(format!("{error:#}")),
    }
    Ok(run)
}

fn plan(scenario: &Scenario, engine: &Engine, receiver: &Receiver, instances: Vec<String>) -> Plan {
    let load = &scenario.load;
    let pace = match load.mode {
        Mode::Open => Pace::Open(scenario.phases()),
        Mode::Closed => Pace::Closed {
            seconds: load.seconds,
            in_flight: load.in_flight,
            fan_out: scenario.must_deliver().iter().filter(|must| **must).count() as u64,
            receiver: receiver.addresses.control,
        },
        Mode::Drain => Pace::Fill { events: load.events },
    };
    Plan {
        engine: engine.addr,
        token: TOKEN.to_owned(),
        instances,
        connections: load.connections,
        batch: load.batch,
        body_bytes: load.body_bytes,
        chats: load.chats,
        ids: load.ids,
        pace,
        warmup: load.warmup,
    }
}

/// The API's fields for the webhooks of an instance.
fn webhooks(scenario: &Scenario, instance: usize, receiver: &Receiver, dead: &DeadPort) -> Vec<Map<String, Value>> {
    let fan_out = scenario.classes().count();
    let scheme = if scenario.tls { "https" } else { "http" };
    let fields = scenario.classes().enumerate().map(|(webhook, (class, webhooks))| {
        let addr = if matches!(webhooks.behaviour, Behaviour::Dead) {
            dead.addr()
        } else {
            let host = receive::host_of((instance % usize::from(receive::HOSTS)) as u8 + 1);
            SocketAddr::from((host, receiver.addresses.deliveries.port()))
        };
        let mut fields = webhooks.fields.clone();
        fields.insert("name".into(), json!(format!("w{webhook}")));
        fields.insert("enabled".into(), json!(true));
        fields.insert("url".into(), json!(format!("{scheme}://{addr}/c{class}/w{}", instance * fan_out + webhook)));
        fields
    });
    fields.collect()
}

/// A port where nobody listens.
struct DeadPort(TcpSocket);

impl DeadPort {
    fn reserve() -> std::io::Result<Self> {
        // Bound, so that nobody else gets it, and not listening, so that connections are refused.
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self(socket))
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }
}

fn generate(plan: &Plan, folder: &Path, watch: &mut Watch<'_>) -> anyhow::Result<Outcome> {
    let (plan_file, result_file) = (folder.join("plan.json"), folder.join("result.json"));
    std::fs::write(&plan_file, serde_json::to_vec(plan)?)?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut generator = Process::spawn(command.arg("generate").arg(plan_file).arg(&result_file))?;
    while !generator.has_ended().context("the generator")? {
        watch.sample()?;
        clock::pause(SAMPLE_EVERY);
    }
    serde_json::from_slice(&std::fs::read(result_file)?).context("the generator's result")
}

/// Looks at the processes from time to time.
struct Watch<'a> {
    engine: &'a Engine,
    receiver: &'a Receiver,
    begun: Instant,
    samples: Vec<Sample>,
}

impl Watch<'_> {
    fn sample(&mut self) -> anyhow::Result<u64> {
        let progress: Progress = self.receiver.ask("/progress", &Value::Null)?;
        let usage: Usage = self.engine.process.usage().context("the engine")?;
        self.samples.push(Sample {
            at: clock::now(),
            seconds: self.begun.elapsed().as_secs_f64(),
            delivered: progress.delivered,
            rss_bytes: usage.rss_bytes,
        });
        Ok(progress.delivered)
    }

    /// Until everything has arrived, or nothing has for as long as `patience`.
    fn drain(&mut self, owed: u64, patience: Duration) -> anyhow::Result<u64> {
        let (mut seen, mut last_news) = (self.sample()?, Instant::now());
        while seen < owed && last_news.elapsed() < patience {
            clock::pause(SAMPLE_EVERY);
            let now = self.sample()?;
            if now > seen {
                (seen, last_news) = (now, Instant::now());
            }
        }
        Ok(seen)
    }
}
