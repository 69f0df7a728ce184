//! Links: dialled, refused, lost, hung up.

use std::time::Duration;

use trefoil_core::codes;
use trefoil_core::id::LinkId;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent};

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{Event, LINK, World};
use crate::{BIDI, UNARY};

const CONTROL: LinkId = LinkId(0);
const BULK: LinkId = LinkId(1);

/// A world in which a peer that went away without a word is soon missed.
fn watchful<S: Subject>() -> World<S> {
    let limits = Limits {
        silence_max: Duration::from_secs(4),
        ..Limits::default()
    };
    World::linked_with(&limits, &limits)
}

/// How often a dial in vain is worth its time: where a refusal is not told, each takes as long as it is
/// tried.
const fn dials<S: Subject>() -> usize {
    if S::TELLS_REFUSAL { 3 } else { 1 }
}

/// Nobody listens: the link says so, and every stream that waited for it. As often as one tries.
pub fn nobody_listens<S: Subject>() {
    let mut world = World::<S>::new();
    let nowhere = world.subject().nowhere();
    for _ in 0..dials::<S>() {
        world.dial_on(LINK, &nowhere, Class::Control);
        let streams = [
            world.open(),
            world.open(),
            world.open_with(LINK, UNARY, &[], None),
        ];
        world.frame(At::Caller, streams[0], b"x");
        world.half_close(At::Caller, streams[0]);
        let event = world.link_news(LINK);
        let cause = if S::TELLS_REFUSAL {
            assert_eq!(event, LinkEvent::Refused);
            Cause::Refused
        } else {
            assert_eq!(event, LinkEvent::Lost);
            Cause::Lost
        };
        for stream in streams {
            let end = world.expect_end(At::Caller, stream);
            assert_eq!(end.is(), (Code::Unavailable, cause));
            assert!(
                end.message.is_empty() || end.message == codes::UNREACHABLE,
                "{}",
                end.message
            );
        }
    }
    // Elsewhere somebody does.
    world.dial();
    world.expect_link(LINK, LinkEvent::Up);
    world.expect_well(LINK);
    world.rest();
}

/// A stream whose end is still to be told takes frames for nothing, so that nobody takes it for one
/// that is full; and if it is ended before, nothing is told of it.
pub fn an_end_that_is_still_to_be_told_takes_frames<S: Subject>() {
    let mut world = World::<S>::new();
    let nowhere = world.subject().nowhere();
    world.dial_on(LINK, &nowhere, Class::Control);
    let mut streams = [(); 6].map(|()| world.open()).to_vec();
    world.sleep(At::Caller, true);
    world.settle();
    // One arrival at a time, as a driver takes them.
    let (mut told, mut abandoned) = (0, Vec::new());
    world.wait("the ends", |world| {
        while world.sip(At::Caller) {
            told += 1;
            streams.retain(|stream| world.ledger(At::Caller).is_live(*stream));
            for stream in &streams {
                world.frame(At::Caller, *stream, &message(1, 10_000));
            }
            if told <= 2
                && let Some(stream) = streams.pop()
            {
                world.end(At::Caller, stream, Status::new(Code::Cancelled, ""));
                abandoned.push(stream);
            }
        }
        (world.ledger(At::Caller).live() == 0).then_some(())
    });
    world.sleep(At::Caller, false);
    world.link_news(LINK);
    assert_eq!(abandoned.len(), 2, "all of them ended at once");
    while let Some(event) = world.pop(At::Caller) {
        match event {
            Arrival::Ended { code, .. } => assert_eq!(code, Code::Unavailable),
            other => panic!("{other:?}"),
        }
    }
    world.rest();
}

/// A connection that is cut ends every stream on it once, on both sides.
pub fn a_cut_ends_the_streams_of_both_sides<S: Subject>() {
    let mut world = watchful::<S>();
    let streams: Vec<_> = (0..6).map(|_| world.stream()).collect();
    for (stream, accepted) in &streams[..4] {
        world.frame(At::Caller, *stream, b"x");
        world.expect_frame(At::Callee, *accepted, b"x");
        world.frame(At::Callee, *accepted, b"y");
        world.expect_frame(At::Caller, *stream, b"y");
    }
    for (stream, accepted) in &streams[..2] {
        world.half_close(At::Caller, *stream);
        world.expect_half_close(At::Callee, *accepted);
    }
    world.settle();
    world.subject().cut();
    world.expect_link(LINK, LinkEvent::Lost);
    for (stream, accepted) in streams {
        let end = world.expect_end(At::Caller, stream);
        assert_eq!(end.is(), (Code::Unavailable, Cause::Lost));
        // A callee may be unable to tell a caller that was lost from one that went away.
        let end = world.await_end(At::Callee, accepted);
        assert!(
            matches!(
                end.is(),
                (Code::Unavailable, Cause::Lost) | (Code::Cancelled, Cause::Peer)
            ),
            "{end:?}"
        );
    }
    world.rest();
}

