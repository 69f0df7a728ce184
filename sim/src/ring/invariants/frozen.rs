//! A frozen host removes nobody.
//!
//! A run of its own: a calm cluster, one of whose processes freezes for a while that its timers did
//! not see. Others may remove it, for they cannot know better; it must not remove them, since what
//! was late was it.
//!
//! Planted against it: `no-lag-guard`.

use std::time::Duration;

use super::{Invariant, Verdict};
use crate::dice::Dice;
use crate::moment::Moment;
use crate::ring::run::{Options, Run};

/// When the process freezes.
const FROM: Moment = Moment::from_secs(10);

/// Runs the seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Vec<Verdict> {
    let mut dice = Dice::new(seed, "frozen");
    let mut run = Run::calm(seed, options);
    let frozen = dice.index(run.nodes());
    let pause = dice.between(Duration::from_millis(100), Duration::from_secs(10));
    run.until(FROM);
    run.pause(frozen, pause);
    run.until(FROM + pause + Duration::from_secs(15));
    let removals = run.removals_by(frozen).filter(|news| news.at >= FROM);
    removals
        .map(|news| Verdict {
            at: news.at,
            invariant: Invariant::Frozen,
            text: format!("node {frozen} froze for {pause:?} at {FROM} and removed {}", news.peer),
        })
        .collect()
}
