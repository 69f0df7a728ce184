//! The corpus: 27 messages of the three protocols, as bytes.
//!
//! The bytes are written by hand-made builders that use neither the views nor prost, so that both
//! can be held against them. They are the same on every run and machine. Include the module by
//! `#[path]`, in benches too.

// Public, so that each binary that includes the module takes what it needs.
#![allow(dead_code, unreachable_pub)]

/// Which message the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `control_plane_messages.OwnershipAnnounce`.
    OwnershipAnnounce,
    /// `control_plane_messages.NegotiateRequest`.
    NegotiateRequest,
    /// `control_plane_messages.ApplyRequest`.
    ApplyRequest,
    /// `cache.CacheRequest`.
    CacheRequest,
    /// `cache.Ack`.
    Ack,
    /// `milvus.proto.streaming.ProduceRequest`.
    ProduceRequest,
    /// `milvus.proto.streaming.ProduceResponse`.
    ProduceResponse,
    /// `milvus.proto.streaming.ConsumeResponse`.
    ConsumeResponse,
    /// `milvus.proto.streaming.FullStreamingNodeAssignmentWithVersion`.
    Assignment,
}

/// One message of the corpus.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What figures call it.
    pub name: &'static str,
    /// Which message it is.
    pub kind: Kind,
    /// The message in canonical form.
    pub bytes: Vec<u8>,
}

/// A message in the making. Every method appends a field.
#[derive(Clone, Debug, Default)]
pub struct Build(pub Vec<u8>);

impl Build {
    /// A varint without a tag.
    pub fn raw_varint(mut self, mut v: u64) -> Self {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
        self
    }

    /// A tag.
    pub fn tag(self, field: u32, wire: u32) -> Self {
        self.raw_varint(u64::from(field) << 3 | u64::from(wire))
    }

    /// A varint.
    pub fn varint(self, field: u32, v: u64) -> Self {
        self.tag(field, 0).raw_varint(v)
    }

    /// Bytes, a string, or a message.
    pub fn bytes(self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let mut this = self.tag(field, 2).raw_varint(bytes.len() as u64);
        this.0.extend_from_slice(bytes);
        this
    }

    /// A message.
    pub fn message(self, field: u32, inner: Self) -> Self {
        self.bytes(field, inner.0)
    }

    /// A packed list.
    pub fn packed(self, field: u32, values: impl IntoIterator<Item = u64>) -> Self {
        let run = values.into_iter().fold(Self::default(), Self::raw_varint);
        self.bytes(field, run.0)
    }
}

fn build() -> Build {
    Build::default()
}

/// A well-mixed 64-bit number, as ids are hashes.
pub fn hash(n: u64) -> u64 {
    let x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| hash(i) as u8).collect()
}

fn text(seed: u64, len: usize) -> String {
    (0..len as u64)
        .map(|i| char::from(b'a' + (hash(seed * 1000 + i) % 26) as u8))
        .collect()
}

fn host(i: u64) -> String {
    format!("node-{i:03}.trefoil.example.org:{}", 10_000 + i)
}

fn own(ids: impl Iterator<Item = u64>) -> Vec<u8> {
    build().bytes(1, host(7)).packed(2, ids).0
}

fn neg(hosts: u64) -> Vec<u8> {
    (0..hosts).fold(build(), |b, i| b.bytes(1, host(i))).0
}

fn apply(messages: u64) -> Vec<u8> {
    (0..messages)
        .fold(build().varint(1, hash(3)), |b, i| {
            let url = format!("type.googleapis.com/{}", text(i, 18));
            b.message(2, build().bytes(1, url).bytes(2, payload(80)))
        })
        .0
}

fn cached() -> Build {
    build().bytes(1, text(1, 16)).bytes(2, text(2, 32))
}

fn put(len: usize) -> Vec<u8> {
    build()
        .message(2, cached().bytes(3, payload(len)).bytes(4, text(3, 16)))
        .0
}

fn insert(len: usize) -> Vec<u8> {
    let quorum = build().message(1, build());
    build()
        .message(
            3,
            cached()
                .bytes(3, payload(len))
                .bytes(4, text(3, 16))
                .message(5, quorum),
        )
        .0
}

