//! A machine that lets everything through and writes down what breaks the contract.

use std::collections::BTreeMap;

use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::status::Status;
use trefoil_core::storage::{Done, Op};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};

use crate::dice::Dice;

/// How a contract was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A machine ended a stream that was over.
    EndedTwice(StreamId, MethodId),
    /// A machine heard of a stream that was over, or that it never had.
    HeardAfterEnd(StreamId),
    /// A machine left an accepted stream unanswered for so long.
    Unanswered(StreamId, MethodId, Duration),
    /// A machine neither adopted nor ended an accepted stream.
    Ignored(StreamId, MethodId),
    /// A call at the promised time moved nothing.
    TimeStoodStill(Instant),
    /// A call before the promised time did something.
    ActedEarly(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    method: MethodId,
    accepted: bool,
    since: Instant,
    /// Its whole request is there.
    asked: bool,
}

/// What is known of the streams of one machine.
#[derive(Debug, Default)]
struct Book {
    open: BTreeMap<StreamId, Stream>,
    /// Streams that are over, with their methods; a slot's last use only.
    over: BTreeMap<u32, (StreamId, MethodId)>,
    broken: Vec<Broken>,
    ended: u64,
    accepted: u64,
}

impl Book {
    fn close(&mut self, stream: StreamId) -> Option<Stream> {
        let known = self.open.remove(&stream)?;
        self.over.insert(stream.slot(), (stream, known.method));
        Some(known)
    }
}

/// A machine whose contract is checked. Once in a while it is called before its time, which must
/// change nothing.
#[derive(Debug)]
pub struct Watched<M> {
    machine: M,
    book: Book,
    dice: Dice,
    early_ppm: u32,
    /// From then on every accepted stream must be answered within `patience`.
    strict_since: Option<Instant>,
    patience: Duration,
}

impl<M: Machine> Watched<M> {
    /// `machine`, watched. It is called early before `early_ppm` in a million of its inputs.
    pub fn new(machine: M, seed: u64, early_ppm: u32, patience: Duration) -> Self {
        Self {
            machine,
            book: Book::default(),
            dice: Dice::new(seed, "watch"),
            early_ppm,
            strict_since: None,
            patience,
        }
    }

    /// The machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine.
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// What was broken since the last call.
    pub fn take_broken(&mut self) -> Vec<Broken> {
        std::mem::take(&mut self.book.broken)
    }

    /// Streams accepted.
    pub const fn accepted(&self) -> u64 {
        self.book.accepted
    }

    /// From `now` on the world is calm, and every accepted stream must be answered in time.
    pub const fn be_strict(&mut self, now: Instant) {
        self.strict_since = Some(now);
    }

    /// Accepted streams that wait for their answers for longer than they may at `now`.
    pub fn overdue(&self, now: Instant) -> impl Iterator<Item = Broken> + '_ {
        self.book
            .open
            .iter()
            .filter(|(_, known)| known.accepted)
            .filter_map(move |(stream, known)| {
                let waited = now.since(known.since);
                (waited > self.patience).then_some(Broken::Unanswered(
                    *stream,
                    known.method,
                    waited,
                ))
            })
    }

    fn heard(&mut self, now: Instant, stream: StreamId, event: &StreamIn<'_>) {
        if let StreamIn::Accepted { method, .. } = *event {
            self.book.accepted += 1;
            let fresh = Stream {
                method,
                accepted: true,
                since: now,
                asked: false,
            };
            if self.book.open.insert(stream, fresh).is_some() {
                self.book.broken.push(Broken::HeardAfterEnd(stream));
            }
            return;
        }
        let Some(known) = self.book.open.get_mut(&stream) else {
            self.book.broken.push(Broken::HeardAfterEnd(stream));
            return;
        };
        known.asked |= matches!(event, StreamIn::HalfClosed);
        if matches!(event, StreamIn::Ended(_)) {
            let known = self.book.close(stream);
            self.judge_unanswered(now, stream, known);
        }
    }

    /// The caller went away. In a calm world that happens only because it waited in vain.
    fn judge_unanswered(&mut self, now: Instant, stream: StreamId, known: Option<Stream>) {
        let Some(known) = known.filter(|known| known.accepted && known.asked) else {
            return;
        };
        let waited = now.since(known.since);
        if self
            .strict_since
            .is_some_and(|strict| known.since >= strict)
            && waited > self.patience
        {
            self.book
                .broken
                .push(Broken::Unanswered(stream, known.method, waited));
        }
    }

    /// Calls the machine before its time, where it must do nothing.
    fn call_early(&mut self, now: Instant, io: &mut dyn Io) {
        let before = self.machine.poll_timeout();
        if before.is_some_and(|due| due <= now) || !self.dice.chance(self.early_ppm) {
            return;
        }
        let mut still = Still { io, did: None };
        let mut told = false;
        self.machine
            .handle_timeout(now, &mut still, &mut Deaf(&mut told));
        let did = still.did.or(told.then_some("told an event"));
        let moved = (self.machine.poll_timeout() != before).then_some("moved its due time");
        if let Some(what) = did.or(moved) {
            self.book.broken.push(Broken::ActedEarly(what));
        }
    }
}

