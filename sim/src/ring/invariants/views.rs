//! Views are right within 30 s of the end of all faults: every node that lives has every other node
//! that lives in its view, and nobody else.

use std::time::Duration;

use crate::ring::subject::RingSubject;
use crate::world::World;

/// How long it may take, from the end of all faults.
pub const BOUND: Duration = Duration::from_secs(30);

/// What is wrong with the first view that is.
#[must_use]
pub fn wrong(world: &World<RingSubject>) -> Option<String> {
    let living: Vec<usize> = (0..world.nodes().len())
        .filter(|node| world.nodes()[*node].lives())
        .collect();
    living.iter().find_map(|node| {
        let view = world.subject.view(*node);
        (view != living).then(|| format!("node {node} sees {view:?} of {living:?}"))
    })
}
