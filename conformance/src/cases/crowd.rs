//! Many streams, at once and one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use trefoil_core::id::StreamId;
use trefoil_core::status::{Code, Status};
use trefoil_core::transport::Arrival;

use crate::expect::message;
use crate::subject::{At, Subject};
use crate::world::{LINK, World};
use crate::{BIDI, UNARY};

/// Answers whatever a callee has heard: each message comes back, a half-close is answered with OK.
fn echo<S: Subject>(world: &mut World<S>) -> bool {
    let mut any = false;
    while let Some(event) = world.pop(At::Callee) {
        any = true;
        match event {
            Arrival::Accepted { call, header, .. } => {
                world.bind(call, &header);
            }
            // Its end may have come together with it.
            Arrival::Frame { stream, .. } if !world.ledger(At::Callee).is_live(stream) => {}
            Arrival::Frame { stream, frame } => world.frame(At::Callee, stream, &frame),
            Arrival::HalfClosed { stream } => world.end(At::Callee, stream, Status::OK),
            Arrival::Ended { code, .. } => assert_eq!(code, Code::Cancelled),
            other => panic!("{other:?}"),
        }
    }
    any
}

/// A thousand streams at once, and messages on all of them in turn.
pub fn a_thousand_streams_at_once<S: Subject>() {
    const STREAMS: u64 = 1_000;
    const MESSAGES: u64 = 4;
    let mut world = World::<S>::linked();
    let mut open: BTreeMap<StreamId, (u64, u64)> = (0..STREAMS)
        .map(|n| (world.open_with(LINK, BIDI, &[], None), (n, 0)))
        .collect();
    let nth = |n: u64, m: u64| message(n * MESSAGES + m, ((n + m) % 700) as usize);
    for m in 0..MESSAGES {
        for (stream, (n, _)) in &open {
            world.frame(At::Caller, *stream, &nth(*n, m));
        }
        if m == MESSAGES / 2 {
            // Some of it before, some of it after the calls have been accepted.
            world.wait("all calls", |world| {
                echo(world);
                let accepted = world.ledger(At::Callee).live();
                (accepted as u64 == STREAMS).then_some(())
            });
        }
    }
    for stream in open.keys() {
        world.half_close(At::Caller, *stream);
    }
    while !open.is_empty() {
        let event = world.wait("an answer", |world| {
            echo(world);
            world.pop(At::Caller)
        });
        match event {
            Arrival::Frame { stream, frame } => {
                let (n, m) = open.get_mut(&stream).expect("a stream that is open");
                assert!(frame == nth(*n, *m), "message {m} of stream {n}");
                *m += 1;
            }
            Arrival::Ended { stream, code, .. } => {
                assert_eq!(code, Code::Ok);
                let (n, got) = open.remove(&stream).expect("a stream that is open");
                assert_eq!(got, MESSAGES, "answers on stream {n}");
            }
            Arrival::Header { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    world.rest();
}

/// Resident memory of this process, where the system tells.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

/// Ten thousand streams open and close, a tenth of them abandoned at some stage, and neither a table
/// nor the process grows.
pub fn ten_thousand_streams_leave_nothing_behind<S: Subject>() {
    const AT_ONCE: u64 = 50;
    const ROUNDS: u64 = 200;
    const GROWTH_MAX: u64 = 12 << 20;
    let mut world = World::<S>::linked();
    let mut before = None;
    for round in 0..ROUNDS {
        if round == ROUNDS / 5 {
            before = resident();
        }
        let streams: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let stream = world.open_with(LINK, UNARY, &[], None);
                world.frame(At::Caller, stream, &message(n, 4_096));
                world.half_close(At::Caller, stream);
                stream
            })
            .collect();
        if round % 2 == 0 {
            world.step(Duration::from_micros(round * 5));
            echo(&mut world);
        }
        for stream in streams.iter().step_by(10) {
            world.end(At::Caller, *stream, Status::new(Code::Cancelled, ""));
        }
        world.wait("all answers", |world| {
            echo(world);
            while let Some(event) = world.pop(At::Caller) {
                if let Arrival::Ended { code, .. } = event {
                    assert_eq!(code, Code::Ok);
                }
            }
            (world.ledger(At::Caller).live() == 0).then_some(())
        });
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let growth = after.saturating_sub(before);
        assert!(
            growth < GROWTH_MAX,
            "{growth} bytes more after {ROUNDS} rounds"
        );
    }
    for at in [At::Caller, At::Callee] {
        if let Some(sizes) = world.subject().sizes(at) {
            // Abandoned streams may overlap with those of the next round, on the callee's side.
            assert!(sizes.slots <= 4 * AT_ONCE as usize, "{at:?}: {sizes:?}");
        }
    }
    world.wait("the last ends", |world| {
        echo(world);
        (world.ledger(At::Callee).live() + world.ledger(At::Callee).undecided() == 0).then_some(())
    });
    world.rest();
}
