//! Serving connections, and ceasing to.

use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use quinn::{Connecting, Endpoint, Incoming, ServerConfig};

use crate::accept::{Reception, Served};
use crate::clock::timely;
use crate::dial::speaks_ours;
use crate::error::QuicError;
use crate::frame::reason;
use crate::goodbye;
use crate::trust::NO_COMMON_VERSION;
use trefoil_transport::{Level, Stop, lock};

/// With so many handshakes begun, callers must first prove that they receive at their address.
const RETRY_ABOVE: usize = 64;

/// With so many, new ones are not begun.
const HANDSHAKES_MAX: usize = 1_024;

/// How long a server that closes waits for its goodbyes to leave.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Connections that are served and sockets that are listened on.
#[derive(Debug)]
struct Rooms {
    level: Level,
    listeners: Vec<Arc<Stop>>,
    connections: Vec<Arc<Stop>>,
    /// Who waits for the last to leave.
    emptied: Vec<Waker>,
    local: Option<SocketAddr>,
}

/// Serves the calls of a [`Quic`](crate::Quic) transport on sockets. Clones share the connections.
#[derive(Clone)]
pub struct Server {
    reception: Arc<Reception>,
    rooms: Arc<Mutex<Rooms>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("connections", &self.connections())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// One connection or listener; leaves when it is dropped.
struct Guest {
    stop: Arc<Stop>,
    rooms: Arc<Mutex<Rooms>>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let emptied = {
            let mut rooms = lock(&self.rooms);
            rooms
                .listeners
                .retain(|stop| !Arc::ptr_eq(stop, &self.stop));
            rooms
                .connections
                .retain(|stop| !Arc::ptr_eq(stop, &self.stop));
            if rooms.connections.is_empty() || rooms.listeners.is_empty() {
                std::mem::take(&mut rooms.emptied)
            } else {
                Vec::new()
            }
        };
        for waker in emptied {
            waker.wake();
        }
    }
}

