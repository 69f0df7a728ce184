//! Rings in a world: makes their engines, runs their actors, and writes down what they tell.

use std::time::Duration;

use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::id::NodeId;
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::ring::actor::{Output, Ran, Stage};
use trefoil_core::ring::actors::{ActorsConfig, ActorsEvent};
use trefoil_core::ring::directory::{DirectoryConfig, DirectoryEvent};
use trefoil_core::ring::membership::{MembershipConfig, MembershipEvent, PartitionPolicy};
use trefoil_core::ring::node::{Ring, RingCommand, RingConfig, RingEvent, RingRefused};
use trefoil_core::ring::placement::{PlacementConfig, Structure};
use trefoil_core::status::Code;
use trefoil_core::storage::OwnerId;

use super::ask::Ask;
use super::counter::Counters;
use super::coverage::{self, Coverage};
use super::faults::Act;
use super::invariants::{Invariant, Verdict};
use super::plant::Bug;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::net::Process;
use crate::watch::{Broken, MachinePlant, Planted, Watched};
use crate::world::{Birth, Subject};

/// The machine of each node: a ring that is watched, with a bug in between or none.
pub type Watch = Watched<Planted<Ring>>;

/// Every accepted stream of a calm world is answered within this time.
pub const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often a directory asks one peer, in turn, for its ids.
pub const ANTI_ENTROPY: Duration = Duration::from_secs(1);

/// A call was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its number.
    pub call: u64,
    /// The encoded answer, or why there is none.
    pub result: Result<Vec<u8>, (Code, String)>,
}

/// A node's view changed.
#[derive(Clone, Copy, Debug)]
pub struct ViewNews {
    /// When.
    pub at: Moment,
    /// Whose view.
    pub node: usize,
    /// Who entered or left it.
    pub peer: usize,
    /// Whether it entered.
    pub up: bool,
}

/// What is drawn for the rings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host strings every node is given to find the others.
    pub contacts: Vec<String>,
    /// What the smaller side of a partition does.
    pub partition: PartitionPolicy,
    /// An actor nobody calls is let go after this time.
    pub idle_timeout: Duration,
}

struct Life {
    stage: Stage<Counters>,
    output: Output,
    /// Node by the number its process gave it.
    numbers: Vec<(NodeId, usize)>,
    /// Who is in its view, besides itself.
    view: Vec<usize>,
}

/// See the module.
pub struct RingSubject {
    /// Answers nobody has taken yet.
    pub answers: Vec<Answer>,
    /// Changes of views nobody has taken yet.
    pub news: Vec<ViewNews>,
    /// Nodes that have left, and are still to be stopped.
    pub left: Vec<usize>,
    /// What was broken.
    pub verdicts: Vec<Verdict>,
    /// What was exercised.
    pub coverage: Coverage,
    names: Vec<String>,
    settings: Settings,
    bug: Option<Bug>,
    lives: Vec<Option<Life>>,
    dice: Dice,
}

impl RingSubject {
    /// Rings of these names and settings, with a bug or none.
    #[must_use]
    pub fn new(names: &[String], settings: Settings, bug: Option<Bug>, seed: u64) -> Self {
        Self {
            answers: Vec::new(),
            news: Vec::new(),
            left: Vec::new(),
            verdicts: Vec::new(),
            coverage: Coverage::default(),
            names: names.to_vec(),
            settings,
            bug,
            lives: names.iter().map(|_| None).collect(),
            dice: Dice::new(seed, "subject"),
        }
    }

    /// Who is in the view of a node that lives, itself included, in order.
    #[must_use]
    pub fn view(&self, node: usize) -> Vec<usize> {
        let mut view: Vec<usize> = self.lives[node]
            .iter()
            .flat_map(|life| life.view.iter().copied())
            .collect();
        view.push(node);
        view.sort_unstable();
        view
    }

    /// The node of a host string.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    fn verdict(&mut self, at: Moment, invariant: Invariant, text: String) {
        self.verdicts.push(Verdict {
            at,
            invariant,
            text,
        });
    }

    fn members_changed(&mut self, at: Moment, node: usize, event: MembershipEvent<'_>) {
        let (number, host, up) = match event {
            MembershipEvent::Up { node, host, .. } => (node, Some(host), true),
            MembershipEvent::Down { node, .. } => (node, None, false),
            MembershipEvent::Misbehaved { .. } => return self.coverage.add("misbehaviour", 1),
            MembershipEvent::Majority(_)
            | MembershipEvent::Left
            | MembershipEvent::Suspected { .. }
            | MembershipEvent::Cleared { .. }
            | MembershipEvent::Draining { .. } => return,
        };
        let named = host.and_then(|host| self.node(host));
        let Some(life) = &mut self.lives[node] else {
            return;
        };
        if let Some(peer) = named
            && !life.numbers.contains(&(number, peer))
        {
            life.numbers.push((number, peer));
        }
        let Some(peer) = life
            .numbers
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(_, peer)| *peer)
        else {
            return;
        };
        life.view.retain(|known| *known != peer);
        if up {
            life.view.push(peer);
        }
        self.news.push(ViewNews { at, node, peer, up });
    }

    fn run_job(&mut self, node: usize, event: ActorsEvent<'_>, follow: &mut Vec<(Duration, Ask)>) {
        let ActorsEvent::Run { ticket, id, job } = event else {
            return;
        };
        let Some(life) = &mut self.lives[node] else {
            return;
        };
        let ran = Ran::from(life.stage.perform(id, job, &mut life.output));
        follow.push((
            self.dice.tail(Duration::from_micros(50)),
            Ask::Ran(ticket, ran),
        ));
    }
}

