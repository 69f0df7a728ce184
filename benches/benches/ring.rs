//! Placement against two crates that can also remove any host: `hashring` (a ring of 128 points per
//! host) and `maglev-hash` (its default table). 256k random ids; the owner's number is summed up.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use hashring::HashRing;
use maglev_hash::MaglevTable;
use trefoil_benches::{CountingAllocator, compare, report, report_alone, time};
use trefoil_core::ring::placement::hash::splitmix64;
use trefoil_core::ring::placement::{Host, Placement, PlacementConfig, Structure, Weight};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const IDS: u64 = 1 << 18;
const POINTS_PER_HOST: u32 = 128;
const SIZES: [u32; 4] = [3, 10, 100, 1000];

fn name(key: u32) -> String {
    format!("cart-{key}.cart.default.svc:1338")
}

fn ids() -> Vec<u64> {
    (0..IDS).map(splitmix64).collect()
}

/// Our placement, and the names it was built of.
fn ours(hosts: u32, config: PlacementConfig, weights: &[u32]) -> Placement {
    let mut placement = Placement::new(config).expect("a valid setting");
    rebuild(&mut placement, &names(hosts), weights);
    placement
}

fn names(hosts: u32) -> Vec<String> {
    (0..hosts).map(name).collect()
}

fn rebuild(placement: &mut Placement, names: &[String], weights: &[u32]) {
    let hosts: Vec<_> = (0..)
        .zip(names)
        .map(|(key, name)| Host {
            key,
            name,
            weight: Weight::new(weights[key as usize % weights.len()]).expect("no weight is zero"),
        })
        .collect();
    placement.rebuild(&hosts).expect("different hosts");
}

/// A point on the peer's ring: the host and the number of the point.
type Point = (u32, u32);

fn points(host: u32) -> impl Iterator<Item = Point> {
    (0..POINTS_PER_HOST).map(move |point| (host, point))
}

fn hash_ring(hosts: u32) -> HashRing<Point> {
    let mut ring = HashRing::new();
    ring.batch_add((0..hosts).flat_map(points).collect());
    ring
}

fn maglev(hosts: u32) -> MaglevTable<u32> {
    MaglevTable::new((0..hosts).collect())
}

fn sum_ours(placement: &Placement, ids: &[u64]) -> u64 {
    ids.iter()
        .map(|id| u64::from(placement.owner(*id).unwrap_or(0)))
        .sum()
}

fn sum_hash_ring(ring: &HashRing<Point>, ids: &[u64]) -> u64 {
    ids.iter()
        .map(|id| ring.get(id).map_or(0, |point| u64::from(point.0)))
        .sum()
}

fn sum_maglev(table: &MaglevTable<u32>, ids: &[u64]) -> u64 {
    ids.iter()
        .map(|id| table.get(id).map_or(0, |host| u64::from(*host)))
        .sum()
}

/// Has a result computed although nobody wants it.
fn keep<T>(result: T) {
    black_box(result);
}

fn direct() -> PlacementConfig {
    PlacementConfig {
        structure: Structure::Direct,
        hosts_max: 16,
        ..PlacementConfig::default()
    }
}