fn get_ack(len: usize) -> Vec<u8> {
    build().message(1, cached().bytes(3, payload(len))).0
}

fn message(len: usize) -> Build {
    let properties = [
        ("_t", "1"),
        ("_tt", "448812345678901234"),
        ("_v", "1"),
        ("_vc", "by-dev-dml_0v0"),
    ];
    properties
        .iter()
        .fold(build().bytes(1, payload(len)), |b, (key, value)| {
            b.message(2, build().bytes(1, key).bytes(2, value))
        })
}

fn produce(len: usize) -> Vec<u8> {
    build()
        .message(2, build().varint(1, 12_345).message(2, message(len)))
        .0
}

fn message_id() -> Build {
    build().bytes(1, payload(12))
}

fn assignment(channels: u64, nodes: u64) -> Vec<u8> {
    let version = build().varint(1, 3).varint(2, 77);
    let per_node = channels / nodes;
    (0..nodes)
        .fold(build().message(1, version), |b, node| {
            let info = build().varint(1, 100 + node).bytes(2, host(node));
            let node_channels = (0..per_node).fold(build().message(1, info), |b, i| {
                let name = format!("by-dev-rootcoord-dml_{}", node * per_node + i);
                b.message(2, build().bytes(1, name).varint(2, 2 + i))
            });
            b.message(2, node_channels)
        })
        .0
}

/// All of it.
pub fn corpus() -> Vec<Entry> {
    use Kind::*;
    let request = |inner: Build| build().message(6, inner).0;
    let result = build().message(1, message_id());
    let entries = [
        ("own10-hash", OwnershipAnnounce, own((0..10).map(hash))),
        (
            "own10-small",
            OwnershipAnnounce,
            own((0..10).map(|i| hash(i) % 100_000)),
        ),
        ("own1000-hash", OwnershipAnnounce, own((0..1000).map(hash))),
        (
            "own1000-small",
            OwnershipAnnounce,
            own((0..1000).map(|i| hash(i) % 100_000)),
        ),
        ("neg3", NegotiateRequest, neg(3)),
        ("neg100", NegotiateRequest, neg(100)),
        ("apply1", ApplyRequest, apply(1)),
        ("apply4", ApplyRequest, apply(4)),
        ("get", CacheRequest, build().message(1, cached()).0),
        ("put-100", CacheRequest, put(100)),
        ("put-1k", CacheRequest, put(1 << 10)),
        ("put-16k", CacheRequest, put(16 << 10)),
        ("ins-100", CacheRequest, insert(100)),
        ("ins-1k", CacheRequest, insert(1 << 10)),
        ("ins-16k", CacheRequest, insert(16 << 10)),
        ("getack-100", Ack, get_ack(100)),
        ("getack-1k", Ack, get_ack(1 << 10)),
        ("getack-16k", Ack, get_ack(16 << 10)),
        (
            "leaderreq",
            CacheRequest,
            request(
                build().message(
                    3,
                    build()
                        .bytes(1, host(5))
                        .varint(2, 1_755_000_000_123_456_789),
                ),
            ),
        ),
        ("ping", CacheRequest, request(build().message(1, build()))),
        ("prod-256", ProduceRequest, produce(256)),
        ("prod-1k", ProduceRequest, produce(1 << 10)),
        ("prod-64k", ProduceRequest, produce(64 << 10)),
        (
            "prodresp",
            ProduceResponse,
            build()
                .message(2, build().varint(1, 12_345).message(2, result))
                .0,
        ),
        (
            "cons-1k",
            ConsumeResponse,
            build()
                .message(
                    2,
                    build()
                        .message(1, message_id())
                        .message(2, message(1 << 10)),
                )
                .0,
        ),
        ("assign-16", Assignment, assignment(16, 8)),
        ("assign-1024", Assignment, assignment(1024, 64)),
    ];
    entries
        .into_iter()
        .map(|(name, kind, bytes)| Entry { name, kind, bytes })
        .collect()
}
