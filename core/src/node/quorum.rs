//! Whether a quorum of voters is heard, as the ring's partition policy is told it.

use crate::time::{Duration, Instant};

/// Follows the voters' streams. They break and come back in a moment, and a ring that gives all its ids up
/// each time would be worse than none: a loss counts when it has lasted.
#[derive(Debug)]
pub(super) struct Quorum {
    patience: Duration,
    told: bool,
    lost_at: Option<Instant>,
}

impl Quorum {
    /// None is heard yet; a loss counts after `patience`.
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            patience,
            told: false,
            lost_at: None,
        }
    }

    /// What is to be told, if that has changed.
    pub(super) fn look(&mut self, now: Instant, is_heard: bool) -> Option<bool> {
        if is_heard {
            self.lost_at = None;
            return (!core::mem::replace(&mut self.told, true)).then_some(true);
        }
        if !self.told {
            return None;
        }
        let lost_at = *self.lost_at.get_or_insert(now);
        if now < lost_at + self.patience {
            return None;
        }
        (self.told, self.lost_at) = (false, None);
        Some(false)
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.lost_at? + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_counts_when_it_has_lasted_and_a_return_at_once() {
        let at = Instant::from_millis;
        let mut quorum = Quorum::new(Duration::from_millis(100));
        assert_eq!(quorum.look(at(0), false), None);
        assert_eq!(quorum.look(at(1), true), Some(true));
        assert_eq!(quorum.look(at(2), true), None);
        assert_eq!(quorum.look(at(10), false), None);
        assert_eq!(quorum.due(), Some(at(110)));
        assert_eq!(quorum.look(at(109), true), None, "it came back in time");
        assert_eq!((quorum.due(), quorum.look(at(120), false)), (None, None));
        assert_eq!(quorum.look(at(219), false), None);
        assert_eq!(quorum.look(at(220), false), Some(false));
        assert_eq!((quorum.due(), quorum.look(at(221), false)), (None, None));
        assert_eq!(quorum.look(at(222), true), Some(true));
    }
}
