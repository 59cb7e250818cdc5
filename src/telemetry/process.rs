//! The process's own figures, from `/proc`; left out where there is none.

use std::fs;

use metrics::{counter, gauge};

use super::names;

/// Clock ticks a second in `/proc/self/stat`: `USER_HZ`, 100 on every Linux there is.
const TICKS_PER_SECOND: u64 = 100;

/// Sets the gauges of the process.
pub fn observe() {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
        counter!(names::PROCESS_CPU_SECONDS).absolute(stat.cpu_ticks / TICKS_PER_SECOND);
        gauge!(names::PROCESS_THREADS).set(stat.threads as f64);
        gauge!(names::PROCESS_VIRTUAL_BYTES).set(stat.virtual_bytes as f64);
        gauge!(names::PROCESS_RSS_BYTES).set((stat.rss_pages * rustix::param::page_size() as u64) as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!(names::PROCESS_FDS).set(open.count() as f64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        gauge!(names::PROCESS_MAX_FDS).set(limit as f64);
    }
}

struct Stat {
    cpu_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    rss_pages: u64,
}

/// Fields 14, 15, 20, 23 and 24, counted after the name in parentheses, which may hold anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: number(11)? + number(12)?,
        threads: number(17)?,
        virtual_bytes: number(20)?,
        rss_pages: number(21)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat =
            parse_stat("7 (a) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 4 0 100 200 321 0").expect("fields");
        assert_eq!((stat.cpu_ticks, stat.rss_pages), (300, 321));
        assert_eq!((stat.threads, stat.virtual_bytes), (4, 200));
        assert!(parse_stat("nonsense").is_none());
    }
}
