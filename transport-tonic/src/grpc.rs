//! The transport: links, streams and calls, driven by whoever polls it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper::client::conn::http2::SendRequest;
use tonic::Status as TonicStatus;
use trefoil_core::codes;
use trefoil_core::header::Header;
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::method::Methods;
use trefoil_core::status::{Cause, Status};
use trefoil_core::stream::Class;
use trefoil_core::time::Duration;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use crate::body::RequestBody;
use crate::calls::Calls;
use crate::error::GrpcError;
use crate::inbox::{Inbox, LinkNews, News, Offer};
use crate::link::{self, Dial, Request};
use crate::metadata;
use crate::options::GrpcOptions;
use crate::pipe::Pipe;
use crate::runtime::Runtime;
use crate::service::GrpcService;
use crate::stop::{Level, Stop};
use crate::stream::{Bounds, Side, Step, Stream};
use crate::table::Table;

/// Arrivals taken from one stream before the next has its turn.
const BURST: u32 = 32;

/// Looks in one poll that may find nothing. A runtime that meters its tasks, as tokio does, makes
/// everything pending and wakes it at once when the share of a task is used up: who does not return
/// then looks for ever.
const IDLE_LOOKS: u32 = 64;

/// A link that is dialled or stands.
struct Link {
    attempt: u64,
    stop: Arc<Stop>,
    /// None while it is dialled.
    sender: Option<SendRequest<RequestBody>>,
    origin: http::Uri,
}

/// gRPC as a [`Transport`]. Nothing happens unless it is polled; when it is dropped, its links close
/// and the calls it has accepted end as `UNAVAILABLE`.
pub struct Grpc<R: Runtime> {
    runtime: R,
    options: GrpcOptions,
    bounds: Bounds,
    frame_bytes_max: usize,
    silence_max: Duration,
    paths: Vec<Option<(PathAndQuery, bool)>>,
    service: GrpcService,
    inbox: Arc<Inbox>,
    table: Table,
    /// By number; there are two for each node ever heard of.
    links: Vec<Option<Link>>,
    attempts: u64,
    calls: Calls,
    /// Slots to look at in this round, and in the next.
    round: VecDeque<u32>,
    next_round: VecDeque<u32>,
    /// The slot that has its turn, and arrivals it may still deliver in it.
    turn: Option<u32>,
    burst: u32,
    offers: VecDeque<Offer>,
    news: VecDeque<LinkNews>,
    /// What is to be told of links, and of streams that waited for them.
    arrived: VecDeque<(LinkId, Arrival<Bytes>)>,
    /// Slots to be flushed.
    dirty: Vec<u32>,
    /// Takes frames of streams that are over.
    void: Vec<u8>,
    /// Whether the last poll found nothing: then the driver may be asleep.
    asleep: bool,
}

