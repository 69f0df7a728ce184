//! Rendezvous hashing (Thaler and Ravishankar 1998) of slots over hosts, without a table.
//!
//! The table of [`slots`](super::slots) holds exactly what is computed here, so a placement that
//! goes from one to the other moves nothing.

use super::hash::{fmix64, splitmix64};
use super::hosts::{HostIndex, Hosts};
use super::weight;

/// Up to this many hosts an owner is found without a table in well under 50 ns.
pub const DIRECT_HOSTS_MAX: u16 = 16;

/// The best host of a slot, [`HostIndex::NONE`] if there is none. Cost: 1.4 ns per host.
#[inline]
pub(super) fn best(hosts: &Hosts, slot: u32) -> HostIndex {
    if hosts.len() == 0 {
        return HostIndex::NONE;
    }
    let mixed = splitmix64(u64::from(slot));
    if hosts.has_twins() {
        best_by_rank(hosts, mixed)
    } else if hosts.is_uniform() {
        best_by_hash(hosts, mixed)
    } else {
        best_by_bid(hosts, mixed)
    }
}

/// Whether `challenger` is better than `owner`, which may be nobody.
#[inline]
pub(super) fn is_better(hosts: &Hosts, slot: u32, challenger: HostIndex, owner: HostIndex) -> bool {
    if owner == HostIndex::NONE {
        return true;
    }
    let mixed = splitmix64(u64::from(slot));
    let hash = fmix64(mixed ^ hosts.seeds()[challenger.place()]);
    let to_beat = fmix64(mixed ^ hosts.seeds()[owner.place()]);
    if hosts.is_uniform() && hash != to_beat {
        return hash > to_beat;
    }
    let bid_to_beat = weight::bid(to_beat, hosts.weights()[owner.place()]);
    if weight::surely_above(hash, hosts.weights()[challenger.place()], bid_to_beat) {
        return false;
    }
    hosts.rank(mixed, challenger) > hosts.rank(mixed, owner)
}

/// All weights equal: the lowest bid is that of the highest hash. Different seeds never hash alike,
/// because `fmix64` is a bijection.
#[inline]
fn best_by_hash(hosts: &Hosts, mixed: u64) -> HostIndex {
    let mut best = 0;
    let mut best_hash = 0;
    for (place, seed) in hosts.seeds().iter().enumerate() {
        let hash = fmix64(mixed ^ seed);
        if hash > best_hash {
            best_hash = hash;
            best = place;
        }
    }
    HostIndex(best as u16)
}

fn best_by_bid(hosts: &Hosts, mixed: u64) -> HostIndex {
    let mut best = 0;
    let mut best_hash = 0;
    let mut best_bid = u64::MAX;
    for (place, (seed, weight)) in hosts.seeds().iter().zip(hosts.weights()).enumerate() {
        let hash = fmix64(mixed ^ seed);
        if weight::surely_above(hash, *weight, best_bid) {
            continue;
        }
        let bid = weight::bid(hash, *weight);
        if bid < best_bid || (bid == best_bid && hash > best_hash) {
            best_bid = bid;
            best_hash = hash;
            best = place;
        }
    }
    HostIndex(best as u16)
}

#[cold]
fn best_by_rank(hosts: &Hosts, mixed: u64) -> HostIndex {
    hosts
        .indices()
        .max_by_key(|index| hosts.rank(mixed, *index))
        .unwrap_or(HostIndex::NONE)
}
