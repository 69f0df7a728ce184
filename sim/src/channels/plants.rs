//! The bugs that can be planted, by name.

use trefoil_core::channels::client::ClientPlant;
use trefoil_core::channels::coordinator::CoordinatorPlant;
use trefoil_core::channels::coordinator::ledger::LedgerPlant;
use trefoil_core::channels::worker::WorkerPlant;

use super::invariants::Invariant;
use super::plan::Mode;
use crate::disk::StorePlant;
use crate::watch::MachinePlant;

/// A bug, in one of the machines or beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// In the coordinator.
    Coordinator(CoordinatorPlant),
    /// In the worker.
    Worker(WorkerPlant),
    /// In the client.
    Client(ClientPlant),
    /// In the store.
    Store(StorePlant),
    /// Between a machine and its world.
    Machine(MachinePlant),
}

/// A bug, and what must see it.
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
    /// The worlds in which the bug matters.
    pub mode: Mode,
}

const fn plant(name: &'static str, bug: Bug, breaks: Invariant, seeds: u64, mode: Mode) -> Plant {
    Plant {
        name,
        bug,
        breaks,
        seeds,
        mode,
    }
}

const fn worker(name: &'static str, bug: WorkerPlant, breaks: Invariant, seeds: u64) -> Plant {
    plant(name, Bug::Worker(bug), breaks, seeds, Mode::Storm)
}

const fn coordinator(
    name: &'static str,
    bug: CoordinatorPlant,
    breaks: Invariant,
    seeds: u64,
    mode: Mode,
) -> Plant {
    plant(name, Bug::Coordinator(bug), breaks, seeds, mode)
}

use CoordinatorPlant::{
    AsksOnce, GoneIsRemoved, Ledger, NeverBalances, NoThrottle, NumberedByNode, TimeoutBurnsTerm,
};
use WorkerPlant::{AckEarly, CallerCancels, ForgetsEarly, NoFence, TailUnread, UnknownIsLost};

/// All bugs. Seeds are some five times what was measured.
pub const PLANTS: &[Plant] = &[
    worker("no-fence", NoFence, Invariant::OneWriter, 50),
    worker("tail-unread", TailUnread, Invariant::Ticks, 50),
    worker("ack-early", AckEarly, Invariant::Acknowledged, 50),
    plant(
        "lying-store",
        Bug::Store(StorePlant::AnswerBeforeDurable),
        Invariant::Acknowledged,
        50,
        Mode::Storm,
    ),
    worker("forgets-early", ForgetsEarly, Invariant::Forgetting, 100),
    worker("unknown-is-lost", UnknownIsLost, Invariant::Once, 50),
    plant(
        "delivers-again",
        Bug::Client(ClientPlant::DeliversAgain),
        Invariant::Delivery,
        50,
        Mode::Storm,
    ),
    coordinator(
        "two-mint",
        Ledger(LedgerPlant::ActBeforeWritten),
        Invariant::Terms,
        50,
        Mode::Storm,
    ),
    coordinator(
        "assign-first",
        Ledger(LedgerPlant::AssignFirst),
        Invariant::Handover,
        50,
        Mode::Calm,
    ),
    coordinator(
        "gone-is-removed",
        GoneIsRemoved,
        Invariant::Handover,
        100,
        Mode::Leased,
    ),
    coordinator(
        "timeout-burns-term",
        TimeoutBurnsTerm,
        Invariant::Burnt,
        50,
        Mode::Calm,
    ),
    plant(
        "caller-cancels",
        Bug::Worker(CallerCancels),
        Invariant::Burnt,
        50,
        Mode::Calm,
    ),
    coordinator(
        "numbered-by-node",
        NumberedByNode,
        Invariant::Versions,
        50,
        Mode::Storm,
    ),
    coordinator("asks-once", AsksOnce, Invariant::Settled, 50, Mode::Storm),
    coordinator(
        "never-balances",
        NeverBalances,
        Invariant::Balance,
        50,
        Mode::Storm,
    ),
    coordinator(
        "no-throttle",
        NoThrottle,
        Invariant::Throttle,
        100,
        Mode::Calm,
    ),
    plant(
        "late-timeout",
        Bug::Machine(MachinePlant::LateTimeout),
        Invariant::Contract,
        20,
        Mode::Storm,
    ),
];

/// The bug of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Plant> {
    PLANTS.iter().find(|plant| plant.name == name)
}
