//! Times as they are printed, and how busy the machine is.

use std::time::Duration;

/// Some times, in order.
#[derive(Clone, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// These.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The least that so many percent do not exceed; zero if there are none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let time = self.0.get(rank.max(1) - 1);
        time.copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        let (least, p50, max, runs) = (at(0), at(50), at(100), self.0.len());
        write!(
            f,
            "p50 {p50:.1} ms, min {least:.1} ms, max {max:.1} ms ({runs} runs)"
        )
    }
}

/// How busy the machine was over one, five and fifteen minutes, where the system says so.
#[must_use]
pub fn load() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = all.split_whitespace().take(3).collect();
    load.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times::of([3, 1, 2, 4].map(Duration::from_millis).to_vec());
        let at = |percent| times.percentile(percent).as_millis();
        assert_eq!([0, 25, 50, 51, 100].map(at), [1, 1, 2, 3, 4]);
        assert_eq!(Times::of(Vec::new()).percentile(50), Duration::ZERO);
    }
}
