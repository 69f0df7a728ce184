//! Every id has one owner in all views, and one that lives, soon after the views are equal.
//!
//! The bound, from the moment all views are right and stay so:
//! `2 RTT + (n - 1) * anti-entropy interval + fetch patience + 1 s`.
//! A directory asks one peer in turn, so a lost announcement is noticed after one turn of all peers
//! at the latest; a list of ids that does not come is waited for as long as the patience; the second
//! is for the retries of announcements that were refused. After the bound, while clients go on
//! writing, an owner still changes when an actor nobody calls is let go and called again; no
//! disagreement may last longer than [`CHANGE`] then.
//!
//! Planted against it: `no-tie-break`, `no-anti-entropy`, `dead-claims`.

use std::time::Duration;

use trefoil_core::id::NodeId;
use trefoil_core::ring::directory::DirectoryConfig;
use trefoil_core::ring::ownership::{Ownership, Route};

use crate::ring::subject::{ANTI_ENTROPY, RingSubject};
use crate::world::World;

/// How long the views may differ over one change of an owner in a calm world.
pub const CHANGE: Duration = Duration::from_secs(1);

/// How long it may take, from when the views are right.
#[must_use]
pub fn bound(world: &World<RingSubject>) -> Duration {
    let config = &world.net.paths.config;
    let round_trip = (config.latency_min + config.latency_jitter * 4) * 2;
    let turns = world.nodes().len() as u32 - 1;
    round_trip * 2
        + ANTI_ENTROPY * turns
        + DirectoryConfig::lan().fetch_patience
        + Duration::from_secs(1)
}

/// What the first id is about whose owner is not the same in all views.
#[must_use]
pub fn disagreement(world: &World<RingSubject>, ids: &[u64]) -> Option<String> {
    let living: Vec<usize> = (0..world.nodes().len())
        .filter(|node| world.nodes()[*node].lives())
        .collect();
    ids.iter().find_map(|id| {
        let owners: Vec<String> = living.iter().map(|node| owner(world, *node, *id)).collect();
        let agreed = owners.windows(2).all(|pair| pair[0] == pair[1]);
        let lives = owners
            .first()
            .and_then(|owner| world.subject.node(owner))
            .is_some_and(|node| living.contains(&node));
        (!agreed || !lives)
            .then(|| format!("{id:016x} is owned by {owners:?} as seen from {living:?}"))
    })
}

fn owner(world: &World<RingSubject>, node: usize, id: u64) -> String {
    let Some(engine) = world.engine(node) else {
        return String::new();
    };
    let ring = engine.machine().machine().machine();
    match ring.directory().resolve(id) {
        Route::Local | Route::Vacant => engine.name(NodeId(0)).to_owned(),
        Route::Remote(owner) => engine.name(owner).to_owned(),
        Route::NotReady => "not ready".to_owned(),
        Route::NoMajority => "no majority".to_owned(),
    }
}
