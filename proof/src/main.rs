//! The proof that the core needs no std and, once constructed and warm, no memory: three nodes find
//! each other, claim ids, journal, forward, take snapshots, and lose nothing, while the allocator is
//! shut. Any argument plants one allocation in the middle, which must end the process with code 3.

#![no_std]
#![no_main]

extern crate alloc;

mod bare;

use alloc::vec::Vec;
use core::fmt::Write;

use trefoil_core::limits::Limits;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent};
use trefoil_core::ring::local::LocalRing;
use trefoil_core::ring::{RingCommand, RingConfig, RingEvent};
use trefoil_core::time::Duration;
use trefoil_proto::control_plane::{ApplyRequest, ApplyResult, GetRequest};
use trefoil_proto::google::Any;
use trefoil_proto::{Decode, Encode};

#[global_allocator]
static ARENA: bare::Arena = bare::Arena::new();

const NAMES: [&str; 3] = ["a:7000", "b:7000", "c:7000"];
const IDS: u64 = 30;
const WARM_ROUNDS: u64 = 200;
const ROUNDS: u64 = 200;

struct Counters;

/// Counts the messages it was sent.
struct Counter(u64);

impl ActorKind for Counters {
    type Actor = Counter;

    fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<Counter, Failed> {
        let count = snapshot.map(|bytes| bytes.try_into().map_err(|_| Failed));
        Ok(Counter(count.transpose()?.map_or(0, u64::from_le_bytes)))
    }
}

impl Actor for Counter {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        self.0 += 1;
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/proof.Counter"
    }
}

fn cluster() -> LocalRing<Counters> {
    let configs: Vec<RingConfig> = (1..)
        .zip(NAMES)
        .map(|(boot, name)| {
            let mut config = RingConfig::lan(name, &NAMES, boot);
            config.membership.hosts_max = 16;
            config.membership.candidates_max = 16;
            config.directory.ids_max = 4_096;
            config.directory.peers_max = 16;
            config.actors.calls_max = 256;
            config.actors.actors_max = 256;
            config.actors.snapshot_records = 16;
            config.actors.dedupe_ids = 64;
            config
        })
        .collect();
    let limits = Limits {
        streams_max: 256,
        nodes_max: 16,
        storage_ops_max: 256,
        ..Limits::default()
    };
    match LocalRing::new(&configs, &limits, || Counters) {
        Ok(ring) => ring,
        Err(error) => panic!("{error}"),
    }
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    /// Answers that held what they had to.
    right: u64,
    /// All others.
    wrong: u64,
}

/// Half a second of gossip, then one Apply and one Get through each node for each id. `count` is what
/// each actor holds before.
fn round(ring: &mut LocalRing<Counters>, mut count: u64, seen: &mut Seen) {
    ring.run_for(Duration::from_millis(500), &mut |_, _| {});
    let mut bytes = [0; 256];
    let messages = [Any {
        type_url: "x/proof.Add",
        value: b"one",
    }];
    for node in 0..NAMES.len() {
        count += 1;
        for id in 1..=IDS {
            let deadline = ring.now() + Duration::from_secs(1);
            let mut heard = |_: usize, event: RingEvent<'_>| {
                let RingEvent::Actors(ActorsEvent::Answer { call, result }) = event else {
                    return;
                };
                let right = result.is_ok_and(|answer| match call {
                    0 => holds(answer, count),
                    _ => !answer.is_empty(),
                });
                *if right {
                    &mut seen.right
                } else {
                    &mut seen.wrong
                } += 1;
            };
            let request = ApplyRequest {
                id,
                messages: &messages[..],
            };
            let len = request.encode_to_slice(&mut bytes).unwrap_or(0);
            let apply = ActorsCommand::Apply {
                call: 0,
                request: &bytes[bytes.len() - len..],
                request_id: None,
                deadline,
            };
            let applied = ring.command(node, RingCommand::Actors(apply), &mut heard);
            let len = GetRequest { id }.encode_to_slice(&mut bytes).unwrap_or(0);
            let get = ActorsCommand::Get {
                call: 1,
                request: &bytes[bytes.len() - len..],
                deadline,
            };
            let got = ring.command(node, RingCommand::Actors(get), &mut heard);
            seen.wrong += u64::from(applied.is_err()) + u64::from(got.is_err());
        }
    }
}

fn holds(answer: &[u8], count: u64) -> bool {
    ApplyResult::parse(answer)
        .ok()
        .and_then(|result| result.state)
        .is_some_and(|state| state.value == count.to_le_bytes())
}

#[unsafe(no_mangle)]
extern "C" fn main(arguments: i32) -> i32 {
    let mut ring = cluster();
    let mut seen = Seen::default();
    ring.run_for(Duration::from_secs(5), &mut |_, _| {});
    for warm in 0..WARM_ROUNDS {
        round(&mut ring, warm * 3, &mut seen);
    }
    let used = ARENA.used();
    ARENA.shut();
    for number in WARM_ROUNDS..WARM_ROUNDS + ROUNDS {
        round(&mut ring, number * 3, &mut seen);
        if arguments > 1 && number == WARM_ROUNDS + ROUNDS / 2 {
            drop(core::hint::black_box(alloc::vec![1_u8; 16]));
        }
    }
    ARENA.open();
    let members: usize = (0..3).map(|node| ring.ring(node).membership().live()).sum();
    let counters = (0..3).map(|node| *ring.ring(node).actors().counters());
    let (forwarded, snapshots) = counters.fold((0, 0), |(forwarded, snapshots), counters| {
        (
            forwarded + counters.forwarded,
            snapshots + counters.snapshots,
        )
    });
    let expected = (WARM_ROUNDS + ROUNDS) * IDS * 6;
    let holds = members == 9 && seen.right == expected && seen.wrong == 0 && ARENA.used() == used;
    let _ = writeln!(
        bare::Out,
        "{}: no std; {} of {expected} answers right, {} wrong; {forwarded} forwarded, {snapshots} \
         snapshots; {} KiB taken before the allocator was shut, 0 in {} s of work after",
        if holds { "proved" } else { "FAILED" },
        seen.right,
        seen.wrong,
        used >> 10,
        ROUNDS / 2,
    );
    i32::from(!holds)
}
