//! The transport: links, streams and calls, driven by whoever polls it.

use std::collections::VecDeque;
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

use crate::accept::Reception;
use crate::calls::Calls;
use crate::dial::{Dial, Endpoints};
use crate::error::{QuicError, REQUEST_TOO_LARGE};
use crate::frame::{self, Kind, Request, Word, reason};
use crate::inbox::{Attempt, Inbox, News, Offer};
use crate::linger::Linger;
use crate::options::QuicOptions;
use crate::peers::{Joined, Peers};
use crate::server::Server;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::stream::{Bounds, Parting, Side, Step, Stream};
use crate::table::Table;

/// Arrivals taken from one stream before the next has its turn.
const BURST: u32 = 32;

/// Looks in one poll that may find nothing. A runtime that meters its tasks, as tokio does, makes
/// everything pending and wakes it at once when the share of a task is used up: who does not return
/// then looks for ever.
const IDLE_LOOKS: u32 = 64;

/// The path of a method that is not in the table: nobody serves it.
const NO_PATH: &str = "/";

/// QUIC as a [`Transport`]. Nothing happens unless it is polled; when it is dropped, its links close
/// and the calls it has accepted end as `UNAVAILABLE`.
pub struct Quic {
    reception: Arc<Reception>,
    endpoints: Arc<Endpoints>,
    bounds: Bounds,
    inbox: Arc<Inbox>,
    table: Table,
    peers: Peers,
    calls: Calls,
    stage: Stage,
    /// Slots to look at in this round, and in the next.
    round: VecDeque<u32>,
    next_round: VecDeque<u32>,
    /// The slot that has its turn, and arrivals it may still deliver in it.
    turn: Option<u32>,
    burst: u32,
    offers: VecDeque<Offer>,
    news: VecDeque<(Attempt, News)>,
    /// What is to be told of links, and of streams that waited for them.
    arrived: VecDeque<(LinkId, Arrival<Bytes>)>,
    /// Slots to be flushed.
    dirty: Vec<u32>,
    /// Takes frames of streams that are over.
    void: Vec<u8>,
    /// Whether the last poll found nothing: then the driver may be asleep.
    asleep: bool,
}

impl std::fmt::Debug for Quic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, streams) = self.table.sizes();
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
            table: Table::new(Arc::clone(&inbox)),
            inbox,
            peers: Peers::default(),
            calls: Calls::default(),
            stage: Stage::default(),
            round: VecDeque::new(),
            next_round: VecDeque::new(),
            turn: None,
            burst: 0,
            offers: VecDeque::new(),
            news: VecDeque::new(),
            arrived: VecDeque::new(),
            dirty: Vec::new(),
            void: Vec::new(),
            asleep: false,
        })
    }

    /// A server whose calls this transport accepts.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::new(Arc::clone(&self.reception))
    }

    /// Gives a slot in which something may have happened its turn: what happens there from now on
    /// queues it again.
    fn begin_turn(&mut self, number: u32) {
        if let Some(slot) = self.table.slot(number) {
            slot.signal.taken();
            self.turn = Some(number);
            self.burst = BURST;
        }
    }

    /// The next arrival of the slot that has its turn. Without one the turn is over, and the stream has
    /// kept the waker.
    fn look(&mut self, number: u32) -> Option<Arrival<Bytes>> {
        if self.burst == 0 {
            // There may be more; others come first.
            self.look_later(number);
            return None;
        }
        self.burst -= 1;
        let slot = self.table.slot(number)?;
        let stream = slot.stream.as_deref_mut()?;
        if let Some(frame) = stream.whole_message(&self.bounds) {
            let stream = stream.id;
            return Some(Arrival::Frame { stream, frame });
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
        let stream = self.table.slot(number).and_then(|slot| slot.stream.take());
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
            && let Some(stream) = self.table.stream(of)
        {
            stream.push(piece);
        }
    }

    /// Lends a frame of a stream that is there.
    fn lend(&mut self, of: StreamId, kind: Kind, len: usize) -> &mut [u8] {
        if !self.stage.follows(of, len) {
            self.claim();
        }
        if let Some(stream) = self.table.stream(of) {
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
                    self.tell_link(link, LinkEvent::Up, None);
                }
                for number in 0..self.table.len() {
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
            self.tell_link(link, event, why.cloned());
            for number in 0..self.table.len() {
                let Some(slot) = self.table.slot(number) else {
                    continue;
                };
                let Some(stream) = &slot.stream else { continue };
                if stream.is_waiting_for(link) {
                    let arrival = stream.unreachable(code, cause, message.clone());
                    slot.stream = None;
                    self.tell(link, arrival);
                } else if stream.side == Side::Opened(link) {
                    // It may not be reading.
                    self.look_later(number);
                }
            }
        }
    }

    fn tell_link(&mut self, link: LinkId, event: LinkEvent, why: Option<Bytes>) {
        self.tell(link, Arrival::Link { link, event, why });
    }

    /// Queues an arrival, wherever the driver is.
    fn tell(&mut self, link: LinkId, arrival: Arrival<Bytes>) {
        self.arrived.push_back((link, arrival));
        self.stir();
    }

    /// Queues a slot to be looked at, wherever the driver is.
    fn look_later(&mut self, number: u32) {
        if self
            .table
            .slot(number)
            .is_some_and(|slot| slot.signal.queue())
        {
            self.next_round.push_back(number);
            self.stir();
        }
    }

    /// Whether the end of a stream is queued. Linear in what is queued, which is nothing but while links
    /// come and go.
    fn is_end_queued(&self, stream: StreamId) -> bool {
        self.arrived
            .iter()
            .any(|(_, arrival)| is_end_of(arrival, stream))
    }

    /// There is something to do; a driver that sleeps does not know.
    fn stir(&mut self) {
        if std::mem::take(&mut self.asleep) {
            self.inbox.nudge();
        }
    }

    /// Opens a stream that waits, if its link stands.
    fn start(&mut self, number: u32) {
        let Some(slot) = self.table.slot(number) else {
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
                stream.flush(&slot.waker);
                self.look_later(number);
            }
            Err(over) => {
                slot.stream = None;
                self.tell(link, over);
            }
        }
    }

    /// Marks a stream as one to be flushed.
    fn touch(&mut self, id: StreamId) {
        if let Some(slot) = self.table.live(id).filter(|slot| !slot.dirty) {
            slot.dirty = true;
            self.dirty.push(id.slot());
        }
    }
}

