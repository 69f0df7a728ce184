//! The membership: which hosts are there, agreed on by gossip over the seed protocol's own calls.
//!
//! Nothing on the wire is new: `Ping`, `Negotiate` and `Closing` carry all of it, so hosts that know
//! none of our metadata are members like any other.
//!
//! | what happens | what is done | file |
//! |---|---|---|
//! | a host is heard of | it is pinged, and admitted when it answers or calls by its name | `admit` |
//! | a probe fails | peers are asked to ping the host | `probe`, `indirect` |
//! | nobody reaches it | it is held as a suspect, then removed and remembered as gone | `probe` |
//! | a host is gone | peers are told; each checks for itself before it believes | `closing` |
//! | anything was missed | views are exchanged with one random peer at a time | `exchange` |
//! | this process stood still | it drops its suspicions | `probe` |
//! | the cluster is split | the smaller side gives up the majority | `partition` |
//!
//! A host that is remembered as gone comes back only when it answers a ping, or calls under a higher
//! incarnation; never because somebody lists it. An incarnation lower than the known one is ignored.
//!
//! Tables are sized once. New host strings allocate; probes, checks and exchanges do not.

mod admit;
mod calls;
mod closing;
mod config;
mod exchange;
mod hosts;
mod indirect;
mod partition;
mod probe;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::calls::{Call, Calls, Heard, Purpose};
use self::closing::Leaving;
pub use self::config::{MembershipConfig, MembershipConfigError};
use self::hosts::{Check, Hosts, Phase, Slot};
use self::indirect::Errand;
pub use self::partition::PartitionPolicy;
use crate::addresses::NAME_BYTES_MAX;
use crate::codes;
use crate::header::Header;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity::{DRAIN, Identity, PROBE};
use crate::machine::{Events, Io, Machine};
use crate::method::control_plane;
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant, WallClock};
use crate::timers::Timers;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 1;

/// This node, as every process numbers itself.
const OWN: NodeId = NodeId(0);

/// Keys of the timers; those of hosts follow.
mod due {
    pub(super) const PROBE: u32 = 0;
    pub(super) const EXCHANGE: u32 = 1;
    pub(super) const BOOTSTRAP: u32 = 2;
    pub(super) const LEAVE: u32 = 3;
    pub(super) const FIRST_HOST: u32 = 4;
}

/// What a membership may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipCommand<'a> {
    /// What the clock on the wall says; `Ping` answers carry it. Until it is told they carry 0.
    Wall(WallClock),
    /// Says goodbye to all members. [`MembershipEvent::Left`] follows, within `leave_timeout`. From
    /// then on this node probes nobody and is told of to nobody; it still answers.
    Leave,
    /// Looks into a host somebody spoke of: admitted if it answers.
    Verify {
        /// Its host string.
        host: &'a str,
    },
    /// A host is dead: dropped at once, and others are told. It comes back by a new start.
    Down {
        /// Its host string.
        host: &'a str,
    },
    /// Adds a seed: pinged again for ever while it is no member.
    Join {
        /// Its host string.
        host: &'a str,
    },
}

/// Why a membership refuses a command; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipRefused {
    /// The host string is empty or too long.
    NoHost,
    /// The host is this node.
    Own,
    /// No member of this name is known.
    Unknown,
    /// `candidates_max` hosts wait for their answers, or the address book is full.
    Full,
    /// This node is leaving.
    Leaving,
}

/// Why a member is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownReason {
    /// It said that it goes.
    Closed,
    /// Nobody reaches it.
    Failed,
    /// It has been started anew; an `Up` follows. Whatever its process held is gone.
    Restarted,
    /// It was declared dead by command.
    Declared,
}

