//! What actix costs here: messages within a thread and across two, a port with credits beside a bounded channel, an actor's life,
//! and the price of futures in a context, which is why none are spawned there.
//!
//! A message's price is measured in bursts, the last of which is answered; a question's in turns, one after the other.
//! Before criterion's medians a line tells what memory an idle actor takes.

use std::hint::black_box;
use std::sync::Arc;

use actix::fut::WrapFuture as _;
use actix::{Actor, ActorContext as _, Addr, Arbiter, AsyncContext as _, Context, Handler, Message, System};
use criterion::async_executor::AsyncExecutor;
use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages of which the last is answered.
const BURST: u64 = 1_000;
/// What may be on its way through a port, as messages.
const CREDITS: usize = 256;
const IDLE_ACTORS: usize = 10_000;
const FUTURES: [usize; 3] = [1, 100, 10_000];

/// Runs futures on the actix system of this thread.
struct OnSystem(actix::SystemRunner);

impl AsyncExecutor for &OnSystem {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

/// Counts what it is told. `futures` wait in its context for ever, as timers would.
#[derive(Default)]
struct CounterActor {
    count: u64,
    futures: usize,
    /// Dropped with the actor: tells that it is gone.
    _alive: Option<oneshot::Sender<()>>,
}

/// Told, and answered only if asked to.
#[derive(Default, Message)]
#[rtype(result = "()")]
struct Note {
    credit: Option<OwnedSemaphorePermit>,
    ack: Option<oneshot::Sender<()>>,
}

/// Asked: the answer is the count.
#[derive(Message)]
#[rtype(result = "u64")]
struct Ask;

#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Actor for CounterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..self.futures {
            ctx.spawn(std::future::pending::<()>().into_actor(self));
        }
    }
}

impl Handler<Note> for CounterActor {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        take(&mut self.count, note);
    }
}

impl Handler<Ask> for CounterActor {
    type Result = u64;

