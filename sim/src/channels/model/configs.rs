//! The worlds that are explored: those in which everything must hold, and the controls: the same with one rule
//! broken, in which something must be found, or the checker proves nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use trefoil_core::channels::coordinator::ledger::LedgerPlant;

use super::explore::{Found, explore};
use super::state::{Broken, Plant, World};

/// A world, and what must be found in it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// What it is like.
    pub world: World,
    /// What must be found; nothing, if everything must hold.
    pub finds: Option<Broken>,
    /// So many terms at least must be opened on one way, or nothing was looked at.
    pub openings: u32,
    /// It takes minutes.
    pub heavy: bool,
}

const CALM: World = World {
    channels: 1,
    moves: 2,
    leaders: 1,
    crashes: 0,
    unknowns: 0,
    lies: 0,
    late: 0,
    leases: false,
    plant: None,
};

const fn holds(name: &'static str, world: World, openings: u32) -> Config {
    Config {
        name,
        world,
        finds: None,
        openings,
        heavy: false,
    }
}

const fn control(name: &'static str, world: World, plant: Plant, finds: Broken) -> Config {
    Config {
        name,
        world: World {
            plant: Some(plant),
            ..world
        },
        finds: Some(finds),
        openings: 0,
        heavy: false,
    }
}

/// One channel under everything that can go wrong.
const ALL: World = World {
    leaders: 2,
    crashes: 1,
    unknowns: 1,
    lies: 1,
    late: 1,
    ..CALM
};

/// One channel, a crash, a change of the coordinator, and a store whose outcomes are not all heard.
const CRASH: World = World {
    leaders: 2,
    crashes: 1,
    unknowns: 1,
    ..CALM
};

/// One channel, and a zombie: a node that is taken for gone and lives, and an append that wakes late.
const ZOMBIE: World = World {
    leaders: 2,
    lies: 1,
    late: 1,
    ..CALM
};

/// Two channels, a crash, and a change of the coordinator.
const TWO: World = World {
    channels: 2,
    leaders: 2,
    crashes: 1,
    ..CALM
};

/// One channel where nothing fences.
const LEASES: World = World {
    crashes: 1,
    lies: 1,
    leases: true,
    ..CALM
};

/// One channel where nothing fences, that two coordinators give back and forth.
const LEASES_MOVES: World = World {
    moves: 4,
    leaders: 2,
    leases: true,
    ..CALM
};

/// All of them.
#[must_use]
pub fn all() -> Vec<Config> {
    let noisy = World {
        unknowns: 1,
        late: 1,
        ..CALM
    };
    vec![
        holds("calm", CALM, 2),
        holds(
            "calm-unknowns",
            World {
                unknowns: 2,
                late: 1,
                ..CALM
            },
            2,
        ),
        holds("crash", CRASH, 2),
        holds("zombie", ZOMBIE, 2),
        holds("two-channels", TWO, 2),
        holds("leases", LEASES, 2),
        holds(
            "leases-two-leaders",
            World {
                leaders: 2,
                ..LEASES
            },
            2,
        ),
        holds(
            "two-channels-zombie",
            World {
                crashes: 0,
                lies: 1,
                late: 1,
                ..TWO
            },
            2,
        ),
        holds("leases-four-moves", LEASES_MOVES, 4),
        Config {
            heavy: true,
            ..holds("all", ALL, 2)
        },
        Config {
            heavy: true,
            ..holds("three-moves", World { moves: 3, ..CRASH }, 3)
        },
        control(
            "no-fence",
            World {
                late: 1,
                lies: 1,
                ..CALM
            },
            Plant::NoFence,
            Broken::OldTerm,
        ),
        control(
            "two-mint",
            World { leaders: 2, ..CALM },
            Plant::Ledger(LedgerPlant::ActBeforeWritten),
            Broken::NotGranted,
        ),
        control(
            "blind-writes",
            World {
                leaders: 2,
                moves: 2,
                ..CALM
            },
            Plant::BlindWrites,
            Broken::TwoGranted,
        ),
        control(
            "timeout-burns-term",
            CALM,
            Plant::TimeoutBurnsTerm,
            Broken::Burnt,
        ),
        control(
            "gone-is-removed",
            LEASES,
            Plant::GoneIsRemoved,
            Broken::TwoOpen,
        ),
        control(
            "assign-first",
            LEASES,
            Plant::Ledger(LedgerPlant::AssignFirst),
            Broken::TwoOpen,
        ),
        control(
            "forgets-removals",
            LEASES,
            Plant::ForgetsRemovals,
            Broken::TwoOpen,
        ),
        control(
            "stale-is-removed",
            LEASES_MOVES,
            Plant::StaleIsRemoved,
            Broken::TwoOpen,
        ),
        control(
            "unknown-is-lost",
            noisy,
            Plant::UnknownIsLost,
            Broken::Twice,
        ),
    ]
}

impl Config {
    /// Whether what was found is as it should be.
    #[must_use]
    pub fn is_fine(&self, found: &Found) -> bool {
        match (self.finds, &found.broken) {
            (Some(finds), Some((broken, _))) => finds == *broken,
            (None, None) => found.exhausted && found.openings >= self.openings,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Explores all configurations, each up to `states_max`, and tells `done` of each as it ends.
pub fn run(
    configs: &[Config],
    threads: usize,
    states_max: u64,
    mut done: impl FnMut(&Config, &Found),
) {
    let next = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while let Some(config) = configs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if tell
                        .send((config, explore(&config.world, states_max)))
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (config, found) in told {
            done(config, &found);
        }
    });
}
