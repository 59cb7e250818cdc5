//! The live view: redrawn in place on a terminal, a plain line now and then elsewhere.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::station::Station;
use super::traffic::Accepted;
use crate::commands::listen::Ledger;
use crate::commands::paint::Paint;

pub const REFRESH: Duration = Duration::from_millis(250);
/// Rates are of the last second.
const RATE_OVER: usize = 4;
/// Plain lines come each second.
const PLAIN_EVERY: u32 = 4;

/// Counters at one refresh.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    accepted: u64,
    delivered: u64,
}

pub struct Board {
    paint: Paint,
    live: bool,
    begun: Instant,
    samples: VecDeque<Sample>,
    drawn_lines: usize,
    refreshes: u32,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Board {
    pub fn new() -> Self {
        Self {
            paint: Paint::for_stdout(),
            live: std::io::stdout().is_terminal(),
            begun: Instant::now(),
            samples: VecDeque::new(),
            drawn_lines: 0,
            refreshes: 0,
        }
    }

    /// Draws the state now. A terminal that went away is no error.
    pub fn refresh(&mut self, stations: &[Station], accepted: &Accepted, ledger: &Ledger) {
        let delivered = ledger.totals().0;
        let now = Sample { at: Instant::now(), accepted: accepted.count.load(Ordering::Relaxed), delivered };
        if self.samples.len() > RATE_OVER {
            self.samples.pop_front();
        }
        self.samples.push_back(now);
        self.refreshes += 1;
        let (accepted_rate, delivered_rate) = self.rates();
        let backlog = (now.accepted * stations.len() as u64).saturating_sub(delivered);
        let (p50, p99) = quantiles(stations);
        let head = format!(
            "{:5.1} s  accepted {accepted_rate:6.0}/s  delivered {delivered_rate:6.0}/s  backlog {backlog:6}  p50 {p50} ms  p99 {p99} ms",
            self.begun.elapsed().as_secs_f64(),
        );
        let mut out = std::io::stdout().lock();
        if !self.live {
            if self.refreshes.is_multiple_of(PLAIN_EVERY) {
                let _ = writeln!(out, "{head}");
            }
            return;
        }
        let mut text = String::new();
        if self.drawn_lines > 0 {
            // Up to the first line drawn before, and clear to the end of the screen.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn_lines);
        }
        let _ = writeln!(text, "{}", self.paint.strong(head));
        for station in stations {
            let _ = writeln!(text, "{}", station_line(station, self.paint));
        }
        self.drawn_lines = stations.len() + 1;
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Accepted and delivered a second.
    fn rates(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return (0.0, 0.0) };
        let seconds = (last.at - first.at).as_secs_f64().max(0.001);
        let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
        (rate(first.accepted, last.accepted), rate(first.delivered, last.delivered))
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

/// One line on a receiver: what it took, what it refused, how long events took to reach it.
pub fn station_line(station: &Station, paint: Paint) -> String {
    let counts = station.receiver.counts();
    let latency = station.latency.lock();
    let refused = format!("{:6} refused", counts.refused);
    let refused = if counts.refused > 0 { paint.warn(refused) } else { paint.faint(refused) };
    let bad = if counts.bad_signatures > 0 {
        paint.bad(format_args!("  {} bad signatures", counts.bad_signatures))
    } else {
        String::new()
    };
    format!(
        "  {:10} {:8} taken {refused}  {:4} connections  p50 {} ms  p99 {} ms{bad}",
        station.name,
        counts.taken,
        counts.connections,
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
    )
}

/// p50 and p99 over all receivers, in milliseconds.
pub fn quantiles(stations: &[Station]) -> (u64, u64) {
    let mut all = Histogram::<u64>::new_with_bounds(1, 3_600_000, 3).expect("the bounds are valid");
    for station in stations {
        // Same bounds: always fits.
        let _ = all.add(&*station.latency.lock());
    }
    (all.value_at_quantile(0.5), all.value_at_quantile(0.99))
}
