//! What the writer does to logs: pure decisions over a log's state. The tables are the writer's.

use trefoil_core::storage::OwnerId;

use crate::tables::LogState;

/// What an operation on a log comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Granted,
    /// Another owner has taken over.
    Fenced { term: u64 },
    /// The writer assumed another number.
    Conflict { current: u64 },
}

/// The term of a sealed log: no writer has a higher one.
pub(crate) const SEALED: u64 = u64::MAX;

impl LogState {
    /// Raises the fence. The same owner may raise the same term again.
    pub(crate) fn fence(&mut self, term: u64, owner: OwnerId) -> Verdict {
        let own = self.term == term && self.owner == owner;
        if self.term == SEALED || (self.term >= term && !own) {
            return Verdict::Fenced { term: self.term };
        }
        self.term = term;
        self.owner = owner;
        Verdict::Granted
    }

    /// Whether `owner` at `term` is the one who may write.
    pub(crate) fn admits(&self, term: u64, owner: OwnerId) -> Verdict {
        if self.term == SEALED || self.term != term || self.owner != owner {
            return Verdict::Fenced { term: self.term };
        }
        Verdict::Granted
    }

    /// Whether a record may be added as number `expected`.
    pub(crate) fn append(&self, term: u64, owner: OwnerId, expected: u64) -> Verdict {
        let verdict = self.admits(term, owner);
        if verdict == Verdict::Granted && self.next != expected {
            return Verdict::Conflict { current: self.next };
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: OwnerId = OwnerId(1);
    const B: OwnerId = OwnerId(2);

    #[test]
    fn only_the_last_to_raise_the_fence_may_append() {
        let mut log = LogState::default();
        assert_eq!(log.append(1, A, 0), Verdict::Fenced { term: 0 });
        assert_eq!(log.fence(1, A), Verdict::Granted);
        assert_eq!(log.fence(1, A), Verdict::Granted);
        assert_eq!(log.append(1, A, 0), Verdict::Granted);
        assert_eq!(
            log.fence(1, B),
            Verdict::Fenced { term: 1 },
            "an equal term of another owner"
        );
        assert_eq!(log.fence(2, B), Verdict::Granted);
        assert_eq!(log.append(1, A, 0), Verdict::Fenced { term: 2 });
        assert_eq!(log.append(2, A, 0), Verdict::Fenced { term: 2 });
        assert_eq!(
            log.append(3, B, 0),
            Verdict::Fenced { term: 2 },
            "a term nobody raised"
        );
        assert_eq!(log.fence(1, B), Verdict::Fenced { term: 2 });
    }

    #[test]
    fn a_record_gets_the_number_its_writer_expects_or_none() {
        let log = LogState {
            term: 1,
            owner: A,
            next: 5,
            ..LogState::default()
        };
        assert_eq!(log.append(1, A, 4), Verdict::Conflict { current: 5 });
        assert_eq!(log.append(1, A, 6), Verdict::Conflict { current: 5 });
        assert_eq!(log.append(1, A, 5), Verdict::Granted);
    }

    #[test]
    fn a_sealed_log_stays_sealed() {
        let mut log = LogState {
            term: SEALED,
            owner: A,
            ..LogState::default()
        };
        assert_eq!(log.fence(SEALED, A), Verdict::Fenced { term: SEALED });
        assert_eq!(log.append(SEALED, A, 0), Verdict::Fenced { term: SEALED });
    }
}
