//! Walks through all states, breadth first, so that what is found is found on a shortest way.

use std::hash::BuildHasherDefault;
use std::time::{Duration, Instant};

use hashbrown::HashSet;
use trefoil_core::hash::IdHasher;

use super::state::{Broken, Event, State, World};

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
    /// The most terms that were opened of all channels together.
    pub openings: u32,
    /// What does not hold, and the shortest way to it.
    pub broken: Option<(Broken, Vec<Event>)>,
    /// Real time it took. For reports alone.
    pub took: Duration,
}

/// Explores a world until there is no more, `states_max` is reached, or something does not hold.
///
/// States are told apart by 64 bits of hash: two of 2^24 states are taken for one with a chance below 2^-16.
#[must_use]
pub fn explore(world: &World, states_max: u64) -> Found {
    let began = Instant::now();
    let start = State::start(world);
    let mut seen: HashSet<u64, BuildHasherDefault<IdHasher>> = HashSet::default();
    seen.insert(start.fingerprint());
    let mut found = Found {
        states: 1,
        transitions: 0,
        exhausted: true,
        depth: 0,
        openings: 0,
        broken: None,
        took: Duration::ZERO,
    };
    // How each state was reached: from which, by what.
    let mut steps: Vec<(u32, Event)> = vec![(0, Event::Lead)];
    let (mut open, mut next, mut events) = (vec![(0_u32, start)], Vec::new(), Vec::new());
    while !open.is_empty() && found.exhausted && found.broken.is_none() {
        for (number, state) in open.drain(..) {
            state.events(world, &mut events);
            for event in &events {
                let mut after = state.clone();
                match after.follow(*event, world) {
                    Ok(false) => {}
                    Ok(true) => {
                        found.transitions += 1;
                        if seen.insert(after.fingerprint()) {
                            steps.push((number, *event));
                            let openings: usize = after.opened.iter().map(Vec::len).sum();
                            found.openings = found.openings.max(openings as u32);
                            next.push((found.states as u32, after));
                            found.states += 1;
                        }
                    }
                    Err(broken) if found.broken.is_none() => {
                        found.broken = Some((broken, way(&steps, number, *event)));
                    }
                    Err(_) => {}
                }
            }
            if found.states >= states_max {
                found.exhausted = false;
            }
            if !found.exhausted || found.broken.is_some() {
                break;
            }
        }
        std::mem::swap(&mut open, &mut next);
        next.clear();
        found.depth += 1;
    }
    found.exhausted &= found.broken.is_none();
    found.took = began.elapsed();
    found
}

fn way(steps: &[(u32, Event)], mut number: u32, last: Event) -> Vec<Event> {
    let mut way = vec![last];
    while number != 0 {
        let (before, event) = steps[number as usize];
        way.push(event);
        number = before;
    }
    way.reverse();
    way
}
