//! From an id to its claim: an open table kept in the order of its hashed keys.
//!
//! Linear probing over a table in key order finds what is there and what is not there equally fast,
//! so it may be 80 % full; and since an entry's home grows with its key, the table is made larger by
//! one walk from front to back, in steps of an eighth instead of a doubling. Both together keep 16
//! bytes of entry at 20 to 23 bytes of memory, where `hashbrown` needs 19 to 39.

use alloc::vec::Vec;
use core::hash::Hasher;

use crate::hash::IdHasher;

/// Which host claims: 0 is this node, others are slots of the peer table.
pub(super) type Host = u16;

/// No host: the entry is empty.
const NOBODY: Host = Host::MAX;

/// One claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    key: u64,
    /// Where the id stands in its host's list.
    pub(super) position: u32,
    pub(super) host: Host,
    /// When the claim was last heard of, in fetches sent.
    pub(super) mark: u16,
}

/// Its key ends every search that comes to it.
const EMPTY: Entry = Entry {
    key: u64::MAX,
    position: 0,
    host: NOBODY,
    mark: 0,
};

/// Claims by id.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// In order of their keys, with gaps between; no gap between a key's home and its place.
    entries: Vec<Entry>,
    homes: u64,
    len: u32,
    seed: u64,
}

impl Index {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            homes: 0,
            len: 0,
            seed,
        }
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    /// A bijection of the id that outsiders cannot steer, since they do not know the seed.
    #[inline]
    fn key(&self, id: u64) -> u64 {
        let mut hasher = IdHasher::default();
        hasher.write_u64(id ^ self.seed);
        hasher.finish()
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * u128::from(self.homes)) >> 64) as usize
    }

    /// Where the key is, or where it would be.
    #[inline]
    fn search(&self, key: u64) -> Result<usize, usize> {
        let home = self.home(key);
        let steps = self.entries[home..]
            .iter()
            .take_while(|entry| entry.key < key)
            .count();
        match self.entries.get(home + steps) {
            Some(entry) if entry.key == key && entry.host != NOBODY => Ok(home + steps),
            Some(_) | None => Err(home + steps),
        }
    }

    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<&Entry> {
        self.search(self.key(id)).ok().map(|at| &self.entries[at])
    }

    pub(super) fn find_mut(&mut self, id: u64) -> Option<&mut Entry> {
        self.search(self.key(id))
            .ok()
            .map(|at| &mut self.entries[at])
    }

    /// Adds a claim of an id that has none. Allocates when the table is 80 % full.
    pub(super) fn insert(&mut self, id: u64, host: Host, position: u32, mark: u16) {
        if (u64::from(self.len) + 1) * 5 > self.homes * 4 {
            self.grow();
        }
        let key = self.key(id);
        let Err(at) = self.search(key) else { return };
        let gap = self.entries[at..]
            .iter()
            .position(|entry| entry.host == NOBODY);
        let end = gap.map_or(self.entries.len(), |gap| at + gap);
        if end == self.entries.len() {
            self.entries.push(EMPTY);
        }
        self.entries.copy_within(at..end, at + 1);
        self.entries[at] = Entry {
            key,
            position,
            host,
            mark,
        };
        self.len += 1;
    }

    /// Takes the claim of an id away.
    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        let at = self.search(self.key(id)).ok()?;
        let removed = self.entries[at];
        let displaced = |(i, entry): &(usize, &Entry)| {
            entry.host != NOBODY && self.home(entry.key) < at + 1 + i
        };
        let run = self.entries[at + 1..]
            .iter()
            .enumerate()
            .take_while(displaced)
            .count();
        self.entries.copy_within(at + 1..at + 1 + run, at);
        self.entries[at + run] = EMPTY;
        self.len -= 1;
        Some(removed)
    }

    /// Moves all entries, in their order, to a table larger by an eighth.
    fn grow(&mut self) {
        self.homes = self.homes + self.homes / 8 + 16;
        let room = self.homes as usize + self.homes as usize / 64 + 16;
        let mut larger = Vec::with_capacity(room);
        for entry in self.entries.iter().filter(|entry| entry.host != NOBODY) {
            let home = self.home(entry.key);
            while larger.len() < home {
                larger.push(EMPTY);
            }
            larger.push(*entry);
        }
        while larger.len() < self.homes as usize {
            larger.push(EMPTY);
        }
        self.entries = larger;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    impl Index {
        /// What must hold between calls.
        fn assert_order(&self) {
            let mut last = None;
            let mut count = 0;
            for (at, entry) in self
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| entry.host != NOBODY)
            {
                assert!(last < Some(entry.key));
                last = Some(entry.key);
                let home = self.home(entry.key);
                assert!(
                    home <= at
                        && self.entries[home..at]
                            .iter()
                            .all(|entry| entry.host != NOBODY)
                );
                count += 1;
            }
            assert_eq!(count, self.len);
        }
    }

    #[test]
    fn agrees_with_a_map_under_random_use() {
        for (seed, ids) in [(1, 40), (2, 300), (3, 5_000)] {
            let mut rng = Rng::new(seed);
            let mut index = Index::new(rng.draw());
            let mut model: BTreeMap<u64, (Host, u32)> = BTreeMap::new();
            for step in 0..30_000_u32 {
                let id = rng.below(ids);
                if rng.below(5) < 3 {
                    if model.insert(id, (id as Host, step)).is_none() {
                        index.insert(id, id as Host, step, 0);
                    } else if let Some(entry) = index.find_mut(id) {
                        entry.position = step;
                    }
                } else {
                    let gone = index.remove(id).map(|entry| (entry.host, entry.position));
                    assert_eq!(gone, model.remove(&id));
                }
                let found = index.find(id).map(|entry| (entry.host, entry.position));
                assert_eq!(found, model.get(&id).copied());
                if step % 1_000 == 0 {
                    index.assert_order();
                }
            }
            assert_eq!(index.len() as usize, model.len());
        }
    }

    #[test]
    fn an_entry_costs_at_most_24_bytes_from_a_thousand_ids_on() {
        let mut index = Index::new(7);
        for id in 0..200_000_u32 {
            index.insert(u64::from(id) << 32, 0, id, 0);
            assert!(
                id < 1_000 || index.bytes() <= 24 * index.len() as usize,
                "{id}: {}",
                index.bytes()
            );
        }
        index.assert_order();
    }

    #[test]
    fn ids_at_both_ends_are_found() {
        let mut index = Index::new(0);
        for id in [0, 1, u64::MAX, u64::MAX - 1] {
            assert!(index.find(id).is_none());
            index.insert(id, 1, 0, 0);
            assert!(index.find(id).is_some());
        }
        assert!(index.remove(2).is_none());
        assert_eq!(index.len(), 4);
    }
}