/// One handshake that has begun and not ended.
struct HalfOpen(Arc<AtomicUsize>);

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    pub(crate) fn new(reception: Arc<Reception>) -> Self {
        let rooms = Rooms {
            level: Level::Run,
            listeners: Vec::new(),
            connections: Vec::new(),
            emptied: Vec::new(),
            local: None,
        };
        Self {
            reception,
            rooms: Arc::new(Mutex::new(rooms)),
        }
    }

    /// Listens on a socket, in a task of its own, until the server is closed. Returns the address. To
    /// be called where the runtime is.
    ///
    /// # Errors
    /// [`QuicError::Tls`] without a certificate of one's own, [`QuicError::Socket`] for a socket that
    /// cannot be used, or if the server has been closed.
    pub fn bind(&self, socket: UdpSocket) -> Result<SocketAddr, QuicError> {
        let setup = &self.reception.setup;
        let version = setup.tls.version();
        let config = setup.server()?;
        let endpoint = setup.endpoint(socket, Some(config.clone()))?;
        let address = endpoint
            .local_addr()
            .map_err(|error| QuicError::Socket(error.to_string()))?;
        let Some(guest) = self.enter(|rooms| &mut rooms.listeners) else {
            return Err(QuicError::Socket("the server has been closed".to_owned()));
        };
        lock(&self.rooms).local = Some(address);
        let listener = Listener {
            server: self.clone(),
            endpoint,
            config: (version, Arc::new(config)),
            half_open: Arc::new(AtomicUsize::new(0)),
        };
        setup
            .runtime
            .spawn(Box::pin(async move { listener.run(&guest.stop).await }));
        Ok(address)
    }

    /// The address of the socket that was bound last.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        lock(&self.rooms).local
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.rooms).connections.len()
    }

    fn enter(&self, room: fn(&mut Rooms) -> &mut Vec<Arc<Stop>>) -> Option<Guest> {
        let mut rooms = lock(&self.rooms);
        if rooms.level != Level::Run {
            return None;
        }
        let stop = Arc::new(Stop::default());
        room(&mut rooms).push(Arc::clone(&stop));
        Some(Guest {
            stop,
            rooms: Arc::clone(&self.rooms),
        })
    }

    fn raise(&self, level: Level) {
        let stops = {
            let mut rooms = lock(&self.rooms);
            rooms.level = rooms.level.max(level);
            let all = rooms.connections.iter().chain(&rooms.listeners);
            all.cloned().collect::<Vec<_>>()
        };
        for stop in stops {
            stop.raise(level);
        }
    }

    /// Takes no more connections and refuses new calls, lets those in flight end, and after `within`
    /// closes what is left. Returns whether nothing was.
    pub async fn drain(&self, within: Duration) -> bool {
        self.raise(Level::Drain);
        let runtime = &*self.reception.setup.runtime;
        let drained = timely(
            runtime,
            within,
            self.emptied(|rooms| rooms.connections.is_empty()),
        );
        let drained = drained.await.is_some();
        self.close();
        let goodbyes = self.emptied(|rooms| rooms.listeners.is_empty());
        timely(runtime, GOODBYE_MAX, goodbyes).await;
        drained
    }

    async fn emptied(&self, is_empty: fn(&Rooms) -> bool) {
        std::future::poll_fn(|cx| {
            let mut rooms = lock(&self.rooms);
            if is_empty(&rooms) {
                return Poll::Ready(());
            }
            let known = &mut rooms.emptied;
            if !known.iter().any(|waker| waker.will_wake(cx.waker())) {
                known.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Closes every connection now. Calls in flight end as lost. The sockets are closed as soon as the
    /// peers have been told, or could not be.
    pub fn close(&self) {
        self.raise(Level::Close);
    }
}

/// The task of one socket.
struct Listener {
    server: Server,
    endpoint: Endpoint,
    /// What to accept with, of which version of the certificates.
    config: (u64, Arc<ServerConfig>),
    half_open: Arc<AtomicUsize>,
}

impl Listener {
    async fn run(mut self, stop: &Stop) {
        loop {
            let incoming = {
                let mut accept = pin!(self.endpoint.accept());
                std::future::poll_fn(|cx| {
                    if stop.watch(cx) == Level::Close {
                        return Poll::Ready(None);
                    }
                    accept.as_mut().poll(cx)
                })
                .await
            };
            match incoming {
                None => break,
                Some(incoming) if stop.level() == Level::Run => self.welcome(incoming),
                Some(incoming) => incoming.refuse(),
            }
        }
        self.endpoint.close(reason::CLOSING, b"");
        let runtime = &*self.server.reception.setup.runtime;
        timely(runtime, GOODBYE_MAX, self.endpoint.wait_idle()).await;
    }

    /// Begins a handshake, unless there are too many.
    fn welcome(&mut self, incoming: Incoming) {
        let begun = self.half_open.load(Ordering::SeqCst);
        if begun >= RETRY_ABOVE && !incoming.remote_address_validated() {
            // Allowed for an address that has not been validated.
            let _ = incoming.retry();
            return;
        }
        let most = self.server.reception.setup.options.connections_max as usize;
        if begun >= HANDSHAKES_MAX || begun + self.server.connections() >= most {
            return incoming.refuse();
        }
        self.reload();
        let Ok(connecting) = incoming.accept_with(Arc::clone(&self.config.1)) else {
            return;
        };
        self.half_open.fetch_add(1, Ordering::SeqCst);
        let half_open = HalfOpen(Arc::clone(&self.half_open));
        let server = self.server.clone();
        let runtime = &self.server.reception.setup.runtime;
        runtime.spawn(Box::pin(async move {
            server.serve(connecting, half_open).await
        }));
    }

    /// Takes over certificates that were reloaded. Those that cannot serve change nothing.
    ///
    /// The key of stateless resets stays that of the certificates the socket was bound with, although it
    /// follows from a private key that may be another now. It was promised to every peer, in the
    /// handshake; and a socket is asked for a reset only of connections
    /// that it does not know: those of the process before, which had the same key. Where that one was
    /// bound with an older key, its peers notice the restart by silence.
    fn reload(&mut self) {
        let setup = &self.server.reception.setup;
        let version = setup.tls.version();
        if version != self.config.0
            && let Ok(config) = setup.server()
        {
            self.config = (version, Arc::new(config));
        }
    }
}

impl Server {
    /// Serves one connection until it ends, is drained or closed.
    async fn serve(&self, connecting: Connecting, half_open: HalfOpen) {
        let setup = &self.reception.setup;
        let limit = setup.options.connect_timeout;
        let Some(Ok(connection)) = timely(&*setup.runtime, limit, connecting).await else {
            return;
        };
        if !speaks_ours(&connection) {
            return goodbye::close(&connection, reason::PROTOCOL, NO_COMMON_VERSION.as_bytes());
        }
        let Some(guest) = self.enter(|rooms| &mut rooms.connections) else {
            return goodbye::close(&connection, reason::CLOSING, b"");
        };
        drop(half_open);
        let served = Served::new(Arc::clone(&self.reception), connection);
        served.run(&guest.stop).await;
    }
}
