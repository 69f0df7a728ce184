//! Worker: what a node does with the channels it is given.
//!
//! | part | what it decides |
//! |---|---|
//! | `lifetime` | which term is opened, open or closing: the part that must never be wrong |
//! | `assigning` | calls that give and take channels, and how the node is |
//! | `opening` | fence, tail, one time tick above everything: then a channel serves |
//! | `appending` | messages on their way to the log, and what came of them |
//! | `recovering` | what the log really holds after an outcome that is not known |
//! | `closing` | an end in order, or by force when its time is up |
//! | `producing` | streams of producers |
//! | `consuming` | streams of consumers |
//! | `retention` | how much of a channel is kept |
//! | `forgetting` | what is forgotten, and when |
//! | `proving` | whether a channel that is only read is still this node's |
//! | `record` | the bytes of a record |
//!
//! # What is promised
//! - A message is acknowledged when its record is durable, in a log whose fence was this node's at that term:
//!   every append names both, and the log compares. Once a later term is open, nothing of an earlier one is
//!   appended, whatever its owner believes; the channel is then gone from this node at that term for good.
//! - Every message that was taken is answered once, while its stream lasts. After an append whose outcome is
//!   not known nothing more is appended until fence and tail have been read again and every message that was
//!   under way has been found in the log, or not. This relies on a log doing its operations in their order.
//! - Time ticks grow within a channel, over all terms, and consumers see records in their order. They see no
//!   record that a crash could take back.
//! - A message with a producer's name and a number is not appended twice, at this term, nor at the next as far
//!   back as [`WorkerConfig::dedupe_records`].
//! - Opening is not given up because a caller no longer waits for it. It is tried for as long as the store
//!   does not answer, and ends when it is overtaken, or the log has a later term.

mod appending;
mod assigning;
mod backlog;
mod channel;
mod clock;
mod closing;
mod config;
mod consuming;
mod dedupe;
mod delivery;
mod forgetting;
mod interface;
#[doc(hidden)]
pub mod lifetime;
mod opening;
mod producing;
mod proving;
pub mod record;
mod recovering;
mod removals;
mod retention;
mod slab;
mod tags;
#[cfg(test)]
mod tests;
mod why;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashTable;

use self::assigning::Call;
use self::channel::Channel;
use self::clock::Clock;
pub use self::config::{GROWTH_BYTES_MAX, WorkerConfig, WorkerConfigError};
use self::consuming::Consumer;
pub use self::interface::{
    ChannelState, ChannelView, WorkerCommand, WorkerCounters, WorkerEvent, WorkerPlant,
    WorkerRefused,
};
use self::producing::Producer;
use self::removals::Removals;
pub use self::retention::Retention;
use self::slab::{Key, Slab};
pub use self::tags::MACHINE;
use self::tags::{Of, Term};
use self::why::Why;
use crate::channels::dialect::Dialect;
use crate::channels::failure::Failure;
use crate::channels::open::{self, Open, REQUEST_BYTES_MAX};
use crate::codes;
use crate::header::Header;
use crate::id::{MethodId, StreamId, Tag};
use crate::identity::Identity;
use crate::machine::{Events, Io, Machine};
use crate::method::streaming;
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};
use crate::timers::Timers;

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Worker>,
}

/// The channels of one node.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    clock: Clock,
    channels: Vec<Channel>,
    by_name: HashTable<u32>,
    removals: Removals,
    calls: Slab<Call>,
    producers: Slab<Producer>,
    consumers: Slab<Consumer>,
    /// By channel: when to go on with what the store did not take or answer.
    retries: Timers,
    /// By channel: when closing ends by force.
    deadlines: Timers,
    /// By channel: when it is next looked whether something is to be forgotten.
    looks: Timers,
    /// By channel: when the log is next asked whether it is still this node's.
    proofs: Timers,
    /// Such questions that the store has not answered.
    proving: u32,
    /// Consumers for whom the store had no room, and when to try again.
    starved: VecDeque<Key>,
    starved_until: Option<Instant>,
    /// Channels with which there may be something to be done; see [`Worker::settle`].
    unsettled: Vec<u32>,
    /// Where records are written, and requests decoded.
    scratch: Vec<u8>,
    stopping: bool,
    counters: WorkerCounters,
    plant: Option<WorkerPlant>,
}

impl Worker {
    /// A worker without channels.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: WorkerConfig) -> Result<Self, WorkerConfigError> {
        config.check()?;
        Ok(Self {
            clock: Clock::default(),
            channels: Vec::new(),
            by_name: HashTable::new(),
            removals: Removals::default(),
            calls: Slab::new(config.calls_max),
            producers: Slab::new(config.sessions_max),
            consumers: Slab::new(config.sessions_max),
            retries: Timers::new(0),
            deadlines: Timers::new(0),
            looks: Timers::new(0),
            proofs: Timers::new(0),
            proving: 0,
            starved: VecDeque::new(),
            starved_until: None,
            unsettled: Vec::new(),
            scratch: Vec::new(),
            stopping: false,
            counters: WorkerCounters::default(),
            plant: None,
            config,
        })
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &WorkerConfig {
        &self.config
    }

    fn refuse(&self, stream: StreamId, failure: Failure<'_>, lent: &mut Lent<'_>) {
        why::refuse(lent.io, self.config.dialect, stream, failure);
    }

