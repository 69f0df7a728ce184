//! How streams end: once, last, and as they were ended.

use trefoil_core::status::{Cause, Code, Status};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::World;

/// What callers say who go away.
const GONE: Status<'static> = Status::new(Code::Cancelled, "");

/// The answer to a call may be a status and nothing else.
pub fn an_answer_without_messages<S: Subject>() {
    let mut world = World::<S>::linked();
    for code in [Code::Ok, Code::NotFound] {
        let (stream, accepted) = world.stream();
        world.end(At::Callee, accepted, Status::new(code, ""));
        world.expect_header(stream);
        assert_eq!(
            world.expect_end(At::Caller, stream).is(),
            (code, Cause::Peer)
        );
    }
    world.rest();
}

/// Each of the codes arrives as it was sent.
pub fn every_code_arrives<S: Subject>() {
    let mut world = World::<S>::linked();
    for number in 0..=16 {
        let code = Code::from_wire(number);
        let (stream, accepted) = world.stream();
        world.frame(At::Callee, accepted, b"first");
        world.end(At::Callee, accepted, Status::new(code, ""));
        world.expect_frame(At::Caller, stream, b"first");
        assert_eq!(
            world.expect_end(At::Caller, stream).is(),
            (code, Cause::Peer)
        );
    }
    world.rest();
}

/// Message and details of a status arrive byte for byte, of an answer and of a refusal.
pub fn a_status_arrives_byte_for_byte<S: Subject>() {
    let all: Vec<u8> = (0..=255).collect();
    let long = "ä".repeat(500);
    let mut world = World::<S>::linked();
    for (message, details) in [
        ("TF-R03: plain", &b""[..]),
        ("während – 移動 🍀 100%", &all),
        ("%41 %zz % ~`\"<>{}|\\^\n\ttwo lines", &[0]),
        ("", &[255, 255]),
        (&long, b"=+/"),
    ] {
        let status = Status {
            details,
            ..Status::new(Code::Aborted, message)
        };
        for refuses in [false, true] {
            let stream = world.open();
            let offer = world.offer();
            if refuses {
                world.refuse(offer.call, status);
            } else {
                let accepted = world.bind(offer.call, &[]);
                world.end(At::Callee, accepted, status);
            }
            let end = world.expect_end(At::Caller, stream);
            assert_eq!(end.is(), (Code::Aborted, Cause::Peer));
            assert_eq!(end.message, message, "refused: {refuses}");
            assert_eq!(end.details, details, "refused: {refuses}");
        }
    }
    world.rest();
}

/// Everything that was sent before an end comes before it.
pub fn an_end_comes_after_all_messages<S: Subject>() {
    let mut world = World::<S>::linked();
    for status in [Status::OK, Status::new(Code::DataLoss, "some")] {
        let (stream, accepted) = world.stream();
        for n in 0..30 {
            world.send(At::Callee, accepted, &message(n, 20_000));
        }
        world.end(At::Callee, accepted, status);
        for n in 0..30 {
            world.expect_frame(At::Caller, stream, &message(n, 20_000));
        }
        let end = world.expect_end(At::Caller, stream);
        assert_eq!(
            (end.code, end.message.as_str()),
            (status.code, status.message)
        );
    }
    world.rest();
}

/// A refused call ends with the status alone, and a call is decided once.
pub fn a_call_is_decided_once<S: Subject>() {
    let mut world = World::<S>::linked();
    let stream = world.open();
    world.frame(At::Caller, stream, b"x");
    let refused = world.offer().call;
    let busy = Status::new(Code::ResourceExhausted, "TF-C01: busy");
    world.refuse(refused, busy);
    let end = world.expect_end(At::Caller, stream);
    assert_eq!(end.is(), (Code::ResourceExhausted, Cause::Peer));
    assert_eq!(end.message, "TF-C01: busy");

    let other = world.open();
    let call = world.offer().call;
    let accepted = world.bind(call, &[]);
    for call in [refused, call] {
        world.refuse(call, busy);
        world.bind_late(call);
    }
    world.silence();
    world.frame(At::Callee, accepted, b"answer");
    world.end(At::Callee, accepted, Status::OK);
    world.expect_frame(At::Caller, other, b"answer");
    assert_eq!(world.expect_end(At::Caller, other).code, Code::Ok);
    world.rest();
}

