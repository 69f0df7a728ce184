//! Parties in a world: makes their engines, and writes down what they tell.

use std::time::Duration;

use trefoil_core::channels::client::{Client, ClientConfig, ClientEvent};
use trefoil_core::channels::coordinator::backoff::Backoff;
use trefoil_core::channels::coordinator::{CoordinatorConfig, CoordinatorEvent, Fencing};
use trefoil_core::channels::messages::ids;
use trefoil_core::channels::worker::{WorkerConfig, WorkerEvent};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::node::{Channels, ChannelsConfig, ChannelsEvent};
use trefoil_core::storage::OwnerId;

use super::coverage::{self, Coverage};
use super::faults::Act;
use super::order::{Order, Refused, Said};
use super::party::{Note, Party};
use super::plan::{Mode, Plan};
use super::plants::Bug;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::net::Process;
use crate::watch::{Broken, MachinePlant, Planted, Watched};
use crate::world::{Birth, Subject};

/// What each party runs: watched, with a bug in between or none.
pub type Watch = Watched<Planted<Party>>;

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A frame went by.
    Note(Note),
    /// A node serves a channel.
    Opened {
        /// Which.
        channel: usize,
        /// At which term.
        term: u64,
    },
    /// A node does not have a channel any more.
    Closed {
        /// Which.
        channel: usize,
        /// At which term.
        term: u64,
    },
    /// A node coordinates under a token.
    Serving(u64),
    /// A node cannot coordinate any more.
    Lost,
    /// A channel is stopped by an error.
    Stopped(String),
    /// A record is acknowledged.
    Produced {
        /// The producer.
        key: u64,
        /// Which of its records.
        sequence: u64,
        /// Its place in the log.
        place: u64,
    },
    /// A record is given up.
    Failed {
        /// The producer.
        key: u64,
        /// Which of its records.
        sequence: u64,
        /// It was not written, for certain.
        certain: bool,
    },
    /// A record is refused before it is taken.
    NotTaken(Vec<u8>),
    /// A record is delivered.
    Record {
        /// The consumer.
        key: u64,
        /// Its time tick.
        tick: u64,
        /// What it says.
        payload: Vec<u8>,
    },
    /// A client gave somebody or something up.
    Gone(String),
    /// A peer did what nobody may do.
    Misbehaved(&'static str),
    /// A process is gone.
    Died,
    /// The contract between a machine and its engine is broken.
    Contract(Broken),
}

/// What was seen, when, and of whom.
#[derive(Clone, Debug)]
pub struct Sight {
    /// When.
    pub at: Moment,
    /// Of whom.
    pub process: Process,
    /// What.
    pub seen: Seen,
}

/// See the module.
pub struct ChannelSubject {
    /// What was seen and not yet looked at.
    pub sights: Vec<Sight>,
    /// What was exercised.
    pub coverage: Coverage,
    plan: Plan,
    bug: Option<Bug>,
    dice: Dice,
}

/// The name of a channel.
#[must_use]
pub fn name_of(channel: usize) -> String {
    format!("c{channel}")
}

/// The channel of a name.
#[must_use]
pub fn channel_of(name: &str) -> Option<usize> {
    name.strip_prefix('c')?.parse().ok()
}

/// How the keys of channels begin in the catalog.
pub const ROOT: &str = "sim";

/// One attempt of a call.
pub const ATTEMPT: Duration = Duration::from_millis(400);

impl ChannelSubject {
    /// Parties of a plan, with a bug or none.
    #[must_use]
    pub fn new(plan: &Plan, bug: Option<Bug>, seed: u64) -> Self {
        Self {
            sights: Vec::new(),
            coverage: Coverage::default(),
            plan: plan.clone(),
            bug,
            dice: Dice::new(seed, "subject"),
        }
    }

    fn see(&mut self, at: Moment, process: Process, seen: Seen) {
        self.sights.push(Sight { at, process, seen });
    }

    fn coordinator(&self, boot: u64) -> CoordinatorConfig {
        let plan = &self.plan;
        CoordinatorConfig {
            dialect: plan.dialect,
            root: ROOT.into(),
            fencing: match plan.mode {
                Mode::Storm | Mode::Calm => Fencing::AtTheLog,
                // Twice the lease: news of a loss is late, and clocks differ.
                Mode::Leased => Fencing::None {
                    grace: plan.lease * 2,
                },
            },
            expected_nodes: plan.hosts as u32,
            first_wait: Duration::from_millis(600),
            attempt_timeout: ATTEMPT,
            backoff: Backoff {
                min: Duration::from_millis(10),
                max: Duration::from_millis(500),
            },
            remove_timeout: Duration::from_secs(if plan.mode == Mode::Calm { 3 } else { 1 }),
            doubt_max: Duration::from_secs(2),
            moves_max: plan.moves_max,
            move_interval: plan.move_interval,
            push_delay_max: Duration::from_millis(50),
            channels_max: 64,
            nodes_max: 64,
            watchers_max: 64,
            page_bytes: 300,
            seed: boot,
            ..CoordinatorConfig::default()
        }
    }

