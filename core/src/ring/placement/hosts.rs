//! The hosts of a placement: dense columns, so that a search for the best host of a slot runs over
//! consecutive seeds.

use alloc::string::String;
use alloc::vec::Vec;

use super::rank::Rank;
use super::weight::Weight;
use super::{AddError, HOST_BYTES_MAX};
use crate::xxh3::xxh3_64;

/// A place in the columns. It changes when another host is removed, so nothing outside keeps one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostIndex(pub(super) u16);

impl HostIndex {
    /// No host. Never a place: there are at most 65,535 of them.
    pub(super) const NONE: Self = Self(u16::MAX);

    #[inline]
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Bytes reserved for a host string; longer ones let the memory grow once.
const HOST_BYTES_TYPICAL: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    bytes: u32,
}

/// The set. All columns have one entry per host.
#[derive(Debug)]
pub(super) struct Hosts {
    seeds: Vec<u64>,
    weights: Vec<Weight>,
    keys: Vec<u32>,
    spans: Vec<Span>,
    /// All host strings, one after the other.
    names: String,
    hosts_max: u16,
    /// All weights are equal: then they decide nothing.
    uniform: bool,
    /// Two hosts have the same seed: then their strings decide. Expected once in 2^64 pairs.
    twins: bool,
}

impl Hosts {
    /// Room for `hosts_max` hosts at 24 + 32 bytes each.
    pub(super) fn new(hosts_max: u16) -> Self {
        let hosts = usize::from(hosts_max);
        Self {
            seeds: Vec::with_capacity(hosts),
            weights: Vec::with_capacity(hosts),
            keys: Vec::with_capacity(hosts),
            spans: Vec::with_capacity(hosts),
            names: String::with_capacity(hosts * HOST_BYTES_TYPICAL),
            hosts_max,
            uniform: true,
            twins: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seeds.len()
    }

    pub(super) fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    pub(super) fn weights(&self) -> &[Weight] {
        &self.weights
    }

    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    pub(super) fn is_uniform(&self) -> bool {
        self.uniform
    }

    pub(super) fn has_twins(&self) -> bool {
        self.twins
    }

    #[inline]
    pub(super) fn key(&self, index: HostIndex) -> Option<u32> {
        self.keys.get(index.place()).copied()
    }

    /// Linear in the number of hosts.
    pub(super) fn find(&self, key: u32) -> Option<HostIndex> {
        let place = self.keys.iter().position(|other| *other == key)?;
        Some(HostIndex(place as u16))
    }

    pub(super) fn name(&self, index: HostIndex) -> &str {
        let span = self.spans[index.place()];
        &self.names[span.start as usize..(span.start + span.bytes) as usize]
    }

    pub(super) fn rank(&self, mixed: u64, index: HostIndex) -> Rank<'_> {
        let place = index.place();
        Rank::new(
            mixed,
            self.seeds[place],
            self.weights[place],
            self.name(index),
        )
    }

    pub(super) fn insert(
        &mut self,
        key: u32,
        host: &str,
        weight: Weight,
    ) -> Result<HostIndex, AddError> {
        self.insert_seeded(key, host, weight, xxh3_64(host.as_bytes()))
    }

    fn insert_seeded(
        &mut self,
        key: u32,
        host: &str,
        weight: Weight,
        seed: u64,
    ) -> Result<HostIndex, AddError> {
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return Err(AddError::HostLength);
        }
        if self.keys.contains(&key) {
            return Err(AddError::DuplicateKey);
        }
        let twins = self.seeds.contains(&seed);
        if twins && self.indices().any(|index| self.name(index) == host) {
            return Err(AddError::DuplicateHost);
        }
        if self.len() == usize::from(self.hosts_max) {
            return Err(AddError::Full);
        }
        let index = HostIndex(self.len() as u16);
        self.spans.push(Span {
            start: self.names.len() as u32,
            bytes: host.len() as u32,
        });
        self.names.push_str(host);
        self.seeds.push(seed);
        self.keys.push(key);
        self.weights.push(weight);
        self.uniform &= weight == self.weights[0];
        self.twins |= twins;
        Ok(index)
    }

    /// Takes a host out; the last one moves to its place.
    pub(super) fn remove(&mut self, index: HostIndex) {
        let place = index.place();
        let gone = self.spans.swap_remove(place);
        self.names
            .drain(gone.start as usize..(gone.start + gone.bytes) as usize);
        for span in self.spans.iter_mut().filter(|span| span.start > gone.start) {
            span.start -= gone.bytes;
        }
        self.seeds.swap_remove(place);
        self.keys.swap_remove(place);
        self.weights.swap_remove(place);
        self.uniform = self.uniform || self.weights.windows(2).all(|pair| pair[0] == pair[1]);
        self.twins =
            self.twins && (1..self.len()).any(|n| self.seeds[..n].contains(&self.seeds[n]));
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.len() as u16).map(HostIndex)
    }

    /// Bytes of heap memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.seeds.capacity() * size_of::<u64>()
            + self.weights.capacity() * size_of::<Weight>()
            + self.keys.capacity() * size_of::<u32>()
            + self.spans.capacity() * size_of::<Span>()
            + self.names.capacity()
    }
}

