//! How long to wait after a failure: longer and longer, up to a limit, for ever.

use crate::rng::Rng;
use crate::time::Duration;

/// Each wait is so many times the one before.
const FACTOR: u32 = 3;

/// Up to so much of a wait is taken off at random, in percent, so that what failed together is not tried again
/// together.
const JITTER_PERCENT: u64 = 15;

/// Waits between attempts. With the default of 10 ms to 5 s at most 20 attempts fall into the first minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure. Too short and a node that is starting is asked many times.
    pub min: Duration,
    /// The longest. Too long and a node that is well again is noticed late.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(10),
            max: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The wait after `failures` in a row, of which there is at least one. Never zero, never above `max`.
    #[must_use]
    pub fn after(self, failures: u32, rng: &mut Rng) -> Duration {
        let mut wait = self.min;
        for _ in 1..failures {
            if wait >= self.max {
                break;
            }
            wait = wait.saturating_mul(FACTOR);
        }
        let nanos = u64::try_from(wait.min(self.max).as_nanos()).unwrap_or(u64::MAX);
        let off = rng.below(nanos / 100 * JITTER_PERCENT + 1);
        Duration::from_nanos((nanos - off).max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    proptest! {
        /// The library that Milvus uses ends a back-off after 15 minutes, and then tries without any (#40588).
        #[test]
        fn better_10_waits_are_positive_grow_to_their_limit_and_never_end(
            seed in any::<u64>(),
            failures in prop_oneof![1_u32..40, Just(u32::MAX), 1_u32..u32::MAX],
            min in 1_u64..1_000_000_000,
            times in 1_u64..1_000,
        ) {
            let backoff = Backoff {
                min: Duration::from_nanos(min),
                max: Duration::from_nanos(min * times),
            };
            let mut rng = Rng::new(seed);
            let wait = backoff.after(failures, &mut rng);
            prop_assert!(wait > Duration::ZERO && wait <= backoff.max);
            prop_assert!(failures < 10 || wait >= backoff.max * 84 / 100);
        }

        #[test]
        fn better_10_at_most_20_attempts_fall_into_the_first_minute(seed in any::<u64>()) {
            let mut rng = Rng::new(seed);
            let (mut at, mut attempts) = (Duration::ZERO, 0);
            while at < Duration::from_secs(60) {
                attempts += 1;
                at += Backoff::default().after(attempts, &mut rng);
            }
            prop_assert!(attempts <= 20, "{} attempts", attempts);
            prop_assert!(attempts >= 12);
        }
    }
}
