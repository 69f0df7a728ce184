//! The bugs that can be planted, by name.

use std::time::Duration;

use trefoil_core::election::ElectionPlant;
use trefoil_core::election::elector::Plant as ElectorPlant;

use super::invariants::Invariant;
use super::regime::Regime;

/// Where a bug is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// In the machine.
    Election(ElectionPlant),
    /// In the driver: it reads the clock, waits for a frame, and hands over both.
    StaleNow,
    /// In the process: who is stopped closes its listener first and steps down then.
    ListenerFirst,
    /// In the operation: the voters become five from three in one step, and nobody minds.
    Electorate,
}

/// A bug, and what must see it.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub bug: Bug,
    /// What is broken by it, and alone looked for.
    pub breaks: Invariant,
    /// Seeds within which that is seen.
    pub seeds: u64,
    /// Makes a world one in which the bug matters.
    pub world: fn(&mut Regime),
}

const fn plant(name: &'static str, bug: Bug, breaks: Invariant, seeds: u64) -> Plant {
    Plant {
        name,
        bug,
        breaks,
        seeds,
        world: |_| {},
    }
}

const fn elector(name: &'static str, plant: ElectorPlant, breaks: Invariant, seeds: u64) -> Plant {
    machine(name, ElectionPlant::Elector(plant), breaks, seeds)
}

const fn machine(
    name: &'static str,
    election: ElectionPlant,
    breaks: Invariant,
    seeds: u64,
) -> Plant {
    plant(name, Bug::Election(election), breaks, seeds)
}

/// Where the rarest bugs show: few voters that do not look around, and much on its way for long.
fn rough(regime: &mut Regime) {
    regime.voters = 3;
    regime.slow = true;
    regime.delay = (Duration::from_millis(20), Duration::from_millis(300));
    regime.stalls_ppm = 20_000;
    regime.kept = true;
    regime.pre_vote = false;
    regime.store = Duration::ZERO;
    regime.fault_every = Duration::from_millis(200);
    regime.evidence = true;
}

/// Voters come and go.
const fn changing(regime: &mut Regime) {
    regime.changes = true;
    regime.kept = true;
}

use Invariant::{Bounded, LeaderInTime, NoDisruption, OneLeader, TokensGrow, VotesAreBacked};

/// All bugs. Seeds are some five times what was measured. A withdrawal that releases though votes are not
/// kept is no danger on ordered streams, which end with the process that made the token: the model, whose
/// messages know no streams, has that bug.
pub const PLANTS: &[Plant] = &[
    elector("earlier-wins", ElectorPlant::EarlierWins, OneLeader, 200),
    elector(
        "lease-from-ack",
        ElectorPlant::LeaseFromAck,
        OneLeader,
        5_000,
    ),
    Plant {
        world: rough,
        ..elector("no-floor", ElectorPlant::NoFloor, TokensGrow, 5_000)
    },
    elector("no-guard", ElectorPlant::NoGuard, OneLeader, 5_000),
    elector(
        "release-untested",
        ElectorPlant::ReleaseUntested,
        VotesAreBacked,
        200,
    ),
    elector(
        "hand-over-first",
        ElectorPlant::HandOverFirst,
        OneLeader,
        50,
    ),
    Plant {
        world: |regime| {
            rough(regime);
            regime.stalls_ppm = 50_000;
            regime.evidence = false;
        },
        ..elector("low-token", ElectorPlant::LowToken, VotesAreBacked, 6_000)
    },
    Plant {
        world: rough,
        ..elector(
            "open-hand-over",
            ElectorPlant::OpenHandOver,
            TokensGrow,
            25_000,
        )
    },
    Plant {
        world: |regime| {
            rough(regime);
            regime.voters = 5;
        },
        ..elector("steal", ElectorPlant::Steal, VotesAreBacked, 25_000)
    },
    machine(
        "two-outstanding",
        ElectionPlant::TwoOutstanding,
        VotesAreBacked,
        1_000,
    ),
    machine(
        "say-before-kept",
        ElectionPlant::SayBeforeKept,
        VotesAreBacked,
        100,
    ),
    machine("never-renews", ElectionPlant::NeverRenews, NoDisruption, 20),
    machine(
        "never-redials",
        ElectionPlant::NeverRedials,
        LeaderInTime,
        1_000,
    ),
    plant("stale-now", Bug::StaleNow, VotesAreBacked, 50),
    Plant {
        world: |regime| regime.evidence = true,
        ..plant("listener-first", Bug::ListenerFirst, OneLeader, 200)
    },
    Plant {
        world: |regime| {
            regime.voters = 5;
            regime.kept = true;
        },
        ..plant("electorate", Bug::Electorate, OneLeader, 50)
    },
    Plant {
        world: changing,
        ..machine("unsettled", ElectionPlant::Unsettled, OneLeader, 1_000)
    },
    Plant {
        world: changing,
        ..machine("any-epoch", ElectionPlant::AnyEpoch, OneLeader, 500)
    },
    Plant {
        world: |regime| *regime = regime.clone().hostile(),
        ..machine("no-surplus", ElectionPlant::NoSurplus, Bounded, 50)
    },
    Plant {
        world: |regime| *regime = regime.clone().hostile(),
        ..machine("any-token", ElectionPlant::AnyToken, LeaderInTime, 200)
    },
];

/// The bug of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Plant> {
    PLANTS.iter().find(|plant| plant.name == name)
}
