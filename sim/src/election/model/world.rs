//! A world to be explored: its voters, their clocks, and how often things may happen to them.

use trefoil_core::election::Seat;
use trefoil_core::election::elector::{Elector, Plant, Rules, Vote};
use trefoil_core::time::{Duration, Instant};

use super::epochs::Epochs;
use super::judge::Broken;
use super::voter::Voter;

/// A tick in nanoseconds: some steps of a token's time, so that a token that is made above another one is
/// not ahead of its tick.
const TICK: u64 = 8 * 1_024;

/// The time at a tick.
pub(super) fn at(tick: u8) -> Instant {
    Instant::from_nanos(u64::from(tick) * TICK)
}

/// The tick of a time, or the last one there can be.
pub(super) fn tick(at: Instant) -> u8 {
    u8::try_from(at.as_nanos() / TICK).unwrap_or(u8::MAX)
}

/// How fast a voter's clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// A promise lasts 2 ticks and a lease 1.
    Fast,
    /// A promise lasts 3 ticks and a lease 2.
    Slow,
    /// A lease outlasts a promise: only for a control.
    Broken,
}

impl Clock {
    const fn ticks(self) -> (u64, u64) {
        match self {
            Self::Fast => (2, 1),
            Self::Slow => (3, 2),
            Self::Broken => (2, 3),
        }
    }
}

/// How often things that happen by themselves may happen. Each stays below 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Campaigns that begin. When there are no more, a message that would begin one is lost.
    pub campaigns: u8,
    /// Leaderships handed over by command, and candidates that give way to an earlier one. What would make
    /// one give way is lost when there are no more.
    pub hand_overs: u8,
    /// Crashes, each followed by a restart at once.
    pub crashes: u8,
    /// Candidates and leaders that give up by themselves.
    pub withdrawals: u8,
    /// Requests that are sent again, to all: retries of a candidate, heartbeats of a leader.
    pub renewals: u8,
}

/// A voter that grants whatever it is asked, as a redhac node does to whoever asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redhac {
    /// Which.
    pub seat: u8,
    /// Whether its grants count.
    pub counts: bool,
}

/// A world to be explored.
#[derive(Clone, Debug)]
pub struct World {
    /// The clock of each voter.
    pub clocks: Vec<Clock>,
    /// Ticks by which the wall clock of each voter is ahead.
    pub skew: Vec<i64>,
    /// Which voters there are, by epoch. A voter goes on to the next by a restart.
    pub epochs: Epochs,
    /// The last tick.
    pub ticks: u8,
    /// What may happen.
    pub budget: Budget,
    /// Whether votes are kept.
    pub votes_are_kept: bool,
    /// A bug in every voter.
    pub plant: Option<Plant>,
    /// Whether the store takes its time, and what it was writing is lost by a crash. Otherwise votes are
    /// durable at once.
    pub slow_store: bool,
    /// Whether refusals arrive, and withdrawals that no budget counts. Otherwise they are all lost.
    pub answers: bool,
    /// Look for this alone.
    pub only: Option<Broken>,
    /// A voter that is no elector.
    pub redhac: Option<Redhac>,
}

impl World {
    fn rules(&self, seat: u8, epoch: u8) -> Rules {
        let (voters, retired) = self.epochs.places(epoch);
        let (promise, lease) = self.clocks[usize::from(seat)].ticks();
        Rules {
            me: Seat(seat),
            voters,
            retired,
            promise: Duration::from_nanos(promise * TICK),
            lease: Duration::from_nanos(lease * TICK),
            unix_origin: self.skew[usize::from(seat)] * TICK as i64,
            votes_are_kept: self.votes_are_kept,
        }
    }

    fn voter(&self, seat: u8, epoch: u8, kept: Option<Vote>, now: u8) -> Voter {
        let mut elector = Elector::new(self.rules(seat, epoch), kept, at(now));
        if let Some(plant) = self.plant {
            elector.plant(plant);
        }
        Voter {
            elector,
            epoch,
            kept: kept.unwrap_or_default(),
            writing: Vec::new(),
            owes: 0,
        }
    }

    /// All voters.
    pub(super) fn seats(&self) -> std::ops::Range<u8> {
        0..self.clocks.len() as u8
    }

    /// A voter that never voted.
    pub(super) fn fresh(&self, seat: u8) -> Voter {
        let epoch = self.epochs.first(seat);
        self.voter(seat, epoch, Some(Vote::default()), 0)
    }

    /// A voter after a restart: of what it knew it has what was kept.
    pub(super) fn restarted(&self, seat: u8, before: &Voter, now: u8) -> Voter {
        let kept = self.votes_are_kept.then_some(before.kept);
        self.voter(seat, before.epoch, kept, now)
    }

    /// A voter after a restart into the next epoch.
    pub(super) fn moved(&self, seat: u8, before: &Voter, now: u8) -> Voter {
        let carried = self.epochs.carried(before.kept, before.epoch);
        let kept = self.votes_are_kept.then_some(carried);
        self.voter(seat, before.epoch + 1, kept, now)
    }
}