/// What a membership tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEvent<'a> {
    /// A host is a member. Never told of this node itself.
    Up {
        /// Its number.
        node: NodeId,
        /// Its host string.
        host: &'a str,
        /// Its start, as it counts them; 0 if it does not say.
        incarnation: u64,
        /// Whether it speaks the wire without our metadata.
        legacy: bool,
    },
    /// Nobody reaches a member; it is removed after the hold.
    Suspected {
        /// Its number.
        node: NodeId,
    },
    /// A suspect is there after all.
    Cleared {
        /// Its number.
        node: NodeId,
    },
    /// A member goes in good order; its `Down` follows at once.
    Draining {
        /// Its number.
        node: NodeId,
    },
    /// A host is no member any more.
    Down {
        /// Its number.
        node: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// Whether this side may own anything; told at the start and at every change.
    Majority(bool),
    /// This node has said goodbye.
    Left,
    /// A caller or peer broke the protocol.
    Misbehaved {
        /// Who, if it said so.
        node: Option<NodeId>,
        /// What it did.
        what: &'static str,
    },
}

/// What this node thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers.
    Alive,
    /// Nobody reaches it.
    Suspect,
    /// It is leaving; of this node itself.
    Draining,
}

impl State {
    /// The state in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
        }
    }
}

/// A member, this node included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its number.
    pub node: NodeId,
    /// Its host string.
    pub host: &'a str,
    /// What this node thinks of it.
    pub state: State,
    /// Its start, as it counts them; 0 if it does not say.
    pub incarnation: u64,
    /// Whether it speaks the wire without our metadata.
    pub legacy: bool,
    /// How long the last ping that was answered took; none of this node itself.
    pub round_trip: Option<Duration>,
}

/// Bugs for the simulator to find.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipPlant {
    /// A host that went comes back because somebody lists it.
    HearsayResurrects,
    /// A process that stood still believes its own suspicions.
    NoLagGuard,
    /// Due times are promised ten milliseconds too early.
    LateTimeout,
}

/// Who is a member.
#[derive(Debug)]
pub struct Membership {
    config: MembershipConfig,
    hosts: Hosts,
    calls: Calls,
    timers: Timers,
    rng: Rng,
    /// Hosts that are no members and wait for a ping; none of them twice.
    waiting: VecDeque<Slot>,
    verifying: u32,
    errands: Vec<Errand>,
    wall: Option<WallClock>,
    version: u64,
    /// Counts askings, so that a late vote is known as one.
    asking: u32,
    /// Counts exchanges, for the marks of listed hosts.
    exchange: u32,
    /// Counts the times this process stood still: failures of calls made before say nothing.
    epoch: u32,
    /// Due times before this moment were missed because the process stood still.
    excused: Instant,
    /// The view counts as changing until then.
    changing_until: Instant,
    started: bool,
    joined: bool,
    majority: bool,
    majority_since: Instant,
    leaving: Option<Leaving>,
    plant: Option<MembershipPlant>,
}

/// What a call of the machine is lent, passed on as one.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Membership>,
}

/// An accepted stream's tag: all that must be known of the caller when its message arrives.
#[derive(Clone, Copy)]
struct Accepted {
    method: MethodId,
    caller: Option<NodeId>,
    /// It asks for a ping, or says that it drains.
    marked: bool,
    /// It speaks for a start of its host that is over.
    stale: bool,
}

impl Accepted {
    const FLAG: u64 = 1 << 55;

    fn tag(self) -> Tag {
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        let node = self.caller.map_or(0, |node| u64::from(node.0));
        let flags = flag(self.caller.is_some(), 54) | flag(self.marked, 53) | flag(self.stale, 52);
        Tag::new(
            MACHINE,
            Self::FLAG | flags | u64::from(self.method.0 & 0xff) << 32 | node,
        )
    }

    fn from_tag(tag: Tag) -> Option<Self> {
        let rest = tag.rest();
        let flag = |bit: u32| rest >> bit & 1 == 1;
        (rest & Self::FLAG != 0).then(|| Self {
            method: MethodId((rest >> 32) as u16 & 0xff),
            caller: flag(54).then_some(NodeId(rest as u32)),
            marked: flag(53),
            stale: flag(52),
        })
    }
}

