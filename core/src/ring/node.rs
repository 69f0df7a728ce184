//! The ring as one machine: membership, directory and actors, tied together. The only file that
//! names several machines.
//!
//! What one machine tells is noted while it runs and handed to the others when it has returned, so
//! that no machine is ever entered from within another. A round of hand-overs ends, because news only
//! travels downward: membership tells the directory, the directory tells the actors.

use alloc::string::String;
use alloc::vec::Vec;

use super::actors::{
    self, Actors, ActorsBusy, ActorsCommand, ActorsConfig, ActorsConfigError, ActorsEvent,
};
use super::directory::{
    self, Directory, DirectoryCommand, DirectoryConfig, DirectoryConfigError, DirectoryEvent,
};
use super::membership::{
    self, Membership, MembershipCommand, MembershipConfig, MembershipConfigError, MembershipEvent,
    MembershipRefused,
};
use super::placement::hash::fmix64;
use super::placement::{Placement, PlacementConfig, PlacementConfigError, Weight, xxh3_64};
use crate::codes;
use crate::engine::EngineConfig;
use crate::id::{NodeId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::storage::{Done, OwnerId};
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};

/// Settings of all machines of a ring.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Name of the cluster, for operators to see; the engine's.
    pub cluster: String,
    /// Who is a member.
    pub membership: MembershipConfig,
    /// Who owns what.
    pub directory: DirectoryConfig,
    /// How calls reach their actors.
    pub actors: ActorsConfig,
    /// Where ids belong. Equal on all nodes of a cluster; the hash of the weights is filled in.
    pub placement: PlacementConfig,
    /// Hosts that should own more than others, by host string; all others weigh 1. Equal on all
    /// nodes of a cluster.
    pub weights: Vec<(String, Weight)>,
}

impl RingConfig {
    /// A node of this name on a local network, that asks `seeds` for its cluster, with defaults for
    /// the rest. `boot` is drawn anew at every start.
    #[must_use]
    pub fn lan(host: &str, seeds: &[&str], boot: u64) -> Self {
        Self {
            cluster: String::new(),
            membership: MembershipConfig {
                host: String::from(host),
                seeds: seeds.iter().map(|seed| String::from(*seed)).collect(),
                seed: boot,
                ..MembershipConfig::lan()
            },
            directory: DirectoryConfig {
                host: String::from(host),
                seed: boot,
                ..DirectoryConfig::lan()
            },
            actors: ActorsConfig {
                owner: OwnerId(boot),
                seed: boot,
                ..ActorsConfig::default()
            },
            placement: PlacementConfig::default(),
            weights: Vec::new(),
        }
    }

    /// The engine's settings for this node: what both must agree on taken over, defaults for the rest.
    /// The [`id`](crate::storage::Storage::id) of a store that has one is still to be put in.
    #[must_use]
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            incarnation: self.membership.incarnation,
            placement: self.placement().fingerprint(),
            seed: self.membership.seed,
            ..EngineConfig::new(&self.membership.host, &self.cluster, self.actors.owner.0)
        }
    }

    /// The placement settings with the weights taken in.
    #[must_use]
    pub fn placement(&self) -> PlacementConfig {
        let mut weights: Vec<&(String, Weight)> = self
            .weights
            .iter()
            .filter(|(_, w)| *w != Weight::ONE)
            .collect();
        weights.sort_unstable();
        let hash = weights.iter().fold(0, |hash, (host, weight)| {
            fmix64(hash ^ xxh3_64(host.as_bytes())) ^ u64::from(weight.value())
        });
        PlacementConfig {
            weights: hash,
            ..self.placement
        }
    }
}

/// A rule of [`RingConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingConfigError {
    /// In the membership.
    Membership(MembershipConfigError),
    /// In the directory.
    Directory(DirectoryConfigError),
    /// In the actors.
    Actors(ActorsConfigError),
    /// In the placement.
    Placement(PlacementConfigError),
}

