//! Sockets of tokio for gRPC.

use std::future::{Future, Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trefoil_core::transport::Caller;
use trefoil_runtime::{StartError, Tls, TonicPlatform};
use trefoil_transport_tonic::{Connection, Listener, Runtime};

use crate::platform::Tokio;

/// What gRPC asks of tokio.
#[derive(Clone, Debug)]
pub struct Net {
    source: Option<IpAddr>,
}

impl Runtime for Net {
    type Io = TokioIo<TcpStream>;
    type Timer = TokioTimer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new()
    }

    async fn connect(&self, address: SocketAddr, _: &str) -> io::Result<Self::Io> {
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

    fn is_secure(&self) -> bool {
        false
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Tcp {
    socket: TcpListener,
}

impl Listener for Tcp {
    type Io = TokioIo<TcpStream>;
    type Handshake = Ready<io::Result<Connection<Self::Io>>>;

    async fn accept(&mut self) -> io::Result<Self::Handshake> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        let loopback = peer.ip().to_canonical().is_loopback();
        Ok(ready(Ok(Connection {
            io: TokioIo::new(stream),
            caller: Caller {
                loopback,
                names: None,
            },
        })))
    }
}

impl TonicPlatform for Tokio {
    type Net = Net;
    type Listener = Tcp;

    const REFLECTION: bool = true;

    fn net(&self, source: Option<IpAddr>, _: Option<&Tls>) -> Result<Net, StartError> {
        Ok(Net { source })
    }

    async fn listen(&self, address: &str, _: Option<&Tls>) -> io::Result<(Tcp, SocketAddr)> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok((Tcp { socket }, address))
    }
}
