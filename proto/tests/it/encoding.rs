//! What a list can be encoded from, and that every way writes the same bytes.

use prost::Message as _;
use trefoil_proto::control_plane::*;
use trefoil_proto::google::Any;
use trefoil_proto::wire::{List, kind};
use trefoil_proto::{Decode, Each, Encode, Full, MethodDescriptor, Named, Packed, Writer, owned};

use crate::corpus::{Build, hash};
use crate::pairs::{encoded, view};

fn build() -> Build {
    Build::default()
}

fn announce<Ids>(ids: Ids) -> Vec<u8>
where
    for<'a> OwnershipAnnounce<'a, Ids>: Encode,
{
    encoded(&OwnershipAnnounce { host: "h", ids })
}

#[test]
fn numbers_from_slices_iterators_and_received_lists() {
    for count in [0, 1, 2, 17, 1000] {
        let ids: Vec<u64> = (0..count).map(hash).collect();
        let wanted = owned::control_plane::OwnershipAnnounce {
            host: "h".into(),
            ids: ids.clone(),
        };
        let wanted = wanted.encode_to_vec();
        assert_eq!(announce(&ids[..]), wanted);
        assert_eq!(announce(Each(ids.iter())), wanted);
        assert_eq!(announce(Each(ids.iter().copied())), wanted);
        assert_eq!(announce(Each((0..count).map(hash))), wanted);
        let received = view::<OwnershipAnnounce>(&wanted).unwrap().ids;
        assert_eq!(
            encoded(&OwnershipAnnounce {
                host: "h",
                ids: received
            }),
            wanted
        );
        assert_eq!(received.raw().map(Packed::<u64>::from_raw), Some(received));
    }
    assert_eq!(announce([1, 2, 3]), announce(&[1, 2, 3][..]));
}

#[test]
fn numbers_received_in_pieces_are_joined() {
    let pieces = build()
        .varint(2, 1)
        .packed(2, [300, 3])
        .bytes(1, "h")
        .varint(2, u64::MAX)
        .0;
    let received = view::<OwnershipAnnounce>(&pieces).unwrap();
    assert_eq!(received.ids.raw(), None);
    assert_eq!(encoded(&received), announce([1, 300, 3, u64::MAX]));
    let empty = build().packed(2, []).packed(2, []).bytes(1, "h").0;
    assert_eq!(
        encoded(&view::<OwnershipAnnounce>(&empty).unwrap()),
        announce([])
    );
}

#[test]
fn hosts_from_slices_iterators_and_received_lists() {
    let hosts = [
        "one",
        "",
        "a host with a name that takes more than thirty-two bytes",
    ];
    let names: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let wanted = owned::control_plane::NegotiateRequest {
        known_hosts: names.clone(),
    }
    .encode_to_vec();
    assert_eq!(encoded(&NegotiateRequest { known_hosts: hosts }), wanted);
    assert_eq!(
        encoded(&NegotiateRequest {
            known_hosts: &hosts[..]
        }),
        wanted
    );
    assert_eq!(
        encoded(&NegotiateRequest {
            known_hosts: Each(hosts.iter())
        }),
        wanted
    );
    assert_eq!(
        encoded(&NegotiateRequest {
            known_hosts: Each(names.iter().map(|n| n.as_str()))
        }),
        wanted
    );
    let received = view::<NegotiateRequest<_>>(&wanted).unwrap();
    assert_eq!(encoded(&received), wanted);
    // Into another message, under the same number.
    let reply = NegotiateReply {
        hosts: received.known_hosts,
    };
    assert_eq!(encoded(&reply), wanted);
}

#[test]
fn elements_among_other_fields_are_gathered() {
    let scattered = build()
        .bytes(1, "a")
        .varint(9, 1)
        .bytes(1, "b")
        .tag(8, 3)
        .bytes(1, "no")
        .tag(8, 4);
    let scattered = scattered.bytes(1, "c").bytes(1, "").0;
    let received = view::<NegotiateRequest<_>>(&scattered).unwrap();
    assert_eq!(received.known_hosts.len(), 4);
    assert_eq!(
        encoded(&received),
        encoded(&NegotiateRequest {
            known_hosts: ["a", "b", "c", ""]
        })
    );
    // Overlong tags and unknown fields at the ends do not matter, and neither does another number.
    let any = build().bytes(1, "u");
    let apply = build()
        .varint(9, 3)
        .message(2, any.clone())
        .varint(1, 8)
        .message(2, any)
        .varint(9, 3)
        .0;
    let received = view::<ApplyRequest<_>>(&apply).unwrap();
    let one = Any {
        type_url: "u",
        value: b"",
    };
    assert_eq!(
        encoded(&received),
        encoded(&ApplyRequest {
            id: 8,
            messages: [one, one]
        })
    );
    let mut buf = [0; 64];
    let mut w = Writer::new(&mut buf);
    List::<Any<'static>>::write_list(&received.messages, 10, &mut w).unwrap();
    assert_eq!(
        w.finish(),
        build().bytes(1, [10, 1, b'u']).bytes(1, [10, 1, b'u']).0
    );
}

