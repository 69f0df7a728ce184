//! Every message of the corpus: cut at every byte, changed at every byte, into every buffer.

use trefoil_proto::{Decode, Encode, Full, cache, control_plane, streaming};

use crate::corpus::{Kind, corpus};
use crate::pairs::{Verdict, compare_kind, view};

/// All cuts of short messages; of long ones those at both ends and some between.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |at| len < 5000 || *at < 600 || *at + 100 > len || at % 997 == 0)
}

#[test]
fn the_corpus_has_27_messages_which_come_back_byte_for_byte() {
    let corpus = corpus();
    assert_eq!(corpus.len(), 27);
    for entry in &corpus {
        assert_eq!(
            compare_kind(entry.kind, &entry.bytes),
            Verdict::Accepted,
            "{}",
            entry.name
        );
        with_encoder(entry.kind, &entry.bytes, &mut |message| {
            let mut bytes = vec![0; message.encoded_len()];
            assert_eq!(message.encode_to_slice(&mut bytes), Ok(entry.bytes.len()));
            assert!(bytes == entry.bytes, "{}", entry.name);
        });
    }
}

#[test]
fn cut_at_every_byte() {
    for entry in corpus() {
        for at in places(entry.bytes.len()) {
            compare_kind(entry.kind, &entry.bytes[..at]);
        }
    }
}

#[test]
fn changed_at_every_byte() {
    for entry in corpus().iter().filter(|entry| entry.bytes.len() < 5000) {
        let mut bytes = entry.bytes.clone();
        for at in 0..bytes.len() {
            let old = bytes[at];
            for new in [
                0x00,
                0x7f,
                0x80,
                0xff,
                old ^ 0x01,
                old ^ 0x08,
                old.wrapping_add(1),
            ] {
                bytes[at] = new;
                compare_kind(entry.kind, &bytes);
            }
            bytes[at] = old;
        }
    }
}

#[test]
fn every_buffer_that_is_too_small_is_full() {
    for entry in corpus() {
        let mut buf = vec![0; entry.bytes.len()];
        with_encoder(entry.kind, &entry.bytes, &mut |message| {
            for at in places(entry.bytes.len()) {
                assert_eq!(
                    message.encode_to_slice(&mut buf[..at]),
                    Err(Full),
                    "{} {at}",
                    entry.name
                );
            }
        });
    }
}

/// Decodes a message of the corpus and lends its encoder.
fn with_encoder(kind: Kind, bytes: &[u8], then: &mut dyn FnMut(&dyn Encode)) {
    fn lend<'a, V: Decode<'a> + Encode>(bytes: &'a [u8], then: &mut dyn FnMut(&dyn Encode)) {
        then(&view::<V>(bytes).unwrap());
    }
    match kind {
        Kind::OwnershipAnnounce => lend::<control_plane::OwnershipAnnounce<'_>>(bytes, then),
        Kind::NegotiateRequest => lend::<control_plane::NegotiateRequestView<'_>>(bytes, then),
        Kind::ApplyRequest => lend::<control_plane::ApplyRequestView<'_>>(bytes, then),
        Kind::CacheRequest => lend::<cache::CacheRequest<'_>>(bytes, then),
        Kind::Ack => lend::<cache::Ack<'_>>(bytes, then),
        Kind::ProduceRequest => lend::<streaming::ProduceRequest<'_>>(bytes, then),
        Kind::ProduceResponse => lend::<streaming::ProduceResponse<'_>>(bytes, then),
        Kind::ConsumeResponse => lend::<streaming::ConsumeResponse<'_>>(bytes, then),
        Kind::Assignment => {
            lend::<streaming::FullStreamingNodeAssignmentWithVersionView<'_>>(bytes, then)
        }
    }
}

#[test]
fn a_slice_encoder_too_small_is_full_as_well() {
    let ids: Vec<u64> = (0..100).map(crate::corpus::hash).collect();
    let hosts = ["a", "some host", ""];
    let own = control_plane::OwnershipAnnounce {
        host: "h",
        ids: &ids[..],
    };
    let neg = control_plane::NegotiateRequest { known_hosts: hosts };
    let message = streaming::Message {
        payload: b"payload",
        properties: [("k", &b"v"[..]), ("l", b"w")],
    };
    for message in [&own as &dyn Encode, &neg, &message] {
        let mut buf = vec![0; message.encoded_len()];
        for at in 0..buf.len() {
            assert_eq!(message.encode_to_slice(&mut buf[..at]), Err(Full));
        }
        assert!(message.encode_to_slice(&mut buf).is_ok());
    }
}
