//! The transport: links, streams and calls, driven by whoever polls it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::Runtime;
use trefoil_core::codes;
use trefoil_core::header::Header;
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::method::Methods;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::time::Duration;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_tls::Tls;
use trefoil_transport::{Calls, Next, Side};

use crate::accept::Reception;
use crate::dial::{Dial, Endpoints};
use crate::error::{QuicError, REQUEST_TOO_LARGE};
use crate::frame::{self, Kind, Request, Word, reason};
use crate::inbox::{Attempt, Inbox, News, Offer, Rounds};
use crate::linger::Linger;
use crate::options::QuicOptions;
use crate::peers::{Joined, Peers};
use crate::server::Server;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::stream::{Bounds, Parting, Step, Stream};

/// The path of a method that is not in the table: nobody serves it.
const NO_PATH: &str = "/";

/// QUIC as a [`Transport`]. Nothing happens unless it is polled; when it is dropped, its links close
/// and the calls it has accepted end as `UNAVAILABLE`.
pub struct Quic {
    reception: Arc<Reception>,
    endpoints: Arc<Endpoints>,
    bounds: Bounds,
    inbox: Arc<Inbox>,
    rounds: Rounds,
    peers: Peers,
    calls: Calls<Offer>,
    stage: Stage,
}

impl std::fmt::Debug for Quic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, streams) = self.rounds.table.sizes();
        let (links, connections) = self.peers.sizes();
        f.debug_struct("Quic")
            .field("slots", &slots)
            .field("streams", &streams)
            .field("calls", &self.calls.len())
            .field("links", &links)
            .field("connections", &connections)
            .finish_non_exhaustive()
    }
}

