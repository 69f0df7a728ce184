//! The worlds that are explored.

use super::controls;
use super::epochs::{Epochs, Moves};
use super::judge::Broken;
use super::world::{Budget, Clock, Redhac, World};

/// A world with a name.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub world: World,
    /// All combinations of fast and slow clocks, or only the one of `world`.
    pub all_clocks: bool,
    /// Whether it takes minutes.
    pub heavy: bool,
    /// What a control must find.
    pub finds: Option<Broken>,
    /// Leaderships it must reach.
    pub leaderships: u8,
}

impl Config {
    /// Whether it must reach a leadership by hand-over, seen by its token: where votes are not kept an heir
    /// makes its own.
    #[must_use]
    pub const fn hands_over(&self) -> bool {
        self.world.budget.hand_overs > 0 && self.world.votes_are_kept
    }

    /// The worlds of this configuration.
    pub fn worlds(&self) -> impl Iterator<Item = World> + '_ {
        let voters = self.world.clocks.len();
        let kinds = if self.all_clocks { 1_u32 << voters } else { 1 };
        (0..kinds).map(move |kind| {
            let mut world = self.world.clone();
            if self.all_clocks {
                for (seat, clock) in world.clocks.iter_mut().enumerate() {
                    *clock = if kind >> seat & 1 == 0 {
                        Clock::Fast
                    } else {
                        Clock::Slow
                    };
                }
            }
            world
        })
    }
}

pub(super) const fn budget(campaigns: u8, hand_overs: u8, crashes: u8) -> Budget {
    Budget {
        campaigns,
        hand_overs,
        crashes,
        withdrawals: 0,
        renewals: 0,
    }
}

pub(super) fn world(voters: u8, ticks: u8, budget: Budget) -> World {
    World {
        clocks: vec![Clock::Slow; usize::from(voters)],
        skew: (0..i64::from(voters))
            .map(|seat| 2 - 2 * (seat % 2))
            .collect(),
        epochs: Epochs::one(voters),
        ticks,
        budget,
        votes_are_kept: true,
        plant: None,
        slow_store: false,
        answers: false,
        only: None,
        redhac: None,
    }
}

/// A world in which votes are not kept, and wall clocks agree. A token may be promised as long after it was
/// made as its candidate asks with it, so what wall clocks may differ by is less than the silence of a
/// voter that forgot, by that much.
pub(super) fn forgetful(world: World) -> World {
    World {
        votes_are_kept: false,
        skew: vec![0; world.clocks.len()],
        ..world
    }
}

fn safe(name: &'static str, world: World, all_clocks: bool, leaderships: u8) -> Config {
    Config {
        name,
        world,
        all_clocks,
        heavy: false,
        finds: None,
        leaderships,
    }
}

fn renewing(renewals: u8, world: World) -> World {
    let budget = Budget {
        renewals,
        ..world.budget
    };
    World { budget, ..world }
}

pub(super) fn withdrawing(withdrawals: u8, world: World) -> World {
    let budget = Budget {
        withdrawals,
        ..world.budget
    };
    World { budget, ..world }
}

fn answering(world: World) -> World {
    World {
        answers: true,
        ..world
    }
}

/// A world whose voters change, a bit for each of them at each epoch. They go on by restarts.
pub(super) fn changing(members: &[u8], moves: Moves, world: World) -> World {
    World {
        epochs: Epochs::new(members, moves),
        ..world
    }
}

fn heavy(config: Config) -> Config {
    Config {
        heavy: true,
        ..config
    }
}

/// All configurations, by name.
///
/// The bounds are those of the abstract model that the design was checked with, and exceed them where that
/// is cheap, but for two: votes that are not kept are forgotten once and not twice, and five voters hand
/// over within two ticks and not three. Those are among the heavy ones.
#[must_use]
pub fn all() -> Vec<Config> {
    // A single large world first, so that no thread is alone with it at the end.
    let mut configs = more_than_three();
    configs.extend(changing_voters());
    configs.extend(mixed());
    configs.extend(ceding());
    configs.extend(slow_stores());
    configs.extend(three());
    configs.extend(controls::all());
    configs
}

