//! The views and backward encoders against prost, over the corpus of the schemas' tests.
//!
//! - decode: in place, then every field and every element is visited; prost decodes and drops an
//!   owned message, from a slice or from [`Bytes`], whose payloads it shares.
//! - decode and check: in place, then [`Decode::check`], which reads no short number of a packed list.
//! - encode: into a buffer that is used again. Our lists are slices, as prost's are: a list as it
//!   was received would be copied unread.

#![allow(missing_docs)]

#[path = "../../proto/tests/corpus/mod.rs"]
mod corpus;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use trefoil_benches::{
    Cost, CountingAllocator, compare, is_test, report, report_alone, report_mean, time,
};
use trefoil_proto::owned::{self, Message};
use trefoil_proto::{Decode, DecodeError, Encode, Map, Writer, cache, control_plane, streaming};

use corpus::{Entry, Kind, corpus};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The entries that criterion looks at too, for those who want distributions.
const REPRESENTATIVE: [&str; 4] = ["own1000-hash", "put-1k", "ping", "assign-16"];

/// The entries whose payload is most of them: they are held against a copy of their bytes.
const COPIED: [&str; 8] = [
    "put-1k",
    "ins-1k",
    "getack-1k",
    "put-16k",
    "ins-16k",
    "getack-16k",
    "prod-1k",
    "prod-64k",
];

/// Many short rounds: whatever else the machine does spares some of them on both sides.
const ROUNDS: u32 = 300;

/// How long a round of the slower side should be, in nanoseconds.
const ROUND_NS: f64 = 100_000.0;

/// Our cost and that of a peer that was timed in turn with it.
type Pair = (Cost, Cost);

fn ratio((ours, peer): Pair) -> f64 {
    peer.ns / ours.ns
}

/// What was measured of one entry.
struct Figures {
    name: &'static str,
    bytes: usize,
    /// Against prost from a slice.
    decode: Pair,
    /// Against prost from a slice, with the check instead of the visit.
    decode_checked: Pair,
    /// Against prost from [`Bytes`].
    decode_shared: Pair,
    /// Against prost into a `Vec`.
    encode: Pair,
    /// Against prost into [`BytesMut`].
    encode_shared: Pair,
    /// Against a copy of the encoded bytes: what moving them costs.
    decode_copy: Pair,
    encode_copy: Pair,
}

impl Figures {
    fn allocates(&self) -> bool {
        let pairs = [
            self.decode,
            self.decode_checked,
            self.decode_shared,
            self.encode,
            self.encode_shared,
            self.decode_copy,
            self.encode_copy,
        ];
        pairs.iter().any(|(ours, _)| ours.allocations > 0.0)
    }

    fn print(&self) {
        self.line("decode", self.decode, "prost");
        self.line("decode and check", self.decode_checked, "prost");
        self.line("encode", self.encode, "prost");
    }

    fn print_copies(&self) {
        self.line("decode", self.decode_copy, "memcpy");
        self.line("encode", self.encode_copy, "memcpy");
    }

    fn line(&self, what: &str, (ours, peer): Pair, peer_name: &str) {
        let Self { name, bytes, .. } = self;
        report(
            &format!("{what} {name}, {bytes} bytes"),
            ours,
            peer_name,
            peer,
        );
    }
}

/// Decodes every element.
fn each<T>(items: impl IntoIterator<Item = Result<T, DecodeError>>) -> Result<(), DecodeError> {
    for item in items {
        black_box(item?);
    }
    Ok(())
}

fn nothing_lazy<V>(_: &V) -> Result<(), DecodeError> {
    Ok(())
}

fn collect<T>(items: impl IntoIterator<Item = Result<T, DecodeError>>) -> Vec<T> {
    items
        .into_iter()
        .map(|item| item.expect("the corpus is well-formed"))
        .collect()
}

/// A message with the properties in a slice.
fn with_slice<'a, 'b>(
    message: streaming::Message<'a>,
    properties: &'b [(&'a str, &'a [u8])],
) -> streaming::Message<'a, &'b [(&'a str, &'a [u8])]> {
    streaming::Message {
        payload: message.payload,
        properties,
    }
}

