//! Sockets of async-io for gRPC.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures_lite::future::Boxed;
use hyper::rt::Sleep;
use socket2::{Domain, Protocol, Socket, Type};
use trefoil_core::transport::Caller;
use trefoil_runtime::{Platform, StartError, Tls, TonicPlatform};
use trefoil_transport_tonic::{Connection, Listener, Runtime};

use crate::io::Io;
use crate::platform::AsyncStd;

/// What gRPC asks of async-io.
#[derive(Clone, Debug)]
pub struct Net {
    platform: AsyncStd,
    source: Option<IpAddr>,
    tls: Option<Tls>,
}

/// Timers as hyper asks for them.
#[derive(Clone, Copy, Debug)]
pub struct Timers;

/// A timer that tells nobody when it rang.
struct Rings(Timer);

impl Future for Rings {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Sleep for Rings {}

impl hyper::rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Rings(Timer::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Rings(Timer::at(deadline)))
    }
}

/// Connects, from a local address if one is given.
async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Async<TcpStream>> {
    let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) else {
        return Async::<TcpStream>::connect(address).await;
    };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.set_nonblocking(true)?;
    let begun = socket.connect(&address.into());
    let stream = Async::new_nonblocking(TcpStream::from(socket))?;
    match begun {
        Ok(()) => return Ok(stream),
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    // How it went is known when the socket can be written to.
    stream.writable().await?;
    match stream.get_ref().take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let address = address.to_owned();
    blocking::unblock(move || Ok(address.to_socket_addrs()?.collect())).await
}

impl Runtime for Net {
    type Io = Io;
    type Timer = Timers;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.platform.spawn(task);
    }

    fn timer(&self) -> Timers {
        Timers
    }

    async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<Io> {
        let stream = connect(address, self.source).await?;
        stream.get_ref().set_nodelay(true)?;
        match &self.tls {
            None => Ok(Io::Plain(stream)),
            Some(tls) => secure::connect(tls, host, stream).await,
        }
    }

    fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        resolve(address).await
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Tcp {
    socket: Async<TcpListener>,
    tls: Option<Tls>,
}

impl Listener for Tcp {
    type Io = Io;
    type Handshake = Boxed<io::Result<Connection<Io>>>;

    async fn accept(&mut self) -> io::Result<Self::Handshake> {
        let (stream, peer) = self.socket.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        let loopback = peer.ip().to_canonical().is_loopback();
        let Some(tls) = self.tls.clone() else {
            let caller = Caller {
                loopback,
                names: None,
            };
            let io = Io::Plain(stream);
            return Ok(Box::pin(async move { Ok(Connection { io, caller }) }));
        };
        Ok(Box::pin(async move {
            let (io, names) = secure::accept(&tls, stream).await?;
            let caller = Caller { loopback, names };
            Ok(Connection { io, caller })
        }))
    }
}

impl TonicPlatform for AsyncStd {
    type Net = Net;
    type Listener = Tcp;

    const REFLECTION: bool = false;

    fn net(&self, source: Option<IpAddr>, tls: Option<&Tls>) -> Result<Net, StartError> {
        if tls.is_some() && !cfg!(feature = "tls") {
            return Err(StartError::NotBuilt("tls"));
        }
        Ok(Net {
            platform: self.clone(),
            source,
            tls: tls.cloned(),
        })
    }

    async fn listen(&self, address: &str, tls: Option<&Tls>) -> io::Result<(Tcp, SocketAddr)> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in resolve(address).await? {
            match Async::<TcpListener>::bind(address) {
                Ok(socket) => {
                    let address = socket.get_ref().local_addr()?;
                    let tls = tls.cloned();
                    return Ok((Tcp { socket, tls }, address));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Handshakes.
#[cfg(feature = "tls")]
mod secure {
    use std::io;
    use std::net::TcpStream;

    use async_io::Async;
    use bytes::Bytes;
    use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
    use trefoil_runtime::tls::{self, Tls};

    use crate::io::{Io, Secure};

    const ALPN: &[u8] = b"h2";

    pub(super) async fn connect(tls: &Tls, host: &str, stream: Async<TcpStream>) -> io::Result<Io> {
        let name = tls::server_name(host).map_err(invalid)?;
        let connector = TlsConnector::from(tls.client_config(ALPN));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(tls::words::explained)?;
        Ok(Io::Tls(Box::new(Secure::new(TlsStream::Client(stream)))))
    }

    pub(super) async fn accept(
        tls: &Tls,
        stream: Async<TcpStream>,
    ) -> io::Result<(Io, Option<Bytes>)> {
        let acceptor = TlsAcceptor::from(tls.server_config(ALPN).map_err(invalid)?);
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let names = match shown.and_then(|chain| chain.first()) {
            Some(certificate) => Some(Bytes::from(tls::names(certificate).map_err(invalid)?)),
            None => None,
        };
        let io = Io::Tls(Box::new(Secure::new(TlsStream::Server(stream))));
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
    use std::net::TcpStream;

    use async_io::Async;
    use trefoil_runtime::Tls;

    use crate::io::Io;

    pub(super) async fn connect(_: &Tls, _: &str, _: Async<TcpStream>) -> io::Result<Io> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) async fn accept<B>(_: &Tls, _: Async<TcpStream>) -> io::Result<(Io, Option<B>)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
