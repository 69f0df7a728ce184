//! What is refused, and what is kept.

extern crate std;

use std::vec;

use super::world::{CHANNEL, Heard, World, config};
use crate::channels::client::*;
use crate::channels::dialect::ErrorCode;
use crate::channels::golden::long;
use crate::channels::messages::ProduceResponse;
use crate::channels::open::{Filter, Policy};
use crate::method::streaming;
use crate::status::Cause;

fn small() -> ClientConfig {
    ClientConfig {
        sessions_max: 2,
        records_max: 4,
        record_bytes_max: 1_000,
        request_bytes_max: 5_000,
        ..config()
    }
}

fn result(request_id: i64) -> ProduceResponse<'static> {
    ProduceResponse::Result {
        request_id,
        id: b"z",
    }
}

#[test]
fn better_15_records_under_way_are_bounded_by_their_count() {
    let (mut world, _, stream) = World::producing(small());
    for _ in 0..4 {
        world.produce(1, b"a").unwrap();
    }
    assert_eq!(world.produce(1, b"a"), Err(ClientRefused::Busy));
    world.answer(&stream, result(1));
    assert_eq!(world.take_heard().len(), 1, "more than half of it is taken");
    world.answer(&stream, result(2));
    assert_eq!(
        world.take_heard(),
        [Heard::Produced(1, 2, b"z".to_vec()), Heard::Room(1)]
    );
    world.answer(&stream, result(3));
    assert_eq!(world.take_heard().len(), 1, "told once");
    world.produce(1, b"a").unwrap();
}

#[test]
fn better_15_records_under_way_are_bounded_by_their_bytes_and_one_is_always_taken() {
    let (mut world, _, stream) = World::producing(small());
    world.produce(1, &[0; 4_000]).unwrap();
    assert_eq!(world.produce(1, b"a"), Err(ClientRefused::Busy));
    world.answer(&stream, result(1));
    assert_eq!(world.take_heard()[1], Heard::Room(1));
    world.produce(1, &[0; 600]).unwrap();
    assert_eq!(world.produce(1, &[0; 600]), Err(ClientRefused::Busy));
    world.produce(1, &[0; 100]).unwrap();
}

#[test]
fn better_15_a_record_that_is_too_large_is_an_error_at_once() {
    let (mut world, _, stream) = World::producing(small());
    assert_eq!(world.produce(1, &[0; 5_000]), Err(ClientRefused::TooLarge));
    assert_eq!(world.requests(&stream), []);
    // The largest one fits in what a request may have.
    world.produce(1, &[0; 4_900]).unwrap();
    let sent = world.io.fake.take_frames(stream.stream);
    assert!(sent[0].len() <= 5_000);
}

