//! A walk at random over everything a stream can do, beside a simple model of it.

use std::collections::BTreeMap;
use std::time::Duration;

use trefoil_core::id::{CallId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::rng::Rng;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::transport::Arrival;

use crate::BIDI;
use crate::expect::{header, message};
use crate::subject::{Ask, At, Subject};
use crate::world::{Event, LINK, World};

/// Streams that are open at once, about.
const STREAMS: usize = 50;
const STEPS: u64 = 6_000;

/// One direction of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    sent: u64,
    got: u64,
    closed: bool,
    /// The other side has heard of the half-close.
    heard: bool,
}

/// What a stream has been through.
#[derive(Debug, Default)]
struct Model {
    caller: Option<StreamId>,
    callee: Option<StreamId>,
    /// By the side that sends.
    ways: [Way; 2],
    /// The callee has heard of the call.
    offered: bool,
    /// The caller went away.
    abandoned: bool,
    /// The callee ended it, with this code and message.
    ended: Option<(Code, String)>,
}

impl Model {
    const fn at(&self, at: At) -> Option<StreamId> {
        match at {
            At::Caller => self.caller,
            At::Callee => self.callee,
        }
    }
}

const fn other(at: At) -> At {
    match at {
        At::Caller => At::Callee,
        At::Callee => At::Caller,
    }
}

/// The nth message of a way: everything about it follows from its place.
fn nth(key: u32, from: At, n: u64) -> Vec<u8> {
    let place = u64::from(key) << 32 | n << 1 | from as u64;
    let mut rng = Rng::new(place ^ 0x5eed);
    let most = [1, 16, 1_000, 40_000][rng.below(4) as usize];
    message(place, rng.below(most) as usize)
}

struct Walk<S> {
    world: World<S>,
    rng: Rng,
    next_key: u32,
    models: BTreeMap<u32, Model>,
    /// Keys by stream.
    keys: [BTreeMap<StreamId, u32>; 2],
    /// Calls that wait for a decision.
    calls: Vec<(CallId, u32)>,
    /// Messages, half-closes, announcements of room and ends that were told.
    told: [u64; 4],
}

impl<S: Subject> Walk<S> {
    fn new(seed: u64) -> Self {
        let limits = Limits {
            stream_send_bytes_max: 64 << 10,
            stream_receive_bytes_max: 32 << 10,
            reply_reserve: 16 << 10,
            ..Limits::default()
        };
        Self {
            world: World::linked_with(&limits, &limits),
            rng: Rng::new(seed),
            next_key: 0,
            models: BTreeMap::new(),
            keys: [BTreeMap::new(), BTreeMap::new()],
            calls: Vec::new(),
            told: [0; 4],
        }
    }

    /// A key that has a stream at `at`.
    fn pick(&mut self, at: At) -> Option<(u32, StreamId)> {
        let keys = &self.keys[at as usize];
        let n = self.rng.below(keys.len() as u64) as usize;
        keys.iter().nth(n).map(|(stream, key)| (*key, *stream))
    }

    fn model(&mut self, key: u32) -> &mut Model {
        self.models.get_mut(&key).expect("a stream of this walk")
    }

    fn open(&mut self) {
        let key = self.next_key;
        self.next_key += 1;
        let pairs = header(&[("key-bin", &key.to_le_bytes())]);
        let stream = self.world.open_with(LINK, BIDI, &pairs, None);
        self.keys[At::Caller as usize].insert(stream, key);
        let model = Model {
            caller: Some(stream),
            ..Model::default()
        };
        self.models.insert(key, model);
    }

    fn decide(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.rng.below(self.calls.len() as u64) as usize;
        let (call, key) = self.calls.swap_remove(at);
        if self.rng.below(8) == 0 {
            let message = format!("refused {key} ✗");
            let status = Status::new(Code::ResourceExhausted, &message);
            self.world.refuse(call, status);
            self.model(key).ended = Some((Code::ResourceExhausted, message));
            return;
        }
        let stream = self.world.bind(call, &[]);
        self.keys[At::Callee as usize].insert(stream, key);
        self.model(key).callee = Some(stream);
    }