#[test]
fn messages_from_slices_and_iterators() {
    let values: Vec<Vec<u8>> = (0..5).map(|n| vec![n; usize::from(n) * 40]).collect();
    let any = |value: &Vec<u8>| owned::google::Any {
        type_url: "u".into(),
        value: value.clone().into(),
    };
    let wanted = owned::control_plane::ApplyRequest {
        id: 1 << 40,
        messages: values.iter().map(any).collect(),
    };
    let wanted = wanted.encode_to_vec();
    let each = Each(values.iter().map(|value| Any {
        type_url: "u",
        value,
    }));
    assert_eq!(
        encoded(&ApplyRequest {
            id: 1 << 40,
            messages: each.clone()
        }),
        wanted
    );
    let all: Vec<Any<'_>> = each.0.collect();
    assert_eq!(
        encoded(&ApplyRequest {
            id: 1 << 40,
            messages: &all[..]
        }),
        wanted
    );
    assert_eq!(
        encoded(&ApplyRequest {
            id: 1 << 40,
            messages: Each(all.iter())
        }),
        wanted
    );
}

#[test]
fn fixed_and_other_numbers_through_the_writer() {
    let mut buf = [0; 128];
    let mut w = Writer::new(&mut buf);
    w.sint32(8, i32::MIN).unwrap();
    w.sint64(16, i64::MIN).unwrap();
    w.sfixed32(29, -3).unwrap();
    w.sfixed64(33, -4).unwrap();
    w.float(45, 1.5).unwrap();
    w.double(49, -2.5).unwrap();
    w.uint32(56, u32::MAX).unwrap();
    let mut r = trefoil_proto::Reader::new(w.finish());
    assert_eq!((r.tag(), r.uint32()), (Ok(56), Ok(u32::MAX)));
    assert_eq!((r.tag(), r.double()), (Ok(49), Ok(-2.5)));
    assert_eq!((r.tag(), r.float()), (Ok(45), Ok(1.5)));
    assert_eq!((r.tag(), r.sfixed64()), (Ok(33), Ok(-4)));
    assert_eq!((r.tag(), r.sfixed32()), (Ok(29), Ok(-3)));
    assert_eq!((r.tag(), r.sint64()), (Ok(16), Ok(i64::MIN)));
    assert_eq!((r.tag(), r.sint32()), (Ok(8), Ok(i32::MIN)));
    assert!(r.is_empty());
    assert_eq!(trefoil_proto::wire::sint32_len(i32::MIN), 5);
    assert_eq!(trefoil_proto::wire::sint64_len(-1), 1);
}

#[test]
fn prefix_goes_in_front() {
    let message = ClosingNotice { host: "gone" };
    let mut buf = [0; 32];
    let mut w = Writer::new(&mut buf);
    message.encode(&mut w).unwrap();
    let len = w.len() as u32;
    w.prefix(&len.to_be_bytes()).unwrap();
    w.prefix(&[0]).unwrap();
    assert_eq!(
        w.finish(),
        [&[0, 0, 0, 0, 6][..], &encoded(&message)].concat()
    );
}

#[test]
fn encode_to_slice_moves_to_the_front_of_a_longer_slice() {
    let message = ClosingNotice { host: "gone" };
    let mut buf = [0xee; 32];
    assert_eq!(message.encode_to_slice(&mut buf), Ok(6));
    assert_eq!(buf[..6], encoded(&message));
    assert_eq!(message.encode_to_slice(&mut buf[..5]), Err(Full));
}

#[test]
fn encoders_can_be_passed_as_trait_objects() {
    let all: [&dyn Encode; 2] = [&Empty {}, &GetRequest { id: 3 }];
    assert_eq!(all.map(|m| m.encoded_len()), [0, 2]);
}

