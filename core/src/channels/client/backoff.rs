//! How long to wait.

use crate::rng::Rng;
use crate::time::Duration;

/// The wait after `failures` failures in a row: doubled from `min` up to `max`, less a tenth at most, so that
/// clients of one lost node do not come back as one.
pub(super) fn wait(failures: u32, min: Duration, max: Duration, rng: &mut Rng) -> Duration {
    let doubled = min.saturating_mul(1 << failures.min(20)).min(max);
    let tenth = u64::try_from(doubled.as_nanos() / 10).unwrap_or(u64::MAX);
    doubled - Duration::from_nanos(rng.below(tenth.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::prop_assert;
    use proptest::proptest;

    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(5);

    proptest! {
        #[test]
        fn line_10_of_better_every_wait_is_above_zero_and_at_most_the_longest(
            failures: u32,
            seed: u64,
        ) {
            let wait = wait(failures, MIN, MAX, &mut Rng::new(seed));
            prop_assert!(wait >= MIN * 9 / 10 && wait <= MAX);
        }
    }

    #[test]
    fn line_10_of_better_20_attempts_at_most_in_the_first_minute_and_some_after_a_day() {
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let (mut at, mut attempts, mut first_minute) = (Duration::ZERO, 0, 0);
            while at < Duration::from_secs(24 * 60 * 60) {
                first_minute += u32::from(at < Duration::from_secs(60));
                at += wait(attempts, MIN, MAX, &mut rng);
                attempts += 1;
            }
            assert!(first_minute <= 20, "{first_minute}");
            assert!(attempts > 17_000);
        }
    }
}