    fn handle(&mut self, _: Ask, _: &mut Context<Self>) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Handler<End> for CounterActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// The work of a message, the same behind a mailbox and behind a channel.
fn take(count: &mut u64, note: Note) {
    *count = black_box(*count + 1);
    drop(note.credit);
    if let Some(ack) = note.ack {
        let _nobody_waits = ack.send(());
    }
}

/// The note at this place of a burst, and what to wait for if it is the last.
fn note(place: u64) -> (Note, Option<oneshot::Receiver<()>>) {
    if place + 1 < BURST {
        return (Note::default(), None);
    }
    let (ack, acked) = oneshot::channel();
    (Note { ack: Some(ack), ..Note::default() }, Some(acked))
}

/// Credit is taken by nobody: the mailbox grows by the burst.
async fn burst(to: &Addr<CounterActor>) {
    for place in 0..BURST {
        let (note, last) = note(place);
        to.do_send(note);
        if let Some(acked) = last {
            acked.await.expect("the actor runs");
        }
    }
}

/// As the engine sends: credit first, given back by the handler.
async fn burst_with_credit(to: &Addr<CounterActor>, credits: &Arc<Semaphore>) {
    for place in 0..BURST {
        let credit = Arc::clone(credits).acquire_owned().await.expect("never closed");
        let (note, last) = note(place);
        to.do_send(Note { credit: Some(credit), ..note });
        if let Some(acked) = last {
            acked.await.expect("the actor runs");
        }
    }
}

async fn burst_through(channel: &mpsc::Sender<Note>) {
    for place in 0..BURST {
        let (note, last) = note(place);
        channel.send(note).await.expect("the task runs");
        if let Some(acked) = last {
            acked.await.expect("the task runs");
        }
    }
}

/// The task behind a channel.
async fn receive(mut notes: mpsc::Receiver<Note>) {
    let mut count = 0;
    while let Some(note) = notes.recv().await {
        take(&mut count, note);
    }
}

/// An actor and a channel on this thread, and the same on another.
fn places(system: &OnSystem, arbiter: &Arbiter) -> [(&'static str, Addr<CounterActor>, mpsc::Sender<Note>); 2] {
    let (near, near_notes) = mpsc::channel(CREDITS);
    let (far, far_notes) = mpsc::channel(CREDITS);
    let here = system.0.block_on(async move {
        actix::spawn(receive(near_notes));
        CounterActor::default().start()
    });
    assert!(arbiter.spawn(receive(far_notes)), "the arbiter runs");
    let there = CounterActor::start_in_arbiter(&arbiter.handle(), |_| CounterActor::default());
    [("same thread", here, near), ("across threads", there, far)]
}

fn messages(criterion: &mut Criterion, system: &OnSystem, arbiter: &Arbiter) {
    for (place, actor, channel) in &places(system, arbiter) {
        let mut group = criterion.benchmark_group(format!("question, {place}"));
        group.bench_function("send", |bencher| {
            bencher.to_async(system).iter(async || actor.send(Ask).await.expect("the actor runs"));
        });
        group.bench_function("do_send and ack", |bencher| {
            bencher.to_async(system).iter(async || {
                let (ack, acked) = oneshot::channel();
                actor.do_send(Note { ack: Some(ack), ..Note::default() });
                acked.await.expect("the actor runs");
            });
        });
        group.finish();

        let mut group = criterion.benchmark_group(format!("burst of {BURST}, {place}"));
        group.throughput(Throughput::Elements(BURST));
        group.bench_function("do_send", |bencher| bencher.to_async(system).iter(|| burst(actor)));
        let credits = Arc::new(Semaphore::new(CREDITS));
        group.bench_function("do_send with credit", |bencher| {
            bencher.to_async(system).iter(|| burst_with_credit(actor, &credits));
        });
        group.bench_function("mpsc", |bencher| bencher.to_async(system).iter(|| burst_through(channel)));
        group.finish();
    }
}

fn life(criterion: &mut Criterion, system: &OnSystem) {
    criterion.bench_function("actor/start and end", |bencher| {
        bencher.to_async(system).iter(async || {
            let (alive, gone) = oneshot::channel();
            let actor = CounterActor { _alive: Some(alive), ..CounterActor::default() }.start();
            actor.do_send(End);
            gone.await.expect_err("it ends by being dropped");
        });
    });
}

/// Each future of a context is polled whenever the context is woken, by a message too.
fn futures_in_context(criterion: &mut Criterion, system: &OnSystem) {
    let mut group = criterion.benchmark_group("question to an actor with futures in its context");
    for futures in FUTURES {
        let actor = system.0.block_on(async { CounterActor { futures, ..CounterActor::default() }.start() });
        group.bench_function(BenchmarkId::from_parameter(futures), |bencher| {
            bencher.to_async(system).iter(async || actor.send(Ask).await.expect("the actor runs"));
        });
    }
    group.finish();
}

/// Resident memory of this process in bytes, from `/proc/self/statm`.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}

/// Actors that have started, answered once and wait.
async fn idle(count: usize) -> Vec<Addr<CounterActor>> {
    let actors: Vec<_> = (0..count).map(|_| CounterActor::default().start()).collect();
    for actor in &actors {
        assert_eq!(actor.send(Ask).await.ok(), Some(1));
    }
    actors
}

fn report_memory(system: &OnSystem) {
    // What the first ones need for good (pages of the allocator, the runtime's queue) is no actor's.
    drop(system.0.block_on(idle(100)));
    let before = resident_bytes();
    let actors = system.0.block_on(idle(IDLE_ACTORS));
    let grown = resident_bytes().saturating_sub(before);
    println!("an idle actor takes {} bytes: {grown} for {}", grown / actors.len() as u64, actors.len());
}

fn main() {
    let system = OnSystem(System::new());
    report_memory(&system);
    let arbiter = Arbiter::new();
    let mut criterion = Criterion::default().configure_from_args();
    messages(&mut criterion, &system, &arbiter);
    life(&mut criterion, &system);
    futures_in_context(&mut criterion, &system);
    criterion.final_summary();
    arbiter.stop();
    arbiter.join().expect("the other thread ends");
}
