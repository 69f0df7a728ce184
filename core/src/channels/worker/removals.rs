//! Removals of what was not here, the newest of them: an Assign that a Removal overtook on its way must not open what
//! was given up meanwhile. Names are not kept, so that nobody fills memory with them.

use alloc::collections::VecDeque;

/// So many are remembered. What is forgotten and still on its way is refused by the log, if it fences.
const MOST: usize = 256;

/// Hashes of names, and up to which term each was taken away.
#[derive(Debug, Default)]
pub(super) struct Removals {
    marks: VecDeque<(u64, u64)>,
}

impl Removals {
    /// What is called so was taken away, and was not here.
    pub(super) fn insert(&mut self, name_hash: u64, term: u64) {
        if let Some((_, known)) = self.marks.iter_mut().find(|(hash, _)| *hash == name_hash) {
            *known = term.max(*known);
            return;
        }
        if self.marks.len() == MOST {
            self.marks.pop_front();
        }
        self.marks.push_back((name_hash, term));
    }

    /// Whether it was taken away at this term, or at a later one.
    pub(super) fn has(&self, name_hash: u64, term: u64) -> bool {
        let mut marks = self.marks.iter();
        marks.any(|(hash, removed)| *hash == name_hash && *removed >= term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_removals_are_remembered_and_no_more() {
        let mut removals = Removals::default();
        for name_hash in 0..2 * MOST as u64 {
            removals.insert(name_hash, 5);
            removals.insert(name_hash, 4);
        }
        let last = 2 * MOST as u64 - 1;
        assert!(removals.has(last, 5) && removals.has(last, 2) && !removals.has(last, 6));
        assert!(removals.has(MOST as u64, 5) && !removals.has(MOST as u64 - 1, 5));
        assert_eq!(removals.marks.len(), MOST);
    }
}
