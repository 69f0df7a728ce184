//! Random histories: whatever happened before, the owners are those of the hosts that are there, and
//! a change moves nothing but what it must.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trefoil_core::ring::placement::{Placement, PlacementConfig, Structure};

use super::{Named, built, reference, weight};

const CONFIG: PlacementConfig = PlacementConfig {
    slots_log2: 8,
    hosts_max: 64,
    structure: Structure::Table,
    weights: 0,
};

/// Adds the host of this number with this weight, or removes it if it is there.
type Toggle = (u8, u32);

fn history(weights: impl Strategy<Value = u32>) -> impl Strategy<Value = Vec<Toggle>> {
    proptest::collection::vec((0..32_u8, weights), 1..48)
}

fn owners(placement: &Placement) -> Vec<Option<u32>> {
    (0..placement.slots())
        .map(|slot| placement.owner_of_slot(slot))
        .collect()
}

fn name(number: u8) -> String {
    format!("10.0.{}.{}:1338", number % 5, number)
}

fn check(history: &[Toggle], structure: Structure) -> Result<(), TestCaseError> {
    let config = PlacementConfig {
        structure,
        ..CONFIG
    };
    let mut placement = Placement::new(config).unwrap();
    let mut present: BTreeMap<u8, u32> = BTreeMap::new();
    let mut before = owners(&placement);
    for (number, new_weight) in history {
        let key = u32::from(*number);
        let added = present.remove(number).is_none();
        if added {
            present.insert(*number, *new_weight);
            placement
                .add(key, &name(*number), weight(*new_weight))
                .unwrap();
        } else {
            prop_assert!(placement.remove(key));
        }
        let now = owners(&placement);
        for (old, new) in before.iter().zip(&now) {
            // Exactly ideal: a slot moves if and only if it comes to, or was of, this very host.
            let moved_by_need = if added {
                *new == Some(key)
            } else {
                *old == Some(key)
            };
            prop_assert_eq!(old != new, moved_by_need);
        }
        before = now;
    }
    let hosts: Vec<Named> = present
        .iter()
        .map(|(number, weight)| Named {
            name: name(*number),
            weight: *weight,
        })
        .collect();
    let numbers: Vec<u32> = present.keys().map(|number| u32::from(*number)).collect();
    let fresh = built(config, &hosts);
    for slot in 0..placement.slots() {
        let fresh = fresh.owner_of_slot(slot).map(|key| numbers[key as usize]);
        prop_assert_eq!(placement.owner_of_slot(slot), fresh);
    }
    for slot in (0..placement.slots())
        .step_by(16)
        .filter(|_| !hosts.is_empty())
    {
        let naive = reference::owner_of_slot(&hosts, u64::from(slot));
        prop_assert_eq!(placement.owner_of_slot(slot), Some(numbers[naive]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_weights(history in history(Just(1))) {
        check(&history, Structure::Table)?;
    }

    #[test]
    fn mixed_weights(history in history(prop_oneof![1..5_u32, any::<u32>().prop_map(|weight| weight.max(1))])) {
        check(&history, Structure::Table)?;
    }

    #[test]
    fn across_the_direct_limit(history in history(prop_oneof![9 => Just(1), 1 => Just(3)])) {
        check(&history, Structure::ByHostCount)?;
    }

    #[test]
    fn any_order_of_the_same_hosts(numbers in Just((0..24_u8).collect::<Vec<_>>()).prop_shuffle()) {
        let place = |numbers: &[u8]| {
            let mut placement = Placement::new(CONFIG).unwrap();
            for number in numbers {
                placement.add(u32::from(*number), &name(*number), weight(1 + u32::from(*number % 3))).unwrap();
            }
            owners(&placement)
        };
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        prop_assert_eq!(place(&numbers), place(&sorted));
    }
}

/// Three hosts, one dies: a third of the ids move, not two thirds.
#[test]
fn the_death_of_one_of_three_moves_a_third() {
    let hosts = super::named(0, 3, &[1]);
    let mut placement = built(PlacementConfig::default(), &hosts);
    let before: Vec<_> = (0..100_000).map(|id| placement.owner(id)).collect();
    placement.remove(1);
    let moved = (0..100_000)
        .filter(|id| placement.owner(*id) != before[*id as usize])
        .count();
    assert!(moved <= 34_000, "{moved}");
}
