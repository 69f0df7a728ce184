//! Time ticks: a hybrid logical clock. The upper bits are milliseconds of the civil calendar, the lower 18
//! count within one. Each channel's ticks grow whatever the calendar does.

use crate::time::{Instant, WallClock};

/// Bits that count within a millisecond.
pub(super) const LOGICAL_BITS: u32 = 18;

/// Last millisecond that is believed, in the year 3084: ticks stay far from where they would end.
const MILLIS_MAX: u64 = (1 << 45) - 1;

/// The highest tick a log may end with and still be opened.
pub(super) const TICK_MAX: u64 = 1 << 63;

/// The clock that the ticks of all channels of a node come from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    wall: Option<WallClock>,
}

impl Clock {
    /// What the wall says now.
    pub(super) fn set(&mut self, wall: WallClock) {
        self.wall = Some(wall);
    }

    /// The tick of what happens at `now`, above `last`.
    pub(super) fn tick(&self, now: Instant, last: u64) -> u64 {
        let millis = self.wall.map_or(0, |wall| wall.unix_millis_at(now));
        let millis = u64::try_from(millis).unwrap_or(0).min(MILLIS_MAX);
        (millis << LOGICAL_BITS).max(last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_grow_whatever_the_wall_says() {
        let mut clock = Clock::default();
        let now = Instant::from_millis(1_000);
        assert_eq!(clock.tick(now, 5), 6, "no wall yet");
        let wall = |unix_millis| WallClock {
            at: now,
            unix_millis,
        };
        clock.set(wall(2_000));
        assert_eq!(clock.tick(now, 5), 2_000 << 18);
        assert_eq!(clock.tick(Instant::from_millis(1_003), 5), 2_003 << 18);
        clock.set(wall(1_000));
        assert_eq!(clock.tick(now, 2_000 << 18), (2_000 << 18) + 1);
        for strange in [i64::MIN, i64::MAX] {
            clock.set(wall(strange));
            let tick = clock.tick(now, 9);
            assert!((10..TICK_MAX).contains(&tick));
        }
    }
}
