//! Bugs planted between a machine and its world, for checkers that must find them.

use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::status::Status;
use trefoil_core::storage::{Done, Op};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};

/// A bug of how a machine keeps its contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachinePlant {
    /// None.
    #[default]
    None,
    /// Now and then an accepted stream is not ended.
    ForgottenStream,
    /// Now and then a stream is ended twice.
    DoubleEnd,
    /// Due times are promised ten milliseconds too early.
    LateTimeout,
}

/// One end in so many goes wrong.
const EVERY: u32 = 97;

/// A machine with a bug.
#[derive(Debug)]
pub struct Planted<M> {
    machine: M,
    plant: MachinePlant,
    ends: u32,
}

impl<M: Machine> Planted<M> {
    /// `machine` with a bug, or none.
    pub const fn new(machine: M, plant: MachinePlant) -> Self {
        Self {
            machine,
            plant,
            ends: 0,
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
}

struct Up<'a, M: Machine>(&'a mut dyn Events<Planted<M>>);

impl<M: Machine> Events<M> for Up<'_, M> {
    fn event(&mut self, event: M::Event<'_>) {
        self.0.event(event);
    }
}

struct Faulty<'a> {
    io: &'a mut dyn Io,
    plant: MachinePlant,
    ends: &'a mut u32,
}

impl Io for Faulty<'_> {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        self.io.open(to, method, class, header, deadline, tag)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
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
        *self.ends += 1;
        let now = self.ends.is_multiple_of(EVERY);
        if now && self.plant == MachinePlant::ForgottenStream {
            return;
        }
        self.io.end(stream, status);
        if now && self.plant == MachinePlant::DoubleEnd {
            self.io.end(stream, status);
        }
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

impl<M: Machine> Machine for Planted<M> {
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
        let mut io = Faulty {
            io,
            plant: self.plant,
            ends: &mut self.ends,
        };
        self.machine
            .handle_stream(now, stream, tag, event, &mut io, &mut Up(up));
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let mut io = Faulty {
            io,
            plant: self.plant,
            ends: &mut self.ends,
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
        let mut io = Faulty {
            io,
            plant: self.plant,
            ends: &mut self.ends,
        };
        self.machine
            .handle_command(now, command, &mut io, &mut Up(up))
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let early = self.machine.poll_timeout().is_some_and(|due| now < due);
        if self.plant == MachinePlant::LateTimeout && early {
            return;
        }
        let mut io = Faulty {
            io,
            plant: self.plant,
            ends: &mut self.ends,
        };
        self.machine.handle_timeout(now, &mut io, &mut Up(up));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.machine.poll_timeout();
        if self.plant == MachinePlant::LateTimeout {
            return due.map(|due| due - Duration::from_millis(10));
        }
        due
    }
}
