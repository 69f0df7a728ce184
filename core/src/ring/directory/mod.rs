//! The directory: who owns which actor id, as this node sees it.
//!
//! An id belongs to the host that claims it, and while nobody does, to the host it is placed on.
//! Claims travel by announcement and by asking a host for its ids; both say the same about the same
//! state, so any of them may be lost, repeated or late. The wire has no tie-break: where two hosts
//! claim one id, both work out the same winner from the placement, and the loser gives the id up.
//!
//! | what may go wrong | what repairs it |
//! |---|---|
//! | an announcement is lost | it is made again, from the log of own changes |
//! | a peer fell off the log | all own ids are announced to it |
//! | a peer refuses, because it believes in another owner | the ids are announced again until it takes them |
//! | anything else | every host is asked for its ids, one at a time, in turn |
//!
//! Work is linear in the ids of the message at hand; nothing is allocated for what is known already.

mod announce;
mod claims;
mod config;
mod contest;
mod fetch;
mod index;
mod log;
mod members;
mod peers;
mod serve;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use self::claims::{Claims, SELF};
pub use self::config::{DirectoryConfig, DirectoryConfigError};
use self::index::Host;
use self::log::ChangeLog;
use self::peers::Peers;
use super::ownership::{Ownership, Route};
use super::placement::{AddError, Placement, Weight};
use crate::codes;
use crate::id::{NodeId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::method::control_plane;
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};
use crate::timers::Timers;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 2;

/// This node, as every process numbers itself.
const OWN: NodeId = NodeId(0);

/// What a directory may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryCommand<'a> {
    /// A host is a member from now on. Its ids are asked for before this node decides about ids that
    /// nobody claims. For one that is a member already only `legacy` counts, and for this node
    /// nothing does.
    MemberUp {
        /// Its number.
        node: NodeId,
        /// Its host string.
        host: &'a str,
        /// Its share of the placement.
        weight: Weight,
        /// It is not one of ours: it does not know ranks, so an id it claims is left to it.
        legacy: bool,
    },
    /// A host is no member any more. Its claims are dropped, in time linear in their number.
    MemberDown {
        /// Its number.
        node: NodeId,
    },
    /// Whether this node may own anything. It may until it is told otherwise.
    Majority(bool),
    /// As [`Ownership::claim`].
    Claim {
        /// The id.
        id: u64,
    },
    /// As [`Ownership::release`].
    Release {
        /// The id.
        id: u64,
    },
    /// Gives every own id up.
    ReleaseAll,
}

/// What a directory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryEvent<'a> {
    /// The claim of an id changed. Changes made by [`Ownership`] are told at the next due time, with
    /// the owner of that moment.
    Changed {
        /// The id.
        id: u64,
        /// Who claims it; nobody if absent.
        owner: Option<NodeId>,
    },
    /// Two hosts claimed an id and this node is not the one that keeps it. The winner holds it
    /// already; a [`Changed`](Self::Changed) follows.
    Lost {
        /// The id.
        id: u64,
        /// Who keeps it.
        winner: NodeId,
    },
    /// Another host claimed an id of this node, which keeps it. Until it gave way the other may have
    /// acted as the owner: what this node remembers of the id may be old.
    Kept {
        /// The id.
        id: u64,
    },
    /// Whether ids that nobody claims can be decided about: the ids of every member are here, or
    /// have been waited for long enough.
    Ready(bool),
    /// A host that is no member made itself heard.
    Candidate {
        /// Its host string, as it was heard.
        host: &'a str,
    },
    /// A caller or peer broke the protocol.
    Misbehaved {
        /// Who, if it said so.
        node: Option<NodeId>,
        /// What it did.
        why: &'static str,
    },
}

/// Why a directory refuses a command; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryRefused {
    /// `peers_max` members are known already.
    TooManyPeers,
    /// The placement does not take the host.
    Placement(AddError),
}

/// Bugs for the simulator to find.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryPlant {
    /// The first claim wins, on each node for itself.
    NoTieBreak,
    /// The claims of a host outlive it.
    DeadHostsClaimsKept,
    /// What a peer missed is neither told nor asked for again.
    NoAntiEntropy,
}

