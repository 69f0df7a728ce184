//! Table and direct search find the same owners, so that nothing moves between them.

use trefoil_core::ring::placement::{
    AddError, DIRECT_HOSTS_MAX, Placement, PlacementConfig, PlacementConfigError, Structure, rank,
    slot_of,
};

use super::reference;
use super::{Named, built, named, weight};

const SMALL: PlacementConfig = PlacementConfig {
    slots_log2: 12,
    hosts_max: 64,
    structure: Structure::Table,
    weights: 0,
};

fn owners(placement: &Placement) -> Vec<Option<u32>> {
    (0..placement.slots())
        .map(|slot| placement.owner_of_slot(slot))
        .collect()
}

#[test]
fn crossing_sixteen_hosts_moves_only_what_must_move() {
    for weights in [&[1][..], &[1, 2, 4]] {
        let hosts = named(3, 20, weights);
        let mut crossing = Placement::new(PlacementConfig {
            structure: Structure::ByHostCount,
            ..SMALL
        })
        .unwrap();
        let mut table = Placement::new(SMALL).unwrap();
        let mut before = owners(&crossing);
        let mut step = |crossing: &Placement, table: &Placement, changed: u32| {
            let now = owners(crossing);
            assert_eq!(now, owners(table), "{} hosts", table.len());
            for (old, new) in before.iter().zip(&now).filter(|(old, new)| old != new) {
                assert!(*old == Some(changed) || *new == Some(changed));
            }
            before = now;
        };
        for (key, host) in hosts.iter().enumerate() {
            crossing
                .add(key as u32, &host.name, weight(host.weight))
                .unwrap();
            table
                .add(key as u32, &host.name, weight(host.weight))
                .unwrap();
            step(&crossing, &table, key as u32);
        }
        assert!(table.len() > usize::from(DIRECT_HOSTS_MAX));
        for key in [3, 19, 0, 7, 12, 5] {
            assert!(crossing.remove(key) && table.remove(key));
            step(&crossing, &table, key);
        }
        assert!(table.len() < usize::from(DIRECT_HOSTS_MAX));
    }
}

#[test]
fn direct_equals_table_and_takes_no_memory_for_it() {
    for count in 1..=16 {
        let hosts = named(9, count, &[3, 1]);
        let direct = PlacementConfig {
            structure: Structure::Direct,
            hosts_max: 16,
            ..SMALL
        };
        let (direct, table) = (built(direct, &hosts), built(SMALL, &hosts));
        assert_eq!(owners(&direct), owners(&table));
        for id in 0..1000 {
            assert_eq!(direct.owner(id), table.owner(id));
            assert_eq!(table.owner(id), table.owner_of_slot(table.slot_of(id)));
        }
        for key in 0..count as u32 {
            assert_eq!(direct.slots_of(key), table.slots_of(key));
        }
        assert!(direct.memory_bytes() < 1024, "{}", direct.memory_bytes());
        assert_eq!(direct.fingerprint(), table.fingerprint());
    }
}

#[test]
fn the_owner_has_the_greatest_rank() {
    let hosts = named(5, 12, &[1, 2, 4]);
    let placement = built(SMALL, &hosts);
    for id in 0..2000 {
        let best = (0..12).max_by_key(|key| placement.rank(*key, id)).unwrap();
        assert_eq!(placement.owner(id), Some(best));
        for (key, host) in hosts.iter().enumerate() {
            let free = rank(&host.name, weight(host.weight), id, SMALL.slots_log2);
            assert_eq!(placement.rank(key as u32, id), Some(free));
        }
    }
    assert_eq!(placement.rank(12, 0), None);
    // A rank needs no membership, and even an absurd slot count gives an answer.
    assert_eq!(rank("elsewhere", weight(1), 7, 99).host(), "elsewhere");
}

