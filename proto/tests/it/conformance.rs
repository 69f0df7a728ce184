//! What every decoder must accept and refuse, one test a case, views and prost side by side.
//!
//! The two differ by design in one thing: a known field with a wire type it cannot have is an
//! unknown field to the views and an error to prost.

use trefoil_proto::control_plane::OwnershipAnnounce;
use trefoil_proto::{Decode, DecodeError};

use crate::corpus::{Build, Kind};
use crate::pairs::{Verdict, compare_kind, view};

fn build() -> Build {
    Build::default()
}

fn raw(bytes: &[u8]) -> Build {
    Build(bytes.to_vec())
}

fn own(bytes: &[u8]) -> Verdict {
    compare_kind(Kind::OwnershipAnnounce, bytes)
}

/// The ids, by the view; prost was seen to agree.
fn ids(bytes: &[u8]) -> Vec<u64> {
    assert_eq!(own(bytes), Verdict::Accepted);
    let view = view::<OwnershipAnnounce>(bytes).unwrap();
    view.ids.iter().map(Result::unwrap).collect()
}

fn refused(bytes: &[u8], with: DecodeError) {
    assert_eq!(own(bytes), Verdict::Refused);
    assert_eq!(view::<OwnershipAnnounce>(bytes).unwrap_err(), with);
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let all = build()
        .varint(100, u64::MAX)
        .tag(101, 1)
        .0
        .into_iter()
        .chain([1; 8])
        .collect::<Vec<_>>();
    let all = raw(&all).bytes(102, [0xff; 40]).tag(103, 5);
    let all = raw(&[&all.0[..], &[1; 4]].concat())
        .bytes(1, "h")
        .packed(2, [5]);
    assert_eq!(ids(&all.0), [5]);
    assert_eq!(view::<OwnershipAnnounce>(&all.0).unwrap().host, "h");
}

#[test]
fn unknown_group_is_skipped() {
    let group = build()
        .tag(9, 3)
        .varint(1, 7)
        .tag(8, 3)
        .bytes(2, "x")
        .tag(8, 4)
        .tag(9, 4);
    assert_eq!(ids(&group.packed(2, [5]).0), [5]);
}

#[test]
fn known_number_as_group_is_skipped_by_views_alone() {
    let group = build().tag(1, 3).bytes(1, "no").tag(1, 4).packed(2, [5]);
    assert_eq!(own(&group.0), Verdict::AcceptedAsUnknown);
    assert_eq!(view::<OwnershipAnnounce>(&group.0).unwrap().host, "");
}

#[test]
fn group_end_that_does_not_match() {
    refused(&build().tag(9, 3).tag(8, 4).0, DecodeError::EndGroup);
    refused(
        &build().tag(9, 3).tag(8, 3).tag(9, 4).tag(8, 4).0,
        DecodeError::EndGroup,
    );
}

#[test]
fn group_without_end() {
    refused(&build().tag(9, 3).varint(1, 1).0, DecodeError::Truncated);
}

#[test]
fn lone_end_group() {
    refused(&build().tag(9, 4).0, DecodeError::EndGroup);
}

#[test]
fn groups_nested_to_the_limit_and_beyond() {
    let nested = |depth| {
        let open = (0..depth).fold(build(), |b, _| b.tag(9, 3));
        (0..depth).fold(open, |b, _| b.tag(9, 4)).0
    };
    assert_eq!(own(&nested(99)), Verdict::Accepted);
    assert_eq!(own(&nested(100)), Verdict::Accepted);
    refused(&nested(101), DecodeError::GroupDepth);
    refused(&nested(1000), DecodeError::GroupDepth);
    refused(
        &(0..100_000).fold(build(), |b, _| b.tag(9, 3)).0,
        DecodeError::GroupDepth,
    );
}

#[test]
fn overlong_tag() {
    assert_eq!(ids(&[0x92, 0x80, 0x80, 0x00, 0x01, 0x05]), [5]);
}

#[test]
fn overlong_length() {
    assert_eq!(ids(&[0x12, 0x81, 0x80, 0x00, 0x05]), [5]);
}