impl core::fmt::Display for RingConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Membership(error) => write!(f, "membership: {error}"),
            Self::Directory(error) => write!(f, "directory: {error}"),
            Self::Actors(error) => write!(f, "actors: {error}"),
            Self::Placement(error) => write!(f, "placement: {error}"),
        }
    }
}

impl core::error::Error for RingConfigError {}

/// What a ring may be asked.
#[derive(Clone, Copy, Debug)]
pub enum RingCommand<'a> {
    /// About members.
    Membership(MembershipCommand<'a>),
    /// About actors: calls, answers of jobs, moves.
    Actors(ActorsCommand<'a>),
    /// Drain, then say goodbye. Answered by [`RingEvent::Left`].
    Leave,
}

/// What a ring tells.
#[derive(Clone, Copy, Debug)]
pub enum RingEvent<'a> {
    /// Of members.
    Membership(MembershipEvent<'a>),
    /// Of owners.
    Directory(DirectoryEvent<'a>),
    /// Of actors: jobs to run, answers to callers.
    Actors(ActorsEvent<'a>),
    /// This node owns nothing any more and has said goodbye to all.
    Left,
}

/// Why a ring refuses a command; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingRefused {
    /// Too many calls are open.
    Busy,
    /// The membership refused.
    Membership(MembershipRefused),
}

impl From<ActorsBusy> for RingRefused {
    fn from(_: ActorsBusy) -> Self {
        Self::Busy
    }
}

/// News that one machine has for the others.
#[derive(Debug)]
enum News {
    Up {
        node: NodeId,
        host: String,
        legacy: bool,
    },
    Down {
        node: NodeId,
    },
    Majority(bool),
    Candidate {
        host: String,
    },
    Contested {
        id: u64,
    },
    /// What the directory resolves may have changed.
    Owners,
    Drained,
    Goodbye,
}

/// Membership, directory and actors of one node.
#[derive(Debug)]
pub struct Ring {
    membership: Membership,
    directory: Directory,
    actors: Actors,
    /// Reused; empty between calls.
    news: Vec<News>,
    leaving: bool,
    weights: Vec<(String, Weight)>,
}

fn weight_of(weights: &[(String, Weight)], host: &str) -> Weight {
    weights
        .iter()
        .find(|(known, _)| known == host)
        .map_or(Weight::ONE, |(_, weight)| *weight)
}

/// Turns the members' news over to the others, and up.
fn of_membership<'n>(
    news: &'n mut Vec<News>,
    up: &'n mut dyn Events<Ring>,
) -> impl FnMut(MembershipEvent<'_>) + 'n {
    move |event| {
        match event {
            MembershipEvent::Up {
                node, host, legacy, ..
            } => {
                news.push(News::Up {
                    node,
                    host: String::from(host),
                    legacy,
                });
            }
            MembershipEvent::Down { node, .. } => news.push(News::Down { node }),
            MembershipEvent::Majority(majority) => news.push(News::Majority(majority)),
            MembershipEvent::Left => news.push(News::Goodbye),
            MembershipEvent::Suspected { .. }
            | MembershipEvent::Cleared { .. }
            | MembershipEvent::Draining { .. }
            | MembershipEvent::Misbehaved { .. } => {}
        }
        up.event(RingEvent::Membership(event));
    }
}

fn of_directory<'n>(
    news: &'n mut Vec<News>,
    up: &'n mut dyn Events<Ring>,
) -> impl FnMut(DirectoryEvent<'_>) + 'n {
    move |event| {
        match event {
            // Whoever held the id meanwhile may have written: memory goes, whoever keeps the claim.
            DirectoryEvent::Lost { id, .. } | DirectoryEvent::Kept { id } => {
                news.push(News::Contested { id })
            }
            DirectoryEvent::Ready(_) => note_owners(news),
            DirectoryEvent::Changed { owner, .. } => {
                if owner.is_some() {
                    note_owners(news);
                }
            }
            DirectoryEvent::Candidate { host } => news.push(News::Candidate {
                host: String::from(host),
            }),
            DirectoryEvent::Misbehaved { .. } => {}
        }
        up.event(RingEvent::Directory(event));
    }
}

/// Once is enough, however many owners changed.
fn note_owners(news: &mut Vec<News>) {
    if !matches!(news.last(), Some(News::Owners)) {
        news.push(News::Owners);
    }
}

fn of_actors<'n>(
    news: &'n mut Vec<News>,
    up: &'n mut dyn Events<Ring>,
) -> impl FnMut(ActorsEvent<'_>) + 'n {
    move |event| {
        if matches!(event, ActorsEvent::Drained) {
            news.push(News::Drained);
        }
        up.event(RingEvent::Actors(event));
    }
}

impl Ring {
    /// The ring of a node that is alone so far.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: RingConfig) -> Result<Self, RingConfigError> {
        let placement = Placement::new(config.placement()).map_err(RingConfigError::Placement)?;
        let mut directory = config.directory;
        directory.weight = weight_of(&config.weights, &directory.host);
        Ok(Self {
            weights: config.weights,
            membership: Membership::new(config.membership).map_err(RingConfigError::Membership)?,
            directory: Directory::new(directory, placement).map_err(RingConfigError::Directory)?,
            actors: Actors::new(config.actors).map_err(RingConfigError::Actors)?,
            news: Vec::with_capacity(16),
            leaving: false,
        })
    }

    /// The membership, to be looked at.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The directory, to be looked at.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The actors, to be looked at.
    #[must_use]
    pub const fn actors(&self) -> &Actors {
        &self.actors
    }

    /// All three, for tests that plant bugs.
    #[doc(hidden)]
    pub const fn planting(&mut self) -> (&mut Membership, &mut Directory, &mut Actors) {
        (&mut self.membership, &mut self.directory, &mut self.actors)
    }

    /// Whether this node is leaving.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Name and value of every counter, in a fixed order. Names are stable: metrics are made of them.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        super::counters::of(self.actors.counters(), self.directory.counters()).into_iter()
    }

    /// Hands news over until there is none.
    fn hand_over(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        while !self.news.is_empty() {
            let mut batch = core::mem::take(&mut self.news);
            for news in batch.drain(..) {
                self.take_news(now, news, io, up);
            }
            // The buffer goes back, unless the other one has grown meanwhile.
            if self.news.is_empty() {
                self.news = batch;
            }
        }
    }

    fn take_news(&mut self, now: Instant, news: News, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        match news {
            News::Up { node, host, legacy } => {
                let weight = weight_of(&self.weights, &host);
                let command = DirectoryCommand::MemberUp {
                    node,
                    host: &host,
                    weight,
                    legacy,
                };
                self.tell_directory(now, command, io, up);
                note_owners(&mut self.news);
            }
            News::Down { node } => {
                self.tell_directory(now, DirectoryCommand::MemberDown { node }, io, up);
                note_owners(&mut self.news);
            }
            News::Majority(majority) => {
                self.tell_directory(now, DirectoryCommand::Majority(majority), io, up);
                if !majority {
                    self.renounce(now, io, up);
                }
                note_owners(&mut self.news);
            }
            News::Candidate { host } => {
                let command = MembershipCommand::Verify { host: &host };
                // A membership that is full has said so itself; the candidate will be heard again.
                let _ = self.membership.handle_command(
                    now,
                    command,
                    io,
                    &mut of_membership(&mut self.news, up),
                );
            }
            News::Contested { id } => self.tell_actors(now, ActorsCommand::Evict { id }, io, up),
            News::Owners => self.tell_actors(now, ActorsCommand::OwnershipChanged, io, up),
            News::Drained => {
                let tell = &mut of_membership(&mut self.news, up);
                let _ = self
                    .membership
                    .handle_command(now, MembershipCommand::Leave, io, tell);
            }
            News::Goodbye => up.event(RingEvent::Left),
        }
    }

    fn tell_directory(
        &mut self,
        now: Instant,
        command: DirectoryCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        // Refused is a member beyond `peers_max`: it stays a member, and is routed to by nobody.
        let _ =
            self.directory
                .handle_command(now, command, io, &mut of_directory(&mut self.news, up));
    }

    fn tell_actors(
        &mut self,
        now: Instant,
        command: ActorsCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let tell = &mut of_actors(&mut self.news, up);
        // Only calls can be refused, and these are none.
        let _ = self
            .actors
            .handle_command(now, command, io, &mut self.directory, tell);
    }

    /// Gives everything up: the other side owns it now, and writes to it.
    fn renounce(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let own: Vec<u64> = self.directory.local_ids().collect();
        for id in own {
            self.tell_actors(now, ActorsCommand::Evict { id }, io, up);
        }
        self.tell_directory(now, DirectoryCommand::ReleaseAll, io, up);
    }

    fn leave(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        if !core::mem::replace(&mut self.leaving, true) {
            self.tell_actors(now, ActorsCommand::Drain, io, up);
        }
    }

    /// The machine a method belongs to.
    const fn machine_of(method: crate::id::MethodId) -> Option<u8> {
        match method {
            control_plane::PING | control_plane::NEGOTIATE | control_plane::CLOSING => {
                Some(membership::MACHINE)
            }
            control_plane::LOCAL_ACTOR_IDS
            | control_plane::ANNOUNCE_OWNERSHIP
            | control_plane::ANNOUNCE_EXPIRY => Some(directory::MACHINE),
            control_plane::APPLY | control_plane::GET => Some(actors::MACHINE),
            _ => None,
        }
    }
}

