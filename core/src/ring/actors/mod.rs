//! Actor routing: every call for an id reaches the node that owns it, is applied in order, and is
//! answered when what it changed is durable.
//!
//! # The path of a call
//! A message is resolved by the directory. What belongs elsewhere goes there in one hop, bytes as
//! they came. What belongs here finds its actor, or brings it to life: the log's fence is raised,
//! the log is read from its last snapshot on and replayed, the id is claimed. Calls then run one at
//! a time, as jobs that the runtime performs with an [`ActorKind`](super::actor::ActorKind); many
//! actors run at once. Accepted mutations are appended; the next call runs while the append is in
//! flight; every answer, that of a Get too, waits until everything it may have seen is durable.
//!
//! # What is promised
//! - Two nodes that both believe they own an id never interleave their records: each record carries
//!   its writer's term, and a fence stands between two writers. An acknowledged mutation is never lost.
//! - A request that carries an id is applied once per log as long as it is among the last
//!   `dedupe_ids`. Repeated, it gets the same bytes while they are held, `TF-R07` afterwards.
//! - After `Fenced`, `Conflict` or an unknown outcome nothing is answered that the log does not
//!   prove. A Get is answered from memory only while the log was seen to be this node's within the
//!   last `proof_age_max`; otherwise the log is asked first. So an owner that lost its log and has
//!   not heard of it, behind a partition or because it stood still, may show what was durable
//!   before, but no longer than that. So may an Apply whose messages are all refused.
//! - A unary call is run when its message is there. A second message ends the call with `TF-C10`.
//!
//! # Cost
//! A call that runs here takes one placement look-up, one hash look-up, two copies of its message and
//! two of its answer, and no allocation once every buffer has been used.

mod activation;
mod answer;
mod calls;
mod config;
mod dedupe;
mod ending;
mod forward;
mod held;
mod idle;
mod interface;
mod journal;
mod list;
mod mailbox;
mod ops;
mod proof;
mod route;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use self::calls::{Calls, OP_BIT, Origin, Phase, Side, Verb, tag};
pub use self::config::{ActorsConfig, ActorsConfigError};
use self::held::{Held, Leaving};
pub use self::interface::{
    ActorsBusy, ActorsCommand, ActorsCounters, ActorsEvent, ActorsPlant, Ticket,
};
use self::list::List;
use self::ops::{InFlight, Ops, Purpose};
use super::ownership::Ownership;
use crate::codes;
use crate::header::Header;
use crate::id::{MethodId, StreamId, Tag};
use crate::identity;
use crate::machine::{Full, Io};
use crate::method::control_plane::{APPLY, GET};
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::storage::{Done, Op};
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 3;

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    ownership: &'a mut dyn Ownership,
    up: &'a mut dyn FnMut(ActorsEvent<'_>),
}

#[derive(Clone, Copy, Debug)]
struct Drain {
    /// Calls still open that came before the drain.
    early: u32,
    told: bool,
}

/// The actor routing machine.
///
/// It has the four handlers of a [`Machine`](crate::machine::Machine), and is not one: each is lent
/// the directory besides ([`Ownership`]), which belongs to a machine next to it. A composition owns
/// both and lends one to the other; a trait with that argument would serve this machine alone.
#[derive(Debug)]
pub struct Actors {
    config: ActorsConfig,
    calls: Calls,
    held: Held,
    ops: Ops,
    waiting: List,
    waiting_count: u32,
    /// Nodes known to be ours, one bit each.
    ours: Vec<u64>,
    rng: Rng,
    /// Counts jobs, for tickets.
    runs: u32,
    drain: Option<Drain>,
    scratch: Vec<u8>,
    counters: ActorsCounters,
    plant: Option<ActorsPlant>,
}

