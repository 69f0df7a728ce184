//! One machine and everything between it and the world: the stream table, the links, the address
//! book, the identity of this node. Synchronous and deterministic: the simulator, the `no_std` proof
//! and the async [`driver`](crate::driver) run this very type.

use alloc::string::String;
use alloc::vec::Vec;

use crate::addresses::AddressBook;
use crate::admission::{Admission, HEADER_BYTES, Sender};
use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::id::{LinkId, MethodId, NodeId, StreamId, Tag};
use crate::identity::Token;
use crate::limits::{Limits, LimitsError};
use crate::link::{LinkConfig, LinkDue, Links, Way};
use crate::machine::{Events, Full, Io, Machine};
use crate::method::is_unary;
use crate::status::{Cause, Code, Status};
use crate::storage::{Completion, Op, Storage};
use crate::stream::{Class, StreamIn};
use crate::table::{Side, Table};
use crate::time::{Instant, earliest};
use crate::transport::{Arrival, LinkEvent, Transport};

/// Who this node is, and how it behaves toward the world.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Its host string: what it calls itself on the wire, and where peers dial it.
    pub node: String,
    /// Drawn anew at every start.
    pub boot: u64,
    /// Counts the starts of the node; kept in its own durable state.
    pub incarnation: u64,
    /// Clusters of different names never merge.
    pub cluster: String,
    /// Fingerprint of the placement settings; nodes that differ are refused.
    pub placement: u64,
    /// Which store holds its journals, zero if none or it does not say: [`Storage::id`]. Nodes of
    /// different stores are refused.
    pub store: u64,
    /// Hash of the electorate, zero if none: `ElectionConfig::electorate_hash`. Voters whose hashes differ
    /// refuse each other, one that says zero is not looked at.
    pub electorate: u64,
    /// What this node can do beyond the wire.
    pub features: u64,
    /// Whether to keep all of the above to itself: a client that is no member says nothing, and is
    /// never counted as one.
    pub anonymous: bool,
    /// Shown to every peer that is called and asked of every caller, raw in `authorization`, as redhac
    /// does; nobody is asked if absent. 1 to 512 bytes of visible ASCII.
    pub token: Option<Token>,
    /// Whether a caller that says it is a node must show a certificate that names its host. Needs a
    /// transport that asks for certificates.
    pub certified: bool,
    /// Bounds.
    pub limits: Limits,
    /// How links are dialled.
    pub links: LinkConfig,
    /// Seeds jitter and the hashing of outside keys.
    pub seed: u64,
}

impl EngineConfig {
    /// A node of this name, in a cluster of this name, started for the first time, with defaults for
    /// the rest. `boot` is drawn anew at every start.
    #[must_use]
    pub fn new(node: &str, cluster: &str, boot: u64) -> Self {
        Self {
            node: String::from(node),
            boot,
            incarnation: 1,
            cluster: String::from(cluster),
            placement: 0,
            store: 0,
            electorate: 0,
            features: 0,
            anonymous: false,
            token: None,
            certified: false,
            limits: Limits::default(),
            links: LinkConfig::default(),
            seed: boot,
        }
    }
}

/// A machine in its world.
#[derive(Debug)]
pub struct Engine<M> {
    machine: M,
    hub: Hub,
}

/// What lies between a machine and the seams.
#[derive(Debug)]
struct Hub {
    table: Table,
    links: Links,
    book: AddressBook,
    admission: Admission,
    config: EngineConfig,
    /// The stream whose frame is being delivered, and what is held back on it meanwhile.
    delivering: Option<(StreamId, u32)>,
    scratch: Vec<u8>,
    /// Where frames go that no transport will carry.
    void: Vec<u8>,
}

impl Hub {
    /// Whether what is left of the stream table is kept for nodes.
    fn is_crowded(&self) -> bool {
        let most = self.config.limits.streams_max;
        self.table.live() >= most - most / 4
    }
}

