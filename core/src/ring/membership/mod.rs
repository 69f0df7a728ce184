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
//! | all answers are slow | they are given more time, and few members are doubted at once | `pace`, `probe` |
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
mod interface;
mod pace;
mod partition;
mod probe;
mod streams;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::calls::Calls;
use self::closing::Leaving;
pub use self::config::{MembershipConfig, MembershipConfigError};
use self::hosts::{Check, Hosts, Phase, Slot};
use self::indirect::Errand;
pub use self::interface::{
    DownReason, Member, MembershipCommand, MembershipEvent, MembershipRefused, State,
};
use self::pace::Pace;
pub use self::partition::PartitionPolicy;
use self::streams::{Accepted, open};
use crate::addresses::NAME_BYTES_MAX;
use crate::id::{NodeId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::rng::Rng;
use crate::storage::Done;
use crate::stream::StreamIn;
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

/// Bugs for the simulator to find.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipPlant {
    /// A host that went comes back because somebody lists it.
    HearsayResurrects,
    /// Hosts that failed are not looked for again.
    NoReunion,
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
    pace: Pace,
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
    /// Whether a quorum of voters is heard, as was said last.
    quorum: bool,
    leaving: Option<Leaving>,
    plant: Option<MembershipPlant>,
}

/// What a call of the machine is lent, passed on as one.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Membership>,
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
            pace: Pace::new(config.probe_timeout),
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
            quorum: false,
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

    /// Hosts this node looks for and did not reach last time, members or not, and why.
    pub fn unreachable(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        let missed = self.hosts.known().filter(|host| host.is_missed());
        missed.map(|host| (&*host.name, &*host.why))
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
        let may_begin = !self.hosts.known().any(|host| host.seed && host.alien);
        if self.hosts.members().is_empty() && may_begin {
            self.joined = true;
            self.count_majority(lent.now, false, lent.up);
        } else {
            // Somebody is there who has not answered for itself yet, or who is configured otherwise: the
            // cluster exists, and to begin another one beside it would be worse than to wait.
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
            return self.goodbye_due(slot, lent);
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
            MembershipCommand::Quorum(quorum) => {
                self.quorum = quorum;
                self.count_majority(now, false, lent.up);
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
