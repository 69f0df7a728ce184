//! A frozen host removes nobody.
//!
//! A run of its own: a calm cluster of two hosts or more, one of whose processes freezes again and
//! again, for whiles that its timers did not see. Others may remove it, for they cannot know better;
//! it must not remove them, since what was late was it. Two hosts are the hard case: nobody else is
//! there to be asked. The network is slow, so that calls are often under way when time stops.
//!
//! Planted against it: `no-lag-guard`.

use std::time::Duration;

use super::{Invariant, Verdict};
use crate::dice::Dice;
use crate::moment::Moment;
use crate::ring::run::{Options, Run};

/// When the process freezes.
const FROM: Moment = Moment::from_secs(10);

/// The shortest way of a packet: a fifth of what a probe may take.
const LATENCY: Duration = Duration::from_millis(100);

/// Runs the seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Vec<Verdict> {
    let mut dice = Dice::new(seed, "frozen");
    let nodes = options.nodes.unwrap_or(2 + dice.index(3));
    let mut run = Run::calm(
        seed,
        &Options {
            nodes: Some(nodes),
            ..*options
        },
        LATENCY,
    );
    let frozen = dice.index(nodes);
    run.until(FROM);
    let mut thawed = FROM;
    for _ in 0..6 + dice.below(10) {
        let longest = if dice.coin() {
            Duration::from_millis(1_500)
        } else {
            Duration::from_secs(5)
        };
        let pause = dice.between(Duration::from_millis(500), longest);
        run.pause(frozen, pause);
        thawed = thawed + pause + dice.tail(Duration::from_millis(400));
        run.until(thawed);
    }
    run.until(thawed + Duration::from_secs(15));
    let removals = run.removals_by(frozen).filter(|news| news.at >= FROM);
    removals
        .map(|news| Verdict {
            at: news.at,
            invariant: Invariant::Frozen,
            text: format!(
                "node {frozen} of {nodes} froze again and again and removed {}",
                news.peer
            ),
        })
        .collect()
}
