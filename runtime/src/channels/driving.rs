//! What the driver of a channel client asks of its runtime.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use trefoil_core::channels::client::{
    Client as Machine, ClientCommand, ClientCounters, ClientEvent, ClientRefused, Dedupe, Key,
};
use trefoil_core::channels::messages::properties;
use trefoil_core::channels::open::Filter;
use trefoil_core::driver::Runtime;
use trefoil_core::engine::Engine;
use trefoil_core::machine::Events;
use trefoil_core::time::Instant;

use super::consumer::{ConsumerOptions, RecordFilter};
use super::map::ChannelMap;
use super::producer::{Appended, ProducerOptions, Taken};
use super::record::Record;
use super::{ChannelError, Connection};
use crate::alarm::Due;
use crate::clock;
use crate::muffler::Muffler;
use crate::platform::Platform;

type Opened = oneshot::Sender<Result<watch::Receiver<Connection>, ClientRefused>>;
type Given = mpsc::UnboundedSender<Result<Record, ChannelError>>;
type Answer = oneshot::Sender<Result<Appended, ChannelError>>;
type Closed = oneshot::Sender<Result<(), ChannelError>>;

/// A record that is to be appended.
#[derive(Debug)]
pub(super) struct Produce {
    pub(super) key: Key,
    pub(super) payload: Bytes,
    pub(super) properties: Vec<(Box<str>, Box<str>)>,
    pub(super) answer: Answer,
    pub(super) taken: Taken,
}

/// What producers, consumers and clients ask of their driver.
#[derive(Debug)]
pub(super) enum Ask {
    Watch,
    OpenProducer {
        key: Key,
        channel: String,
        options: ProducerOptions,
        told: Opened,
    },
    Produce(Produce),
    CloseProducer {
        key: Key,
        told: Closed,
    },
    OpenConsumer {
        key: Key,
        channel: String,
        options: ConsumerOptions,
        give: Given,
        told: Opened,
    },
    Acknowledge {
        key: Key,
        delivery: u64,
    },
    Counters(oneshot::Sender<ClientCounters>),
}

/// A command that owns what it holds.
#[derive(Debug)]
pub(super) enum Owned {
    Ask(Ask),
    /// Its handle was dropped.
    LeaveProducer(Key),
    /// Its handle was dropped.
    LeaveConsumer(Key),
    /// All handles were.
    Stop,
}

/// A producer, or a consumer, and who waits for it.
enum Session {
    Producer {
        connection: watch::Sender<Connection>,
        /// The number of the first record of `waiting`.
        first: u64,
        /// In the order of the records; answered ones are gone until all before them are.
        waiting: VecDeque<Option<(Answer, Taken)>>,
        /// What the machine has no room for, and what was asked after that.
        parked: VecDeque<Owned>,
        has_room: bool,
        closed: Option<Closed>,
    },
    Consumer {
        connection: watch::Sender<Connection>,
        give: Given,
    },
}

impl Session {
    fn connection(&self) -> &watch::Sender<Connection> {
        match self {
            Self::Producer { connection, .. } | Self::Consumer { connection, .. } => connection,
        }
    }

    /// Tells everybody who waits that there will be no more.
    fn end(self, failure: Option<&ChannelError>) {
        let why = || failure.cloned().unwrap_or_else(ChannelError::stopped);
        match self {
            Self::Producer {
                waiting,
                parked,
                closed,
                ..
            } => {
                let parked = parked.into_iter().filter_map(|owned| {
                    if let Owned::Ask(Ask::Produce(produce)) = owned {
                        Some(produce.answer)
                    } else {
                        None
                    }
                });
                let waiting = waiting.into_iter().flatten().map(|(answer, _)| answer);
                for answer in waiting.chain(parked) {
                    // Nobody may be waiting; nor below.
                    let _ = answer.send(Err(why()));
                }
                if let Some(closed) = closed {
                    let _ = closed.send(failure.cloned().map_or(Ok(()), Err));
                }
            }
            Self::Consumer { give, .. } => {
                let _ = give.send(Err(why()));
            }
        }
    }
}