fn properties<'a>(map: Option<Map<'a, &'a str, &'a [u8]>>) -> Vec<(&'a str, &'a [u8])> {
    collect(map.unwrap_or_default())
}

struct Run {
    criterion: Criterion,
    figures: Vec<Figures>,
}

impl Run {
    /// Measures the entry as the kind of message it is.
    fn entry(&mut self, entry: &Entry) {
        use owned::{cache as oc, control_plane as op, streaming as os};
        match entry.kind {
            Kind::OwnershipAnnounce => {
                let view: control_plane::OwnershipAnnounce<'_> = parse(entry);
                let ids = collect(view.ids);
                let message = control_plane::OwnershipAnnounce {
                    host: view.host,
                    ids: &ids[..],
                };
                let visit = |v: &control_plane::OwnershipAnnounce<'_>| {
                    let mut ids = v.ids.iter();
                    black_box(ids.try_fold(0, |sum, id| Ok(sum ^ id?))?);
                    Ok(())
                };
                self.both::<_, op::OwnershipAnnounce>(entry, visit, &message);
            }
            Kind::NegotiateRequest => {
                let view: control_plane::NegotiateRequestView<'_> = parse(entry);
                let known_hosts = collect(view.known_hosts);
                let message = control_plane::NegotiateRequest {
                    known_hosts: &known_hosts[..],
                };
                let visit = |v: &control_plane::NegotiateRequestView<'_>| each(v.known_hosts);
                self.both::<_, op::NegotiateRequest>(entry, visit, &message);
            }
            Kind::ApplyRequest => {
                let view: control_plane::ApplyRequestView<'_> = parse(entry);
                let messages = collect(view.messages);
                let message = control_plane::ApplyRequest {
                    id: view.id,
                    messages: &messages[..],
                };
                let visit = |v: &control_plane::ApplyRequestView<'_>| each(v.messages);
                self.both::<_, op::ApplyRequest>(entry, visit, &message);
            }
            Kind::CacheRequest => {
                let view: cache::CacheRequest<'_> = parse(entry);
                self.both::<_, oc::CacheRequest>(
                    entry,
                    nothing_lazy::<cache::CacheRequest<'_>>,
                    &view,
                );
            }
            Kind::Ack => {
                let view: cache::Ack<'_> = parse(entry);
                self.both::<_, oc::Ack>(entry, nothing_lazy::<cache::Ack<'_>>, &view);
            }
            Kind::ProduceRequest => self.produce(entry),
            Kind::ProduceResponse => {
                let view: streaming::ProduceResponse<'_> = parse(entry);
                self.both::<_, os::ProduceResponse>(
                    entry,
                    nothing_lazy::<streaming::ProduceResponse<'_>>,
                    &view,
                );
            }
            Kind::ConsumeResponse => self.consume(entry),
            Kind::Assignment => self.assignment(entry),
        }
    }

