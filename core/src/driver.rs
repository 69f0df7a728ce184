//! The loop that runs an [`Engine`] as a task: written once, over `core::task`, for every runtime.
//!
//! A turn takes what is there (due time, storage, transport, commands), bounded in inputs, then
//! flushes and sleeps until the exact next due time. Each source is asked in turn, so that none
//! starves another; `now` is read after each input was taken.

use core::task::{Context, Poll};

use crate::engine::Engine;
use crate::machine::{Events, Machine};
use crate::storage::Storage;
use crate::time::Instant;
use crate::transport::Transport;

/// What a runtime supplies: a clock, an alarm, a source of commands, and ears.
pub trait Runtime<M: Machine>: Events<M> {
    /// A command that owns what it holds.
    type Owned;

    /// The clock. Never goes back; counts suspend where the system offers such a clock.
    fn now(&self) -> Instant;

    /// Ready when the clock has reached `due`; `None` never is. Called with the exact due time every
    /// time the driver is about to sleep.
    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()>;

    /// The next command, `None` when the driver should stop, or `Pending` with the waker kept.
    fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Owned>>;

    /// Gives `take` a command as the machine takes it: what it borrows may live as long as this call.
    fn lend<T>(command: &Self::Owned, take: impl FnOnce(M::Command<'_>) -> T) -> T;

    /// Takes back a command that was carried out, so that its buffers may be used again.
    fn spent(&mut self, _command: Self::Owned) {}

    /// The machine refused a command; nothing changed.
    fn refused(&mut self, command: Self::Owned, why: M::Refused);

    /// Called once a turn, after all inputs: a place to publish what the machine shows.
    fn turn_ended(&mut self, engine: &Engine<M>);
}

/// An engine with its transport, its storage and its runtime.
#[derive(Debug)]
pub struct Driver<M, T, S, R> {
    engine: Engine<M>,
    transport: T,
    storage: S,
    runtime: R,
}

impl<M, T, S, R> Driver<M, T, S, R>
where
    M: Machine,
    T: Transport,
    S: Storage,
    R: Runtime<M>,
{
    /// Binds the four together. Nothing runs until [`poll`](Self::poll) is called.
    pub const fn new(engine: Engine<M>, transport: T, storage: S, runtime: R) -> Self {
        Self {
            engine,
            transport,
            storage,
            runtime,
        }
    }

    /// The engine, to be looked at.
    pub const fn engine(&self) -> &Engine<M> {
        &self.engine
    }

    /// The transport, to be shut down by its owner after the loop has ended.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// One turn. Ready when the runtime's commands have ended; otherwise the task will be woken when
    /// there is something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut budget = self.engine.limits().turn_inputs_max;
        let stopped = loop {
            match self.step(cx) {
                Step::Took if budget > 1 => budget -= 1,
                Step::Took => {
                    // Others on this thread run before the rest is taken.
                    cx.waker().wake_by_ref();
                    break false;
                }
                Step::Idle => break false,
                Step::Stopped => break true,
            }
        };
        self.transport.flush();
        self.runtime.turn_ended(&self.engine);
        if stopped {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Takes at most one input from each source.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let Self {
            engine,
            transport,
            storage,
            runtime,
        } = self;
        let mut took = false;
        if runtime.poll_alarm(engine.poll_timeout(), cx).is_ready() {
            took = true;
            engine.tick(runtime.now(), transport, storage, runtime);
        }
        if let Poll::Ready((tag, completion)) = storage.poll(cx) {
            took = true;
            engine.done(runtime.now(), tag, &completion, transport, storage, runtime);
        }
        if let Poll::Ready(arrival) = transport.poll(cx) {
            took = true;
            engine.arrive(runtime.now(), &arrival, transport, storage, runtime);
            arrival.spend(|spent| transport.recycle(spent));
        }
        match runtime.poll_command(cx) {
            Poll::Ready(Some(command)) => {
                took = true;
                let done = R::lend(&command, |lent| {
                    engine.command(runtime.now(), lent, transport, storage, runtime)
                });
                match done {
                    Ok(()) => runtime.spent(command),
                    Err(why) => runtime.refused(command, why),
                }
            }
            Poll::Ready(None) => return Step::Stopped,
            Poll::Pending => {}
        }
        if took { Step::Took } else { Step::Idle }
    }
}

enum Step {
    Took,
    Idle,
    Stopped,
}
