//! A node's part in the channels: it has some of them, and while it leads it decides who has which.
//!
//! The coordinator is told what the other machines of the node hear: members that come and go are the nodes that may
//! have channels, the leadership is what it coordinates under, and a coordinator whose fence was overtaken gives the
//! leadership up. A member that speaks the wire without our metadata has no channels.

use alloc::string::String;
use alloc::vec::Vec;

use super::creations::Creations;
use crate::channels::coordinator::{
    self, Coordinator, CoordinatorCommand, CoordinatorConfig, CoordinatorConfigError,
    CoordinatorEvent, CoordinatorRefused,
};
use crate::channels::server::server_id;
use crate::channels::worker::{
    self, Worker, WorkerCommand, WorkerConfig, WorkerConfigError, WorkerEvent,
};
use crate::election::ElectionEvent;
use crate::election::config::dialled;
use crate::election::token::Token;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::method::streaming;
use crate::ring::RingEvent;
use crate::ring::membership::MembershipEvent;
use crate::storage::{Done, OwnerId};
use crate::stream::StreamIn;
use crate::time::{Duration, Instant, WallClock, earliest};

/// Settings of a node's part in the channels. Its `server_id`s are filled in.
///
/// All nodes of a cluster must share a store: the catalog says who has which channel, and the logs are read and written by
/// whoever has one next.
#[derive(Clone, Debug)]
pub struct ChannelsConfig {
    /// Of the coordinator, for when this node leads.
    pub coordinator: CoordinatorConfig,
    /// Of what serves the channels it has.
    pub worker: WorkerConfig,
    /// How long a node that leaves may take to give its channels up, while it still serves them.
    pub departure_timeout: Duration,
    /// Shares of nodes, by their hosts: one of weight 2 has twice as many channels as one of weight 1, which all
    /// have that are not named. That of the node that leads counts.
    pub weights: Vec<(String, u32)>,
}

impl Default for ChannelsConfig {
    /// As many channels as any other node; what is filled in later is not of use before.
    fn default() -> Self {
        Self {
            coordinator: CoordinatorConfig::default(),
            worker: WorkerConfig::new(1, OwnerId(0)),
            departure_timeout: Duration::from_secs(5),
            weights: Vec::new(),
        }
    }
}

/// A rule of [`ChannelsConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelsConfigError {
    /// Of the coordinator.
    Coordinator(CoordinatorConfigError),
    /// Of the worker.
    Worker(WorkerConfigError),
}

impl core::fmt::Display for ChannelsConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ChannelsConfigError {}

