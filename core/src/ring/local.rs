//! Ring nodes on one thread, over memory and a clock of the caller's: for examples, tests, proofs and
//! measurements of programs that embed the core. Nothing is lost on the way and nothing takes time;
//! for faults there is the simulator.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};

use super::actor::{ActorKind, Output, Ran, Stage};
use super::actors::{ActorsCommand, ActorsEvent, Ticket};
use super::node::{Ring, RingCommand, RingConfig, RingConfigError, RingEvent, RingRefused};
use crate::codes;
use crate::engine::{Engine, EngineConfig};
use crate::limits::{Limits, LimitsError};
use crate::machine::Events;
use crate::memory::{Memory, MemorySession, MemoryStore, Switch};
use crate::status::{Code, Status};
use crate::storage::Storage;
use crate::time::{Duration, Instant};
use crate::transport::Transport;

/// How long [`LocalRing::apply`] and [`LocalRing::get`] wait for their answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A configuration that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRingError {
    /// A setting of the ring.
    Ring(RingConfigError),
    /// A limit.
    Limits(LimitsError),
}

impl core::fmt::Display for LocalRingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Limits(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for LocalRingError {}

/// An error a call was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCallError {
    /// Its class.
    pub code: Code,
    /// What it says; begins with a code of [`codes`].
    pub message: String,
}

impl From<Status<'_>> for LocalCallError {
    fn from(status: Status<'_>) -> Self {
        Self {
            code: status.code,
            message: String::from(status.message),
        }
    }
}

/// What one node's actors were asked and have done.
struct Work<K: ActorKind> {
    stage: Stage<K>,
    output: Output,
    done: VecDeque<(Ticket, Ran)>,
    spare: Vec<Ran>,
}

struct Node<K: ActorKind> {
    engine: Engine<Ring>,
    session: MemorySession,
    work: Work<K>,
    stopped: bool,
}

/// Performs jobs as they are told of, and passes all else on.
struct Up<'u, K: ActorKind> {
    node: usize,
    work: &'u mut Work<K>,
    heard: &'u mut dyn FnMut(usize, RingEvent<'_>),
}

impl<K: ActorKind> Events<Ring> for Up<'_, K> {
    fn event(&mut self, event: RingEvent<'_>) {
        let RingEvent::Actors(ActorsEvent::Run { ticket, id, job }) = event else {
            return (self.heard)(self.node, event);
        };
        let Work {
            stage,
            output,
            done,
            spare,
        } = &mut *self.work;
        let mut ran = spare.pop().unwrap_or_default();
        ran.keep(stage.perform(id, job, output));
        done.push_back((ticket, ran));
    }
}

/// See the module.
pub struct LocalRing<K: ActorKind> {
    now: Instant,
    nodes: Vec<Node<K>>,
    /// The transports of the nodes, in their order.
    sides: Vec<Memory>,
    switch: Switch,
    calls: u64,
}

