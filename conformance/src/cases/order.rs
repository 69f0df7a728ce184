//! Messages arrive whole and in the order they were sent.

use trefoil_core::status::{Code, Status};
use trefoil_core::transport::{Arrival, LinkEvent};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{LINK, World};

/// Lengths that lie around borders of one kind or another.
const LENGTHS: [usize; 12] = [
    0, 1, 4, 5, 1_023, 8_192, 16_379, 16_384, 16_385, 65_535, 65_536, 100_000,
];

fn nth(n: u64) -> Vec<u8> {
    message(n, LENGTHS[n as usize % LENGTHS.len()])
}

/// Many messages each way at the same time.
pub fn messages_keep_their_order_both_ways<S: Subject>() {
    const MESSAGES: u64 = 600;
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    let ends = [(At::Caller, stream), (At::Callee, accepted)];
    let (mut sent, mut got) = ([0; 2], [0; 2]);
    let key = |n: u64, from: At| n * 2 + from as u64;
    while got != [MESSAGES; 2] {
        for (at, stream) in ends {
            let sent = &mut sent[at as usize];
            while *sent < MESSAGES
                && !world.ledger(at).is_refused(stream)
                && world.try_frame(at, stream, &nth(key(*sent, at)))
            {
                *sent += 1;
            }
        }
        let (at, frame) = world.wait("a frame or room", |world| {
            for (at, stream) in ends {
                match world.pop_of(at, stream, |_| false) {
                    Some(Arrival::Frame { frame, .. }) => return Some((at, Some(frame))),
                    Some(Arrival::Header { .. } | Arrival::Writable { .. }) => {
                        return Some((at, None));
                    }
                    Some(other) => panic!("{at:?}: {other:?}"),
                    None => {}
                }
            }
            None
        });
        if let Some(frame) = frame {
            let from = [At::Callee, At::Caller][at as usize];
            let got = &mut got[at as usize];
            assert!(frame == nth(key(*got, from)), "{at:?}: message {got}");
            *got += 1;
        }
    }
    world.half_close(At::Caller, stream);
    world.expect_half_close(At::Callee, accepted);
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    world.rest();
}

/// A message without bytes is a message all the same.
pub fn an_empty_message_is_a_message<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    for frame in [&b""[..], b"", b"x", b""] {
        world.frame(At::Caller, stream, frame);
        world.expect_frame(At::Callee, accepted, frame);
        world.frame(At::Callee, accepted, frame);
        world.expect_frame(At::Caller, stream, frame);
    }
    world.rest();
}

/// A message larger than every budget passes, alone.
pub fn a_message_of_mebibytes_passes<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    for (n, len) in [(1_u64 << 20) + 1, 5 << 20, 0, 3 << 20]
        .into_iter()
        .enumerate()
    {
        let frame = message(n as u64, len as usize);
        world.send(At::Caller, stream, &frame);
        world.expect_frame(At::Callee, accepted, &frame);
        world.send(At::Callee, accepted, &frame);
        world.expect_frame(At::Caller, stream, &frame);
    }
    world.rest();
}

/// What is sent before the link stands waits for it.
pub fn streams_wait_for_their_link<S: Subject>() {
    let mut world = World::<S>::new();
    world.dial();
    let streams: Vec<_> = (0..40_u64)
        .map(|n| {
            let stream = world.open();
            world.frame(At::Caller, stream, &n.to_le_bytes());
            world.frame(At::Caller, stream, &nth(n));
            world.half_close(At::Caller, stream);
            stream
        })
        .collect();
    world.expect_link(LINK, LinkEvent::Up);
    let mut seen = vec![false; streams.len()];
    for _ in &streams {
        let accepted = world.accept();
        let number = world.take_frame(At::Callee, accepted);
        let n = u64::from_le_bytes(number.try_into().expect("a number"));
        assert!(!std::mem::replace(&mut seen[n as usize], true), "{n} twice");
        world.expect_frame(At::Callee, accepted, &nth(n));
        world.expect_half_close(At::Callee, accepted);
        world.frame(At::Callee, accepted, &nth(n + 1));
        world.end(At::Callee, accepted, Status::OK);
        world.expect_frame(At::Caller, streams[n as usize], &nth(n + 1));
        let end = world.expect_end(At::Caller, streams[n as usize]);
        assert_eq!(end.code, Code::Ok);
    }
    world.rest();
}

/// A stream that was abandoned before its link stood may be heard of at the other side, and then as
/// abandoned.
pub fn a_stream_may_be_abandoned_before_its_link_stands<S: Subject>() {
    let mut world = World::<S>::new();
    world.dial();
    for _ in 0..3 {
        let stream = world.open();
        world.frame(At::Caller, stream, b"for nobody");
        world.half_close(At::Caller, stream);
        world.end(At::Caller, stream, Status::new(Code::Cancelled, ""));
    }
    world.expect_link(LINK, LinkEvent::Up);
    world.settle();
    while world.unseen(At::Callee) > 0 {
        let accepted = world.accept();
        let end = world.await_end(At::Callee, accepted);
        assert_eq!(end.code, Code::Cancelled);
    }
    world.expect_well(LINK);
    world.rest();
}

/// Nothing of a call comes before it is bound, and then all of it does.
pub fn nothing_of_a_call_comes_before_it_is_bound<S: Subject>() {
    let mut world = World::<S>::linked();
    let stream = world.open();
    for n in 0..5 {
        world.frame(At::Caller, stream, &nth(n));
    }
    world.half_close(At::Caller, stream);
    let offer = world.offer();
    world.silence();
    let accepted = world.bind(offer.call, &[]);
    for n in 0..5 {
        world.expect_frame(At::Callee, accepted, &nth(n));
    }
    world.expect_half_close(At::Callee, accepted);
    world.rest();
}
