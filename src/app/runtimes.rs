//! How busy the process's runtimes are, by what runs on them: a thread that always has work is what a bound looks like.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::telemetry::names;

/// The runtimes known so far: HTTP workers join when they start. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Runtimes(Arc<Mutex<Vec<Watched>>>);

#[derive(Debug)]
struct Watched {
    kind: &'static str,
    runtime: Handle,
    /// Work time of each thread until the last look, and when that was.
    before: Vec<Duration>,
    looked_at: Instant,
}

#[derive(Clone, Copy, Default)]
struct Figures {
    threads: u64,
    tasks: u64,
    queue: u64,
    busy: f64,
}

impl Runtimes {
    pub(super) fn join(&self, kind: &'static str, runtime: Handle) {
        let before = busy_times(&runtime);
        self.0.lock().push(Watched { kind, runtime, before, looked_at: Instant::now() });
    }

    /// Sets the gauges.
    pub(super) fn observe(&self) {
        let mut sums: Vec<(&'static str, Figures)> = Vec::new();
        for watched in self.0.lock().iter_mut() {
            let found = watched.look();
            match sums.iter_mut().find(|(kind, _)| *kind == watched.kind) {
                None => sums.push((watched.kind, found)),
                Some((_, sum)) => {
                    sum.threads += found.threads;
                    sum.tasks += found.tasks;
                    sum.queue += found.queue;
                    sum.busy = sum.busy.max(found.busy);
                }
            }
        }
        for (kind, figures) in sums {
            gauge!(names::RUNTIME_THREADS, "runtime" => kind).set(figures.threads as f64);
            gauge!(names::RUNTIME_TASKS, "runtime" => kind).set(figures.tasks as f64);
            gauge!(names::RUNTIME_QUEUE, "runtime" => kind).set(figures.queue as f64);
            gauge!(names::RUNTIME_BUSY, "runtime" => kind).set(figures.busy);
        }
    }
}

impl Watched {
    fn look(&mut self) -> Figures {
        let (metrics, now) = (self.runtime.metrics(), Instant::now());
        let after = busy_times(&self.runtime);
        let elapsed = now.duration_since(self.looked_at).as_secs_f64().max(1e-3);
        let worked = after.iter().zip(&self.before).map(|(after, before)| after.saturating_sub(*before));
        let busy = worked.max().unwrap_or_default().as_secs_f64() / elapsed;
        (self.before, self.looked_at) = (after, now);
        Figures {
            threads: metrics.num_workers() as u64,
            tasks: metrics.num_alive_tasks() as u64,
            queue: metrics.global_queue_depth() as u64,
            busy: busy.min(1.0),
        }
    }
}

fn busy_times(runtime: &Handle) -> Vec<Duration> {
    let metrics = runtime.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_all_the_time_is_busy_and_one_that_sleeps_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let runtimes = Runtimes::default();
        runtimes.join("engine", runtime.handle().clone());
        let look = || runtimes.0.lock()[0].look().busy;
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(60)).await });
        let asleep = look();
        runtime.block_on(async {
            let until = Instant::now() + Duration::from_millis(60);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
        let awake = look();
        assert!(asleep < 0.5 && awake > 0.5, "{asleep} {awake}");
    }
}
