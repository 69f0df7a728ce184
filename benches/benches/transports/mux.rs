//! The smallest machines that make streams busy, and what the core's driver needs to run them: a
//! server that answers, a caller that keeps so many messages under way.

use std::sync::mpsc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::UnboundedReceiver;
use trefoil_core::driver::Runtime;
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, StreamId, Tag};
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::method::{FIRST_MOUNTED, Method, MethodDescriptor, Methods};
use trefoil_core::storage::{Completion, Done, Op, Storage};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::Instant;
use trefoil_runtime_tokio::{Alarm, Platform, clock};

use crate::measure::{Load, Window, Work, answer};

/// Answers each message.
pub(crate) const MUX: MethodId = FIRST_MOUNTED;
/// Takes messages and says nothing.
pub(crate) const SINK: MethodId = MethodId(FIRST_MOUNTED.0 + 1);
/// Answers each message, before others.
pub(crate) const PING: MethodId = MethodId(FIRST_MOUNTED.0 + 2);

pub(crate) const MUX_PATH: &str = "/bench.Bench/Mux";

/// The table both ends know.
pub(crate) fn methods() -> Methods {
    let mut methods = Methods::new();
    for (id, path, class) in [
        (MUX, MUX_PATH, Class::Bulk),
        (SINK, "/bench.Bench/Sink", Class::Bulk),
        (PING, "/bench.Bench/Ping", Class::Control),
    ] {
        let descriptor = MethodDescriptor {
            path,
            client_streaming: true,
            server_streaming: true,
        };
        methods.mount(id, Method { descriptor, class });
    }
    methods
}

/// A machine in a world where it is called `host`.
pub(crate) fn engine<M: Machine>(host: &str, machine: M) -> Engine<M> {
    let config = EngineConfig::new(host, "bench", 1);
    Engine::new(config, machine).expect("limits that hold")
}

/// The callee: as many streams as it is given.
#[derive(Debug)]
pub(crate) struct Answers;

impl Machine for Answers {
    type Command<'a> = Load;
    type Event<'a> = Vec<u32>;
    type Refused = ();

    fn handle_stream(
        &mut self,
        _: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
        match event {
            StreamIn::Accepted { method, .. } => io.adopt(stream, Tag(u64::from(method.0))),
            StreamIn::Frame(message) if tag.0 != u64::from(SINK.0) => {
                let answer = answer(message);
                let room = io.frame(stream, answer.len()).expect("room for a reply");
                room.copy_from_slice(answer);
            }
            StreamIn::Frame(_)
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable
            | StreamIn::Ended(_) => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        _: Instant,
        _: Load,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), ()> {
        Err(())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut dyn Io, _: &mut dyn Events<Self>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// The caller: one stream to one host.
#[derive(Debug)]
pub(crate) struct Calls {
    host: String,
    stream: Option<StreamId>,
    window: Option<Window>,
}

impl Calls {
    pub(crate) const fn new(host: String) -> Self {
        Self {
            host,
            stream: None,
            window: None,
        }
    }

    fn pump(&mut self, io: &mut dyn Io) {
        let (Some(stream), Some(window)) = (self.stream, &mut self.window) else {
            return;
        };
        while let Some(request) = window.next() {
            let room = io.frame(stream, request.len).expect("a window with room");
            request.write(room);
        }
    }
}

impl Machine for Calls {
    type Command<'a> = Load;
    type Event<'a> = Vec<u32>;
    type Refused = ();

    fn handle_stream(
        &mut self,
        _: Instant,
        _: StreamId,
        _: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        match event {
            StreamIn::Frame(message) => {
                let window = self.window.as_mut().expect("an answer to something");
                window.heard(message);
                if window.is_done() {
                    up.event(window.trips());
                } else {
                    self.pump(io);
                }
            }
            StreamIn::Ended(status) => panic!("the stream ended: {status:?}"),
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        _: Instant,
        load: Load,
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), ()> {
        if self.stream.is_none() {
            let to = io.node(&self.host).map_err(drop)?;
            let opened = io.open(to, MUX, Class::Bulk, Header::EMPTY, None, Tag(1));
            self.stream = Some(opened.map_err(drop)?);
        }
        self.window = Some(Window::new(load));
        self.pump(io);
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut dyn Io, _: &mut dyn Events<Self>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A store for those who keep nothing.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Storage for Nothing {
    type Buf = Vec<u8>;

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        Poll::Pending
    }
}

/// The driver's runtime: the clock and the alarms of a node, commands from the bench.
pub(crate) struct Ears<P: Platform> {
    loads: Option<UnboundedReceiver<Load>>,
    done: Option<mpsc::Sender<Vec<u32>>>,
    /// Nothing was there, and the waker is kept: not asked again in this turn.
    asked: bool,
    alarm: P::Alarm,
    set: Option<Instant>,
}

impl<P: Platform> Ears<P> {
    /// Of a machine that is told what to do; or of one that only answers.
    pub(crate) fn new(work: Option<Work>) -> Self {
        let (loads, done) = work.map(|work| (work.loads, work.done)).unzip();
        Self {
            loads,
            done,
            asked: false,
            alarm: P::Alarm::default(),
            set: None,
        }
    }
}

impl<P, M> Events<M> for Ears<P>
where
    P: Platform,
    M: for<'a> Machine<Event<'a> = Vec<u32>>,
{
    fn event(&mut self, trips: Vec<u32>) {
        if let Some(done) = &self.done {
            done.send(trips).expect("a bench that waits");
        }
    }
}

impl<P, M> Runtime<M> for Ears<P>
where
    P: Platform,
    M: for<'a> Machine<Event<'a> = Vec<u32>, Command<'a> = Load, Refused = ()>,
{
    type Owned = Load;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = due else { return Poll::Pending };
        let now = clock::now();
        if at <= now {
            return Poll::Ready(());
        }
        if self.set != due {
            self.alarm.set(at.since(now));
            self.set = due;
        }
        if self.alarm.poll(cx).is_ready() {
            // It may have rung a little early: the next poll sets it again.
            self.set = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<Load>> {
        match &mut self.loads {
            Some(loads) if !self.asked => {
                let load = loads.poll_recv(cx);
                self.asked = load.is_pending();
                load
            }
            Some(_) | None => Poll::Pending,
        }
    }

    fn lend<T>(command: &Load, take: impl FnOnce(Load) -> T) -> T {
        take(*command)
    }

    fn refused(&mut self, load: Load, (): ()) {
        panic!("refused: {load:?}");
    }

    fn turn_ended(&mut self, _: &Engine<M>) {
        self.asked = false;
    }
}
