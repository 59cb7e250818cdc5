//! What a process has used, from `/proc`.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Since the start of the process; over all its threads.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    pub user_us: u64,
    pub system_us: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
}

impl Usage {
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        // The name in brackets may hold spaces.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut times = fields.split(' ').skip(11).map(|ticks| ticks.parse::<u64>().unwrap_or_default());
        let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second();
        let (user, system) = (times.next().unwrap_or_default(), times.next().unwrap_or_default());
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mut usage = Self {
            user_us: user * tick_us,
            system_us: system * tick_us,
            rss_bytes: field(&status, "VmRSS:") << 10,
            peak_rss_bytes: field(&status, "VmHWM:") << 10,
            ..Self::default()
        };
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may have ended since the folder was read.
            let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
            usage.voluntary_switches += field(&status, "voluntary_ctxt_switches:");
            usage.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(usage)
    }

    pub fn of_this_process() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }

    pub const fn cpu_us(&self) -> u64 {
        self.user_us + self.system_us
    }

    /// What was used since `earlier`; the memory figures are those of now.
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
            rss_bytes: self.rss_bytes,
            peak_rss_bytes: self.peak_rss_bytes,
        }
    }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub model: String,
    pub kernel: String,
    pub memory_mib: u64,
}

impl Machine {
    pub fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            memory_mib: field(&memory, "MemTotal:") >> 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_cpu_shows_in_the_usage() {
        let before = Usage::of_this_process().expect("own /proc entry");
        let begun = crate::clock::thread_cpu();
        let mut sum = 0_u64;
        while crate::clock::thread_cpu().saturating_sub(begun).as_millis() < 60 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let used = Usage::of_this_process().expect("own /proc entry").since(&before);
        assert!(used.cpu_us() >= 40_000, "{used:?}");
        assert!(used.rss_bytes > 0 && used.peak_rss_bytes >= used.rss_bytes);
    }
}
