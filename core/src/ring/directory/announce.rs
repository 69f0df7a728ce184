//! Own changes on their way to the peers.
//!
//! Each peer is told one batch at a time and the next when it has answered, so claims and expiries
//! never overtake each other. A batch is a span of the log of own changes, written as claims and
//! expiries by what is true at that moment; one that fails is written anew from the same span.

use alloc::vec::Vec;

use trefoil_proto::control_plane::{ExpiryAnnounce, OwnerChangeAck, OwnershipAnnounce};
use trefoil_proto::wire::{Decode, Encode};

use super::claims::SELF;
use super::index::Host;
use super::peers::{Job, Sending};
use super::{Directory, DirectoryEvent, DirectoryPlant, Purpose};
use crate::codes;
use crate::header::Header;
use crate::id::StreamId;
use crate::machine::{Events, Full, Io};
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::stream::Class;
use crate::time::{Duration, Instant, earliest};
use crate::wire;

/// The ids of one announcement.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    claims: Vec<u64>,
    expiries: Vec<u64>,
    /// First and last change and the version they were read at, if it is a span of the log: the
    /// next peer is likely to need the same.
    span: Option<(u64, u64, u64)>,
}

/// The wait after one of `last`: doubled, within bounds.
fn longer(last: Duration, min: Duration, max: Duration) -> Duration {
    (last * 2).clamp(min, max)
}

impl Directory {
    /// Tells the layer above and the peers of all changes so far.
    pub(super) fn flush(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        self.flush_at = None;
        while let Some(id) = self.log.pop_untold() {
            self.tell(id, up);
        }
        self.flushed = self.log.head();
        for at in 0..self.peers.live.len() {
            self.pump(now, self.peers.live[at], io);
        }
    }

    /// Sends a peer what is due, if nothing is under way to it.
    pub(super) fn pump(&mut self, now: Instant, slot: Host, io: &mut dyn Io) {
        let peer = self.peers.at_mut(slot);
        if !peer.live || peer.sending.is_some() {
            return;
        }
        peer.hold = peer.hold.filter(|until| *until > now);
        if peer.hold.is_none() {
            while let Some(job) = self.next_job(now, slot) {
                match self.send_job(now, slot, job, io) {
                    Ok(true) => return self.sends.cancel(u32::from(slot)),
                    Ok(false) => self.completed(slot, job),
                    Err(Full) => {
                        self.failed(now, slot, job);
                        break;
                    }
                }
            }
        }
        let peer = self.peers.at(slot);
        // While nothing may be sent, nothing else is due.
        match peer.hold.or(peer.dispute_at) {
            Some(due) => self.sends.set(u32::from(slot), due),
            None => self.sends.cancel(u32::from(slot)),
        }
    }

    /// What to announce next, its ids in `batch`.
    fn next_job(&mut self, now: Instant, slot: Host) -> Option<Job> {
        let chunk = self.config.chunk_ids;
        let own = self.claims.list(SELF);
        let peer = self.peers.at_mut(slot);
        if peer.cursor < self.log.tail() {
            peer.cursor = self.log.tail().max(self.flushed);
            peer.sync_left = Some(own.len() as u32);
            self.counters.syncs += 1;
        }
        if peer.cursor < self.flushed {
            let (from, end) = (
                peer.cursor,
                self.flushed.min(peer.cursor + u64::from(chunk)),
            );
            self.fill_span(from, end);
            return Some(Job::Window { end });
        }
        if peer.dispute_at.is_some_and(|due| due <= now) {
            if core::mem::take(&mut peer.disputed_all) {
                peer.disputed.clear();
                peer.sync_left = Some(own.len() as u32);
                self.counters.syncs += 1;
            }
            peer.dispute_at = None;
            peer.disputed
                .retain(|id| self.claims.owner(*id) == Some(SELF));
            let count = peer.disputed.len().min(chunk as usize);
            peer.retold.clear();
            peer.retold.extend(peer.disputed.drain(..count));
            if count > 0 {
                self.batch.span = None;
                self.batch.expiries.clear();
                self.batch.claims.clear();
                self.batch.claims.extend_from_slice(&peer.retold);
                return Some(Job::Disputed);
            }
        }
        let high = peer.sync_left?.min(own.len() as u32);
        // Downward: an id that is given up is replaced in the list by the last one, which is told
        // already, and an id that is claimed comes behind the last one and is in the log.
        let low = high.saturating_sub(chunk);
        self.batch.span = None;
        self.batch.expiries.clear();
        self.batch.claims.clear();
        self.batch
            .claims
            .extend_from_slice(&own[low as usize..high as usize]);
        Some(Job::Sync { low })
    }

