//! A channel at work asks for no memory: messages of two producers, with and without numbers, more at once
//! than may be in flight, appended, answered, read and delivered to two consumers; with everything kept, and with
//! what is too much forgotten. Nor does anybody who names channels that are not there.

#![allow(unsafe_code, clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use trefoil_core::channels::dialect::Dialect;
use trefoil_core::channels::messages::{Message, ProduceRequest, Spoken};
use trefoil_core::channels::open::{Filter, Open, OpenConsumer, Policy};
use trefoil_core::channels::worker::{Retention, Worker, WorkerConfig, WorkerEvent};
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Full, Io, Machine};
use trefoil_core::method::streaming;
use trefoil_core::status::Status;
use trefoil_core::storage::{Done, Op, OwnerId, Records, record_head};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};
use trefoil_proto::Encode;
use trefoil_proto::streaming::{
    PChannelInfo, StreamingNodeManagerAssignRequest, StreamingNodeManagerRemoveRequest,
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

/// What the log was asked for.
enum Asked {
    Fence,
    Append(u64),
    Read(u64),
    Trim(u64),
}

/// Streams that take everything and a log that takes it once, in memory that was taken before.
struct World {
    now: Instant,
    frame: Vec<u8>,
    frames: u64,
    tags: Vec<(StreamId, Tag)>,
    ops: VecDeque<(Tag, Asked)>,
    run: Vec<u8>,
    offsets: Vec<usize>,
}

impl Io for World {
    fn open(
        &mut self,
        _: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        _: Tag,
    ) -> Result<StreamId, Full> {
        Err(Full)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.tags.push((stream, tag));
    }

    fn frame(&mut self, _: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.frames += 1;
        Ok(&mut self.frame[..len])
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}
    fn half_close(&mut self, _: StreamId) {}
    fn end(&mut self, _: StreamId, _: Status<'_>) {}

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        let asked = match op {
            Op::Append {
                expected, payload, ..
            } => {
                assert_eq!(expected as usize, self.offsets.len());
                self.offsets.push(self.run.len());
                let head = record_head(expected, payload.len() as u32);
                self.run.extend_from_slice(&head);
                self.run.extend_from_slice(payload);
                Asked::Append(expected)
            }
            Op::Read { from, .. } => Asked::Read(from),
            Op::Trim { before, .. } => Asked::Trim(before),
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Fence { .. }
            | Op::Tail { .. }
            | Op::Seal { .. }
            | Op::Keep { .. }
            | Op::Recall { .. } => Asked::Fence,
        };
        self.ops.push_back((tag, asked));
        Ok(())
    }

    fn node(&mut self, _: &str) -> Result<NodeId, Full> {
        Err(Full)
    }

    fn name(&self, _: NodeId) -> &str {
        ""
    }

    fn forget(&mut self, _: NodeId) {}
}

const MESSAGES: usize = 200;
const BYTES_MAX: usize = 64 << 20;

fn hear(worker: &mut Worker, world: &mut World, stream: StreamId, event: StreamIn<'_>) {
    let tag = world.tags.iter().find(|(known, _)| *known == stream);
    let tag = tag.map_or(Tag::NEW, |(_, tag)| *tag);
    let mut up = |_: WorkerEvent<'_>| {};
    worker.handle_stream(world.now, stream, tag, event, world, &mut up);
}

fn accept(
    worker: &mut Worker,
    world: &mut World,
    method: MethodId,
    header: Header<'_>,
) -> StreamId {
    let stream = StreamId::new(world.tags.len() as u32, 1);
    let event = StreamIn::Accepted {
        from: None,
        method,
        header,
        deadline: None,
        trusted: true,
    };
    hear(worker, world, stream, event);
    stream
}

fn run(worker: &mut Worker, world: &mut World) {
    let mut up = |_: WorkerEvent<'_>| {};
    let now = world.now;
    while let Some((tag, asked)) = world.ops.pop_front() {
        let done = match asked {
            Asked::Fence => Done::Tail {
                term: 2,
                owner: OwnerId(1),
                first: 0,
                next: 0,
            },
            Asked::Append(sequence) | Asked::Trim(sequence) => Done::Durable { sequence },
            Asked::Read(from) => {
                // Lent to the worker, as a store's buffer would be.
                let run = std::mem::take(&mut world.run);
                let at = world.offsets.get(from as usize).copied();
                let records = Records(&run[at.unwrap_or(run.len())..]);
                worker.handle_done(now, tag, Done::Records(records), world, &mut up);
                assert!(world.run.is_empty(), "a read writes nothing");
                world.run = run;
                continue;
            }
        };
        worker.handle_done(now, tag, done, world, &mut up);
    }
}

fn encoded(request: &impl Encode) -> Vec<u8> {
    let mut frame = vec![0; request.encoded_len()];
    request.encode_to_slice(&mut frame).unwrap();
    frame
}

fn message(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let request = ProduceRequest::Produce {
        request_id: 7,
        message: Message {
            payload: &[7; 100],
            properties,
        },
    };
    encoded(&request.said(Dialect::Seed))
}

/// So many messages of each producer, in one burst.
fn round(worker: &mut Worker, world: &mut World, streams: [StreamId; 2], number: &mut u64) {
    let plain = streams[0];
    let frame = PLAIN.with(Clone::clone);
    for _ in 0..MESSAGES {
        hear(worker, world, plain, StreamIn::Frame(&frame));
        *number += 1;
        NUMBERED.with_borrow_mut(|frame| {
            let digits: [u8; 8] =
                std::array::from_fn(|at| b'0' + (*number / 10_u64.pow(7 - at as u32) % 10) as u8);
            let at = frame.len() - digits.len();
            frame[at..].copy_from_slice(&digits);
            hear(worker, world, streams[1], StreamIn::Frame(frame));
        });
    }
    run(worker, world);
    world.now += Duration::from_secs(1);
    worker.handle_timeout(world.now, world, &mut |_: WorkerEvent<'_>| {});
    run(worker, world);
}

thread_local! {
    static PLAIN: std::rc::Rc<Vec<u8>> = std::rc::Rc::new(message(&[("_t", b"2"), ("_v", b"1")]));
    static NUMBERED: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(message(&[
        ("_t", b"2"),
        ("_v", b"1"),
        ("_vc", b"v"),
        ("_tp", b"me"),
        ("_ts", b"00000000"),
    ]));
}

fn opened(retention: Retention) -> (Worker, World, [StreamId; 2]) {
    let mut world = World {
        now: Instant::from_millis(1),
        frame: vec![0; 4_096],
        frames: 0,
        tags: Vec::with_capacity(16),
        ops: VecDeque::with_capacity(4_096),
        run: Vec::with_capacity(BYTES_MAX),
        offsets: Vec::with_capacity(BYTES_MAX / 100),
    };
    let config = WorkerConfig {
        in_flight_max: 64,
        dedupe_records: 100,
        retention,
        ..WorkerConfig::new(1, OwnerId(1))
    };
    let mut worker = Worker::new(config).unwrap();
    let pchannel = Some(PChannelInfo { name: "c", term: 2 });
    let assign = encoded(&StreamingNodeManagerAssignRequest { pchannel });
    let call = accept(&mut worker, &mut world, streaming::ASSIGN, Header::EMPTY);
    hear(&mut worker, &mut world, call, StreamIn::Frame(&assign));
    run(&mut worker, &mut world);
    let (mut room, mut scratch) = ([0; 512], [0; 512]);
    let open = Open::new("c", 2);
    let producers = [(); 2].map(|()| {
        let mut header = HeaderWriter::new(&mut room);
        open.write_producer(&mut header, &mut scratch).unwrap();
        accept(&mut worker, &mut world, streaming::PRODUCE, header.finish())
    });
    let filters = [Filter::VChannel("v")];
    for filters in [&filters[..0], &filters[..]] {
        let consumer = OpenConsumer {
            open,
            policy: Policy::All,
            filters: filters.iter().copied(),
        };
        let mut header = HeaderWriter::new(&mut room);
        consumer.write_consumer(&mut header, &mut scratch).unwrap();
        accept(&mut worker, &mut world, streaming::CONSUME, header.finish());
    }
    (worker, world, producers)
}

#[test]
fn a_channel_at_work_asks_for_no_memory() {
    let forgetting = Retention {
        bytes: Some(100 << 10),
        acknowledged: true,
        interval: Duration::from_secs(2),
        ..Retention::KEEP_ALL
    };
    for retention in [Retention::KEEP_ALL, forgetting] {
        at_work(retention);
    }
    better_14_names_that_are_unknown_ask_for_no_memory();
}

/// One test in all: the counter is the process's.
fn better_14_names_that_are_unknown_ask_for_no_memory() {
    const NAMES: usize = 2_000;
    let (mut worker, mut world, _) = opened(Retention::KEEP_ALL);
    world.tags.reserve(2 * NAMES);
    let names: Vec<String> = (0..NAMES).map(|name| format!("unknown {name}")).collect();
    let removals = names.iter().map(|name| {
        let pchannel = Some(PChannelInfo { name, term: 2 });
        encoded(&StreamingNodeManagerRemoveRequest { pchannel })
    });
    let removals: Vec<Vec<u8>> = removals.collect();
    let (mut rooms, mut scratch) = (vec![[0; 512]; NAMES], [0; 512]);
    let headers = names.iter().zip(&mut rooms).map(|(name, room)| {
        let mut header = HeaderWriter::new(room);
        let open = Open::new(name, 2);
        open.write_producer(&mut header, &mut scratch).unwrap();
        header.finish()
    });
    let headers: Vec<Header<'_>> = headers.collect();
    let mut before = 0;
    for (at, (removal, header)) in removals.iter().zip(headers).enumerate() {
        // The newest removals are remembered, as hashes, 256 of them.
        if at == NAMES / 2 {
            before = ALLOCATIONS.load(Ordering::SeqCst);
        }
        let answered = world.frames;
        let call = accept(&mut worker, &mut world, streaming::REMOVE, Header::EMPTY);
        hear(&mut worker, &mut world, call, StreamIn::Frame(removal));
        assert_eq!(world.frames - answered, 1);
        accept(&mut worker, &mut world, streaming::PRODUCE, header);
    }
    let asked = ALLOCATIONS.load(Ordering::SeqCst) - before;
    assert_eq!(asked, 0, "requests for memory for unknown names");
    assert_eq!(worker.channels().count(), 1);
}

fn at_work(retention: Retention) {
    let (mut worker, mut world, streams) = opened(retention);
    let mut number = 0;
    for _ in 0..50 {
        round(&mut worker, &mut world, streams, &mut number);
    }
    let (before, counted) = (ALLOCATIONS.load(Ordering::SeqCst), *worker.counters());
    for _ in 0..100 {
        round(&mut worker, &mut world, streams, &mut number);
    }
    let asked = ALLOCATIONS.load(Ordering::SeqCst) - before;
    let now = worker.counters();
    let appended = now.appended - counted.appended;
    let taken = appended + now.duplicates - counted.duplicates;
    assert_eq!(taken, 100 * 2 * MESSAGES as u64);
    assert!(appended > 100 * MESSAGES as u64, "numbers differ, mostly");
    assert!(
        now.delivered - counted.delivered > appended,
        "to two consumers"
    );
    let trims = now.trims - counted.trims;
    assert_eq!(trims > 40, retention.forgets(), "{trims} trims");
    assert_eq!(asked, 0, "requests for memory for {taken} messages");
}