impl Machine for Ring {
    type Command<'a> = RingCommand<'a>;
    type Event<'a> = RingEvent<'a>;
    type Refused = RingRefused;

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
            StreamIn::Accepted { method, .. } => Self::machine_of(method),
            StreamIn::Header(_)
            | StreamIn::Frame(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable
            | StreamIn::Ended(_) => Some(tag.machine()),
        };
        match machine {
            Some(membership::MACHINE) => {
                let tell = &mut of_membership(&mut self.news, up);
                self.membership
                    .handle_stream(now, stream, tag, event, io, tell);
            }
            Some(directory::MACHINE) => {
                let tell = &mut of_directory(&mut self.news, up);
                self.directory
                    .handle_stream(now, stream, tag, event, io, tell);
            }
            Some(actors::MACHINE) => {
                let tell = &mut of_actors(&mut self.news, up);
                self.actors
                    .handle_stream(now, stream, tag, event, io, &mut self.directory, tell);
            }
            _ => io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD)),
        }
        self.hand_over(now, io, up);
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if tag.machine() == actors::MACHINE {
            let tell = &mut of_actors(&mut self.news, up);
            self.actors
                .handle_done(now, tag, done, io, &mut self.directory, tell);
        }
        self.hand_over(now, io, up);
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: RingCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), RingRefused> {
        match command {
            RingCommand::Membership(command) => {
                let tell = &mut of_membership(&mut self.news, up);
                self.membership
                    .handle_command(now, command, io, tell)
                    .map_err(RingRefused::Membership)?;
            }
            RingCommand::Actors(command) => {
                let tell = &mut of_actors(&mut self.news, up);
                self.actors
                    .handle_command(now, command, io, &mut self.directory, tell)?;
            }
            RingCommand::Leave => self.leave(now, io, up),
        }
        self.hand_over(now, io, up);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.membership.poll_timeout()) {
            self.membership
                .handle_timeout(now, io, &mut of_membership(&mut self.news, up));
            self.hand_over(now, io, up);
        }
        if due(self.directory.poll_timeout()) {
            self.directory
                .handle_timeout(now, io, &mut of_directory(&mut self.news, up));
            self.hand_over(now, io, up);
        }
        if due(self.actors.poll_timeout()) {
            self.actors.handle_timeout(
                now,
                io,
                &mut self.directory,
                &mut of_actors(&mut self.news, up),
            );
            self.hand_over(now, io, up);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let decide = earliest(
            self.membership.poll_timeout(),
            self.directory.poll_timeout(),
        );
        earliest(decide, self.actors.poll_timeout())
    }
}