    /// Reads the changes `from..end` into the batch: claims of what is owned now, expiries of the rest.
    fn fill_span(&mut self, from: u64, end: u64) {
        let span = Some((from, end, self.version));
        if self.batch.span == span {
            return;
        }
        let batch = &mut self.batch;
        batch.span = span;
        batch.claims.clear();
        batch.expiries.clear();
        for id in self.log.range(from, end) {
            let own = self.claims.owner(id) == Some(SELF);
            if own {
                &mut batch.claims
            } else {
                &mut batch.expiries
            }
            .push(id);
        }
    }

    /// Opens the calls of a job; whether there are any.
    fn send_job(
        &mut self,
        now: Instant,
        slot: Host,
        job: Job,
        io: &mut dyn Io,
    ) -> Result<bool, Full> {
        let host = &*self.config.host;
        let claims = OwnershipAnnounce {
            host,
            ids: &self.batch.claims[..],
        };
        let expiries = ExpiryAnnounce {
            host,
            ids: &self.batch.expiries[..],
        };
        let mut calls = [None; 2];
        if !self.batch.claims.is_empty() {
            calls[0] = Some(self.call(now, slot, Purpose::Claims, &claims, io)?);
        }
        if !self.batch.expiries.is_empty() {
            match self.call(now, slot, Purpose::Expiries, &expiries, io) {
                Ok(stream) => calls[1] = Some(stream),
                Err(Full) => {
                    for stream in calls.into_iter().flatten() {
                        io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
                    }
                    return Err(Full);
                }
            }
        }
        let count = calls.iter().flatten().count();
        self.counters.announcements += count as u64;
        if count > 0 {
            let sending = Sending {
                job,
                calls,
                answered: [false; 2],
                failed: false,
                refused: false,
            };
            self.peers.at_mut(slot).sending = Some(sending);
        }
        Ok(count > 0)
    }

    fn call(
        &self,
        now: Instant,
        slot: Host,
        purpose: Purpose,
        message: &impl Encode,
        io: &mut dyn Io,
    ) -> Result<StreamId, Full> {
        let method = match purpose {
            Purpose::Expiries => control_plane::ANNOUNCE_EXPIRY,
            Purpose::Claims
            | Purpose::TakeClaims
            | Purpose::TakeExpiries
            | Purpose::ListIds
            | Purpose::Fetch => control_plane::ANNOUNCE_OWNERSHIP,
        };
        let deadline = Some(now + self.config.call_timeout);
        let tag = purpose.tag(u64::from(slot));
        let stream = io.open(
            self.peers.at(slot).node,
            method,
            Class::Control,
            Header::EMPTY,
            deadline,
            tag,
        )?;
        if wire::send(io, stream, message).is_err() {
            io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
            return Err(Full);
        }
        io.half_close(stream);
        Ok(stream)
    }

    /// The job under way to a peer, if `stream` is its call number `which`.
    fn sending(&mut self, slot: Host, stream: StreamId, which: usize) -> Option<&mut Sending> {
        if !self.peers.is_live(slot) {
            return None;
        }
        let sending = self.peers.at_mut(slot).sending.as_mut();
        sending.filter(|sending| sending.calls[which] == Some(stream))
    }

    /// A peer answered an announcement.
    pub(super) fn announce_answered(
        &mut self,
        now: Instant,
        slot: Host,
        stream: StreamId,
        which: usize,
        bytes: &[u8],
        up: &mut dyn Events<Self>,
    ) {
        let Some(sending) = self.sending(slot, stream, which) else {
            return;
        };
        let twice = core::mem::replace(&mut sending.answered[which], true);
        let Ok(ack) = OwnerChangeAck::parse(bytes) else {
            sending.failed = true;
            let node = self.peers.at(slot).node;
            return self.misbehaved(Some(node), codes::MALFORMED, up);
        };
        if twice {
            let node = self.peers.at(slot).node;
            return self.misbehaved(Some(node), codes::NOT_ONE_MESSAGE, up);
        }
        if ack.accepted || which == 1 {
            return;
        }
        sending.refused = true;
        self.counters.refused += 1;
        // Whoever it believes in may not have heard of this node, or this node not of it.
        match named_owner(ack.message).map(|host| (host, self.peers.find(host))) {
            Some((_, Some(owner))) if self.peers.is_live(owner) => self.ask_soon(now, owner),
            Some((host, None)) => up.event(DirectoryEvent::Candidate { host }),
            Some((_, Some(_))) | None => self.ask_soon(now, slot),
        }
    }