impl<R: Runtime> std::fmt::Debug for Grpc<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, streams) = self.table.sizes();
        f.debug_struct("Grpc")
            .field("slots", &slots)
            .field("streams", &streams)
            .field("calls", &self.calls.len())
            .field("links", &self.links.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Grpc<R> {
    /// A transport that knows `methods`, within `limits`.
    ///
    /// # Errors
    /// The first rule of the options or limits that does not hold.
    pub fn new(
        runtime: R,
        methods: Methods,
        limits: &Limits,
        options: GrpcOptions,
    ) -> Result<Self, GrpcError> {
        options.check()?;
        limits.check().map_err(GrpcError::Limits)?;
        let inbox = Arc::new(Inbox::new(limits.streams_max as usize));
        let mut paths = Vec::new();
        for (id, method) in methods.iter() {
            let at = usize::from(id.0);
            if paths.len() <= at {
                paths.resize(at + 1, None);
            }
            let descriptor = &method.descriptor;
            paths[at] = PathAndQuery::try_from(descriptor.path).ok().map(|path| {
                (
                    path,
                    descriptor.client_streaming || descriptor.server_streaming,
                )
            });
        }
        let frame_bytes_max = limits.frame_bytes_max as usize;
        Ok(Self {
            runtime,
            options,
            bounds: Bounds::new(limits),
            frame_bytes_max,
            silence_max: limits.silence_max,
            paths,
            service: GrpcService::new(Arc::new(methods), Arc::clone(&inbox), limits),
            table: Table::new(Arc::clone(&inbox)),
            inbox,
            links: Vec::new(),
            attempts: 0,
            calls: Calls::default(),
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

    /// The service whose calls this transport accepts. Clones share it.
    #[must_use]
    pub fn service(&self) -> GrpcService {
        self.service.clone()
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
        match stream.step(&self.bounds, &slot.waker) {
            Step::Idle => None,
            Step::Arrived(arrival) => Some(arrival),
            Step::Over(arrival) => {
                slot.stream = None;
                Some(arrival)
            }
        }
    }

    fn offered(&mut self, mut offer: Offer) -> Arrival<Bytes> {
        let (method, timeout, caller) = (offer.method, offer.timeout, offer.caller.clone());
        let header = std::mem::take(&mut offer.header);
        Arrival::Accepted {
            call: self.calls.insert(offer),
            method,
            header,
            timeout,
            caller,
        }
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.0 as usize)?.as_mut()
    }

    fn take_link(&mut self, id: LinkId) -> Option<Link> {
        self.links.get_mut(id.0 as usize)?.take()
    }

    fn heard(
        &mut self,
        LinkNews {
            link: id,
            attempt,
            news,
        }: LinkNews,
    ) {
        let Some(link) = self.link(id).filter(|link| link.attempt == attempt) else {
            // Of an attempt that was hung up, or has been reported lost before.
            return;
        };
        match news {
            News::Up(sender) => {
                link.sender = Some(sender);
                self.tell(
                    id,
                    Arrival::Link {
                        link: id,
                        event: LinkEvent::Up,
                        why: None,
                    },
                );
                for number in 0..self.table.len() {
                    self.start(number);
                }
            }
            News::Refused => self.drop_link(id, LinkEvent::Refused, None),
            News::Lost => self.drop_link(id, LinkEvent::Lost, None),
            News::Untrusted(why) => self.drop_link(id, LinkEvent::Untrusted, Some(why)),
        }
    }

    /// Reports a link that is no more. Streams that wait for it end here; those that were opened on
    /// it end when HTTP/2 says so, after what had arrived for them.
    fn drop_link(&mut self, id: LinkId, event: LinkEvent, why: Option<Bytes>) {
        if self.take_link(id).is_none() {
            return;
        }
        let cause = match event {
            LinkEvent::Refused => Cause::Refused,
            LinkEvent::Untrusted => Cause::Untrusted,
            LinkEvent::Up | LinkEvent::Lost => Cause::Lost,
        };
        let message = why.clone();
        self.tell(
            id,
            Arrival::Link {
                link: id,
                event,
                why,
            },
        );
        for number in 0..self.table.len() {
            let Some(slot) = self.table.slot(number) else {
                continue;
            };
            if let Some(stream) = slot.stream.take_if(|stream| stream.is_waiting_for(id)) {
                self.tell(id, stream.unreachable(cause, message.clone()));
            }
        }
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
        self.arrived.iter().any(
            |(_, arrival)| matches!(arrival, Arrival::Ended { stream: of, .. } if *of == stream),
        )
    }

    /// There is something to do; a driver that sleeps does not know.
    fn stir(&mut self) {
        if std::mem::take(&mut self.asleep) {
            self.inbox.nudge();
        }
    }

    /// Sends the request of a stream that waits, if its link stands.
    fn start(&mut self, number: u32) {
        let Some(slot) = self.table.slot(number) else {
            return;
        };
        let Some(stream) = slot.stream.as_deref_mut() else {
            return;
        };
        let Side::Opened(id) = stream.side else {
            return;
        };
        if !stream.is_waiting_for(id) {
            return;
        }
        let link = self.links.get(id.0 as usize).and_then(Option::as_ref);
        let Some(sender) = link.and_then(|link| link.sender.clone()) else {
            return;
        };
        if sender.is_closed() {
            // The peer said goodbye, and its streams live on; new ones need another connection.
            self.drop_link(id, LinkEvent::Lost, None);
        } else if stream.start(|request| link::send(sender, request), &slot.waker) {
            self.look_later(number);
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

fn tonic_status(status: Status<'_>) -> TonicStatus {
    TonicStatus::with_details(
        tonic::Code::from_i32(status.code as i32),
        status.message,
        Bytes::copy_from_slice(status.details),
    )
}

impl<R: Runtime> Transport for Grpc<R> {
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
            if let Some(news) = self.news.pop_front() {
                self.heard(news);
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

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        self.attempts += 1;
        let at = link.0 as usize;
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || None);
        }
        let stop = Arc::new(Stop::default());
        // An address that is no authority can still be dialled; it is then not said to the peer.
        let origin = http::Uri::builder()
            .scheme(if self.runtime.is_secure() {
                "https"
            } else {
                "http"
            })
            .authority(address)
            .path_and_query("/")
            .build();
        let fresh = Link {
            attempt: self.attempts,
            stop: Arc::clone(&stop),
            sender: None,
            origin: origin.unwrap_or_else(|_| http::Uri::from_static("http://unknown")),
        };
        if let Some(before) = self.links[at].replace(fresh) {
            before.stop.raise(Level::Close);
        }
        let dial = Dial {
            runtime: self.runtime.clone(),
            link,
            attempt: self.attempts,
            address: address.to_owned(),
            options: self.options.clone(),
            silence_max: self.silence_max,
            stop,
            inbox: Arc::clone(&self.inbox),
        };
        self.runtime.spawn(dial.run());
    }

    fn hang_up(&mut self, link: LinkId) {
        if let Some(link) = self.take_link(link) {
            link.stop.raise(Level::Close);
        }
        self.arrived.retain(|(of, _)| *of != link);
        for slot in self.table.iter_mut() {
            if let Some(stream) = slot
                .stream
                .take_if(|stream| stream.side == Side::Opened(link))
            {
                stream.end(TonicStatus::cancelled(""));
            }
        }
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let Some(offer) = self.calls.take(call) else {
            return;
        };
        offer.pipe.accept(metadata::map(header));
        let slot = self.table.insert(Stream::accepted(
            stream,
            offer.inbound,
            Arc::clone(&offer.pipe),
        ));
        offer.pipe.attach(slot.waker.clone());
        // It may have something to say already, and has had nobody to wake.
        self.look_later(stream.slot());
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        if let Some(offer) = self.calls.take(call) {
            offer.pipe.refuse(tonic_status(status));
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
        let pipe = Arc::new(Pipe::default());
        let mut headers = metadata::map(header);
        if let Some(timeout) = timeout {
            metadata::set_timeout(&mut headers, timeout);
        }
        let (path, streaming) = self
            .paths
            .get(usize::from(method.0))
            .cloned()
            .flatten()
            .unwrap_or_else(|| (PathAndQuery::from_static("/"), false));
        let origin = self
            .link(link)
            .map(|link| link.origin.clone())
            .unwrap_or_default();
        let request = Request {
            headers,
            path,
            streaming,
            frame_bytes_max: self.frame_bytes_max,
            origin,
            pipe: Arc::clone(&pipe),
        };
        let slot = self
            .table
            .insert(Stream::opened(stream, link, request, Arc::clone(&pipe)));
        pipe.attach(slot.waker.clone());
        if self.link(link).is_some() {
            self.touch(stream);
        } else if let Some(stream) = self.table.remove(stream) {
            // It was lost just now, and the driver has not heard of it yet.
            self.tell(link, stream.unreachable(Cause::Lost, None));
        }
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.touch(stream);
        let bounds = self.bounds;
        // A stream that is over, of which the driver has not heard yet: to be told that there is no
        // room would be to be told that the frame is too large.
        let ending = len <= self.frame_bytes_max && self.is_end_queued(stream);
        match self.table.stream(stream) {
            Some(stream) => stream.frame(len, &bounds),
            None if ending => {
                self.void.clear();
                self.void.resize(len, 0);
                Ok(&mut self.void)
            }
            None => Err(Full),
        }
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
        match self.table.remove(stream) {
            Some(stream) => stream.end(tonic_status(status)),
            // Its own end may be on the way.
            None => self.arrived.retain(|(_, arrival)| !matches!(arrival, Arrival::Ended { stream: of, .. } if *of == stream)),
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            let Some(slot) = self.table.slot(number) else {
                continue;
            };
            slot.dirty = false;
            let Some(stream) = slot.stream.as_deref_mut() else {
                continue;
            };
            let look_again = stream.flush();
            self.start(number);
            if look_again {
                self.look_later(number);
            }
        }
        // Nothing is marked while flushing: the list keeps its memory.
        self.dirty = dirty;
    }
}

impl<R: Runtime> Drop for Grpc<R> {
    fn drop(&mut self) {
        self.inbox.close();
        for link in self.links.iter().flatten() {
            link.stop.raise(Level::Close);
        }
        for slot in self.table.iter_mut() {
            if let Some(stream) = slot.stream.take() {
                stream.end(TonicStatus::unavailable(codes::STOPPING));
            }
        }
        for offer in self.calls.drain() {
            offer.pipe.refuse(TonicStatus::unavailable(codes::STOPPING));
        }
    }
}