    fn worker(&self, boot: u64) -> WorkerConfig {
        WorkerConfig {
            dialect: self.plan.dialect,
            retention: self.plan.retention,
            proof_interval: self.plan.proof_interval,
            channels_max: 64,
            sessions_max: 128,
            calls_max: 128,
            appends_max: self.plan.appends_max,
            in_flight_max: 16,
            read_bytes_max: self.plan.read_bytes_max,
            close_timeout: Duration::from_millis(500),
            // The number is filled in.
            ..WorkerConfig::new(1, OwnerId(boot))
        }
    }

    fn host(&self, birth: &Birth<'_>) -> Party {
        let config = ChannelsConfig {
            coordinator: self.coordinator(birth.boot),
            worker: self.worker(birth.boot),
            ..ChannelsConfig::default()
        };
        let mut channels = match Channels::new(config, birth.name, birth.incarnation) {
            Ok(channels) => channels,
            Err(error) => unreachable!("the settings of the simulator hold: {error}"),
        };
        let (coordinator, worker) = channels.planting();
        match self.bug {
            Some(Bug::Coordinator(plant)) => coordinator.plant(plant),
            Some(Bug::Worker(plant)) => worker.plant(plant),
            Some(Bug::Client(_) | Bug::Store(_) | Bug::Machine(_)) | None => {}
        }
        Party::host(channels, birth.name)
    }

    fn client(&self, birth: &Birth<'_>) -> Party {
        let config = ClientConfig {
            dialect: self.plan.dialect,
            coordinators: self.plan.names[..self.plan.hosts].to_vec(),
            sessions_max: 64,
            records_max: 32,
            unacknowledged_records_max: self.plan.unacknowledged_max,
            watch_backoff_max: Duration::from_millis(500),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(500),
            answer_timeout: Duration::from_secs(1),
            superseded_timeout: Duration::from_millis(300),
            close_timeout: Duration::from_secs(1),
            seed: birth.boot,
            ..ClientConfig::default()
        };
        let mut client = match Client::new(config) {
            Ok(client) => client,
            Err(error) => unreachable!("the settings of the simulator hold: {error}"),
        };
        if let Some(Bug::Client(plant)) = self.bug {
            client.plant(plant);
        }
        Party::client(client)
    }

    fn of_worker(&mut self, at: Moment, process: Process, event: WorkerEvent<'_>) {
        let channel = |name: &str| channel_of(name).unwrap_or(usize::MAX);
        let seen = match event {
            WorkerEvent::ChannelOpened {
                channel: name,
                term,
            } => Seen::Opened {
                channel: channel(name),
                term,
            },
            WorkerEvent::ChannelClosed {
                channel: name,
                term,
                ..
            } => Seen::Closed {
                channel: channel(name),
                term,
            },
            WorkerEvent::ChannelFenced { .. } => return self.coverage.add("fenced", 1),
            WorkerEvent::ChannelUnreadable { channel, term } => {
                Seen::Gone(format!("{channel} is unreadable at {term}"))
            }
            WorkerEvent::ChannelTrimmed { .. } => return,
        };
        self.see(at, process, seen);
    }

    fn of_coordinator(&mut self, at: Moment, process: Process, event: CoordinatorEvent<'_>) {
        let seen = match event {
            CoordinatorEvent::Serving { token, .. } => Seen::Serving(token),
            CoordinatorEvent::Lost { .. } => Seen::Lost,
            CoordinatorEvent::Stopped { channel, why } => {
                Seen::Stopped(format!("{channel}: {why}"))
            }
            CoordinatorEvent::Damaged { key } => Seen::Gone(format!("{key:?} is damaged")),
            CoordinatorEvent::Assigned { .. } => return self.coverage.add("assignments", 1),
            CoordinatorEvent::Drained { .. } => return self.coverage.add("nodes drained", 1),
            CoordinatorEvent::Created { .. } | CoordinatorEvent::Unassigned { .. } => return,
        };
        self.see(at, process, seen);
    }

