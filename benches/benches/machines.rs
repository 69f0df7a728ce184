//! The machines at work, without any transport: a ping served, a claim taken in, an Apply here and an
//! Apply forwarded. The ping is compared with `foca`, another membership without IO; a forwarded
//! Apply, for which there is no peer, with the same Apply at its owner.

#![allow(missing_docs)]

use std::hint::black_box;
use std::task::{Context, Poll};

use criterion::Criterion;
use foca::{AccumulatingRuntime, Foca, PostcardCodec, Timer};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use trefoil_benches::{CountingAllocator, compare, report, report_alone, time};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::identity::Identity;
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::memory::{MemorySession, MemoryStore};
use trefoil_core::method::control_plane;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent};
use trefoil_core::ring::local::LocalRing;
use trefoil_core::ring::{Ring, RingCommand, RingConfig, RingEvent};
use trefoil_core::status::Status;
use trefoil_core::stream::Class;
use trefoil_core::time::{Duration, Instant};
use trefoil_core::transport::{Arrival, Caller, Transport};
use trefoil_proto::Encode;
use trefoil_proto::control_plane::{ApplyRequest, OwnershipAnnounce};
use trefoil_proto::google::Any;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NAMES: [&str; 3] = ["10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000"];
const ROUNDS: u32 = 200;
const OPERATIONS: u32 = 1_000;

/// Takes everything and carries nothing.
#[derive(Default)]
struct Nowhere {
    bound: Option<StreamId>,
    frame: Vec<u8>,
    ends: u64,
}

impl Transport for Nowhere {
    type Buf = Vec<u8>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        Poll::Pending
    }

    fn dial(&mut self, _: LinkId, _: &str, _: Class) {}

    fn hang_up(&mut self, _: LinkId) {}

    fn bind(&mut self, _: CallId, stream: StreamId, _: Header<'_>) {
        self.bound = Some(stream);
    }

    fn refuse(&mut self, _: CallId, _: Status<'_>) {}

    fn open(&mut self, _: StreamId, _: LinkId, _: MethodId, _: Header<'_>, _: Option<Duration>) {}

    fn frame(&mut self, _: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.frame.resize(len, 0);
        Ok(&mut self.frame)
    }

    fn credit(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, _: StreamId) {}

    fn end(&mut self, _: StreamId, _: Status<'_>) {
        self.ends += 1;
    }

    fn flush(&mut self) {}
}

fn config(name: &str, boot: u64) -> RingConfig {
    let mut config = RingConfig::lan(name, &NAMES, boot);
    config.directory.ids_max = 1 << 16;
    config.actors.snapshot_records = 64;
    config.actors.dedupe_ids = 256;
    config
}

/// A node that hears from one peer.
struct Served {
    engine: Engine<Ring>,
    transport: Nowhere,
    session: MemorySession,
    header: Vec<u8>,
    calls: u64,
}

impl Served {
    fn new() -> Self {
        let ring = Ring::new(config(NAMES[0], 1)).expect("a configuration that holds");
        let placement = ring.directory().placement().fingerprint();
        let engine = EngineConfig {
            placement,
            ..EngineConfig::new(NAMES[0], "bench", 1)
        };
        let mut header = vec![0; 512];
        let mut writer = HeaderWriter::new(&mut header);
        let identity = Identity {
            node: NAMES[1],
            boot: 2,
            incarnation: 1,
            cluster: "bench",
            placement,
            store: 0,
            electorate: 0,
            features: 0,
        };
        identity.write(&mut writer).expect("a header that fits");
        let header = writer.finish().0.to_vec();
        let mut served = Self {
            engine: Engine::new(engine, ring).expect("limits that hold"),
            transport: Nowhere::default(),
            session: MemoryStore::new().session(NAMES[0], 64),
            header,
            calls: 0,
        };
        served.call(control_plane::PING, &[]);
        served
    }

    fn arrive(&mut self, arrival: Arrival<Vec<u8>>) -> Arrival<Vec<u8>> {
        let Self {
            engine,
            transport,
            session,
            ..
        } = self;
        let now = Instant::from_millis(1);
        let up = &mut |event: RingEvent<'_>| {
            black_box(&event);
        };
        engine.arrive(now, &arrival, transport, session, up);
        arrival
    }

    /// A unary call of the peer: metadata, one message, the end of it. Buffers are lent, as a
    /// transport that reuses them would.
    fn call(&mut self, method: MethodId, message: &[u8]) {
        let mut frame = Vec::new();
        frame.extend_from_slice(message);
        self.call_with(method, &mut frame);
    }

    fn call_with(&mut self, method: MethodId, frame: &mut Vec<u8>) {
        self.calls += 1;
        let header = std::mem::take(&mut self.header);
        let accepted = Arrival::Accepted {
            call: CallId(self.calls),
            method,
            header,
            timeout: None,
            caller: Caller::LOCAL,
        };
        self.arrive(accepted).spend(|header| self.header = header);
        let stream = self.transport.bound.expect("a call that is bound");
        let lent = std::mem::take(frame);
        self.arrive(Arrival::Frame {
            stream,
            frame: lent,
        })
        .spend(|spent| *frame = spent);
        self.arrive(Arrival::HalfClosed { stream });
    }
}

type Swim = Foca<std::net::SocketAddr, PostcardCodec, SmallRng, foca::NoCustomBroadcast>;

