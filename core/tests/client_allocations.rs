//! A client of the channels at work asks for no memory: records that are sent, refused, sent again and answered,
//! records that are delivered and acknowledged, assignments that are pushed.

#![allow(unsafe_code, clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use trefoil_core::channels::client::{Client, ClientCommand, ClientConfig, ClientEvent};
use trefoil_core::channels::dialect::{Dialect, ErrorCode};
use trefoil_core::channels::failure::Failure;
use trefoil_core::channels::messages::ids::{base36, id};
use trefoil_core::channels::messages::{ConsumeResponse, Message, ProduceResponse, Spoken};
use trefoil_core::channels::open::Policy;
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Full, Io, Machine};
use trefoil_core::method::streaming;
use trefoil_core::status::Status;
use trefoil_core::storage::Op;
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};
use trefoil_proto::Encode;
use trefoil_proto::streaming::{
    AssignmentDiscoverResponse, AssignmentDiscoverResponseResponse,
    FullStreamingNodeAssignmentWithVersion, PChannelInfo, StreamingNodeAssignment,
    StreamingNodeInfo, VersionPair,
};

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

/// Takes everything, and remembers which stream is which.
struct Sink {
    frame: [u8; 4_096],
    streams: u32,
    opened: [Option<(MethodId, StreamId, Tag)>; 3],
    held: u32,
}

impl Io for Sink {
    fn open(
        &mut self,
        _: NodeId,
        method: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let stream = StreamId::new(self.streams, 1);
        *self.opened.get_mut(self.streams as usize).ok_or(Full)? = Some((method, stream, tag));
        self.streams += 1;
        Ok(stream)
    }

    fn frame(&mut self, _: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.frame.get_mut(..len).ok_or(Full)
    }

    fn hold(&mut self, _: StreamId, bytes: u32) {
        self.held += bytes;
    }

    fn release(&mut self, _: StreamId, bytes: u32) {
        self.held -= bytes;
    }

    fn adopt(&mut self, _: StreamId, _: Tag) {}
    fn half_close(&mut self, _: StreamId) {}
    fn end(&mut self, _: StreamId, _: Status<'_>) {}

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }

    fn node(&mut self, _: &str) -> Result<NodeId, Full> {
        Ok(NodeId(1))
    }

    fn name(&self, _: NodeId) -> &str {
        "n:1"
    }

    fn forget(&mut self, _: NodeId) {}
}

struct World {
    client: Client,
    io: Sink,
    now: Instant,
    told: u64,
}

impl World {
    fn command(&mut self, command: ClientCommand<'_>) {
        let told = &mut self.told;
        self.client
            .handle_command(self.now, command, &mut self.io, &mut |_: ClientEvent<
                '_,
            >| {
                *told += 1;
            })
            .unwrap();
    }

    fn say(&mut self, method: MethodId, message: &impl Encode) {
        let mut frame = [0; 1_024];
        let len = message.encode_to_slice(&mut frame).unwrap();
        let opened = self.io.opened.iter().flatten();
        let (_, stream, tag) = *opened.clone().find(|open| open.0 == method).unwrap();
        let told = &mut self.told;
        self.client.handle_stream(
            self.now,
            stream,
            tag,
            StreamIn::Frame(&frame[..len]),
            &mut self.io,
            &mut |_: ClientEvent<'_>| *told += 1,
        );
    }

    fn push(&mut self, local: i64) {
        let channels = [PChannelInfo { name: "c", term: 2 }];
        let node = StreamingNodeInfo {
            server_id: 7,
            address: "n:1",
        };
        let assignments = [StreamingNodeAssignment {
            node: Some(node),
            channels: &channels[..],
        }];
        let full = FullStreamingNodeAssignmentWithVersion {
            version: Some(VersionPair { global: 1, local }),
            assignments: &assignments[..],
        };
        let push = AssignmentDiscoverResponse {
            response: Some(AssignmentDiscoverResponseResponse::FullAssignment(full)),
        };
        self.say(streaming::DISCOVER, &push);
    }

    fn answer(&mut self, answer: ProduceResponse<'_>) {
        self.say(streaming::PRODUCE, &answer.said(Dialect::Seed));
    }

    /// Ten records out, the first refused once; ten in, handled together; a push.
    fn round(&mut self, round: u64) {
        let payload = [7; 100];
        let first = i64::try_from(round * 11).unwrap() + 1;
        for _ in 0..10 {
            self.command(ClientCommand::Produce {
                key: 1,
                payload: &payload,
                properties: &[("_t", b"2"), ("_v", b"1")],
            });
        }
        self.answer(ProduceResponse::Error {
            request_id: first,
            failure: Failure::new(ErrorCode::Inner, "not now"),
        });
        let told = &mut self.told;
        self.now += Duration::from_secs(1);
        self.client
            .handle_timeout(self.now, &mut self.io, &mut |_: ClientEvent<'_>| {
                *told += 1;
            });
        for request_id in (first + 1..first + 11).rev() {
            self.answer(ProduceResponse::Result {
                request_id,
                id: b"12345678",
            });
        }
        for sequence in round * 10 + 1..round * 10 + 11 {
            let (tick, own) = (base36(sequence << 18), id(Dialect::Seed, sequence));
            let record = ConsumeResponse::Consume {
                id: own.as_bytes(),
                message: Message {
                    payload: &payload,
                    properties: [("_tt", tick.as_bytes()), ("_lc", own.as_bytes())],
                },
            };
            self.say(streaming::CONSUME, &record.said(Dialect::Seed));
        }
        self.command(ClientCommand::Acknowledge {
            key: 2,
            delivery: round * 10 + 10,
        });
        self.push(i64::try_from(round).unwrap() + 1);
    }
}

#[test]
fn a_client_at_work_asks_for_no_memory() {
    let config = ClientConfig {
        coordinators: vec!["c:1".into()],
        unacknowledged_records_max: 4,
        ..ClientConfig::default()
    };
    let mut world = World {
        client: Client::new(config).unwrap(),
        io: Sink {
            frame: [0; 4_096],
            streams: 0,
            opened: [None; 3],
            held: 0,
        },
        now: Instant::from_millis(1),
        told: 0,
    };
    world.command(ClientCommand::Watch);
    world.push(0);
    world.command(ClientCommand::OpenProducer {
        key: 1,
        channel: "c",
        timeout: Some(Duration::from_secs(30)),
        dedupe: None,
    });
    world.command(ClientCommand::OpenConsumer {
        key: 2,
        channel: "c",
        policy: Policy::All,
        filters: &[],
    });
    world.answer(ProduceResponse::Create {
        producer_id: 0,
        wal_name: "",
    });
    let create: ConsumeResponse<'_> = ConsumeResponse::Create { wal_name: "" };
    world.say(streaming::CONSUME, &create.said(Dialect::Seed));
    for round in 0..20 {
        world.round(round);
    }
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    for round in 20..120 {
        world.round(round);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst) - before, 0);
    let counters = world.client.counters();
    assert_eq!((counters.produced, counters.delivered), (1_200, 1_200));
    assert_eq!((counters.resent, counters.misbehaved), (120, 0));
    assert_eq!((world.client.version(), world.io.held), ((1, 120), 0));
    assert!(world.told > 2_400);
}
