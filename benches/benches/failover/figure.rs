//! What is printed: times, their targets, the load of the machine and the time of a sync.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use trefoil_benches::is_test;

use crate::say;

/// Some times, in order.
#[derive(Clone, Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The least that so many percent do not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let at = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} runs)",
            at(50),
            at(99),
            at(100),
            self.0.len()
        )
    }
}

/// The most that a percentile may be.
pub(crate) type Bound = (usize, Duration);

/// Prints times beside what they may be.
pub(crate) fn report(what: &str, times: &Times, bounds: &[Bound]) {
    let met = bounds
        .iter()
        .all(|(percent, most)| times.percentile(*percent) <= *most);
    let told = match met {
        _ if is_test() => "not judged",
        _ if bounds.is_empty() => "no target",
        true => "met",
        false => "MISSED",
    };
    let bounds: Vec<String> = bounds
        .iter()
        .map(|(percent, most)| format!("p{percent} {} ms", most.as_millis()))
        .collect();
    let bounds = bounds.join(", ");
    say(&format!(
        "{what}: {times}; target {bounds}: {told}; load {}",
        load()
    ));
}

/// How busy the machine is, where the system says so: over one, five and fifteen minutes.
pub(crate) fn load() -> String {
    let file = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = file.split_whitespace().take(3).collect();
    load.join(" ")
}

/// How long it takes to make four KiB durable where the voters keep their votes.
pub(crate) struct Syncs {
    file: File,
    times: Vec<Duration>,
}

impl Syncs {
    pub(crate) fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover-sync");
        let file = File::create(path).expect("a file");
        let times = Vec::new();
        Self { file, times }
    }

    pub(crate) fn take(&mut self) {
        for _ in 0..5 {
            let begun = Instant::now();
            self.file.rewind().expect("a file");
            self.file.write_all(&[0x5a; 4096]).expect("a disk");
            self.file.sync_data().expect("a disk");
            self.times.push(begun.elapsed());
        }
    }

    pub(crate) fn times(self) -> Times {
        Times::of(self.times)
    }
}
