//! Counters and histograms to which each thread adds in a place of its own, summed when somebody looks.
//!
//! A delivery makes some ten of these additions. On one counter the engine's threads take the memory from each other; the exporter's
//! histograms besides keep each value with its time until they are looked at: at full speed 20 MB a second.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::{Counter, CounterFn, HistogramFn, Key, Label};
use parking_lot::Mutex;

/// More threads than that share places, which is right as well.
const PLACES: usize = 8;
/// Numbers that one processor takes from another together.
const LINE: usize = 8;

fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static PLACE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % PLACES));
    PLACE.get()
}

/// The same few numbers in each place.
#[derive(Debug)]
struct Cells {
    width: usize,
    all: Box<[AtomicU64]>,
}

impl Cells {
    fn new(count: usize) -> Self {
        let width = (count + LINE).next_multiple_of(2 * LINE);
        Self { width, all: (0..PLACES * width).map(|_| AtomicU64::new(0)).collect() }
    }

    fn here(&self, number: usize) -> &AtomicU64 {
        &self.all[place() * self.width + number]
    }

    fn everywhere(&self, number: usize) -> impl Iterator<Item = u64> {
        self.all.iter().skip(number).step_by(self.width).map(|cell| cell.load(Ordering::Relaxed))
    }
}

/// Adds up here, and is told to the exporter's own counter when somebody looks. One that is set is not added to.
#[derive(Debug)]
struct FoldedCounter {
    cells: Cells,
    exported: Counter,
}

impl CounterFn for FoldedCounter {
    fn increment(&self, value: u64) {
        self.cells.here(0).fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.exported.absolute(value);
    }
}

/// Counts by bucket, the last without an upper bound, and the sum of all values.
#[derive(Debug)]
struct FoldedHistogram {
    /// Each the greatest value of its bucket.
    bounds: &'static [f64],
    cells: Cells,
}

impl FoldedHistogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, cells: Cells::new(bounds.len() + 2) }
    }

    const fn sum_at(&self) -> usize {
        self.bounds.len() + 1
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        let bounds = self.bounds.iter().map(|bound| format!("{bound}")).chain(["+Inf".to_owned()]);
        for (bucket, bound) in bounds.enumerate() {
            count += self.cells.everywhere(bucket).sum::<u64>();
            line(text, format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"));
        }
        let sum = self.cells.everywhere(self.sum_at()).map(f64::from_bits).sum::<f64>();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        line(text, format_args!("{name}_sum{labels} {sum}"));
        line(text, format_args!("{name}_count{labels} {count}"));
    }
}

impl HistogramFn for FoldedHistogram {
    fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.cells.here(bucket).fetch_add(1, Ordering::Relaxed);
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It always answers a sum.
        let _before = self.cells.here(self.sum_at()).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

/// All of them, by their names.
#[derive(Debug, Default)]
pub struct Folded {
    counters: Mutex<BTreeMap<Key, Arc<FoldedCounter>>>,
    histograms: Mutex<BTreeMap<String, Family>>,
}

/// Histograms of one name, by their labels as they are written.
#[derive(Debug, Default)]
struct Family {
    help: String,
    series: BTreeMap<String, Arc<FoldedHistogram>>,
}

impl Folded {
    /// `exported`: the exporter's, made only once.
    pub fn counter(&self, key: &Key, exported: impl FnOnce() -> Counter) -> Counter {
        let mut counters = self.counters.lock();
        let new = || Arc::new(FoldedCounter { cells: Cells::new(1), exported: exported() });
        Counter::from_arc(Arc::clone(counters.entry(key.clone()).or_insert_with(new)))
    }

    pub fn describe_histogram(&self, name: &str, help: &str) {
        help.clone_into(&mut self.histograms.lock().entry(name.to_owned()).or_default().help);
    }

    /// With `bounds` when it is new.
    pub fn histogram(&self, key: &Key, bounds: &'static [f64]) -> metrics::Histogram {
        let labels: Vec<_> = key.labels().map(label).collect();
        let mut histograms = self.histograms.lock();
        let family = histograms.entry(key.name().to_owned()).or_default();
        let series = family.series.entry(labels.join(","));
        metrics::Histogram::from_arc(Arc::clone(series.or_insert_with(|| Arc::new(FoldedHistogram::new(bounds)))))
    }

    /// Tells the exporter's counters what has been added here.
    pub fn tell_counters(&self) {
        for counter in self.counters.lock().values() {
            counter.exported.absolute(counter.cells.everywhere(0).sum());
        }
    }

    /// In the Prometheus text format 0.0.4.
    pub fn write_histograms(&self, text: &mut String) {
        for (name, Family { help, series }) in
            self.histograms.lock().iter().filter(|(_, family)| !family.series.is_empty())
        {
            if !help.is_empty() {
                line(text, format_args!("# HELP {name} {help}"));
            }
            line(text, format_args!("# TYPE {name} histogram"));
            for (labels, histogram) in series {
                histogram.write(text, name, labels);
            }
            text.push('\n');
        }
    }
}

fn label(label: &Label) -> String {
    let value = label.value().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!("{}=\"{value}\"", label.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_record_is_one_histogram() {
        let folded = Folded::default();
        folded.describe_histogram("wait_seconds", "Of waiting.");
        folded.describe_histogram("other_seconds", "Without series.");
        let key = Key::from_parts("wait_seconds", vec![Label::new("why", "a \"b\"")]);
        let histogram = folded.histogram(&key, &[0.1, 1.0]);
        let threads = (0..2 * PLACES).map(|_| {
            let (of_thread, same) = (histogram.clone(), folded.histogram(&key, &[0.1, 1.0]));
            std::thread::spawn(move || {
                for value in [0.05, 0.1, 0.5, 7.0] {
                    let to = if value > 1.0 { &same } else { &of_thread };
                    to.record(value);
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        let mut text = String::new();
        folded.write_histograms(&mut text);
        let expected = "# HELP wait_seconds Of waiting.\n# TYPE wait_seconds histogram\n\
            wait_seconds_bucket{why=\"a \\\"b\\\"\",le=\"0.1\"} 32\n\
            wait_seconds_bucket{why=\"a \\\"b\\\"\",le=\"1\"} 48\n\
            wait_seconds_bucket{why=\"a \\\"b\\\"\",le=\"+Inf\"} 64\n\
            wait_seconds_sum{why=\"a \\\"b\\\"\"} 122.4\n\
            wait_seconds_count{why=\"a \\\"b\\\"\"} 64\n\n";
        let sum_of = |text: &str| {
            let line = text.lines().find(|line| line.contains("_sum")).unwrap();
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        assert!((sum_of(&text) - sum_of(expected)).abs() < 1e-9, "{text}");
        let but_sum = |text: &str| text.lines().filter(|line| !line.contains("_sum")).collect::<Vec<_>>().join("\n");
        assert_eq!(but_sum(&text), but_sum(expected));
    }

    #[test]
    fn a_counter_is_the_sum_of_its_places_and_may_be_set() {
        let (folded, exported) = (Folded::default(), Arc::new(AtomicU64::new(0)));
        let key = Key::from_name("seen_total");
        let counter = || folded.counter(&key, || Counter::from_arc(Arc::clone(&exported)));
        let threads = (0..2 * PLACES).map(|_| {
            let counter = counter();
            std::thread::spawn(move || counter.increment(2))
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        folded.tell_counters();
        assert_eq!(exported.load(Ordering::Relaxed), 4 * PLACES as u64);
        counter().absolute(1_000);
        folded.tell_counters();
        assert_eq!(exported.load(Ordering::Relaxed), 1_000);
    }
}
