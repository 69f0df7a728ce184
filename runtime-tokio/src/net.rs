//! Sockets of tokio for gRPC.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};
use trefoil_core::transport::Caller;
use trefoil_runtime::{StartError, Tls, TonicPlatform};
use trefoil_transport_tonic::{Connection, Listener, Runtime};

use crate::io::Io;
use crate::platform::Tokio;

/// What gRPC asks of tokio.
#[derive(Clone, Debug)]
pub struct Net {
    source: Option<IpAddr>,
    tls: Option<Tls>,
}

impl Runtime for Net {
    type Io = Io;
    type Timer = TokioTimer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new()
    }

    async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<Io> {
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
        match &self.tls {
            None => Ok(Io::Plain(TokioIo::new(stream))),
            Some(tls) => secure::connect(tls, host, stream).await,
        }
    }

    fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Tcp {
    socket: TcpListener,
    tls: Option<Tls>,
}

impl Listener for Tcp {
    type Io = Io;
    type Handshake = Pin<Box<dyn Future<Output = io::Result<Connection<Io>>> + Send>>;

    async fn accept(&mut self) -> io::Result<Self::Handshake> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        let loopback = peer.ip().to_canonical().is_loopback();
        let tls = self.tls.clone();
        Ok(Box::pin(async move {
            let (io, names) = match tls {
                None => (Io::Plain(TokioIo::new(stream)), None),
                Some(tls) => secure::accept(&tls, stream).await?,
            };
            let caller = Caller { loopback, names };
            Ok(Connection { io, caller })
        }))
    }
}

impl TonicPlatform for Tokio {
    type Net = Net;
    type Listener = Tcp;

    const REFLECTION: bool = true;

    fn net(&self, source: Option<IpAddr>, tls: Option<&Tls>) -> Result<Net, StartError> {
        if tls.is_some() && !cfg!(feature = "tls") {
            return Err(StartError::NotBuilt("tls"));
        }
        let tls = tls.cloned();
        Ok(Net { source, tls })
    }

    async fn listen(&self, address: &str, tls: Option<&Tls>) -> io::Result<(Tcp, SocketAddr)> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let tls = tls.cloned();
        Ok((Tcp { socket, tls }, address))
    }
}

/// Handshakes.
#[cfg(feature = "tls")]
mod secure {
    use std::io;

    use bytes::Bytes;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
    use trefoil_runtime::tls::{self, Tls};

    use crate::io::Io;

    const ALPN: &[u8] = b"h2";

    pub(super) async fn connect(tls: &Tls, host: &str, stream: TcpStream) -> io::Result<Io> {
        let name = tls::server_name(host).map_err(invalid)?;
        let connector = TlsConnector::from(tls.client_config(ALPN));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(tls::words::explained)?;
        Ok(Io::Tls(Box::new(TokioIo::new(TlsStream::Client(stream)))))
    }

    pub(super) async fn accept(tls: &Tls, stream: TcpStream) -> io::Result<(Io, Option<Bytes>)> {
        let acceptor = TlsAcceptor::from(tls.server_config(ALPN).map_err(invalid)?);
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let names = match shown.and_then(|chain| chain.first()) {
            Some(certificate) => Some(Bytes::from(tls::names(certificate).map_err(invalid)?)),
            None => None,
        };
        let io = Io::Tls(Box::new(TokioIo::new(TlsStream::Server(stream))));
        Ok((io, names))
    }

    fn invalid(error: tls::TlsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Handshakes that this build does not have; who asked for certificates was refused.
#[cfg(not(feature = "tls"))]
mod secure {
    use std::io;

    use tokio::net::TcpStream;
    use trefoil_runtime::Tls;

    use crate::io::Io;

    pub(super) async fn connect(_: &Tls, _: &str, _: TcpStream) -> io::Result<Io> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) async fn accept<B>(_: &Tls, _: TcpStream) -> io::Result<(Io, Option<B>)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
