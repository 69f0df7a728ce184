//! Virtual time, and the clocks that show it wrongly.
//!
//! The world runs on [`Moment`]s. A node never sees one: it reads its [`LocalClock`], which began at
//! an origin of its own and runs a little too fast or too slow.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use trefoil_core::time::Instant;

/// A point of virtual time, in nanoseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// When the world began.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after the beginning.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `secs` seconds after the beginning.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs.as_nanos() as u64))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / 1_000_000_000,
            self.0 / 1_000 % 1_000_000
        )
    }
}

/// The monotonic clock of one process.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock {
    born: Moment,
    origin_ns: u64,
    drift_ppm: i64,
}

impl LocalClock {
    /// A clock that shows `origin` at `born` and gains `drift_ppm` microseconds in a second.
    #[must_use]
    pub const fn new(born: Moment, origin: Duration, drift_ppm: i64) -> Self {
        Self {
            born,
            origin_ns: origin.as_nanos() as u64,
            drift_ppm,
        }
    }

    /// What it shows at `at`, which is not before its birth.
    #[must_use]
    pub fn show(&self, at: Moment) -> Instant {
        let true_ns = at.since(self.born).as_nanos() as i128;
        let gained = (true_ns * i128::from(self.drift_ppm)).div_euclid(1_000_000);
        Instant::from_nanos(self.origin_ns.saturating_add((true_ns + gained) as u64))
    }

    /// The first moment at which it shows `due` or more.
    #[must_use]
    pub fn when(&self, due: Instant) -> Moment {
        let shown = i128::from(due.as_nanos().saturating_sub(self.origin_ns));
        let estimate = shown * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        let mut at = self.born + Duration::from_nanos(u64::try_from(estimate).unwrap_or(u64::MAX));
        while self.show(at) < due && at < Moment(u64::MAX) {
            at += Duration::from_nanos(1);
        }
        while at > self.born && self.show(Moment(at.0 - 1)) >= due {
            at = Moment(at.0 - 1);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_due_at_the_first_moment_it_shows_so() {
        for drift in [-200, -1, 0, 1, 200] {
            let clock = LocalClock::new(Moment::from_secs(3), Duration::from_secs(9_000), drift);
            for ms in [0, 1, 999, 12_345, 86_400_000] {
                let due = Instant::from_millis(9_000_000 + ms) + Duration::from_nanos(7);
                let at = clock.when(due);
                assert!(clock.show(at) >= due, "drift {drift}, {ms} ms");
                assert!(clock.show(Moment(at.0 - 1)) < due, "drift {drift}, {ms} ms");
            }
            assert_eq!(clock.when(Instant::ZERO), Moment::from_secs(3));
        }
    }
}