/// The node takes less than this client sends.
#[test]
fn better_15_a_record_that_the_node_will_not_take_is_no_wedge() {
    for message in [
        codes::TOO_LARGE,
        "grpc: received message larger than max (9 vs. 4)",
    ] {
        let (mut world, _, stream) = World::producing(config());
        for payload in [&b"a"[..], &[0; 900], b"b"] {
            world.produce(1, payload).unwrap();
        }
        let end = Status::new(Code::ResourceExhausted, message).caused_by(Cause::Peer);
        world.event(&stream, StreamIn::Ended(end));
        assert_eq!(
            world.take_heard(),
            [
                Heard::Failed(1, 2, ErrorCode::InvalidArgument, false),
                Heard::Interrupted(1, ErrorCode::Unknown),
            ]
        );
        world.sleep();
        let stream = world.opened(streaming::PRODUCE);
        world.create(&stream);
        assert_eq!(
            world.payloads(&stream),
            [(1, b"a".to_vec()), (2, b"b".to_vec())]
        );
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (mut world, _) = World::watching(small());
    let open = |channel, dedupe| ClientCommand::OpenProducer {
        key: 1,
        channel,
        timeout: None,
        dedupe,
    };
    let name = long(257);
    assert_eq!(world.command(open("", None)), Err(ClientRefused::Invalid));
    assert_eq!(
        world.command(open(&name, None)),
        Err(ClientRefused::Invalid)
    );
    for producer in ["", &name[..65]] {
        let dedupe = Dedupe {
            producer,
            sequence: 1,
        };
        let refused = world.command(open(CHANNEL, Some(dedupe)));
        assert_eq!(refused, Err(ClientRefused::Invalid));
    }
    assert_eq!(world.produce(1, b"a"), Err(ClientRefused::NoSuchKey));
    let filters = [Filter::TimeTickGt(1); 17];
    assert_eq!(
        world.open_consumer(1, Policy::All, &filters),
        Err(ClientRefused::TooLarge)
    );
    let long = long(900);
    assert_eq!(
        world.open_consumer(1, Policy::All, &[Filter::VChannel(&long)]),
        Err(ClientRefused::TooLarge)
    );
    assert_eq!(
        world.open_consumer(1, Policy::StartFrom(&[1; 129]), &[]),
        Err(ClientRefused::Invalid)
    );
    assert_eq!(world.client.open_count(), 0);
    world.opened_none();
    assert_eq!(world.take_heard(), vec![]);

    world.open_producer(1).unwrap();
    assert_eq!(world.open_producer(1), Err(ClientRefused::KeyTaken));
    assert_eq!(
        world.open_consumer(1, Policy::All, &[]),
        Err(ClientRefused::KeyTaken)
    );
    let acknowledge = ClientCommand::Acknowledge {
        key: 1,
        delivery: 0,
    };
    assert_eq!(world.command(acknowledge), Err(ClientRefused::NoSuchKey));
    world.open_consumer(2, Policy::All, &[]).unwrap();
    assert_eq!(world.open_producer(3), Err(ClientRefused::Busy));
    for refused in [
        ClientCommand::CloseProducer { key: 2 },
        ClientCommand::CloseConsumer { key: 1 },
    ] {
        assert_eq!(world.command(refused), Err(ClientRefused::NoSuchKey));
    }
}

/// What a server reads as a string must be one, or it drops the stream for ever.
#[test]
fn properties_that_are_ours_or_no_text_are_refused() {
    let (mut world, _, stream) = World::producing(config());
    for property in [
        ("_tt", &b"1"[..]),
        ("_lc", b"1"),
        ("_tp", b"p"),
        ("_ts", b"1"),
        ("mine", b"\xff"),
    ] {
        let refused = world.command(ClientCommand::Produce {
            key: 1,
            payload: b"a",
            properties: &[("_t", b"2"), ("_v", b"1"), property],
        });
        assert_eq!(refused, Err(ClientRefused::Invalid), "{property:?}");
    }
    assert_eq!(world.requests(&stream), []);
}

/// Nodes call it a failure inside, and it would be sent again for ever.
#[test]
fn better_10_a_record_that_no_node_takes_is_refused_here() {
    let (mut world, _, stream) = World::producing(config());
    let typed: &[(&str, &[u8])] = &[("_t", b"2"), ("_v", b"1")];
    for (payload, properties, taken) in [
        (&b""[..], typed, Err(ClientRefused::Invalid)),
        (b"a", &typed[..1], Err(ClientRefused::Invalid)),
        (b"a", &typed[1..], Err(ClientRefused::Invalid)),
        (b"a", typed, Ok(())),
    ] {
        let produce = ClientCommand::Produce {
            key: 1,
            payload,
            properties,
        };
        assert_eq!(world.command(produce), taken);
    }
    assert_eq!(world.payloads(&stream).len(), 1);
}

#[test]
fn a_metadata_of_the_longest_name_and_id_fits() {
    let (mut world, watch) = World::watching(config());
    let name = long(256);
    let consumer = ClientCommand::OpenConsumer {
        key: 1,
        channel: &name,
        policy: Policy::StartAfter(&[b'i'; 128]),
        filters: &[Filter::VChannel(&name), Filter::TimeTickGt(u64::MAX)],
    };
    world.command(consumer).unwrap();
    world.push(&watch, (1, 2), &[(&*name, i64::MAX, i64::MAX, "n7:1")]);
    let opened = world.opened(streaming::CONSUME);
    assert!(opened.header.len() < 1_400, "{}", opened.header.len());
}

#[test]
fn what_finds_no_room_here_is_tried_again_later() {
    let mut world = World::new();
    world.io.fake.full = true;
    world.command(ClientCommand::Watch).unwrap();
    world.sleep();
    world.io.fake.full = false;
    world.sleep();
    let watch = world.opened(streaming::DISCOVER);
    world.io.fake.full = true;
    world.push(&watch, (1, 1), &[(CHANNEL, 2, 7, "n7:1")]);
    world.open_producer(1).unwrap();
    world.produce(1, b"a").unwrap();
    world.sleep();
    world.opened_none();
    world.io.fake.full = false;
    world.sleep();
    let stream = world.opened(streaming::PRODUCE);
    world.create(&stream);
    assert_eq!(world.payloads(&stream), [(1, b"a".to_vec())]);
}
