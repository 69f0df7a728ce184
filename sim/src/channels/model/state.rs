//! A state of the world, and what can happen in it.

use std::hash::{DefaultHasher, Hash, Hasher};

use trefoil_core::channels::coordinator::ledger::{Ledger, LedgerPlant, Owed};
use trefoil_core::channels::coordinator::meta::{Incarnation, Meta};
use trefoil_core::channels::worker::lifetime::{Lifetime, Phase};

use super::log::Log;

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A record of an old term stands behind one of a newer.
    OldTerm,
    /// A message that was sent once is in the log twice.
    Twice,
    /// A term was opened by two.
    TwoOpened,
    /// The catalog gives a term to two.
    TwoGranted,
    /// A call names a term that the catalog did not give to that node.
    NotGranted,
    /// A node has a new term though it could have kept the one it had.
    Burnt,
    /// Two that live have the channel open, or have not closed it.
    TwoOpen,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// In the ledger.
    Ledger(LedgerPlant),
    /// The log takes appends of any term.
    NoFence,
    /// An attempt that times out is followed by a new term.
    TimeoutBurnsTerm,
    /// The removal of a node that is gone from the membership counts as done.
    GoneIsRemoved,
    /// What has no outcome is taken for not written.
    UnknownIsLost,
    /// A removal of what is not there is forgotten.
    ForgetsRemovals,
    /// A removal of less than what is wanted is said to be done, whatever still goes on.
    StaleIsRemoved,
    /// The catalog takes writes of any leader, against any revision.
    BlindWrites,
}

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Channels.
    pub channels: u8,
    /// Channels that are given to a node, or to another, as often together.
    pub moves: u8,
    /// Leaderships.
    pub leaders: u8,
    /// Crashes of nodes.
    pub crashes: u8,
    /// Outcomes of the store that nobody hears.
    pub unknowns: u8,
    /// Nodes that are taken for gone and live.
    pub lies: u8,
    /// Appends that are done late.
    pub late: u8,
    /// Whether nothing fences, and leases are relied on: a node that is gone ends.
    pub leases: bool,
    /// The rule that is broken.
    pub plant: Option<Plant>,
}

impl World {
    pub(super) fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }
}

/// Nodes.
pub const NODES: u8 = 2;
/// No term above this is looked at.
pub const TERM_MAX: i64 = 6;

/// How far a coordinator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It has not begun.
    StandBy,
    /// It reads the channel of this number next.
    Reading(u8),
    /// It acts.
    Serving,
    /// It was overtaken, and knows.
    Over,
}

/// A coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    /// How far it is.
    pub standing: Standing,
    /// Its channels.
    pub ledgers: Vec<Ledger>,
    /// Numbers of starts that it takes for gone.
    pub gone: Vec<i64>,
}

impl Leader {
    /// Whether a start has one of its channels, or had it. Of no other is it of any interest whether it is gone.
    fn speaks_of(&self, id: i64) -> bool {
        self.ledgers.iter().any(|ledger| {
            let meta = ledger.meta();
            let mut histories = meta.histories.iter();
            let is_owner = meta.node.as_ref().is_some_and(|node| node.server_id == id);
            is_owner || histories.any(|history| history.node.server_id == id)
        })
    }
}

/// What the owner of a channel knows of the one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Knows {
    /// It is not in the log.
    #[default]
    Absent,
    /// It is.
    There,
    /// The outcome of its append is not known.
    Unknown,
}

/// A channel on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seat {
    /// What the node was told, and how far it is.
    pub life: Lifetime,
    /// While it opens: the fence is raised.
    pub raised: bool,
    /// What it knows of the message.
    pub knows: Knows,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The number of its present start, or of its last.
    pub id: i64,
    /// Whether it lives.
    pub lives: bool,
    /// By channel.
    pub seats: Vec<Seat>,
}

/// A call that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Which start of which node.
    pub to: i64,
    /// About which channel.
    pub channel: u8,
    /// At which term.
    pub term: i64,
    /// Whether it takes the channel.
    pub removal: bool,
}