    fn of_client(
        &mut self,
        at: Moment,
        process: Process,
        event: ClientEvent<'_>,
        follow: &mut Vec<(Duration, Order)>,
    ) {
        let seen = match event {
            ClientEvent::Produced { key, sequence, id } => Seen::Produced {
                key,
                sequence,
                place: ids::sequence(self.plan.dialect, id).unwrap_or(u64::MAX),
            },
            ClientEvent::ProduceFailed {
                key,
                sequence,
                is_certain,
                ..
            } => Seen::Failed {
                key,
                sequence,
                certain: is_certain,
            },
            ClientEvent::Record {
                key,
                delivery,
                time_tick,
                payload,
                ..
            } => {
                // Some handle records one by one, some several at once and late.
                if delivery.is_multiple_of(3) || self.dice.coin() {
                    let takes = self.dice.tail(Duration::from_millis(10));
                    follow.push((takes, Order::Acknowledge(key, delivery)));
                }
                Seen::Record {
                    key,
                    tick: time_tick.unwrap_or(0),
                    payload: payload.to_vec(),
                }
            }
            ClientEvent::Closed { key, failure } => Seen::Gone(format!("{key}: {failure:?}")),
            ClientEvent::Misbehaved { why, .. } => Seen::Misbehaved(why),
            ClientEvent::Interrupted { .. } => return self.coverage.add("streams lost", 1),
            ClientEvent::Assignment { .. }
            | ClientEvent::Opened { .. }
            | ClientEvent::Room { .. }
            | ClientEvent::Stopped => return,
        };
        self.see(at, process, seen);
    }
}

impl Subject for ChannelSubject {
    type Machine = Watch;
    type Command = Order;
    type Act = Act;

    fn engine(&mut self, _: Moment, birth: &Birth<'_>) -> Engine<Watch> {
        let node = birth.process.node;
        let is_host = node < self.plan.hosts;
        let party = if is_host {
            self.host(birth)
        } else if node == self.plan.echo() {
            Party::echo()
        } else {
            self.client(birth)
        };
        let config = EngineConfig {
            incarnation: birth.incarnation,
            anonymous: !is_host,
            limits: Limits {
                streams_max: 256,
                nodes_max: 32,
                ..Limits::default()
            },
            links: LinkConfig {
                backoff_max: Duration::from_millis(250),
                dial_timeout: Duration::from_millis(800),
                ..LinkConfig::default()
            },
            ..EngineConfig::new(birth.name, "sim", birth.boot)
        };
        let between = if let Some(Bug::Machine(plant)) = self.bug {
            plant
        } else {
            MachinePlant::None
        };
        // Nobody is asked to answer within a time: producers and consumers stay.
        let watched = Watched::new(
            Planted::new(party, between),
            birth.boot,
            20_000,
            Duration::MAX,
        );
        match Engine::new(config, watched) {
            Ok(engine) => engine,
            Err(error) => unreachable!("the limits of the simulator hold: {error}"),
        }
    }

    fn lend(command: &Order) -> &Order {
        command
    }

    fn text(event: &Said<'_>) -> String {
        format!("{event:?}")
    }

    fn event(
        &mut self,
        at: Moment,
        process: Process,
        event: Said<'_>,
        follow: &mut Vec<(Duration, Order)>,
    ) {
        match event {
            Said::Channels(ChannelsEvent::Worker(event)) => self.of_worker(at, process, event),
            Said::Channels(ChannelsEvent::Coordinator(event)) => {
                self.of_coordinator(at, process, event);
            }
            Said::Client(event) => self.of_client(at, process, event, follow),
        }
    }

    fn refused(&mut self, at: Moment, process: Process, command: Order, _: Refused) {
        if let Order::Produce(_, payload) = command {
            self.see(at, process, Seen::NotTaken(payload));
        }
    }

    fn looked(&mut self, at: Moment, process: Process, engine: &mut Engine<Watch>) {
        for broken in engine.machine_mut().take_broken() {
            self.see(at, process, Seen::Contract(broken));
        }
        let party = engine.machine_mut().machine_mut().machine_mut();
        for note in party.take_notes() {
            self.see(at, process, Seen::Note(note));
        }
    }

    fn died(&mut self, at: Moment, process: Process, engine: &Engine<Watch>) {
        let party = engine.machine().machine().machine();
        self.coverage.merge(&coverage::of_party(party));
        self.see(at, process, Seen::Died);
    }
}
