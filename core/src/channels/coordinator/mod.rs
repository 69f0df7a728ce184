//! The coordinator: which node has which channel, at which term, and who is told.
//!
//! | part | what it decides |
//! |---|---|
//! | [`ledger`] | what is owed to one channel next: the part that must never be wrong |
//! | [`meta`] | what the catalog keeps of it |
//! | `lead` | how a leadership begins and ends |
//! | `step` | how what is owed is done: calls and waits |
//! | `catalog` | whose turn it is to be written |
//! | `answers` | what a node's answer means |
//! | `place` | which channel goes where, and when |
//! | `nodes` | who lives |
//! | [`foreign`] | whether nodes live that are no members |
//! | `discover` | what clients are told |
//!
//! # What is promised
//! - **One node at a term.** A term is written to the catalog, against the revision that was read and under the
//!   fence of the election's token, before any call names it. A leader whose fence is overtaken acts on nothing
//!   more and steps down ([`CoordinatorEvent::Lost`]).
//! - **Former owners let go first.** Every incarnation that had the channel, or may have it, is told to let it go
//!   before another is told to open it. Where the log fences ([`Fencing::AtTheLog`]), the removal of a node that is
//!   gone from the membership is skipped at once, and one that is not answered within `remove_timeout` is given
//!   up: whatever that node believes, the new owner's opening fences it out of the log. Where nothing fences
//!   ([`Fencing::None`]), a node that is gone may live and write; its removal counts as done only after its lease
//!   and a margin, unless its process is known to be over. So it is, too, wherever a node of another make is
//!   on either side ([`foreign`]): its log is not ours.
//! - **No term is burnt by waiting.** An attempt that is not answered in time is made again, at the same term, for
//!   ever and less and less often. A node that says that it can never have a term is given a higher one.
//! - **Each channel goes on by itself.** One waits for its own writes and calls only; a node that does not answer
//!   holds up the channels that are on it, or were.
//! - **A leader that takes over moves nothing.** It fences the catalog, reads it, waits for the nodes that are named
//!   there, and continues what was begun. What it does not find alive in time is gone.
//! - **What clients are told grows in version** across all leaderships: the token first, then a count.
//!
//! # Which node
//! [`balance`](crate::channels::balance) says: what has no node is placed at once, whatever moves; what is moved for
//! the sake of balance alone is few at a time and not soon again. A node that is drained gives up its channels one
//! by one, each by its own removal and opening. Another server id at a node's address means that the earlier
//! process is over, and so does the answer of a node that says it is not the one that was meant.
//!
//! Every channel counts as one until it is said what it costs ([`CoordinatorCommand::Load`]). Nodes are not asked: on
//! this wire a `CollectStatus` is answered by an empty message.
//!
//! # Cost
//! A channel that is given to another node costs two writes and a call, and one more call if its former node lives.
//! A plan walks all channels, and is made 10 ms after the one before at the soonest; a push is encoded once for all clients.

mod answers;
mod catalog;
mod channels;
pub mod config;
mod discover;
pub mod foreign;
mod interface;
mod lead;
pub mod ledger;
pub mod meta;
mod nodes;
mod place;
mod step;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

pub use super::backoff;

use self::channels::Channels;
pub use self::config::{CoordinatorConfig, CoordinatorConfigError, Fencing};
use self::discover::Watchers;
pub use self::foreign::{ForeignConfig, ForeignNode};
pub use self::interface::{
    ChannelView, CoordinatorCommand, CoordinatorCounters, CoordinatorEvent, CoordinatorPlant,
    CoordinatorRefused, NodeView, PlannedMove, Waits,
};
use self::ledger::Ledger;
use self::meta::Incarnation;
use self::nodes::{Arrival, Life, Nodes};
use self::place::Placing;
use crate::id::{StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::rng::Rng;
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::{Duration, Instant};
use crate::timers::Timers;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 20;

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Coordinator>,
}

/// How far a leadership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Another node leads, or nobody.
    StandBy,
    /// The catalog's fence is being raised.
    Fencing,
    /// The catalog is being read.
    Reading,
    /// It was read, and is looked at once more: what was read is not a later leader's if the fence is still this one's.
    Checking,
    Serving,
}

/// What a tag is for: the upper four of its 56 bits. Then follow 20 for the place and 32 that name the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The fence of the catalog, or a page of it.
    Lead = 1,
    /// The meta of a channel.
    Meta = 2,
    /// A call about a channel.
    Call = 3,
    /// A client that watches.
    Watcher = 4,
    /// Somebody asks how this node is.
    States = 5,
    /// A call that asks a node of another make how it is.
    Probe = 6,
}

