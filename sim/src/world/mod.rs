//! The world: engines with their clocks, a network, a disk, and one queue of what is to come.
//!
//! A world knows nothing of what its machines do. A [`Subject`] makes the engines, hears their events
//! and answers with commands; what is done to the nodes, and when, is its owner's.

mod node;
mod subject;

pub use node::Node;
pub use subject::{Birth, Subject};

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trefoil_core::engine::Engine;
use trefoil_core::id::Tag;
use trefoil_core::machine::{Events, Machine};
use trefoil_core::storage::{Completion, Storage};
use trefoil_core::time::Instant;
use trefoil_core::transport::Transport;

use crate::dice::Dice;
use crate::disk::{Disk, DiskConfig, DiskEvent, SimStore, StorePlant};
use crate::moment::{LocalClock, Moment};
use crate::net::{In, Net, NetConfig, NetEvent, Process, SimTransport};
use crate::queue::Queue;
use crate::trace::Trace;

/// How a world is made.
#[derive(Clone, Debug, Default)]
pub struct WorldConfig {
    /// Host strings.
    pub names: Vec<String>,
    /// The network.
    pub net: NetConfig,
    /// The disk.
    pub disk: DiskConfig,
    /// A bug in the store.
    pub store_plant: StorePlant,
    /// Clocks gain or lose up to so much.
    pub drift_ppm: u32,
    /// Timers of a node come late by up to so much.
    pub timer_slack: Duration,
}

enum Event<C, A> {
    Net(NetEvent),
    Disk(DiskEvent),
    Wake { node: usize, version: u64 },
    Command { process: Process, command: C },
    Resume { node: usize, pause: u64 },
    Act(A),
}

/// Something for one process.
pub(crate) enum Input<C> {
    Net(In),
    Disk(Tag, Completion<Vec<u8>>),
    Command(C),
    Tick,
}

/// What a turn of the world was.
#[derive(Debug)]
pub enum Turn<A> {
    /// The world went on.
    Went,
    /// It is time for what the owner scheduled.
    Act(A),
    /// Nothing happens before the moment that was asked for.
    Reached,
}

/// More wake-ups than this at one moment are a busy loop.
pub const WAKES_AT_ONCE_MAX: u32 = 256;

/// See the module.
pub struct World<S: Subject> {
    /// What it runs.
    pub subject: S,
    /// Its network.
    pub net: Net,
    /// Its disk.
    pub disk: Disk,
    /// What happened.
    pub trace: Trace,
    nodes: Vec<Node<S>>,
    queue: Queue<Event<S::Command, S::Act>>,
    now: Moment,
    config: WorldConfig,
    seed: u64,
    dice: Dice,
    busy: Option<usize>,
    /// By receiver and sender: when the last packet was taken.
    heard: Vec<Moment>,
}

