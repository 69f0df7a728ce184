//! Every accepted stream ends exactly once.
//!
//! [`Watched`](crate::watch::Watched) sees each stream between the engine and the machine: no stream
//! is ended twice by its machine, none is heard of after its end, none is ignored. When the world is
//! calm, each is answered within [`PATIENCE`](crate::ring::subject::PATIENCE), before its caller
//! gives up.
//!
//! Planted against it: `forgotten-stream`, `double-end`.

use super::{Invariant, Verdict};
use crate::ring::subject::RingSubject;
use crate::world::World;

/// From now on every accepted stream must be answered in time.
pub fn be_strict(world: &mut World<RingSubject>) {
    for node in 0..world.nodes().len() {
        let now = world.clock(node);
        if let Some(engine) = world.engine_mut(node) {
            engine.machine_mut().be_strict(now);
        }
    }
}

/// Streams that nobody has answered when a run is over.
pub fn overdue(world: &World<RingSubject>, verdicts: &mut Vec<Verdict>) {
    for node in 0..world.nodes().len() {
        let Some(engine) = world.engine(node) else {
            continue;
        };
        for broken in engine.machine().overdue(world.clock(node)) {
            let text = format!(
                "{}: {broken:?} when all is over",
                world.nodes()[node].name()
            );
            verdicts.push(Verdict {
                at: world.now(),
                invariant: Invariant::Streams,
                text,
            });
        }
    }
}
