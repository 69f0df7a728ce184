//! Channels from outside: where they are, writing to them, reading from them, over every loss.
//!
//! | part | what it decides |
//! |---|---|
//! | [`config`] | how long it waits, and how much it keeps |
//! | [`interface`] | what it is asked, and what it tells |
//! | `discovery` | which coordinator is listened to, and what it is told |
//! | `assignment`, `channels` | where the channels are |
//! | `session`, `resume` | when a stream of records is opened, left, and opened again |
//! | `producer`, `consumer` | what has to be sent, and from where to go on reading |
//! | `records` | what is said on the streams |
//! | `reaction` | what a failure is answered with |
//!
//! # What is promised
//! - A record is answered once: [`Produced`](ClientEvent::Produced) or
//!   [`ProduceFailed`](ClientEvent::ProduceFailed). One that was answered well is in the log, at least once; with
//!   [`Dedupe`] and our nodes, exactly once while the node remembers it.
//! - A consumer is given every record that its policy and its filters take in, in the order of time ticks, once
//!   each, for as long as it lives: over a lost stream it goes on behind what was acknowledged, and passes over
//!   what it was given already. That takes records with time ticks, as all servers set them. What is written
//!   between the opening of one that reads from `Latest` and its first record is missed if the stream is lost in
//!   between: nothing on this wire says from where it read.
//! - A consumer of another process goes on with the ids and ticks that were handled here, by
//!   [`Policy::StartAfter`](super::open::Policy::StartAfter) and
//!   [`Filter::TimeTickGt`](super::open::Filter::TimeTickGt).
//! - Nothing is tried again at once: between two attempts lies `backoff_min` at least, less what jitter takes off,
//!   whatever servers say.
//! - What is kept is bounded by the configuration, whatever servers say.

mod assignment;
mod channels;
pub mod config;
mod consumer;
mod discovery;
pub mod interface;
mod producer;
mod reaction;
mod records;
mod resume;
mod session;
#[cfg(test)]
mod tests;

pub use self::config::{ClientConfig, ClientConfigError};
pub use self::interface::{
    ClientCommand, ClientCounters, ClientEvent, ClientPlant, ClientRefused, Dedupe, Key,
};

use self::channels::Channels;
use self::consumer::Consumer;
use self::discovery::Discovery;
use self::producer::{Pool, Producer};
use self::session::{Kind, Session, Sessions};
use crate::channels::open::is_channel_name;
use crate::codes;
use crate::id::{NodeId, StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::Instant;
use crate::timers::Timers;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 22;

/// The tag of the stream to a coordinator.
const WATCH_TAG: Tag = Tag::new(MACHINE, 0);
/// The number of the watch's timer.
const WATCH_TIMER: u32 = 0;
/// How a stream ends that is left.
const LEFT: Status<'_> = Status::new(Code::Cancelled, "");

/// The tag of a session's stream.
const fn session_tag(slot: u32) -> Tag {
    Tag::new(MACHINE, slot as u64 + 1)
}

/// The number of a session's timer.
const fn session_timer(slot: u32) -> u32 {
    slot + 1
}

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Client>,
}

/// Producers and consumers of one program.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    discovery: Discovery,
    channels: Channels,
    sessions: Sessions,
    pool: Pool,
    timers: Timers,
    rng: Rng,
    counters: ClientCounters,
    is_stopping: bool,
    is_stopped: bool,
    plant: Option<ClientPlant>,
}

