//! Who does not read is not sent to, who does not read answers is not read, and memory stays bounded.

use std::time::Duration;

use trefoil_core::id::StreamId;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::transport::Arrival;

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{Event, LINK, PATIENCE, World};

const FRAME: usize = 10_000;
const SEND: usize = 256 << 10;
const RECEIVE: usize = 64 << 10;
/// How long nothing must happen before a sender counts as stopped.
const STOPPED: Duration = Duration::from_millis(250);

fn small() -> Limits {
    Limits {
        frame_bytes_max: 2 << 20,
        stream_send_bytes_max: SEND as u32,
        stream_receive_bytes_max: RECEIVE as u32,
        reply_reserve: 64 << 10,
        ..Limits::default()
    }
}

/// Sends numbered messages until there is no room for long. Returns how many were taken.
fn stuff<S: Subject>(world: &mut World<S>, at: At, stream: StreamId, first: u64) -> u64 {
    let most = (S::BETWEEN + SEND + RECEIVE) / FRAME;
    let mut sent = first;
    loop {
        while world.try_frame(at, stream, &message(sent, FRAME)) {
            sent += 1;
            assert!(
                (sent - first) as usize <= most,
                "{at:?}: {sent} messages of {FRAME} bytes are under way, and nothing stops them"
            );
        }
        let room = world.wait_within(STOPPED, |world| {
            (!world.ledger(at).is_refused(stream)).then_some(())
        });
        if room.is_none() {
            return sent;
        }
    }
}

/// Without credit a sender is stopped; with credit it learns that there is room, and every message
/// arrives in its place.
fn stops_and_goes<S: Subject>(from: At, to: At, sleeps: bool) {
    let mut world = World::<S>::linked_with(&small(), &small());
    if !sleeps {
        world.hold_all(to);
    }
    let (stream, accepted) = world.stream();
    let streams = [stream, accepted];
    let (out, heard) = (streams[from as usize], streams[to as usize]);
    if sleeps {
        world.sleep(to, true);
    }
    let mut sent = stuff(&mut world, from, out, 0);
    assert!(
        sent as usize * FRAME >= SEND - FRAME,
        "only {sent} messages were taken"
    );
    if !sleeps {
        let is_frame = |event: &Event| matches!(event, Arrival::Frame { .. });
        let mut delivered = 0;
        while world
            .pop_if(to, is_frame)
            .inspect(|event| check(event, delivered))
            .is_some()
        {
            delivered += 1;
        }
        assert!(
            delivered as usize * FRAME <= RECEIVE,
            "{delivered} messages were delivered without credit"
        );
        assert!(delivered > 0, "none was delivered");
        world.release_all(to);
        take(&mut world, to, heard, delivered, sent);
    } else {
        world.sleep(to, false);
        take(&mut world, to, heard, 0, sent);
    }
    world.wait("room", |world| {
        (!world.ledger(from).is_refused(out)).then_some(())
    });
    world.frame(from, out, &message(sent, FRAME));
    sent += 1;
    take(&mut world, to, heard, sent - 1, sent);
    world.rest();
}

fn check(event: &Arrival<Vec<u8>>, n: u64) {
    let Arrival::Frame { frame, .. } = event else {
        panic!("{event:?} is no frame")
    };
    assert!(*frame == message(n, FRAME), "message {n} is another");
}

fn take<S: Subject>(world: &mut World<S>, at: At, stream: StreamId, from: u64, to: u64) {
    for n in from..to {
        world.expect_frame(at, stream, &message(n, FRAME));
    }
}

/// A callee that gives no credit stops its caller.
pub fn a_callee_without_credit_stops_its_caller<S: Subject>() {
    stops_and_goes::<S>(At::Caller, At::Callee, false);
}

/// A caller that gives no credit stops its callee.
pub fn a_caller_without_credit_stops_its_callee<S: Subject>() {
    stops_and_goes::<S>(At::Callee, At::Caller, false);
}

/// A callee that is not driven at all stops its caller.
pub fn a_callee_that_sleeps_stops_its_caller<S: Subject>() {
    stops_and_goes::<S>(At::Caller, At::Callee, true);
}

/// A caller that is not driven at all stops its callee.
pub fn a_caller_that_sleeps_stops_its_callee<S: Subject>() {
    stops_and_goes::<S>(At::Callee, At::Caller, true);
}

/// As much comes as was credited, and other streams are not held back.
pub fn credit_lets_as_much_through<S: Subject>() {
    let mut world = World::<S>::linked_with(&small(), &small());
    let (stream, accepted) = world.stream();
    world.hold(At::Callee, accepted);
    for n in 0..20 {
        world.frame(At::Caller, stream, &message(n, FRAME));
    }
    let in_budget = (RECEIVE / FRAME) as u64;
    take(&mut world, At::Callee, accepted, 0, in_budget);
    world.silence();
    // Half a message more than there is room for, less half a message.
    world.credit(At::Callee, accepted, FRAME as u32 / 2);
    world.settle();
    let mut next = in_budget + world.unseen(At::Callee) as u64;
    take(&mut world, At::Callee, accepted, in_budget, next);
    assert!(next <= in_budget + 1, "{next} came");
    world.credit(At::Callee, accepted, 3 * FRAME as u32);
    world.settle();
    let more = world.unseen(At::Callee) as u64;
    assert!(
        (3..=4).contains(&more),
        "{more} came for the credit of three"
    );
    take(&mut world, At::Callee, accepted, next, next + more);
    next += more;

    let (other, beside) = world.stream();
    world.frame(At::Caller, other, b"free");
    world.expect_frame(At::Callee, beside, b"free");
    world.release(At::Callee, accepted);
    take(&mut world, At::Callee, accepted, next, 20);
    world.rest();
}