/// What becomes of an operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or refused, and heard.
    Heard,
    /// It is done, and that is not heard.
    DoneUnheard,
    /// It is not done, and that is not heard.
    LostUnheard,
    /// It is done later, when its process may be gone.
    Late,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The second coordinator is elected.
    Lead,
    /// A coordinator reads the next channel, or looks at its fence behind the last.
    Read(u8),
    /// A coordinator gives a channel to a node.
    Give(u8, u8, u8),
    /// A coordinator writes what it proposes.
    Write(u8, u8, Outcome),
    /// A coordinator reads a channel again.
    Reread(u8, u8),
    /// A coordinator makes the call that is owed.
    Send(u8, u8),
    /// A coordinator hears the answer to the call that is owed.
    Hear(u8, u8),
    /// A coordinator does not hear it in time.
    Timeout(u8, u8),
    /// A coordinator skips the removal that is owed.
    Skip(u8, u8),
    /// A coordinator takes a start for gone.
    Gone(u8, i64),
    /// A call arrives.
    Deliver(Call),
    /// A node raises the fence of a log.
    Raise(u8, u8),
    /// A node appends the first record of its term.
    Open(u8, u8),
    /// A node appends the message.
    Append(u8, u8, Outcome),
    /// Nothing of a term that is closing is left.
    Close(u8, u8),
    /// A node looks what the log holds.
    Look(u8, u8),
    /// A late append is done.
    Wake(u8),
    /// A node dies.
    Crash(u8),
    /// A node that died is back.
    Restart(u8),
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What the catalog has, and its revisions.
    pub catalog: Vec<(Meta, u64)>,
    /// The fence of the catalog.
    pub fence: u8,
    /// The coordinators, in the order of their tokens.
    pub leaders: Vec<Leader>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The logs.
    pub logs: Vec<Log>,
    /// All calls that were ever made.
    pub calls: Vec<Call>,
    /// Appends that are still to be done: owner, channel, term.
    pub late: Vec<(i64, u8, u64)>,
    /// By channel: who opened which term.
    pub opened: Vec<Vec<(i64, i64)>>,
    /// By channel: to whom each term was given.
    pub granted: Vec<Vec<(i64, i64)>>,
    /// What is left of the world's moves, crashes, unknowns, lies and late appends.
    pub left: [u8; 5],
}

/// The number of a start of a node.
pub(super) const fn start_of(node: u8, life: i64) -> i64 {
    (node as i64 + 1) * 10 + life
}

/// The node of a number.
pub(super) const fn node_of(id: i64) -> usize {
    (id / 10 - 1) as usize
}

pub(super) fn incarnation(id: i64) -> Incarnation {
    Incarnation::new(id, if node_of(id) == 0 { "a" } else { "b" })
}

impl State {
    /// Where a world begins: its channels are created, and the first coordinator serves.
    #[must_use]
    pub fn start(world: &World) -> Self {
        let channels = usize::from(world.channels);
        let ledger = || {
            let mut ledger = Ledger::of(Meta::new(), 1);
            if let Some(Plant::Ledger(plant)) = world.plant {
                ledger.plant(plant);
            }
            ledger
        };
        let leader = |first: bool| Leader {
            standing: if first {
                Standing::Serving
            } else {
                Standing::StandBy
            },
            ledgers: (0..if first { channels } else { 0 })
                .map(|_| ledger())
                .collect(),
            gone: Vec::new(),
        };
        Self {
            catalog: vec![(Meta::new(), 1); channels],
            fence: 0,
            leaders: (0..world.leaders).map(|at| leader(at == 0)).collect(),
            nodes: (0..NODES)
                .map(|node| Node {
                    id: start_of(node, 0),
                    lives: true,
                    seats: vec![Seat::default(); channels],
                })
                .collect(),
            logs: vec![Log::default(); channels],
            calls: Vec::new(),
            late: Vec::new(),
            opened: vec![Vec::new(); channels],
            granted: vec![Vec::new(); channels],
            left: [
                world.moves,
                world.crashes,
                world.unknowns,
                world.lies,
                world.late,
            ],
        }
    }

