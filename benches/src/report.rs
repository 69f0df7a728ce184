//! Times and allocations of two implementations, taken in turn and printed side by side.

use std::io::Write;
use std::time::Instant;

use crate::{allocations, count};

/// What one operation takes.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall-clock time, in nanoseconds: the least of all rounds, which is what the machine's other
    /// work disturbed least.
    pub ns: f64,
    /// Allocations, in the first round.
    pub allocations: f64,
}

/// Whether the bench only has to prove that it runs: `cargo bench -- --test`.
#[must_use]
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Runs `round`, which does `operations` operations, `rounds` times; once in a test.
pub fn time(rounds: u32, operations: u32, mut round: impl FnMut()) -> Cost {
    let mut cost = once(operations, &mut round);
    count(false);
    for _ in 1..effective(rounds) {
        cost.ns = cost.ns.min(once(operations, &mut round).ns);
    }
    count(true);
    cost
}

/// Times two implementations in turn, so that whatever slows the machine slows both.
pub fn compare(
    rounds: u32,
    operations: u32,
    mut ours: impl FnMut(),
    mut peer: impl FnMut(),
) -> (Cost, Cost) {
    let mut costs = (once(operations, &mut ours), once(operations, &mut peer));
    count(false);
    for _ in 1..effective(rounds) {
        costs.0.ns = costs.0.ns.min(once(operations, &mut ours).ns);
        costs.1.ns = costs.1.ns.min(once(operations, &mut peer).ns);
    }
    count(true);
    costs
}

fn effective(rounds: u32) -> u32 {
    if is_test() { 1 } else { rounds }
}

fn once(operations: u32, round: &mut impl FnMut()) -> Cost {
    let allocated = allocations();
    let start = Instant::now();
    round();
    let ns = start.elapsed().as_nanos() as f64 / f64::from(operations);
    let allocations = (allocations() - allocated) as f64 / f64::from(operations);
    Cost { ns, allocations }
}

/// Prints `name: ours X ns, peer Y ns, ratio Z, allocations A` (and the peer's).
pub fn report(name: &str, ours: Cost, peer_name: &str, peer: Cost) {
    line(format_args!(
        "{name}: ours {:.1} ns, {peer_name} {:.1} ns, ratio {:.2}, allocations {} ({peer_name} {})",
        ours.ns,
        peer.ns,
        peer.ns / ours.ns,
        ours.allocations,
        peer.allocations
    ));
}

/// Prints `name: ours X ns, allocations A`, where there is no peer to compare with.
pub fn report_alone(name: &str, ours: Cost) {
    line(format_args!(
        "{name}: ours {:.1} ns, allocations {}",
        ours.ns, ours.allocations
    ));
}

/// Prints `name: geometric mean X, least Y (of what)` of ratios taken by [`compare`].
pub fn report_mean(name: &str, ratios: &[(&str, f64)]) {
    let logs: f64 = ratios.iter().map(|(_, ratio)| ratio.ln()).sum();
    let mean = (logs / ratios.len() as f64).exp();
    let least = ratios.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((of, least)) = least {
        line(format_args!(
            "{name}: geometric mean {mean:.2}, least {least:.2} ({of})"
        ));
    }
}

fn line(text: core::fmt::Arguments<'_>) {
    // A closed pipe ends the reader's interest, not the bench.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
