//! What peers tell and ask. Each call carries one message and gets one answer.

use trefoil_proto::control_plane::{
    ActorIdsReply, Empty, ExpiryAnnounce, OwnerChangeAck, OwnershipAnnounce,
};
use trefoil_proto::wire::{Decode, Encode, U64s};

use super::claims::SELF;
use super::index::Host;
use super::{Directory, DirectoryEvent};
use crate::codes;
use crate::id::{NodeId, StreamId};
use crate::machine::{Events, Full, Io};
use crate::status::{Code, Status};
use crate::time::Instant;
use crate::wire;

/// Ids that a peer gave up while its list was under way; beyond it the list is asked for again.
const EXPIRED_MAX: usize = 4_096;

/// Why an announcement is not taken, besides another owner.
const REMOVED: &str = "the host is no member any more";
const NOT_THE_CALLER: &str = "a host announces its own ids only";

impl Directory {
    /// A host claims ids.
    pub(super) fn take_claims(
        &mut self,
        now: Instant,
        stream: StreamId,
        from: Option<NodeId>,
        bytes: &[u8],
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let mut message = OwnershipAnnounce::default();
        if message.decode(bytes).is_err() || message.check().is_err() || message.host.is_empty() {
            return self.refuse_malformed(stream, from, io, up);
        }
        let OwnershipAnnounce { host, ids } = message;
        match self.peers.find(host) {
            Some(slot) if self.speaks_for_another(from, slot) => {
                self.misbehaved(from, NOT_THE_CALLER, up);
                self.acknowledge(stream, false, NOT_THE_CALLER, io);
            }
            // Somebody repeats what this node said, or says what it did not.
            Some(SELF) => self.acknowledge_owner(stream, self.other_owner(ids, SELF), io),
            Some(slot) if self.peers.is_live(slot) => {
                let (other, full) = self.take_ids_claimed(now, slot, ids, up);
                if full && other.is_none() {
                    self.acknowledge(stream, false, codes::BUSY, io);
                } else {
                    self.acknowledge_owner(stream, other, io);
                }
                self.pump(now, slot, io);
            }
            Some(_) => self.acknowledge(stream, false, REMOVED, io),
            None => {
                up.event(DirectoryEvent::Candidate { host });
                self.acknowledge_owner(stream, self.other_owner(ids, Host::MAX), io);
            }
        }
    }

    /// Whether a caller speaks in another's name, or says nothing of itself where a member would.
    fn speaks_for_another(&self, from: Option<NodeId>, slot: Host) -> bool {
        let peer = self.peers.at(slot);
        match from {
            Some(from) => peer.node != from,
            None => self.peers.is_live(slot) && !peer.legacy && slot != SELF,
        }
    }

    /// The owner of the first of `ids` that belongs to someone else than `host`.
    fn other_owner(&self, ids: U64s<'_>, host: Host) -> Option<Host> {
        ids.iter()
            .map_while(Result::ok)
            .filter_map(|id| self.claims.owner(id))
            .find(|owner| *owner != host)
    }

    /// Gives a live peer the ids it claims. The owner of the first one that stays with another, and
    /// whether there was no room for some.
    fn take_ids_claimed(
        &mut self,
        now: Instant,
        slot: Host,
        ids: U64s<'_>,
        up: &mut dyn Events<Self>,
    ) -> (Option<Host>, bool) {
        let mark = self.fetch_number;
        let (mut other, mut full, mut unclear) = (None, false, false);
        for id in ids.iter().map_while(Result::ok) {
            match self.claims.owner(id) {
                Some(owner) if owner == slot => self.claims.touch(id, mark),
                Some(SELF) if self.outranks(slot, SELF, id) => self.lose(now, id, slot, up),
                Some(SELF) => {
                    self.keep(now, id, slot, up);
                    other = other.or(Some(SELF));
                }
                Some(owner) => {
                    other = other.or(Some(owner));
                    unclear = true;
                }
                None => full |= self.take_claim(id, slot, up).is_err(),
            }
        }
        if unclear && self.peers.at(slot).legacy {
            // The owner may give way to it in a moment, and a legacy host claims nothing twice.
            self.ask_soon(now, slot);
        }
        (other, full)
    }

    /// Gives an id that nobody claims to a peer.
    pub(super) fn take_claim(
        &mut self,
        id: u64,
        slot: Host,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Full> {
        let taken = self.claims.set(id, slot, self.fetch_number);
        match taken {
            Ok(()) => self.tell(id, up),
            Err(Full) => self.counters.overflows += 1,
        }
        taken
    }

    /// A host gives ids up.
    pub(super) fn take_expiries(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        bytes: &[u8],
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let mut message = ExpiryAnnounce::default();
        if message.decode(bytes).is_err() || message.check().is_err() || message.host.is_empty() {
            return self.refuse_malformed(stream, from, io, up);
        }
        match self.peers.find(message.host) {
            Some(slot) if self.speaks_for_another(from, slot) => {
                self.misbehaved(from, NOT_THE_CALLER, up);
                return self.acknowledge(stream, false, NOT_THE_CALLER, io);
            }
            // What this node owns is given up by nobody else.
            Some(slot) if slot != SELF => {
                for id in message.ids.iter().map_while(Result::ok) {
                    self.expire(id, slot, up);
                }
            }
            Some(_) | None => {}
        }
        self.acknowledge(stream, true, "", io);
    }

    fn expire(&mut self, id: u64, slot: Host, up: &mut dyn Events<Self>) {
        if self.claims.owner(id) == Some(slot) {
            self.claims.remove(id);
            self.tell(id, up);
        }
        let peer = self.peers.at_mut(slot);
        if peer.fetch.is_none() {
            return;
        }
        // A list under way may be older than this.
        if peer.expired.len() < EXPIRED_MAX {
            peer.expired.push(id);
        } else {
            peer.expired_more = true;
        }
    }

    /// Somebody asks for the ids this node owns.
    pub(super) fn list_ids(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        bytes: &[u8],
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if Empty::parse(bytes).is_err() {
            return self.refuse_malformed(stream, from, io, up);
        }
        let reply = ActorIdsReply {
            ids: self.claims.list(SELF),
        };
        if reply.encoded_len() > self.config.reply_bytes_max as usize
            || wire::reply(io, stream, &reply).is_err()
        {
            io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }

    fn refuse_malformed(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        self.misbehaved(from, codes::MALFORMED, up);
        io.end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
    }

    /// Accepts, or names the owner in the way.
    fn acknowledge_owner(&mut self, stream: StreamId, owner: Option<Host>, io: &mut dyn Io) {
        self.message.clear();
        if let Some(owner) = owner {
            self.message.push_str("owner=");
            self.message.push_str(&self.peers.at(owner).name);
        }
        self.acknowledge(stream, owner.is_none(), &self.message, io);
    }

    fn acknowledge(&self, stream: StreamId, accepted: bool, message: &str, io: &mut dyn Io) {
        if wire::reply(io, stream, &OwnerChangeAck { accepted, message }).is_err() {
            io.end(stream, Status::new(Code::ResourceExhausted, codes::BUSY));
        }
    }
}
