//! Callers that wait for an answer, by the number their call was given.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::CallError;

/// An encoded answer, or why there is none.
pub(crate) type Answer = Result<Bytes, CallError>;

/// The waiting callers of one driver. Numbers are slots, reused with a generation in the upper half,
/// so that a late answer never reaches the wrong caller.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    slots: Vec<(u32, Option<oneshot::Sender<Answer>>)>,
    free: Vec<u32>,
}

impl Waiting {
    /// A number for a caller.
    pub(crate) fn insert(&mut self, caller: oneshot::Sender<Answer>) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        entry.0 = entry.0.wrapping_add(1);
        entry.1 = Some(caller);
        (u64::from(entry.0) << 32) | u64::from(slot)
    }

    /// Answers a caller and forgets it. A number that is not known is ignored.
    pub(crate) fn answer(&mut self, number: u64, answer: impl FnOnce() -> Answer) {
        let slot = number as u32;
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if u64::from(entry.0) != number >> 32 {
            return;
        }
        if let Some(caller) = entry.1.take() {
            self.free.push(slot);
            // The caller may have given up: then nobody needs the answer.
            let _ = caller.send(answer());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_reaches_nobody() {
        let mut waiting = Waiting::default();
        let (first, mut heard_first) = oneshot::channel();
        let number = waiting.insert(first);
        waiting.answer(number, || Ok(Bytes::from_static(b"1")));
        let (second, mut heard_second) = oneshot::channel();
        let again = waiting.insert(second);
        waiting.answer(number, || Ok(Bytes::from_static(b"late")));
        assert_ne!(number, again);
        assert_eq!(
            heard_first.try_recv().ok(),
            Some(Ok(Bytes::from_static(b"1")))
        );
        assert!(heard_second.try_recv().is_err());
        assert_eq!(waiting.len(), 1);
    }
}