impl<M: Machine> Machine for Watched<M> {
    type Command<'a> = M::Command<'a>;
    type Event<'a> = M::Event<'a>;
    type Refused = M::Refused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        self.call_early(now, io);
        self.heard(now, stream, &event);
        let accepted = matches!(event, StreamIn::Accepted { .. });
        let mut adopted = false;
        let mut io = Checking {
            io,
            book: &mut self.book,
            now,
            adopted: &mut adopted,
        };
        self.machine
            .handle_stream(now, stream, tag, event, &mut io, &mut Up(up));
        if accepted
            && !adopted
            && let Some(known) = self.book.close(stream)
        {
            self.book.broken.push(Broken::Ignored(stream, known.method));
        }
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        self.call_early(now, io);
        let mut io = Checking {
            io,
            book: &mut self.book,
            now,
            adopted: &mut false,
        };
        self.machine
            .handle_done(now, tag, done, &mut io, &mut Up(up));
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: Self::Command<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Self::Refused> {
        self.call_early(now, io);
        let mut io = Checking {
            io,
            book: &mut self.book,
            now,
            adopted: &mut false,
        };
        self.machine
            .handle_command(now, command, &mut io, &mut Up(up))
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let before = self.machine.poll_timeout();
        let mut io = Checking {
            io,
            book: &mut self.book,
            now,
            adopted: &mut false,
        };
        self.machine.handle_timeout(now, &mut io, &mut Up(up));
        let after = self.machine.poll_timeout();
        if let Some(due) = before.filter(|due| *due <= now)
            && after.is_some_and(|after| after <= due)
        {
            self.book.broken.push(Broken::TimeStoodStill(due));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

struct Up<'a, M: Machine>(&'a mut dyn Events<Watched<M>>);

impl<M: Machine> Events<M> for Up<'_, M> {
    fn event(&mut self, event: M::Event<'_>) {
        self.0.event(event);
    }
}

/// Ears that only notice that something was said.
struct Deaf<'a>(&'a mut bool);

impl<M: Machine> Events<M> for Deaf<'_> {
    fn event(&mut self, _: M::Event<'_>) {
        *self.0 = true;
    }
}

/// Passes everything on and keeps the book of streams.
struct Checking<'a> {
    io: &'a mut dyn Io,
    book: &'a mut Book,
    now: Instant,
    adopted: &'a mut bool,
}

impl Io for Checking<'_> {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let stream = self.io.open(to, method, class, header, deadline, tag)?;
        self.book.open.insert(
            stream,
            Stream {
                method,
                accepted: false,
                since: self.now,
                asked: true,
            },
        );
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        *self.adopted = true;
        self.io.adopt(stream, tag);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.io.frame(stream, len)
    }

    fn hold(&mut self, stream: StreamId, bytes: u32) {
        self.io.hold(stream, bytes);
    }

    fn release(&mut self, stream: StreamId, bytes: u32) {
        self.io.release(stream, bytes);
    }

    fn half_close(&mut self, stream: StreamId) {
        self.io.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.book.ended += 1;
        if self.book.close(stream).is_none()
            && let Some((_, method)) = self
                .book
                .over
                .get(&stream.slot())
                .filter(|(last, _)| *last == stream)
        {
            self.book.broken.push(Broken::EndedTwice(stream, *method));
        }
        self.io.end(stream, status);
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        self.io.submit(op, tag)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.io.node(name)
    }

    fn name(&self, node: NodeId) -> &str {
        self.io.name(node)
    }

    fn forget(&mut self, node: NodeId) {
        self.io.forget(node);
    }
}

/// Passes nothing on: any effect is a fault. Names may be looked up.
struct Still<'a> {
    io: &'a mut dyn Io,
    did: Option<&'static str>,
}

impl Io for Still<'_> {
    fn open(
        &mut self,
        _: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        _: Tag,
    ) -> Result<StreamId, Full> {
        self.did = Some("opened a stream");
        Err(Full)
    }

    fn adopt(&mut self, _: StreamId, _: Tag) {
        self.did = Some("adopted a stream");
    }

    fn frame(&mut self, _: StreamId, _: usize) -> Result<&mut [u8], Full> {
        self.did = Some("wrote a frame");
        Err(Full)
    }

    fn hold(&mut self, _: StreamId, _: u32) {
        self.did = Some("held credit");
    }

    fn release(&mut self, _: StreamId, _: u32) {
        self.did = Some("released credit");
    }

    fn half_close(&mut self, _: StreamId) {
        self.did = Some("closed a stream by half");
    }

    fn end(&mut self, _: StreamId, _: Status<'_>) {
        self.did = Some("ended a stream");
    }

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        self.did = Some("submitted an operation");
        Err(Full)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.io.node(name)
    }

    fn name(&self, node: NodeId) -> &str {
        self.io.name(node)
    }

    fn forget(&mut self, _: NodeId) {
        self.did = Some("forget");
    }
}
