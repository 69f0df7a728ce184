//! The shape of every machine: deterministic, never waiting.
//!
//! Four things enter: a stream event, a storage completion, a command, a due time. Each comes with a
//! `now` that was read after the input was taken. Effects are written into what the caller lends:
//! there is nothing to drain.

use core::fmt;

use crate::header::Header;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::status::Status;
use crate::storage::{Done, Op};
use crate::stream::{Class, StreamIn};
use crate::time::Instant;

/// No room, and nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room; nothing was changed")
    }
}

impl core::error::Error for Full {}

impl From<trefoil_proto::wire::Full> for Full {
    fn from(_: trefoil_proto::wire::Full) -> Self {
        Self
    }
}

/// What a machine may do to the world, lent for the length of one call.
pub trait Io {
    /// Opens a stream. The identity of this node is added to `header`. What becomes of it comes back
    /// with `tag`; a peer that cannot be reached is an `Ended`, never an error here.
    ///
    /// # Errors
    /// [`Full`] if the stream table is.
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full>;

    /// Takes an accepted stream: its later events carry `tag`.
    fn adopt(&mut self, stream: StreamId, tag: Tag);

    /// Adds a frame of `len` bytes to a stream and lends it for writing: the frame is what the slice
    /// holds when the next call is made.
    ///
    /// # Errors
    /// [`Full`] if the stream is over or has no room; then nothing was added and `Writable` follows
    /// when it has. A reply to a frame that was delivered always has room.
    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full>;

    /// Keeps `bytes` of inbound credit back, so that the peer stops when its window is used up.
    fn hold(&mut self, stream: StreamId, bytes: u32);

    /// Returns credit that was held.
    fn release(&mut self, stream: StreamId, bytes: u32);

    /// This side will send no more on the stream.
    fn half_close(&mut self, stream: StreamId);

    /// Ends a stream: the answer of an accepted one, the abandonment of an opened one. Nothing is
    /// heard of it afterwards. On a stream that is over it does nothing.
    fn end(&mut self, stream: StreamId, status: Status<'_>);

    /// Submits a storage operation; its outcome comes back with `tag`.
    ///
    /// # Errors
    /// [`Full`] if too many are in flight.
    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full>;

    /// The number of the node that calls itself `name`, given on first sight.
    ///
    /// # Errors
    /// [`Full`] if the address book is.
    fn node(&mut self, name: &str) -> Result<NodeId, Full>;

    /// Whether `name` has a number already: then it is somebody else's to give back. An answer of yes that is wrong
    /// only keeps a number.
    fn knows(&self, _name: &str) -> bool {
        true
    }

    /// The name of a node. It stays while the process lives, unless the number is given back.
    fn name(&self, node: NodeId) -> &str;

    /// Gives the number of a node back, whose links are closed: it may name another next. Only for
    /// whoever asked for the number and told nobody of it.
    fn forget(&mut self, node: NodeId);
}

/// A caller that this node will not speak with. What it says of itself is not proven by anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedCaller<'a> {
    /// The host it says it is; none if it says nothing.
    pub host: Option<&'a str>,
    /// The names of its certificate, on a line each, if it has one.
    pub names: Option<&'a str>,
    /// Code and message it was refused with.
    pub why: &'static str,
}

/// Takes what a machine, and what lies between it and the world, tells the layer above.
pub trait Events<M: Machine + ?Sized> {
    /// One event; what it borrows is gone when this returns.
    fn event(&mut self, event: M::Event<'_>);

    /// A caller was refused before any machine saw it. Anybody can make this happen as often as he
    /// likes.
    fn refused_caller(&mut self, _caller: RefusedCaller<'_>) {}
}

impl<M: Machine + ?Sized, F: FnMut(M::Event<'_>)> Events<M> for F {
    fn event(&mut self, event: M::Event<'_>) {
        self(event);
    }
}

/// A deterministic state machine.
pub trait Machine {
    /// What the layer above may ask. Only a command can be refused.
    type Command<'a>;
    /// What the layer above is told.
    type Event<'a>;
    /// Why a command was refused; then nothing changed.
    type Refused;

    /// Something happened on a stream of this machine, or a stream for it was accepted.
    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    );

    /// A storage operation of this machine ended.
    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    );

    /// The layer above asks for something.
    ///
    /// # Errors
    /// The machine's own reason; then nothing changed.
    fn handle_command(
        &mut self,
        now: Instant,
        command: Self::Command<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Self::Refused>;

    /// Time has passed. Spurious calls are harmless; a call with a `now` that is much later than
    /// [`poll_timeout`](Self::poll_timeout) said tells the machine that its process was late.
    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>);

    /// When to call [`handle_timeout`](Self::handle_timeout) next: pure and exact. A call at that
    /// time does something, and moves it forward.
    fn poll_timeout(&self) -> Option<Instant>;
}