#[test]
fn overlong_element() {
    assert_eq!(ids(&[0x12, 0x03, 0x85, 0x80, 0x00]), [5]);
    let ten = [0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(ids(&build().bytes(2, ten).0), [5]);
}

#[test]
fn ten_byte_varint_max() {
    let max = build().raw_varint(u64::MAX);
    assert_eq!(max.0.len(), 10);
    assert_eq!(ids(&build().bytes(2, max.0).0), [u64::MAX]);
}

#[test]
fn ten_byte_varint_whose_tenth_byte_is_two() {
    let two = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    refused(&build().bytes(2, two).0, DecodeError::VarintOverflow);
    refused(
        &build().bytes(2, [&two[..], &[0; 20]].concat()).0,
        DecodeError::VarintOverflow,
    );
    refused(
        &[&build().tag(100, 0).0[..], &two].concat(),
        DecodeError::VarintOverflow,
    );
}

#[test]
fn eleven_byte_varint() {
    let eleven = [
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00,
    ];
    refused(&build().bytes(2, eleven).0, DecodeError::VarintOverflow);
    refused(&eleven, DecodeError::VarintOverflow);
    refused(
        &[&build().tag(2, 0).0[..], &eleven].concat(),
        DecodeError::VarintOverflow,
    );
}

#[test]
fn varint_cut_at_the_end() {
    refused(&[0x80], DecodeError::Truncated);
    refused(&build().tag(100, 0).0, DecodeError::Truncated);
    refused(
        &[&build().tag(100, 0).0[..], &[0xff, 0xff]].concat(),
        DecodeError::Truncated,
    );
}

#[test]
fn varint_cut_at_the_end_of_packed() {
    // Seen as soon as the message is decoded, not only when the list is walked.
    let cut = OwnershipAnnounce::parse(&[0x12, 0x02, 0x05, 0x85]);
    assert_eq!(cut.unwrap_err(), DecodeError::Truncated);
    refused(&build().bytes(2, [0x05, 0x85]).0, DecodeError::Truncated);
    refused(
        &build().bytes(2, [0x05, 0x85]).bytes(1, "host").0,
        DecodeError::Truncated,
    );
    refused(
        &build().packed(2, [1]).bytes(2, [0x85]).packed(2, [1]).0,
        DecodeError::Truncated,
    );
}

#[test]
fn packed_in_two_chunks() {
    assert_eq!(
        ids(&build().packed(2, [1, 300]).packed(2, [3]).0),
        [1, 300, 3]
    );
    assert_eq!(
        ids(&build().packed(2, [1, 300]).bytes(1, "h").packed(2, [3]).0),
        [1, 300, 3]
    );
}

#[test]
fn empty_chunks() {
    assert_eq!(ids(&build().packed(2, []).0), []);
    assert_eq!(ids(&build().packed(2, []).packed(2, []).0), []);
    assert_eq!(
        ids(&build().packed(2, []).packed(2, [7]).packed(2, []).0),
        [7]
    );
}

#[test]
fn unpacked_elements() {
    assert_eq!(ids(&build().varint(2, 1).varint(2, 300).0), [1, 300]);
    assert_eq!(
        ids(&build().varint(2, 1).bytes(1, "h").varint(2, u64::MAX).0),
        [1, u64::MAX]
    );
}

#[test]
fn packed_and_unpacked_mixed() {
    let mixed = build()
        .varint(2, 1)
        .packed(2, [2, 3])
        .varint(9, 9)
        .varint(2, 4)
        .packed(2, [5]);
    assert_eq!(ids(&mixed.0), [1, 2, 3, 4, 5]);
    let group = build()
        .packed(2, [1])
        .tag(9, 3)
        .packed(2, [66])
        .tag(9, 4)
        .varint(2, 2);
    assert_eq!(ids(&group.0), [1, 2]);
}

#[test]
fn known_field_of_wrong_wire_type_is_unknown() {
    let wrong = build().varint(1, 7).bytes(1, "right").packed(2, [5]);
    assert_eq!(own(&wrong.0), Verdict::AcceptedAsUnknown);
    assert_eq!(view::<OwnershipAnnounce>(&wrong.0).unwrap().host, "right");
    let fixed = raw(&[&build().tag(2, 1).0[..], &[1; 8]].concat()).packed(2, [5]);
    assert_eq!(own(&fixed.0), Verdict::AcceptedAsUnknown);
    assert_eq!(view::<OwnershipAnnounce>(&fixed.0).unwrap().ids.len(), 1);
}

#[test]
fn last_string_wins() {
    let twice = build().bytes(1, "first").bytes(1, "second").0;
    assert_eq!(own(&twice), Verdict::Accepted);
    assert_eq!(view::<OwnershipAnnounce>(&twice).unwrap().host, "second");
    let empty = build().bytes(1, "first").bytes(1, "").0;
    assert_eq!(view::<OwnershipAnnounce>(&empty).unwrap().host, "");
}

#[test]
fn field_number_zero() {
    refused(&[0x00, 0x00], DecodeError::FieldNumber);
    refused(&[0x02, 0x00], DecodeError::FieldNumber);
    refused(&[0x07], DecodeError::FieldNumber);
    refused(
        &build().tag(9, 3).tag(0, 0).raw_varint(0).tag(9, 4).0,
        DecodeError::FieldNumber,
    );
}

#[test]
fn field_number_too_big() {
    let largest = (1 << 29) - 1;
    assert_eq!(ids(&build().varint(largest, 1).packed(2, [5]).0), [5]);
    refused(
        &build().raw_varint(1 << 32).raw_varint(1).0,
        DecodeError::FieldNumber,
    );
    refused(
        &build().raw_varint(u64::MAX - 7).raw_varint(1).0,
        DecodeError::FieldNumber,
    );
}

#[test]
fn wire_types_six_and_seven() {
    for wire in [6, 7] {
        for field in [1, 2, 100] {
            refused(
                &build().tag(field, wire).raw_varint(1).0,
                DecodeError::WireType,
            );
        }
        refused(
            &build().tag(9, 3).tag(1, wire).tag(9, 4).0,
            DecodeError::WireType,
        );
    }
}

#[test]
fn invalid_utf8() {
    let bad: [&[u8]; 5] = [
        &[0xff],
        &[0xc3],
        b"host\xc3\x28name",
        &[0xed, 0xa0, 0x80],
        &[0xc0, 0x80],
    ];
    for bad in bad {
        refused(&build().bytes(1, bad).0, DecodeError::Utf8);
        let list = build().bytes(1, "ok").bytes(1, bad).0;
        assert_eq!(
            compare_kind(Kind::NegotiateRequest, &list),
            Verdict::Refused
        );
        // Bytes are not checked.
        let put = build().message(2, build().bytes(3, bad)).0;
        assert_eq!(compare_kind(Kind::CacheRequest, &put), Verdict::Accepted);
    }
    assert_eq!(
        own(&build().bytes(1, "knoten-ä-結び目-🪢").0),
        Verdict::Accepted
    );
}

#[test]
fn properties_have_utf8_keys_and_any_value() {
    let with = |key: &[u8], value: &[u8]| {
        let entry = build().bytes(1, key).bytes(2, value);
        build()
            .message(2, build().message(2, build().message(2, entry)))
            .0
    };
    assert_eq!(
        compare_kind(Kind::ProduceRequest, &with(b"_tt", &[0xff, 0x01])),
        Verdict::Accepted
    );
    assert_eq!(
        compare_kind(Kind::ProduceRequest, &with(&[0xff], b"1")),
        Verdict::Refused
    );
    // The other map of the schemas has strings in both places.
    let status = |value: &[u8]| build().message(6, build().bytes(1, "k").bytes(2, value)).0;
    assert!(view::<trefoil_proto::common::Status<'_>>(&status(b"v")).is_ok());
    let bad = status(&[0xff]);
    assert_eq!(
        view::<trefoil_proto::common::Status<'_>>(&bad),
        Err(DecodeError::Utf8)
    );
}

#[test]
fn lengths_past_the_end() {
    refused(&[0x0a, 0x01], DecodeError::Length);
    refused(&[0x0a, 0x05, b'a'], DecodeError::Length);
    refused(&build().tag(100, 2).raw_varint(1).0, DecodeError::Length);
    for huge in [1 << 63, u64::MAX, (1 << 32) + 1, 1 << 31, 1 << 32] {
        for field in [1, 2, 100] {
            refused(
                &build().tag(field, 2).raw_varint(huge).raw_varint(1).0,
                DecodeError::Length,
            );
        }
    }
}

#[test]
fn length_past_the_end_of_the_enclosing_message() {
    let inner = build().tag(1, 2).raw_varint(3);
    let bytes = build().message(1, inner).bytes(100, "more").0;
    assert_eq!(compare_kind(Kind::CacheRequest, &bytes), Verdict::Refused);
}

#[test]
fn tag_only() {
    refused(&[0x0a], DecodeError::Truncated);
    refused(&[0x12], DecodeError::Truncated);
    refused(&[0x10], DecodeError::Truncated);
}
