//! What kind of world a seed is.

use std::time::Duration;

use trefoil_core::election::{ElectionConfig, Evidence, Memory};

use super::hostile::FOLLOWERS;
use crate::dice::Dice;

/// The kind of a world.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Voters.
    pub voters: usize,
    /// Whether round trips are long, and with them the promise.
    pub slow: bool,
    /// Shortest and longest time a frame takes while nothing is wrong.
    pub delay: (Duration, Duration),
    /// Of a million frames, so many take up to four seconds and hold up what follows them.
    pub stalls_ppm: u32,
    /// Whether votes are kept.
    pub kept: bool,
    /// Whether voters look around before they campaign.
    pub pre_vote: bool,
    /// Longest time the store takes.
    pub store: Duration,
    /// Rates of clocks are off by at most so many millionths.
    pub drift_ppm: u64,
    /// Wall clocks are apart by at most so much.
    pub skew: Duration,
    /// Mean time between two faults.
    pub fault_every: Duration,
    /// How long faults happen.
    pub storm: Duration,
    /// Whether a refused dial proves that a process is gone. Here it does: nobody else refuses.
    pub evidence: bool,
    /// Whether voters come and go, one in each epoch. Then votes are kept.
    pub changes: bool,
    /// Whether one voter is hostile. Then nothing else goes wrong.
    pub hostile: bool,
}

impl Regime {
    /// The regime of a seed: a third of all worlds are slow and without a look around, which is where
    /// mistakes hide.
    #[must_use]
    pub fn draw(voters: Option<usize>, dice: &mut Dice) -> Self {
        let voters = voters.unwrap_or_else(|| [3, 3, 5, 4, 7, 9, 3, 5][dice.index(8)]);
        let slow = dice.below(3) == 0;
        let kept = dice.coin();
        let ms = Duration::from_millis;
        Self {
            voters,
            slow,
            delay: match (slow, dice.coin()) {
                (true, _) => (ms(20), ms(300)),
                (false, true) => (Duration::from_micros(200), ms(4)),
                (false, false) => (Duration::from_micros(200), ms(40)),
            },
            stalls_ppm: if slow { 20_000 } else { 2_000 },
            kept,
            pre_vote: !slow || dice.coin(),
            store: ms([0, 4, 30][dice.index(3)]),
            drift_ppm: [0, 10_000][dice.index(2)],
            // Without memory tokens only grow if no clock is behind by more than a promise.
            skew: if kept { ms(5_000) } else { ms(300) },
            fault_every: ms([200, 500, 1_500][dice.index(3)]),
            storm: ms(6_000),
            evidence: dice.below(3) == 0,
            changes: false,
            hostile: false,
        }
    }

    /// The same world with voters that come and go.
    #[must_use]
    pub const fn changing(mut self) -> Self {
        self.changes = true;
        self.kept = true;
        self
    }

    /// The same world with a hostile one, a promise of one second and a look around before campaigns. A token as far ahead as it may be
    /// holds up voters by what their wall clocks are apart.
    #[must_use]
    pub const fn hostile(mut self) -> Self {
        self.hostile = true;
        self.slow = false;
        self.stalls_ppm = 0;
        self.delay = (Duration::from_micros(200), Duration::from_millis(20));
        self.skew = Duration::from_millis(300);
        self.pre_vote = true;
        if self.voters < 3 {
            self.voters = 3;
        }
        self
    }

    fn preset(&self, me: usize, names: &[String]) -> ElectionConfig {
        if self.slow {
            ElectionConfig::wan(me, names)
        } else {
            ElectionConfig::lan(me, names)
        }
    }

    /// How long a promise binds.
    #[must_use]
    pub fn promise(&self) -> Duration {
        Duration::from_secs(if self.slow { 3 } else { 1 })
    }

    /// The settings of one voter; `skew` is added to its idea of the time of day.
    #[must_use]
    pub fn config(
        &self,
        me: usize,
        names: &[String],
        unix_origin: i64,
        seed: u64,
    ) -> ElectionConfig {
        ElectionConfig {
            unix_origin,
            memory: if self.kept {
                Memory::Kept { first: true }
            } else {
                Memory::Lost
            },
            pre_vote: self.pre_vote,
            evidence: if self.evidence {
                Evidence::RefusedAnywhere
            } else {
                Evidence::None
            },
            followers_max: FOLLOWERS,
            seed,
            ..self.preset(me, names)
        }
    }

    /// Whether a leader in time is promised. Without a look around and without a memory, votes for a
    /// campaign in vain bind for all of a promise, and two that campaign in turns may do so for long.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        // While an operator changes the voters at random, there need not be a majority of any epoch.
        (self.kept || self.pre_vote) && !self.changes
    }

    /// How long a quorum that hears each other may be without a leader: the promise, the longest delay of
    /// an election, a look around and votes, and as much again for a candidacy in vain, which is given up
    /// after 0.4 promises. Voters that do not look around campaign in vain more often.
    #[must_use]
    pub fn leader_within(&self) -> Duration {
        if self.hostile {
            return Duration::from_secs(3);
        }
        let promise = self.promise();
        let rank = Duration::from_millis(30) * self.voters as u32;
        let trips = self.delay.1 * 8 + self.store * 4;
        let rounds = if self.pre_vote { 3 } else { 9 };
        promise * rounds + rank * 3 + trips
    }
}
