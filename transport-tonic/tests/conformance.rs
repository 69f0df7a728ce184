//! gRPC on tokio, put to what every transport must do: on one thread, and on several with small
//! windows.
#![expect(clippy::unwrap_used, reason = "a test that is surprised should fail")]

use std::future::{Future, Ready, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use trefoil_conformance::{At, Bell, Sizes, Subject, Turn, methods, suite};
use trefoil_core::limits::Limits;
use trefoil_core::transport::Caller;
use trefoil_transport_tonic::{Connection, Grpc, GrpcOptions, Listener, Runtime, Server};

#[derive(Clone)]
struct OnTokio(Handle);

impl Runtime for OnTokio {
    type Io = TokioIo<TcpStream>;
    type Timer = TokioTimer;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
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

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}

struct Tcp(TcpListener);

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

/// Both sides on one runtime, whose tasks have `THREADS` threads of their own; with none they run while
/// the test waits.
struct OverTcp<const THREADS: usize> {
    caller: Option<Grpc<OnTokio>>,
    callee: Option<Grpc<OnTokio>>,
    server: Server<OnTokio>,
    address: String,
    runtime: tokio::runtime::Runtime,
}

impl<const THREADS: usize> OverTcp<THREADS> {
    /// The defaults, and the smallest window of a stream that HTTP/2 allows.
    fn options() -> GrpcOptions {
        let mut options = GrpcOptions::default();
        if THREADS > 0 {
            options.stream_window = 65_535;
        }
        options
    }

    /// Listens at `address`, or at any other.
    fn listen(&mut self, address: &str) {
        let service = self.callee.as_ref().unwrap().service();
        let on = OnTokio(self.runtime.handle().clone());
        let server = Server::new(on, service, Self::options()).unwrap();
        let socket = self.runtime.block_on(async {
            match TcpListener::bind(address).await {
                Ok(socket) => socket,
                Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
            }
        });
        self.address = socket.local_addr().unwrap().to_string();
        self.server = server.clone();
        self.runtime
            .spawn(async move { server.listen(Tcp(socket)).await });
    }
}

impl<const THREADS: usize> Subject for OverTcp<THREADS> {
    type Caller = Grpc<OnTokio>;
    type Callee = Grpc<OnTokio>;

    fn new(caller: &Limits, callee: &Limits) -> Self {
        let runtime = match THREADS {
            0 => Builder::new_current_thread().enable_all().build(),
            threads => Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build(),
        };
        let runtime = runtime.unwrap();
        let on = OnTokio(runtime.handle().clone());
        let side = |limits| Grpc::new(on.clone(), methods(), limits, Self::options());
        let callee = side(callee).unwrap();
        let mut world = Self {
            caller: Some(side(caller).unwrap()),
            server: Server::new(on.clone(), callee.service(), Self::options()).unwrap(),
            callee: Some(callee),
            address: String::new(),
            runtime,
        };
        world.listen("127.0.0.1:0");
        world
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    /// A port that was free a moment ago. Port 1 would do as well, if nothing ever listened there.
    fn nowhere(&self) -> String {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    }

    fn caller(&mut self) -> &mut Grpc<OnTokio> {
        self.caller.as_mut().unwrap()
    }

    fn callee(&mut self) -> &mut Grpc<OnTokio> {
        self.callee.as_mut().unwrap()
    }

    fn turn(&mut self, bell: &Bell, limit: Duration) -> Turn {
        self.runtime.block_on(async {
            // Whatever has rung: tasks that are ready have their turn.
            tokio::task::yield_now().await;
            let rung = poll_fn(|cx| bell.poll(cx));
            let _ = tokio::time::timeout(limit, rung).await;
        });
        Turn::Moving
    }

    fn cut(&mut self) {
        self.server.close();
    }

    fn listen_again(&mut self) {
        let address = self.address.clone();
        self.listen(&address);
    }

    fn leave(&mut self, at: At) {
        match at {
            At::Caller => self.caller = None,
            At::Callee => {
                self.callee = None;
                self.server.close();
            }
        }
    }

    fn sizes(&self, at: At) -> Option<Sizes> {
        let side = match at {
            At::Caller => &self.caller,
            At::Callee => &self.callee,
        };
        let shown = format!("{:?}", side.as_ref()?);
        let figure = |name: &str| {
            let (_, rest) = shown.split_once(name)?;
            let digits = rest.trim_start_matches(": ");
            digits.split([',', ' ']).next()?.parse().ok()
        };
        Some(Sizes {
            streams: figure("streams")?,
            calls: figure("calls")?,
            slots: figure("slots")?,
        })
    }
}

mod one_thread {
    use super::*;

    suite!(OverTcp<0>, skips: []);
}

mod threads {
    use super::*;

    suite!(OverTcp<2>, skips: []);
}