impl Actors {
    /// A machine without actors. Its tables grow to what is used, up to the configured bounds.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: ActorsConfig) -> Result<Self, ActorsConfigError> {
        config.check()?;
        Ok(Self {
            calls: Calls::new(config.calls_max),
            held: Held::new(config.actors_max, config.seed),
            ops: Ops::default(),
            waiting: List::EMPTY,
            waiting_count: 0,
            ours: Vec::new(),
            rng: Rng::new(config.seed),
            runs: 0,
            drain: None,
            scratch: Vec::new(),
            counters: ActorsCounters::default(),
            plant: None,
            config,
        })
    }

    /// Actors held, those included that are coming to life or being let go.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.held.live()
    }

    /// Calls open.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.calls.live()
    }

    /// Storage operations in flight.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.ops.live()
    }

    /// What happened since the start.
    #[must_use]
    pub const fn counters(&self) -> &ActorsCounters {
        &self.counters
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub const fn plant(&mut self, plant: ActorsPlant) {
        self.plant = Some(plant);
    }

    /// Something happened on a stream of this machine, or a stream for it was accepted. Serves
    /// [`APPLY`] and [`GET`]; other methods are ended as unimplemented.
    #[expect(
        clippy::too_many_arguments,
        reason = "a machine's handler, and the directory"
    )]
    pub fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        ownership: &mut dyn Ownership,
        up: &mut dyn FnMut(ActorsEvent<'_>),
    ) {
        let cx = &mut Lent {
            now,
            io,
            ownership,
            up,
        };
        if let StreamIn::Accepted {
            method,
            header,
            deadline,
            ..
        } = event
        {
            return self.accept(stream, method, header, deadline, cx);
        }
        match self.calls.find(tag, stream) {
            Some((slot, Side::Caller)) => self.caller_says(slot, stream, event, cx),
            Some((slot, Side::Owner)) => self.owner_says(slot, stream, event, cx),
            None => {}
        }
        self.tell_if_drained(cx);
    }

    /// A storage operation of this machine ended. Tags it does not know are counted and ignored.
    pub fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        ownership: &mut dyn Ownership,
        up: &mut dyn FnMut(ActorsEvent<'_>),
    ) {
        let cx = &mut Lent {
            now,
            io,
            ownership,
            up,
        };
        let taken = if tag.rest() & OP_BIT == 0 {
            None
        } else {
            self.ops.take(tag)
        };
        let Some(InFlight {
            purpose,
            slot,
            generation,
        }) = taken
        else {
            self.counters.strays += 1;
            return;
        };
        let held = self
            .held
            .slots
            .get(slot as usize)
            .is_some_and(|a| a.live && a.generation == generation);
        match purpose {
            Purpose::Probe => self.probed(slot, generation, done, cx),
            Purpose::Step if held => self.stepped(slot, done, cx),
            Purpose::Append { sequence } if held => self.appended(slot, sequence, done, cx),
            Purpose::Step | Purpose::Append { .. } | Purpose::Trim => {}
        }
        self.tell_if_drained(cx);
    }

    /// The layer above asks for something.
    ///
    /// # Errors
    /// [`ActorsBusy`] for a call too many; then nothing changed. All other refusals of calls are
    /// answers.
    pub fn handle_command(
        &mut self,
        now: Instant,
        command: ActorsCommand<'_>,
        io: &mut dyn Io,
        ownership: &mut dyn Ownership,
        up: &mut dyn FnMut(ActorsEvent<'_>),
    ) -> Result<(), ActorsBusy> {
        let cx = &mut Lent {
            now,
            io,
            ownership,
            up,
        };
        match command {
            ActorsCommand::Apply {
                call,
                request,
                request_id,
                deadline,
            } => {
                self.local(
                    call,
                    Verb::Apply,
                    request,
                    request_id.filter(|id| *id != 0),
                    deadline,
                    cx,
                )?;
            }
            ActorsCommand::Get {
                call,
                request,
                deadline,
            } => {
                self.local(call, Verb::Get, request, None, deadline, cx)?;
            }
            ActorsCommand::Ran { ticket, outcome } => self.ran(ticket, outcome, cx),
            ActorsCommand::Evict { id } => {
                if let Some(slot) = self.held.find(id) {
                    self.evict(slot, cx);
                }
            }
            ActorsCommand::Release { id } => {
                if let Some(slot) = self.held.find(id) {
                    self.leave(slot, Leaving::Told, cx);
                }
            }
            ActorsCommand::Drain => self.start_drain(cx),
            ActorsCommand::OwnershipChanged => self.ownership_changed(cx),
        }
        self.tell_if_drained(cx);
        Ok(())
    }

    /// Time has passed. Spurious calls are harmless.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        io: &mut dyn Io,
        ownership: &mut dyn Ownership,
        up: &mut dyn FnMut(ActorsEvent<'_>),
    ) {
        let cx = &mut Lent {
            now,
            io,
            ownership,
            up,
        };
        self.pass_time(cx);
        self.tell_if_drained(cx);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next: pure and exact.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self
            .held
            .idlest()
            .map(|(_, since)| since + self.config.idle_timeout);
        earliest(
            idle,
            earliest(self.calls.poll_timeout(), self.held.timers.earliest()),
        )
    }

    fn accept(
        &mut self,
        stream: StreamId,
        method: MethodId,
        header: Header<'_>,
        deadline: Option<Instant>,
        cx: &mut Lent<'_>,
    ) {
        let verb = match method {
            APPLY => Verb::Apply,
            GET => Verb::Get,
            _ => {
                return cx
                    .io
                    .end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
            }
        };
        let request_id = match header.value(identity::REQUEST).map(forward::request_id) {
            None => None,
            Some(Some(id)) => id,
            Some(None) => {
                self.counters.malformed += 1;
                return cx
                    .io
                    .end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
            }
        };
        let Ok(slot) = self.calls.insert(Origin::Stream(stream), verb, deadline) else {
            self.counters.refused += 1;
            return cx
                .io
                .end(stream, Status::new(Code::ResourceExhausted, codes::BUSY));
        };
        let call = self.calls.at_mut(slot);
        call.request_id = request_id.filter(|_| verb == Verb::Apply);
        call.hopped = header.value(identity::HOP).is_some();
        call.late = self.drain.is_some();
        cx.io.adopt(stream, tag(slot, Side::Caller));
    }

    fn caller_says(&mut self, slot: u32, stream: StreamId, event: StreamIn<'_>, cx: &mut Lent<'_>) {
        let open = self.calls.at(slot).phase == Phase::Open;
        match event {
            StreamIn::Frame(bytes) if open => self.message(slot, bytes, cx),
            StreamIn::Frame(_) => self.not_unary(slot, stream, cx),
            StreamIn::HalfClosed if open => self.not_unary(slot, stream, cx),
            StreamIn::Ended(_) => self.abandon(slot, cx),
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn not_unary(&mut self, slot: u32, stream: StreamId, cx: &mut Lent<'_>) {
        self.counters.malformed += 1;
        cx.io.end(
            stream,
            Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
        );
        self.abandon(slot, cx);
    }

    fn local(
        &mut self,
        call: u64,
        verb: Verb,
        request: &[u8],
        request_id: Option<u128>,
        deadline: Instant,
        cx: &mut Lent<'_>,
    ) -> Result<(), ActorsBusy> {
        let slot = self
            .calls
            .insert(Origin::Local(call), verb, Some(deadline))
            .map_err(|Full| {
                self.counters.refused += 1;
                ActorsBusy
            })?;
        let entry = self.calls.at_mut(slot);
        entry.request_id = request_id;
        entry.late = self.drain.is_some();
        self.message(slot, request, cx);
        Ok(())
    }

    /// Submits an operation; `false` if the store has no room.
    fn submit(&mut self, what: InFlight, op: Op<'_>, cx: &mut Lent<'_>) -> bool {
        let Some(tag) = self.ops.insert(what) else {
            return false;
        };
        let sent = cx.io.submit(op, tag).is_ok();
        if !sent {
            self.ops.take(tag);
        }
        sent
    }
}
