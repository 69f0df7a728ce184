//! Own changes in their order: what peers are still to be told of.
//!
//! Only ids are kept. What is announced of an id is its state when the message is written, so a
//! peer that has been told of every id up to some number knows all that happened before it, however
//! often an id changed.

use alloc::collections::VecDeque;

/// Ids whose ownership by this node changed, numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct ChangeLog {
    ids: VecDeque<u64>,
    /// Number of the first id kept.
    tail: u64,
    /// Everything below has been told to the layer above.
    told: u64,
    capacity: usize,
}

impl ChangeLog {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            ids: VecDeque::with_capacity(capacity as usize),
            tail: 0,
            told: 0,
            capacity: capacity as usize,
        }
    }

    pub(super) const fn tail(&self) -> u64 {
        self.tail
    }

    pub(super) fn head(&self) -> u64 {
        self.tail + self.ids.len() as u64
    }

    /// Adds a change. What the layer above was not told of yet is never dropped: until it is, the
    /// log may exceed its capacity, by as many changes as are made between two due times.
    pub(super) fn push(&mut self, id: u64) {
        if self.ids.len() >= self.capacity && self.tail < self.told {
            self.ids.pop_front();
            self.tail += 1;
        }
        self.ids.push_back(id);
    }

    /// The newest change needs no telling, if all before it have been told.
    pub(super) fn told_newest(&mut self) {
        if self.told + 1 == self.head() {
            self.told += 1;
        }
    }

    /// The next change the layer above is to be told of.
    pub(super) fn pop_untold(&mut self) -> Option<u64> {
        let id = self.ids.get((self.told - self.tail) as usize).copied()?;
        self.told += 1;
        if self.ids.len() > self.capacity {
            self.ids.pop_front();
            self.tail += 1;
        }
        Some(id)
    }

    /// The changes numbered `from..to` as far as they are kept.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        let from = from.max(self.tail) - self.tail;
        let to = to.clamp(self.tail, self.head()) - self.tail;
        self.ids.range(from.min(to) as usize..to as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_oldest_go_first_and_the_untold_never() {
        let mut log = ChangeLog::new(3);
        for id in 0..5 {
            log.push(id);
        }
        assert_eq!((log.tail(), log.head()), (0, 5));
        assert_eq!(
            core::iter::from_fn(|| log.pop_untold()).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        assert_eq!((log.tail(), log.head()), (2, 5));
        log.push(5);
        log.told_newest();
        assert_eq!((log.tail(), log.head()), (3, 6));
        assert_eq!(log.pop_untold(), None);
        assert_eq!(log.range(0, 9).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(log.range(4, 5).collect::<Vec<_>>(), [4]);
        assert_eq!(log.range(0, 2).count(), 0);
    }
}