    fn send(&mut self, at: At) {
        let Some((key, stream)) = self.pick(at) else {
            return;
        };
        // Often a few, sometimes more than there is room for.
        let burst = [1, 4, 8, 60][self.rng.below(4) as usize];
        for _ in 0..burst {
            let way = self.models[&key].ways[at as usize];
            let taken = self.world.try_frame(at, stream, &nth(key, at, way.sent));
            assert!(!(taken && way.closed), "{at:?}: taken after a half-close");
            if !taken {
                return;
            }
            self.model(key).ways[at as usize].sent += 1;
        }
    }

    fn half_close(&mut self, at: At) {
        if let Some((key, stream)) = self.pick(at) {
            self.world.half_close(at, stream);
            self.model(key).ways[at as usize].closed = true;
        }
    }

    fn end(&mut self, at: At) {
        let Some((key, stream)) = self.pick(at) else {
            return;
        };
        self.keys[at as usize].remove(&stream);
        let code = Code::from_wire(self.rng.below(17) as i32);
        let text = if code == Code::Ok {
            String::new()
        } else {
            format!("ended {key} ✓")
        };
        self.world.end(at, stream, Status::new(code, &text));
        let model = self.model(key);
        match at {
            At::Caller => {
                model.caller = None;
                model.abandoned = true;
            }
            At::Callee => {
                model.callee = None;
                model.ended = Some((code, text));
            }
        }
    }

    fn hold(&mut self, at: At) {
        let Some((_, stream)) = self.pick(at) else {
            return;
        };
        match self.rng.below(3) {
            0 | 1 => self.world.hold(at, stream),
            _ => self.world.release(at, stream),
        }
    }

    /// One thing at random.
    fn act(&mut self) {
        let at = [At::Caller, At::Callee][self.rng.below(2) as usize];
        match self.rng.below(100) {
            0..15 if self.keys[0].len() < STREAMS => self.open(),
            0..30 => self.decide(),
            30..80 => self.send(at),
            80..85 => self.half_close(at),
            85..89 => self.end(at),
            89..96 => self.hold(at),
            _ => {
                let asleep = self.rng.below(3) == 0;
                self.world.sleep(at, asleep);
            }
        }
    }

    /// Compares what arrived with the model.
    fn look(&mut self) {
        for at in [At::Caller, At::Callee] {
            while let Some(event) = self.world.pop(at) {
                self.compare(at, event);
            }
        }
    }

    fn compare(&mut self, at: At, event: Event) {
        if let Arrival::Accepted { call, header, .. } = &event {
            let pairs = trefoil_core::header::Header(header);
            let key = pairs.value("key-bin").and_then(|key| key.try_into().ok());
            let key = u32::from_le_bytes(key.expect("the key of a call"));
            let model = self.models.get_mut(&key).expect("a call of this walk");
            assert!(!std::mem::replace(&mut model.offered, true), "{key} twice");
            self.calls.push((*call, key));
            return;
        }
        let stream = crate::world::stream_of(&event).expect("the link stands");
        let key = self.keys[at as usize][&stream];
        let from = other(at);
        match event {
            Arrival::Frame { .. } => self.told[0] += 1,
            Arrival::HalfClosed { .. } => self.told[1] += 1,
            Arrival::Writable { .. } => self.told[2] += 1,
            Arrival::Ended { .. } => self.told[3] += 1,
            _ => {}
        }
        let model = self.model(key);
        assert_eq!(model.at(at), Some(stream));
        let way = &mut model.ways[from as usize];
        match event {
            Arrival::Header { .. } => {
                assert!(
                    model.callee.is_some() || model.ended.is_some(),
                    "{key}: early"
                );
            }
            Arrival::Frame { frame, .. } => {
                assert!(way.got < way.sent, "{key}: {at:?} got more than was sent");
                let sent = nth(key, from, way.got);
                assert!(frame == sent, "{key}: message {} to {at:?}", way.got);
                way.got += 1;
            }
            Arrival::HalfClosed { .. } => {
                assert!(way.closed, "{key}: {at:?} heard of no half-close");
                assert_eq!(way.got, way.sent, "{key}: half-closed too early");
                way.heard = true;
            }
            Arrival::Writable { .. } => {}
            Arrival::Ended {
                code,
                cause,
                message,
                ..
            } => {
                assert_eq!(cause, Cause::Peer, "{key}: {code:?}");
                match at {
                    At::Caller => {
                        let ended = model.ended.take().expect("the callee has not ended it");
                        let message = String::from_utf8(message).expect("a text");
                        assert_eq!((code, message), ended, "{key}");
                        assert_eq!(way.got, way.sent, "{key}: the answer was cut short");
                        model.caller = None;
                    }
                    At::Callee => {
                        assert!(model.abandoned, "{key}: the caller is still there");
                        assert_eq!(code, Code::Cancelled, "{key}");
                        model.callee = None;
                    }
                }
                self.keys[at as usize].remove(&stream);
            }
            Arrival::Accepted { .. } | Arrival::Link { .. } => panic!("{event:?}"),
        }
    }