impl Client {
    /// A client, which does nothing until it is asked.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: ClientConfig) -> Result<Self, ClientConfigError> {
        config.check()?;
        let mut rng = Rng::new(config.seed);
        let first = rng.below(config.coordinators.len() as u64) as usize;
        Ok(Self {
            discovery: Discovery::new(first),
            channels: Channels::default(),
            sessions: Sessions::default(),
            pool: Pool::default(),
            timers: Timers::new(0),
            rng,
            counters: ClientCounters::default(),
            is_stopping: false,
            is_stopped: false,
            plant: None,
            config,
        })
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub const fn plant(&mut self, plant: ClientPlant) {
        self.plant = Some(plant);
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> ClientCounters {
        self.counters
    }

    /// Producers and consumers that are open, those that are closing too.
    #[must_use]
    pub fn open_count(&self) -> u32 {
        self.sessions.len()
    }

    /// The version of the last assignment; `(-1, -1)` before the first.
    #[must_use]
    pub const fn version(&self) -> (i64, i64) {
        self.discovery.last.version
    }

    /// Where a channel is, as the last assignment says: its term, the number and the address of the node.
    #[must_use]
    pub fn place(&self, channel: &str) -> Option<(i64, i64, &str)> {
        let place = self.discovery.last.place(channel)?;
        Some((place.term, place.server_id, place.address))
    }

    fn enter(
        &mut self,
        lent: &mut Lent<'_>,
        key: Key,
        channel: &str,
        kind: Result<Kind, ClientRefused>,
    ) -> Result<(), ClientRefused> {
        if self.is_stopping {
            return Err(ClientRefused::Stopping);
        }
        if self.sessions.find(key).is_some() {
            return Err(ClientRefused::KeyTaken);
        }
        if !is_channel_name(channel) {
            return Err(ClientRefused::Invalid);
        }
        if self.sessions.len() >= self.config.sessions_max {
            return Err(ClientRefused::Busy);
        }
        let kind = kind?;
        let channel = self.channels.enter(channel, &self.discovery.last);
        let slot = self.sessions.insert(Session::new(key, channel, kind));
        self.watch(lent);
        self.attempt(lent, slot);
        Ok(())
    }

    /// The slot of a producer, or of a consumer, that is not closed.
    fn find(&mut self, key: Key, wants_producer: bool) -> Result<u32, ClientRefused> {
        let slot = self.sessions.find(key).ok_or(ClientRefused::NoSuchKey)?;
        let session = self.sessions.at(slot).ok_or(ClientRefused::NoSuchKey)?;
        if matches!(session.kind, Kind::Producer(_)) == wants_producer && !session.is_closing {
            Ok(slot)
        } else {
            Err(ClientRefused::NoSuchKey)
        }
    }

    fn produce(
        &mut self,
        lent: &mut Lent<'_>,
        key: Key,
        payload: &[u8],
        properties: &[(&str, &[u8])],
    ) -> Result<(), ClientRefused> {
        let slot = self.find(key, true)?;
        let producer = self.sessions.producer(slot);
        let producer = producer.ok_or(ClientRefused::NoSuchKey)?;
        producer.push(lent.now, &self.config, payload, properties, &mut self.pool)?;
        self.flush(lent, slot);
        self.schedule(slot);
        Ok(())
    }

    fn stop(&mut self, lent: &mut Lent<'_>) {
        self.is_stopping = true;
        for slot in self.sessions.slots() {
            self.close(lent, slot);
        }
        self.settle(lent);
    }

    /// A step further with a stop, if there is one.
    fn settle(&mut self, lent: &mut Lent<'_>) {
        if !self.is_stopping || self.is_stopped || self.sessions.len() > 0 {
            return;
        }
        if self.discovery.is_off() {
            self.is_stopped = true;
            return lent.up.event(ClientEvent::Stopped);
        }
        self.close_watch(lent);
    }

    fn misbehaved(&mut self, lent: &mut Lent<'_>, node: NodeId, why: &'static str) {
        self.counters.misbehaved += 1;
        lent.up.event(ClientEvent::Misbehaved { node, why });
    }

    fn session_misbehaved(&mut self, lent: &mut Lent<'_>, slot: u32, why: &'static str) {
        if let Some(node) = self.sessions.at(slot).map(|session| session.node) {
            self.misbehaved(lent, node, why);
        }
    }

    fn session_event(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        stream: StreamId,
        event: StreamIn<'_>,
    ) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        if session.stream != Some(stream) {
            return;
        }
        match event {
            StreamIn::Frame(frame) => self.said(lent, slot, stream, frame),
            StreamIn::Writable => {
                if let Some(producer) = self.sessions.producer(slot) {
                    producer.unblock();
                }
                self.flush(lent, slot);
            }
            StreamIn::Ended(status) => self.ended(lent, slot, status),
            StreamIn::Accepted { .. } | StreamIn::Header(_) | StreamIn::HalfClosed => {}
        }
    }
}

impl Machine for Client {
    type Command<'a> = ClientCommand<'a>;
    type Event<'a> = ClientEvent<'a>;
    type Refused = ClientRefused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if let StreamIn::Accepted { .. } = event {
            // A client serves nothing.
            return io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
        }
        let mut lent = Lent { now, io, up };
        match u32::try_from(tag.rest()) {
            Ok(0) => self.watch_event(&mut lent, stream, event),
            Ok(above) => self.session_event(&mut lent, above - 1, stream, event),
            Err(_) => {}
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
        command: ClientCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), ClientRefused> {
        let lent = &mut Lent { now, io, up };
        match command {
            ClientCommand::Watch if self.is_stopping => return Err(ClientRefused::Stopping),
            ClientCommand::Watch => self.watch(lent),
            ClientCommand::OpenProducer {
                key,
                channel,
                timeout,
                dedupe,
            } => {
                let producer = Producer::new(timeout, dedupe).map(Kind::Producer);
                self.enter(lent, key, channel, producer)?;
            }
            ClientCommand::Produce {
                key,
                payload,
                properties,
            } => self.produce(lent, key, payload, properties)?,
            ClientCommand::CloseProducer { key } => {
                let slot = self.find(key, true)?;
                self.close(lent, slot);
            }
            ClientCommand::OpenConsumer {
                key,
                channel,
                policy,
                filters,
            } => {
                let consumer = Consumer::new(self.config.dialect, channel, policy, filters);
                self.enter(lent, key, channel, consumer.map(Kind::Consumer))?;
            }
            ClientCommand::Acknowledge { key, delivery } => {
                let slot = self.find(key, false)?;
                self.acknowledge(lent, slot, delivery)?;
            }
            ClientCommand::CloseConsumer { key } => {
                let slot = self.find(key, false)?;
                self.close(lent, slot);
            }
            ClientCommand::Stop => self.stop(lent),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let lent = &mut Lent { now, io, up };
        while let Some((timer, _)) = self.timers.pop_due(now) {
            match timer.checked_sub(session_timer(0)) {
                None => self.watch_due(lent),
                Some(slot) => self.session_due(lent, slot),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }
}
