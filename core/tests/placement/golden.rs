//! Golden vectors: what every implementation, machine and version must compute.
//!
//! `TREFOIL_WRITE_GOLDEN=1 cargo test -p trefoil-core --test it placement::golden` writes the file
//! anew. A change of an owner is a change of the placement's definition: give it a new version in
//! the fingerprint, or two halves of a cluster will disagree.

use std::fmt::Write;

use trefoil_core::ring::placement::hash::{fmix64, splitmix64};
use trefoil_core::ring::placement::{Placement, PlacementConfig, slot_of, xxh3_64};

use super::{Named, built, reference};

const GOLDEN: &str = include_str!("../golden/placement.txt");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/placement.txt");
const SETS: [(&str, usize, &[u32]); 6] = [
    ("one", 1, &[1]),
    ("three", 3, &[1]),
    ("ten", 10, &[1]),
    ("seventeen", 17, &[1]),
    ("hundred", 100, &[1]),
    ("weighted", 10, &[1, 2, 4]),
];

fn hosts(count: usize, weights: &[u32]) -> Vec<Named> {
    let name = |n: usize| match n % 4 {
        0 => format!("10.0.{}.{}:1338", n / 8, n),
        1 => format!("cart-{n}"),
        2 => format!("cart-{n}.cart.default.svc.cluster.local:1338"),
        _ => format!("[fd00::{n:x}]:1338"),
    };
    (0..count)
        .map(|n| Named {
            name: name(n),
            weight: weights[n % weights.len()],
        })
        .collect()
}

fn ids() -> Vec<u64> {
    let powers = (3..64)
        .step_by(2)
        .flat_map(|bit| [1 << bit, (1 << bit) - 1]);
    (0..16)
        .chain(powers)
        .chain((0..48).map(splitmix64))
        .chain([u64::MAX, u64::MAX - 1])
        .collect()
}

fn placements() -> Vec<Placement> {
    SETS.iter()
        .map(|(_, count, weights)| built(PlacementConfig::default(), &hosts(*count, weights)))
        .collect()
}

fn written() -> String {
    let mut text = String::from(HEAD);
    for n in (0..16).chain([255, 65_535, 1 << 32, u64::MAX]) {
        writeln!(text, "fmix64 {n:x} {:x}", fmix64(n)).unwrap();
        writeln!(text, "splitmix64 {n:x} {:x}", splitmix64(n)).unwrap();
    }
    for length in [
        0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 32, 33, 64, 65, 96, 97, 128, 129, 240, 241, 500, 1024,
        1025, 2049,
    ] {
        let input: String = (0..length)
            .map(|n| char::from(b'a' + (n % 26) as u8))
            .collect();
        writeln!(text, "xxh3 {length} {:x}", xxh3_64(input.as_bytes())).unwrap();
    }
    for hash in [
        0,
        1,
        1 << 32,
        1 << 63,
        u64::MAX / 3,
        u64::MAX / 7 * 6,
        u64::MAX - 65_536,
        u64::MAX,
    ]
    .map(|hash: u64| hash)
    {
        writeln!(text, "cost {hash:x} {}", reference::cost(hash)).unwrap();
    }
    for slots_log2 in [1, 8, 16, 20] {
        for id in ids().into_iter().step_by(8) {
            writeln!(text, "slot {slots_log2} {id:x} {}", slot_of(id, slots_log2)).unwrap();
        }
    }
    for (set, count, weights) in SETS {
        for (number, host) in hosts(count, weights).iter().enumerate() {
            writeln!(text, "host {set} {number} {} {}", host.weight, host.name).unwrap();
        }
    }
    let placements = placements();
    for id in ids() {
        write!(text, "owner {id:x} {}", slot_of(id, 16)).unwrap();
        for placement in &placements {
            write!(text, " {}", placement.owner(id).unwrap()).unwrap();
        }
        text.push('\n');
    }
    writeln!(
        text,
        "fingerprint {:x} {}",
        placements[0].fingerprint(),
        placements[0].config()
    )
    .unwrap();
    text
}

const HEAD: &str = "\
# Golden vectors of the placement; numbers are decimal, ids and hashes hexadecimal.
# fmix64 INPUT OUTPUT
# splitmix64 INPUT OUTPUT
# xxh3 LENGTH OUTPUT               of that many bytes of the alphabet a to z, repeated
# cost HASH COST                   -log2(HASH / 2^64) in units of 2^-57, interpolated
# slot LOG2_OF_SLOTS ID SLOT
# host SET NUMBER WEIGHT STRING
# owner ID SLOT_OF_2^16 ONE THREE TEN SEVENTEEN HUNDRED WEIGHTED     numbers of the owners in the sets
# fingerprint OUTPUT TEXT          of the default setting
";

#[test]
fn the_file_is_what_the_code_computes() {
    let written = written();
    if std::env::var_os("TREFOIL_WRITE_GOLDEN").is_some() {
        std::fs::write(PATH, &written).unwrap();
        return;
    }
    for (number, (golden, written)) in GOLDEN.lines().zip(written.lines()).enumerate() {
        assert_eq!(golden, written, "line {}", number + 1);
    }
    assert_eq!(GOLDEN.len(), written.len());
}

/// The file against the reference, which shares no code with what is tested.
#[test]
fn the_file_is_what_the_reference_computes() {
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut sets: Vec<Vec<Named>> = vec![Vec::new(); SETS.len()];
    let mut owners = 0;
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[0] {
            "fmix64" => assert_eq!(reference::fmix64(hex(fields[1])), hex(fields[2])),
            "splitmix64" => assert_eq!(reference::splitmix64(hex(fields[1])), hex(fields[2])),
            "xxh3" => {
                let input: Vec<u8> = (b'a'..=b'z')
                    .cycle()
                    .take(fields[1].parse().unwrap())
                    .collect();
                assert_eq!(xxhash_rust::xxh3::xxh3_64(&input), hex(fields[2]));
            }
            "cost" => assert_eq!(
                reference::cost(hex(fields[1])),
                fields[2].parse::<u64>().unwrap()
            ),
            "slot" => {
                let slot = reference::slot(hex(fields[2]), fields[1].parse().unwrap());
                assert_eq!(slot, fields[3].parse::<u64>().unwrap());
            }
            "host" => {
                let set = SETS
                    .iter()
                    .position(|(name, _, _)| *name == fields[1])
                    .unwrap();
                assert_eq!(sets[set].len(), fields[2].parse::<usize>().unwrap());
                sets[set].push(Named {
                    name: fields[4].into(),
                    weight: fields[3].parse().unwrap(),
                });
            }
            "owner" => {
                let slot = reference::slot(hex(fields[1]), 16);
                assert_eq!(slot, fields[2].parse::<u64>().unwrap());
                for (set, number) in sets.iter().zip(&fields[3..]) {
                    assert_eq!(
                        reference::owner_of_slot(set, slot),
                        number.parse::<usize>().unwrap(),
                        "{line}"
                    );
                }
                owners += 1;
            }
            "fingerprint" => {
                let text = line.splitn(3, ' ').nth(2).unwrap();
                assert_eq!(xxhash_rust::xxh3::xxh3_64(text.as_bytes()), hex(fields[1]));
            }
            other => panic!("unknown line {other}"),
        }
    }
    assert_eq!(
        sets.iter().map(Vec::len).collect::<Vec<_>>(),
        SETS.map(|(_, count, _)| count)
    );
    assert!(owners >= 100, "{owners} ids");
}