impl Quic {
    /// A transport that knows `methods`, within `limits`, on a runtime of quinn's. Connections are
    /// made and accepted with the certificates of `tls`, as they are at that moment.
    ///
    /// # Errors
    /// The first rule of the options or limits that does not hold.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        tls: Tls,
        methods: Methods,
        limits: &Limits,
        options: QuicOptions,
    ) -> Result<Self, QuicError> {
        options.check()?;
        limits.check().map_err(QuicError::Limits)?;
        let inbox = Arc::new(Inbox::new(limits.streams_max as usize));
        let bounds = Bounds::new(limits, &options);
        let setup = Setup::new(runtime, tls, limits, options);
        // Certificates that QUIC cannot use are found now, not at the first dial.
        setup.client()?;
        let reception = Reception {
            setup: Arc::new(setup),
            methods: Arc::new(methods),
            inbox: Arc::clone(&inbox),
        };
        Ok(Self {
            reception: Arc::new(reception),
            endpoints: Arc::default(),
            bounds,
            rounds: Rounds::new(Arc::clone(&inbox)),
            inbox,
            peers: Peers::default(),
            calls: Calls::default(),
            stage: Stage::default(),
        })
    }

    /// A server whose calls this transport accepts.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::new(Arc::clone(&self.reception))
    }

    /// The next arrival of the slot that has its turn. Without one the turn is over, and the stream has
    /// kept the waker.
    fn look(&mut self, number: u32) -> Option<Arrival<Bytes>> {
        let slot = self.rounds.table.slot(number)?;
        let stream = slot.stream.as_deref_mut()?;
        if let Some(frame) = stream.buffered(&self.bounds) {
            return Some(frame);
        }
        match stream.step(&self.bounds, &slot.waker) {
            Step::Idle => None,
            Step::Arrived(arrival) => Some(arrival),
            Step::Over(arrival, parting) => {
                self.forget(number, parting);
                Some(arrival)
            }
        }
    }

    /// Parts with the stream of a slot.
    fn forget(&mut self, number: u32, parting: Parting) {
        self.claim();
        let stream = self
            .rounds
            .table
            .slot(number)
            .and_then(|slot| slot.stream.take());
        if let Some(stream) = stream {
            self.leave(stream.part(parting));
        }
    }

    /// Has a task do what is left to do for an answer.
    fn leave(&self, linger: Option<Linger>) {
        if let Some(linger) = linger {
            linger.spawn(&self.reception.setup);
        }
    }

    /// Gives the frames that were lent last to their stream.
    fn claim(&mut self) {
        if let Some((of, piece)) = self.stage.take()
            && let Some(stream) = self.rounds.table.stream(of)
        {
            stream.push(piece);
        }
    }

    /// Lends a frame of a stream that is there.
    fn lend(&mut self, of: StreamId, kind: Kind, len: usize) -> &mut [u8] {
        if !self.stage.follows(of, len) {
            self.claim();
        }
        if let Some(stream) = self.rounds.table.stream(of) {
            stream.lent(kind, len);
        }
        self.stage.lend(of, Word { kind, len })
    }

    fn offered(&mut self, mut offer: Offer) -> Arrival<Bytes> {
        Arrival::Accepted {
            method: offer.method,
            header: std::mem::take(&mut offer.header),
            timeout: offer.timeout,
            caller: offer.caller.clone(),
            call: self.calls.insert(offer),
        }
    }

    fn heard(&mut self, attempt: Attempt, news: News) {
        match news {
            News::Up(wire) => {
                for link in self.peers.up(attempt, wire) {
                    self.rounds.tell_link(link, LinkEvent::Up, None);
                }
                for number in 0..self.rounds.table.len() {
                    self.start(number);
                }
            }
            News::Lost => self.lost(attempt, None),
            News::Untrusted(why) => self.lost(attempt, Some(&why)),
        }
    }

    /// Reports a connection that is no more, to each of its links. Streams that wait for it end here;
    /// those that were opened on it end when they have been read to their end.
    fn lost(&mut self, attempt: Attempt, why: Option<&Bytes>) {
        let unreachable = Bytes::from_static(codes::UNREACHABLE.as_bytes());
        let (event, code, cause, message) = match why {
            Some(why) => (
                LinkEvent::Untrusted,
                Code::Unauthenticated,
                Cause::Untrusted,
                why.clone(),
            ),
            None => (LinkEvent::Lost, Code::Unavailable, Cause::Lost, unreachable),
        };
        for link in self.peers.lost(attempt) {
            self.rounds.tell_link(link, event, why.cloned());
            for number in 0..self.rounds.table.len() {
                let Some(slot) = self.rounds.table.slot(number) else {
                    continue;
                };
                let Some(stream) = &slot.stream else { continue };
                if stream.is_waiting_for(link) {
                    let arrival = stream.unreachable(code, cause, message.clone());
                    slot.stream = None;
                    self.rounds.tell(link, arrival);
                } else if stream.side == Side::Opened(link) {
                    // It may not be reading.
                    self.rounds.look_later(number);
                }
            }
        }
    }

    /// Opens a stream that waits, if its link stands.
    fn start(&mut self, number: u32) {
        let Some(slot) = self.rounds.table.slot(number) else {
            return;
        };
        let Some(stream) = slot.stream.as_deref_mut() else {
            return;
        };
        let Side::Opened(link) = stream.side else {
            return;
        };
        if !stream.is_waiting_for(link) {
            return;
        }
        let Some(wire) = self.peers.wire(link) else {
            return;
        };
        match stream.start(wire) {
            Ok(()) => {
                stream.flush(&self.bounds, &slot.waker);
                self.rounds.look_later(number);
            }
            Err(over) => {
                slot.stream = None;
                self.rounds.tell(link, over);
            }
        }
    }
}

impl Transport for Quic {
    type Buf = Bytes;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<Bytes>> {
        self.rounds.awake();
        loop {
            match self.rounds.next(cx) {
                Next::Tell(arrival) => return Poll::Ready(arrival),
                Next::Look(number) => match self.look(number) {
                    Some(arrival) => return Poll::Ready(arrival),
                    None => self.rounds.nothing(),
                },
                Next::News((attempt, news)) => self.heard(attempt, news),
                Next::Offer(offer) => return Poll::Ready(self.offered(offer)),
                Next::Rest => return Poll::Pending,
            }
        }
    }

    fn dial(&mut self, link: LinkId, address: &str, class: Class) {
        match self.peers.join(link, address, class) {
            Joined::Up => self.rounds.tell_link(link, LinkEvent::Up, None),
            Joined::Dialling => {}
            Joined::Fresh(attempt, stop) => {
                let setup = Arc::clone(&self.reception.setup);
                let runtime = Arc::clone(&setup.runtime);
                let dial = Dial {
                    setup,
                    endpoints: Arc::clone(&self.endpoints),
                    attempt,
                    address: address.to_owned(),
                    stop,
                    inbox: Arc::clone(&self.inbox),
                };
                runtime.spawn(Box::pin(dial.run()));
            }
        }
    }

