//! Time as an argument: the core never reads a clock.

use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point on the monotonic clock of one process, in nanoseconds since an origin the caller chose.
///
/// The clock must count suspend (`CLOCK_BOOTTIME` on Linux): a lease that sleeps with the machine
/// would outlive its promise. An `Instant` never leaves the process and is never persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than every instant a clock can show: 584 years after the origin.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds of a duration, saturating at 584 years.
const fn nanos(duration: Duration) -> u64 {
    let n = duration.as_nanos();
    if n > u64::MAX as u128 {
        u64::MAX
    } else {
        n as u64
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(rhs)))
    }
}

/// The civil calendar, as an input: what the clock on the wall said at one `Instant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// When the reading was taken.
    pub at: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z at that moment.
    pub unix_millis: i64,
}

impl WallClock {
    /// Unix time in seconds at `now`, carried forward from the reading.
    #[must_use]
    pub fn unix_seconds_at(&self, now: Instant) -> i64 {
        self.unix_millis_at(now).div_euclid(1_000)
    }

    /// Unix time in milliseconds at `now`, carried forward from the reading.
    #[must_use]
    pub fn unix_millis_at(&self, now: Instant) -> i64 {
        self.unix_millis
            .saturating_add(i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX))
    }
}

/// The earlier of two optional due times.
#[must_use]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::FAR_FUTURE + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO.since(Instant::from_millis(5)), Duration::ZERO);
    }

    #[test]
    fn the_wall_clock_is_carried_forward() {
        let wall = WallClock {
            at: Instant::from_millis(500),
            unix_millis: 1_000_000,
        };
        assert_eq!(wall.unix_seconds_at(Instant::from_millis(1_499)), 1_000);
        assert_eq!(wall.unix_seconds_at(Instant::from_millis(1_500)), 1_001);
        assert_eq!(wall.unix_millis_at(Instant::from_millis(1_499)), 1_000_999);
    }
}
