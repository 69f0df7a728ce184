//! What becomes of fields that come more than once, not at all, or with odd values: views and prost
//! side by side.

use trefoil_proto::cache::{AckLevelAckLevel, CacheRequest, CacheRequestMethod, HealthAck};
use trefoil_proto::control_plane::{GetReply, NegotiateRequest, OwnershipAnnounce, PingReply};
use trefoil_proto::milvus::ComponentInfo;
use trefoil_proto::streaming::{ProduceRequest, ProduceRequestRequest, ProduceResponse};
use trefoil_proto::streaming::{ProduceResponseResponse, StreamingError};
use trefoil_proto::{Decode, DecodeError, owned};

use crate::corpus::{Build, Kind};
use crate::pairs::{KINDS, Verdict, compare_kind, encoded, view};

fn build() -> Build {
    Build::default()
}

fn request(bytes: &[u8]) -> CacheRequest<'_> {
    assert_eq!(compare_kind(Kind::CacheRequest, bytes), Verdict::Accepted);
    view::<CacheRequest>(bytes).unwrap()
}

#[test]
fn oneof_last_member_wins() {
    let get = build().bytes(1, "c");
    let bytes = build()
        .message(1, get.clone())
        .message(2, build().bytes(2, "e"))
        .0;
    let Some(CacheRequestMethod::Put(put)) = request(&bytes).method else {
        panic!()
    };
    assert_eq!((put.cache_name, put.entry), ("", "e"));
    // Back to the first: what it was before the other is gone.
    let bytes = build()
        .message(1, get)
        .message(2, build())
        .message(1, build().bytes(2, "e"))
        .0;
    let Some(CacheRequestMethod::Get(get)) = request(&bytes).method else {
        panic!()
    };
    assert_eq!((get.cache_name, get.entry), ("", "e"));
}

#[test]
fn oneof_same_member_merges() {
    let bytes = build()
        .message(2, build().bytes(1, "c"))
        .message(2, build().bytes(2, "e"))
        .0;
    let Some(CacheRequestMethod::Put(put)) = request(&bytes).method else {
        panic!()
    };
    assert_eq!((put.cache_name, put.entry), ("c", "e"));
}

#[test]
fn nested_message_merges() {
    let any = |b: Build| build().message(1, b);
    let bytes = [
        any(build().bytes(1, "url")).0,
        any(build().bytes(2, "value")).0,
    ]
    .concat();
    let grain = view::<GetReply>(&bytes).unwrap().grain.unwrap();
    assert_eq!((grain.type_url, grain.value), ("url", &b"value"[..]));
    let owned: owned::control_plane::GetReply = prost::Message::decode(&*bytes).unwrap();
    assert_eq!(owned.grain.unwrap().type_url, "url");
}

#[test]
fn nested_oneof_member_merges_over_two_frames() {
    let level = |b: Build| build().message(3, build().bytes(1, "c").message(5, b)).0;
    let bytes = [level(build().message(1, build())), level(build())].concat();
    let Some(CacheRequestMethod::Insert(insert)) = request(&bytes).method else {
        panic!()
    };
    assert!(insert.ack_level.unwrap().ack_level.is_some());
}

#[test]
fn oneof_in_nested_switches() {
    let level = |field| {
        build()
            .message(3, build().message(5, build().message(field, build())))
            .0
    };
    let bytes = [level(1), level(3)].concat();
    let Some(CacheRequestMethod::Insert(insert)) = request(&bytes).method else {
        panic!()
    };
    let level = insert.ack_level.unwrap().ack_level;
    assert!(matches!(level, Some(AckLevelAckLevel::LevelLeader(_))));
}

#[test]
fn empty_oneof_member_is_kept() {
    let bytes = build().message(6, build().message(1, build())).0;
    assert_eq!(bytes, [0x32, 0x02, 0x0a, 0x00]);
    assert!(matches!(
        request(&bytes).method,
        Some(CacheRequestMethod::MgmtReq(_))
    ));
    assert_eq!(encoded(&request(&bytes)), bytes);
}

#[test]
fn optional_presence_is_kept_at_the_default() {
    let bytes = build().message(2, build().bytes(4, "")).0;
    let Some(CacheRequestMethod::Put(put)) = request(&bytes).method else {
        panic!()
    };
    assert_eq!(put.req_id, Some(""));
    assert_eq!(encoded(&request(&bytes)), bytes);
}

#[test]
fn negative_int64_has_ten_bytes() {
    let bytes = build().bytes(1, "h").varint(2, -5i64 as u64).0;
    let reply = view::<PingReply>(&bytes).unwrap();
    assert_eq!(reply.unix_time, -5);
    assert_eq!(encoded(&reply), bytes);
    assert_eq!(bytes.len(), 3 + 1 + 10);
}

#[test]
fn enums_are_cut_to_32_bits_and_open() {
    let cut = build().varint(1, (1 << 32) | 3).0;
    assert_eq!(view::<StreamingError>(&cut).unwrap().code.0, 3);
    let owned: owned::streaming::StreamingError = prost::Message::decode(&*cut).unwrap();
    assert_eq!(owned.code, 3);
    let unknown = build().varint(1, 12_345).0;
    let error = view::<StreamingError>(&unknown).unwrap();
    assert_eq!((error.code.0, error.code.name()), (12_345, None));
    assert_eq!(encoded(&error), unknown);
    let negative = build().varint(1, -1i64 as u64).0;
    assert_eq!(
        encoded(&view::<StreamingError>(&negative).unwrap()),
        negative
    );
    let state = build().varint(3, 1).0;
    assert_eq!(
        view::<ComponentInfo>(&state).unwrap().state_code.name(),
        Some("Healthy")
    );
}