    fn hang_up(&mut self, link: LinkId) {
        self.rounds.hang_up(link);
        self.peers.leave(link);
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let Some(offer) = self.calls.take(call) else {
            return;
        };
        self.claim();
        let accepted = Stream::accepted(stream, offer.class, offer.incoming);
        self.rounds.table.insert(accepted);
        self.lend(stream, Kind::Header, header.0.len())
            .copy_from_slice(header.0);
        self.rounds.touch(stream);
        // It may have something to say already, and has had nobody to wake.
        self.rounds.look_later(stream.slot());
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        if let Some(offer) = self.calls.take(call) {
            self.leave(offer.refuse(status.code, status.message, status.details));
        }
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        let path = self.reception.methods.method(method);
        let path = path.map_or(NO_PATH, |method| method.descriptor.path);
        let class = self.peers.class(link);
        let opened = Stream::opened(stream, link, class.unwrap_or(Class::Bulk));
        let len = Request::len(path, header.0);
        if class.is_none() {
            // It was lost just now, and the driver has not heard of it yet.
            let message = Bytes::from_static(codes::UNREACHABLE.as_bytes());
            let over = opened.unreachable(Code::Unavailable, Cause::Lost, message);
            return self.rounds.tell(link, over);
        }
        if len > self.bounds.request_max || path.len() > usize::from(u16::MAX) {
            let message = Bytes::from_static(REQUEST_TOO_LARGE.as_bytes());
            let over = opened.unreachable(Code::ResourceExhausted, Cause::Peer, message);
            return self.rounds.tell(link, over);
        }
        self.claim();
        self.rounds.table.insert(opened);
        let room = self.lend(stream, Kind::Request, len);
        Request::write(room, path, timeout, header.0);
        self.rounds.touch(stream);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if !self.stage.follows(stream, len) {
            self.claim();
        }
        if let Some(slot) = self.rounds.touch(stream)
            && let Some(live) = slot.stream.as_deref_mut()
        {
            live.make_room(len, &self.bounds)?;
            let kind = Kind::Message;
            live.lent(kind, len);
            return Ok(self.stage.lend(stream, Word { kind, len }));
        }
        if len > self.bounds.frame_max {
            return Err(Full);
        }
        self.rounds.void(stream, len).ok_or(Full)
    }

    fn credit(&mut self, stream: StreamId, bytes: u32) {
        if self
            .rounds
            .table
            .stream(stream)
            .is_some_and(|stream| stream.credit(bytes))
        {
            self.rounds.look_later(stream.slot());
        }
    }

    fn half_close(&mut self, stream: StreamId) {
        self.rounds.touch(stream);
        if let Some(stream) = self.rounds.table.stream(stream) {
            stream.half_close();
        }
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let Some(live) = self.rounds.table.stream(stream) else {
            // Its own end may be on the way.
            return self.rounds.forget_end(stream);
        };
        let parting = match live.side {
            Side::Opened(_) => Parting::Abandon(reason::CANCELLED),
            Side::Accepted => {
                let (message, details) = frame::Status::fit(status.message, status.details);
                self.claim();
                let len = frame::Status::len(message, details);
                let room = self.lend(stream, Kind::Status, len);
                frame::Status::write(room, status.code, message, details);
                Parting::Answer(
                    self.stage
                        .take()
                        .map(|(_, frame)| frame)
                        .unwrap_or_default(),
                )
            }
        };
        self.forget(stream.slot(), parting);
    }

    fn flush(&mut self) {
        self.claim();
        let marked = self.rounds.marked();
        for number in marked.iter().copied() {
            let Some(slot) = self.rounds.table.unmark(number) else {
                continue;
            };
            let Some(stream) = slot.stream.as_deref_mut() else {
                continue;
            };
            if stream.flush(&self.bounds, &slot.waker) {
                self.rounds.look_later(number);
            }
            self.start(number);
        }
        self.rounds.flushed(marked);
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        let offers = self.rounds.close();
        self.claim();
        let offers = offers.into_iter().chain(self.calls.drain());
        let refusals: Vec<_> = offers
            .filter_map(|offer| offer.refuse(Code::Unavailable, codes::STOPPING, &[]))
            .collect();
        for refusal in refusals {
            self.leave(Some(refusal));
        }
        for number in 0..self.rounds.table.len() {
            let Some(stream) = self
                .rounds
                .table
                .slot(number)
                .and_then(|slot| slot.stream.take())
            else {
                continue;
            };
            let parting = match stream.side {
                Side::Opened(_) => Parting::Abandon(reason::CANCELLED),
                Side::Accepted => Parting::Answer(frame::Status::frame(
                    Code::Unavailable,
                    codes::STOPPING,
                    &[],
                )),
            };
            self.leave(stream.part(parting));
        }
        self.peers.close_all();
    }
}