/// What a part tells.
#[derive(Clone, Copy, Debug)]
pub enum ChannelsEvent<'a> {
    /// Of who has which channel.
    Coordinator(CoordinatorEvent<'a>),
    /// Of the channels this node has.
    Worker(WorkerEvent<'a>),
}

/// What other machines heard that a coordinator must know. Whoever knows members and leaders by other means can tell
/// a part of its own.
#[derive(Clone, Debug)]
pub enum News {
    /// A member is there.
    Up {
        /// The number it has here.
        node: NodeId,
        /// Its host string.
        host: String,
        /// Counts its starts.
        incarnation: u64,
    },
    /// A member is leaving.
    Draining {
        /// Which.
        node: NodeId,
    },
    /// A member is gone.
    Down {
        /// Which.
        node: NodeId,
    },
    /// This node leads, or still does.
    Leads(Token),
    /// Another node leads, or nobody.
    Follows {
        /// Its host string, if it is known.
        leader: Option<String>,
    },
}

impl News {
    /// Of the ring.
    pub(super) fn of_ring(event: &RingEvent<'_>) -> Option<Self> {
        let RingEvent::Membership(event) = event else {
            return None;
        };
        match *event {
            MembershipEvent::Up {
                node,
                host,
                incarnation,
                legacy: false,
            } => Some(Self::Up {
                node,
                host: String::from(host),
                incarnation,
            }),
            MembershipEvent::Draining { node } => Some(Self::Draining { node }),
            MembershipEvent::Down { node, .. } => Some(Self::Down { node }),
            MembershipEvent::Up { .. }
            | MembershipEvent::Suspected { .. }
            | MembershipEvent::Cleared { .. }
            | MembershipEvent::Majority(_)
            | MembershipEvent::Left
            | MembershipEvent::Misbehaved { .. } => None,
        }
    }

    /// Of the election.
    pub(super) fn of_election(event: &ElectionEvent<'_>) -> Option<Self> {
        match *event {
            ElectionEvent::Leading { token, .. } => Some(Self::Leads(token)),
            ElectionEvent::Following { leader, .. } => Some(Self::Follows {
                leader: Some(String::from(leader)),
            }),
            ElectionEvent::Leaderless => Some(Self::Follows { leader: None }),
            ElectionEvent::Misbehaved { .. }
            | ElectionEvent::ElectorateRefused { .. }
            | ElectionEvent::Forgetful { .. }
            | ElectionEvent::Stopped => None,
        }
    }
}

/// A part.
#[derive(Debug)]
pub struct Channels {
    coordinator: Coordinator,
    worker: Worker,
    me: (i64, String),
    pub(super) departure_timeout: Duration,
    weights: Vec<(String, u32)>,
    /// Who leads, if it is another.
    leader: Option<String>,
    /// Members that may have channels, and the number of their present start.
    members: Vec<(NodeId, i64)>,
    led: Option<Token>,
    introduced: bool,
    noted: Noted,
    pub(super) creations: Creations,
}

/// Turns the coordinator's news over, and notes what follows from it here.
fn of_coordinator<'n>(
    noted: &'n mut Noted,
    up: &'n mut dyn Events<Channels>,
) -> impl FnMut(CoordinatorEvent<'_>) + 'n {
    move |event| {
        match event {
            CoordinatorEvent::Lost { .. } => noted.lost = true,
            CoordinatorEvent::Created { channel } if noted.wants_created => {
                noted.settled.push((String::from(channel), None));
            }
            CoordinatorEvent::Stopped { channel, why } if noted.wants_created => {
                let why = Some(String::from(why));
                noted.settled.push((String::from(channel), why));
            }
            CoordinatorEvent::Serving { .. }
            | CoordinatorEvent::Created { .. }
            | CoordinatorEvent::Assigned { .. }
            | CoordinatorEvent::Unassigned { .. }
            | CoordinatorEvent::Stopped { .. }
            | CoordinatorEvent::Damaged { .. }
            | CoordinatorEvent::Drained { .. } => {}
        }
        up.event(ChannelsEvent::Coordinator(event));
    }
}

/// What the coordinator told that this node acts upon.
#[derive(Debug, Default)]
struct Noted {
    /// It cannot go on under the token it has.
    lost: bool,
    /// Somebody waits for channels to be created.
    wants_created: bool,
    /// Those that are, and those that cannot be, and why.
    settled: Vec<(String, Option<String>)>,
}

fn of_worker(up: &mut dyn Events<Channels>) -> impl FnMut(WorkerEvent<'_>) {
    move |event| up.event(ChannelsEvent::Worker(event))
}

impl Channels {
    /// The part of the `incarnation`th start of the node `host`.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(
        config: ChannelsConfig,
        host: &str,
        incarnation: u64,
    ) -> Result<Self, ChannelsConfigError> {
        let ChannelsConfig {
            mut coordinator,
            mut worker,
            departure_timeout,
            weights,
        } = config;
        let number = server_id(host, incarnation);
        (coordinator.server_id, worker.server_id) = (number, number);
        Ok(Self {
            coordinator: Coordinator::new(coordinator).map_err(ChannelsConfigError::Coordinator)?,
            worker: Worker::new(worker).map_err(ChannelsConfigError::Worker)?,
            me: (number, String::from(host)),
            departure_timeout,
            weights,
            leader: None,
            members: Vec::new(),
            led: None,
            introduced: false,
            noted: Noted::default(),
            creations: Creations::default(),
        })
    }

    /// Who decides, to be looked at.
    #[must_use]
    pub const fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// The channels this node has, to be looked at.
    #[must_use]
    pub const fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Answers who asked for channels, as far as there is an answer.
    pub(super) fn answer_creations(&mut self, io: &mut dyn Io) {
        if self.noted.wants_created {
            for (channel, error) in self.noted.settled.drain(..) {
                self.creations.settled(&channel, error.as_deref(), io);
            }
            if !self.coordinator.is_serving() {
                self.creations.give_up(io);
            }
        }
        self.noted.wants_created = !self.creations.is_empty();
    }

    /// What this node is called.
    pub(super) fn host(&self) -> &str {
        &self.me.1
    }

    /// Where the leader is dialled, if one is known and it is another node.
    pub(super) fn leader(&self) -> Option<&str> {
        self.leader.as_deref().map(dialled)
    }

    /// Whether this node has channels, or is opening or closing some. Linear in those it has had.
    pub(super) fn has_any(&self) -> bool {
        let mut channels = self.worker.channels();
        channels.any(|channel| channel.state != worker::ChannelState::Closed)
    }

    /// Whether a node other than `host` takes channels, as far as this coordinator knows.
    pub(super) fn others_take(&self, host: &str) -> bool {
        let takes = |node: &coordinator::NodeView<'_>| {
            node.lives && !node.drains && node.weight > 0 && *node.node.address != *host
        };
        self.coordinator.nodes().any(|node| takes(&node))
    }

    /// Name and value of every counter and gauge, in a fixed order. Linear in the channels this node has.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let (worker, coordinator) = (self.worker.counters(), self.coordinator.counters());
        let open = |channel: &worker::ChannelView<'_>| {
            matches!(
                channel.state,
                worker::ChannelState::Open | worker::ChannelState::Recovering
            )
        };
        let (assigned, known) = self.coordinator.assigned();
        [
            (
                "channels_open",
                self.worker.channels().filter(open).count() as u64,
            ),
            ("channels_known", u64::from(known)),
            ("channels_assigned", u64::from(assigned)),
            ("channels_opened", worker.opened),
            ("channels_fenced", worker.fenced),
            ("channels_forced", worker.forced),
            ("channel_recoveries", worker.recoveries),
            ("records_appended", worker.appended),
            ("records_duplicate", worker.duplicates),
            ("records_refused", worker.refused),
            ("records_delivered", worker.delivered),
            ("channel_assigns", coordinator.assigns),
            ("channel_removes", coordinator.removes),
            ("channel_moves", coordinator.moves),
            ("channel_reports", coordinator.reports),
            ("channel_pushes", coordinator.pushes),
            ("catalog_writes", coordinator.writes),
        ]
        .into_iter()
    }

    /// Both machines, to plant bugs in.
    #[doc(hidden)]
    pub const fn planting(&mut self) -> (&mut Coordinator, &mut Worker) {
        (&mut self.coordinator, &mut self.worker)
    }

    /// Whether the leadership must be given up; said once.
    pub fn take_lost(&mut self) -> bool {
        core::mem::replace(&mut self.noted.lost, false)
    }

    /// What the clock on the wall says.
    pub fn wall(&mut self, wall: WallClock, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let command = WorkerCommand::Wall(wall);
        // What time it is is refused by nobody.
        let _ = self
            .worker
            .handle_command(wall.at, command, io, &mut of_worker(up));
    }

    /// This node is leaving: it takes no more channels.
    pub fn stop(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let command = WorkerCommand::Stop;
        // Nor is this.
        let _ = self
            .worker
            .handle_command(now, command, io, &mut of_worker(up));
    }

    /// What the other machines heard.
    pub fn hear(&mut self, now: Instant, news: News, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        self.introduce(now, io, up);
        match news {
            News::Up {
                node,
                host,
                incarnation,
            } => {
                let server_id = server_id(&host, incarnation);
                self.members.retain(|(known, _)| *known != node);
                self.members.push((node, server_id));
                let command = CoordinatorCommand::NodeUp {
                    server_id,
                    address: &host,
                    weight: self.weight(&host),
                };
                self.tell(now, command, io, up);
            }
            News::Draining { node } => {
                if let Some(server_id) = self.member(node) {
                    self.tell(now, CoordinatorCommand::NodeStopping { server_id }, io, up);
                }
            }
            News::Down { node } => {
                if let Some(server_id) = self.member(node) {
                    self.members.retain(|(known, _)| *known != node);
                    self.tell(now, CoordinatorCommand::NodeGone { server_id }, io, up);
                }
            }
            // Told again whenever the lease grows.
            News::Leads(token) if self.led == Some(token) => {}
            News::Leads(token) => {
                self.step_down(now, io, up);
                (self.led, self.leader) = (Some(token), None);
                let token = token.fence();
                self.tell(now, CoordinatorCommand::Lead { token }, io, up);
            }
            News::Follows { leader } => {
                self.step_down(now, io, up);
                let address = leader.as_deref();
                self.tell(now, CoordinatorCommand::LeaderIs { address }, io, up);
                self.leader = leader;
            }
        }
    }

    fn weight(&self, host: &str) -> u32 {
        let named = self.weights.iter().find(|(name, _)| name == host);
        named.map_or(1, |(_, weight)| *weight)
    }

    fn member(&self, node: NodeId) -> Option<i64> {
        let known = self.members.iter().find(|(known, _)| *known == node);
        known.map(|(_, server_id)| *server_id)
    }

    fn step_down(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        if self.led.take().is_some() {
            self.tell(now, CoordinatorCommand::StepDown, io, up);
        }
    }

    /// The members are told of each other, but not of themselves.
    fn introduce(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        if !core::mem::replace(&mut self.introduced, true) {
            let (server_id, address) = (self.me.0, self.me.1.clone());
            let command = CoordinatorCommand::NodeUp {
                server_id,
                address: &address,
                weight: self.weight(&address),
            };
            self.tell(now, command, io, up);
        }
    }

    /// Tells the coordinator what is so. What it has no room for, or does not know, it will not use.
    fn tell(
        &mut self,
        now: Instant,
        command: CoordinatorCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let _ = self.command(now, command, io, up);
    }

    /// Asks the coordinator for something.
    ///
    /// # Errors
    /// Its reason; then nothing changed.
    pub fn command(
        &mut self,
        now: Instant,
        command: CoordinatorCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), CoordinatorRefused> {
        let up = &mut of_coordinator(&mut self.noted, up);
        self.coordinator.handle_command(now, command, io, up)
    }
}