/// A foca that hears from one peer, and the ping it hears.
fn swim() -> (Swim, Vec<u8>) {
    let node = |at: usize| {
        let config = foca::Config::new_lan(std::num::NonZeroU32::MIN.saturating_add(2));
        let name = NAMES[at].parse().expect("an address");
        Foca::new(name, config, SmallRng::seed_from_u64(1), PostcardCodec)
    };
    let (mut ours, mut peer): (Swim, Swim) = (node(0), node(1));
    let mut to_ours = AccumulatingRuntime::new();
    let mut to_peer = AccumulatingRuntime::new();
    peer.announce(*ours.identity(), &mut to_ours)
        .expect("an announcement");
    for _ in 0..4 {
        while let Some((_, data)) = to_ours.to_send() {
            ours.handle_data(&data, &mut to_peer).expect("data");
        }
        while let Some((_, data)) = to_peer.to_send() {
            peer.handle_data(&data, &mut to_ours).expect("data");
        }
    }
    let probe = std::iter::from_fn(|| to_ours.to_schedule())
        .map(|(_, timer)| timer)
        .find(|timer| matches!(timer, Timer::ProbeRandomMember(_)))
        .expect("a probe that is due");
    peer.handle_timer(probe, &mut to_ours).expect("a timer");
    let (_, ping) = to_ours.to_send().expect("a ping");
    (ours, ping.to_vec())
}

fn pings() {
    let mut served = Served::new();
    let mut empty = Vec::new();
    let before = served.transport.ends;
    let (mut swim, ping) = swim();
    let mut runtime = AccumulatingRuntime::new();
    let (ours, theirs) = compare(
        ROUNDS,
        OPERATIONS,
        || {
            for _ in 0..OPERATIONS {
                served.call_with(control_plane::PING, &mut empty);
            }
        },
        || {
            for _ in 0..OPERATIONS {
                swim.handle_data(&ping, &mut runtime).expect("a ping");
                black_box(runtime.to_send().expect("its answer"));
            }
        },
    );
    assert_eq!(
        served.transport.ends - before,
        served.calls - 1,
        "all are answered"
    );
    report("machines/ping served", ours, "foca", theirs);
}

fn claims() {
    let mut served = Served::new();
    let mut frame = vec![0; 64];
    let mut id = 0;
    let cost = time(ROUNDS, OPERATIONS, || {
        for _ in 0..OPERATIONS {
            id = (id + 1) % (1 << 15);
            let ids = [id];
            let announce = OwnershipAnnounce {
                host: NAMES[1],
                ids: &ids[..],
            };
            frame.resize(announce.encoded_len(), 0);
            announce.encode_to_slice(&mut frame).expect("room");
            served.call_with(control_plane::ANNOUNCE_OWNERSHIP, &mut frame);
        }
    });
    report_alone("machines/claim taken in", cost);
}

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
        "type.googleapis.com/bench.Sum"
    }
}

/// Three nodes that know each other, an actor of the first, and an Apply of 80 bytes to it.
fn cluster() -> (LocalRing<Sums>, Vec<u8>) {
    let configs: Vec<RingConfig> = (1..).zip(NAMES).map(|(b, n)| config(n, b)).collect();
    let mut ring =
        LocalRing::new(&configs, &Limits::default(), || Sums).expect("configurations that hold");
    ring.run_for(Duration::from_secs(5), &mut |_, _| {});
    let message = [Any {
        type_url: "type.googleapis.com/bench.Add",
        value: &[7; 80],
    }];
    let request = |id| {
        let request = ApplyRequest {
            id,
            messages: &message[..],
        };
        let mut bytes = vec![0; request.encoded_len()];
        request.encode_to_slice(&mut bytes).expect("room");
        bytes
    };
    let owned = (1..).find(|id| {
        ring.apply(0, &request(*id)).expect("an answer");
        ring.ring(0).directory().local_ids().any(|own| own == *id)
    });
    (ring, request(owned.expect("some id is placed here")))
}

fn apply(ring: &mut LocalRing<Sums>, node: usize, request: &[u8]) {
    let mut answered = false;
    let deadline = ring.now() + Duration::from_secs(1);
    let command = RingCommand::Actors(ActorsCommand::Apply {
        call: 1,
        request,
        request_id: None,
        deadline,
    });
    let heard = &mut |_: usize, event: RingEvent<'_>| {
        if let RingEvent::Actors(ActorsEvent::Answer { result, .. }) = event {
            answered = result.is_ok();
        }
    };
    ring.command(node, command, heard).expect("room for a call");
    assert!(answered, "an Apply was not answered");
}

fn applies() {
    let (mut here, request) = cluster();
    let (mut there, same) = cluster();
    for _ in 0..2 * OPERATIONS {
        apply(&mut here, 0, &request);
        apply(&mut there, 1, &same);
    }
    let (forwarded, local) = compare(
        ROUNDS,
        OPERATIONS,
        || (0..OPERATIONS).for_each(|_| apply(&mut there, 1, &same)),
        || (0..OPERATIONS).for_each(|_| apply(&mut here, 0, &request)),
    );
    report("machines/apply forwarded", forwarded, "at its owner", local);
}

fn measured(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machines");
    let mut served = Served::new();
    let mut empty = Vec::new();
    group.bench_function("ping served", |b| {
        b.iter(|| served.call_with(control_plane::PING, &mut empty))
    });
    let (mut ring, request) = cluster();
    group.bench_function("apply at its owner", |b| {
        b.iter(|| apply(&mut ring, 0, &request))
    });
    group.bench_function("apply forwarded", |b| {
        b.iter(|| apply(&mut ring, 1, &request))
    });
    group.finish();
}

fn main() {
    pings();
    claims();
    applies();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    measured(&mut criterion);
    criterion.final_summary();
}
