//! What this crate asks of an async runtime.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use hyper::rt::{Executor, Read, Timer, Write};

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
    /// An error of the kind `ConnectionRefused` says that nothing listens there; no other error may
    /// say so, since a refusal counts as evidence that the peer's process is gone.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// The addresses of `host:port`, where `host` is a name. Literal addresses are not asked for.
    fn resolve(&self, address: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Takes connections for a [`Server`](crate::Server).
pub trait Listener: Send + 'static {
    /// A connection as hyper reads and writes it.
    type Io: Read + Write + Unpin + Send + 'static;

    /// The next connection, with `TCP_NODELAY` set, and whether it comes from this very machine. May be
    /// dropped while it waits without losing one.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, bool)>> + Send;
}

/// Hyper's executor over a runtime.
#[derive(Clone, Debug)]
pub(crate) struct Exec<R>(pub(crate) R);

impl<R: Runtime, F: Future<Output = ()> + Send + 'static> Executor<F> for Exec<R> {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
