//! A scripted driver in the place of the core's, for the tests of each transport on tokio. What every
//! transport must do is in the conformance suite; this is for what one of them does of its own.

#![allow(dead_code, reason = "each takes what it needs")]
#![expect(clippy::unwrap_used, reason = "a test that is surprised should fail")]

pub(crate) mod both;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{LinkId, MethodId, StreamId};
use trefoil_core::method::{Method, MethodDescriptor, Methods};
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

pub(crate) const UNARY: MethodId = MethodId(64);
pub(crate) const BIDI: MethodId = MethodId(65);
pub(crate) const LINK: LinkId = LinkId(3);
/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn methods() -> Methods {
    let mut methods = Methods::new();
    for (id, path, streaming, class) in [
        (UNARY, "/test.Test/Unary", false, Class::Control),
        (BIDI, "/test.Test/Bidi", true, Class::Bulk),
    ] {
        let descriptor = MethodDescriptor {
            path,
            client_streaming: streaming,
            server_streaming: streaming,
        };
        methods.mount(id, Method { descriptor, class });
    }
    methods
}

/// One side: a transport and what a stream table does for it.
pub(crate) struct Side<T> {
    pub(crate) transport: T,
    free: Vec<u32>,
    slots: u32,
    generation: u32,
    /// Whether frames are credited as they arrive.
    pub(crate) credits: bool,
    /// What arrived while the other side was waited for.
    backlog: VecDeque<Arrival<Bytes>>,
}

impl<T: Transport<Buf = Bytes> + Debug> Side<T> {
    pub(crate) const fn over(transport: T) -> Self {
        Self {
            transport,
            free: Vec::new(),
            slots: 0,
            generation: 0,
            credits: true,
            backlog: VecDeque::new(),
        }
    }

    pub(crate) fn id(&mut self) -> StreamId {
        self.generation += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        StreamId::new(slot, self.generation)
    }

    pub(crate) fn free(&mut self, stream: StreamId) {
        self.free.push(stream.slot());
    }

    pub(crate) fn dial(&mut self, address: &str) {
        self.transport.dial(LINK, address, Class::Control);
    }

    pub(crate) fn open(&mut self, method: MethodId) -> StreamId {
        self.open_with(method, &[], None)
    }

    pub(crate) fn open_with(
        &mut self,
        method: MethodId,
        pairs: &[(&str, &[u8])],
        timeout: Option<Duration>,
    ) -> StreamId {
        let id = self.id();
        self.transport
            .open(id, LINK, method, Header(&header(pairs)), timeout);
        id
    }

    /// Sends a frame that must have room.
    pub(crate) fn send(&mut self, stream: StreamId, frame: &[u8]) {
        assert!(self.try_send(stream, frame), "no room for a frame");
    }

    pub(crate) fn try_send(&mut self, stream: StreamId, frame: &[u8]) -> bool {
        match self.transport.frame(stream, frame.len()) {
            Ok(room) => {
                room.copy_from_slice(frame);
                true
            }
            Err(_) => false,
        }
    }

    /// Sends the only frame of a stream.
    pub(crate) fn ask(&mut self, stream: StreamId, frame: &[u8]) {
        self.send(stream, frame);
        self.transport.half_close(stream);
    }

    pub(crate) fn end(&mut self, stream: StreamId, code: Code, message: &str) {
        self.transport.end(stream, Status::new(code, message));
        self.free(stream);
    }

    /// The next arrival, soon.
    pub(crate) async fn next(&mut self) -> Arrival<Bytes> {
        self.next_within(SOON).await.expect("nothing arrived")
    }

    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<Arrival<Bytes>> {
        self.transport.flush();
        let arrival = match self.backlog.pop_front() {
            Some(arrival) => arrival,
            None => tokio::time::timeout(limit, std::future::poll_fn(|cx| self.transport.poll(cx)))
                .await
                .ok()?,
        };
        if let Arrival::Frame { stream, frame } = &arrival
            && self.credits
        {
            self.transport.credit(*stream, frame.len() as u32);
        }
        if let Arrival::Ended { stream, .. } = &arrival {
            self.free(*stream);
        }
        Some(arrival)
    }

    /// The next arrival while the other side is driven, too: what is not in the hands of the
    /// network yet is sent by its driver.
    pub(crate) async fn next_while(&mut self, other: &mut Self) -> Arrival<Bytes> {
        let driving = async {
            loop {
                other.transport.flush();
                let arrival = std::future::poll_fn(|cx| other.transport.poll(cx)).await;
                other.backlog.push_back(arrival);
            }
        };
        tokio::select! {
            arrival = self.next() => arrival,
            () = driving => unreachable!("it drives for ever"),
        }
    }