/// What is due: the keys of the timers. Those of the channels follow.
const DUE_LEAD: u32 = 0;
const DUE_PLACE: u32 = 1;
const DUE_PUSH: u32 = 2;
const DUE_CATALOG: u32 = 3;
const DUE_FOREIGN: u32 = 4;
const DUE_CHANNELS: u32 = 5;

/// Decides which node has which channel.
#[derive(Debug)]
pub struct Coordinator {
    config: CoordinatorConfig,
    /// How the keys of the metas begin.
    prefix: String,
    standing: Standing,
    /// Of this leadership, or of the last one.
    token: u64,
    led_since: Instant,
    leading: lead::Leading,
    /// Who leads, where this node does not.
    leader: Option<String>,
    nodes: Nodes,
    channels: Channels,
    watchers: Watchers,
    /// Of each node of another make, while this node leads.
    probes: Vec<foreign::Probe>,
    placing: Placing,
    /// Channels that wait for their turn at the catalog, and how many have it.
    catalog_queue: VecDeque<u32>,
    catalog_busy: u32,
    timers: Timers,
    rng: Rng,
    attempts: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    counters: CoordinatorCounters,
    plant: Option<CoordinatorPlant>,
}

impl Coordinator {
    /// A coordinator that does not lead.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: CoordinatorConfig) -> Result<Self, CoordinatorConfigError> {
        config.check()?;
        Ok(Self {
            prefix: meta::prefix(&config.root, config.dialect),
            standing: Standing::StandBy,
            token: 0,
            led_since: Instant::ZERO,
            leading: lead::Leading::default(),
            leader: None,
            nodes: Nodes::default(),
            channels: Channels::default(),
            watchers: Watchers::new(config.push_delay),
            probes: Vec::new(),
            placing: Placing::default(),
            catalog_queue: VecDeque::new(),
            catalog_busy: 0,
            timers: Timers::new(DUE_CHANNELS),
            rng: Rng::new(config.seed),
            attempts: 0,
            key: Vec::new(),
            value: Vec::new(),
            counters: CoordinatorCounters::default(),
            plant: None,
            config,
        })
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub fn plant(&mut self, plant: CoordinatorPlant) {
        self.plant = Some(plant);
    }

    fn has(&self, plant: CoordinatorPlant) -> bool {
        self.plant == Some(plant)
    }

    /// Whether the catalog is fenced and read, and commands are served.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.standing == Standing::Serving
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &CoordinatorConfig {
        &self.config
    }

    /// What it has done since it was made.
    #[must_use]
    pub const fn counters(&self) -> &CoordinatorCounters {
        &self.counters
    }

    /// All channels, in the order of their names; none while it does not serve.
    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> {
        self.channels.in_order().map(|(_, slot)| slot.view())
    }