/// What a directory did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryCounters {
    /// Announcements sent, claims and expiries counted apart.
    pub announcements: u64,
    /// Announcements that failed and were made again.
    pub retries: u64,
    /// Announcements that a peer refused.
    pub refused: u64,
    /// Lists of ids asked for.
    pub fetches: u64,
    /// Own ids that another host claimed and this node kept.
    pub contests_won: u64,
    /// Own ids that another host claimed and this node gave up.
    pub contests_lost: u64,
    /// Times all own ids were announced to a peer that was too far behind.
    pub syncs: u64,
    /// Claims not taken in because `ids_max` was reached.
    pub overflows: u64,
    /// Calls and answers that broke the protocol.
    pub misbehaved: u64,
}

/// Who owns what.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    placement: Placement,
    claims: Claims,
    peers: Peers,
    majority: bool,
    /// Live peers whose ids are still waited for.
    awaited: u32,

    log: ChangeLog,
    /// Changes below this number are being announced.
    flushed: u64,
    flush_at: Option<Instant>,
    /// When a peer may be sent something again, by slot.
    sends: Timers,
    /// Counts changes of own claims.
    version: u64,
    /// The ids of one announcement, and which changes at which version they are.
    batch: announce::Batch,

    /// When a peer is to be asked for its ids, by slot.
    fetches: Timers,
    /// When a peer's ids are no longer waited for, by slot.
    patience: Timers,
    fetching: u16,
    fetch_number: u16,
    entropy_at: Option<Instant>,
    turn: usize,

    message: String,
    scratch: Vec<u64>,
    rng: Rng,
    counters: DirectoryCounters,
    plant: Option<DirectoryPlant>,
}

impl Directory {
    /// A directory of a node that is alone so far. `placement` is empty; this node is added to it. Takes about 24 bytes a peer of `peers_max` and eight a change of `log_ids`; the
    /// tables of claims grow with the claims.
    ///
    /// # Errors
    /// The first rule of `config` that does not hold.
    pub fn new(
        config: DirectoryConfig,
        mut placement: Placement,
    ) -> Result<Self, DirectoryConfigError> {
        config.check()?;
        placement
            .add(OWN.0, &config.host, config.weight)
            .map_err(DirectoryConfigError::Placement)?;
        let mut rng = Rng::new(config.seed);
        let mut claims = Claims::new(config.ids_max, rng.draw());
        claims.host(SELF, &config.host);
        let slots = u32::from(config.peers_max) + 1;
        Ok(Self {
            placement,
            claims,
            peers: Peers::new(OWN, &config.host, config.peers_max, rng.draw()),
            majority: true,
            awaited: 0,
            log: ChangeLog::new(config.log_ids),
            flushed: 0,
            flush_at: None,
            sends: Timers::new(slots),
            version: 0,
            batch: announce::Batch::default(),
            fetches: Timers::new(slots),
            patience: Timers::new(slots),
            fetching: 0,
            fetch_number: 0,
            entropy_at: None,
            turn: 0,
            message: String::new(),
            scratch: Vec::new(),
            rng,
            counters: DirectoryCounters::default(),
            plant: None,
            config,
        })
    }

    /// Where ids are placed that nobody claims.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Who claims `id`, whether or not it is placed there. Cost: one hash look-up.
    #[must_use]
    pub fn claimant(&self, id: u64) -> Option<NodeId> {
        self.claims.owner(id).map(|host| self.peers.at(host).node)
    }

    /// How many ids a node claims.
    #[must_use]
    pub fn ids_of(&self, node: NodeId) -> usize {
        self.peers
            .slot(node)
            .map_or(0, |slot| self.claims.list(slot).len())
    }

    /// The ids this node owns, in an order that depends on the history of calls alone.
    pub fn local_ids(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + '_ {
        self.claims.list(SELF).iter().copied()
    }

    /// Claims known, of all hosts together.
    #[must_use]
    pub const fn known(&self) -> u32 {
        self.claims.len()
    }

