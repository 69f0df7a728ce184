//! One direction of a stream may end before the other.

use trefoil_core::status::{Cause, Code, Status};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::World;

/// A caller that has sent everything still hears all of the answer.
pub fn a_caller_that_half_closed_still_hears<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    world.frame(At::Caller, stream, b"the only one");
    world.half_close(At::Caller, stream);
    world.expect_frame(At::Callee, accepted, b"the only one");
    world.expect_half_close(At::Callee, accepted);
    for n in 0..200 {
        let frame = message(n, n as usize * 300);
        world.send(At::Callee, accepted, &frame);
        world.expect_frame(At::Caller, stream, &frame);
    }
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(
        world.expect_end(At::Caller, stream).is(),
        (Code::Ok, Cause::Peer)
    );
    world.rest();
}

/// A callee that has answered everything still hears, until it ends the stream.
pub fn a_callee_that_half_closed_still_hears<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    world.frame(At::Callee, accepted, b"the only one");
    world.half_close(At::Callee, accepted);
    world.expect_frame(At::Caller, stream, b"the only one");
    for n in 0..200 {
        let frame = message(n, n as usize * 300);
        world.send(At::Caller, stream, &frame);
        world.expect_frame(At::Callee, accepted, &frame);
    }
    world.half_close(At::Caller, stream);
    world.expect_half_close(At::Callee, accepted);
    world.end(At::Callee, accepted, Status::new(Code::Aborted, "at last"));
    let end = world.expect_end(At::Caller, stream);
    assert_eq!((end.code, end.message.as_str()), (Code::Aborted, "at last"));
    world.rest();
}

/// A half-close without a message is heard.
pub fn a_request_without_messages<S: Subject>() {
    let mut world = World::<S>::linked();
    let stream = world.open();
    world.half_close(At::Caller, stream);
    let accepted = world.accept();
    world.expect_half_close(At::Callee, accepted);
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    world.rest();
}

/// Who said that it sends no more has no room for another message, and none gets through.
pub fn nothing_is_sent_after_a_half_close<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    for (at, stream) in [(At::Caller, stream), (At::Callee, accepted)] {
        world.frame(at, stream, b"last");
        world.half_close(at, stream);
        assert!(!world.try_frame(at, stream, b"one more"), "{at:?} sends on");
        world.half_close(at, stream);
    }
    world.expect_frame(At::Callee, accepted, b"last");
    world.expect_half_close(At::Callee, accepted);
    world.expect_frame(At::Caller, stream, b"last");
    assert!(!world.try_frame(At::Caller, stream, b"and one"));
    assert!(!world.try_frame(At::Callee, accepted, b"and one"));
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    world.rest();
}
