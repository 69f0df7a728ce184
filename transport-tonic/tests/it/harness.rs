//! A runtime for tests, and a scripted driver in the place of the core's.

use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::method::{Method, MethodDescriptor, Methods};
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::Caller;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_tonic::{Connection, Grpc, GrpcOptions, Listener, Runtime, Server};

pub(crate) const UNARY: MethodId = MethodId(64);
pub(crate) const BIDI: MethodId = MethodId(65);
pub(crate) const LINK: LinkId = LinkId(3);
/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Tokio;

impl Runtime for Tokio {
    type Io = TokioIo<TcpStream>;
    type Timer = TokioTimer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new()
    }

    fn is_secure(&self) -> bool {
        false
    }

    async fn connect(&self, address: SocketAddr, _: &str) -> io::Result<Self::Io> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(TokioIo::new(socket))
    }

    /// The name `nowhere` is looked up for ever.
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        if address.starts_with("nowhere") {
            std::future::pending::<()>().await;
        }
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}

pub(crate) struct Tcp(pub(crate) TcpListener);

impl Listener for Tcp {
    type Io = TokioIo<TcpStream>;
    type Handshake = Ready<io::Result<Connection<Self::Io>>>;

    async fn accept(&mut self) -> io::Result<Self::Handshake> {
        let (socket, peer) = self.0.accept().await?;
        socket.set_nodelay(true)?;
        let loopback = peer.ip().is_loopback();
        let names = None;
        Ok(ready(Ok(Connection {
            io: TokioIo::new(socket),
            caller: Caller { loopback, names },
        })))
    }
}

pub(crate) fn methods() -> Methods {
    let mut methods = Methods::new();
    for (id, path, streaming) in [
        (UNARY, "/test.Test/Unary", false),
        (BIDI, "/test.Test/Bidi", true),
    ] {
        let descriptor = MethodDescriptor {
            path,
            client_streaming: streaming,
            server_streaming: streaming,
        };
        methods.mount(
            id,
            Method {
                descriptor,
                class: Class::Control,
            },
        );
    }
    methods
}

/// One side: a transport and what a stream table does for it.
pub(crate) struct Side {
    pub(crate) grpc: Grpc<Tokio>,
    free: Vec<u32>,
    slots: u32,
    generation: u32,
    /// Whether frames are credited as they arrive.
    pub(crate) credits: bool,
}

impl Side {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with(limits, GrpcOptions::default())
    }

    pub(crate) fn with(limits: &Limits, options: GrpcOptions) -> Self {
        let grpc = Grpc::new(Tokio, methods(), limits, options).unwrap();
        Self {
            grpc,
            free: Vec::new(),
            slots: 0,
            generation: 0,
            credits: true,
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
        self.grpc.dial(LINK, address, Class::Control);
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
        self.grpc
            .open(id, LINK, method, Header(&header(pairs)), timeout);
        id
    }

    /// Sends a frame that must have room.
    pub(crate) fn send(&mut self, stream: StreamId, frame: &[u8]) {
        assert!(self.try_send(stream, frame), "no room for a frame");
    }

    pub(crate) fn try_send(&mut self, stream: StreamId, frame: &[u8]) -> bool {
        match self.grpc.frame(stream, frame.len()) {
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
        self.grpc.half_close(stream);
    }

    pub(crate) fn end(&mut self, stream: StreamId, code: Code, message: &str) {
        self.grpc.end(stream, Status::new(code, message));
        self.free(stream);
    }

    /// The next arrival, soon.
    pub(crate) async fn next(&mut self) -> Arrival<Bytes> {
        self.next_within(SOON).await.expect("nothing arrived")
    }

    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<Arrival<Bytes>> {
        self.grpc.flush();
        let arrival = tokio::time::timeout(limit, std::future::poll_fn(|cx| self.grpc.poll(cx)))
            .await
            .ok()?;
        if let Arrival::Frame { stream, frame } = &arrival
            && self.credits
        {
            self.grpc.credit(*stream, frame.len() as u32);
        }
        if let Arrival::Ended { stream, .. } = &arrival {
            self.free(*stream);
        }
        Some(arrival)
    }

    /// Nothing arrives for a while.
    pub(crate) async fn silence(&mut self) {
        let arrival = self.next_within(Duration::from_millis(150)).await;
        assert!(arrival.is_none(), "{arrival:?} arrived");
    }

    /// Accepts the next call.
    pub(crate) async fn accept(&mut self) -> Accepted {
        match self.next().await {
            Arrival::Accepted { call, timeout, .. } => {
                let stream = self.id();
                self.grpc.bind(call, stream, Header::EMPTY);
                Accepted { stream, timeout }
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

    /// Streams and calls the transport still knows, and slots it has made.
    pub(crate) fn sizes(&self) -> String {
        format!("{:?}", self.grpc)
    }

    /// Answers calls for ever: each frame comes back, a half-close is answered with OK.
    pub(crate) async fn echo(mut self) {
        let mut unsent: VecDeque<(StreamId, Bytes)> = VecDeque::new();
        let mut unary = std::collections::HashSet::new();
        loop {
            self.grpc.flush();
            match std::future::poll_fn(|cx| self.grpc.poll(cx)).await {
                Arrival::Accepted {
                    call,
                    method,
                    header,
                    ..
                } => {
                    let stream = self.id();
                    self.grpc.bind(call, stream, Header(&header));
                    if method == UNARY {
                        unary.insert(stream);
                    }
                }
                Arrival::Frame { stream, frame } => {
                    self.grpc.credit(stream, frame.len() as u32);
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
    let mut buf = vec![0; 16 << 10];
    let mut writer = HeaderWriter::new(&mut buf);
    for (key, value) in pairs {
        writer.push(key, value).unwrap();
    }
    writer.finish().0.to_vec()
}

/// Listens for a side; returns its address.
pub(crate) async fn listen(side: &Side) -> (String, Server<Tokio>) {
    let server = Server::new(Tokio, side.grpc.service(), GrpcOptions::default()).unwrap();
    (listen_with(&server).await, server)
}

pub(crate) async fn listen_with(server: &Server<Tokio>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.clone();
    tokio::spawn(async move { server.listen(Tcp(listener)).await });
    address
}

/// Two sides with a link that stands, and the server of the second.
pub(crate) async fn pair(limits: &Limits) -> (Side, Side, Server<Tokio>) {
    let (mut client, serving) = (Side::new(limits), Side::new(limits));
    let (address, server) = listen(&serving).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, serving, server)
}
