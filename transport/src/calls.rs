//! Calls that were offered to the driver and wait for its decision.

use std::collections::VecDeque;

use trefoil_core::id::CallId;

/// Os by number. Numbers are never used again, and offers are decided about in the order they
/// came, or nearly: a queue is all that is needed to find one.
#[derive(Debug)]
pub struct Calls<O> {
    /// Consecutive numbers; `None` is decided.
    waiting: VecDeque<Option<O>>,
    /// The number of the first that waits.
    first: u64,
}

impl<O> Default for Calls<O> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            first: 0,
        }
    }
}

impl<O> Calls<O> {
    /// Gives an offer its number.
    pub fn insert(&mut self, offer: O) -> CallId {
        self.waiting.push_back(Some(offer));
        CallId(self.first + self.waiting.len() as u64 - 1)
    }

    /// The offer of a call that has not been decided.
    pub fn take(&mut self, call: CallId) -> Option<O> {
        let at = usize::try_from(call.0.checked_sub(self.first)?).ok()?;
        let offer = self.waiting.get_mut(at)?.take();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        offer
    }

    /// How many numbers there are between the first that waits and the last.
    #[expect(clippy::len_without_is_empty, reason = "for people only")]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes all that wait.
    pub fn drain(&mut self) -> impl Iterator<Item = O> {
        self.first += self.waiting.len() as u64;
        self.waiting.drain(..).flatten()
    }
}
