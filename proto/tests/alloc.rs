//! Decoding, checking, visiting and encoding the whole corpus allocates nothing.

#![allow(unsafe_code, clippy::unwrap_used)]

#[path = "corpus/mod.rs"]
mod corpus;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::{Kind, corpus};
use trefoil_proto::{Decode, Each, Encode, cache, control_plane, streaming};

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

/// Keeps a value that is not used from being optimised away.
fn touch<T>(value: T) {
    black_box(value);
}

/// Decodes, checks, visits and encodes; `visit` touches what is lazy.
fn all<'a, V: Decode<'a> + Encode>(bytes: &'a [u8], out: &mut [u8], visit: impl Fn(&V)) {
    let mut view = V::default();
    view.decode(bytes).unwrap();
    view.check().unwrap();
    visit(&view);
    assert_eq!(
        view.encode_to_slice(&mut out[..view.encoded_len()]),
        Ok(bytes.len())
    );
    assert!(out[..bytes.len()] == *bytes);
}

fn run(kind: Kind, bytes: &[u8], out: &mut [u8]) {
    match kind {
        Kind::OwnershipAnnounce => all(bytes, out, |v: &control_plane::OwnershipAnnounce<'_>| {
            black_box(
                v.ids
                    .iter()
                    .fold(0u64, |sum, id| sum.wrapping_add(id.unwrap())),
            );
            let each = control_plane::OwnershipAnnounce {
                host: v.host,
                ids: Each((0..100u64).map(|n| n * n)),
            };
            each.encode_to_slice(&mut [0; 2000]).unwrap();
        }),
        Kind::NegotiateRequest => all(bytes, out, |v: &control_plane::NegotiateRequestView<'_>| {
            v.known_hosts.iter().for_each(touch);
        }),
        Kind::ApplyRequest => all(bytes, out, |v: &control_plane::ApplyRequestView<'_>| {
            v.messages.iter().for_each(touch);
        }),
        Kind::CacheRequest => all(bytes, out, |v: &cache::CacheRequest<'_>| touch(*v)),
        Kind::Ack => all(bytes, out, |v: &cache::Ack<'_>| touch(*v)),
        Kind::ProduceRequest => all(bytes, out, |v: &streaming::ProduceRequest<'_>| {
            if let Some(streaming::ProduceRequestRequest::Produce(produce)) = &v.request {
                let properties = produce.message.unwrap().properties;
                properties.iter().for_each(touch);
                assert!(properties.get(&"_vc").unwrap().is_some());
            }
        }),
        Kind::ProduceResponse => all(bytes, out, |v: &streaming::ProduceResponse<'_>| touch(*v)),
        Kind::ConsumeResponse => all(bytes, out, |v: &streaming::ConsumeResponse<'_>| touch(*v)),
        Kind::Assignment => {
            all(
                bytes,
                out,
                |v: &streaming::FullStreamingNodeAssignmentWithVersionView<'_>| {
                    for node in v.assignments {
                        node.unwrap().channels.iter().for_each(touch);
                    }
                },
            );
        }
    }
}

#[test]
fn the_whole_corpus_without_an_allocation() {
    let corpus = corpus();
    let mut out = vec![0; 1 << 17];
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    black_box(Vec::<u8>::with_capacity(black_box(1)));
    assert_eq!(
        ALLOCATIONS.load(Ordering::SeqCst),
        before + 1,
        "the counter counts"
    );
    for entry in &corpus {
        run(entry.kind, &entry.bytes, &mut out);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), before + 1);
}