impl Membership {
    /// A membership of one host. All memory of the tables is taken here.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: MembershipConfig) -> Result<Self, MembershipConfigError> {
        config.check()?;
        let hosts = Hosts::new(config.hosts_max, config.candidates_max, config.seed);
        let mut timers = Timers::new(due::FIRST_HOST + hosts.capacity());
        // The first call, whenever it comes, starts the rest.
        timers.set(due::PROBE, Instant::ZERO);
        Ok(Self {
            calls: Calls::new(config.calls_max),
            timers,
            rng: Rng::new(config.seed),
            waiting: VecDeque::with_capacity(hosts.capacity() as usize),
            verifying: 0,
            errands: Vec::with_capacity(config.errands_max as usize),
            hosts,
            config,
            wall: None,
            version: 0,
            asking: 0,
            exchange: 0,
            epoch: 0,
            excused: Instant::ZERO,
            changing_until: Instant::ZERO,
            started: false,
            joined: false,
            majority: false,
            majority_since: Instant::ZERO,
            leaving: None,
            plant: None,
        })
    }

    /// Puts a bug in.
    #[doc(hidden)]
    pub const fn plant(&mut self, plant: MembershipPlant) {
        self.plant = Some(plant);
    }

    fn planted(&self, plant: MembershipPlant) -> bool {
        self.plant == Some(plant)
    }

    /// This node's host string.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.config.host
    }

    /// This node's start.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.config.incarnation
    }

    /// Rises with every change of what [`members`](Self::members) shows, round trips apart.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many members there are, suspects and this node included.
    #[must_use]
    pub fn live(&self) -> usize {
        self.hosts.members().len() + 1
    }

    /// The members: this node first, the others in an order that depends on the history of calls and
    /// the seed alone.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> + '_ {
        let own = Member {
            node: OWN,
            host: &self.config.host,
            state: if self.leaving.is_some() {
                State::Draining
            } else {
                State::Alive
            },
            incarnation: self.config.incarnation,
            legacy: false,
            round_trip: None,
        };
        let others = self.hosts.members().iter().map(|slot| {
            let host = self.hosts.at(*slot);
            Member {
                node: host.node,
                host: &host.name,
                state: if host.suspect {
                    State::Suspect
                } else {
                    State::Alive
                },
                incarnation: host.incarnation,
                legacy: host.legacy,
                round_trip: host.round_trip,
            }
        });
        core::iter::once(own).chain(others)
    }

    /// The host string of a node that is a member, a candidate or remembered as gone.
    #[must_use]
    pub fn host_of(&self, node: NodeId) -> Option<&str> {
        if node == OWN {
            return Some(&self.config.host);
        }
        self.hosts
            .by_node(node)
            .map(|slot| &*self.hosts.at(slot).name)
    }

    fn start(&mut self, lent: &mut Lent<'_>) {
        if core::mem::replace(&mut self.started, true) {
            return;
        }
        let now = lent.now;
        self.excused = now;
        let first = self.rng.below(self.config.probe_interval.as_nanos() as u64);
        self.timers
            .set(due::PROBE, now + Duration::from_nanos(first + 1));
        self.timers.set(
            due::EXCHANGE,
            now + self.rng.jitter(self.config.exchange_interval, 50),
        );
        let seeds = core::mem::take(&mut self.config.seeds);
        let mut others = 0;
        for seed in &seeds {
            if *seed == self.config.host {
                continue;
            }
            others += 1;
            // A seed beyond the bounds is one too many for this node.
            let _ = self.join(seed, lent);
        }
        self.joined = others == 0;
        if others < seeds.len() && others > 0 {
            self.timers
                .set(due::BOOTSTRAP, now + self.config.bootstrap_after);
        }
        self.config.seeds = seeds;
        self.count_majority(now, true, lent.up);
    }

    /// Nobody answered for a while, and the configuration allows to begin alone.
    fn bootstrap(&mut self, lent: &mut Lent<'_>) {
        if self.joined {
            return;
        }
        if self.hosts.members().is_empty() {
            self.joined = true;
            self.count_majority(lent.now, false, lent.up);
        } else {
            // Somebody is there who has not answered for itself yet.
            self.timers
                .set(due::BOOTSTRAP, lent.now + self.config.bootstrap_after);
        }
    }

    /// The view has changed: it is counted again, and exchanged sooner.
    fn changed(&mut self, lent: &mut Lent<'_>) {
        self.version += 1;
        let soon = self.config.exchange_interval_changing;
        self.changing_until = lent.now + self.config.exchange_interval;
        if self.leaving.is_none()
            && self
                .timers
                .due(due::EXCHANGE)
                .is_some_and(|due| due > lent.now + soon)
        {
            self.timers.set(due::EXCHANGE, lent.now + soon);
        }
        self.count_majority(lent.now, false, lent.up);
    }

    fn misbehaved(node: Option<NodeId>, what: &'static str, lent: &mut Lent<'_>) {
        lent.up.event(MembershipEvent::Misbehaved { node, what });
    }

    fn accepted(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        method: MethodId,
        header: Header<'_>,
        lent: &mut Lent<'_>,
    ) {
        let key = match method {
            control_plane::NEGOTIATE => Some(PROBE),
            control_plane::CLOSING => Some(DRAIN),
            control_plane::PING => None,
            _ => {
                return lent
                    .io
                    .end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
            }
        };
        let identity = Identity::from_header(header);
        // A name without an identity, or our own, is no evidence of anybody.
        let caller = from.filter(|node| *node != OWN && identity.is_some());
        let incarnation = identity.map_or(0, |identity| identity.incarnation);
        let known = caller
            .and_then(|node| self.hosts.by_node(node))
            .map(|slot| self.hosts.at(slot));
        let accepted = Accepted {
            method,
            caller,
            marked: key.is_some_and(|key| header.value(key).is_some()),
            stale: known.is_some_and(|host| incarnation < host.incarnation),
        };
        lent.io.adopt(stream, accepted.tag());
        if let Some(node) = caller.filter(|_| !accepted.stale) {
            self.called(node, incarnation, method, lent);
        }
    }

    /// An event of a stream that was accepted.
    fn serve(
        &mut self,
        stream: StreamId,
        call: Accepted,
        event: StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        match event {
            StreamIn::Frame(bytes) => {
                if self.drop_errand(stream) {
                    Self::misbehaved(call.caller, "two messages on a unary call", lent);
                    return lent.io.end(
                        stream,
                        Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                    );
                }
                match call.method {
                    control_plane::PING => self.answer_ping(stream, call, bytes, lent),
                    control_plane::NEGOTIATE => self.answer_negotiate(stream, call, bytes, lent),
                    _ => self.answer_closing(stream, call, bytes, lent),
                }
            }
            StreamIn::HalfClosed => {
                if !self.has_errand(stream) {
                    lent.io.end(
                        stream,
                        Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                    );
                }
            }
            StreamIn::Ended(_) => {
                self.drop_errand(stream);
            }
            StreamIn::Accepted { .. } | StreamIn::Header(_) | StreamIn::Writable => {}
        }
    }

    /// An event of a stream that was opened.
    fn heard(&mut self, stream: StreamId, at: u64, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        let Some(call) = self.calls.at_mut(at, stream) else {
            return;
        };
        match event {
            StreamIn::Header(header) => {
                if let Some(identity) = Identity::from_header(header) {
                    if identity.node == lent.io.name(call.to) {
                        call.incarnation = Some(identity.incarnation);
                    } else {
                        call.heard = Heard::Bad;
                        let node = Some(call.to);
                        Self::misbehaved(node, "answered as another host", lent);
                    }
                }
            }
            StreamIn::Frame(bytes) => {
                let call = *call;
                let heard = match call.heard {
                    Heard::Nothing => self.answer_heard(call, bytes, lent),
                    Heard::Good | Heard::Negative | Heard::Bad => Heard::Bad,
                };
                if let Some(call) = self.calls.at_mut(at, stream) {
                    call.heard = heard;
                }
            }
            StreamIn::Ended(status) => {
                if let Some(call) = self.calls.remove(at, stream) {
                    self.call_ended(call, status, lent);
                    self.pump(lent);
                }
            }
            StreamIn::HalfClosed | StreamIn::Writable | StreamIn::Accepted { .. } => {}
        }
    }

    fn answer_heard(&mut self, call: Call, bytes: &[u8], lent: &mut Lent<'_>) -> Heard {
        match call.purpose {
            Purpose::Ping { slot, .. } => self.ping_answer(call, slot, bytes, lent),
            Purpose::Ask { about, .. } => self.ask_answer(call, about, bytes, lent),
            Purpose::Exchange => self.exchange_answer(call, bytes, lent),
            Purpose::Relay | Purpose::Goodbye => Heard::Good,
        }
    }

    fn call_ended(&mut self, call: Call, status: Status<'_>, lent: &mut Lent<'_>) {
        match call.purpose {
            Purpose::Ping { slot, queued } => self.ping_ended(call, slot, queued, status, lent),
            Purpose::Ask { about, round } => self.ask_ended(call, about, round, status, lent),
            Purpose::Exchange => self.exchange_ended(call, status, lent),
            Purpose::Relay => {}
            Purpose::Goodbye => self.goodbye_ended(lent),
        }
    }

    fn checked_host(&self, host: &str) -> Result<(), MembershipRefused> {
        if host.is_empty() || host.len() > NAME_BYTES_MAX {
            return Err(MembershipRefused::NoHost);
        }
        if *host == *self.config.host {
            return Err(MembershipRefused::Own);
        }
        if self.leaving.is_some() {
            return Err(MembershipRefused::Leaving);
        }
        Ok(())
    }

    fn host_due(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        if self.leaving.is_some() {
            return;
        }
        match self.hosts.at(slot).phase() {
            Phase::Free | Phase::Live(Check::None | Check::Asking { .. }) => {}
            Phase::Candidate => self.candidate_due(slot, lent),
            Phase::Live(Check::Hold { until }) => self.hold_due(slot, until, lent),
            Phase::Live(Check::Pings { .. } | Check::Retry { .. }) => self.check_ping(slot, lent),
            Phase::Dead(reason, _) => self.tombstone_due(slot, reason, lent),
        }
    }
}

