//! A runtime for tests, and a scripted driver in the place of the core's.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{LinkId, MethodId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::method::{Method, MethodDescriptor, Methods};
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_transport_quic::quinn::{Runtime, TokioRuntime};
use trefoil_transport_quic::{Quic, QuicOptions, Resolve, Server};

pub(crate) const UNARY: MethodId = MethodId(64);
pub(crate) const BIDI: MethodId = MethodId(65);
pub(crate) const LINK: LinkId = LinkId(3);
/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The authority of all tests, and what it issued for loopback.
pub(crate) struct Papers {
    pub(crate) authority: Authority,
    pub(crate) tls: Tls,
}

pub(crate) fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| {
        let authority = Authority::new("test").unwrap();
        let tls = issued_by(&authority, &authority, &["localhost", "127.0.0.1", "::1"]);
        Papers { authority, tls }
    })
}

/// Certificates for `hosts` by one authority, for somebody who trusts another.
pub(crate) fn issued_by(authority: &Authority, trusted: &Authority, hosts: &[&str]) -> Tls {
    let issued = authority.issue(hosts, Duration::from_secs(3_600)).unwrap();
    with_identity(trusted, Some((issued.cert_pem, issued.key_pem)))
}

pub(crate) fn with_identity(trusted: &Authority, identity: Option<(String, String)>) -> Tls {
    let ca = trusted.cert_pem();
    Tls::from_pem(TlsPem { ca, identity }, ClientAuth::Required).unwrap()
}

/// The name `nowhere` is looked up for ever.
fn resolve() -> Resolve {
    Arc::new(|address: String| {
        Box::pin(async move {
            if address.starts_with("nowhere") {
                std::future::pending::<()>().await;
            }
            Ok(tokio::net::lookup_host(address).await?.collect())
        })
    })
}

pub(crate) fn options() -> QuicOptions {
    QuicOptions {
        resolve: Some(resolve()),
        ..QuicOptions::default()
    }
}

pub(crate) fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

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
pub(crate) struct Side {
    pub(crate) quic: Quic,
    free: Vec<u32>,
    slots: u32,
    generation: u32,
    /// Whether frames are credited as they arrive.
    pub(crate) credits: bool,
    /// What arrived while the other side was waited for.
    backlog: VecDeque<Arrival<Bytes>>,
}

impl Side {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with(limits, options())
    }

    pub(crate) fn with(limits: &Limits, options: QuicOptions) -> Self {
        Self::trusting(papers().tls.clone(), limits, options)
    }

    pub(crate) fn trusting(tls: Tls, limits: &Limits, options: QuicOptions) -> Self {
        Self {
            quic: Quic::new(runtime(), tls, methods(), limits, options).unwrap(),
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
        self.quic.dial(LINK, address, Class::Control);
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
        self.quic
            .open(id, LINK, method, Header(&header(pairs)), timeout);
        id
    }

    /// Sends a frame that must have room.
    pub(crate) fn send(&mut self, stream: StreamId, frame: &[u8]) {
        assert!(self.try_send(stream, frame), "no room for a frame");
    }

    pub(crate) fn try_send(&mut self, stream: StreamId, frame: &[u8]) -> bool {
        match self.quic.frame(stream, frame.len()) {
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
        self.quic.half_close(stream);
    }

    pub(crate) fn end(&mut self, stream: StreamId, code: Code, message: &str) {
        self.quic.end(stream, Status::new(code, message));
        self.free(stream);
    }

    /// The next arrival, soon.
    pub(crate) async fn next(&mut self) -> Arrival<Bytes> {
        self.next_within(SOON).await.expect("nothing arrived")
    }

    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<Arrival<Bytes>> {
        self.quic.flush();
        let arrival = match self.backlog.pop_front() {
            Some(arrival) => arrival,
            None => tokio::time::timeout(limit, std::future::poll_fn(|cx| self.quic.poll(cx)))
                .await
                .ok()?,
        };
        if let Arrival::Frame { stream, frame } = &arrival
            && self.credits
        {
            self.quic.credit(*stream, frame.len() as u32);
        }
        if let Arrival::Ended { stream, .. } = &arrival {
            self.free(*stream);
        }
        Some(arrival)
    }

    /// The next arrival while the other side is driven, too: what is not in QUIC's hands yet is sent
    /// by its driver.
    pub(crate) async fn next_while(&mut self, other: &mut Self) -> Arrival<Bytes> {
        let driving = async {
            loop {
                other.quic.flush();
                let arrival = std::future::poll_fn(|cx| other.quic.poll(cx)).await;
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
                self.quic.bind(call, stream, Header::EMPTY);
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

    /// Streams and calls the transport still knows, and slots it has made.
    pub(crate) fn sizes(&self) -> String {
        format!("{:?}", self.quic)
    }

    /// Answers calls for ever: each frame comes back, a half-close is answered with OK.
    pub(crate) async fn echo(mut self) {
        let mut unsent: VecDeque<(StreamId, Bytes)> = VecDeque::new();
        let mut unary = std::collections::HashSet::new();
        loop {
            self.quic.flush();
            match std::future::poll_fn(|cx| self.quic.poll(cx)).await {
                Arrival::Accepted {
                    call,
                    method,
                    header,
                    ..
                } => {
                    let stream = self.id();
                    self.quic.bind(call, stream, Header(&header));
                    if method == UNARY {
                        unary.insert(stream);
                    }
                }
                Arrival::Frame { stream, frame } => {
                    self.quic.credit(stream, frame.len() as u32);
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

/// Listens for a side; returns its address.
pub(crate) fn listen(side: &Side) -> (String, Server) {
    let server = side.quic.server();
    (listen_with(&server), server)
}

pub(crate) fn listen_with(server: &Server) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.bind(socket).unwrap().to_string()
}

/// Two sides with a link that stands, and the server of the second.
pub(crate) async fn pair(limits: &Limits) -> (Side, Side, Server) {
    let (mut client, serving) = (Side::new(limits), Side::new(limits));
    let (address, server) = listen(&serving);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, serving, server)
}