/// What arrived before a cut is told before the end.
pub fn a_cut_takes_nothing_back<S: Subject>() {
    let mut world = watchful::<S>();
    let (stream, accepted) = world.stream();
    let (done, answered) = world.stream();
    world.settle();
    world.sleep(At::Caller, true);
    for n in 0..5 {
        world.frame(At::Callee, accepted, &message(n, 1_000));
    }
    world.frame(At::Callee, answered, b"answer");
    world.end(At::Callee, answered, Status::new(Code::Aborted, "decided"));
    world.settle();
    world.subject().cut();
    world.settle();
    world.sleep(At::Caller, false);
    for n in 0..5 {
        world.expect_frame(At::Caller, stream, &message(n, 1_000));
    }
    assert_eq!(world.expect_end(At::Caller, stream).cause, Cause::Lost);
    world.expect_frame(At::Caller, done, b"answer");
    let end = world.expect_end(At::Caller, done);
    assert_eq!(end.is(), (Code::Aborted, Cause::Peer));
    world.expect_link(LINK, LinkEvent::Lost);
    world.await_end(At::Callee, accepted);
    world.rest();
}

/// A stream opened on a link whose loss was not told yet ends as lost, and takes what it is given.
pub fn a_stream_on_a_lost_link_is_lost<S: Subject>() {
    let mut world = watchful::<S>();
    world.sleep(At::Caller, true);
    world.subject().cut();
    world.settle();
    let early = world.open();
    world.frame(At::Caller, early, b"x");
    world.half_close(At::Caller, early);
    world.sleep(At::Caller, false);
    world.expect_link(LINK, LinkEvent::Lost);
    let late = world.open();
    world.frame(At::Caller, late, b"x");
    world.half_close(At::Caller, late);
    for stream in [early, late] {
        let end = world.expect_end(At::Caller, stream);
        assert_eq!(end.is(), (Code::Unavailable, Cause::Lost));
    }
    world.rest();
}

/// A link that was lost can be dialled again, as often as need be.
pub fn a_lost_link_is_dialled_again<S: Subject>() {
    let mut world = watchful::<S>();
    for _ in 0..3 {
        let (stream, accepted) = world.stream();
        world.subject().cut();
        world.expect_link(LINK, LinkEvent::Lost);
        assert_eq!(world.expect_end(At::Caller, stream).cause, Cause::Lost);
        world.await_end(At::Callee, accepted);
        world.subject().listen_again();
        world.dial();
        world.expect_link(LINK, LinkEvent::Up);
        world.expect_well(LINK);
    }
    world.rest();
}

/// A callee that goes away with all it has ends the streams of its callers.
pub fn a_callee_that_leaves_is_lost<S: Subject>() {
    let mut world = watchful::<S>();
    let (stream, _) = world.stream();
    let undecided = world.open();
    world.offer();
    world.leave(At::Callee);
    for stream in [stream, undecided] {
        assert_eq!(world.expect_end(At::Caller, stream).code, Code::Unavailable);
    }
    world.expect_link(LINK, LinkEvent::Lost);
    world.rest();
}

/// A caller that goes away with all it has ends its calls.
pub fn a_caller_that_leaves_is_lost<S: Subject>() {
    let mut world = watchful::<S>();
    let (_, open) = world.stream();
    let (asked, half_closed) = world.stream();
    world.half_close(At::Caller, asked);
    world.expect_half_close(At::Callee, half_closed);
    world.leave(At::Caller);
    for accepted in [open, half_closed] {
        let end = world.expect_end(At::Callee, accepted);
        assert!(
            matches!(end.code, Code::Cancelled | Code::Unavailable),
            "{end:?}"
        );
    }
    world.rest();
}

/// Hanging up is silent here and ends the streams there.
pub fn hanging_up_is_silent<S: Subject>() {
    let mut world = watchful::<S>();
    let streams: Vec<_> = (0..3).map(|_| world.stream()).collect();
    world.half_close(At::Caller, streams[0].0);
    world.expect_half_close(At::Callee, streams[0].1);
    world.settle();
    // Some of it is on its way.
    world.sleep(At::Caller, true);
    for (_, accepted) in &streams {
        world.frame(At::Callee, *accepted, b"late");
    }
    world.end(At::Callee, streams[2].1, Status::OK);
    world.settle();
    world.hang_up(LINK);
    world.sleep(At::Caller, false);
    for (_, accepted) in &streams[..2] {
        let end = world.expect_end(At::Callee, *accepted);
        assert!(
            matches!(end.code, Code::Cancelled | Code::Unavailable),
            "{end:?}"
        );
    }
    world.silence();
    for (stream, _) in &streams {
        assert!(!world.try_frame(At::Caller, *stream, b"x"), "it lives on");
    }
    world.rest();
}