#[test]
fn any_varint_but_zero_is_true() {
    for v in [1, 2, 1 << 32, 1 << 63] {
        let bytes = build()
            .message(1, build())
            .message(4, build().message(2, build().varint(2, v)))
            .0;
        assert_eq!(compare_kind(Kind::Ack, &bytes), Verdict::Accepted);
        let ack = HealthAck::parse(&bytes[bytes.len() - 2..]);
        assert!(v > 1 || ack.unwrap().quorum);
    }
}

fn properties(entries: Build) -> Vec<u8> {
    build().message(2, build().message(2, entries)).0
}

fn property(bytes: &[u8], key: &str) -> Option<Vec<u8>> {
    assert_eq!(compare_kind(Kind::ProduceRequest, bytes), Verdict::Accepted);
    let request = view::<ProduceRequest>(bytes).unwrap();
    let Some(ProduceRequestRequest::Produce(produce)) = request.request else {
        panic!()
    };
    produce
        .message
        .unwrap()
        .properties
        .get(&key)
        .unwrap()
        .map(<[u8]>::to_vec)
}

#[test]
fn map_entry_without_value_or_key() {
    let bytes = properties(build().message(2, build().bytes(1, "k")));
    assert_eq!(property(&bytes, "k").unwrap(), b"");
    let bytes = properties(build().message(2, build().bytes(2, "v")));
    assert_eq!(property(&bytes, "").unwrap(), b"v");
    let bytes = properties(build().message(2, build()));
    assert_eq!(property(&bytes, "").unwrap(), b"");
    assert_eq!(property(&bytes, "k"), None);
}

#[test]
fn map_last_key_wins() {
    let entry = |v: &str| build().bytes(1, "k").bytes(2, v);
    let bytes = properties(build().message(2, entry("1")).message(2, entry("2")));
    assert_eq!(property(&bytes, "k").unwrap(), b"2");
}

#[test]
fn map_entry_value_before_key_and_unknown_fields() {
    let bytes = properties(build().message(2, build().bytes(2, "v").bytes(1, "k")));
    assert_eq!(property(&bytes, "k").unwrap(), b"v");
    let odd = build()
        .varint(9, 1)
        .bytes(1, "no")
        .bytes(1, "k")
        .bytes(7, "x")
        .bytes(2, "v");
    assert_eq!(
        property(&properties(build().message(2, odd)), "k").unwrap(),
        b"v"
    );
}

#[test]
fn list_in_two_pieces_of_one_sub_message() {
    let piece = |b: Build| build().message(2, build().message(2, b)).0;
    let entry = build().message(2, build().bytes(1, "k"));
    let split = [piece(entry.clone()), piece(entry.clone())].concat();
    assert_eq!(compare_kind(Kind::ProduceRequest, &split), Verdict::Split);
    // One piece with elements and others without are no difficulty.
    let one = [
        piece(build().bytes(1, "p")),
        piece(entry),
        piece(build().bytes(1, "q")),
    ]
    .concat();
    assert_eq!(property(&one, "k").unwrap(), b"");
}

#[test]
fn a_new_member_begins_its_lists_anew() {
    let piece = |b: Build| build().message(2, build().message(2, b));
    let entry = |k: &str| build().message(2, build().bytes(1, k));
    let bytes = [
        piece(entry("old")).0,
        build().message(3, build()).0,
        piece(entry("new")).0,
    ]
    .concat();
    assert_eq!(property(&bytes, "new").unwrap(), b"");
    assert_eq!(property(&bytes, "old"), None);
}

#[test]
fn empty_input_is_the_default_message() {
    for kind in KINDS {
        assert_eq!(compare_kind(kind, &[]), Verdict::Accepted);
    }
    assert_eq!(
        view::<OwnershipAnnounce>(&[]),
        Ok(OwnershipAnnounce::default())
    );
    assert!(encoded(&<OwnershipAnnounce>::default()).is_empty());
}

#[test]
fn failed_decode_leaves_the_view_reset() {
    let good = build().bytes(1, "host").packed(2, [1, 2]).0;
    let bad = [&good[..], &[0x0a, 0x09]].concat();
    let mut view = <OwnershipAnnounce>::default();
    view.decode(&good).unwrap();
    assert_eq!((view.host, view.ids.len()), ("host", 2));
    assert_eq!(view.decode(&bad), Err(DecodeError::Length));
    assert_eq!(view, OwnershipAnnounce::default());
}

#[test]
fn decode_forgets_what_was_there() {
    let mut response = <ProduceResponse>::default();
    let result = build().message(2, build().varint(1, 9)).0;
    response.decode(&result).unwrap();
    assert!(
        matches!(response.response, Some(ProduceResponseResponse::Produce(p)) if p.request_id == 9)
    );
    response.decode(&[]).unwrap();
    assert!(response.response.is_none());
}

#[test]
fn lazy_errors_wait_for_check_or_iteration() {
    let bytes = build()
        .bytes(1, "fine")
        .bytes(1, [0xff])
        .bytes(1, "also fine")
        .0;
    let view = NegotiateRequest::parse(&bytes).unwrap();
    let hosts: Vec<_> = view.known_hosts.iter().collect();
    assert_eq!(hosts, [Ok("fine"), Err(DecodeError::Utf8), Ok("also fine")]);
    assert_eq!(view.check(), Err(DecodeError::Utf8));
    let overflow = build()
        .bytes(2, [[0xff; 10].as_slice(), &[0x01, 0x05]].concat())
        .0;
    let view = OwnershipAnnounce::parse(&overflow).unwrap();
    assert_eq!(
        view.ids.iter().collect::<Vec<_>>(),
        [Err(DecodeError::VarintOverflow)]
    );
    assert_eq!(view.check(), Err(DecodeError::VarintOverflow));
}