    /// By what it is told apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// All that can happen next.
    pub fn events(&self, world: &World, into: &mut Vec<Event>) {
        into.clear();
        for at in 0..self.leaders.len() as u8 {
            self.leader_events(at, world, into);
        }
        for call in &self.calls {
            let node = &self.nodes[node_of(call.to)];
            if node.lives && node.id == call.to {
                into.push(Event::Deliver(*call));
            }
        }
        for at in 0..NODES {
            self.node_events(at, world, into);
        }
        into.extend((0..self.late.len() as u8).map(Event::Wake));
    }

    fn outcomes(&self) -> &'static [Outcome] {
        if self.left[2] > 0 {
            &[Outcome::Heard, Outcome::DoneUnheard, Outcome::LostUnheard]
        } else {
            &[Outcome::Heard]
        }
    }

    fn leader_events(&self, at: u8, world: &World, into: &mut Vec<Event>) {
        let leader = &self.leaders[usize::from(at)];
        match leader.standing {
            Standing::StandBy => return into.push(Event::Lead),
            Standing::Reading(_) => return into.push(Event::Read(at)),
            Standing::Over => return,
            Standing::Serving => {}
        }
        for channel in 0..world.channels {
            let ledger = &leader.ledgers[usize::from(channel)];
            if self.left[0] > 0 && ledger.meta().term < TERM_MAX {
                into.extend((0..NODES).map(|node| Event::Give(at, channel, node)));
            }
            match ledger.owed() {
                Owed::Nothing => {}
                Owed::Read => into.push(Event::Reread(at, channel)),
                Owed::Write => {
                    let outcomes = self.outcomes().iter();
                    into.extend(outcomes.map(|outcome| Event::Write(at, channel, *outcome)));
                }
                Owed::Remove(_) => {
                    into.push(Event::Send(at, channel));
                    into.push(Event::Hear(at, channel));
                    into.push(Event::Skip(at, channel));
                }
                Owed::Assign { .. } => {
                    into.push(Event::Send(at, channel));
                    into.push(Event::Hear(at, channel));
                    if world.has(Plant::TimeoutBurnsTerm) {
                        into.push(Event::Timeout(at, channel));
                    }
                }
            }
        }
        for node in &self.nodes {
            // What is true may be heard at any time; what is not, as often as the world has lies.
            let earlier = (node_of(node.id) as i64 + 1) * 10..node.id;
            for id in earlier.chain([node.id]) {
                let is_true = id != node.id || !node.lives;
                let is_news = leader.speaks_of(id) && !leader.gone.contains(&id);
                if is_news && (is_true || self.left[3] > 0) {
                    into.push(Event::Gone(at, id));
                }
            }
        }
    }

    fn node_events(&self, at: u8, world: &World, into: &mut Vec<Event>) {
        let node = &self.nodes[usize::from(at)];
        if !node.lives {
            return into.push(Event::Restart(at));
        }
        let is_gone = |leader: &Leader| leader.gone.contains(&node.id);
        // Where leases are relied on, a node that is gone ends, sooner or later.
        if self.left[1] > 0 || (world.leases && self.leaders.iter().any(is_gone)) {
            into.push(Event::Crash(at));
        }
        for channel in 0..world.channels {
            let seat = &node.seats[usize::from(channel)];
            match seat.life.phase() {
                Phase::Opening(_) if seat.raised => into.push(Event::Open(at, channel)),
                Phase::Opening(_) => into.push(Event::Raise(at, channel)),
                Phase::Open(_) if seat.knows == Knows::Absent => {
                    let outcomes = self.outcomes().iter();
                    into.extend(outcomes.map(|outcome| Event::Append(at, channel, *outcome)));
                    if self.left[4] > 0 {
                        into.push(Event::Append(at, channel, Outcome::Late));
                    }
                }
                Phase::Open(_) if seat.knows == Knows::Unknown => {
                    into.push(Event::Look(at, channel));
                }
                Phase::Closing(_) => into.push(Event::Close(at, channel)),
                Phase::Open(_) | Phase::Closed => {}
            }
        }
    }
}