    fn walk(&mut self, steps: u64) {
        for step in 0..steps {
            self.act();
            if self.rng.below(4) == 0 {
                let limit = Duration::from_micros(self.rng.below(3) * 50);
                self.world.step(limit);
                self.look();
            }
            // Every now and then all of it comes to an end, so that nothing hides behind a hold.
            if step % 1_500 == 1_499 {
                self.drain();
            }
        }
    }

    /// Everything that was sent arrives, everybody is heard to the end.
    fn drain(&mut self) {
        for at in [At::Caller, At::Callee] {
            self.world.sleep(at, false);
            self.world.release_all(at);
        }
        self.await_all("calls, messages and room", |this| {
            while let Some((call, key)) = this.calls.pop() {
                let stream = this.world.bind(call, &[]);
                this.keys[At::Callee as usize].insert(stream, key);
                this.model(key).callee = Some(stream);
            }
            this.wanting().is_none()
        });
        while let Some((stream, key)) = self.keys[At::Callee as usize].pop_first() {
            self.world.end(At::Callee, stream, Status::OK);
            let model = self.model(key);
            model.callee = None;
            model.ended = Some((Code::Ok, String::new()));
        }
        self.await_all("the last ends", |this| {
            this.keys[At::Caller as usize].is_empty()
        });
        // A call that was abandoned at once may be heard of later.
        self.models
            .retain(|_, model| model.abandoned && !model.offered);
    }

    /// A stream that was not heard to the end, or on which something is under way.
    fn wanting(&self) -> Option<(u32, &Model)> {
        let is_complete = |model: &Model, from: At| {
            let way = model.ways[from as usize];
            match (model.at(from), model.at(other(from))) {
                (Some(sender), Some(_)) => {
                    way.got == way.sent
                        && !self.world.ledger(from).is_refused(sender)
                        && (way.heard || !way.closed || from == At::Callee)
                }
                // What an end had to say has been compared when it came.
                _ => true,
            }
        };
        let wants = |model: &Model| {
            let is_to_be_told_of_an_end = (model.abandoned && model.callee.is_some())
                || (model.ended.is_some() && model.caller.is_some());
            let is_to_be_offered = model.caller.is_some() && model.callee.is_none();
            is_to_be_told_of_an_end
                || is_to_be_offered
                || !is_complete(model, At::Caller)
                || !is_complete(model, At::Callee)
        };
        let mut wanting = self.models.iter().filter(|(_, model)| wants(model));
        wanting.next().map(|(key, model)| (*key, model))
    }

    fn await_all(&mut self, name: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let until = std::time::Instant::now() + crate::world::PATIENCE;
        loop {
            self.world.step(Duration::from_millis(50));
            self.look();
            if done(self) {
                return;
            }
            assert!(
                std::time::Instant::now() < until,
                "{name} never came: {:?}",
                self.wanting()
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Opens, refusals, messages, half-closes, ends, holds and pauses on some fifty streams, in an order
/// drawn from a seed. `TREFOIL_CONFORMANCE_SEED` gives another, `TREFOIL_CONFORMANCE_STEPS` a longer
/// walk.
pub fn a_random_walk_agrees_with_a_model<S: Subject>() {
    let seed = number("TREFOIL_CONFORMANCE_SEED").unwrap_or(1);
    let steps = number("TREFOIL_CONFORMANCE_STEPS").unwrap_or(STEPS);
    let mut walk = Walk::<S>::new(seed);
    walk.walk(steps);
    walk.drain();
    walk.world.settle();
    walk.look();
    walk.drain();
    let [frames, half_closes, room, ends] = walk.told;
    let enough = frames > steps / 2 && half_closes > steps / 200 && ends > steps / 40;
    let bounded = S::LACKS.contains(&Ask::Bounds) || room > steps / 200;
    assert!(enough && bounded, "the walk leads nowhere: {:?}", walk.told);
    walk.world.rest();
}
