//! A runtime for tests, and both sides of a connection.

#[path = "../../../transport/tests/script/mod.rs"]
pub(crate) mod script;

pub(crate) use script::{BIDI, LINK, SOON, UNARY, methods};

use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use trefoil_core::limits::Limits;
use trefoil_core::transport::Caller;
use trefoil_core::transport::LinkEvent;
use trefoil_transport_tonic::{Connection, Grpc, GrpcOptions, Listener, Runtime, Server};

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

pub(crate) type Side = script::Side<Grpc<Tokio>>;

impl Side {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with(limits, GrpcOptions::default())
    }

    pub(crate) fn with(limits: &Limits, options: GrpcOptions) -> Self {
        Self::over(Grpc::new(Tokio, methods(), limits, options).unwrap())
    }
}

/// Listens for a side; returns its address.
pub(crate) async fn listen(side: &Side) -> (String, Server<Tokio>) {
    let server = Server::new(Tokio, side.transport.service(), GrpcOptions::default()).unwrap();
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