#[test]
fn every_size_of_table_has_its_slots() {
    for slots_log2 in 1..=20 {
        let config = PlacementConfig {
            slots_log2,
            hosts_max: 2,
            ..SMALL
        };
        let hosts = named(1, 2, &[1]);
        let placement = built(config, &hosts);
        for id in (0..64).map(reference::splitmix64).chain([0, u64::MAX]) {
            let slot = reference::slot(id, slots_log2);
            assert_eq!(u64::from(placement.slot_of(id)), slot);
            assert_eq!(u64::from(slot_of(id, slots_log2)), slot);
            assert_eq!(
                placement.owner(id),
                Some(reference::owner_of_slot(&hosts, slot) as u32)
            );
        }
        assert_eq!(placement.owner_of_slot(placement.slots()), None);
        assert_eq!(
            placement.slots_of(0) + placement.slots_of(1),
            placement.slots()
        );
    }
    assert_eq!(slot_of(u64::MAX, 0), 0);
}

#[test]
fn without_hosts_nobody_owns_anything() {
    for structure in [Structure::Table, Structure::Direct, Structure::ByHostCount] {
        let mut placement = Placement::new(PlacementConfig {
            structure,
            hosts_max: 16,
            ..SMALL
        })
        .unwrap();
        assert!(placement.is_empty());
        for emptied in [false, true] {
            assert_eq!(
                (
                    placement.owner(7),
                    placement.owner_of_slot(7),
                    placement.slots_of(0)
                ),
                (None, None, 0)
            );
            assert!(!placement.remove(0));
            if !emptied {
                placement.add(0, "a", weight(1)).unwrap();
                assert_eq!(
                    (placement.owner(7), placement.slots_of(0)),
                    (Some(0), placement.slots())
                );
                assert!(placement.contains(0) && placement.remove(0) && !placement.contains(0));
            }
        }
    }
}

#[test]
fn refusals_change_nothing() {
    let hosts = named(2, 3, &[1]);
    let mut placement = built(
        PlacementConfig {
            hosts_max: 3,
            ..SMALL
        },
        &hosts,
    );
    let before = owners(&placement);
    assert_eq!(
        placement.add(1, "new", weight(1)),
        Err(AddError::DuplicateKey)
    );
    assert_eq!(
        placement.add(9, &hosts[0].name, weight(1)),
        Err(AddError::DuplicateHost)
    );
    assert_eq!(placement.add(9, "", weight(1)), Err(AddError::HostLength));
    assert_eq!(placement.add(9, "new", weight(1)), Err(AddError::Full));
    let four: Vec<Named> = named(4, 4, &[1]);
    let four: Vec<_> = four
        .iter()
        .enumerate()
        .map(|(key, host)| trefoil_core::ring::placement::Host {
            key: key as u32,
            name: &host.name,
            weight: weight(1),
        })
        .collect();
    assert_eq!(placement.rebuild(&four), Err(AddError::Full));
    assert_eq!(owners(&placement), before);
    assert_eq!(
        placement.hosts().map(|host| host.name.len()).sum::<usize>(),
        3 * hosts[0].name.len()
    );
    let broken = PlacementConfig {
        hosts_max: 0,
        ..SMALL
    };
    assert_eq!(
        Placement::new(broken).err(),
        Some(PlacementConfigError::NoHosts)
    );
}

#[test]
fn a_published_copy_stays_as_it_was() {
    let mut placement = built(SMALL, &named(2, 10, &[1]));
    let published = std::sync::Arc::new(placement.clone());
    let before = owners(&placement);
    placement.remove(4);
    assert_eq!(owners(&published), before);
    let mut copy = Placement::clone(&published);
    copy.clone_from(&placement);
    assert_eq!(owners(&copy), owners(&placement));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(published.owner(1), before[published.slot_of(1) as usize]));
    });
}

#[test]
fn a_copy_follows_its_source_across_the_limit() {
    let config = PlacementConfig {
        structure: Structure::ByHostCount,
        ..SMALL
    };
    let mut source = built(config, &named(8, 17, &[1]));
    let mut copy = source.clone();
    for key in [3, 4] {
        assert!(source.remove(key));
        copy.clone_from(&source);
        assert_eq!(owners(&copy), owners(&source));
        assert_eq!(copy.memory_bytes(), source.memory_bytes());
    }
    for (key, name) in [(3, "new-a"), (4, "new-b")] {
        source.add(key, name, weight(1)).unwrap();
        copy.clone_from(&source);
        assert_eq!(owners(&copy), owners(&source));
        assert!(copy.slots_of(key) > 0);
    }
}
