//! Sockets, timers and tasks of tokio, as the gRPC transport asks for them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trefoil_core::limits::Limits;
use trefoil_core::method::Methods;
pub use trefoil_transport_tonic::GrpcOptions;
use trefoil_transport_tonic::{Grpc, GrpcError, Listener, Runtime};

/// Tokio, as a transport sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio {
    /// The local address outgoing connections are bound to; any if absent. For hosts with several.
    pub source: Option<IpAddr>,
}

impl Runtime for Tokio {
    type Io = TokioIo<TcpStream>;
    type Timer = TokioTimer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new()
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Io> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = self
            .source
            .filter(|source| source.is_ipv4() == address.is_ipv4())
        {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Tcp(pub(crate) TcpListener);

impl Listener for Tcp {
    type Io = TokioIo<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Self::Io, bool)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((TokioIo::new(stream), peer.ip().to_canonical().is_loopback()))
    }
}

/// A transport that calls and serves nothing.
pub(crate) fn client(
    options: &GrpcOptions,
    limits: &Limits,
    source: Option<IpAddr>,
) -> Result<Grpc<Tokio>, GrpcError> {
    Grpc::new(Tokio { source }, Methods::ring(), limits, options.clone())
}
