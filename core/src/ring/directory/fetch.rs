//! Asking a peer for its ids: when it is admitted, when something does not add up, and now and then.
//!
//! The list is the last word on that peer, but not the latest: a claim or expiry heard after the
//! request was sent may be younger than the list. Requests are numbered and every claim carries the
//! number at which it was last heard of; expiries are remembered while a list is under way.

use trefoil_proto::control_plane::{ActorIdsReply, Empty};
use trefoil_proto::wire::{Decode, U64s};

use super::claims::SELF;
use super::index::Host;
use super::peers::Fetch;
use super::{Directory, DirectoryPlant, Purpose};
use crate::codes;
use crate::header::Header;
use crate::id::StreamId;
use crate::machine::{Events, Full, Io};
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::stream::Class;
use crate::time::{Duration, Instant};
use crate::wire;

/// Whether a claim last heard of at `mark` may be younger than the list asked for at `number`. Of
/// claims that were not heard of for 32,768 requests it may say so wrongly: they are then corrected
/// by the next list.
const fn is_younger(mark: u16, number: u16) -> bool {
    mark.wrapping_sub(number) < 1 << 15
}

impl Directory {
    /// Asks the peers that are due, and one in turn when that is due.
    pub(super) fn ask_due(&mut self, now: Instant, io: &mut dyn Io) {
        if self.entropy_at.is_some_and(|due| due <= now) {
            self.entropy_at = Some(now + self.rng.jitter(self.config.anti_entropy_interval, 10));
            if let Some(slot) = self
                .next_in_turn()
                .filter(|_| !self.planted(DirectoryPlant::NoAntiEntropy))
            {
                self.fetches.set(u32::from(slot), now);
            }
        }
        while self.fetching < self.config.fetches_max {
            let Some((slot, _)) = self.fetches.pop_due(now) else {
                return;
            };
            let slot = slot as Host;
            if self.peers.at(slot).fetch.is_some() {
                self.peers.at_mut(slot).fetch_again = true;
            } else if self.ask(now, slot, io).is_err() {
                self.ask_later(now, slot);
            }
        }
    }

    /// Every live peer once, in an order drawn anew each time round.
    fn next_in_turn(&mut self) -> Option<Host> {
        let live = &mut self.peers.live;
        if self.turn >= live.len() {
            self.turn = 0;
            for at in (1..live.len()).rev() {
                live.swap(at, self.rng.below(at as u64 + 1) as usize);
            }
        }
        self.turn += 1;
        live.get(self.turn - 1).copied()
    }

    fn ask(&mut self, now: Instant, slot: Host, io: &mut dyn Io) -> Result<(), Full> {
        let deadline = Some(now + self.config.fetch_timeout);
        let node = self.peers.at(slot).node;
        let tag = Purpose::Fetch.tag(u64::from(slot));
        let stream = io.open(
            node,
            control_plane::LOCAL_ACTOR_IDS,
            Class::Bulk,
            Header::EMPTY,
            deadline,
            tag,
        )?;
        if wire::send(io, stream, &Empty {}).is_err() {
            io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
            return Err(Full);
        }
        io.half_close(stream);
        self.counters.fetches += 1;
        self.fetching += 1;
        self.fetch_number = self.fetch_number.wrapping_add(1);
        let peer = self.peers.at_mut(slot);
        peer.fetch = Some(Fetch {
            stream,
            number: self.fetch_number,
            answered: false,
        });
        peer.fetched_at = Some(now);
        peer.expired.clear();
        peer.expired_more = false;
        Ok(())
    }

    /// Asks a peer again after a wait that doubles.
    fn ask_later(&mut self, now: Instant, slot: Host) {
        let (min, max) = (self.config.retry_min, self.config.anti_entropy_interval);
        let peer = self.peers.at_mut(slot);
        peer.fetch_backoff = (peer.fetch_backoff * 2).clamp(min, max);
        let wait = self.rng.jitter(self.peers.at(slot).fetch_backoff, 20);
        self.fetches.set(u32::from(slot), now + wait);
    }

    /// Asks a live peer as soon as it is fair: lists are long, and a peer that refuses everything
    /// must not be asked for one each time.
    pub(super) fn ask_soon(&mut self, now: Instant, slot: Host) {
        if slot == SELF || !self.peers.is_live(slot) || self.planted(DirectoryPlant::NoAntiEntropy)
        {
            return;
        }
        let pause = self.config.anti_entropy_interval / 4;
        let fair = self
            .peers
            .at(slot)
            .fetched_at
            .map_or(now, |last| now.max(last + pause));
        let due = self
            .fetches
            .due(u32::from(slot))
            .map_or(fair, |due| due.min(fair));
        self.fetches.set(u32::from(slot), due);
    }

