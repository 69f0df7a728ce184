//! A node: the ring, its part in an election and in the channels, as one machine, and what operators may ask of
//! it. The only place that names machines of several knots.
//!
//! | part | what it decides |
//! |---|---|
//! | [`Ring`] | who is a member, who owns what |
//! | [`Part`] | who leads: by a vote of its own, or by following those who vote |
//! | [`Channels`] | which node has which log channel, and what is served of those it has |
//! | [`admin`] | what operators are answered |
//! | [`operators`] | what they are answered about channels |
//! | `creations` | when who asked for channels is answered |
//! | `departure` | when a node that leaves may |
//! | `quorum` | whether the ring may go on, where its partition policy is to follow the voters |
//!
//! A node that leaves gives its channels up first, then its leadership, and takes part in no election from the moment when
//! the others have heard its goodbye: before anybody closes its listener.

pub mod admin;
mod channels;
mod creations;
mod departure;
pub mod operators;
mod part;
mod quorum;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use self::admin::{Admin, Asked};
pub use self::channels::{Channels, ChannelsConfig, ChannelsConfigError, ChannelsEvent, News};
use self::departure::Departure;
pub use self::part::{Part, PartConfig};
use self::quorum::Quorum;
use crate::channels::coordinator::{self, CoordinatorCommand, CoordinatorRefused};
use crate::channels::worker;
use crate::codes;
use crate::election::{self, ElectionCommand, ElectionConfigError, ElectionEvent, ElectionRefused};
use crate::id::{MethodId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::method::{admin as methods, cache, channels as operated};
use crate::ring::membership::{MembershipCommand, PartitionPolicy};
use crate::ring::{Ring, RingCommand, RingConfig, RingConfigError, RingEvent, RingRefused};
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Of its ring.
    pub ring: RingConfig,
    /// Of its part in an election, if it has one.
    pub election: Option<PartConfig>,
    /// Of its part in the channels, if it has one. Whoever leads coordinates them.
    pub channels: Option<ChannelsConfig>,
}

/// A rule of [`NodeConfig`] that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeConfigError {
    /// In the ring.
    Ring(RingConfigError),
    /// In the election.
    Election(ElectionConfigError),
    /// In the channels.
    Channels(ChannelsConfigError),
    /// The ring is to follow the voters' quorum, and this node knows of none.
    NoQuorum,
    /// Channels, and nobody who could lead: a coordinator needs an election.
    NoLeader,
}

impl fmt::Display for NodeConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Election(error) => write!(f, "election: {error}"),
            Self::Channels(error) => write!(f, "channels: {error}"),
            Self::NoLeader => f.write_str("channels: they need an election, and there are no voters"),
            Self::NoQuorum => f.write_str(
                "membership: the partition policy follows the voters' quorum, and there are no voters",
            ),
        }
    }
}

impl core::error::Error for NodeConfigError {}