#[test]
fn names_are_those_of_prost() {
    fn same<V: Named, P: prost::Name>() {
        assert_eq!(V::NAME, P::full_name());
    }
    same::<ApplyRequest, owned::control_plane::ApplyRequest>();
    same::<Any<'_>, owned::google::Any>();
    same::<trefoil_proto::admin::StatusReply<'_>, owned::admin::StatusReply>();
    same::<
        trefoil_proto::streaming::ConsumeMessageReponse<'_>,
        owned::streaming::ConsumeMessageReponse,
    >();
}

#[test]
fn the_schemas_hold_17_remote_procedures_beside_our_own() {
    use trefoil_proto::{admin, cache, streaming};
    let all = [
        service::METHODS,
        cache::service::METHODS,
        streaming::service::METHODS,
    ];
    assert_eq!(all.map(<[MethodDescriptor]>::len), [8, 1, 8]);
    assert_eq!(admin::service::METHODS.len(), 4);
    assert_eq!(trefoil_proto::channels::service::METHODS.len(), 6);
    assert_eq!(
        cache::service::cache::STREAM_VALUES,
        MethodDescriptor {
            path: "/cache.Cache/StreamValues",
            client_streaming: true,
            server_streaming: true
        }
    );
    let apply = service::control_plane::APPLY;
    assert_eq!(apply.path, "/control_plane_messages.ControlPlane/Apply");
    assert!(!apply.client_streaming && !apply.server_streaming);
}

#[test]
fn descriptors_name_every_service_and_bring_their_imports() {
    for (set, files, has) in [
        (FILE_DESCRIPTOR_SET, 2, "ControlPlane"),
        (trefoil_proto::cache::FILE_DESCRIPTOR_SET, 1, "StreamValues"),
        (
            trefoil_proto::streaming::FILE_DESCRIPTOR_SET,
            4,
            "StreamingNodeManagerService",
        ),
        (trefoil_proto::admin::FILE_DESCRIPTOR_SET, 1, "Admin"),
    ] {
        // A FileDescriptorSet is a list of files in field 1, as known hosts are of strings.
        let mut r = trefoil_proto::Reader::new(set);
        let mut found = 0;
        while !r.is_empty() {
            assert_eq!(r.tag(), Ok(10));
            r.bytes().unwrap();
            found += 1;
        }
        assert_eq!(found, files, "{has}");
        assert!(set.windows(has.len()).any(|part| part == has.as_bytes()));
    }
}

/// The seed's text has lost the types of its map; everything else stands as it was, misspelt or not: tools that
/// reflect, and JSON, go by the names.
#[test]
fn line_01_the_schema_of_the_channels_is_the_seeds_with_one_place_repaired() {
    let set = trefoil_proto::streaming::FILE_DESCRIPTOR_SET;
    let has = |name: &str| set.windows(name.len()).any(|part| part == name.as_bytes());
    for name in [
        "PropertiesEntry",
        "STREAMING_CODE_INVAILD_ARGUMENT",
        "ConsumeMessageReponse",
        "milvus.proto.streaming",
    ] {
        assert!(has(name), "{name}");
    }
    for corrected in ["INVALID_ARGUMENT", "ConsumeMessageResponse"] {
        assert!(!has(corrected), "{corrected}");
    }
    // `map<string, string> properties = 2` is a repeated message of key and value.
    let bytes = b"\x0a\x01p\x12\x06\x0a\x01k\x12\x01v";
    let message = owned::streaming::Message {
        payload: (&b"p"[..]).into(),
        properties: [("k".into(), (&b"v"[..]).into())].into(),
    };
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn map_entries_leave_out_defaults_as_prost_does() {
    use trefoil_proto::streaming::Message;
    let entries = [("", &b""[..]), ("k", b""), ("z", b"v")];
    let wanted = owned::streaming::Message {
        payload: Default::default(),
        properties: entries
            .iter()
            .map(|(k, v)| ((*k).into(), v.to_vec().into()))
            .collect(),
    };
    let wanted = wanted.encode_to_vec();
    assert_eq!(
        encoded(&Message {
            payload: b"",
            properties: entries
        }),
        wanted
    );
    assert_eq!(
        encoded(&Message {
            payload: b"",
            properties: Each(entries.iter().copied())
        }),
        wanted
    );
    assert_eq!(encoded(&Message::parse(&wanted).unwrap()), wanted);
}

#[test]
fn kinds_tell_lists_apart() {
    fn is<K>(_: &impl List<K>) {}
    is::<kind::Text>(&["a"]);
    is::<kind::Blob>(&[&b"a"[..]]);
    is::<Any<'static>>(&[Any::default()]);
}