fn ring_config(birth: &Birth<'_>, settings: &Settings) -> RingConfig {
    let membership = MembershipConfig {
        host: birth.name.into(),
        incarnation: birth.incarnation,
        seeds: settings.contacts.clone(),
        partition: settings.partition,
        hosts_max: 32,
        candidates_max: 32,
        calls_max: 256,
        seed: birth.boot,
        ..MembershipConfig::lan()
    };
    let directory = DirectoryConfig {
        host: birth.name.into(),
        ids_max: 4_096,
        peers_max: 64,
        log_ids: 64,
        batch_ids: 32,
        disputed_max: 64,
        anti_entropy_interval: ANTI_ENTROPY,
        seed: birth.boot,
        ..DirectoryConfig::lan()
    };
    let actors = ActorsConfig {
        owner: OwnerId(birth.boot),
        seed: birth.boot,
        calls_max: 1_024,
        actors_max: 256,
        snapshot_records: 16,
        dedupe_ids: 1_024,
        idle_timeout: settings.idle_timeout,
        idle_snapshot_records: 4,
        ..ActorsConfig::default()
    };
    let placement = PlacementConfig {
        slots_log2: 8,
        hosts_max: 16,
        structure: Structure::Direct,
        weights: 0,
    };
    RingConfig {
        cluster: "sim".into(),
        membership,
        directory,
        actors,
        placement,
        weights: Vec::new(),
    }
}

impl Subject for RingSubject {
    type Machine = Watch;
    type Command = Ask;
    type Act = Act;

    fn engine(&mut self, _: Moment, birth: &Birth<'_>) -> Engine<Watch> {
        let node = birth.process.node;
        self.lives[node] = Some(Life {
            stage: Stage::new(Counters, birth.boot),
            output: Output::default(),
            numbers: Vec::new(),
            view: Vec::new(),
        });
        let mut ring = match Ring::new(ring_config(birth, &self.settings)) {
            Ok(ring) => ring,
            Err(error) => unreachable!("the settings of the simulator hold: {error}"),
        };
        let (membership, directory, actors) = ring.planting();
        let mut between = MachinePlant::None;
        match self.bug {
            Some(Bug::Machine(plant)) => between = plant,
            Some(Bug::Actors(plant)) => actors.plant(plant),
            Some(Bug::Directory(plant)) => directory.plant(Some(plant)),
            Some(Bug::Membership(plant)) => membership.plant(plant),
            Some(Bug::Store(_)) | None => {}
        }
        let config = EngineConfig {
            node: birth.name.into(),
            boot: birth.boot,
            incarnation: birth.incarnation,
            cluster: "sim".into(),
            placement: ring.directory().placement().fingerprint(),
            store: 1,
            electorate: 0,
            features: 0,
            anonymous: false,
            token: None,
            certified: false,
            limits: Limits {
                streams_max: 1_024,
                nodes_max: 32,
                ..Limits::default()
            },
            links: LinkConfig::default(),
            seed: birth.boot,
        };
        let watched = Watched::new(Planted::new(ring, between), birth.boot, 20_000, PATIENCE);
        match Engine::new(config, watched) {
            Ok(engine) => engine,
            Err(error) => unreachable!("the limits of the simulator hold: {error}"),
        }
    }

    fn lend(command: &Ask) -> RingCommand<'_> {
        command.lend()
    }

    fn text(event: &RingEvent<'_>) -> String {
        format!("{event:?}")
    }

    fn event(
        &mut self,
        at: Moment,
        process: Process,
        event: RingEvent<'_>,
        follow: &mut Vec<(Duration, Ask)>,
    ) {
        match event {
            RingEvent::Membership(event) => self.members_changed(at, process.node, event),
            RingEvent::Directory(event) => match event {
                DirectoryEvent::Lost { .. } => self.coverage.add("ids lost to a winner", 1),
                DirectoryEvent::Misbehaved { .. } => self.coverage.add("misbehaviour", 1),
                DirectoryEvent::Changed { .. }
                | DirectoryEvent::Kept { .. }
                | DirectoryEvent::Ready(_)
                | DirectoryEvent::Candidate { .. } => {}
            },
            RingEvent::Actors(ActorsEvent::Answer { call, result }) => {
                let result = result
                    .map(<[u8]>::to_vec)
                    .map_err(|status| (status.code, status.message.to_owned()));
                self.answers.push(Answer { call, result });
            }
            RingEvent::Actors(event) => self.run_job(process.node, event, follow),
            RingEvent::Left => self.left.push(process.node),
        }
    }

    fn refused(&mut self, _: Moment, _: Process, command: Ask, why: RingRefused) {
        if let Ask::Apply { call, .. } | Ask::Get { call, .. } = command {
            self.answers.push(Answer {
                call,
                result: Err((Code::ResourceExhausted, format!("{why:?}"))),
            });
        }
    }

    fn looked(&mut self, at: Moment, process: Process, engine: &mut Engine<Watch>) {
        for broken in engine.machine_mut().take_broken() {
            let invariant = match broken {
                Broken::EndedTwice(..)
                | Broken::HeardAfterEnd(_)
                | Broken::Unanswered(..)
                | Broken::Ignored(..) => Invariant::Streams,
                Broken::TimeStoodStill(_) | Broken::ActedEarly(_) => Invariant::Timers,
            };
            self.verdict(
                at,
                invariant,
                format!("{}: {broken:?}", self.names[process.node]),
            );
        }
    }

    fn died(&mut self, _: Moment, process: Process, engine: &Engine<Watch>) {
        self.coverage
            .merge(&coverage::of_ring(engine.machine().machine().machine()));
        self.lives[process.node] = None;
    }
}