/// What a node may be asked.
#[derive(Clone, Copy, Debug)]
pub enum NodeCommand<'a> {
    /// About its ring. To leave gives the leadership away, too.
    Ring(RingCommand<'a>),
    /// About the leadership.
    Election(ElectionCommand<'a>),
    /// About which node has which channel; of the leader.
    Channels(CoordinatorCommand<'a>),
}

/// What a node tells.
#[derive(Clone, Copy, Debug)]
pub enum NodeEvent<'a> {
    /// Of its ring.
    Ring(RingEvent<'a>),
    /// Of the leadership.
    Election(ElectionEvent<'a>),
    /// Of the channels.
    Channels(ChannelsEvent<'a>),
    /// A peer with the right to ask it asked this node to leave; it has begun to.
    LeaveAsked,
}

/// Why a node refuses a command; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRefused {
    /// The ring refused.
    Ring(RingRefused),
    /// The election refused.
    Election(ElectionRefused),
    /// This node takes part in no election.
    NoElection,
    /// The coordinator refused.
    Channels(CoordinatorRefused),
    /// This node has no part in channels.
    NoChannels,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    ring: Ring,
    election: Option<Part>,
    channels: Option<Channels>,
    admin: Admin,
    quorum: Option<Quorum>,
    departure: Departure,
    /// Reused; empty between calls.
    heard: Heard,
}

/// What machines told that others must know.
#[derive(Debug, Default)]
struct Heard {
    /// The ring has left.
    left: bool,
    /// For the channels, if this node has a part in them.
    news: Option<Vec<News>>,
}

impl Heard {
    fn ring(&mut self, event: &RingEvent<'_>) {
        self.left |= matches!(event, RingEvent::Left);
        if let Some(news) = &mut self.news {
            news.extend(News::of_ring(event));
        }
    }

    fn election(&mut self, event: &ElectionEvent<'_>) {
        if let Some(news) = &mut self.news {
            news.extend(News::of_election(event));
        }
    }
}

/// Turns the ring's news over.
fn of_ring<'n>(
    heard: &'n mut Heard,
    up: &'n mut dyn Events<Node>,
) -> impl FnMut(RingEvent<'_>) + 'n {
    move |event| {
        heard.ring(&event);
        up.event(NodeEvent::Ring(event));
    }
}

fn of_election<'n>(
    heard: &'n mut Heard,
    up: &'n mut dyn Events<Node>,
) -> impl FnMut(ElectionEvent<'_>) + 'n {
    move |event| {
        heard.election(&event);
        up.event(NodeEvent::Election(event));
    }
}

fn of_channels(up: &mut dyn Events<Node>) -> impl FnMut(ChannelsEvent<'_>) {
    move |event| up.event(NodeEvent::Channels(event))
}

impl Node {
    /// A node that is alone so far.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: NodeConfig) -> Result<Self, NodeConfigError> {
        let NodeConfig {
            ring,
            election,
            channels,
        } = config;
        let follows = ring.membership.partition == PartitionPolicy::KeepQuorum;
        let patience = election.as_ref().map(PartConfig::promise);
        if follows && patience.is_none() {
            return Err(NodeConfigError::NoQuorum);
        }
        if channels.is_some() && election.is_none() {
            return Err(NodeConfigError::NoLeader);
        }
        let (host, start) = (&ring.membership.host, ring.membership.incarnation);
        let channels = channels.map(|config| Channels::new(config, host, start));
        let channels = channels.transpose().map_err(NodeConfigError::Channels)?;
        let cluster: String = ring.cluster.clone();
        let election = election.map(Part::new).transpose();
        Ok(Self {
            ring: Ring::new(ring).map_err(NodeConfigError::Ring)?,
            election: election.map_err(NodeConfigError::Election)?,
            heard: Heard {
                left: false,
                news: channels.as_ref().map(|_| Vec::with_capacity(16)),
            },
            channels,
            admin: Admin::new(cluster),
            quorum: patience.filter(|_| follows).map(Quorum::new),
            departure: Departure::None,
        })
    }

    /// The ring, to be looked at.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The part in the election, to be looked at.
    #[must_use]
    pub const fn election(&self) -> Option<&Part> {
        self.election.as_ref()
    }

    /// The part in the channels, to be looked at.
    #[must_use]
    pub const fn channels(&self) -> Option<&Channels> {
        self.channels.as_ref()
    }

    /// Name and value of every counter, in a fixed order.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let election = admin::election_counters(self.election.as_ref());
        let channels = self.channels.as_ref().map(Channels::counters);
        let counters = self.ring.counters().chain(election);
        counters.chain(channels.into_iter().flatten())
    }

    /// Gives the leadership away, if this node has it: to the first voter that hears it, or to nobody.
    fn retire(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let Some(election) = self
            .election
            .as_mut()
            .filter(|election| election.leads(now))
        else {
            return;
        };
        let heir = election.heir();
        let command = match &heir {
            Some(to) => ElectionCommand::HandOver { to },
            None => ElectionCommand::StepDown,
        };
        // It leads, and the heir is a voter: nothing is left to refuse.
        let up = &mut of_election(&mut self.heard, up);
        let _ = election.handle_command(now, command, io, up);
    }

    /// What follows from what the parts did.
    fn settle(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let left = core::mem::take(&mut self.heard.left);
        if let Some(election) = self.election.as_mut().filter(|_| left) {
            let up = &mut of_election(&mut self.heard, up);
            let _ = election.handle_command(now, ElectionCommand::Stop, io, up);
        }
        self.follow_quorum(now, io, up);
        self.tell_channels(now, io, up);
        self.depart(now, io, up);
    }

    /// The coordinator hears of members and of the leadership, and may have to give it up.
    fn tell_channels(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let (Some(channels), Some(news)) = (&mut self.channels, &mut self.heard.news) else {
            return;
        };
        for news in news.drain(..) {
            channels.hear(now, news, io, &mut of_channels(up));
        }
        channels.answer_creations(io);
        if let Some(election) = self.election.as_mut().filter(|_| channels.take_lost()) {
            let up = &mut of_election(&mut self.heard, up);
            // If it does not lead any more, there is nothing to give up.
            let _ = election.handle_command(now, ElectionCommand::StepDown, io, up);
        }
    }

    /// The ring follows what the voters hear, where it is to.
    fn follow_quorum(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let heard = self.election.as_ref().is_some_and(Part::has_quorum);
        let news = self
            .quorum
            .as_mut()
            .and_then(|quorum| quorum.look(now, heard));
        if let Some(heard) = news {
            let command = RingCommand::Membership(MembershipCommand::Quorum(heard));
            // To be told what is so is refused by nobody.
            let up = &mut of_ring(&mut self.heard, up);
            let _ = self.ring.handle_command(now, command, io, up);
        }
    }

    fn hand_over(
        &mut self,
        now: Instant,
        to: &str,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), NodeRefused> {
        let election = self.election.as_mut().ok_or(NodeRefused::NoElection)?;
        let command = ElectionCommand::HandOver { to };
        election
            .handle_command(now, command, io, &mut of_election(&mut self.heard, up))
            .map_err(NodeRefused::Election)
    }

    fn leave(
        &mut self,
        now: Instant,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), NodeRefused> {
        match &self.channels {
            Some(channels) if self.departure == Departure::None && channels.has_any() => {
                self.departure.begin(now, channels.departure_timeout);
                Ok(())
            }
            // It goes on with it.
            _ if matches!(self.departure, Departure::Draining(_)) => Ok(()),
            _ => self.leave_ring(now, io, up),
        }
    }

    /// A step further with a departure, if there is one.
    fn depart(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let Some(channels) = &mut self.channels else {
            return;
        };
        if self
            .departure
            .go_on(now, channels, io, &mut of_channels(up))
        {
            // A ring that is leaving already goes on with it.
            let _ = self.leave_ring(now, io, up);
        }
    }

    fn leave_ring(
        &mut self,
        now: Instant,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), NodeRefused> {
        self.retire(now, io, up);
        if let Some(channels) = &mut self.channels {
            channels.stop(now, io, &mut of_channels(up));
        }
        let up = &mut of_ring(&mut self.heard, up);
        self.ring
            .handle_command(now, RingCommand::Leave, io, up)
            .map_err(NodeRefused::Ring)
    }

    /// What an operator says.
    fn administer(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let shown = (&self.ring, self.election.as_ref(), self.channels.as_ref());
        match self.admin.handle_stream(now, stream, tag, event, shown, io) {
            Asked::Nothing => {}
            Asked::Leave => {
                up.event(NodeEvent::LeaveAsked);
                // A ring that is leaving already goes on with it.
                let _ = self.leave(now, io, up);
            }
            Asked::HandOver { to } => {
                let done = self.hand_over(now, to, io, up);
                admin::handed_over(stream, done, io);
            }
        }
    }
}

/// The machine a method belongs to; the ring answers for what nobody knows.
const fn machine_of(method: MethodId) -> u8 {
    if let Some(machine) = channels::machine_of(method) {
        return machine;
    }
    match method {
        methods::STATUS | methods::LEAVE | methods::OWNER | methods::HAND_OVER => admin::MACHINE,
        operated::LIST
        | operated::CREATE
        | operated::MOVE
        | operated::PLAN
        | operated::DRAIN
        | operated::UNDRAIN => operators::MACHINE,
        cache::STREAM_VALUES => election::MACHINE,
        _ => 0,
    }
}

impl Machine for Node {
    type Command<'a> = NodeCommand<'a>;
    type Event<'a> = NodeEvent<'a>;
    type Refused = NodeRefused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let machine = match event {
            StreamIn::Accepted { method, .. } => machine_of(method),
            StreamIn::Header(_)
            | StreamIn::Frame(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable
            | StreamIn::Ended(_) => tag.machine(),
        };
        match (machine, &mut self.election, &mut self.channels) {
            (admin::MACHINE, ..) => self.administer(now, stream, tag, event, io, up),
            (departure::MACHINE, ..) => self.departure.hear(now, stream, &event),
            (operators::MACHINE, _, Some(channels)) => {
                operators::handle_stream(
                    now,
                    stream,
                    tag,
                    event,
                    channels,
                    io,
                    &mut of_channels(up),
                );
            }
            (coordinator::MACHINE | worker::MACHINE, _, Some(channels)) => {
                channels.handle_stream(now, stream, tag, event, io, &mut of_channels(up));
            }
            (election::MACHINE, Some(election), _) => {
                let up = &mut of_election(&mut self.heard, up);
                election.handle_stream(now, stream, tag, event, io, up);
            }
            (
                election::MACHINE | operators::MACHINE | coordinator::MACHINE | worker::MACHINE,
                ..,
            ) => {
                io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
            }
            _ => {
                let up = &mut of_ring(&mut self.heard, up);
                self.ring.handle_stream(now, stream, tag, event, io, up);
            }
        }
        self.settle(now, io, up);
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        match (tag.machine(), &mut self.election, &mut self.channels) {
            (election::MACHINE, Some(election), _) => {
                let up = &mut of_election(&mut self.heard, up);
                election.handle_done(now, tag, done, io, up);
            }
            (coordinator::MACHINE | worker::MACHINE, _, Some(channels)) => {
                channels.handle_done(now, tag, done, io, &mut of_channels(up));
            }
            _ => {
                let up = &mut of_ring(&mut self.heard, up);
                self.ring.handle_done(now, tag, done, io, up);
            }
        }
        self.settle(now, io, up);
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: NodeCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), NodeRefused> {
        let done = match command {
            NodeCommand::Ring(RingCommand::Leave) => self.leave(now, io, up),
            NodeCommand::Ring(command) => {
                if let RingCommand::Membership(MembershipCommand::Wall(wall)) = command {
                    self.admin.started(wall.at);
                    if let Some(channels) = &mut self.channels {
                        channels.wall(wall, io, &mut of_channels(up));
                    }
                }
                let up = &mut of_ring(&mut self.heard, up);
                let done = self.ring.handle_command(now, command, io, up);
                done.map_err(NodeRefused::Ring)
            }
            NodeCommand::Election(command) => match &mut self.election {
                None => Err(NodeRefused::NoElection),
                Some(election) => {
                    let up = &mut of_election(&mut self.heard, up);
                    let done = election.handle_command(now, command, io, up);
                    done.map_err(NodeRefused::Election)
                }
            },
            NodeCommand::Channels(command) => match &mut self.channels {
                None => Err(NodeRefused::NoChannels),
                Some(channels) => {
                    let done = channels.command(now, command, io, &mut of_channels(up));
                    done.map_err(NodeRefused::Channels)
                }
            },
        };
        self.settle(now, io, up);
        done
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(election) = self.election.as_mut() {
            if due(election.poll_timeout()) {
                let up = &mut of_election(&mut self.heard, up);
                election.handle_timeout(now, io, up);
            }
        }
        if let Some(channels) = self.channels.as_mut() {
            if due(channels.poll_timeout()) {
                channels.handle_timeout(now, io, &mut of_channels(up));
            }
        }
        if due(self.ring.poll_timeout()) {
            let up = &mut of_ring(&mut self.heard, up);
            self.ring.handle_timeout(now, io, up);
        }
        self.settle(now, io, up);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let election = self.election.as_ref().and_then(Machine::poll_timeout);
        let channels = self.channels.as_ref().and_then(Machine::poll_timeout);
        let quorum = self.quorum.as_ref().and_then(Quorum::due);
        let ring = self.ring.poll_timeout();
        let others = earliest(earliest(election, quorum), self.departure.due());
        earliest(earliest(ring, channels), others)
    }
}
