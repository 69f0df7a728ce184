//! Any bytes: the view and prost agree on whether they are a message and on what it says.
//!
//! Plain random bytes end at the first bad tag. Fields with small numbers, nested at random, meet
//! the real messages at every level; changing bytes afterwards breaks them at every level.

use proptest::prelude::*;

use crate::corpus::{Build, corpus};
use crate::pairs::{KINDS, compare_kind};

/// A field of no particular message.
#[derive(Clone, Debug)]
enum Field {
    Varint(u32, u64),
    Fixed64(u32),
    Fixed32(u32),
    Bytes(u32, Vec<u8>),
    Text(u32, String),
    Packed(u32, Vec<u64>),
    Message(u32, Vec<Self>),
    Group(u32, Vec<Self>),
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..=4, 3 => 5u32..=9, 1 => Just(300)]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, 0u64..100_000, any::<u64>()]
}

fn field() -> impl Strategy<Value = Field> {
    let leaf = prop_oneof![
        4 => (number(), value()).prop_map(|(n, v)| Field::Varint(n, v)),
        1 => number().prop_map(Field::Fixed64),
        1 => number().prop_map(Field::Fixed32),
        1 => (number(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(n, v)| Field::Bytes(n, v)),
        6 => (number(), "[a-z]{0,12}|ä?🪢?").prop_map(|(n, v)| Field::Text(n, v)),
        3 => (number(), prop::collection::vec(value(), 0..12)).prop_map(|(n, v)| Field::Packed(n, v)),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let fields = prop::collection::vec(inner, 0..6);
        prop_oneof![
            12 => (number(), fields.clone()).prop_map(|(n, f)| Field::Message(n, f)),
            1 => (10u32..12, fields).prop_map(|(n, f)| Field::Group(n, f)),
        ]
    })
}

fn write(build: Build, fields: &[Field]) -> Build {
    fields.iter().fold(build, |b, field| match field {
        Field::Varint(n, v) => b.varint(*n, *v),
        Field::Fixed64(n) => Build([b.tag(*n, 1).0, vec![3; 8]].concat()),
        Field::Fixed32(n) => Build([b.tag(*n, 5).0, vec![3; 4]].concat()),
        Field::Bytes(n, v) => b.bytes(*n, v),
        Field::Text(n, v) => b.bytes(*n, v),
        Field::Packed(n, v) => b.packed(*n, v.iter().copied()),
        Field::Message(n, inner) => b.message(*n, write(Build::default(), inner)),
        Field::Group(n, inner) => write(b.tag(*n, 3), inner).tag(*n, 4),
    })
}

/// Changes bytes where they are, cuts, or repeats a part.
fn damaged(mut bytes: Vec<u8>, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match how % 5 {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *byte),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec(any::<(usize, u8, u8)>(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn structured_bytes(fields in prop::collection::vec(field(), 0..8), changes in changes()) {
        let whole = write(Build::default(), &fields).0;
        let bytes = damaged(whole.clone(), &changes);
        for kind in KINDS {
            compare_kind(kind, &whole);
            compare_kind(kind, &bytes);
        }
    }

    #[test]
    fn damaged_corpus(which in any::<prop::sample::Index>(), changes in changes()) {
        let small: Vec<_> = corpus().into_iter().filter(|e| e.bytes.len() < 2000).collect();
        let entry = which.get(&small);
        compare_kind(entry.kind, &damaged(entry.bytes.clone(), &changes));
    }

    #[test]
    fn packed_forms_agree(ids in prop::collection::vec(value(), 0..40), cut in 0usize..40) {
        use trefoil_proto::control_plane::OwnershipAnnounce;
        let cut = cut.min(ids.len());
        let (front, back) = ids.split_at(cut);
        let unpacked = ids.iter().fold(Build::default(), |b, id| b.varint(2, *id)).0;
        let chunks = Build::default().packed(2, front.iter().copied()).packed(2, back.iter().copied()).0;
        let mixed = back.iter().fold(Build::default().packed(2, front.iter().copied()), |b, id| b.varint(2, *id)).0;
        let packed = Build::default().packed(2, ids.iter().copied()).0;
        for bytes in [unpacked, chunks, mixed, packed] {
            let view = crate::pairs::view::<OwnershipAnnounce>(&bytes).unwrap();
            prop_assert_eq!(view.ids.iter().collect::<Result<Vec<_>, _>>().unwrap(), ids.clone());
            prop_assert_eq!(view.ids.len(), ids.len());
        }
    }

    #[test]
    fn any_packed_run(run in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff), Just(0x80)], 0..60)) {
        let bytes = Build::default().bytes(2, run).0;
        compare_kind(crate::corpus::Kind::OwnershipAnnounce, &bytes);
    }
}