    /// A number that is equal for equal claims, on whichever nodes; kept up to date, so reading it
    /// costs nothing. It says nothing about placement.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.claims.fingerprint()
    }

    /// Bytes allocated for claims.
    #[must_use]
    pub fn claim_bytes(&self) -> usize {
        self.claims.bytes()
    }

    /// Whether this node knows the ids of every member, or has waited long enough.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.awaited == 0
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> &DirectoryCounters {
        &self.counters
    }

    /// Puts a bug in, or takes it out.
    #[doc(hidden)]
    pub const fn plant(&mut self, plant: Option<DirectoryPlant>) {
        self.plant = plant;
    }

    fn planted(&self, plant: DirectoryPlant) -> bool {
        self.plant == Some(plant)
    }

    fn tell(&self, id: u64, up: &mut dyn Events<Self>) {
        up.event(DirectoryEvent::Changed {
            id,
            owner: self.claimant(id),
        });
    }

    fn misbehaved(&mut self, node: Option<NodeId>, why: &'static str, up: &mut dyn Events<Self>) {
        self.counters.misbehaved += 1;
        up.event(DirectoryEvent::Misbehaved { node, why });
    }

    /// An own id was claimed or given up: peers are told in a moment, or at once if it matters.
    fn changed_own(&mut self, now: Instant, id: u64, urgent: bool) {
        self.log.push(id);
        self.version += 1;
        let pending = self.log.head() - self.flushed;
        let now_due = urgent || pending >= u64::from(self.config.batch_ids);
        let due = if now_due {
            now
        } else {
            now + self.config.batch_delay
        };
        self.flush_at = earliest(self.flush_at, Some(due));
    }

    fn claim_own(&mut self, now: Instant, id: u64) -> bool {
        if !self.majority || self.claims.find(id).is_some() {
            return false;
        }
        if self.claims.set(id, SELF, self.fetch_number).is_err() {
            self.counters.overflows += 1;
            return false;
        }
        self.changed_own(now, id, false);
        true
    }

    fn release_own(&mut self, now: Instant, id: u64) -> bool {
        let own = self.claims.owner(id) == Some(SELF);
        if own {
            self.claims.remove(id);
            self.changed_own(now, id, false);
        }
        own
    }
}

impl Ownership for Directory {
    #[inline]
    fn resolve(&self, id: u64) -> Route {
        if !self.majority {
            return Route::NoMajority;
        }
        match self.claims.owner(id) {
            Some(SELF) => return Route::Local,
            Some(host) => return Route::Remote(self.peers.at(host).node),
            None => {}
        }
        match self.placement.owner(id) {
            Some(key) if key != OWN.0 => Route::Remote(NodeId(key)),
            Some(_) if self.awaited == 0 => Route::Vacant,
            Some(_) | None => Route::NotReady,
        }
    }

    /// Does nothing either if another live host claims the id, without a majority, or when
    /// `ids_max` claims are known: [`resolve`](Self::resolve) tells.
    fn claim(&mut self, now: Instant, id: u64, _: &mut dyn Io) {
        self.claim_own(now, id);
    }

    fn release(&mut self, now: Instant, id: u64, _: &mut dyn Io) {
        self.release_own(now, id);
    }
}

/// What a stream of this machine is for: 8 bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Accepted: a peer's claims.
    TakeClaims,
    /// Accepted: a peer's expiries.
    TakeExpiries,
    /// Accepted: own ids are asked for.
    ListIds,
    /// Opened: own claims.
    Claims,
    /// Opened: own expiries.
    Expiries,
    /// Opened: a peer's ids.
    Fetch,
}

impl Purpose {
    const ALL: [Self; 6] = [
        Self::TakeClaims,
        Self::TakeExpiries,
        Self::ListIds,
        Self::Claims,
        Self::Expiries,
        Self::Fetch,
    ];

    /// A tag with 48 bits more.
    const fn tag(self, rest: u64) -> Tag {
        Tag::new(MACHINE, ((self as u64) << 48) | rest)
    }

    fn of(tag: Tag) -> Option<(Self, u64)> {
        let purpose = *Self::ALL.get((tag.rest() >> 48) as usize)?;
        Some((purpose, tag.rest() & ((1 << 48) - 1)))
    }
}

