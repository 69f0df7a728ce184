//! The transport: links, streams and calls, driven by whoever polls it.

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
use trefoil_transport::{Calls, Level, Next, Side, Stop};

use crate::body::RequestBody;
use crate::error::GrpcError;
use crate::inbox::{Inbox, LinkNews, News, Offer, Rounds};
use crate::link::{self, Dial, Request};
use crate::metadata;
use crate::options::GrpcOptions;
use crate::pipe::Pipe;
use crate::runtime::Runtime;
use crate::service::GrpcService;
use crate::stream::{Bounds, Step, Stream};

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
    rounds: Rounds,
    /// By number; there are two for each node ever heard of.
    links: Vec<Option<Link>>,
    attempts: u64,
    calls: Calls<Offer>,
}

impl<R: Runtime> std::fmt::Debug for Grpc<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, streams) = self.rounds.table.sizes();
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
            rounds: Rounds::new(Arc::clone(&inbox)),
            inbox,
            links: Vec::new(),
            attempts: 0,
            calls: Calls::default(),
        })
    }

    /// The service whose calls this transport accepts. Clones share it.
    #[must_use]
    pub fn service(&self) -> GrpcService {
        self.service.clone()
    }

    /// The next arrival of the slot that has its turn. Without one the turn is over, and the stream has
    /// kept the waker.
    fn look(&mut self, number: u32) -> Option<Arrival<Bytes>> {
        let slot = self.rounds.table.slot(number)?;
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
                self.rounds.tell_link(id, LinkEvent::Up, None);
                for number in 0..self.rounds.table.len() {
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
        self.rounds.tell_link(id, event, why.clone());
        for number in 0..self.rounds.table.len() {
            let Some(slot) = self.rounds.table.slot(number) else {
                continue;
            };
            if let Some(stream) = slot.stream.take_if(|stream| stream.is_waiting_for(id)) {
                self.rounds.tell(id, stream.unreachable(cause, why.clone()));
            }
        }
    }

    /// Sends the request of a stream that waits, if its link stands.
    fn start(&mut self, number: u32) {
        let Some(slot) = self.rounds.table.slot(number) else {
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
            self.rounds.look_later(number);
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
        self.rounds.awake();
        loop {
            match self.rounds.next(cx) {
                Next::Tell(arrival) => return Poll::Ready(arrival),
                Next::Look(number) => match self.look(number) {
                    Some(arrival) => return Poll::Ready(arrival),
                    None => self.rounds.nothing(),
                },
                Next::News(news) => self.heard(news),
                Next::Offer(offer) => return Poll::Ready(self.offered(offer)),
                Next::Rest => return Poll::Pending,
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
        self.rounds.hang_up(link);
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let Some(offer) = self.calls.take(call) else {
            return;
        };
        offer.pipe.accept(metadata::map(header));
        let slot = self.rounds.table.insert(Stream::accepted(
            stream,
            offer.inbound,
            Arc::clone(&offer.pipe),
        ));
        offer.pipe.attach(slot.waker.clone());
        // It may have something to say already, and has had nobody to wake.
        self.rounds.look_later(stream.slot());
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
        let slot =
            self.rounds
                .table
                .insert(Stream::opened(stream, link, request, Arc::clone(&pipe)));
        pipe.attach(slot.waker.clone());
        if self.link(link).is_some() {
            self.rounds.touch(stream);
        } else if let Some(stream) = self.rounds.table.remove(stream) {
            // It was lost just now, and the driver has not heard of it yet.
            self.rounds
                .tell(link, stream.unreachable(Cause::Lost, None));
        }
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if self.rounds.touch(stream).is_some() {
            let stream = self.rounds.table.stream(stream).ok_or(Full)?;
            return stream.frame(len, &self.bounds);
        }
        if len > self.frame_bytes_max {
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
        match self.rounds.table.remove(stream) {
            Some(stream) => stream.end(tonic_status(status)),
            // Its own end may be on the way.
            None => self.rounds.forget_end(stream),
        }
    }

    fn flush(&mut self) {
        let marked = self.rounds.marked();
        for number in marked.iter().copied() {
            let Some(slot) = self.rounds.table.unmark(number) else {
                continue;
            };
            let Some(stream) = slot.stream.as_deref_mut() else {
                continue;
            };
            let look_again = stream.flush();
            self.start(number);
            if look_again {
                self.rounds.look_later(number);
            }
        }
        self.rounds.flushed(marked);
    }
}

impl<R: Runtime> Drop for Grpc<R> {
    fn drop(&mut self) {
        let offers = self.rounds.close();
        for link in self.links.iter().flatten() {
            link.stop.raise(Level::Close);
        }
        for slot in self.rounds.table.iter_mut() {
            if let Some(stream) = slot.stream.take() {
                stream.end(TonicStatus::unavailable(codes::STOPPING));
            }
        }
        for offer in offers.into_iter().chain(self.calls.drain()) {
            offer.pipe.refuse(TonicStatus::unavailable(codes::STOPPING));
        }
    }
}