fn measured(criterion: &mut Criterion) {
    let ids = ids();
    let mut group = criterion.benchmark_group("ring/owner");
    group.throughput(Throughput::Elements(IDS));
    for hosts in SIZES {
        let placement = ours(hosts, PlacementConfig::default(), &[1]);
        group.bench_function(BenchmarkId::new("trefoil", hosts), |b| {
            b.iter(|| sum_ours(&placement, &ids))
        });
        let ring = hash_ring(hosts);
        group.bench_function(BenchmarkId::new("hashring", hosts), |b| {
            b.iter(|| sum_hash_ring(&ring, &ids))
        });
        let table = maglev(hosts);
        group.bench_function(BenchmarkId::new("maglev-hash", hosts), |b| {
            b.iter(|| sum_maglev(&table, &ids))
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("ring/add+remove");
    for hosts in SIZES {
        let mut placement = ours(hosts, PlacementConfig::default(), &[1]);
        group.bench_function(BenchmarkId::new("trefoil", hosts), |b| {
            b.iter(|| add_remove(&mut placement, hosts))
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("ring/build");
    for hosts in SIZES {
        let names = names(hosts);
        let mut placement = ours(hosts, PlacementConfig::default(), &[1]);
        group.bench_function(BenchmarkId::new("trefoil", hosts), |b| {
            b.iter(|| rebuild(&mut placement, &names, &[1]));
        });
    }
    group.finish();
}

fn add_remove(placement: &mut Placement, key: u32) {
    let added = placement.add(key, "cart-new.cart.default.svc:1338", Weight::ONE);
    assert!(added.is_ok() && placement.remove(key));
}

fn lookups_compared() {
    let ids = ids();
    let count = ids.len() as u32;
    for hosts in SIZES {
        let placement = ours(hosts, PlacementConfig::default(), &[1]);
        let (ring, table) = (hash_ring(hosts), maglev(hosts));
        let ours = || keep(sum_ours(&placement, &ids));
        let (cost, peer) = compare(40, count, ours, || keep(sum_hash_ring(&ring, &ids)));
        report(&format!("owner, {hosts} hosts"), cost, "hashring", peer);
        let (cost, peer) = compare(40, count, ours, || keep(sum_maglev(&table, &ids)));
        report(&format!("owner, {hosts} hosts"), cost, "maglev-hash", peer);
        let dependent = time(40, count, || {
            let owner = ids.iter().fold(0, |owner, id| {
                u64::from(placement.owner(id ^ owner).unwrap_or(0))
            });
            black_box(owner);
        });
        report_alone(
            &format!("owner, {hosts} hosts, each look-up depends on the last"),
            dependent,
        );
    }
    for hosts in [3, 10] {
        let placement = ours(hosts, direct(), &[1]);
        let cost = time(20, count, || keep(sum_ours(&placement, &ids)));
        report_alone(&format!("owner, {hosts} hosts, no table"), cost);
    }
    let large = ours(
        1000,
        PlacementConfig {
            slots_log2: 20,
            ..PlacementConfig::default()
        },
        &[1],
    );
    let cost = time(20, count, || keep(sum_ours(&large, &ids)));
    report_alone("owner, 1000 hosts, 2^20 slots", cost);
}

fn changes_compared() {
    for hosts in SIZES {
        let mut placement = ours(hosts, PlacementConfig::default(), &[1]);
        let mut ring = hash_ring(hosts);
        let change_ring = || {
            ring.batch_add(points(hosts).collect());
            for point in points(hosts) {
                black_box(ring.remove(&point));
            }
        };
        let (cost, peer) = compare(40, 1, || add_remove(&mut placement, hosts), change_ring);
        report(
            &format!("add+remove, {hosts} hosts"),
            cost,
            "hashring",
            peer,
        );
        let change_table = || {
            black_box(maglev(hosts + 1));
            black_box(maglev(hosts));
        };
        let (cost, peer) = compare(40, 1, || add_remove(&mut placement, hosts), change_table);
        report(
            &format!("add+remove, {hosts} hosts"),
            cost,
            "maglev-hash",
            peer,
        );
    }
    for hosts in SIZES {
        let names = names(hosts);
        let mut placement = ours(hosts, PlacementConfig::default(), &[1]);
        let build = || rebuild(&mut placement, &names, &[1]);
        let (cost, peer) = compare(10, 1, build, || keep(hash_ring(hosts)));
        report(&format!("build, {hosts} hosts"), cost, "hashring", peer);
    }
    let mut weighted = ours(1000, PlacementConfig::default(), &[1, 2, 4]);
    let cost = time(40, 1, || add_remove(&mut weighted, 1000));
    report_alone("add+remove, 1000 hosts, three weights", cost);
    let names = names(1000);
    let cost = time(10, 1, || rebuild(&mut weighted, &names, &[1, 2, 4]));
    report_alone("build, 1000 hosts, three weights", cost);
    let mut copy = weighted.clone();
    report_alone("clone, 1000 hosts", time(40, 1, || keep(weighted.clone())));
    report_alone(
        "clone_from, 1000 hosts",
        time(40, 1, || copy.clone_from(&weighted)),
    );
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    measured(&mut criterion);
    criterion.final_summary();
    lookups_compared();
    changes_compared();
}