/// The driver's runtime for producers and consumers.
pub(super) struct ChannelRuntime<P: Platform> {
    asks: mpsc::Receiver<Ask>,
    dropped: mpsc::UnboundedReceiver<Key>,
    map: watch::Sender<Arc<ChannelMap>>,
    sessions: HashMap<Key, Session>,
    /// Producers that had no room and have some again.
    roomy: VecDeque<Key>,
    counters: Vec<oneshot::Sender<ClientCounters>>,
    muffler: Muffler,
    alarm: Due<P::Alarm>,
    is_stopping: bool,
    is_stopped: bool,
}

impl<P: Platform> ChannelRuntime<P> {
    pub(super) fn new(
        asks: mpsc::Receiver<Ask>,
        dropped: mpsc::UnboundedReceiver<Key>,
        map: watch::Sender<Arc<ChannelMap>>,
    ) -> Self {
        Self {
            asks,
            dropped,
            map,
            sessions: HashMap::new(),
            roomy: VecDeque::new(),
            counters: Vec::new(),
            muffler: Muffler::default(),
            alarm: Due::default(),
            is_stopping: false,
            is_stopped: false,
        }
    }

    /// What a producer that has room again waited with.
    fn unpark(&mut self) -> Option<Owned> {
        while let Some(key) = self.roomy.front() {
            if let Some(Session::Producer {
                parked,
                has_room: true,
                ..
            }) = self.sessions.get_mut(key)
                && let Some(owned) = parked.pop_front()
            {
                return Some(owned);
            }
            self.roomy.pop_front();
        }
        None
    }

    /// What is asked next, if it is for the machine and nothing of the same producer waits before it.
    fn admit(&mut self, ask: Ask) -> Option<Owned> {
        if let Ask::Counters(caller) = ask {
            self.counters.push(caller);
            return None;
        }
        if let Ask::Produce(Produce { key, .. }) | Ask::CloseProducer { key, .. } = ask {
            return self.in_turn(key, Owned::Ask(ask));
        }
        Some(Owned::Ask(ask))
    }

    /// The handle of a session was dropped.
    fn leave(&mut self, key: Key) -> Option<Owned> {
        match self.sessions.get(&key)? {
            Session::Producer { .. } => self.in_turn(key, Owned::LeaveProducer(key)),
            Session::Consumer { .. } => Some(Owned::LeaveConsumer(key)),
        }
    }

    fn in_turn(&mut self, key: Key, owned: Owned) -> Option<Owned> {
        if let Some(Session::Producer { parked, .. }) = self.sessions.get_mut(&key)
            && !parked.is_empty()
        {
            parked.push_back(owned);
            return None;
        }
        Some(owned)
    }

    fn produced(&mut self, produce: Produce) {
        if let Some(Session::Producer { waiting, .. }) = self.sessions.get_mut(&produce.key) {
            waiting.push_back(Some((produce.answer, produce.taken)));
        }
    }

    /// The machine has no room for a record: it goes in front of those that wait.
    fn park(&mut self, produce: Produce) {
        if let Some(Session::Producer {
            parked, has_room, ..
        }) = self.sessions.get_mut(&produce.key)
        {
            *has_room = false;
            parked.push_front(Owned::Ask(Ask::Produce(produce)));
        }
    }

    fn answer(&mut self, key: Key, sequence: u64, answer: Result<Appended, ChannelError>) {
        let Some(Session::Producer { first, waiting, .. }) = self.sessions.get_mut(&key) else {
            return;
        };
        let at = sequence.checked_sub(*first).map(|at| at as usize);
        if let Some((caller, _)) = at.and_then(|at| waiting.get_mut(at)?.take()) {
            // Whoever sent it may have gone.
            let _ = caller.send(answer);
        }
        while let Some(None) = waiting.front() {
            waiting.pop_front();
            *first += 1;
        }
    }

    fn connection(&self, key: Key, connection: Connection) {
        if let Some(session) = self.sessions.get(&key) {
            session.connection().send_replace(connection);
        }
    }

