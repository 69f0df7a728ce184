//! The newest messages by producer and number, so that one that is sent again is not appended again.

use alloc::collections::VecDeque;
use core::hash::BuildHasherDefault;

use hashbrown::HashMap;

use super::record::Origin;
use crate::hash::IdHasher;

/// The records of the last messages that said who sent them. Takes memory only where one did.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    records: HashMap<Origin, u64, BuildHasherDefault<IdHasher>>,
    /// Oldest first. What was taken back is still here, until its time comes.
    order: VecDeque<(Origin, u64)>,
}

impl Dedupe {
    /// The record of a message.
    pub(super) fn find(&self, origin: Origin) -> Option<u64> {
        if self.order.is_empty() {
            return None;
        }
        self.records.get(&origin).copied()
    }

    /// Remembers a message, and forgets the oldest of more than `most`.
    pub(super) fn insert(&mut self, origin: Origin, record: u64, most: u32) {
        while self.order.len() >= most.max(1) as usize {
            if let Some((oldest, record)) = self.order.pop_front() {
                self.remove(oldest, record);
            }
        }
        self.records.insert(origin, record);
        self.order.push_back((origin, record));
    }

    /// A message did not become this record.
    pub(super) fn remove(&mut self, origin: Origin, record: u64) {
        if self.records.get(&origin) == Some(&record) {
            self.records.remove(&origin);
        }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn origin(number: u64) -> Origin {
        Origin {
            producer: 1,
            number,
        }
    }

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let mut dedupe = Dedupe::default();
        for number in 0..10 {
            dedupe.insert(origin(number), 100 + number, 4);
        }
        let found: [bool; 10] = core::array::from_fn(|n| dedupe.find(origin(n as u64)).is_some());
        assert_eq!(found.iter().filter(|found| **found).count(), 4);
        assert_eq!(dedupe.find(origin(9)), Some(109));
        assert_eq!(dedupe.find(origin(5)), None);
    }

    #[test]
    fn what_was_taken_back_may_come_again_under_another_record() {
        let mut dedupe = Dedupe::default();
        dedupe.insert(origin(1), 5, 3);
        dedupe.remove(origin(1), 6);
        assert_eq!(dedupe.find(origin(1)), Some(5), "another record");
        dedupe.remove(origin(1), 5);
        assert_eq!(dedupe.find(origin(1)), None);
        dedupe.insert(origin(1), 7, 3);
        dedupe.insert(origin(2), 8, 3);
        dedupe.insert(origin(3), 9, 3);
        assert_eq!(
            dedupe.find(origin(1)),
            Some(7),
            "its own, not the first, counts"
        );
    }
}