/// A caller may go away at every stage: the callee hears of it once, and the caller of nothing.
pub fn a_caller_that_goes_away_is_heard_of<S: Subject>() {
    let mut world = World::<S>::linked();
    for half_closed in [false, true] {
        for answered in [false, true] {
            let stream = world.open();
            world.frame(At::Caller, stream, b"x");
            if half_closed {
                world.half_close(At::Caller, stream);
            }
            let accepted = world.accept();
            world.expect_frame(At::Callee, accepted, b"x");
            if half_closed {
                world.expect_half_close(At::Callee, accepted);
            }
            if answered {
                world.frame(At::Callee, accepted, b"y");
                world.expect_frame(At::Caller, stream, b"y");
            }
            world.end(At::Caller, stream, GONE);
            assert_eq!(
                world.expect_end(At::Callee, accepted).is(),
                (Code::Cancelled, Cause::Peer),
                "half-closed {half_closed}, answered {answered}"
            );
        }
    }
    world.rest();
}

/// A caller may go away before its call was decided, however it is decided then.
pub fn a_caller_that_does_not_wait_for_a_decision<S: Subject>() {
    let mut world = World::<S>::linked();
    for refuses in [false, true] {
        let stream = world.open();
        world.frame(At::Caller, stream, b"early");
        let call = world.offer().call;
        world.end(At::Caller, stream, GONE);
        world.silence();
        if refuses {
            world.refuse(call, Status::new(Code::Unavailable, "too late"));
            continue;
        }
        let accepted = world.bind(call, &[]);
        let end = world.await_end(At::Callee, accepted);
        assert_eq!(end.is(), (Code::Cancelled, Cause::Peer));
    }
    world.expect_well(crate::world::LINK);
    world.rest();
}

/// A callee may end a stream on which its caller still sends: the whole answer arrives.
pub fn a_callee_may_end_while_the_caller_sends<S: Subject>() {
    let mut world = World::<S>::linked();
    for n in 0..20 {
        let (stream, accepted) = world.stream();
        for _ in 0..10 {
            world.send(At::Caller, stream, &message(n, 30_000));
        }
        if n % 2 == 0 {
            world.take_frame(At::Callee, accepted);
        }
        for m in 0..4 {
            world.send(At::Callee, accepted, &message(m, 10_000));
        }
        let status = Status::new(Code::OutOfRange, "enough");
        world.end(At::Callee, accepted, status);
        for m in 0..4 {
            world.expect_frame(At::Caller, stream, &message(m, 10_000));
        }
        let end = world.expect_end(At::Caller, stream);
        assert_eq!(
            (end.code, end.message.as_str()),
            (Code::OutOfRange, "enough")
        );
    }
    world.rest();
}

/// Of a stream that was ended from here nothing is heard, though much was on its way.
pub fn nothing_is_heard_after_an_end_from_here<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    let (other, other_accepted) = world.stream();
    for n in 0..10 {
        world.frame(At::Callee, accepted, &message(n, 1_000));
        world.frame(At::Caller, other, &message(n, 1_000));
    }
    world.half_close(At::Caller, other);
    // One of them has taken a little of it, and has the rest before it.
    world.sleep(At::Caller, true);
    world.sleep(At::Callee, true);
    world.settle();
    world.end(At::Caller, stream, GONE);
    world.end(At::Callee, other_accepted, Status::OK);
    world.sleep(At::Caller, false);
    world.sleep(At::Callee, false);
    assert_eq!(
        world.await_end(At::Callee, accepted).is(),
        (Code::Cancelled, Cause::Peer)
    );
    assert_eq!(world.expect_end(At::Caller, other).code, Code::Ok);
    world.rest();
}

/// An end that has arrived and was not told is not told once the stream has been ended from here.
pub fn an_end_from_here_overtakes_one_from_there<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    let (other, other_accepted) = world.stream();
    world.expect_header(stream);
    world.expect_header(other);
    world.sleep(At::Caller, true);
    world.frame(At::Callee, accepted, b"last words");
    world.end(At::Callee, accepted, Status::new(Code::Aborted, "done"));
    world.settle();
    world.end(At::Caller, stream, GONE);
    world.sleep(At::Caller, false);
    world.silence();

    world.sleep(At::Callee, true);
    world.end(At::Caller, other, GONE);
    world.settle();
    world.end(At::Callee, other_accepted, Status::OK);
    world.sleep(At::Callee, false);
    world.rest();
}