    fn produce(&mut self, entry: &Entry) {
        use streaming::ProduceRequestRequest::Produce;
        let view: streaming::ProduceRequest<'_> = parse(entry);
        let Some(Produce(request)) = view.request else {
            panic!("{} is not a message to append", entry.name);
        };
        let properties = properties(request.message.map(|m| m.properties));
        let message = streaming::ProduceRequest {
            request: Some(Produce(streaming::ProduceMessageRequest {
                request_id: request.request_id,
                message: request.message.map(|m| with_slice(m, &properties)),
            })),
        };
        let visit = |v: &streaming::ProduceRequest<'_>| match &v.request {
            Some(Produce(streaming::ProduceMessageRequest {
                message: Some(message),
                ..
            })) => each(message.properties),
            _ => Ok(()),
        };
        self.both::<_, owned::streaming::ProduceRequest>(entry, visit, &message);
    }

    fn consume(&mut self, entry: &Entry) {
        use streaming::ConsumeResponseResponse::Consume;
        let view: streaming::ConsumeResponse<'_> = parse(entry);
        let Some(Consume(response)) = view.response else {
            panic!("{} is not a message", entry.name);
        };
        let properties = properties(response.message.map(|m| m.properties));
        let message = streaming::ConsumeResponse {
            response: Some(Consume(streaming::ConsumeMessageReponse {
                id: response.id,
                message: response.message.map(|m| with_slice(m, &properties)),
            })),
        };
        let visit = |v: &streaming::ConsumeResponse<'_>| match &v.response {
            Some(Consume(streaming::ConsumeMessageReponse {
                message: Some(message),
                ..
            })) => each(message.properties),
            _ => Ok(()),
        };
        self.both::<_, owned::streaming::ConsumeResponse>(entry, visit, &message);
    }

    fn assignment(&mut self, entry: &Entry) {
        type View<'a> = streaming::FullStreamingNodeAssignmentWithVersionView<'a>;
        let view: View<'_> = parse(entry);
        let nodes: Vec<_> = collect(view.assignments)
            .into_iter()
            .map(|node| (node.node, collect(node.channels)))
            .collect();
        let assignments: Vec<_> = nodes
            .iter()
            .map(|(node, channels)| streaming::StreamingNodeAssignment {
                node: *node,
                channels: &channels[..],
            })
            .collect();
        let message = streaming::FullStreamingNodeAssignmentWithVersion {
            version: view.version,
            assignments: &assignments[..],
        };
        let visit = |v: &View<'_>| {
            for node in v.assignments {
                let node = node?;
                black_box(&node);
                each(node.channels)?;
            }
            Ok(())
        };
        self.both::<_, owned::streaming::FullStreamingNodeAssignmentWithVersion>(
            entry, visit, &message,
        );
    }

    /// Measures both codecs: `V` and `message` are ours, `P` is prost's.
    fn both<'a, V, P>(
        &mut self,
        entry: &'a Entry,
        visit: impl Fn(&V) -> Result<(), DecodeError>,
        message: &impl Encode,
    ) where
        V: Decode<'a>,
        P: Message + Default,
    {
        let bytes = &entry.bytes[..];
        let shared = Bytes::copy_from_slice(bytes);
        let peer = P::decode(bytes).expect("the corpus is well-formed");
        let mut buffer = vec![0; bytes.len()];
        let mut peer_buffer = Vec::with_capacity(bytes.len());
        let mut peer_shared = BytesMut::with_capacity(bytes.len());

        let mut view = V::default();
        let mut decode = || {
            let done = view.decode(black_box(bytes));
            done.and_then(|()| visit(black_box(&view)))
                .expect("the corpus is well-formed");
        };
        let mut checked_view = V::default();
        let mut decode_checked = || {
            let done = checked_view.decode(black_box(bytes));
            done.and_then(|()| black_box(&checked_view).check())
                .expect("the corpus is well-formed");
        };
        let peer_decode = || {
            let message = P::decode(black_box(bytes));
            black_box(&message);
        };
        let peer_decode_shared = || {
            let message = P::decode(black_box(&shared).clone());
            black_box(&message);
        };
        let mut encode = || {
            let mut w = Writer::new(black_box(&mut buffer));
            black_box(message).encode(&mut w).expect("it fits");
            black_box(w.finish());
        };
        let mut peer_encode = || {
            peer_buffer.clear();
            let done = black_box(&peer).encode(black_box(&mut peer_buffer));
            done.expect("it grows");
        };
        let mut peer_encode_shared = || {
            peer_shared.clear();
            let done = black_box(&peer).encode(black_box(&mut peer_shared));
            done.expect("it grows");
        };

        let mut copied = vec![0; bytes.len()];
        let mut copy = || black_box(&mut copied).copy_from_slice(black_box(bytes));

        if REPRESENTATIVE.contains(&entry.name) {
            let mut group = self.criterion.benchmark_group("codec/decode");
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(BenchmarkId::new("trefoil", entry.name), |b| {
                b.iter(&mut decode);
            });
            group.bench_function(BenchmarkId::new("prost", entry.name), |b| {
                b.iter(peer_decode);
            });
            group.finish();
            let mut group = self.criterion.benchmark_group("codec/encode");
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(BenchmarkId::new("trefoil", entry.name), |b| {
                b.iter(&mut encode);
            });
            group.bench_function(BenchmarkId::new("prost", entry.name), |b| {
                b.iter(&mut peer_encode);
            });
            group.finish();
        }
        self.figures.push(Figures {
            name: entry.name,
            bytes: bytes.len(),
            decode: in_turn(&mut decode, peer_decode),
            decode_checked: in_turn(&mut decode_checked, peer_decode),
            decode_shared: in_turn(&mut decode, peer_decode_shared),
            encode: in_turn(&mut encode, &mut peer_encode),
            encode_shared: in_turn(&mut encode, &mut peer_encode_shared),
            decode_copy: in_turn(&mut decode, &mut copy),
            encode_copy: in_turn(&mut encode, &mut copy),
        });
        assert!(buffer == bytes, "{}: ours encodes other bytes", entry.name);
        assert!(
            peer_buffer == bytes,
            "{}: prost encodes other bytes",
            entry.name
        );
    }
}

