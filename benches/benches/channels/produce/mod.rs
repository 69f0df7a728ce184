//! Appending records over the loopback: our client and our node, beside JetStream and Redis Streams.
//!
//! Every server is a process of its own with an empty directory on one disk. Our client is the one programs use.
//! Those of the others are the leanest there can be (see [`pipeline`]), and their producers share one connection, as
//! ours do. Contenders take turns, so that whatever slows the machine slows all.

mod load;
mod nats;
mod ours;
mod pipeline;
mod redis;
mod server;

use std::time::Duration;

use trefoil_benches::{allocations, count, is_test};

pub(crate) use self::load::{Contender, Load};
use self::load::{Sample, median};
use self::nats::{Nats, Storage};
pub(crate) use self::ours::{CHANNEL, Kept, Trefoil, is_child};
use self::redis::{Persistence, Redis};
use crate::argument;

const ROUNDS: usize = 7;

/// Producers, records of each in flight, and bytes of a record.
const LOADS: [(usize, usize, usize); 7] = [
    (1, 1, 100),
    (1, 64, 100),
    (64, 16, 100),
    (1, 64, 1 << 10),
    (64, 16, 1 << 10),
    (1, 16, 64 << 10),
    (64, 2, 64 << 10),
];

/// What starts a contender.
type Start = fn() -> Box<dyn Contender>;

pub(crate) fn all() {
    let mut durable: Vec<Start> = vec![|| Box::new(Trefoil::start(Kept::Synced))];
    let mut in_memory: Vec<Start> = vec![|| Box::new(Trefoil::start(Kept::InMemory))];
    if found(nats::PROGRAM) {
        if nats::can_sync() {
            durable.push(|| Box::new(Nats::start(Storage::Synced)));
        } else {
            println!("  it has no sync_interval: it never syncs before it acknowledges");
        }
        durable.push(|| Box::new(Nats::start(Storage::File)));
        in_memory.push(|| Box::new(Nats::start(Storage::Memory)));
    }
    if found(redis::PROGRAM) {
        durable.push(|| Box::new(Redis::start(Persistence::Always)));
        durable.push(|| Box::new(Redis::start(Persistence::EverySecond)));
        in_memory.push(|| Box::new(Redis::start(Persistence::Off)));
    }
    let only = argument("--load");
    for (producers, in_flight, bytes) in LOADS {
        let load = format!("{producers}x{in_flight}x{bytes}");
        if only.as_ref().is_some_and(|only| *only != load) {
            continue;
        }
        for (kept, contenders) in [("on disk", &durable), ("in memory", &in_memory)] {
            println!("{bytes} B, {producers} x {in_flight} in flight, {kept}");
            contest(contenders, whole(producers, in_flight, bytes));
        }
    }
}

/// Whether the program of a peer is there; says which, or that it is not.
fn found(program: &str) -> bool {
    let version = server::version(program);
    match &version {
        Some(version) => println!("{program}: {version}"),
        None => println!("{program} is not installed and is left out"),
    }
    version.is_some()
}

fn whole(producers: usize, in_flight: usize, bytes: usize) -> Load {
    let (records, time_max) = if is_test() {
        (64, Duration::from_secs(1))
    } else {
        (32 << 20, Duration::from_millis(300))
    };
    // Not more than 32 MiB of payloads in a round: servers keep all of it in memory.
    let records_max = if is_test() {
        records
    } else {
        records / bytes.max(640)
    };
    Load {
        producers,
        in_flight,
        bytes,
        records_max,
        time_max,
    }
}

fn contest(contenders: &[Start], load: Load) {
    let mut contenders: Vec<_> = contenders.iter().map(|start| start()).collect();
    for contender in &mut contenders {
        // The first makes connections, buffers and tables what they will be.
        contender.run(load);
    }
    let allocated: Vec<_> = contenders
        .iter_mut()
        .map(|contender| allocated(&mut **contender, load))
        .collect();
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..if is_test() { 1 } else { ROUNDS } {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            samples.push(Sample::of(&mut **contender, load));
        }
    }
    for ((contender, samples), allocated) in contenders.iter().zip(&samples).zip(allocated) {
        let of = |what: fn(&Sample) -> f64| median(samples, what);
        println!(
            "  {:32} {:8.0} a second, p50 {:7.3} ms, p99 {:7.3} ms, CPU {:6.2} us + {:6.2} us{allocated}",
            contender.name(),
            of(|sample| sample.rate),
            of(|sample| sample.p50) / 1e3,
            of(|sample| sample.p99) / 1e3,
            of(|sample| sample.client_cpu),
            of(|sample| sample.server_cpu),
        );
    }
}

/// Allocations a record, of the client and of the server, where the server can count.
fn allocated(contender: &mut dyn Contender, load: Load) -> String {
    let Some(server) = contender.server_allocations(true) else {
        return String::new();
    };
    count(true);
    let client = allocations();
    let records = contender.run(load).len() as f64;
    let client = (allocations() - client) as f64 / records;
    count(false);
    let server = contender.server_allocations(false).unwrap_or(server) - server;
    let server = server as f64 / records;
    format!(", allocations {client:.2} + {server:.2}")
}
