//! Calls that were offered to the driver and wait for its decision.

use std::collections::VecDeque;

use trefoil_core::id::CallId;

use crate::inbox::Offer;

/// Offers by number. Numbers are never used again, and offers are decided about in the order they
/// came, or nearly: a queue is all that is needed to find one.
#[derive(Default)]
pub(crate) struct Calls {
    /// Consecutive numbers; `None` is decided.
    waiting: VecDeque<Option<Offer>>,
    /// The number of the first that waits.
    first: u64,
}

impl Calls {
    pub(crate) fn insert(&mut self, offer: Offer) -> CallId {
        self.waiting.push_back(Some(offer));
        CallId(self.first + self.waiting.len() as u64 - 1)
    }

    /// The offer of a call that has not been decided.
    pub(crate) fn take(&mut self, call: CallId) -> Option<Offer> {
        let at = usize::try_from(call.0.checked_sub(self.first)?).ok()?;
        let offer = self.waiting.get_mut(at)?.take();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        offer
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes all that wait.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Offer> {
        self.first += self.waiting.len() as u64;
        self.waiting.drain(..).flatten()
    }
}