    /// A peer sent its ids.
    pub(super) fn fetch_answered(
        &mut self,
        now: Instant,
        slot: Host,
        stream: StreamId,
        bytes: &[u8],
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let Some(fetch) = self.fetch(slot, stream) else {
            return;
        };
        let twice = core::mem::replace(&mut fetch.answered, true);
        let number = fetch.number;
        let mut reply = ActorIdsReply::default();
        if twice || reply.decode(bytes).is_err() || reply.check().is_err() {
            let why = if twice {
                codes::NOT_ONE_MESSAGE
            } else {
                codes::MALFORMED
            };
            let node = self.peers.at(slot).node;
            self.misbehaved(Some(node), why, up);
            io.end(stream, Status::new(Code::Cancelled, why));
            self.fetch_over(now, slot, false, io, up);
            return;
        }
        self.take_ids_listed(now, slot, number, reply.ids, up);
        self.drop_unlisted(slot, number, up);
        self.pump(now, slot, io);
    }

    fn fetch(&mut self, slot: Host, stream: StreamId) -> Option<&mut Fetch> {
        if !self.peers.is_live(slot) {
            return None;
        }
        self.peers
            .at_mut(slot)
            .fetch
            .as_mut()
            .filter(|fetch| fetch.stream == stream)
    }

    /// Gives a peer the ids it listed.
    fn take_ids_listed(
        &mut self,
        now: Instant,
        slot: Host,
        number: u16,
        ids: U64s<'_>,
        up: &mut dyn Events<Self>,
    ) {
        let mark = self.fetch_number;
        let mut expired = core::mem::take(&mut self.peers.at_mut(slot).expired);
        expired.sort_unstable();
        let some_unknown = self.peers.at(slot).expired_more;
        let is_stale = |id: u64| some_unknown || expired.binary_search(&id).is_ok();
        let mut unclear = some_unknown;
        for id in ids.iter().map_while(Result::ok) {
            match self.claims.find(id).map(|entry| (entry.host, entry.mark)) {
                Some((owner, _)) if owner == slot => self.claims.touch(id, mark),
                Some(_) | None if is_stale(id) => {}
                None => {
                    // What does not fit is counted; the rest of the list is still good.
                    let _ = self.take_claim(id, slot, up);
                }
                Some((SELF, claimed)) => {
                    // A claim made since the request is about an id the peer may have given up.
                    if !is_younger(claimed, number) && self.outranks(slot, SELF, id) {
                        self.lose(now, id, slot, up);
                    } else {
                        self.keep(now, id, slot, up);
                    }
                }
                Some((owner, _)) => {
                    // One of the two is out of date or gives up in a moment, and whichever it is may
                    // do so without a word to the other: taking sides here could drop the claim of
                    // the one that stays. Both are asked again instead.
                    self.ask_soon(now, owner);
                    unclear = true;
                }
            }
        }
        expired.clear();
        self.peers.at_mut(slot).expired = expired;
        if unclear {
            self.ask_soon(now, slot);
        }
    }

    /// Takes from a peer what it did not list and has not announced since.
    fn drop_unlisted(&mut self, slot: Host, number: u16, up: &mut dyn Events<Self>) {
        for at in (0..self.claims.list(slot).len()).rev() {
            // From the end, so that what moves into a gap has been looked at.
            let id = self.claims.list(slot)[at];
            if self
                .claims
                .find(id)
                .is_some_and(|entry| !is_younger(entry.mark, number))
            {
                self.claims.remove(id);
                self.tell(id, up);
            }
        }
    }

    /// A request for ids is over.
    pub(super) fn fetch_ended(
        &mut self,
        now: Instant,
        slot: Host,
        stream: StreamId,
        status: Status<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let Some(fetch) = self.fetch(slot, stream) else {
            return;
        };
        // A peer that does not serve the call has nothing to say by it.
        let good = fetch.answered || status.code == Code::Unimplemented;
        self.fetch_over(now, slot, good, io, up);
    }

    fn fetch_over(
        &mut self,
        now: Instant,
        slot: Host,
        good: bool,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let peer = self.peers.at_mut(slot);
        peer.fetch = None;
        self.fetching -= 1;
        let again = core::mem::take(&mut peer.fetch_again);
        if good {
            peer.fetch_backoff = Duration::ZERO;
            self.stop_waiting(slot, up);
            if again {
                self.ask_soon(now, slot);
            }
        } else if self.peers.at(slot).awaited || !self.planted(DirectoryPlant::NoAntiEntropy) {
            self.ask_later(now, slot);
        }
        self.ask_due(now, io);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_told_across_the_end_of_the_numbers() {
        assert!(is_younger(7, 7) && is_younger(8, 7) && !is_younger(6, 7));
        assert!(is_younger(1, u16::MAX) && !is_younger(u16::MAX, 1));
    }
}