/// A link that was hung up can be dialled again, also while it was still being dialled.
pub fn a_link_that_was_hung_up_is_dialled_again<S: Subject>() {
    let mut world = World::<S>::new();
    for n in 0..12 {
        world.dial();
        let waiting = world.open();
        world.frame(At::Caller, waiting, b"x");
        if n % 2 == 0 {
            world.expect_link(LINK, LinkEvent::Up);
            let accepted = world.accept();
            world.expect_frame(At::Callee, accepted, b"x");
            world.hang_up(LINK);
            world.await_end(At::Callee, accepted);
            continue;
        }
        if n % 4 == 1 {
            world.step(Duration::from_micros(100 * n));
        }
        world.hang_up(LINK);
        // The call may have been on its way.
        world.settle();
        let is_call = |event: &Event| matches!(event, Arrival::Accepted { .. });
        while let Some(Arrival::Accepted { call, .. }) = world.pop_if(At::Callee, is_call) {
            world.refuse(call, Status::new(Code::Unavailable, "late"));
        }
    }
    world.dial();
    world.expect_link(LINK, LinkEvent::Up);
    world.expect_well(LINK);
    world.rest();
}

/// A dial in vain that was hung up is never heard of.
pub fn a_dial_that_was_hung_up_is_silent<S: Subject>() {
    let mut world = World::<S>::new();
    let nowhere = world.subject().nowhere();
    for _ in 0..3 {
        world.dial_on(LINK, &nowhere, Class::Control);
        world.open();
        world.step(Duration::ZERO);
        // It may have failed already.
        while world.pop(At::Caller).is_some() {}
        world.hang_up(LINK);
        world.silence();
    }
    world.rest();
}

/// What became of a dial before it was hung up is not told of the one after it.
pub fn news_of_a_dial_that_was_hung_up_is_not_told<S: Subject>() {
    let mut world = World::<S>::new();
    let (address, nowhere) = (world.subject().address(), world.subject().nowhere());
    for _ in 0..dials::<S>() {
        for (first, then) in [(&address, &nowhere), (&nowhere, &address)] {
            world.dial_on(LINK, first, Class::Control);
            world.sleep(At::Caller, true);
            world.settle();
            world.hang_up(LINK);
            world.dial_on(LINK, then, Class::Control);
            world.sleep(At::Caller, false);
            let event = world.link_news(LINK);
            assert_eq!(event == LinkEvent::Up, *then == address, "{event:?}");
        }
        world.expect_well(LINK);
        world.hang_up(LINK);
    }
    world.rest();
}

/// Two links to one address have nothing to do with one another.
pub fn two_links_to_one_address_are_independent<S: Subject>() {
    let mut world = World::<S>::new();
    let address = world.subject().address();
    world.dial_on(CONTROL, &address, Class::Control);
    world.dial_on(BULK, &address, Class::Bulk);
    world.expect_link(CONTROL, LinkEvent::Up);
    world.expect_link(BULK, LinkEvent::Up);
    let control = world.open_with(CONTROL, BIDI, b"", None);
    let control_there = world.accept();
    let bulk = world.open_with(BULK, BIDI, b"", None);
    let bulk_there = world.accept();
    for (stream, accepted) in [(control, control_there), (bulk, bulk_there)] {
        world.frame(At::Caller, stream, b"there");
        world.expect_frame(At::Callee, accepted, b"there");
        world.frame(At::Callee, accepted, b"and back");
        world.expect_frame(At::Caller, stream, b"and back");
    }
    world.hang_up(CONTROL);
    world.await_end(At::Callee, control_there);
    world.silence();
    world.frame(At::Caller, bulk, b"still there");
    world.expect_frame(At::Callee, bulk_there, b"still there");
    world.expect_well(BULK);
    world.dial_on(CONTROL, &address, Class::Control);
    world.expect_link(CONTROL, LinkEvent::Up);
    world.expect_well(CONTROL);
    world.hang_up(BULK);
    world.await_end(At::Callee, bulk_there);
    world.expect_well(CONTROL);
    world.rest();
}