impl<K: ActorKind> core::fmt::Debug for LocalRing<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LocalRing")
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl<K: ActorKind> LocalRing<K> {
    /// A node for each configuration, each under its own host string, over one store. They know
    /// nothing of each other but what their seeds say. Nothing runs before the first call.
    ///
    /// # Errors
    /// The first setting or limit that does not hold.
    pub fn new(
        configs: &[RingConfig],
        limits: &Limits,
        mut kind: impl FnMut() -> K,
    ) -> Result<Self, LocalRingError> {
        let names: Vec<&str> = configs.iter().map(|c| &*c.membership.host).collect();
        let (switch, sides) = Switch::new(&names, limits.streams_max, limits.nodes_max);
        let store = MemoryStore::new();
        let nodes = configs.iter().map(|config| {
            let ring = Ring::new(config.clone()).map_err(LocalRingError::Ring)?;
            let (host, seed) = (&*config.membership.host, config.membership.seed);
            let engine = EngineConfig {
                limits: limits.clone(),
                ..config.engine()
            };
            Ok(Node {
                engine: Engine::new(engine, ring).map_err(LocalRingError::Limits)?,
                session: store.session(host, limits.storage_ops_max),
                work: Work {
                    stage: Stage::new(kind(), seed),
                    output: Output::default(),
                    done: VecDeque::with_capacity(limits.streams_max as usize),
                    spare: Vec::with_capacity(limits.streams_max as usize),
                },
                stopped: false,
            })
        });
        Ok(Self {
            now: Instant::ZERO,
            nodes: nodes.collect::<Result<_, _>>()?,
            sides,
            switch,
            calls: 0,
        })
    }

    /// What the clock of all nodes says.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The ring of a node, to be looked at.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn ring(&self, node: usize) -> &Ring {
        self.nodes[node].engine.machine()
    }

    /// Stops a node for good, as a host that hangs: it says nothing and answers nobody. The others find
    /// out by its silence. What it journalled is there; its ring can still be looked at.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].stopped = true;
    }

    /// Lets `time` pass: every due time is met exactly. `heard` is told what the nodes tell, jobs
    /// excepted, which are done on the spot.
    pub fn run_for(&mut self, time: Duration, heard: &mut dyn FnMut(usize, RingEvent<'_>)) {
        let until = self.now + time;
        self.rest(heard);
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            for at in 0..self.nodes.len() {
                self.tick(at, heard);
            }
            self.rest(heard);
        }
        self.now = until;
    }

    /// Gives a node a command, and lets all nodes come to rest without time passing.
    ///
    /// # Errors
    /// The ring's own reason; then nothing changed.
    ///
    /// # Panics
    /// If there is no such node, or it was stopped.
    pub fn command(
        &mut self,
        node: usize,
        command: RingCommand<'_>,
        heard: &mut dyn FnMut(usize, RingEvent<'_>),
    ) -> Result<(), RingRefused> {
        let now = self.now;
        let side = &mut self.sides[node];
        let Node {
            engine,
            session,
            work,
            stopped,
        } = &mut self.nodes[node];
        assert!(!*stopped, "the node was stopped");
        engine.command(now, command, side, session, &mut Up { node, work, heard })?;
        self.rest(heard);
        Ok(())
    }

    /// Sends an encoded `ApplyRequest` through a node and lets time pass until it is answered with an
    /// encoded `ApplyResult`.
    ///
    /// # Errors
    /// What the call was answered with.
    ///
    /// # Panics
    /// If there is no such node, or it was stopped.
    pub fn apply(&mut self, node: usize, request: &[u8]) -> Result<Vec<u8>, LocalCallError> {
        let deadline = self.now + PATIENCE;
        self.call(node, |call| ActorsCommand::Apply {
            call,
            request,
            request_id: None,
            deadline,
        })
    }

    /// Sends an encoded `GetRequest` through a node and lets time pass until it is answered with an
    /// encoded `GetReply`.
    ///
    /// # Errors
    /// What the call was answered with.
    ///
    /// # Panics
    /// If there is no such node, or it was stopped.
    pub fn get(&mut self, node: usize, request: &[u8]) -> Result<Vec<u8>, LocalCallError> {
        let deadline = self.now + PATIENCE;
        self.call(node, |call| ActorsCommand::Get {
            call,
            request,
            deadline,
        })
    }

    fn call<'r>(
        &mut self,
        node: usize,
        command: impl FnOnce(u64) -> ActorsCommand<'r>,
    ) -> Result<Vec<u8>, LocalCallError> {
        self.calls += 1;
        let number = self.calls;
        let answer = RefCell::new(None);
        let mut heard = |at: usize, event: RingEvent<'_>| {
            if let RingEvent::Actors(ActorsEvent::Answer { call, result }) = event
                && (at, call) == (node, number)
            {
                answer.replace(Some(
                    result.map(<[u8]>::to_vec).map_err(LocalCallError::from),
                ));
            }
        };
        let until = self.now + PATIENCE;
        self.command(node, RingCommand::Actors(command(number)), &mut heard)
            .map_err(|_| LocalCallError::from(Status::new(Code::ResourceExhausted, codes::BUSY)))?;
        // The machine ends every call by its deadline.
        while answer.borrow().is_none() && self.now < until {
            let step = self.next_due().map_or(until, |due| due.min(until));
            self.run_for(step.since(self.now), &mut heard);
        }
        let late = Status::new(Code::DeadlineExceeded, codes::DEADLINE);
        answer.take().unwrap_or_else(|| Err(late.into()))
    }

    fn next_due(&self) -> Option<Instant> {
        let running = self.nodes.iter().filter(|node| !node.stopped);
        running.filter_map(|node| node.engine.poll_timeout()).min()
    }

    fn tick(&mut self, at: usize, heard: &mut dyn FnMut(usize, RingEvent<'_>)) {
        let now = self.now;
        let side = &mut self.sides[at];
        let Node {
            engine,
            session,
            work,
            stopped,
        } = &mut self.nodes[at];
        if !*stopped && engine.poll_timeout().is_some_and(|due| due <= now) {
            let up = &mut Up {
                node: at,
                work,
                heard,
            };
            engine.tick(now, side, session, up);
        }
    }

    /// Carries and handles until nothing is on its way.
    fn rest(&mut self, heard: &mut dyn FnMut(usize, RingEvent<'_>)) {
        loop {
            let mut busy = false;
            for at in 0..self.nodes.len() {
                busy |= self.turn(at, heard);
            }
            busy |= self.switch.carry(&mut self.sides);
            if !busy {
                return;
            }
        }
    }

    /// Handles what has come to a node. Says whether there was anything.
    fn turn(&mut self, at: usize, heard: &mut dyn FnMut(usize, RingEvent<'_>)) -> bool {
        let now = self.now;
        let side = &mut self.sides[at];
        let Node {
            engine,
            session,
            work,
            stopped,
        } = &mut self.nodes[at];
        let cx = &mut Context::from_waker(Waker::noop());
        if *stopped {
            while let Poll::Ready(arrival) = side.poll(cx) {
                arrival.spend(|spent| side.recycle(spent));
            }
            return false;
        }
        let mut any = false;
        loop {
            let mut busy = false;
            if let Poll::Ready(arrival) = side.poll(cx) {
                busy = true;
                let up = &mut Up {
                    node: at,
                    work,
                    heard,
                };
                engine.arrive(now, &arrival, side, session, up);
                arrival.spend(|spent| side.recycle(spent));
            }
            if let Poll::Ready((tag, completion)) = session.poll(cx) {
                busy = true;
                let up = &mut Up {
                    node: at,
                    work,
                    heard,
                };
                engine.done(now, tag, &completion, side, session, up);
            }
            if let Some((ticket, ran)) = work.done.pop_front() {
                busy = true;
                let command = RingCommand::Actors(ActorsCommand::Ran {
                    ticket,
                    outcome: ran.outcome(),
                });
                let up = &mut Up {
                    node: at,
                    work,
                    heard,
                };
                // Answers of jobs are never refused.
                let _ = engine.command(now, command, side, session, up);
                work.spare.push(ran);
            }
            if !busy {
                return any;
            }
            any = true;
        }
    }
}
