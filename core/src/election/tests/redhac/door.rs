//! What a redhac node meets before anybody reads a message of it: the token, the metadata, the sizes.

use core::task::{Context, Poll, Waker};

use super::*;
use crate::engine::{Engine, EngineConfig};
use crate::id::LinkId;
use crate::identity::{AUTHORIZATION, Token as Secret};
use crate::memory::{Memory, MemorySession, MemoryStore, Switch};
use crate::status::Cause;
use crate::stream::Class;
use crate::transport::{Arrival, Transport};

/// This voter in its engine, and a foreign node that says nothing of itself.
struct Pair {
    engine: Engine<Election>,
    store: MemorySession,
    sides: Vec<Memory>,
    switch: Switch,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let (switch, sides) = Switch::new(&["v0:1", "r1:1"], 16, 16);
        let election = ElectionConfig {
            unix_origin: NOON,
            memory: super::super::Memory::Kept { first: true },
            ..ElectionConfig::lan(0, &HOSTS)
        };
        let config = EngineConfig {
            token: Some(Secret::new("s3cret")),
            ..EngineConfig::new("v0:1", "c", 1)
        };
        let mut pair = Self {
            engine: Engine::new(config, Election::new(election).unwrap()).unwrap(),
            store: MemoryStore::new().session("v0:1", 16),
            sides,
            switch,
            now: Instant::from_millis(1),
        };
        pair.tick();
        while let Poll::Ready((tag, done)) =
            crate::storage::Storage::poll(&mut pair.store, &mut Context::from_waker(Waker::noop()))
        {
            let up = &mut |_: ElectionEvent<'_>| {};
            pair.engine.done(
                pair.now,
                tag,
                &done,
                &mut pair.sides[0],
                &mut pair.store,
                up,
            );
        }
        pair
    }

    fn tick(&mut self) {
        let up = &mut |_: ElectionEvent<'_>| {};
        self.engine
            .tick(self.now, &mut self.sides[0], &mut self.store, up);
    }

    /// The foreign node opens a stream, and hears what comes at once.
    fn called_with(&mut self, shown: &[(&str, &str)]) -> Vec<String> {
        let mut bytes = [0; 256];
        let mut header = HeaderWriter::new(&mut bytes);
        for (key, value) in shown {
            header.push(key, value.as_bytes()).unwrap();
        }
        let foreign = &mut self.sides[1];
        foreign.dial(LinkId(0), "v0:1", Class::Control);
        foreign.open(
            StreamId::new(0, 1),
            LinkId(0),
            STREAM_VALUES,
            header.finish(),
            None,
        );
        let mut heard = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while self.switch.carry(&mut self.sides) {
            while let Poll::Ready(arrival) = self.sides[0].poll(&mut cx) {
                let up = &mut |_: ElectionEvent<'_>| {};
                self.engine
                    .arrive(self.now, &arrival, &mut self.sides[0], &mut self.store, up);
            }
            while let Poll::Ready(arrival) = self.sides[1].poll(&mut cx) {
                heard.extend(shown_as(&arrival));
            }
        }
        heard
    }
}

fn shown_as(arrival: &Arrival<impl AsRef<[u8]>>) -> Option<String> {
    match arrival {
        Arrival::Header { .. } => Some("header".into()),
        Arrival::Frame { frame, .. } => {
            let ack = Ack::parse(frame.as_ref()).unwrap();
            Some(std::format!("{:?}", ack.method))
        }
        Arrival::Ended { code, cause, .. } => {
            assert_eq!(*cause, Cause::Peer);
            Some(std::format!("{code:?}"))
        }
        Arrival::Link { .. }
        | Arrival::Accepted { .. }
        | Arrival::HalfClosed { .. }
        | Arrival::Writable { .. } => None,
    }
}

#[test]
fn line_03_the_token_is_asked_for_raw_and_sent_raw() {
    for wrong in [
        &[][..],
        &[(AUTHORIZATION, "Bearer s3cret")],
        &[(AUTHORIZATION, "s3cre")],
        &[(AUTHORIZATION, "")],
    ] {
        assert_eq!(Pair::new().called_with(wrong), ["Unauthenticated"]);
    }
    let heard = Pair::new().called_with(&[(AUTHORIZATION, "s3cret")]);
    assert!(
        heard.len() == 2 && heard[1].contains("LeaderInfo"),
        "{heard:?}"
    );

    let mut pair = Pair::new();
    pair.tick();
    pair.switch.carry(&mut pair.sides);
    let mut shown = Vec::new();
    while let Poll::Ready(arrival) = pair.sides[1].poll(&mut Context::from_waker(Waker::noop())) {
        if let Arrival::Accepted { header, .. } = arrival {
            let token = Header(header.as_ref())
                .text(AUTHORIZATION)
                .map(String::from);
            shown.push(token);
        }
    }
    assert_eq!(shown, [Some("s3cret".into())]);
}

#[test]
fn line_04_the_answer_begins_at_once() {
    let heard = Pair::new().called_with(&[(AUTHORIZATION, "s3cret")]);
    assert_eq!(heard[0], "header");
    assert!(
        heard[1].contains("addr: None, election_ts: -1"),
        "{heard:?}"
    );
}

#[test]
fn line_04_no_message_comes_near_the_limit_of_redhac() {
    let voters: Vec<String> = (0..64).map(|n| std::format!("{n:0>500}:7001")).collect();
    let mut bench = Bench::with(|config| config.voters = voters);
    let stream = bench.accept(None);
    for method in [
        MgmtRequestMethod::Health(Health {}),
        MgmtRequestMethod::Ping(Ping {}),
    ] {
        bench.called(stream, &asks(method));
    }
    let frames = bench.io.take_frames(stream);
    assert_eq!(frames.len(), 3);
    let longest = frames.iter().map(Vec::len).max().unwrap_or(0);
    assert!((30_000..4 << 20).contains(&longest), "{longest}");
}
