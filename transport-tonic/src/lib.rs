//! gRPC as a carrier of Trefoil's streams.
//!
//! tonic reads frames, statuses and metadata over hyper's HTTP/2, with bytes instead of messages; what
//! is sent is laid out once, where the core writes it. There is no runtime of its own: sockets, timers
//! and tasks come through the small trait [`Runtime`]. One stack therefore serves every executor.
//!
//! - [`Grpc`] is a [`Transport`](trefoil_core::transport::Transport): a driver polls it. It dials
//!   links, opens streams on them, and takes the calls that its service accepted.
//! - [`GrpcService`] is the server's end of it: a tower service to be mounted on a server of one's
//!   own, or served by
//! - [`Server`], which runs hyper's HTTP/2 on connections it is given, drains and closes them.
//!   [`Health`] (`grpc.health.v1`) answers beside our methods, reflection by the feature
//!   `reflection`.
//!
//! # How a runtime uses it
//!
//! ```no_run
//! use std::future::{Future, Ready, ready};
//! use std::io;
//! use std::net::SocketAddr;
//! use std::time::Duration;
//!
//! use hyper_util::rt::{TokioIo, TokioTimer};
//! use tokio::net::{TcpListener, TcpStream};
//! use trefoil_core::limits::Limits;
//! use trefoil_core::method::Methods;
//! use trefoil_core::transport::Caller;
//! use trefoil_transport_tonic::{Connection, Grpc, GrpcOptions, Listener, Runtime, Server};
//!
//! #[derive(Clone)]
//! struct Tokio;
//!
//! impl Runtime for Tokio {
//!     type Io = TokioIo<TcpStream>;
//!     type Timer = TokioTimer;
//!
//!     fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
//!         tokio::spawn(task);
//!     }
//!     fn timer(&self) -> TokioTimer {
//!         TokioTimer::new()
//!     }
//!     async fn connect(&self, address: SocketAddr, _: &str) -> io::Result<Self::Io> {
//!         let socket = TcpStream::connect(address).await?;
//!         socket.set_nodelay(true)?;
//!         Ok(TokioIo::new(socket))
//!     }
//!     fn is_secure(&self) -> bool {
//!         false
//!     }
//!     async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
//!         Ok(tokio::net::lookup_host(address).await?.collect())
//!     }
//! }
//!
//! struct Tcp(TcpListener);
//!
//! impl Listener for Tcp {
//!     type Io = TokioIo<TcpStream>;
//!     type Handshake = Ready<io::Result<Connection<Self::Io>>>;
//!
//!     async fn accept(&mut self) -> io::Result<Self::Handshake> {
//!         let (socket, peer) = self.0.accept().await?;
//!         socket.set_nodelay(true)?;
//!         let loopback = peer.ip().to_canonical().is_loopback();
//!         let caller = Caller { loopback, names: None };
//!         Ok(ready(Ok(Connection { io: TokioIo::new(socket), caller })))
//!     }
//! }
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let options = GrpcOptions::default();
//! let grpc = Grpc::new(Tokio, Methods::ring(), &Limits::default(), options.clone())?;
//! let server = Server::new(Tokio, grpc.service(), options)?;
//! let listener = Tcp(TcpListener::bind("127.0.0.1:50051").await?);
//! tokio::spawn({
//!     let server = server.clone();
//!     async move { server.listen(listener).await }
//! });
//! // `grpc` goes to the driver. To stop: no new calls, then those in flight, then the rest.
//! server.health().set("", false).await;
//! server.drain(Duration::from_secs(5)).await;
//! # drop(grpc);
//! # Ok(())
//! # }
//! ```
//!
//! # What is on the wire
//!
//! Every method is carried as a bidirectional stream; a unary call looks the same there. Message
//! compression is refused, as gRPC lays down for a peer that does not offer it. Metadata passes both
//! ways, except the names gRPC and HTTP keep to themselves (`grpc-*`, `content-type`, `te`,
//! `user-agent`); `grpc-timeout` becomes the timeout of the call.
//!
//! # Memory
//!
//! Of each stream: what [`Limits`](trefoil_core::limits::Limits) grants to send
//! (`stream_send_bytes_max`) and to receive (`stream_receive_bytes_max`, or one message if that is
//! more), one HTTP/2 frame in each direction, and at most a window ([`GrpcOptions::stream_window`])
//! that the peer has sent and nobody has read. A stream whose frames are not taken is not read, so
//! that its sender stops; its part of the connection's window stays with it until it is read or ended.
//!
//! # Stable codes of errors
#![doc = include_str!("codes.md")]
#![forbid(unsafe_code)]

mod body;
mod codec;
mod error;
mod first;
mod grpc;
mod health;
mod inbox;
mod link;
mod metadata;
mod options;
mod pipe;
#[cfg(feature = "reflection")]
mod reflection;
mod runtime;
mod sending;
mod serve;
mod service;
mod stream;

pub use error::GrpcError;
pub use grpc::Grpc;
pub use health::Health;
pub use options::GrpcOptions;
pub use runtime::{Connection, Listener, Runtime};
pub use serve::Server;
pub use service::GrpcService;
