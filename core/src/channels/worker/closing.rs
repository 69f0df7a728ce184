//! The end of a channel at a term: what is under way is finished, then sessions are told. When its time is up
//! the rest is cut.

use super::channel::Fate;
use super::lifetime::Phase;
use super::why::Why;
use super::{Lent, Worker, WorkerEvent};

impl Worker {
    /// Begins to close a channel. What producers sent before is still appended, unless the log is another's.
    pub(super) fn close(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let until = lent.now + self.config.close_timeout;
        self.deadlines.set(slot, until);
        let why = self.channels[slot as usize].why;
        while let Some(key) = self.channels[slot as usize].consumers.last().copied() {
            self.end_consumer(key, why, lent);
        }
        // Whoever has nothing under way leaves at once, and the last takes his place.
        let mut at = 0;
        while let Some(key) = self.channels[slot as usize].producers.get(at).copied() {
            self.end_producer(key, why, lent);
            let still = self.channels[slot as usize].producers.get(at) == Some(&key);
            at += usize::from(still);
        }
        if why == Why::Fenced {
            self.refuse_waiting(slot, lent);
        }
        self.check_closed(slot, lent);
    }

    /// Whether a channel that is being closed is.
    pub(super) fn check_closed(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &self.channels[slot as usize];
        let idle = channel.producers.is_empty() && channel.consumers.is_empty();
        if idle && channel.pending.is_empty() {
            self.closed(slot, lent);
        }
    }

    /// Time is up: nobody hears more of what is under way than that it is not known.
    pub(super) fn close_by_force(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &self.channels[slot as usize];
        if !matches!(channel.lifetime.phase(), Phase::Closing(_)) {
            return;
        }
        let why = channel.why;
        self.channels[slot as usize].forced = true;
        self.counters.forced += 1;
        for at in 0..self.channels[slot as usize].pending.len() {
            let pending = &self.channels[slot as usize].pending[at];
            if matches!(pending.fate, Fate::InFlight | Fate::Unknown) {
                let asker = pending.asker;
                self.answer(asker, Err(Why::Unknown), lent);
            }
        }
        while let Some((_, asker)) = self.channels[slot as usize].followers.pop() {
            self.answer(asker, Err(Why::Unknown), lent);
        }
        self.refuse_waiting(slot, lent);
        while let Some(key) = self.channels[slot as usize].producers.last().copied() {
            self.cut_producer(key, why.failure(), lent);
        }
        self.channels[slot as usize].pending.clear();
        self.closed(slot, lent);
    }

    fn closed(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        let Phase::Closing(term) = channel.lifetime.phase() else {
            return;
        };
        let by_force = channel.forced;
        channel.lifetime.closed(term);
        channel.begin_epoch();
        self.deadlines.cancel(slot);
        self.retries.cancel(slot);
        lent.up.event(WorkerEvent::ChannelClosed {
            channel: &channel.name,
            term,
            by_force,
        });
        self.unsettled.push(slot);
    }
}