impl<S: Subject> World<S> {
    /// A world whose nodes are still to be started.
    #[must_use]
    pub fn new(subject: S, config: WorldConfig, seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed, "world");
        let drift = i64::from(config.drift_ppm);
        let heard = vec![Moment::ZERO; config.names.len() * config.names.len()];
        let nodes = config
            .names
            .iter()
            .map(|name| {
                let origin = dice.between(Duration::from_secs(1), Duration::from_secs(1_000_000));
                let ppm = dice.below(2 * drift as u64 + 1) as i64 - drift;
                Node::new(name.clone(), LocalClock::new(Moment::ZERO, origin, ppm))
            })
            .collect();
        Self {
            subject,
            net: Net::new(&config.names, config.net.clone(), seed),
            disk: Disk::new(config.disk.clone(), config.store_plant, seed),
            trace,
            nodes,
            queue: Queue::default(),
            now: Moment::ZERO,
            config,
            seed,
            dice,
            busy: None,
            heard,
        }
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node<S>] {
        &self.nodes
    }

    /// The engine of a node that lives.
    #[must_use]
    pub fn engine(&self, node: usize) -> Option<&Engine<S::Machine>> {
        self.nodes[node].engine()
    }

    /// The engine of a node that lives, for tests that plant bugs.
    pub fn engine_mut(&mut self, node: usize) -> Option<&mut Engine<S::Machine>> {
        self.nodes[node].life.as_mut().map(|life| &mut life.engine)
    }

    /// What a node's clock shows now.
    #[must_use]
    pub fn clock(&self, node: usize) -> Instant {
        self.nodes[node].clock.show(self.now)
    }

    /// A node that woke more than [`WAKES_AT_ONCE_MAX`] times at one moment.
    #[must_use]
    pub const fn busy(&self) -> Option<usize> {
        self.busy
    }

    /// When `node` last took a packet that `from` had sent.
    #[must_use]
    pub fn last_heard(&self, node: usize, from: usize) -> Moment {
        self.heard[node * self.nodes.len() + from]
    }

    /// Schedules something of the owner's.
    pub fn plan(&mut self, at: Moment, act: S::Act) {
        self.queue.push(at, Event::Act(act));
    }

    /// Gives a command to a node that lives; it takes `delay` to get there.
    pub fn command(&mut self, node: usize, delay: Duration, command: S::Command) {
        let process = self.nodes[node].process(node);
        self.queue
            .push(self.now + delay, Event::Command { process, command });
    }

    /// Starts a node that does not live.
    pub fn start(&mut self, node: usize) {
        let (seed, now) = (self.dice.draw(), self.now);
        let known = &mut self.nodes[node];
        if known.life.is_some() {
            return;
        }
        known.session += 1;
        let process = known.process(node);
        let birth = Birth {
            process,
            name: &known.name,
            incarnation: u64::from(known.session),
            boot: seed | 1,
            now: known.clock.show(now),
        };
        let engine = self.subject.engine(now, &birth);
        let transport = SimTransport::new(process, seed, self.net.paths.config.choke_ppm);
        let storage = SimStore::new(self.config.disk.ops_max);
        known.life = Some(node::Life {
            engine,
            transport,
            storage,
        });
        self.net.listen(process);
        self.trace.record(now, &[1, node as u64], &[], || {
            format!("{node} starts, life {}", process.session)
        });
        self.arm(node);
    }

    /// Ends a process at once. Its host may still refuse those who dial it, or be silent.
    pub fn crash(&mut self, node: usize, host_answers: bool) {
        let (process, now) = (self.nodes[node].process(node), self.now);
        let known = &mut self.nodes[node];
        let Some(life) = known.life.take() else {
            return;
        };
        known.inbox.clear();
        known.paused = None;
        known.armed = None;
        let mut later = Vec::new();
        self.net.stop(now, node, host_answers, &mut later);
        self.later_net(later);
        self.trace.record(now, &[2, node as u64], &[], || {
            format!("{node} dies, host answers: {host_answers}")
        });
        self.subject.died(now, process, &life.engine);
    }

    /// Freezes a process: inputs wait until it goes on.
    pub fn pause(&mut self, node: usize, pause: Duration) {
        let now = self.now;
        let known = &mut self.nodes[node];
        if known.life.is_none() || known.paused.is_some() {
            return;
        }
        known.pauses += 1;
        known.paused = Some(known.pauses);
        self.queue.push(
            now + pause,
            Event::Resume {
                node,
                pause: known.pauses,
            },
        );
        let mut later = Vec::new();
        self.net.paused(now, node, pause, &mut later);
        self.later_net(later);
        self.trace.record(now, &[3, node as u64], &[], || {
            format!("{node} freezes for {pause:?}")
        });
    }

    /// Does something to the network.
    pub fn with_net(
        &mut self,
        change: impl FnOnce(Moment, &mut Net, &mut Vec<(Moment, NetEvent)>),
    ) {
        let mut later = Vec::new();
        change(self.now, &mut self.net, &mut later);
        self.later_net(later);
    }

    /// Ends all faults. Frozen processes go on; dead ones stay dead.
    pub fn heal(&mut self) {
        self.with_net(|at, net, later| net.heal(at, later));
        self.disk.heal();
        for node in 0..self.nodes.len() {
            if let Some(life) = &mut self.nodes[node].life {
                life.transport.calm();
            }
            if let Some(pause) = self.nodes[node].paused {
                self.resume(node, pause);
            }
        }
        self.trace
            .record(self.now, &[4], &[], || "all faults end".into());
    }

    fn later_net(&mut self, later: Vec<(Moment, NetEvent)>) {
        for (at, event) in later {
            self.queue.push(at.max(self.now), Event::Net(event));
        }
    }

    fn later_disk(&mut self, later: Vec<(Moment, DiskEvent)>) {
        for (at, event) in later {
            self.queue.push(at.max(self.now), Event::Disk(event));
        }
    }

    /// Lets one thing happen, if it happens before `until`.
    pub fn turn(&mut self, until: Moment) -> Turn<S::Act> {
        if self.queue.next().is_none_or(|next| next > until) {
            self.now = self.now.max(until);
            return Turn::Reached;
        }
        let Some((at, event)) = self.queue.pop() else {
            return Turn::Reached;
        };
        self.now = self.now.max(at);
        match event {
            Event::Net(event) => {
                let (mut later, mut arrived) = (Vec::new(), Vec::new());
                self.net.handle(self.now, event, &mut later, &mut arrived);
                self.later_net(later);
                for (process, input) in arrived {
                    self.offer(process, Input::Net(input));
                }
            }
            Event::Disk(DiskEvent::Do { process, tag, op }) => {
                let alive = self.lives(process);
                let mut later = Vec::new();
                self.disk
                    .perform(self.now, process, tag, op, alive, &mut later);
                self.later_disk(later);
            }
            Event::Disk(DiskEvent::Answer {
                process,
                tag,
                completion,
            }) => {
                self.offer(process, Input::Disk(tag, completion));
            }
            Event::Wake { node, version } => {
                if self.nodes[node]
                    .armed
                    .is_some_and(|(_, armed)| armed == version)
                {
                    self.nodes[node].armed = None;
                    self.offer(self.nodes[node].process(node), Input::Tick);
                }
            }
            Event::Command { process, command } => self.offer(process, Input::Command(command)),
            Event::Resume { node, pause } => self.resume(node, pause),
            Event::Act(act) => return Turn::Act(act),
        }
        Turn::Went
    }

    fn lives(&self, process: Process) -> bool {
        let node = &self.nodes[process.node];
        node.life.is_some() && node.session == process.session
    }

    /// An input reaches a process, which may be frozen, or gone.
    fn offer(&mut self, process: Process, input: Input<S::Command>) {
        if !self.lives(process) {
            return;
        }
        if self.nodes[process.node].paused.is_some() {
            self.nodes[process.node].inbox.push_back(input);
        } else {
            self.take(process, input);
        }
    }

    fn resume(&mut self, node: usize, pause: u64) {
        if self.nodes[node].paused != Some(pause) {
            return;
        }
        self.nodes[node].paused = None;
        let process = self.nodes[node].process(node);
        self.trace.record(self.now, &[5, node as u64], &[], || {
            format!("{node} goes on")
        });
        // A driver asks its alarm first, and then its sources in turn; either may be seen first.
        if self.dice.coin() {
            self.take(process, Input::Tick);
        }
        while let Some(input) = self.nodes[node].inbox.pop_front() {
            self.take(process, input);
        }
        self.take(process, Input::Tick);
    }

    /// A process takes an input, and everything it does about it is carried away.
    fn take(&mut self, process: Process, input: Input<S::Command>) {
        let now = self.now;
        let node = &mut self.nodes[process.node];
        let local = node.clock.show(now);
        let Some(life) = &mut node.life else { return };
        let mut cx = Context::from_waker(Waker::noop());
        let node::Life {
            engine,
            transport,
            storage,
        } = life;
        note(&mut self.trace, now, process, &input);
        let mut ear = Ear {
            subject: &mut self.subject,
            trace: &mut self.trace,
            at: now,
            process,
            follow: Vec::new(),
        };
        match input {
            Input::Net(input) => {
                if let In::Call { from, .. } = input {
                    self.heard[process.node * self.config.names.len() + from] = now;
                }
                transport.take_in(input);
                while let Poll::Ready(arrival) = transport.poll(&mut cx) {
                    engine.arrive(local, &arrival, transport, storage, &mut ear);
                }
            }
            Input::Disk(tag, completion) => {
                storage.take_in(tag, completion);
                while let Poll::Ready((tag, completion)) = storage.poll(&mut cx) {
                    engine.done(local, tag, &completion, transport, storage, &mut ear);
                }
            }
            Input::Command(command) => {
                let refused = engine
                    .command(local, S::lend(&command), transport, storage, &mut ear)
                    .err();
                if let Some(why) = refused {
                    ear.subject.refused(now, process, command, why);
                }
            }
            Input::Tick => {
                engine.tick(local, transport, storage, &mut ear);
            }
        }
        let follow = ear.follow;
        transport.flush();
        self.subject.looked(now, process, engine);
        let (mut out, mut ops) = (Vec::new(), Vec::new());
        transport.take_out(&mut out);
        storage.take_out(&mut ops);
        let (mut later_net, mut later_disk) = (Vec::new(), Vec::new());
        for out in out {
            self.net.carry(now, process, out, &mut later_net);
        }
        for (tag, op) in ops {
            self.disk.carry(now, process, tag, op, &mut later_disk);
        }
        self.later_net(later_net);
        self.later_disk(later_disk);
        for (delay, command) in follow {
            self.queue
                .push(now + delay, Event::Command { process, command });
        }
        self.arm(process.node);
    }

    /// Sets the alarm of a node to what its engine promises.
    fn arm(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(due) = node
            .life
            .as_ref()
            .and_then(|life| life.engine.poll_timeout())
        else {
            node.armed = None;
            return;
        };
        if node.armed.is_some_and(|(armed, _)| armed == due) {
            return;
        }
        let mut at = node.clock.when(due).max(self.now);
        if at == node.last_wake {
            node.wakes += 1;
            if node.wakes > WAKES_AT_ONCE_MAX {
                self.busy = self.busy.or(Some(number));
                at += Duration::from_millis(1);
            }
        } else if at <= self.now {
            (node.last_wake, node.wakes) = (at, 0);
        }
        if !self.config.timer_slack.is_zero() && at > self.now {
            at += self.dice.between(Duration::ZERO, self.config.timer_slack);
        }
        node.versions += 1;
        node.armed = Some((due, node.versions));
        self.queue.push(
            at,
            Event::Wake {
                node: number,
                version: node.versions,
            },
        );
    }

    /// What the run began with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

