//! The bugs that can be planted, by name.

use trefoil_core::ring::actors::ActorsPlant;
use trefoil_core::ring::directory::DirectoryPlant;
use trefoil_core::ring::membership::MembershipPlant;

use super::invariants::Invariant;
use crate::disk::StorePlant;
use crate::watch::MachinePlant;

/// A bug, in one of the machines or beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// In the store.
    Store(StorePlant),
    /// Between a machine and its world.
    Machine(MachinePlant),
    /// In the actors.
    Actors(ActorsPlant),
    /// In the directory.
    Directory(DirectoryPlant),
    /// In the membership.
    Membership(MembershipPlant),
}

/// A bug and what must see it.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub bug: Bug,
    /// The invariant that is broken by it.
    pub breaks: Invariant,
    /// Seeds within which that is seen.
    pub seeds: u64,
}

/// All bugs.
pub const PLANTS: &[Plant] = &[
    Plant {
        name: "no-fence",
        bug: Bug::Store(StorePlant::NoFence),
        breaks: Invariant::Journal,
        seeds: 20,
    },
    Plant {
        name: "lying-store",
        bug: Bug::Store(StorePlant::AnswerBeforeDurable),
        breaks: Invariant::Journal,
        seeds: 20,
    },
    Plant {
        name: "answer-before-durable",
        bug: Bug::Actors(ActorsPlant::AnswerBeforeDurable),
        breaks: Invariant::Journal,
        seeds: 20,
    },
    Plant {
        name: "forget-fence",
        bug: Bug::Actors(ActorsPlant::ForgetFence),
        breaks: Invariant::Journal,
        seeds: 20,
    },
    Plant {
        name: "no-tie-break",
        bug: Bug::Directory(DirectoryPlant::NoTieBreak),
        breaks: Invariant::Owners,
        seeds: 60,
    },
    Plant {
        name: "no-anti-entropy",
        bug: Bug::Directory(DirectoryPlant::NoAntiEntropy),
        breaks: Invariant::Owners,
        seeds: 60,
    },
    Plant {
        name: "dead-claims",
        bug: Bug::Directory(DirectoryPlant::DeadHostsClaimsKept),
        breaks: Invariant::Owners,
        seeds: 20,
    },
    Plant {
        name: "hearsay",
        bug: Bug::Membership(MembershipPlant::HearsayResurrects),
        breaks: Invariant::Resurrection,
        seeds: 20,
    },
    Plant {
        name: "no-reunion",
        bug: Bug::Membership(MembershipPlant::NoReunion),
        breaks: Invariant::Views,
        seeds: 40,
    },
    Plant {
        name: "short-replay",
        bug: Bug::Actors(ActorsPlant::ShortReplay),
        breaks: Invariant::Counters,
        seeds: 20,
    },
    Plant {
        name: "no-lag-guard",
        bug: Bug::Membership(MembershipPlant::NoLagGuard),
        breaks: Invariant::Frozen,
        seeds: 40,
    },
    Plant {
        name: "forgotten-stream",
        bug: Bug::Machine(MachinePlant::ForgottenStream),
        breaks: Invariant::Streams,
        seeds: 5,
    },
    Plant {
        name: "double-end",
        bug: Bug::Machine(MachinePlant::DoubleEnd),
        breaks: Invariant::Streams,
        seeds: 5,
    },
    Plant {
        name: "late-timeout",
        bug: Bug::Machine(MachinePlant::LateTimeout),
        breaks: Invariant::Timers,
        seeds: 5,
    },
];

/// The bug of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Plant> {
    PLANTS.iter().find(|plant| plant.name == name)
}