impl Clone for Hosts {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.hosts_max);
        copy.clone_from(self);
        copy
    }

    fn clone_from(&mut self, source: &Self) {
        self.seeds.clone_from(&source.seeds);
        self.weights.clone_from(&source.weights);
        self.keys.clone_from(&source.keys);
        self.spans.clone_from(&source.spans);
        self.names.clone_from(&source.names);
        self.hosts_max = source.hosts_max;
        self.uniform = source.uniform;
        self.twins = source.twins;
    }
}

#[cfg(test)]
mod tests {
    use super::super::direct::best;
    use super::super::slots::HrwSlots;
    use super::*;

    fn set(names: &[&str], seed: impl Fn(&str) -> u64) -> Hosts {
        let mut hosts = Hosts::new(8);
        for (key, name) in names.iter().enumerate() {
            hosts
                .insert_seeded(key as u32, name, Weight::ONE, seed(name))
                .unwrap();
        }
        hosts
    }

    #[test]
    fn names_stay_with_their_keys() {
        let mut hosts = set(&["a", "bb", "ccc", "dddd"], |name| xxh3_64(name.as_bytes()));
        hosts.remove(HostIndex(1));
        hosts.insert(9, "eeeee", Weight::ONE).unwrap();
        hosts.remove(HostIndex(0));
        let mut held: Vec<_> = hosts
            .indices()
            .map(|index| (hosts.name(index), hosts.key(index).unwrap()))
            .collect();
        held.sort_unstable();
        assert_eq!(held, [("ccc", 2), ("dddd", 3), ("eeeee", 9)]);
        assert_eq!(hosts.names.len(), 12);
        assert_eq!(hosts.key(HostIndex::NONE), None);
    }

    #[test]
    fn refused_hosts_change_nothing() {
        let mut hosts = set(&["a", "b"], |name| xxh3_64(name.as_bytes()));
        hosts.hosts_max = 2;
        let long = "x".repeat(HOST_BYTES_MAX + 1);
        assert_eq!(hosts.insert(7, "", Weight::ONE), Err(AddError::HostLength));
        assert_eq!(
            hosts.insert(7, &long, Weight::ONE),
            Err(AddError::HostLength)
        );
        assert_eq!(
            hosts.insert(1, "c", Weight::ONE),
            Err(AddError::DuplicateKey)
        );
        assert_eq!(
            hosts.insert(7, "b", Weight::ONE),
            Err(AddError::DuplicateHost)
        );
        assert_eq!(hosts.insert(7, "c", Weight::ONE), Err(AddError::Full));
        assert_eq!((hosts.len(), hosts.names.as_str()), (2, "ab"));
    }

    #[test]
    fn equal_seeds_go_to_the_smaller_name_in_any_order() {
        // Three twins and one other; the twins' slots all go to the smallest of them that is there.
        let seed = |name: &str| u64::from(name == "other") + 77;
        for order in [
            ["m", "other", "k", "z"],
            ["k", "z", "m", "other"],
            ["z", "k", "other", "m"],
        ] {
            let mut hosts = set(&order, seed);
            assert!(hosts.has_twins());
            let mut table = HrwSlots::new(8);
            table.rebuild(&hosts);
            let mut grown = Hosts::new(8);
            let mut grown_table = HrwSlots::new(8);
            for (key, name) in order.iter().enumerate() {
                let index = grown
                    .insert_seeded(key as u32, name, Weight::ONE, seed(name))
                    .unwrap();
                grown_table.add(&grown, index);
            }
            for expected in ["k", "m", "z"] {
                let mut won = 0;
                for slot in 0..256 {
                    let owner = table.owner_of_slot(slot).unwrap();
                    assert_eq!(owner, best(&hosts, slot));
                    assert_eq!(
                        hosts.name(owner),
                        grown.name(grown_table.owner_of_slot(slot).unwrap())
                    );
                    assert!(["other", expected].contains(&hosts.name(owner)));
                    won += u32::from(hosts.name(owner) == expected);
                }
                assert!(won > 64, "{won}");
                for (hosts, table) in [(&mut hosts, &mut table), (&mut grown, &mut grown_table)] {
                    let gone = hosts
                        .indices()
                        .find(|index| hosts.name(*index) == expected)
                        .unwrap();
                    hosts.remove(gone);
                    table.remove(hosts, gone);
                }
            }
            assert!(!hosts.has_twins());
        }
    }
}