/// Writes down what a process takes.
fn note<C>(trace: &mut Trace, now: Moment, process: Process, input: &Input<C>) {
    let node = process.node as u64;
    match input {
        Input::Net(In::Call { call, packet, .. }) => {
            trace.record(
                now,
                &[6, node, call.0, packet.kind()],
                packet.bytes(),
                || format!("{node} gets call {:x}: {packet:?}", call.0),
            );
        }
        Input::Net(input) => {
            trace.record(now, &[6, node], &[], || format!("{node} gets {input:?}"))
        }
        Input::Disk(tag, completion) => {
            trace.record(now, &[7, node, tag.0], &[], || {
                format!("{node} disk {:x} {completion:?}", tag.0)
            });
        }
        Input::Command(_) => trace.record(now, &[8, node], &[], || format!("{node} is commanded")),
        Input::Tick => trace.record(now, &[9, node], &[], || format!("{node} ticks")),
    }
}

/// Hears what a machine says in one call.
struct Ear<'a, S: Subject> {
    subject: &'a mut S,
    trace: &'a mut Trace,
    at: Moment,
    process: Process,
    follow: Vec<(Duration, S::Command)>,
}

impl<S: Subject> Events<S::Machine> for Ear<'_, S> {
    fn event(&mut self, event: <S::Machine as Machine>::Event<'_>) {
        let node = self.process.node;
        self.trace.record(self.at, &[10, node as u64], &[], || {
            format!("{node} tells {}", S::text(&event))
        });
        self.subject
            .event(self.at, self.process, event, &mut self.follow);
    }
}