    /// Nothing arrives for a while.
    pub(crate) async fn silence(&mut self) {
        let arrival = self.next_within(Duration::from_millis(150)).await;
        assert!(arrival.is_none(), "{arrival:?} arrived");
    }

    /// Accepts the next call.
    pub(crate) async fn accept(&mut self) -> Accepted {
        match self.next().await {
            Arrival::Accepted {
                call,
                method,
                timeout,
                ..
            } => {
                let stream = self.id();
                self.transport.bind(call, stream, Header::EMPTY);
                Accepted {
                    stream,
                    method,
                    timeout,
                }
            }
            other => panic!("{other:?} instead of a call"),
        }
    }

    pub(crate) async fn expect_frame(&mut self, stream: StreamId) -> Bytes {
        match self.next().await {
            Arrival::Frame { stream: of, frame } if of == stream => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    pub(crate) async fn expect_header(&mut self, stream: StreamId) -> Bytes {
        match self.next().await {
            Arrival::Header { stream: of, header } if of == stream => header,
            other => panic!("{other:?} instead of a header"),
        }
    }

    pub(crate) async fn expect_half_close(&mut self, stream: StreamId) {
        match self.next().await {
            Arrival::HalfClosed { stream: of } if of == stream => {}
            other => panic!("{other:?} instead of a half-close"),
        }
    }

    pub(crate) async fn expect_link(&mut self, event: LinkEvent) {
        match self.next().await {
            Arrival::Link {
                link: LINK,
                event: of,
                ..
            } if of == event => {}
            other => panic!("{other:?} instead of {event:?}"),
        }
    }

    pub(crate) async fn expect_end(&mut self, stream: StreamId) -> End {
        match self.next().await {
            Arrival::Ended {
                stream: of,
                code,
                cause,
                message,
                details,
            } if of == stream => End {
                code,
                cause,
                message: String::from_utf8(message.to_vec()).unwrap(),
                details,
            },
            other => panic!("{other:?} instead of an end"),
        }
    }

    /// A link to somebody who has vanished is lost, and its stream. Returns how long that took.
    pub(crate) async fn lost(&mut self) -> Duration {
        let stream = self.open(BIDI);
        self.send(stream, b"anyone?");
        let since = Instant::now();
        let mut seen = (false, false);
        while seen != (true, true) {
            match self.next().await {
                Arrival::Ended {
                    stream: of,
                    code,
                    cause,
                    ..
                } => {
                    assert_eq!((of, code, cause), (stream, Code::Unavailable, Cause::Lost));
                    seen.0 = true;
                }
                Arrival::Link {
                    event: LinkEvent::Lost,
                    ..
                } => seen.1 = true,
                other => panic!("{other:?}"),
            }
        }
        since.elapsed()
    }

    /// Streams and calls the transport still knows, and slots it has made.
    pub(crate) fn sizes(&self) -> String {
        format!("{:?}", self.transport)
    }

    /// Answers calls for ever: each frame comes back, a half-close is answered with OK.
    pub(crate) async fn echo(mut self) {
        let mut unsent: VecDeque<(StreamId, Bytes)> = VecDeque::new();
        let mut unary = std::collections::HashSet::new();
        loop {
            self.transport.flush();
            match std::future::poll_fn(|cx| self.transport.poll(cx)).await {
                Arrival::Accepted {
                    call,
                    method,
                    header,
                    ..
                } => {
                    let stream = self.id();
                    self.transport.bind(call, stream, Header(&header));
                    if method == UNARY {
                        unary.insert(stream);
                    }
                }
                Arrival::Frame { stream, frame } => {
                    self.transport.credit(stream, frame.len() as u32);
                    if unary.remove(&stream) {
                        self.send(stream, &frame);
                        self.end(stream, Code::Ok, "");
                    } else if !unsent.is_empty() || !self.try_send(stream, &frame) {
                        unsent.push_back((stream, frame));
                    }
                }
                Arrival::Writable { .. } => {
                    while let Some((stream, frame)) = unsent.front() {
                        if !self.try_send(*stream, &frame.clone()) {
                            break;
                        }
                        unsent.pop_front();
                    }
                }
                Arrival::HalfClosed { stream } => self.end(stream, Code::Ok, ""),
                Arrival::Ended { stream, .. } => {
                    unary.remove(&stream);
                    self.free(stream);
                }
                Arrival::Header { .. } | Arrival::Link { .. } => {}
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: StreamId,
    pub(crate) method: MethodId,
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Code,
    pub(crate) cause: Cause,
    pub(crate) message: String,
    pub(crate) details: Bytes,
}

pub(crate) fn header(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut buf = vec![0; 32 << 10];
    let mut writer = HeaderWriter::new(&mut buf);
    for (key, value) in pairs {
        writer.push(key, value).unwrap();
    }
    writer.finish().0.to_vec()
}