    /// One channel.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelView<'_>> {
        let at = self.channels.find(name)?;
        Some(self.channels.at(at).view())
    }

    /// How many channels are assigned, and how many there are.
    #[must_use]
    pub fn assigned(&self) -> (u32, u32) {
        (self.channels.shown, self.channels.len())
    }

    /// All nodes that are known, in the order of their server ids.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.nodes.all().map(|node| NodeView {
            node: &node.incarnation,
            weight: node.weight,
            drains: node.drain_by.is_some(),
            lives: node.life == Life::Up,
        })
    }

    /// How many channels each node has, or may have still: one that is on its way to another counts until it is known
    /// to have been let go. Linear in the channels; allocates.
    #[must_use]
    pub fn held(&self) -> BTreeMap<&Incarnation, u32> {
        let mut held = BTreeMap::new();
        for (_, slot) in self.channels.in_order() {
            for node in slot.ledger.holders() {
                *held.entry(node).or_default() += 1;
            }
        }
        held
    }

    /// The version of what clients are told: the token, and a count; `None` before there is one.
    #[must_use]
    pub fn version(&self) -> Option<(u64, i64)> {
        let local = self.watchers.local()?;
        Some((self.token, local))
    }

    fn tag(&mut self, kind: Kind, at: u32) -> Tag {
        self.attempts = self.attempts.wrapping_add(1);
        tag_of(kind, at, self.attempts)
    }

    fn command(
        &mut self,
        command: CoordinatorCommand<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), CoordinatorRefused> {
        match command {
            CoordinatorCommand::Lead { token } => return self.lead(token, lent),
            CoordinatorCommand::StepDown => self.step_down(lent),
            CoordinatorCommand::LeaderIs { address } => {
                self.leader = address.map(String::from);
            }
            CoordinatorCommand::NodeUp {
                server_id,
                address,
                weight,
            } => return self.node_up(server_id, address, weight, lent),
            CoordinatorCommand::NodeStopping { server_id } => {
                let node = self.nodes.by_server(server_id);
                let node = node.ok_or(CoordinatorRefused::NoSuchNode)?;
                self.nodes.at_mut(node).stops = true;
                self.drain(node, None, lent);
            }
            CoordinatorCommand::Drain { address, deadline } => {
                let node = self.nodes.by_address(address);
                self.drain(node.ok_or(CoordinatorRefused::NoSuchNode)?, deadline, lent);
            }
            CoordinatorCommand::Undrain { address } => {
                let node = self.nodes.by_address(address);
                let node = node.ok_or(CoordinatorRefused::NoSuchNode)?;
                if self.nodes.at(node).stops {
                    return Err(CoordinatorRefused::NodeStops);
                }
                self.nodes.at_mut(node).drain_by = None;
                self.place_soon(lent.now);
            }
            CoordinatorCommand::NodeGone { server_id } => {
                let node = self.nodes.by_server(server_id);
                let node = node.ok_or(CoordinatorRefused::NoSuchNode)?;
                self.node_over(node, Life::Gone(lent.now), lent);
            }
            CoordinatorCommand::Weight { address, weight } => {
                let node = self.nodes.by_address(address);
                let node = node.ok_or(CoordinatorRefused::NoSuchNode)?;
                self.nodes.at_mut(node).weight = weight;
                self.place_soon(lent.now);
            }
            CoordinatorCommand::Load { channel, load } => {
                let at = self.channel_at(channel)?;
                let known = core::mem::replace(&mut self.channels.at_mut(at).load, load.max(1));
                if known != load.max(1) {
                    self.place_later(lent.now);
                }
            }
            CoordinatorCommand::Create { channel } => return self.create(channel, lent),
            CoordinatorCommand::Move { channel, to } => return self.move_to(channel, to, lent),
            CoordinatorCommand::Retry { channel } => {
                let at = self.channel_at(channel)?;
                self.afresh(at, lent);
            }
        }
        Ok(())
    }

    fn channel_at(&self, name: &str) -> Result<u32, CoordinatorRefused> {
        if !self.is_serving() {
            return Err(CoordinatorRefused::NotLeading);
        }
        let at = self.channels.find(name);
        at.ok_or(CoordinatorRefused::NoSuchChannel)
    }

    fn create(&mut self, name: &str, lent: &mut Lent<'_>) -> Result<(), CoordinatorRefused> {
        if !meta::is_name(name) {
            return Err(CoordinatorRefused::Name);
        }
        match self.channel_at(name) {
            Ok(_) => return Err(CoordinatorRefused::ChannelExists),
            Err(CoordinatorRefused::NoSuchChannel) => {}
            Err(refused) => return Err(refused),
        }
        if self.channels.len() >= self.config.channels_max {
            return Err(CoordinatorRefused::TooMany);
        }
        let at = self.add_channel(lent.now, name, Ledger::create());
        self.step(at, lent);
        Ok(())
    }

    fn add_channel(&mut self, now: Instant, name: &str, mut ledger: Ledger) -> u32 {
        if let Some(CoordinatorPlant::Ledger(plant)) = self.plant {
            ledger.plant(plant);
        }
        self.channels.add(now, name, ledger)
    }

    fn move_to(
        &mut self,
        channel: &str,
        to: &str,
        lent: &mut Lent<'_>,
    ) -> Result<(), CoordinatorRefused> {
        let at = self.channel_at(channel)?;
        let node = self.nodes.by_address(to);
        let node = node.ok_or(CoordinatorRefused::NoSuchNode)?;
        let to = self.nodes.at(node).incarnation.clone();
        if !self.give(at, &to, lent) {
            self.afresh(at, lent);
        }
        Ok(())
    }

    fn node_up(
        &mut self,
        server_id: i64,
        address: &str,
        weight: u32,
        lent: &mut Lent<'_>,
    ) -> Result<(), CoordinatorRefused> {
        if server_id <= 0 || !meta::is_name(address) {
            return Err(CoordinatorRefused::Name);
        }
        let node = Incarnation::new(server_id, address);
        if self.nodes.is_elsewhere(&node) {
            return Err(CoordinatorRefused::Name);
        }
        let mut dead = None;
        let arrival = self
            .nodes
            .arrive(&node, weight, self.config.nodes_max, &mut dead)
            .map_err(|_| CoordinatorRefused::TooMany)?;
        if let Some(dead) = dead {
            self.node_over(dead, Life::Dead, lent);
        }
        if arrival == Arrival::Up {
            // What had to wait for it goes on.
            self.each_channel_of(&node, lent, |coordinator, at, lent| {
                coordinator.afresh(at, lent);
            });
        }
        if arrival != Arrival::Dead {
            self.place_soon(lent.now);
        }
        Ok(())
    }

    /// A node is gone, or its process is over: whatever was asked of it is forgotten.
    fn node_over(&mut self, node: u32, life: Life, lent: &mut Lent<'_>) {
        self.nodes.leave(node, life);
        let over = self.nodes.at(node).incarnation.clone();
        self.each_channel_of(&over, lent, |coordinator, at, lent| {
            coordinator.interrupt(at, lent);
            coordinator.step(at, lent);
        });
        self.nodes.give_number_back(node, lent.io);
        self.place_soon(lent.now);
    }

    /// Everything about channels that are on a node, or on their way to it or from it.
    fn each_channel_of(
        &mut self,
        node: &Incarnation,
        lent: &mut Lent<'_>,
        mut each: impl FnMut(&mut Self, u32, &mut Lent<'_>),
    ) {
        for at in 0..self.channels.len() {
            let meta = self.channels.at(at).ledger.meta();
            let is_former = || meta.histories.iter().any(|history| history.node == *node);
            if meta.node.as_ref() == Some(node) || is_former() {
                each(self, at, lent);
            }
        }
    }

    fn drain(&mut self, node: u32, deadline: Option<Instant>, lent: &mut Lent<'_>) {
        let by = deadline.unwrap_or(lent.now + self.config.remove_timeout);
        let node = self.nodes.at_mut(node);
        node.drain_by = Some(node.drain_by.map_or(by, |known| known.min(by)));
        node.told_drained = false;
        self.place_soon(lent.now);
    }
}

