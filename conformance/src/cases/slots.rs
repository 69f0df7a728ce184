//! A slot is used by one stream after the other, and they never mix.

use trefoil_core::status::{Code, Status};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{LINK, World};

/// Whatever is done to a stream that is over does nothing: not to it, and not to the stream that has
/// its slot now.
pub fn effects_on_a_stream_that_is_over_do_nothing<S: Subject>() {
    let mut world = World::<S>::linked();
    let (stream, accepted) = world.stream();
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    for reused in [false, true] {
        let next = reused.then(|| world.stream());
        if let Some((next, next_accepted)) = next {
            assert_eq!(next.slot(), stream.slot());
            assert_eq!(next_accepted.slot(), accepted.slot());
        }
        for (at, over) in [(At::Caller, stream), (At::Callee, accepted)] {
            assert!(!world.try_frame(at, over, b"late"), "{at:?}: it was taken");
            world.credit(at, over, 1 << 20);
            world.half_close(at, over);
            world.end(at, over, Status::new(Code::Internal, "late"));
        }
        world.silence();
        if let Some((next, next_accepted)) = next {
            world.frame(At::Caller, next, b"alive");
            world.expect_frame(At::Callee, next_accepted, b"alive");
            world.frame(At::Callee, next_accepted, b"as well");
            world.expect_frame(At::Caller, next, b"as well");
        }
    }
    world.rest();
}

/// Streams that follow one another in one slot, each abandoned while its answers are on their way.
pub fn a_slot_that_is_used_again_is_another_stream<S: Subject>() {
    const ROUNDS: u64 = 300;
    let mut world = World::<S>::linked();
    for n in 0..ROUNDS {
        let (stream, accepted) = world.stream();
        assert!(stream.slot() < 2 && accepted.slot() < 2, "slots are left");
        for m in 0..3 {
            world.frame(At::Caller, stream, &message(n * 8 + m, 100));
            world.frame(At::Callee, accepted, &message(n * 8 + 4 + m, 100));
        }
        match n % 4 {
            // Nothing has been read.
            0 => {}
            // Something of each has been.
            1 => {
                world.expect_frame(At::Callee, accepted, &message(n * 8, 100));
                world.expect_frame(At::Caller, stream, &message(n * 8 + 4, 100));
            }
            // All of it has been.
            2 => {
                for m in 0..3 {
                    world.expect_frame(At::Callee, accepted, &message(n * 8 + m, 100));
                    world.expect_frame(At::Caller, stream, &message(n * 8 + 4 + m, 100));
                }
            }
            // The answer is on its way.
            _ => world.end(At::Callee, accepted, Status::OK),
        }
        world.end(At::Caller, stream, Status::new(Code::Cancelled, ""));
        if n % 4 == 3 {
            continue;
        }
        if n % 2 == 0 {
            let end = world.await_end(At::Callee, accepted);
            assert_eq!(end.code, Code::Cancelled);
        } else {
            world.end(At::Callee, accepted, Status::new(Code::Aborted, "stale"));
        }
    }
    world.expect_well(LINK);
    world.rest();
}