    fn open(
        &mut self,
        key: Key,
        told: Opened,
        session: impl FnOnce(watch::Sender<Connection>) -> Session,
    ) {
        let (connection, watched) = watch::channel(Connection::Waiting);
        self.sessions.insert(key, session(connection));
        // Whoever asked may have gone: then its handle is dropped, too.
        let _ = told.send(Ok(watched));
    }
}

impl<P: Platform> Events<Machine> for ChannelRuntime<P> {
    fn event(&mut self, event: ClientEvent<'_>) {
        match event {
            ClientEvent::Assignment {
                version,
                assignments,
            } => {
                let map = ChannelMap::new(version, assignments);
                self.map.send_replace(Arc::new(map));
            }
            ClientEvent::Opened { key, term } => self.connection(key, Connection::Open { term }),
            ClientEvent::Interrupted { key, failure } => {
                let why = Arc::new(ChannelError::of(failure, false));
                tracing::debug!(key, "interrupted: {why}");
                self.connection(key, Connection::Interrupted { why });
            }
            ClientEvent::Produced { key, sequence, id } => {
                let id = Bytes::copy_from_slice(id);
                self.answer(key, sequence, Ok(Appended { sequence, id }));
            }
            ClientEvent::ProduceFailed {
                key,
                sequence,
                failure,
                is_certain,
            } => self.answer(key, sequence, Err(ChannelError::of(failure, is_certain))),
            ClientEvent::Room { key } => {
                if let Some(Session::Producer { has_room, .. }) = self.sessions.get_mut(&key) {
                    *has_room = true;
                    self.roomy.push_back(key);
                }
            }
            ClientEvent::Record {
                key,
                delivery,
                id,
                time_tick,
                payload,
                properties,
            } => {
                if let Some(Session::Consumer { give, .. }) = self.sessions.get(&key) {
                    let record = Record::new(delivery, id, time_tick, payload, properties);
                    // A consumer that was dropped is being closed.
                    let _ = give.send(Ok(record));
                }
            }
            ClientEvent::Closed { key, failure } => {
                let failure = failure.map(|failure| ChannelError::of(failure, false));
                if let Some(session) = self.sessions.remove(&key) {
                    session.end(failure.as_ref());
                }
            }
            ClientEvent::Misbehaved { node, why } => {
                if let Some(withheld) = self.muffler.pass(clock::now(), why) {
                    tracing::warn!(?node, withheld, "a peer broke the protocol: {why}");
                }
            }
            ClientEvent::Stopped => self.is_stopped = true,
        }
    }
}

