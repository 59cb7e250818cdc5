//! What a decision costs. The bar: a delivery's way through its gate (admit and finish) in 200 ns at most.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use pombo::domain::{Failure, FailureCode, Outcome, Phases, RateLimit, RetryPolicy};
use pombo::policy::{
    Breaker, BreakerConfig, Gate, GateConfig, Pace, RetryLimits, Window, WindowConfig, classify, next_attempt,
};

const BREAKER: BreakerConfig =
    BreakerConfig { failures: 5, open_for: Duration::from_secs(5), max_open: Duration::from_mins(5), ramp_steps: 5 };
const STEP: Duration = Duration::from_micros(50);
const LATENCY: Duration = Duration::from_millis(20);

fn gate(c: &mut Criterion) {
    let config = GateConfig { breaker: BREAKER, concurrency: 32, initial_window: 4, rate_limit: None };
    // A limit that the bench's virtual time (one start each 50 µs) never reaches, so every start is admitted and logged.
    let fast = RateLimit { limit: 50_000, period_ms: 1_000, burst: 1_000 };
    for (name, rate_limit) in [("gate/admit+finish", None), ("gate/admit+finish, rate-limited", Some(fast))] {
        let mut now = Instant::now();
        let mut gate = Gate::new(GateConfig { rate_limit, ..config }, now);
        c.bench_function(name, |b| {
            b.iter(|| {
                now += STEP;
                let permit = gate.admit(now).expect("a healthy receiver under its limit");
                gate.finish(black_box(permit), true, true, LATENCY, now);
            });
        });
    }
    let now = Instant::now();
    let mut full = Gate::new(GateConfig { initial_window: 1, ..config }, now);
    let _permit = full.admit(now).expect("a fresh gate");
    c.bench_function("gate/refused", |b| b.iter(|| black_box(full.admit(black_box(now))).is_err()));
}

fn pace(c: &mut Criterion) {
    for limit in [50_u32, 4_000, 100_000] {
        let mut now = Instant::now();
        let mut pace = Pace::new(Some(RateLimit { limit, period_ms: 1_000, burst: limit.div_ceil(10) }), now);
        c.bench_function(&format!("pace/take at its limit, {limit}/s"), |b| {
            b.iter(|| {
                if let Err(until) = pace.take(now) {
                    now = until;
                }
            });
        });
    }
}

fn breaker_and_window(c: &mut Criterion) {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(BREAKER);
    c.bench_function("breaker/start+success", |b| {
        b.iter(|| {
            now += STEP;
            let request = breaker.on_start(now);
            breaker.on_success(black_box(request), now);
        });
    });
    let mut window = Window::new(WindowConfig { initial: 4, max: 32 });
    c.bench_function("window/success", |b| {
        b.iter(|| {
            now += STEP;
            window.on_success(black_box(LATENCY), 32, now);
        });
    });
}

fn verdicts(c: &mut Criterion) {
    let policy = RetryPolicy { give_up_status: vec![400, 401, 403, 404, 422], ..RetryPolicy::default() };
    let limits = RetryLimits { jitter: 0.2, max_retry_after: Duration::from_hours(1) };
    let failed = Outcome {
        status: 503,
        failure: Some(Failure { code: FailureCode::Status, detail: "HTTP 503".into() }),
        retry_after_s: Some(30),
        snippet: bytes::Bytes::new(),
        phases: Phases::default(),
    };
    c.bench_function("classify/503", |b| b.iter(|| classify(black_box(&failed), &policy)));
    c.bench_function("retry/next_attempt", |b| {
        b.iter(|| next_attempt(&policy, &limits, black_box(3), Some(LATENCY), 0.3));
    });
}

criterion_group!(benches, gate, pace, breaker_and_window, verdicts);
criterion_main!(benches);