impl Machine for Membership {
    type Command<'a> = MembershipCommand<'a>;
    type Event<'a> = MembershipEvent<'a>;
    type Refused = MembershipRefused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let lent = &mut Lent { now, io, up };
        self.start(lent);
        self.notice_lag(lent);
        if let StreamIn::Accepted {
            from,
            method,
            header,
            ..
        } = event
        {
            self.accepted(stream, from, method, header, lent);
        } else if let Some(call) = Accepted::from_tag(tag) {
            self.serve(stream, call, event, lent);
        } else {
            self.heard(stream, tag.rest(), event, lent);
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
        command: MembershipCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), MembershipRefused> {
        let lent = &mut Lent { now, io, up };
        self.start(lent);
        self.notice_lag(lent);
        match command {
            MembershipCommand::Wall(wall) => {
                self.wall = Some(wall);
                Ok(())
            }
            MembershipCommand::Leave => self.leave(lent),
            MembershipCommand::Verify { host } => self.verify(host, lent),
            MembershipCommand::Down { host } => self.declare_down(host, lent),
            MembershipCommand::Join { host } => {
                self.checked_host(host)?;
                self.join(host, lent)
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let lent = &mut Lent { now, io, up };
        self.start(lent);
        self.notice_lag(lent);
        while let Some((key, _)) = self.timers.pop_due(now) {
            match key {
                due::PROBE => self.probe_due(lent),
                due::EXCHANGE => self.exchange_due(lent),
                due::BOOTSTRAP => self.bootstrap(lent),
                due::LEAVE => self.left(lent),
                host => self.host_due(host - due::FIRST_HOST, lent),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.timers.earliest()?;
        let early = if self.planted(MembershipPlant::LateTimeout) {
            Duration::from_millis(10)
        } else {
            Duration::ZERO
        };
        Some(due - early)
    }
}

/// Opens a unary call and sends its message, or does nothing.
fn open(
    to: NodeId,
    method: MethodId,
    header: Header<'_>,
    deadline: Instant,
    at: u32,
    message: &impl trefoil_proto::wire::Encode,
    io: &mut dyn Io,
) -> Option<StreamId> {
    let tag = Tag::new(MACHINE, u64::from(at));
    let stream = io
        .open(to, method, Class::Control, header, Some(deadline), tag)
        .ok()?;
    if crate::wire::send(io, stream, message).is_err() {
        io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
        return None;
    }
    io.half_close(stream);
    Some(stream)
}