impl<M: Machine> Engine<M> {
    /// Puts a machine into its world. All memory of the tables is taken here. This node is always
    /// `NodeId(0)`.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn new(config: EngineConfig, machine: M) -> Result<Self, LimitsError> {
        config.limits.check()?;
        let mut book = AddressBook::new(config.limits.nodes_max, config.seed);
        book.node(&config.node)
            .map_err(|Full| LimitsError::Zero("nodes_max"))?;
        let hub = Hub {
            admission: Admission::new(&config)?,
            table: Table::new(config.limits.streams_max),
            links: Links::new(config.links.clone(), config.limits.nodes_max, config.seed),
            book,
            delivering: None,
            scratch: alloc::vec![0; HEADER_BYTES],
            void: Vec::with_capacity(HEADER_BYTES),
            config,
        };
        Ok(Self { machine, hub })
    }

    /// The machine, to be looked at.
    #[must_use]
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, for tests that plant bugs in it.
    #[doc(hidden)]
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The bounds this engine was made with.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.hub.config.limits
    }

    /// Streams open now.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.hub.table.live()
    }

    /// Callers and peers refused because they belong to another cluster, place by other settings, keep
    /// their journals elsewhere or use this node's name; and peers that refused this node for it.
    #[must_use]
    pub const fn mismatches(&self) -> u64 {
        self.hub.admission.mismatches()
    }

    /// The last peer that was called and that this node must not speak with, or it with this node: its
    /// host string, and the code and message it was told or told us. Callers are not named here:
    /// anybody can call, under any name.
    #[must_use]
    pub fn last_mismatch(&self) -> Option<(&str, &str)> {
        let (node, why) = self.hub.admission.last_mismatch()?;
        Some((self.name(node), why))
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        self.hub.book.name(node)
    }

    /// When to call [`tick`](Self::tick) next: pure and exact.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hub = earliest(self.hub.table.poll_timeout(), self.hub.links.poll_timeout());
        earliest(hub, self.machine.poll_timeout())
    }

    /// Something arrived from the transport.
    pub fn arrive<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        arrival: &Arrival<T::Buf>,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        match *arrival {
            Arrival::Link {
                link,
                event,
                ref why,
            } => {
                if event == LinkEvent::Untrusted {
                    let why = why.as_ref().map(AsRef::as_ref).unwrap_or_default();
                    let why = core::str::from_utf8(why).unwrap_or_default();
                    self.hub.admission.refused_by(link, why);
                }
                self.hub.links.handle(now, link, event);
            }
            Arrival::Accepted {
                call,
                method,
                ref header,
                timeout,
                ref caller,
            } => {
                let header = Header(header.as_ref());
                let names = caller.names.as_ref().map(AsRef::as_ref);
                let hub = &mut self.hub;
                let sender = hub
                    .admission
                    .caller(&hub.config, &hub.book, method, header, names);
                let (from, is_nobody) = match sender {
                    Ok(Sender::Node(from)) => (from, false),
                    Ok(Sender::Nobody) => (None, true),
                    Err((status, refused)) => {
                        up.refused_caller(refused);
                        return transport.refuse(call, status);
                    }
                };
                let trusted = caller.loopback || names.is_some() || self.hub.config.token.is_some();
                let deadline = timeout.map(|timeout| now + timeout);
                let inserted = if is_nobody && self.hub.is_crowded() {
                    Err(Full)
                } else {
                    self.hub
                        .table
                        .insert(Side::Offered, method, Tag::NEW, deadline)
                };
                let Ok(stream) = inserted else {
                    return transport
                        .refuse(call, Status::new(Code::ResourceExhausted, codes::BUSY));
                };
                let answer = if is_nobody {
                    Header::EMPTY
                } else {
                    self.hub.admission.answering()
                };
                transport.bind(call, stream, answer);
                if is_unary(method) {
                    let by = now + self.hub.config.limits.request_timeout;
                    self.hub.table.expect_message(stream, by, deadline);
                }
                let event = StreamIn::Accepted {
                    from,
                    method,
                    header,
                    deadline,
                    trusted,
                };
                self.deliver(now, stream, Tag::NEW, event, transport, storage, up);
                if matches!(self.hub.table.open(stream), Some((Side::Offered, _))) {
                    let mut io = self.hub.lend(now, transport, storage);
                    io.end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
                }
            }
            Arrival::Header { stream, ref header } => {
                let header = Header(header.as_ref());
                let Some((Side::Opened(link), tag)) = self.hub.table.open(stream) else {
                    return;
                };
                let hub = &mut self.hub;
                hub.links.heard(link);
                let Some(method) = hub.table.method(stream) else {
                    return;
                };
                let admitted = hub
                    .admission
                    .callee(&hub.config, &hub.book, link, method, header);
                if let Err(message) = admitted {
                    transport.end(stream, Status::new(Code::Cancelled, message));
                    // It has heard what was sent: what it made of that is not known.
                    let (code, cause) = (Code::FailedPrecondition, Cause::Lost);
                    self.hub.table.end_later(stream, code, cause, message);
                } else {
                    self.deliver(
                        now,
                        stream,
                        tag,
                        StreamIn::Header(header),
                        transport,
                        storage,
                        up,
                    );
                }
            }
            Arrival::Frame { stream, ref frame } => {
                let frame = frame.as_ref();
                let Some((_, tag)) = self.hub.table.open(stream) else {
                    return;
                };
                self.hub.table.message_came(stream);
                self.hub.delivering = Some((stream, 0));
                self.deliver(
                    now,
                    stream,
                    tag,
                    StreamIn::Frame(frame),
                    transport,
                    storage,
                    up,
                );
                // What is released meanwhile was credited then: it is no part of this frame.
                let held = self.hub.delivering.take().map_or(0, |(_, held)| held);
                let credit = (frame.len() as u32).saturating_sub(held);
                if credit > 0 && self.hub.table.open(stream).is_some() {
                    transport.credit(stream, credit);
                }
            }
            Arrival::HalfClosed { stream } => {
                self.deliver_open(now, stream, StreamIn::HalfClosed, transport, storage, up);
            }
            Arrival::Writable { stream } => {
                self.deliver_open(now, stream, StreamIn::Writable, transport, storage, up);
            }
            Arrival::Ended {
                stream,
                code,
                cause,
                ref message,
                ref details,
            } => {
                let Some((side, tag)) = self.hub.table.open(stream) else {
                    return;
                };
                self.hub.forget(now, stream);
                if let (Side::Opened(link), Cause::Peer) = (side, cause) {
                    self.hub.links.heard(link);
                }
                let message = core::str::from_utf8(message.as_ref()).unwrap_or_default();
                if let (Side::Opened(link), Code::FailedPrecondition | Code::Unauthenticated) =
                    (side, code)
                {
                    self.hub.admission.refused_by(link, message);
                }
                let status = Status {
                    code,
                    message,
                    details: details.as_ref(),
                    cause,
                };
                self.deliver(
                    now,
                    stream,
                    tag,
                    StreamIn::Ended(status),
                    transport,
                    storage,
                    up,
                );
            }
        }
        self.settle(now, transport, storage, up);
    }

    /// A storage operation ended.
    pub fn done<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        tag: Tag,
        completion: &Completion<S::Buf>,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        let mut io = self.hub.lend(now, transport, storage);
        self.machine
            .handle_done(now, tag, completion.as_done(), &mut io, up);
        self.settle(now, transport, storage, up);
    }

    /// The layer above asks for something.
    ///
    /// # Errors
    /// The machine's own reason; then nothing changed.
    pub fn command<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        command: M::Command<'_>,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) -> Result<(), M::Refused> {
        let mut io = self.hub.lend(now, transport, storage);
        let answer = self.machine.handle_command(now, command, &mut io, up);
        self.settle(now, transport, storage, up);
        answer
    }

    /// Time has passed. Spurious calls are harmless.
    pub fn tick<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        while let Some(due) = self.hub.links.pop_due(now) {
            match due {
                LinkDue::GiveUp(link) => {
                    // Hanging up is silent, so the streams that waited for it are ended from here.
                    transport.hang_up(link);
                    self.hub.table.end_link(link);
                }
                LinkDue::HangUp(link) => transport.hang_up(link),
            }
        }
        while let Some(stream) = self.hub.table.pop_due(now) {
            transport.end(stream, Status::new(Code::DeadlineExceeded, codes::DEADLINE));
            self.hub.table.end_later(
                stream,
                Code::DeadlineExceeded,
                Cause::Deadline,
                codes::DEADLINE,
            );
        }
        self.settle(now, transport, storage, up);
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            let mut io = self.hub.lend(now, transport, storage);
            self.machine.handle_timeout(now, &mut io, up);
            self.settle(now, transport, storage, up);
        }
    }

    fn deliver_open<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        stream: StreamId,
        event: StreamIn<'_>,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        if let Some((_, tag)) = self.hub.table.open(stream) {
            self.deliver(now, stream, tag, event, transport, storage, up);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the seams are lent one by one, never bundled"
    )]
    fn deliver<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        let mut io = self.hub.lend(now, transport, storage);
        self.machine
            .handle_stream(now, stream, tag, event, &mut io, up);
    }

    /// Tells machines of the ends that were decided while they were busy.
    fn settle<T: Transport, S: Storage>(
        &mut self,
        now: Instant,
        transport: &mut T,
        storage: &mut S,
        up: &mut dyn Events<M>,
    ) {
        while let Some((ending, side)) = self.hub.table.pop_ending() {
            if let Side::Opened(link) = side {
                self.hub.links.closed(now, link);
            }
            let status = Status {
                code: ending.code,
                message: ending.message,
                details: &[],
                cause: ending.cause,
            };
            self.deliver(
                now,
                ending.stream,
                ending.tag,
                StreamIn::Ended(status),
                transport,
                storage,
                up,
            );
        }
    }
}

