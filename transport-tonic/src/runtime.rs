//! What this crate asks of an async runtime.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use hyper::rt::{Executor, Read, Timer, Write};
use trefoil_core::transport::Caller;

/// Tasks, timers and sockets of a runtime.
pub trait Runtime: Clone + Send + Sync + Unpin + 'static {
    /// A connection as hyper reads and writes it.
    type Io: Read + Write + Unpin + Send + 'static;
    /// Timers as hyper asks for them.
    type Timer: Timer + Clone + Send + Sync + 'static;

    /// Runs a task to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// The runtime's timers.
    fn timer(&self) -> Self::Timer;

    /// Connects to an address, with `TCP_NODELAY` set: small frames must not wait for one another.
    /// `host` is what was dialled, `name:port`: where connections are secure, the peer's certificate
    /// must hold for its name.
    ///
    /// Two kinds of error have a meaning, and no other error may be of them: `ConnectionRefused` says
    /// that nothing listens there, which counts as evidence that the peer's process is gone, and
    /// `InvalidData` that somebody is there and one side does not trust the other.
    fn connect(
        &self,
        address: SocketAddr,
        host: &str,
    ) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// Whether nobody on the way can read or change what such a connection carries.
    fn is_secure(&self) -> bool;

    /// The addresses of `host:port`, where `host` is a name. Literal addresses are not asked for.
    fn resolve(&self, address: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// A connection that is ready to be served.
#[derive(Debug)]
pub struct Connection<Io> {
    /// The connection.
    pub io: Io,
    /// What is known of the other end.
    pub caller: Caller<Bytes>,
}

/// Takes connections for a [`Server`](crate::Server).
pub trait Listener: Send + 'static {
    /// A connection as hyper reads and writes it.
    type Io: Read + Write + Unpin + Send + 'static;
    /// What makes a connection ready, such as the handshake of TLS. It runs in the connection's own task
    /// and is given up after [`connect_timeout`](crate::GrpcOptions::connect_timeout).
    type Handshake: Future<Output = io::Result<Connection<Self::Io>>> + Send + 'static;

    /// The next connection, with `TCP_NODELAY` set. May be dropped while it waits without losing one.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Handshake>> + Send;
}

/// Hyper's executor over a runtime.
#[derive(Clone, Debug)]
pub(crate) struct Exec<R>(pub(crate) R);

impl<R: Runtime, F: Future<Output = ()> + Send + 'static> Executor<F> for Exec<R> {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
