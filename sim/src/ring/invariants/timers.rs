//! Due times are kept, and nothing happens before them.
//!
//! [`Watched`](crate::watch::Watched) sees that a call at the promised time moves it, and calls the
//! machine early once in a while: then it must do nothing. The [world](crate::world) sees that no
//! node wakes more than [`WAKES_AT_ONCE_MAX`] times at one moment.
//!
//! Planted against it: `late-timeout`.

use super::{Invariant, Verdict};
use crate::ring::subject::RingSubject;
use crate::world::{WAKES_AT_ONCE_MAX, World};

/// A node that never sleeps.
pub fn busy(world: &World<RingSubject>, verdicts: &mut Vec<Verdict>) {
    if let Some(node) = world.busy() {
        let text = format!("node {node} woke more than {WAKES_AT_ONCE_MAX} times at one moment");
        verdicts.push(Verdict {
            at: world.now(),
            invariant: Invariant::Timers,
            text,
        });
    }
}