impl Hub {
    fn lend<'a, T, S>(
        &'a mut self,
        now: Instant,
        transport: &'a mut T,
        storage: &'a mut S,
    ) -> Lent<'a, T, S> {
        Lent {
            hub: self,
            now,
            transport,
            storage,
        }
    }

    /// Frees a stream that is over.
    fn forget(&mut self, now: Instant, stream: StreamId) -> bool {
        let side = self.table.remove(stream);
        if let Some(Side::Opened(link)) = side {
            self.links.closed(now, link);
        }
        side.is_some()
    }
}

/// [`Io`] over a transport and a storage engine, for the length of one call.
struct Lent<'a, T, S> {
    hub: &'a mut Hub,
    now: Instant,
    transport: &'a mut T,
    storage: &'a mut S,
}

impl<T: Transport, S: Storage> Lent<'_, T, S> {
    fn open_on(
        &mut self,
        link: LinkId,
        stream: StreamId,
        method: MethodId,
        header: Header<'_>,
        deadline: Option<Instant>,
    ) {
        let hub = &mut *self.hub;
        let mut writer = HeaderWriter::new(&mut hub.scratch);
        let fits = writer
            .extend(hub.admission.calling())
            .and_then(|()| writer.extend(header));
        if fits.is_err() {
            hub.table
                .end_later(stream, Code::Internal, Cause::Local, codes::BUSY);
            return;
        }
        let timeout = deadline.map(|deadline| deadline.since(self.now));
        self.transport
            .open(stream, link, method, writer.finish(), timeout);
    }
}