fn is_end_of(arrival: &Arrival<Bytes>, stream: StreamId) -> bool {
    matches!(arrival, Arrival::Ended { stream: of, .. } if *of == stream)
}

impl Transport for Quic {
    type Buf = Bytes;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<Bytes>> {
        self.asleep = false;
        let mut idle = 0;
        loop {
            if let Some((_, arrival)) = self.arrived.pop_front() {
                return Poll::Ready(arrival);
            }
            if idle == IDLE_LOOKS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(number) = self.turn {
                if let Some(arrival) = self.look(number) {
                    return Poll::Ready(arrival);
                }
                self.turn = None;
                idle += 1;
            }
            if let Some(number) = self.round.pop_front() {
                self.begin_turn(number);
                continue;
            }
            if let Some((attempt, news)) = self.news.pop_front() {
                self.heard(attempt, news);
                continue;
            }
            if let Some(offer) = self.offers.pop_front() {
                return Poll::Ready(self.offered(offer));
            }
            self.round.append(&mut self.next_round);
            self.inbox.collect(
                &mut self.round,
                &mut self.offers,
                &mut self.news,
                cx.waker(),
            );
            if self.round.is_empty() && self.offers.is_empty() && self.news.is_empty() {
                self.asleep = true;
                return Poll::Pending;
            }
        }
    }

    fn dial(&mut self, link: LinkId, address: &str, class: Class) {
        match self.peers.join(link, address, class) {
            Joined::Up => self.tell_link(link, LinkEvent::Up, None),
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
        self.arrived.retain(|(of, _)| *of != link);
        for slot in self.table.iter_mut() {
            let of_link = |stream: &mut Box<Stream>| stream.side == Side::Opened(link);
            if let Some(stream) = slot.stream.take_if(of_link) {
                stream.abandon();
            }
        }
        self.peers.leave(link);
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let Some(offer) = self.calls.take(call) else {
            return;
        };
        self.claim();
        let accepted = Stream::accepted(stream, offer.class, offer.incoming);
        self.table.insert(accepted);
        self.lend(stream, Kind::Header, header.0.len())
            .copy_from_slice(header.0);
        self.touch(stream);
        // It may have something to say already, and has had nobody to wake.
        self.look_later(stream.slot());
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
            return self.tell(link, over);
        }
        if len > self.bounds.request_max || path.len() > usize::from(u16::MAX) {
            let message = Bytes::from_static(REQUEST_TOO_LARGE.as_bytes());
            let over = opened.unreachable(Code::ResourceExhausted, Cause::Peer, message);
            return self.tell(link, over);
        }
        self.claim();
        self.table.insert(opened);
        let room = self.lend(stream, Kind::Request, len);
        Request::write(room, path, timeout, header.0);
        self.touch(stream);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let kind = Kind::Message;
        if !self.stage.follows(stream, len) {
            self.claim();
        }
        if let Some(slot) = self.table.live(stream)
            && let Some(live) = slot.stream.as_deref_mut()
        {
            if !std::mem::replace(&mut slot.dirty, true) {
                self.dirty.push(stream.slot());
            }
            live.make_room(len, &self.bounds)?;
            live.lent(kind, len);
            return Ok(self.stage.lend(stream, Word { kind, len }));
        }
        // A stream that is over, of which the driver has not heard yet: to be told that there is no
        // room would be to be told that the frame is too large.
        if len <= self.bounds.frame_max && self.is_end_queued(stream) {
            self.void.clear();
            self.void.resize(len, 0);
            return Ok(&mut self.void);
        }
        Err(Full)
    }

    fn credit(&mut self, stream: StreamId, bytes: u32) {
        if self
            .table
            .stream(stream)
            .is_some_and(|stream| stream.credit(bytes))
        {
            self.look_later(stream.slot());
        }
    }

    fn half_close(&mut self, stream: StreamId) {
        self.touch(stream);
        if let Some(stream) = self.table.stream(stream) {
            stream.half_close();
        }
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let Some(live) = self.table.stream(stream) else {
            // Its own end may be on the way.
            return self
                .arrived
                .retain(|(_, arrival)| !is_end_of(arrival, stream));
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
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            let Some(slot) = self.table.slot(number) else {
                continue;
            };
            slot.dirty = false;
            let Some(stream) = slot.stream.as_deref_mut() else {
                continue;
            };
            if stream.flush(&slot.waker) {
                self.look_later(number);
            }
            self.start(number);
        }
        // Nothing is marked while flushing: the list keeps its memory.
        self.dirty = dirty;
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        let (mut offers, news) = self.inbox.close();
        drop(news);
        self.claim();
        offers.append(&mut self.offers);
        let offers = offers.into_iter().chain(self.calls.drain());
        let refusals: Vec<_> = offers
            .filter_map(|offer| offer.refuse(Code::Unavailable, codes::STOPPING, &[]))
            .collect();
        for refusal in refusals {
            self.leave(Some(refusal));
        }
        for number in 0..self.table.len() {
            let Some(stream) = self.table.slot(number).and_then(|slot| slot.stream.take()) else {
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
