//! How long an answer may take: as configured while answers come promptly, longer while they are slow.
//!
//! Where processors or networks are overloaded, every answer is late, and to take lateness for death
//! makes matters worse: each doubt costs a ping, questions to peers, and the pings these make in turn,
//! so the doubts alone can keep all nodes busy for good. So what answers usually take is smoothed as
//! TCP does it (RFC 6298), and the time allowed follows.
//!
//! Silence alone lengthens nothing: a dead host among prompt ones is found as quickly as ever, and so
//! is the death of half a cluster. Only while answers are slow anyway does one that does not come count
//! as one that took all its time. Where ping after ping has no answer, one at a time is sent beside them
//! that is given far longer, to tell peers that are all slow from peers that are all gone. Only members
//! count: outsiders can list any number of hosts that never answer.

use crate::time::{Duration, Instant};

/// An answer may take this many times as long as answers usually do.
const MARGIN: u32 = 4;

/// Nothing is allowed more than this many times what is configured.
const STRETCH_MAX: u32 = 8;

/// A ping that is to tell slow peers from dead ones may take this many times what is configured.
const TRIAL: u32 = 20;

/// The weight of what is known, against one for another answer.
const SMOOTHING: u32 = 7;

/// So many pings in a row without an answer ask for a trial.
const UNANSWERED_MIN: u32 = 8;

/// What answers take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// As configured.
    shortest: Duration,
    /// What an answer usually takes; zero until there was one.
    usual: Duration,
    /// Pings that were not answered since the last that was.
    unanswered: u32,
    /// Until then there may be a trial on its way.
    trial_until: Instant,
}

impl Pace {
    pub(super) const fn new(shortest: Duration) -> Self {
        Self {
            shortest,
            usual: Duration::ZERO,
            unanswered: 0,
            trial_until: Instant::ZERO,
        }
    }

    /// How long an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        let allowed = self.usual.saturating_mul(MARGIN);
        let longest = self.shortest.saturating_mul(STRETCH_MAX);
        allowed.clamp(self.shortest, longest)
    }

    /// How long a ping may take that is sent now to learn whether peers that do not answer are slow, if
    /// there should be one.
    pub(super) fn trial(&mut self, now: Instant) -> Option<Duration> {
        if self.unanswered < UNANSWERED_MIN || self.is_slow() || now < self.trial_until {
            return None;
        }
        let trial = self.shortest.saturating_mul(TRIAL);
        self.trial_until = now + trial;
        Some(trial)
    }

    /// Whether answers take longer than they should.
    pub(super) fn is_slow(&self) -> bool {
        self.timeout() > self.shortest
    }

    /// What is to be added to waits that were chosen for prompt answers.
    pub(super) fn extra(&self) -> Duration {
        self.timeout() - self.shortest
    }

    /// The answer to a ping took so long.
    pub(super) fn answered(&mut self, took: Duration) {
        self.unanswered = 0;
        self.learn(took);
    }

    /// No answer to a ping came in the time that was allowed.
    pub(super) fn unanswered(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.is_slow() {
            self.learn(self.timeout());
        }
    }

    fn learn(&mut self, took: Duration) {
        self.usual = if self.usual.is_zero() {
            took
        } else {
            (self.usual * SMOOTHING + took) / (SMOOTHING + 1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(500);
    const NOW: Instant = Instant::from_millis(1_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn prompt_answers_and_silence_allow_no_more_than_is_configured() {
        let mut pace = Pace::new(SHORTEST);
        for _ in 0..100 {
            pace.answered(ms(100));
            for _ in 1..UNANSWERED_MIN {
                pace.unanswered();
                assert_eq!(pace.trial(NOW), None);
            }
        }
        assert!(!pace.is_slow());
        assert_eq!(pace.extra(), Duration::ZERO);
    }

    #[test]
    fn slow_answers_are_given_time_and_prompt_ones_take_it_back() {
        let mut pace = Pace::new(SHORTEST);
        pace.answered(ms(1));
        for _ in 0..20 {
            pace.answered(ms(450));
        }
        let timeout = pace.timeout();
        assert!(timeout > ms(1_500) && timeout < ms(1_800), "{timeout:?}");
        // Now those that do not come count as well.
        for _ in 0..100 {
            pace.unanswered();
        }
        assert_eq!(pace.timeout(), SHORTEST * STRETCH_MAX);
        assert_eq!(pace.extra(), SHORTEST * (STRETCH_MAX - 1));
        let answers = (0..100).take_while(|_| {
            pace.answered(ms(1));
            pace.is_slow()
        });
        assert!(answers.count() < 40);
    }

    #[test]
    fn where_nobody_answers_one_ping_at_a_time_is_given_far_longer() {
        let mut pace = Pace::new(SHORTEST);
        pace.answered(ms(1));
        for _ in 0..UNANSWERED_MIN {
            assert_eq!(pace.trial(NOW), None);
            pace.unanswered();
        }
        let trial = SHORTEST * TRIAL;
        assert_eq!(pace.trial(NOW), Some(trial));
        assert_eq!(pace.trial(NOW), None, "one at a time");
        assert_eq!(pace.trial(NOW + trial), Some(trial));
        assert_eq!(pace.timeout(), SHORTEST, "the others wait for nothing");
        // They are slow, not gone.
        pace.answered(ms(3_000));
        assert!(pace.is_slow());
    }
}