impl<T: Transport, S: Storage> Io for Lent<'_, T, S> {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let link = Links::id(to, class);
        let stream = self
            .hub
            .table
            .insert(Side::Opened(link), method, tag, deadline)?;
        let way = self.hub.links.want(self.now, link);
        self.hub.links.opened(link);
        match way {
            Way::Open(_) => self.open_on(link, stream, method, header, deadline),
            Way::Dial(_) => {
                self.transport.dial(link, self.hub.book.name(to), class);
                self.open_on(link, stream, method, header, deadline);
            }
            Way::Closed(cause) => {
                let (code, message) = match cause {
                    Cause::Untrusted => (Code::Unauthenticated, codes::UNTRUSTED),
                    Cause::Peer | Cause::Refused | Cause::Lost | Cause::Deadline | Cause::Local => {
                        (Code::Unavailable, codes::UNREACHABLE)
                    }
                };
                self.hub.table.end_later(stream, code, cause, message);
            }
        }
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.hub.table.adopt(stream, tag);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if len > self.hub.config.limits.frame_bytes_max as usize {
            return Err(Full);
        }
        if self.hub.table.open(stream).is_some() {
            return self.transport.frame(stream, len);
        }
        if !self.hub.table.is_ending(stream) {
            return Err(Full);
        }
        // The peer could not be reached and the machine will be told in a moment: until then the
        // stream takes what it is given, so that a machine meets this case in one place only.
        self.hub.void.clear();
        self.hub.void.resize(len, 0);
        Ok(&mut self.hub.void)
    }

    fn hold(&mut self, stream: StreamId, bytes: u32) {
        self.hub.table.hold(stream, bytes);
        if let Some((_, held)) = self
            .hub
            .delivering
            .as_mut()
            .filter(|(delivering, _)| *delivering == stream)
        {
            *held = held.saturating_add(bytes);
        }
    }

    fn release(&mut self, stream: StreamId, bytes: u32) {
        let returned = self.hub.table.release(stream, bytes);
        if returned > 0 && self.hub.table.open(stream).is_some() {
            self.transport.credit(stream, returned);
        }
    }

    fn half_close(&mut self, stream: StreamId) {
        if self.hub.table.open(stream).is_some() {
            self.transport.half_close(stream);
        }
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let open = self.hub.table.open(stream).map(|(side, _)| side);
        // A machine will not speak with a peer that it called: operators are told as of any other.
        if let (Some(Side::Opened(link)), Code::FailedPrecondition) = (open, status.code) {
            self.hub.admission.refused_by(link, status.message);
        }
        if self.hub.forget(self.now, stream) && open.is_some() {
            self.transport.end(stream, status);
        }
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        self.storage.submit(op, tag)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.hub.book.node(name)
    }

    fn knows(&self, name: &str) -> bool {
        self.hub.book.find(name).is_some()
    }

    fn name(&self, node: NodeId) -> &str {
        self.hub.book.name(node)
    }

    fn forget(&mut self, node: NodeId) {
        for class in [Class::Control, Class::Bulk] {
            let link = Links::id(node, class);
            if self.hub.links.reset(link) {
                self.transport.hang_up(link);
                self.hub.table.end_link(link);
            }
        }
        self.hub.book.forget(node);
    }
}