/// The machine a method belongs to, if it is about channels.
pub(super) const fn machine_of(method: MethodId) -> Option<u8> {
    match method {
        streaming::COORD_STATES | streaming::DISCOVER => Some(coordinator::MACHINE),
        streaming::NODE_STATES
        | streaming::PRODUCE
        | streaming::CONSUME
        | streaming::ASSIGN
        | streaming::REMOVE
        | streaming::COLLECT_STATUS => Some(worker::MACHINE),
        _ => None,
    }
}

impl Machine for Channels {
    type Command<'a> = CoordinatorCommand<'a>;
    type Event<'a> = ChannelsEvent<'a>;
    type Refused = CoordinatorRefused;

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
            StreamIn::Accepted { method, .. } => machine_of(method).unwrap_or(worker::MACHINE),
            StreamIn::Header(_)
            | StreamIn::Frame(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable
            | StreamIn::Ended(_) => tag.machine(),
        };
        if machine == coordinator::MACHINE {
            let up = &mut of_coordinator(&mut self.noted, up);
            self.coordinator
                .handle_stream(now, stream, tag, event, io, up);
        } else {
            let up = &mut of_worker(up);
            self.worker.handle_stream(now, stream, tag, event, io, up);
        }
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if tag.machine() == coordinator::MACHINE {
            let up = &mut of_coordinator(&mut self.noted, up);
            self.coordinator.handle_done(now, tag, done, io, up);
        } else {
            self.worker
                .handle_done(now, tag, done, io, &mut of_worker(up));
        }
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: CoordinatorCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), CoordinatorRefused> {
        self.command(now, command, io, up)
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.coordinator.poll_timeout()) {
            let up = &mut of_coordinator(&mut self.noted, up);
            self.coordinator.handle_timeout(now, io, up);
        }
        if due(self.worker.poll_timeout()) {
            self.worker.handle_timeout(now, io, &mut of_worker(up));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.coordinator.poll_timeout(), self.worker.poll_timeout())
    }
}