/// A message larger than the receive budget passes when nothing else waits.
pub fn a_message_above_the_budget_passes_alone<S: Subject>() {
    let mut world = World::<S>::linked_with(&small(), &small());
    let (stream, accepted) = world.stream();
    world.hold(At::Callee, accepted);
    let large = message(7, RECEIVE * 4);
    world.send(At::Caller, stream, &large);
    world.expect_frame(At::Callee, accepted, &large);
    world.frame(At::Caller, stream, b"next");
    world.silence();
    world.credit(At::Callee, accepted, large.len() as u32);
    world.expect_frame(At::Callee, accepted, b"next");
    world.rest();
}

/// A caller that sends and does not read its answers stops being read, and a reply to what was
/// delivered always has room. When it reads again, all of it comes.
pub fn a_caller_that_does_not_read_is_not_read<S: Subject>() {
    const REQUEST: usize = 32 << 10;
    let mut world = World::<S>::linked_with(&small(), &small());
    world.hold_all(At::Caller);
    let (stream, accepted) = world.stream();
    let (mut sent, mut answered, mut got) = (0, 0, 0);
    let most = ((S::BETWEEN + SEND + RECEIVE) / REQUEST) as u64;
    let mut reads = false;
    // It answers each message before it takes the next, as a driver does.
    world.sleep(At::Callee, true);
    while !reads || got < sent {
        while !reads && world.try_frame(At::Caller, stream, &message(sent, REQUEST)) {
            sent += 1;
        }
        let limit = if reads { PATIENCE } else { STOPPED };
        let moved = world.wait_within(limit, |world| {
            let is_aside = |event: &Event| !matches!(event, Arrival::Frame { .. });
            let mut moved = !reads && !world.ledger(At::Caller).is_refused(stream);
            while world.sip(At::Callee) {
                if let Some(Arrival::Frame { frame, .. }) =
                    world.pop_of(At::Callee, accepted, is_aside)
                {
                    assert!(frame == message(answered, REQUEST), "request {answered}");
                    world.frame(At::Callee, accepted, &frame);
                    answered += 1;
                    moved = true;
                }
            }
            while let Some(Arrival::Frame { frame, .. }) =
                world.pop_of(At::Caller, stream, is_aside)
            {
                assert!(frame == message(got, REQUEST), "answer {got}");
                got += 1;
                moved = true;
            }
            moved.then_some(())
        });
        if reads {
            assert!(moved.is_some(), "{got} of {sent} answers, and no more");
            continue;
        }
        assert!(
            answered <= most,
            "{answered} requests were read: without end"
        );
        if moved.is_none() {
            // Stopped, and nothing comes by itself. From now on it reads.
            assert!(got < sent && answered < sent, "nothing was held back");
            reads = true;
            world.release_all(At::Caller);
        }
    }
    assert_eq!((answered, got), (sent, sent), "of what was sent");
    world.sleep(At::Callee, false);
    world.end(At::Callee, accepted, Status::OK);
    assert_eq!(world.expect_end(At::Caller, stream).code, Code::Ok);
    world.rest();
}

/// What a callee does that does not read, and whether it reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    GivesCredit,
    WakesUp,
    NeverReads,
}

fn abandon_stuffed<S: Subject>(reader: Reader) {
    let mut world = World::<S>::linked_with(&small(), &small());
    if reader != Reader::WakesUp {
        world.hold_all(At::Callee);
    }
    for _ in 0..3 {
        let (stream, accepted) = world.stream();
        world.sleep(At::Callee, reader == Reader::WakesUp);
        stuff(&mut world, At::Caller, stream, 0);
        world.end(At::Caller, stream, Status::new(Code::Cancelled, ""));
        world.settle();
        match reader {
            Reader::GivesCredit => world.release(At::Callee, accepted),
            Reader::WakesUp => world.sleep(At::Callee, false),
            Reader::NeverReads => {}
        }
        let end = world.await_end(At::Callee, accepted);
        assert_eq!(end.is(), (Code::Cancelled, Cause::Peer));
    }
    world.expect_well(LINK);
    world.rest();
}

/// A stream on which nothing moves any more can be abandoned, and the link is none the worse. The
/// callee hears of it when it gives credit again.
pub fn a_stuffed_stream_can_be_abandoned<S: Subject>() {
    abandon_stuffed::<S>(Reader::GivesCredit);
}

/// A callee that slept hears of it when it is driven again.
pub fn a_stuffed_stream_can_be_abandoned_to_a_sleeper<S: Subject>() {
    abandon_stuffed::<S>(Reader::WakesUp);
}

/// The callee hears of it at once, though it reads nothing.
pub fn a_stuffed_stream_is_abandoned_at_once<S: Subject>() {
    abandon_stuffed::<S>(Reader::NeverReads);
}

/// Half of the streams are not read; the others do not suffer.
pub fn streams_that_are_not_read_hold_up_no_other<S: Subject>() {
    let mut world = World::<S>::linked_with(&small(), &small());
    let stuffed: Vec<_> = (0..2)
        .map(|_| {
            let (stream, accepted) = world.stream();
            world.hold(At::Callee, accepted);
            let sent = stuff(&mut world, At::Caller, stream, 0);
            (accepted, sent)
        })
        .collect();
    let (stream, accepted) = world.stream();
    for n in 0..300 {
        world.send(At::Caller, stream, &message(n, FRAME));
        world.expect_frame(At::Callee, accepted, &message(n, FRAME));
        world.send(At::Callee, accepted, &message(n, FRAME));
        world.expect_frame(At::Caller, stream, &message(n, FRAME));
    }
    for (accepted, sent) in stuffed {
        world.release(At::Callee, accepted);
        take(&mut world, At::Callee, accepted, 0, sent);
    }
    world.rest();
}