impl<P: Platform> Runtime<Machine> for ChannelRuntime<P> {
    type Owned = Owned;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(due, cx)
    }

    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<Owned>> {
        if self.is_stopped {
            return Poll::Ready(None);
        }
        if self.is_stopping {
            return Poll::Pending;
        }
        if let Some(owned) = self.unpark() {
            return Poll::Ready(Some(owned));
        }
        loop {
            match self.asks.poll_recv(cx) {
                Poll::Ready(Some(ask)) => {
                    if let Some(owned) = self.admit(ask) {
                        return Poll::Ready(Some(owned));
                    }
                }
                Poll::Ready(None) => {
                    self.is_stopping = true;
                    return Poll::Ready(Some(Owned::Stop));
                }
                Poll::Pending => break,
            }
        }
        // After what was asked before the drop.
        while let Poll::Ready(Some(key)) = self.dropped.poll_recv(cx) {
            if let Some(owned) = self.leave(key) {
                return Poll::Ready(Some(owned));
            }
        }
        Poll::Pending
    }

    fn lend<T>(command: &Owned, take: impl FnOnce(ClientCommand<'_>) -> T) -> T {
        match command {
            Owned::Stop => take(ClientCommand::Stop),
            Owned::LeaveProducer(key) => take(ClientCommand::CloseProducer { key: *key }),
            Owned::LeaveConsumer(key) => take(ClientCommand::CloseConsumer { key: *key }),
            Owned::Ask(ask) => match ask {
                Ask::Watch | Ask::Counters(_) => take(ClientCommand::Watch),
                Ask::CloseProducer { key, .. } => take(ClientCommand::CloseProducer { key: *key }),
                &Ask::Acknowledge { key, delivery } => {
                    take(ClientCommand::Acknowledge { key, delivery })
                }
                Ask::OpenProducer {
                    key,
                    channel,
                    options,
                    ..
                } => take(ClientCommand::OpenProducer {
                    key: *key,
                    channel,
                    timeout: options.timeout,
                    dedupe: options.dedupe.as_ref().map(|dedupe| Dedupe {
                        producer: &dedupe.producer,
                        sequence: dedupe.sequence,
                    }),
                }),
                Ask::OpenConsumer {
                    key,
                    channel,
                    options,
                    ..
                } => {
                    let filters: Vec<Filter<'_>> =
                        options.filters.iter().map(RecordFilter::lend).collect();
                    take(ClientCommand::OpenConsumer {
                        key: *key,
                        channel,
                        policy: options.from.lend(),
                        filters: &filters,
                    })
                }
                Ask::Produce(produce) => produce.lend(take),
            },
        }
    }

    fn spent(&mut self, command: Owned) {
        let Owned::Ask(ask) = command else {
            return;
        };
        match ask {
            Ask::OpenProducer {
                key, options, told, ..
            } => self.open(key, told, |connection| Session::Producer {
                connection,
                first: options.dedupe.map_or(1, |dedupe| dedupe.sequence),
                waiting: VecDeque::new(),
                parked: VecDeque::new(),
                has_room: true,
                closed: None,
            }),
            Ask::OpenConsumer {
                key, give, told, ..
            } => self.open(key, told, |connection| Session::Consumer {
                connection,
                give,
            }),
            Ask::Produce(produce) => self.produced(produce),
            Ask::CloseProducer { key, told } => match self.sessions.get_mut(&key) {
                Some(Session::Producer { closed, .. }) => *closed = Some(told),
                // It had nothing to wait for.
                _ => drop(told.send(Ok(()))),
            },
            Ask::Watch | Ask::Acknowledge { .. } | Ask::Counters(_) => {}
        }
    }

    fn refused(&mut self, command: Owned, why: ClientRefused) {
        // Of a handle that was dropped, and of a producer that is gone, nothing is left to do.
        let Owned::Ask(ask) = command else {
            return;
        };
        match ask {
            Ask::OpenProducer { told, .. } | Ask::OpenConsumer { told, .. } => {
                let _ = told.send(Err(why));
            }
            Ask::Produce(produce) if why == ClientRefused::Busy => self.park(produce),
            Ask::Produce(produce) => {
                let _ = produce.answer.send(Err(ChannelError::refused(why)));
            }
            Ask::CloseProducer { told, .. } => drop(told.send(Err(ChannelError::refused(why)))),
            Ask::Watch | Ask::Acknowledge { .. } | Ask::Counters(_) => {}
        }
    }

    fn turn_ended(&mut self, engine: &Engine<Machine>) {
        for caller in self.counters.drain(..) {
            // Whoever asked may have gone.
            let _ = caller.send(engine.machine().counters());
        }
    }
}

/// Properties of a record that need no memory of their own.
const FEW: usize = 14;

impl Produce {
    fn lend<T>(&self, take: impl FnOnce(ClientCommand<'_>) -> T) -> T {
        let all = || {
            let own = self.properties.iter();
            own.map(|(key, value)| (&**key, value.as_bytes()))
        };
        let missing = [(properties::TYPE, &b"2"[..]), (properties::VERSION, b"1")];
        let missing = missing
            .into_iter()
            .filter(|(wanted, _)| all().all(|(key, _)| key != *wanted));
        let with = all().chain(missing);
        let mut few: [(&str, &[u8]); FEW + 2] = [("", &[]); FEW + 2];
        let many: Vec<(&str, &[u8])>;
        let properties = if self.properties.len() <= FEW {
            let mut len = 0;
            for property in with {
                few[len] = property;
                len += 1;
            }
            &few[..len]
        } else {
            many = with.collect();
            &many
        };
        take(ClientCommand::Produce {
            key: self.key,
            payload: &self.payload,
            properties,
        })
    }
}
