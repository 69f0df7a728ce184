//! The store's log engines beside each other: the write-ahead log and redb, both with `fdatasync` before anything is
//! acknowledged, in turn within one run.

#![allow(missing_docs)]
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod load;

use std::time::{Duration, Instant};

use trefoil_benches::{CountingAllocator, allocations, count, is_test};
use trefoil_core::storage::Op;
use trefoil_store::{Durability, LogEngine, Store, StoreOptions};

use crate::load::{Folder, Load, wait_for};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ENGINES: [LogEngine; 2] = [LogEngine::Wal, LogEngine::Redb];

/// How long an engine works in one round, and how many rounds there are.
fn pace() -> (Duration, usize) {
    if is_test() {
        (Duration::from_millis(20), 1)
    } else {
        (Duration::from_millis(400), 3)
    }
}

fn main() {
    count(false);
    println!("appends a second: the best round of each engine, in turn");
    for bytes in [100, 1_024, 65_536] {
        for (logs, in_flight) in [(1, 1), (1, 64), (1, 1_024), (1_000, 64), (1_000, 1_024)] {
            appends(logs, in_flight, bytes);
        }
    }
    allocated();
    votes();
    reopening();
}

fn options(engine: LogEngine) -> StoreOptions {
    StoreOptions {
        log_engine: engine,
        durability: Durability::Fdatasync,
        ..StoreOptions::default()
    }
}

fn appends(logs: usize, in_flight: usize, bytes: usize) {
    let (time, rounds) = pace();
    let folders = ENGINES.map(|_| Folder::new());
    let mut loads: Vec<Load> = ENGINES
        .iter()
        .zip(&folders)
        .map(|(engine, folder)| {
            let store = Store::open(folder.path(), options(*engine));
            Load::new(&store.expect("a store"), logs, bytes)
        })
        .collect();
    let mut best = [0_f64; 2];
    for _ in 0..rounds {
        for (best, load) in best.iter_mut().zip(&mut loads) {
            *best = best.max(load.run(in_flight, time));
        }
    }
    println!(
        "{logs} logs, {in_flight} in flight, {bytes} bytes: wal {:.0}, redb {:.0}, ratio {:.2}",
        best[0],
        best[1],
        best[0] / best[1]
    );
}

/// Allocations of the whole process, caller and store, once the store has had its largest load.
fn allocated() {
    let appends = if is_test() { 2_000 } else { 50_000 };
    for engine in ENGINES {
        let folder = Folder::new();
        let store = Store::open(folder.path(), options(engine));
        let mut load = Load::new(&store.expect("a store"), 1_000, 1_024);
        load.write(1_024, appends);
        count(true);
        let before = allocations();
        load.write(1_024, appends);
        let taken = (allocations() - before) as f64 / appends as f64;
        count(false);
        println!("allocations an append of 1 KiB, 1,024 in flight, {engine:?}: {taken:.2}");
    }
}

/// A node's vote, one after the other, beside 1,024 appends in flight.
fn votes() {
    let (time, rounds) = pace();
    for engine in ENGINES {
        let folder = Folder::new();
        let store = Store::open(folder.path(), options(engine));
        let store = store.expect("a store");
        let mut load = Load::new(&store, 1_000, 1_024);
        let mut voter = store.session("voter");
        let mut took = Vec::new();
        std::thread::scope(|scope| {
            let appends = scope.spawn(move || load.run(1_024, time * rounds as u32));
            while !appends.is_finished() {
                let begun = Instant::now();
                let keep = Op::Keep {
                    key: b"vote",
                    value: &[1; 64],
                };
                voter.run(keep);
                took.push(begun.elapsed());
            }
        });
        took.sort();
        let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
        println!(
            "votes beside 1,024 appends of 1 KiB, {engine:?}: {} votes, p50 {:.2} ms, p99 {:.2} ms",
            took.len(),
            at(50),
            at(99)
        );
    }
}

/// How long it takes to open a log of 1,000 logs.
fn reopening() {
    let records = if is_test() { 2_000 } else { 1_000_000 };
    let folder = Folder::new();
    {
        let store = Store::open(folder.path(), options(LogEngine::Wal));
        let mut load = Load::new(&store.expect("a store"), 1_000, 1_024);
        load.write(1_024, records);
    }
    let begun = Instant::now();
    let store = Store::open(folder.path(), options(LogEngine::Wal));
    let mut session = store.expect("a store").session("a");
    wait_for(&mut session, Op::Tail { log: b"log 0" });
    println!(
        "opening {records} records of 1 KiB in 1,000 logs: {:.0} ms",
        begun.elapsed().as_secs_f64() * 1e3
    );
}
