//! Walks through all states, breadth first, so that what is found is found on a shortest way.

use std::hash::BuildHasherDefault;
use std::time::Duration;

use hashbrown::HashSet;
use trefoil_core::hash::IdHasher;

use super::judge::Broken;
use super::state::State;
use super::table::{Code, Table};
use super::voter::Event;
use super::world::World;

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Different states.
    pub states: u64,
    /// Ways from one to another.
    pub transitions: u64,
    /// Whether there were no more.
    pub exhausted: bool,
    /// Longest way that was walked.
    pub depth: u32,
    /// What does not hold, and the shortest way to it.
    pub broken: Option<(Broken, Vec<Event>)>,
    /// The most leaderships of one way.
    pub leaderships: u8,
    /// Whether a leadership began by a hand-over.
    pub handed: bool,
    /// Real time it took, on one thread. For reports alone.
    pub took: Duration,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            states: 0,
            transitions: 0,
            exhausted: true,
            depth: 0,
            broken: None,
            leaderships: 0,
            handed: false,
            took: Duration::ZERO,
        }
    }
}

impl Found {
    /// Adds what was found in another world.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.transitions += other.transitions;
        self.exhausted &= other.exhausted;
        self.depth = self.depth.max(other.depth);
        self.leaderships = self.leaderships.max(other.leaderships);
        self.handed |= other.handed;
        self.took += other.took;
        let length = |broken: &Option<(Broken, Vec<Event>)>| {
            broken.as_ref().map_or(usize::MAX, |(_, way)| way.len())
        };
        if length(&other.broken) < length(&self.broken) {
            self.broken = other.broken;
        }
    }
}

/// How each state was reached: from which, by what.
type Steps = Vec<(u32, Code)>;

/// Explores `world` until there is no more, `states_max` is reached, or something does not hold.
///
/// States are told apart by 64 bits of hash: two of 2^24 states are taken for one with a chance below
/// 2^-16. Memory for each state: 17 bytes, and about 60 while it is of the last two depths.
#[must_use]
pub fn explore(world: &World, states_max: u64) -> Found {
    let began = std::time::Instant::now();
    let mut table = Table::new(world);
    let mut walk = Walk::default();
    let start = State::start(&mut table);
    walk.found.states = 1;
    walk.seen.insert(start.hash());
    walk.steps.push((0, Code::tick()));
    start.pack(&mut walk.next);
    if let Err((broken, step)) = walk.all(&mut table, start, states_max) {
        walk.found.exhausted = false;
        walk.found.broken = Some((broken, path(&table, &walk.steps, step)));
    }
    walk.found.took = began.elapsed();
    walk.found
}

#[derive(Default)]
struct Walk {
    seen: HashSet<u64, BuildHasherDefault<IdHasher>>,
    steps: Steps,
    /// The states of the depth that comes next.
    next: Vec<u16>,
    found: Found,
}

impl Walk {
    /// Walks through everything. `state` is any state of the world.
    fn all(
        &mut self,
        table: &mut Table<'_>,
        mut state: State,
        states_max: u64,
    ) -> Result<(), (Broken, (u32, Code))> {
        let (mut after, mut events) = (State::default(), Vec::new());
        let (mut open, mut at, mut number) = (Vec::new(), 0, 0);
        loop {
            if at == open.len() {
                open.clear();
                std::mem::swap(&mut open, &mut self.next);
                at = 0;
                if open.is_empty() {
                    return Ok(());
                }
                self.found.depth += u32::from(number > 0);
            }
            at += state.unpack(&open[at..]);
            state.events(table, &mut events);
            for code in &events {
                let step = (number, *code);
                match after.follow(&state, table, *code) {
                    Ok(true) => self.reached(&after, step),
                    Ok(false) => {}
                    Err(broken) => return Err((broken, step)),
                }
            }
            number += 1;
            if self.found.states >= states_max {
                self.found.exhausted = false;
                return Ok(());
            }
        }
    }

    fn reached(&mut self, state: &State, step: (u32, Code)) {
        let found = &mut self.found;
        found.transitions += 1;
        if self.seen.insert(state.hash()) {
            found.leaderships = found.leaderships.max(state.leaderships);
            found.handed |= state.handed;
            found.states += 1;
            self.steps.push(step);
            state.pack(&mut self.next);
        }
    }
}

fn path(table: &Table<'_>, steps: &Steps, last: (u32, Code)) -> Vec<Event> {
    let (mut at, code) = last;
    let mut way = vec![table.event(code)];
    while at != 0 {
        let (before, code) = steps[at as usize];
        way.push(table.event(code));
        at = before;
    }
    way.reverse();
    way
}
