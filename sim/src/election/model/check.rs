//! Runs configurations, their worlds on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::configs::Config;
use super::explore::{Found, explore};
use super::world::World;

/// What is said of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Something does not hold that should.
    Broken,
    /// A control found nothing, or not what it was to find.
    Missed,
    /// There were states left.
    Unfinished,
    /// It never got to what it was to look at.
    Vacuous,
}

/// What is to be said of `found`.
#[must_use]
pub fn verdict(config: &Config, found: &Found) -> Verdict {
    let broken = found.broken.as_ref().map(|(broken, _)| *broken);
    let led = found.leaderships >= config.leaderships && (found.handed || !config.hands_over());
    match (config.finds, broken) {
        (None, Some(_)) => Verdict::Broken,
        (Some(_), _) if broken != config.finds => Verdict::Missed,
        (Some(_), _) => Verdict::Fine,
        (None, None) if !found.exhausted => Verdict::Unfinished,
        (None, None) if !led => Verdict::Vacuous,
        (None, None) => Verdict::Fine,
    }
}

/// Explores the worlds of all `configs`, each up to `states_max`, and tells `done` of each configuration
/// when its last world is.
pub fn run(
    configs: &[Config],
    threads: usize,
    states_max: u64,
    mut done: impl FnMut(&Config, &Found),
) {
    let worlds: Vec<(usize, World)> = configs
        .iter()
        .enumerate()
        .flat_map(|(number, config)| config.worlds().map(move |world| (number, world)))
        .collect();
    let next = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let tell = tell.clone();
            scope.spawn(|| {
                let tell = tell;
                while let Some((number, world)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Nobody listens only if this is being torn down.
                    let _ = tell.send((*number, explore(world, states_max)));
                }
            });
        }
        drop(tell);
        let mut totals: Vec<(Found, usize)> = configs
            .iter()
            .map(|config| (Found::default(), config.worlds().count()))
            .collect();
        for (number, found) in told {
            let (total, left) = &mut totals[number];
            total.add(found);
            *left -= 1;
            if *left == 0 {
                done(&configs[number], total);
            }
        }
    });
}