impl Machine for Coordinator {
    type Command<'a> = CoordinatorCommand<'a>;
    type Event<'a> = CoordinatorEvent<'a>;
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
        let mut lent = Lent { now, io, up };
        if let StreamIn::Accepted { method, .. } = event {
            return self.accept(stream, method, &mut lent);
        }
        let (kind, at, attempt) = parts_of(tag);
        match kind {
            Some(Kind::Call) => self.hear_call(at, attempt, &event, &mut lent),
            Some(Kind::Watcher) => self.hear_watcher(at, stream, &event, &mut lent),
            Some(Kind::States) => self.hear_states(stream, &event, &mut lent),
            Some(Kind::Probe) => self.hear_probe(at, attempt, &event, &mut lent),
            Some(Kind::Lead | Kind::Meta) | None => {}
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
        let mut lent = Lent { now, io, up };
        let (kind, at, attempt) = parts_of(tag);
        match kind {
            Some(Kind::Lead) => self.hear_catalog(attempt, done, &mut lent),
            Some(Kind::Meta) => self.hear_meta(at, attempt, done, &mut lent),
            Some(Kind::Call | Kind::Watcher | Kind::States | Kind::Probe) | None => {}
        }
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: CoordinatorCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), CoordinatorRefused> {
        self.command(command, &mut Lent { now, io, up })
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let mut lent = Lent { now, io, up };
        while let Some((key, _)) = self.timers.pop_due(now) {
            match key {
                DUE_LEAD => self.go_on_leading(&mut lent),
                DUE_PLACE => self.place(&mut lent),
                DUE_PUSH => self.push(&mut lent),
                DUE_CATALOG => self.next_at_catalog(&mut lent),
                DUE_FOREIGN => self.probe_all(&mut lent),
                _ => self.channel_due(key - DUE_CHANNELS, &mut lent),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }
}

fn tag_of(kind: Kind, at: u32, attempt: u32) -> Tag {
    let rest = (kind as u64) << 52 | u64::from(at) << 32 | u64::from(attempt);
    Tag::new(MACHINE, rest)
}

fn parts_of(tag: Tag) -> (Option<Kind>, u32, u32) {
    let rest = tag.rest();
    let kinds = [
        Kind::Lead,
        Kind::Meta,
        Kind::Call,
        Kind::Watcher,
        Kind::States,
        Kind::Probe,
    ];
    let kind = kinds.into_iter().find(|kind| *kind as u64 == rest >> 52);
    (kind, (rest >> 32) as u32 & ((1 << 20) - 1), rest as u32)
}

/// How soon a machine that was refused by the store, or by the streams' table, tries again.
const FULL_WAIT: Duration = Duration::from_millis(5);
