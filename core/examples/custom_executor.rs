//! The driver under an executor of its own: a waker that unparks a thread, and a time-out.
//!
//! One thread runs two nodes that share a store; they speak over the transport of the example
//! `custom_transport`. Another thread, which knows nothing of all that, calls an actor through both.
//!
//! `cargo run -p trefoil-core --example custom_executor`

#![allow(clippy::print_stdout, reason = "an example talks")]

#[path = "custom_transport/transport.rs"]
pub mod transport;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use transport::Channels;
use trefoil_core::driver::{Driver, Runtime};
use trefoil_core::engine::Engine;
use trefoil_core::machine::Events;
use trefoil_core::memory::{Carried, MemoryStore};
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Output, Ran, Rejected, Reply, Stage};
use trefoil_core::ring::actors::{ActorsCommand, ActorsEvent, Ticket};
use trefoil_core::ring::{Ring, RingCommand, RingConfig, RingEvent, RingRefused};
use trefoil_core::time::{Instant, earliest};
use trefoil_proto::control_plane::{ApplyRequest, ApplyResult};
use trefoil_proto::google::Any;
use trefoil_proto::{Decode, Encode};

// --- the executor --------------------------------------------------------------------------------

/// Wakes the thread of the executor.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The time since the start, and when the executor is to wake its tasks though nobody else does.
struct Clock {
    start: std::time::Instant,
    alarm: Cell<Option<Instant>>,
}

impl Clock {
    /// Does for an example. A node in earnest reads a clock that counts suspend.
    fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs tasks on this thread until all have ended. Says how often it slept.
fn execute(clock: &Clock, mut tasks: Vec<Task>) -> u64 {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut sleeps = 0;
    loop {
        clock.alarm.set(None);
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        if tasks.is_empty() {
            return sleeps;
        }
        sleeps += 1;
        // A wake-up since the tasks were polled ends the sleep before it begins.
        match clock.alarm.get() {
            Some(due) => thread::park_timeout(due.since(clock.now())),
            None => thread::park(),
        }
    }
}

// --- what the driver asks of its runtime ---------------------------------------------------------

/// A call from another thread, and where its answer goes.
struct Ask {
    request: Vec<u8>,
    answer: Sender<Result<Vec<u8>, String>>,
}

/// A command while the driver holds it.
enum Owned {
    Apply {
        call: u64,
        request: Vec<u8>,
        deadline: Instant,
    },
    Ran {
        ticket: Ticket,
        ran: Ran,
    },
}

/// What one node's driver runs in.
struct Local {
    clock: Rc<Clock>,
    asks: Receiver<Ask>,
    /// Those that wait for an answer, by the number of their call.
    waiting: BTreeMap<u64, Sender<Result<Vec<u8>, String>>>,
    calls: u64,
    stage: Stage<Counters>,
    output: Output,
    done: VecDeque<(Ticket, Ran)>,
    /// Told when this node has found the other.
    complete: Option<Sender<()>>,
}

impl Local {
    fn answer(&mut self, call: u64, result: Result<Vec<u8>, String>) {
        if let Some(answer) = self.waiting.remove(&call) {
            // Who asked may have given up.
            let _ = answer.send(result);
        }
    }
}

impl Events<Ring> for Local {
    fn event(&mut self, event: RingEvent<'_>) {
        if let RingEvent::Actors(ActorsEvent::Run { ticket, id, job }) = event {
            // The actors' own code, done on the spot. It comes back as a command.
            let outcome = self.stage.perform(id, job, &mut self.output);
            self.done.push_back((ticket, outcome.into()));
        } else if let RingEvent::Actors(ActorsEvent::Answer { call, result }) = event {
            let result = result.map(<[u8]>::to_vec);
            self.answer(call, result.map_err(|status| status.message.to_owned()));
        }
    }
}

impl Runtime<Ring> for Local {
    type Owned = Owned;

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn poll_alarm(&mut self, due: Option<Instant>, _: &mut Context<'_>) -> Poll<()> {
        if due.is_some_and(|due| due <= self.clock.now()) {
            return Poll::Ready(());
        }
        // There is one alarm for all tasks: the earliest counts. Early does no harm.
        self.clock.alarm.set(earliest(self.clock.alarm.get(), due));
        Poll::Pending
    }

