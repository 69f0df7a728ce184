//! Three nodes at work ask for no memory: probes, exchanges of views and of ids, calls that stay and
//! calls that are forwarded, journals and snapshots.

#![allow(unsafe_code, clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use trefoil_core::limits::Limits;
use trefoil_core::ring::RingCommand;
use trefoil_core::ring::RingConfig;
use trefoil_core::ring::RingEvent;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent};
use trefoil_core::ring::local::LocalRing;
use trefoil_core::time::Duration;
use trefoil_proto::Encode;
use trefoil_proto::control_plane::{ApplyRequest, GetRequest};
use trefoil_proto::google::Any;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const NAMES: [&str; 3] = ["a:7000", "b:7000", "c:7000"];
const IDS: u64 = 30;

#[derive(Clone, Copy)]
struct Sums;

struct Sum(u64);

impl ActorKind for Sums {
    type Actor = Sum;

    fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<Sum, Failed> {
        let sum = snapshot.map(|bytes| bytes.try_into().map_err(|_| Failed));
        Ok(Sum(sum.transpose()?.map_or(0, u64::from_le_bytes)))
    }
}

impl Actor for Sum {
    fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        self.0 += message.value.len() as u64;
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/test.Sum"
    }
}

fn ring() -> LocalRing<Sums> {
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
    LocalRing::new(&configs, &limits, || Sums).unwrap()
}

/// One call through each node for each id; how many were answered well.
fn round(ring: &mut LocalRing<Sums>, request: &mut [u8], answered: &mut u64) {
    let any = Any {
        type_url: "x/test.Add",
        value: b"abc",
    };
    for id in 1..=IDS {
        for node in 0..NAMES.len() {
            let messages = [any];
            let apply = ApplyRequest {
                id,
                messages: &messages[..],
            };
            let len = apply.encode_to_slice(request).unwrap();
            let deadline = ring.now() + Duration::from_secs(1);
            let mut heard = |_: usize, event: RingEvent<'_>| {
                if let RingEvent::Actors(ActorsEvent::Answer { result: Ok(_), .. }) = event {
                    *answered += 1;
                }
            };
            let start = request.len() - len;
            let apply = ActorsCommand::Apply {
                call: id,
                request: &request[start..],
                request_id: None,
                deadline,
            };
            ring.command(node, RingCommand::Actors(apply), &mut heard)
                .unwrap();
            let len = GetRequest { id }.encode_to_slice(request).unwrap();
            let start = request.len() - len;
            let get = ActorsCommand::Get {
                call: id,
                request: &request[start..],
                deadline,
            };
            ring.command(node, RingCommand::Actors(get), &mut heard)
                .unwrap();
        }
    }
}

#[test]
fn three_nodes_at_work_ask_for_no_memory() {
    let mut ring = ring();
    let mut request = [0; 256];
    let mut warm = 0;
    ring.run_for(Duration::from_secs(5), &mut |_, _| {});
    for _ in 0..200 {
        ring.run_for(Duration::from_millis(500), &mut |_, _| {});
        round(&mut ring, &mut request, &mut warm);
    }
    let forwarded = |ring: &LocalRing<Sums>| -> u64 {
        (0..3)
            .map(|n| ring.ring(n).actors().counters().forwarded)
            .sum()
    };
    let (before, forwarded_before) = (ALLOCATIONS.load(Ordering::SeqCst), forwarded(&ring));
    let mut answered = 0;
    for _ in 0..100 {
        ring.run_for(Duration::from_millis(500), &mut |_, _| {});
        round(&mut ring, &mut request, &mut answered);
    }
    let asked = ALLOCATIONS.load(Ordering::SeqCst) - before;
    assert_eq!(answered, 100 * IDS * 6, "every call is answered");
    assert_eq!(forwarded(&ring) - forwarded_before, 100 * IDS * 4);
    assert_eq!(asked, 0, "requests for memory in 50 s at work");
}