    /// The channel, if it is at the very term that something was begun at.
    fn at(&mut self, of: Term) -> Option<&mut Channel> {
        let channel = self.channels.get_mut(of.slot as usize)?;
        (channel.epoch == of.epoch).then_some(channel)
    }

    /// Whether a caller means this node, and where its channel is, if it serves here at its term.
    fn opens(&self, open: &Open<'_>) -> Result<u32, Why> {
        if open.server_id.is_some_and(|id| id != self.config.server_id) {
            return Err(Why::OtherNode);
        }
        let ours = &*self.config.cluster;
        if open
            .cluster
            .is_some_and(|theirs| !ours.is_empty() && theirs != ours)
        {
            return Err(Why::OtherCluster);
        }
        if self.stopping {
            return Err(Why::Stopping);
        }
        let slot = self.find(open.channel).ok_or(Why::NotHere)?;
        let lifetime = &self.channels[slot as usize].lifetime;
        match lifetime.open_at() {
            Some(term) if i64::try_from(term) == Ok(open.term) => Ok(slot),
            Some(_) => Err(Why::OtherTerm),
            None => Err(Why::NotHere),
        }
    }

    fn accepted(
        &mut self,
        stream: StreamId,
        method: MethodId,
        header: Header<'_>,
        is_known: bool,
        lent: &mut Lent<'_>,
    ) {
        let gives = matches!(method, streaming::ASSIGN | streaming::REMOVE);
        if gives && !is_known && !self.config.believes_strangers {
            let status = Status::new(Code::PermissionDenied, codes::COORDINATORS_ONLY);
            return lent.io.end(stream, status);
        }
        // Taken out for as long as what is decoded into it is looked at.
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.resize(scratch.len().max(REQUEST_BYTES_MAX), 0);
        match method {
            streaming::PRODUCE => match Open::producer(header, &mut scratch) {
                Ok(open) => self.open_producer(stream, &open, lent),
                Err(failure) => self.refuse(stream, failure, lent),
            },
            streaming::CONSUME => {
                let dialect: Dialect = self.config.dialect;
                match open::OpenConsumer::consumer(dialect, header, &mut scratch) {
                    Ok(open) => self.open_consumer(stream, &open, lent),
                    Err(failure) => self.refuse(stream, failure, lent),
                }
            }
            _ => self.open_call(stream, method, header, lent),
        }
        self.scratch = scratch;
    }
}

impl Machine for Worker {
    type Command<'a> = WorkerCommand<'a>;
    type Event<'a> = WorkerEvent<'a>;
    type Refused = WorkerRefused;

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
        if let StreamIn::Accepted {
            method,
            header,
            trusted,
            ..
        } = event
        {
            // Who says that it is a node of ours was asked for what proves it, if anything is asked for.
            let is_known = trusted || Identity::from_header(header).is_some();
            self.accepted(stream, method, header, is_known, lent);
        } else {
            match Of::read(tag) {
                Some(Of::Call(key)) => self.hear_call(key, event, lent),
                Some(Of::Producer(key)) => self.hear_producer(key, event, lent),
                Some(Of::Consumer(key)) => self.hear_consumer(key, event, lent),
                Some(
                    Of::Opening(_)
                    | Of::Recovery(_)
                    | Of::Trim(_)
                    | Of::Survey(_)
                    | Of::Proof(_)
                    | Of::Append(..),
                )
                | None => {}
            }
        }
        self.settle(lent);
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let lent = &mut Lent { now, io, up };
        match Of::read(tag) {
            Some(Of::Append(of, number)) => self.appended(of, number, &done, lent),
            Some(Of::Consumer(key)) => self.deliver(key, &done, lent),
            Some(Of::Opening(of)) => self.opening_done(of, &done, lent),
            Some(Of::Recovery(of)) => self.recovery_done(of, &done, lent),
            Some(Of::Trim(of)) => self.trimmed(of, &done, lent),
            Some(Of::Survey(of)) => self.surveyed(of, &done, lent),
            Some(Of::Proof(of)) => self.proof_done(of, &done, lent),
            Some(Of::Call(_) | Of::Producer(_)) | None => {}
        }
        self.settle(lent);
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: WorkerCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), WorkerRefused> {
        let lent = &mut Lent { now, io, up };
        match command {
            WorkerCommand::Wall(wall) => self.clock.set(wall),
            WorkerCommand::Stop => self.stopping = true,
            WorkerCommand::Trim { channel, before } => self.trim(channel, before, lent)?,
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let lent = &mut Lent { now, io, up };
        while let Some((slot, _)) = self.retries.pop_due(now) {
            self.retry(slot, lent);
        }
        while let Some((slot, _)) = self.deadlines.pop_due(now) {
            self.close_by_force(slot, lent);
        }
        while let Some((slot, _)) = self.looks.pop_due(now) {
            self.look(slot, lent);
        }
        while let Some((slot, _)) = self.proofs.pop_due(now) {
            self.prove(slot, lent);
        }
        if self.starved_until.is_some_and(|until| until <= now) {
            self.feed_starved(lent);
        }
        self.settle(lent);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let channels = earliest(self.retries.earliest(), self.deadlines.earliest());
        let channels = earliest(channels, self.looks.earliest());
        let channels = earliest(channels, self.proofs.earliest());
        earliest(channels, self.starved_until)
    }
}