    /// An announcement is over.
    pub(super) fn announce_ended(
        &mut self,
        now: Instant,
        slot: Host,
        stream: StreamId,
        which: usize,
        status: Status<'_>,
        io: &mut dyn Io,
    ) {
        let Some(sending) = self.sending(slot, stream, which) else {
            return;
        };
        sending.calls[which] = None;
        // A peer that does not serve or does not understand the call will not do so next time.
        let hopeless = matches!(status.code, Code::Unimplemented | Code::InvalidArgument);
        let answered = status.is_ok() && sending.answered[which];
        sending.failed |= !(hopeless || answered);
        if sending.calls != [None; 2] {
            return;
        }
        let sending = *sending;
        self.peers.at_mut(slot).sending = None;
        if sending.failed && !self.planted(DirectoryPlant::NoAntiEntropy) {
            self.counters.retries += 1;
            self.failed(now, slot, sending.job);
        } else {
            self.peers.at_mut(slot).backoff = Duration::ZERO;
            if sending.refused {
                self.note_refused(now, slot, sending.job);
            } else if matches!(sending.job, Job::Disputed | Job::Sync { low: 0 }) {
                self.peers.at_mut(slot).dispute_backoff = Duration::ZERO;
            }
            self.completed(slot, sending.job);
        }
        self.pump(now, slot, io);
    }

    /// A job needs no repetition; what it was refused for is noted before.
    fn completed(&mut self, slot: Host, job: Job) {
        let peer = self.peers.at_mut(slot);
        match job {
            Job::Window { end } => peer.cursor = peer.cursor.max(end),
            Job::Sync { low } => peer.sync_left = Some(low).filter(|low| *low > 0),
            Job::Disputed => {
                // What did not fit into one message follows at once; what came since is due anyway.
                if !peer.disputed.is_empty() {
                    peer.dispute_at = peer.dispute_at.or(Some(Instant::ZERO));
                }
            }
        }
    }

    /// The ids of a refused job are announced again after a while: the peer took those it could, and
    /// the others it will take when it has heard that their owner gave them up.
    fn note_refused(&mut self, now: Instant, slot: Host, job: Job) {
        let (min, max) = (self.config.retry_min, self.config.anti_entropy_interval);
        let peer = self.peers.at_mut(slot);
        // A new refusal is tried again soon, an old one ever more rarely.
        let backoff = longer(peer.dispute_backoff, min, max);
        let is_new = matches!(job, Job::Window { .. });
        peer.dispute_backoff = if is_new {
            peer.dispute_backoff.max(min)
        } else {
            backoff
        };
        let due = now + if is_new { min } else { backoff };
        peer.dispute_at = earliest(peer.dispute_at.filter(|at| *at > now), Some(due));
        let mut ids = core::mem::take(&mut self.scratch);
        let from = peer.cursor;
        match job {
            Job::Window { end } => ids.extend(self.log.range(from, end)),
            Job::Sync { low } => {
                let own = self.claims.list(SELF);
                let high = own.len().min(low as usize + self.config.chunk_ids as usize);
                ids.extend_from_slice(own.get(low as usize..high).unwrap_or_default());
            }
            Job::Disputed => ids.append(&mut peer.retold),
        }
        for id in ids.drain(..) {
            if self.claims.owner(id) == Some(SELF) {
                self.dispute(now, slot, id);
            }
        }
        self.scratch = ids;
    }

    /// Nothing is sent to a peer for a while; then the job is done again.
    fn failed(&mut self, now: Instant, slot: Host, job: Job) {
        let (min, max) = (self.config.retry_min, self.config.anti_entropy_interval);
        let backoff = longer(self.peers.at(slot).backoff, min, max);
        let wait = self.rng.jitter(backoff, 20);
        let peer = self.peers.at_mut(slot);
        peer.backoff = backoff;
        peer.hold = Some(now + wait);
        if job == Job::Disputed {
            let ids = core::mem::take(&mut peer.retold);
            for id in &ids {
                self.dispute(now, slot, *id);
            }
            self.peers.at_mut(slot).retold = ids;
        }
    }
}

/// The host in a message such as `owner=HOST`, as this implementation writes it; other
/// implementations may write what they like.
fn named_owner(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("owner=")?;
    let host = rest.split([' ', ',', ';']).next()?;
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_from_messages_of_any_kind() {
        assert_eq!(named_owner("owner=10.0.0.1:7000"), Some("10.0.0.1:7000"));
        assert_eq!(named_owner("refused, owner=b; try later"), Some("b"));
        assert_eq!(named_owner("already owned by b"), None);
        assert_eq!(named_owner("owner="), None);
    }

    #[test]
    fn waits_double_within_their_bounds() {
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(150));
        let first = longer(Duration::ZERO, min, max);
        assert_eq!(first, min);
        assert_eq!(longer(longer(first, min, max), min, max), max);
    }
}
