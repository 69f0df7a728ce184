//! What a batch of runs exercised. A batch that exercised too little proves nothing, and fails.

use trefoil_core::ring::node::Ring;

use crate::disk::DiskCounts;
use crate::net::NetCounts;

/// Counts of what happened; those of many runs are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<(&'static str, u64)>,
}

/// What a batch of at least [`BATCH_MIN`] seeds must have reached, per hundred seeds.
pub const MINIMA: &[(&str, u64)] = &[
    ("partitions", 80),
    ("one-way cuts", 80),
    ("restarts", 120),
    ("deaths for good", 12),
    ("leaves", 40),
    ("pauses", 80),
    ("link resets", 80),
    ("stream resets", 300),
    ("frames choked", 60),
    ("packets stalled", 5_000),
    ("connections lost", 1_000),
    ("unknown outcomes", 80),
    ("operations after death", 20),
    ("operations lost at death", 4),
    ("fenced", 50),
    ("claim conflicts", 100),
    ("forwards", 30_000),
    ("retries joined or deduplicated", 80),
    ("acknowledged", 30_000),
    ("proofs", 2_000),
    ("snapshots", 2_000),
    ("frozen runs", 20),
];

/// The smallest batch whose coverage is judged.
pub const BATCH_MIN: u64 = 50;

impl Coverage {
    /// Adds to a count.
    pub fn add(&mut self, name: &'static str, count: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => self.counts.push((name, count)),
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            self.add(name, *count);
        }
    }

    /// A count.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count)
    }

    /// All counts, in the order in which they were first made.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().copied()
    }

    /// The minima that `seeds` runs did not reach: name, count, minimum.
    pub fn missing(&self, seeds: u64) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        let judged = if seeds >= BATCH_MIN { MINIMA } else { &[] };
        judged.iter().filter_map(move |(name, per_hundred)| {
            let (count, minimum) = (self.count(name), (per_hundred * seeds).div_ceil(100));
            (count < minimum).then_some((*name, count, minimum))
        })
    }
}

/// What the machines of one process counted.
#[must_use]
pub fn of_ring(ring: &Ring) -> Coverage {
    let (actors, directory) = (ring.actors().counters(), ring.directory().counters());
    let mut coverage = Coverage::default();
    for (name, count) in [
        ("forwards", actors.forwarded),
        ("fenced", actors.fenced),
        ("evicted", actors.evicted),
        ("proofs", actors.proofs),
        ("snapshots", actors.snapshots),
        (
            "retries joined or deduplicated",
            actors.joined + actors.duplicates,
        ),
        (
            "claim conflicts",
            directory.contests_won + directory.contests_lost + directory.refused,
        ),
    ] {
        coverage.add(name, count);
    }
    coverage
}

/// What network and disk counted.
#[must_use]
pub fn of_world(net: &NetCounts, disk: &DiskCounts) -> Coverage {
    let mut coverage = Coverage::default();
    for (name, count) in [
        ("stream resets", net.resets),
        ("frames choked", net.choked),
        ("packets stalled", net.stalled),
        ("connections lost", net.lost),
        ("dials refused", net.refused),
        ("unknown outcomes", disk.unknown),
        ("operations after death", disk.posthumous),
        ("operations lost at death", disk.lost),
    ] {
        coverage.add(name, count);
    }
    coverage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_did_nothing_is_missing_everything() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.missing(BATCH_MIN).count(), MINIMA.len());
        assert_eq!(coverage.missing(BATCH_MIN - 1).count(), 0);
        for (name, minimum) in MINIMA {
            coverage.add(name, *minimum);
        }
        assert_eq!(coverage.missing(100).count(), 0);
        let mut twice = coverage.clone();
        twice.merge(&coverage);
        assert_eq!(twice.missing(200).count(), 0);
    }
}
