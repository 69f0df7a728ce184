//! Counts of what happened. A batch that exercised too little proves nothing, and fails.

use super::party::Party;
use crate::disk::DiskCounts;
use crate::net::NetCounts;
pub use crate::ring::coverage::Coverage;

/// What a batch of at least [`BATCH_MIN`] seeds must have reached, per hundred seeds.
pub const MINIMA: &[(&str, u64)] = &[
    ("elections", 200),
    ("leaderships", 150),
    ("partitions", 40),
    ("one-way cuts", 40),
    ("pauses", 40),
    ("crashes", 40),
    ("double crashes", 8),
    ("lost leases", 40),
    ("calls made again", 100),
    ("stream resets", 20),
    ("unknown outcomes", 300),
    ("operations after death", 10),
    ("fenced", 20),
    ("recoveries", 80),
    ("duplicates kept out", 5),
    ("records resent", 100),
    ("records passed over", 10),
    ("openings", 500),
    ("removals skipped", 40),
    ("moves for balance", 30),
    ("records forgotten", 500),
    ("acknowledged", 5_000),
    ("delivered", 10_000),
];

/// The smallest batch whose coverage is judged.
pub const BATCH_MIN: u64 = 200;

/// The minima that `seeds` runs did not reach: name, count, minimum.
pub fn missing(
    coverage: &Coverage,
    seeds: u64,
) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
    let judged = if seeds >= BATCH_MIN { MINIMA } else { &[] };
    judged.iter().filter_map(move |(name, per_hundred)| {
        let (count, minimum) = (coverage.count(name), (per_hundred * seeds).div_ceil(100));
        (count < minimum).then_some((*name, count, minimum))
    })
}

/// What the machines of one process counted.
#[must_use]
pub fn of_party(party: &Party) -> Coverage {
    let mut coverage = Coverage::default();
    if let Some(channels) = party.channels() {
        let (coordinator, worker) = (
            channels.coordinator().counters(),
            channels.worker().counters(),
        );
        for (name, count) in [
            ("leaderships", coordinator.leaderships),
            ("catalog writes", coordinator.writes),
            ("calls to assign", coordinator.assigns),
            ("calls to remove", coordinator.removes),
            ("removals skipped", coordinator.removals_skipped),
            ("moves for balance", coordinator.moves),
            ("reports", coordinator.reports),
            ("stale reports", coordinator.reports_stale),
            ("pushes", coordinator.pushes),
            ("openings", worker.opened),
            ("closed by force", worker.forced),
            ("recoveries", worker.recoveries),
            ("duplicates kept out", worker.duplicates),
        ] {
            coverage.add(name, count);
        }
    }
    if let Some(client) = party.as_client() {
        let client = client.counters();
        for (name, count) in [
            ("acknowledged", client.produced),
            ("given up", client.failed),
            ("delivered", client.delivered),
            ("records resent", client.resent),
            ("records passed over", client.skipped),
        ] {
            coverage.add(name, count);
        }
    }
    coverage
}

/// What network and store counted.
#[must_use]
pub fn of_world(net: &NetCounts, disk: &DiskCounts) -> Coverage {
    let mut coverage = Coverage::default();
    for (name, count) in [
        ("packets", net.packets),
        ("stream resets", net.resets),
        ("frames choked", net.choked),
        ("packets stalled", net.stalled),
        ("connections lost", net.lost),
        ("unknown outcomes", disk.unknown),
        ("operations", disk.ops),
        ("operations after death", disk.posthumous),
        ("operations lost at death", disk.lost),
    ] {
        coverage.add(name, count);
    }
    coverage
}