impl Machine for Directory {
    type Command<'a> = DirectoryCommand<'a>;
    type Event<'a> = DirectoryEvent<'a>;
    type Refused = DirectoryRefused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if let StreamIn::Accepted { from, method, .. } = event {
            let purpose = match method {
                control_plane::ANNOUNCE_OWNERSHIP => Purpose::TakeClaims,
                control_plane::ANNOUNCE_EXPIRY => Purpose::TakeExpiries,
                control_plane::LOCAL_ACTOR_IDS => Purpose::ListIds,
                _ => return io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD)),
            };
            // A foreign caller is nobody: 0.
            return io.adopt(
                stream,
                purpose.tag(from.map_or(0, |node| u64::from(node.0) + 1)),
            );
        }
        let Some((purpose, rest)) = Purpose::of(tag) else {
            return;
        };
        let from = rest.checked_sub(1).map(|node| NodeId(node as u32));
        let slot = rest as Host;
        match (purpose, event) {
            (Purpose::TakeClaims, StreamIn::Frame(bytes)) => {
                self.take_claims(now, stream, from, bytes, io, up)
            }
            (Purpose::TakeExpiries, StreamIn::Frame(bytes)) => {
                self.take_expiries(stream, from, bytes, io, up)
            }
            (Purpose::ListIds, StreamIn::Frame(bytes)) => {
                self.list_ids(stream, from, bytes, io, up)
            }
            (
                Purpose::TakeClaims | Purpose::TakeExpiries | Purpose::ListIds,
                StreamIn::HalfClosed,
            ) => {
                self.misbehaved(from, codes::NOT_ONE_MESSAGE, up);
                io.end(
                    stream,
                    Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                );
            }
            (Purpose::Claims, StreamIn::Frame(bytes)) => {
                self.announce_answered(now, slot, stream, 0, bytes, up)
            }
            (Purpose::Expiries, StreamIn::Frame(bytes)) => {
                self.announce_answered(now, slot, stream, 1, bytes, up)
            }
            (Purpose::Claims, StreamIn::Ended(status)) => {
                self.announce_ended(now, slot, stream, 0, status, io)
            }
            (Purpose::Expiries, StreamIn::Ended(status)) => {
                self.announce_ended(now, slot, stream, 1, status, io)
            }
            (Purpose::Fetch, StreamIn::Frame(bytes)) => {
                self.fetch_answered(now, slot, stream, bytes, io, up)
            }
            (Purpose::Fetch, StreamIn::Ended(status)) => {
                self.fetch_ended(now, slot, stream, status, io, up)
            }
            // Answers carry metadata and end by themselves; what is sent here fits at once.
            (
                _,
                StreamIn::Accepted { .. }
                | StreamIn::Header(_)
                | StreamIn::HalfClosed
                | StreamIn::Writable
                | StreamIn::Ended(_),
            ) => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: DirectoryCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), DirectoryRefused> {
        match command {
            DirectoryCommand::MemberUp {
                node,
                host,
                weight,
                legacy,
            } => {
                self.member_up(now, node, host, weight, legacy, io, up)?;
            }
            DirectoryCommand::MemberDown { node } => self.member_down(now, node, io, up),
            DirectoryCommand::Majority(majority) => self.majority = majority,
            DirectoryCommand::Claim { id } => {
                if self.claim_own(now, id) {
                    self.told_own(id, up);
                }
            }
            DirectoryCommand::Release { id } => {
                if self.release_own(now, id) {
                    self.told_own(id, up);
                }
            }
            DirectoryCommand::ReleaseAll => {
                while let Some(id) = self.claims.pop(SELF) {
                    self.changed_own(now, id, false);
                    self.told_own(id, up);
                }
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        if self.flush_at.is_some_and(|due| due <= now) {
            self.flush(now, io, up);
        }
        while let Some((slot, _)) = self.sends.pop_due(now) {
            self.pump(now, slot as Host, io);
        }
        while let Some((slot, _)) = self.patience.pop_due(now) {
            self.stop_waiting(slot as Host, up);
        }
        self.ask_due(now, io);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let sends = earliest(self.flush_at, self.sends.earliest());
        let waits = earliest(self.patience.earliest(), self.entropy_at);
        // With all of them under way, the next request is made when one has ended.
        let fetches = self
            .fetches
            .earliest()
            .filter(|_| self.fetching < self.config.fetches_max);
        earliest(earliest(sends, waits), fetches)
    }
}
