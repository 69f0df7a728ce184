//! Placement: who should own an id.

mod balance;
mod golden;
mod hashes;
mod histories;
mod reference;
mod structures;

use trefoil_core::ring::placement::{Host, Placement, PlacementConfig, Weight};

/// A host of a test set; its key is its number in the set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    name: String,
    weight: u32,
}

fn weight(value: u32) -> Weight {
    Weight::new(value).unwrap()
}

/// Hosts named after `family`, with the weights in turn.
fn named(family: u64, count: usize, weights: &[u32]) -> Vec<Named> {
    (0..count)
        .map(|n| Named {
            name: format!("cart-{n}.family-{family}:1338"),
            weight: weights[n % weights.len()],
        })
        .collect()
}

fn built(config: PlacementConfig, hosts: &[Named]) -> Placement {
    let mut placement = Placement::new(config).unwrap();
    let hosts: Vec<_> = hosts
        .iter()
        .enumerate()
        .map(|(key, host)| Host {
            key: key as u32,
            name: &host.name,
            weight: weight(host.weight),
        })
        .collect();
    placement.rebuild(&hosts).unwrap();
    placement
}

/// The slots of each host, counted over all slots.
fn shares(placement: &Placement, hosts: usize) -> Vec<u32> {
    let mut shares = vec![0; hosts];
    for slot in 0..placement.slots() {
        shares[placement.owner_of_slot(slot).unwrap() as usize] += 1;
    }
    shares
}
