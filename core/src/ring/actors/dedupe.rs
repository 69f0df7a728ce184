//! What makes a request exactly once per owner: the ids of the last requests, and some answers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;

use hashbrown::HashSet;

use crate::hash::IdHasher;

/// The requests one actor remembers. Callers choose request ids, so they may choose collisions; the
/// bound on their number bounds what that costs.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    /// Oldest first.
    ids: VecDeque<u128>,
    known: HashSet<u128, BuildHasherDefault<IdHasher>>,
    answers: VecDeque<(u128, Vec<u8>)>,
    answer_bytes: usize,
}

impl Dedupe {
    /// Forgets everything but its memory.
    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.known.clear();
        self.answers.clear();
        self.answer_bytes = 0;
    }

    /// The record of request `id` is in the log, or on its way there.
    pub(super) fn applied(&mut self, id: u128, ids_max: u32) {
        if ids_max == 0 {
            return;
        }
        while self.ids.len() >= ids_max as usize {
            if let Some(oldest) = self.ids.pop_front() {
                self.known.remove(&oldest);
            }
        }
        self.ids.push_back(id);
        // A table that is less than half full makes room of what was removed in place: once as many
        // ids are held as may be, nothing is allocated any more.
        let held = self.known.len() + 1;
        if held * 2 > self.known.capacity() {
            self.known.reserve(held * 2);
        }
        self.known.insert(id);
    }

    pub(super) fn knows(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    /// The answer request `id` got, if it is still held.
    pub(super) fn answer(&self, id: u128) -> Option<&[u8]> {
        self.answers
            .iter()
            .rev()
            .find(|(known, _)| *known == id)
            .map(|(_, bytes)| bytes.as_slice())
    }

    /// Keeps the answer of request `id`, which was given. The buffer is taken and one that is no
    /// longer needed is left in its place.
    pub(super) fn keep(&mut self, id: u128, answer: &mut Vec<u8>, bytes_max: u32, count_max: u32) {
        let bytes_max = bytes_max as usize;
        if answer.len() > bytes_max || count_max == 0 {
            return;
        }
        let mut spare = Vec::new();
        while self.answers.len() >= count_max as usize
            || self.answer_bytes + answer.len() > bytes_max
        {
            let Some((_, oldest)) = self.answers.pop_front() else {
                break;
            };
            self.answer_bytes -= oldest.len();
            spare = oldest;
        }
        spare.clear();
        self.answer_bytes += answer.len();
        self.answers
            .push_back((id, core::mem::replace(answer, spare)));
    }

    /// The remembered ids, oldest first.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = u128> {
        self.ids.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ids_are_remembered() {
        let mut dedupe = Dedupe::default();
        for id in 0..10 {
            dedupe.applied(id, 4);
        }
        assert!(dedupe.ids().eq(6..10));
        assert!(dedupe.knows(6) && !dedupe.knows(5));
    }

    #[test]
    fn answers_are_bounded_in_bytes_and_number() {
        let mut dedupe = Dedupe::default();
        for id in 0..10_u8 {
            dedupe.keep(u128::from(id), &mut alloc::vec![id; 30], 100, 64);
        }
        assert_eq!(dedupe.answer(6), None);
        assert_eq!(dedupe.answer(7), Some(&[7; 30][..]));
        assert_eq!(dedupe.answer_bytes, 90);
        dedupe.keep(11, &mut alloc::vec![0; 101], 100, 64);
        assert_eq!(dedupe.answer(11), None);
        assert_eq!(dedupe.answers.len(), 3);
        dedupe.keep(12, &mut Vec::new(), 100, 2);
        assert_eq!(dedupe.answers.len(), 2);
    }
}
