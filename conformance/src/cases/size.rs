//! Messages have a largest size on each side.

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code, Status};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{LINK, World};

const MOST: u32 = 100_000;

fn small() -> Limits {
    Limits {
        frame_bytes_max: MOST,
        ..Limits::default()
    }
}

/// A request above the callee's limit ends its stream on both sides, and nothing else.
pub fn a_request_that_is_too_large_ends_its_stream<S: Subject>() {
    let mut world = World::<S>::linked_with(&Limits::default(), &small());
    let (bystander, beside) = world.stream();
    for excess in [1, 1 << 20] {
        let (stream, accepted) = world.stream();
        world.frame(At::Caller, stream, b"fits");
        world.send(At::Caller, stream, &message(1, MOST as usize + excess));
        world.expect_frame(At::Callee, accepted, b"fits");
        let end = world.expect_end(At::Callee, accepted);
        assert_eq!(
            (end.code, end.message.as_str()),
            (Code::ResourceExhausted, codes::TOO_LARGE)
        );
        let end = world.expect_end(At::Caller, stream);
        assert_eq!(end.is(), (Code::ResourceExhausted, Cause::Peer));
        assert_eq!(end.message, codes::TOO_LARGE);
    }
    world.frame(At::Caller, bystander, b"still here");
    world.expect_frame(At::Callee, beside, b"still here");
    world.expect_well(LINK);
    world.rest();
}

/// An answer above the caller's limit does so as well.
pub fn an_answer_that_is_too_large_ends_its_stream<S: Subject>() {
    let mut world = World::<S>::linked_with(&small(), &Limits::default());
    let (bystander, beside) = world.stream();
    let (stream, accepted) = world.stream();
    world.frame(At::Callee, accepted, b"fits");
    world.frame(At::Callee, accepted, &message(1, MOST as usize + 1));
    world.expect_frame(At::Caller, stream, b"fits");
    let end = world.expect_end(At::Caller, stream);
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::ResourceExhausted, codes::TOO_LARGE)
    );
    let end = world.expect_end(At::Callee, accepted);
    assert_eq!(end.is(), (Code::Cancelled, Cause::Peer));
    world.frame(At::Callee, beside, b"still here");
    world.expect_frame(At::Caller, bystander, b"still here");
    world.expect_well(LINK);
    world.rest();
}

/// The largest message passes, and a larger one is not taken: nothing was sent, and the stream lives.
pub fn the_largest_message_passes<S: Subject>() {
    let mut world = World::<S>::linked_with(&small(), &small());
    let (stream, accepted) = world.stream();
    let largest = message(1, MOST as usize);
    let larger = message(2, MOST as usize + 1);
    for (at, stream, peer, heard) in [
        (At::Caller, stream, At::Callee, accepted),
        (At::Callee, accepted, At::Caller, stream),
    ] {
        assert!(
            !world.try_frame(at, stream, &larger),
            "{at:?}: it was taken"
        );
        world.send(at, stream, &largest);
        world.expect_frame(peer, heard, &largest);
    }
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    world.rest();
}