    /// Keeps no waker: to wake this task is to unpark the thread, and whoever asks can do that.
    fn poll_command(&mut self, _: &mut Context<'_>) -> Poll<Option<Owned>> {
        if let Some((ticket, ran)) = self.done.pop_front() {
            return Poll::Ready(Some(Owned::Ran { ticket, ran }));
        }
        match self.asks.try_recv() {
            Ok(Ask { request, answer }) => {
                self.calls += 1;
                self.waiting.insert(self.calls, answer);
                Poll::Ready(Some(Owned::Apply {
                    call: self.calls,
                    request,
                    deadline: self.now() + PATIENCE,
                }))
            }
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }

    fn lend<T>(command: &Owned, take: impl FnOnce(RingCommand<'_>) -> T) -> T {
        take(RingCommand::Actors(match command {
            Owned::Apply {
                call,
                request,
                deadline,
            } => ActorsCommand::Apply {
                call: *call,
                request,
                request_id: None,
                deadline: *deadline,
            },
            Owned::Ran { ticket, ran } => ActorsCommand::Ran {
                ticket: *ticket,
                outcome: ran.outcome(),
            },
        }))
    }

    fn refused(&mut self, command: Owned, why: RingRefused) {
        if let Owned::Apply { call, .. } = command {
            self.answer(call, Err(format!("refused: {why:?}")));
        }
    }

    fn turn_ended(&mut self, engine: &Engine<Ring>) {
        let members = engine.machine().membership();
        if members.live() == HOSTS.len() && members.has_majority() {
            // Said once.
            if let Some(complete) = self.complete.take() {
                let _ = complete.send(());
            }
        }
    }
}

// --- two nodes, and who calls them ---------------------------------------------------------------

const HOSTS: [&str; 2] = ["a:7001", "b:7001"];
const PATIENCE: Duration = Duration::from_secs(30);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// An actor that counts the messages it was sent.
struct Counter(u64);

/// Makes counters.
struct Counters;

impl ActorKind for Counters {
    type Actor = Counter;

    fn load(&self, _id: u64, snapshot: Option<&[u8]>) -> Result<Counter, Failed> {
        let Some(bytes) = snapshot else {
            return Ok(Counter(0));
        };
        Ok(Counter(u64::from_le_bytes(
            bytes.try_into().map_err(|_| Failed)?,
        )))
    }
}

impl Actor for Counter {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        self.0 += 1;
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/example.Counter"
    }
}

/// Runs a node for each of `asks` on this thread, until nobody can ask any more.
fn run(asks: Vec<Receiver<Ask>>, complete: &Sender<()>) -> Fallible<u64> {
    let clock = Rc::new(Clock {
        start: std::time::Instant::now(),
        alarm: Cell::new(None),
    });
    let (carriers, store) = (Channels::between(&HOSTS), MemoryStore::new());
    let mut tasks: Vec<Task> = Vec::new();
    for (((asks, host), carrier), boot) in asks.into_iter().zip(HOSTS).zip(carriers).zip(1..) {
        let config = RingConfig::lan(host, &HOSTS, boot);
        let engine = Engine::new(config.engine(), Ring::new(config)?)?;
        let session = store.session(host, engine.limits().storage_ops_max);
        let local = Local {
            clock: Rc::clone(&clock),
            asks,
            waiting: BTreeMap::new(),
            calls: 0,
            stage: Stage::new(Counters, boot),
            output: Output::default(),
            done: VecDeque::new(),
            complete: Some(complete.clone()),
        };
        let transport = Carried::new(carrier, engine.limits().streams_max);
        let mut driver = Driver::new(engine, transport, session, local);
        tasks.push(Box::pin(poll_fn(move |cx| driver.poll(cx))));
    }
    Ok(execute(&clock, tasks))
}

/// Calls the actor through two nodes in turn.
pub fn main() -> Fallible<()> {
    let (ask, asks): (Vec<_>, Vec<_>) = HOSTS.map(|_| channel()).into_iter().unzip();
    let (complete, completed) = channel();
    let nodes = thread::spawn(move || run(asks, &complete));
    // Before they know each other they refuse calls: either might be cut off from a majority.
    for _ in HOSTS {
        completed.recv_timeout(PATIENCE)?;
    }

    let message = Any {
        type_url: "type.googleapis.com/example.Count",
        value: b"",
    };
    let request = ApplyRequest {
        id: 7,
        messages: &[message][..],
    };
    let mut bytes = vec![0; request.encoded_len()];
    request.encode_to_slice(&mut bytes)?;
    for expected in 1..=6_u64 {
        let at = expected as usize % 2;
        let (answer, answered) = channel();
        let request = bytes.clone();
        ask[at].send(Ask { request, answer })?;
        nodes.thread().unpark();
        let answer = answered.recv_timeout(PATIENCE)??;
        let count = ApplyResult::parse(&answer)?.state.ok_or("no state")?;
        assert_eq!(count.value, expected.to_le_bytes());
        println!("through {}: {expected}", HOSTS[at]);
    }

    // Nobody can ask any more: the drivers end, and with them the executor.
    drop(ask);
    nodes.thread().unpark();
    let sleeps = nodes.join().map_err(|_| "the nodes panicked")??;
    println!("both nodes have stopped; their thread slept {sleeps} times");
    Ok(())
}
