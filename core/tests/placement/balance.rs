//! Shares of the hosts, exactly: counted over all slots, as a mean over many sets of host names.

use trefoil_core::ring::placement::PlacementConfig;

use super::{built, named, shares};

/// The share of the fullest host against the mean of all.
fn fullest(family: u64, count: usize) -> f64 {
    let placement = built(PlacementConfig::default(), &named(family, count, &[1]));
    let fullest = *shares(&placement, count).iter().max().unwrap();
    f64::from(fullest) * count as f64 / f64::from(placement.slots())
}

fn mean_fullest(families: u64, count: usize) -> f64 {
    (0..families)
        .map(|family| fullest(family, count))
        .sum::<f64>()
        / families as f64
}

#[test]
fn the_fullest_host_has_little_more_than_its_share() {
    for (count, families, bound) in [(3, 64, 1.02), (10, 64, 1.02), (100, 16, 1.12)] {
        let mean = mean_fullest(families, count);
        assert!((1.0..=bound).contains(&mean), "{count} hosts: {mean}");
    }
}

#[test]
fn shares_follow_weights() {
    let weights = [1, 2, 4];
    let families = 32;
    let mut means = [0.0; 10];
    for family in 0..families {
        let hosts = named(family, 10, &weights);
        let placement = built(PlacementConfig::default(), &hosts);
        let sum: u32 = hosts.iter().map(|host| host.weight).sum();
        for (n, share) in shares(&placement, 10).into_iter().enumerate() {
            let ideal = f64::from(placement.slots()) * f64::from(hosts[n].weight) / f64::from(sum);
            let ratio = f64::from(share) / ideal;
            assert!(
                (0.9..1.1).contains(&ratio),
                "family {family}, host {n}: {ratio}"
            );
            means[n] += ratio / f64::from(families as u32);
        }
    }
    for (n, mean) in means.into_iter().enumerate() {
        assert!(
            (0.99..1.01).contains(&mean),
            "weight {}: {mean} of its share",
            weights[n % 3]
        );
    }
}

/// Only ratios of weights count: the same shares, nearly all at the same hosts, whatever the unit.
#[test]
fn the_unit_of_weights_does_not_matter() {
    let slots_log2 = 12;
    let config = PlacementConfig {
        slots_log2,
        ..PlacementConfig::default()
    };
    let units = [1_u32, 1000, 1 << 29].map(|unit| {
        let weights: Vec<u32> = [1, 2, 4].map(|weight| weight * unit).to_vec();
        built(config, &named(0, 10, &weights))
    });
    for other in &units[1..] {
        let moved = (0..1 << slots_log2)
            .filter(|slot| units[0].owner_of_slot(*slot) != other.owner_of_slot(*slot))
            .count();
        assert!(moved <= 2, "{moved} slots moved");
    }
}

/// A host of a small weight among heavy ones gets its share too.
#[test]
fn a_light_host_among_heavy_ones() {
    let mut slots = 0;
    for family in 0..32 {
        let mut hosts = named(family, 5, &[1_000_000]);
        hosts[0].weight = 4_000;
        slots += shares(&built(PlacementConfig::default(), &hosts), 5)[0];
    }
    // 65,536 * 4,000 / 4,004,000 = 65.5 slots of each family; the mean of 32 varies by 1.4.
    assert!((58..74).contains(&(slots / 32)), "{}", slots / 32);
}