fn parse<'a, V: Decode<'a>>(entry: &'a Entry) -> V {
    V::parse(&entry.bytes).expect("the corpus is well-formed")
}

/// [`compare`] with rounds of about [`ROUND_NS`].
fn in_turn(mut ours: impl FnMut(), mut peer: impl FnMut()) -> Pair {
    // Lets buffers grow and caches fill before anything is counted.
    peer();
    ours();
    let operations = if is_test() {
        1
    } else {
        let estimate = time(5, 8, || (0..8).for_each(|_| peer()));
        (ROUND_NS / estimate.ns).clamp(8.0, 10_000.0) as u32
    };
    compare(
        ROUNDS,
        operations,
        || (0..operations).for_each(|_| ours()),
        || (0..operations).for_each(|_| peer()),
    )
}

/// A thousand ids: visited one by one above, here into a slice.
fn ids_filled(entries: &[Entry]) {
    for entry in entries {
        if !matches!(entry.name, "own1000-hash" | "own1000-small") {
            continue;
        }
        let view: control_plane::OwnershipAnnounce<'_> = parse(entry);
        let mut ids = vec![0; view.ids.len()];
        let count = ids.len() as u32;
        let times = if is_test() { 1 } else { 10 };
        let cost = time(ROUNDS, times * count, || {
            for _ in 0..times {
                let filled = black_box(&view).ids.fill(black_box(&mut ids));
                assert_eq!(filled, Ok(count as usize));
            }
        });
        report_alone(&format!("{} into a slice, per id", entry.name), cost);
    }
}

fn means(figures: &[Figures]) {
    let of = |name: &str, pair: fn(&Figures) -> Pair| {
        let ratios: Vec<_> = figures.iter().map(|f| (f.name, ratio(pair(f)))).collect();
        report_mean(name, &ratios);
    };
    of("decode against prost from a slice", |f| f.decode);
    of("decode and check against prost from a slice", |f| {
        f.decode_checked
    });
    of("decode against prost from Bytes", |f| f.decode_shared);
    of("encode against prost into a Vec", |f| f.encode);
    of("encode against prost into BytesMut", |f| f.encode_shared);
}

fn main() -> ExitCode {
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    let mut run = Run {
        criterion,
        figures: Vec::new(),
    };
    let entries = corpus();
    for entry in &entries {
        run.entry(entry);
    }
    run.criterion.final_summary();
    run.figures.iter().for_each(Figures::print);
    let large = run.figures.iter().filter(|f| COPIED.contains(&f.name));
    large.for_each(Figures::print_copies);
    ids_filled(&entries);
    means(&run.figures);
    let mut code = ExitCode::SUCCESS;
    for entry in run.figures.iter().filter(|f| f.allocates()) {
        eprintln!("{}: our side allocates", entry.name);
        code = ExitCode::FAILURE;
    }
    code
}