/// One kind of event beside campaigns.
fn three() -> Vec<Config> {
    let safe = |name, world, leaderships| safe(name, world, true, leaderships);
    let renewals = |ticks, count| renewing(count, world(3, ticks, budget(2, 0, 0)));
    let forgetful = |ticks, crashes| forgetful(world(3, ticks, budget(2, 0, crashes)));
    let mut redhac = world(3, 5, budget(3, 0, 0));
    redhac.redhac = Some(Redhac {
        seat: 2,
        counts: false,
    });
    vec![
        safe("three", world(3, 6, budget(2, 0, 0)), 2),
        safe("three-campaigns", world(3, 5, budget(3, 0, 0)), 3),
        safe("three-renewal", renewals(4, 1), 2),
        heavy(safe("three-renewals", renewals(5, 2), 2)),
        safe(
            "three-withdrawal",
            withdrawing(1, world(3, 3, budget(2, 0, 0))),
            2,
        ),
        safe("three-answers", answering(world(3, 4, budget(2, 0, 0))), 2),
        safe("three-crashes", world(3, 5, budget(2, 0, 2)), 2),
        safe("three-forgetful", forgetful(5, 1), 2),
        heavy(safe("three-forgetful-crashes", forgetful(6, 2), 2)),
        safe("three-hand-overs", world(3, 4, budget(1, 2, 0)), 3),
        safe("three-ceding", world(3, 4, budget(2, 1, 0)), 3),
        safe("three-with-redhac", redhac, 3),
    ]
}

/// Several kinds of events, and clocks of one rate.
fn mixed() -> Vec<Config> {
    let safe = |name, world, leaderships| safe(name, world, false, leaderships);
    vec![
        safe(
            "three-mixed",
            withdrawing(1, world(3, 3, budget(2, 1, 1))),
            3,
        ),
        // The heir asks with a token of its own, which is a campaign.
        safe(
            "three-mixed-forgetful",
            forgetful(world(3, 3, budget(2, 1, 1))),
            2,
        ),
        // The control `release-unkept` without its bug.
        safe("three-early", controls::early(), 3),
        // A token that a voter heard of, spoke of, and no longer knows after a restart.
        safe(
            "three-forgotten-token",
            withdrawing(1, world(3, 1, budget(3, 0, 1))),
            3,
        ),
    ]
}

fn more_than_three() -> Vec<Config> {
    let safe = |name, world, leaderships| safe(name, world, false, leaderships);
    vec![
        safe("five", world(5, 3, budget(2, 0, 0)), 2),
        safe("five-crash", world(5, 2, budget(2, 0, 1)), 2),
        safe("five-hand-over", world(5, 2, budget(1, 1, 0)), 2),
        heavy(safe("five-long", world(5, 4, budget(2, 0, 0)), 2)),
        heavy(safe("five-hand-over-long", world(5, 3, budget(1, 1, 0)), 2)),
    ]
}

/// Voters that come and go, each by an epoch. The last three epochs are what the rule is for that an epoch
/// must have had a leader: a majority of the first and one of the last need not share a voter.
fn changing_voters() -> Vec<Config> {
    let config = |name, members: &[u8], voters, ticks, crashes, leaderships| {
        let world = world(voters, ticks, budget(leaderships, 0, crashes));
        let world = changing(members, Moves::Checked, world);
        safe(name, world, false, leaderships)
    };
    vec![
        config("three-to-four", &[0b0111, 0b1111], 4, 3, 4, 2),
        config("four-to-three", &[0b1111, 0b0111], 4, 2, 3, 2),
        config("one-to-three", &[0b001, 0b011, 0b111], 3, 4, 5, 4),
        config("three-replace-one", &[0b0111, 0b1111, 0b1110], 4, 1, 4, 3),
        heavy(config(
            "three-replace-one-long",
            &[0b0111, 0b1111, 0b1110],
            4,
            2,
            5,
            3,
        )),
        config("three-to-five", &[0b00111, 0b01111, 0b11111], 5, 1, 4, 3),
    ]
}

/// A world whose store takes its time.
fn slow_store(world: World) -> World {
    World {
        slow_store: true,
        ..world
    }
}

/// Candidates that give way and leaders that hand over, several of them in one way.
fn ceding() -> Vec<Config> {
    let safe = |name, world, leaderships| safe(name, world, false, leaderships);
    let four = |ticks, campaigns, hand_overs| world(4, ticks, budget(campaigns, hand_overs, 0));
    vec![
        safe("four-ceding", four(0, 3, 1), 2),
        heavy(safe("four-ceding-long", four(1, 3, 1), 2)),
        heavy(safe("four-hand-overs", four(1, 2, 2), 3)),
        heavy(safe(
            "three-ceding-forgetful",
            forgetful(world(3, 2, budget(3, 2, 0))),
            3,
        )),
    ]
}

/// Votes that are being written while other things happen, and are lost by a crash before they are.
fn slow_stores() -> Vec<Config> {
    let safe = |name, world, leaderships| safe(name, slow_store(world), false, leaderships);
    let renewal = renewing(1, world(3, 3, budget(2, 0, 0)));
    vec![
        safe("three-slow-store", world(3, 3, budget(2, 0, 1)), 2),
        safe("three-slow-store-renewal", renewal, 2),
    ]
}
