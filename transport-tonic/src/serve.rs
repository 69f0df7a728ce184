//! Serving connections, and ceasing to.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::http2::Builder;
use trefoil_core::transport::Caller;

use crate::error::GrpcError;
use crate::health::Health;
use crate::link::timely;
use crate::options::GrpcOptions;
use crate::runtime::{Connection, Exec, Listener, Runtime};
use crate::service::GrpcService;
use trefoil_transport::{Level, Stop, lock};

/// After an accept that failed, most often for want of file descriptors, the listener rests.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The service as hyper calls it.
#[derive(Clone)]
struct Served {
    service: GrpcService,
    caller: Caller<Bytes>,
}

impl hyper::service::Service<Request<Incoming>> for Served {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.service.answer(request, self.caller.clone());
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Connections that are served and listeners that listen.
#[derive(Debug)]
struct Rooms {
    level: Level,
    stops: Vec<Arc<Stop>>,
    /// Who waits for the last to leave.
    emptied: Vec<Waker>,
}

/// Serves a [`GrpcService`] on connections. Clones share the connections.
pub struct Server<R: Runtime> {
    runtime: R,
    service: GrpcService,
    options: Arc<GrpcOptions>,
    rooms: Arc<Mutex<Rooms>>,
}

impl<R: Runtime> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            service: self.service.clone(),
            options: Arc::clone(&self.options),
            rooms: Arc::clone(&self.rooms),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("connections", &self.connections())
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
            rooms.stops.retain(|stop| !Arc::ptr_eq(stop, &self.stop));
            if rooms.stops.is_empty() {
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

impl<R: Runtime> Server<R> {
    /// A server of `service`.
    ///
    /// # Errors
    /// The first rule of the options that does not hold.
    pub fn new(runtime: R, service: GrpcService, options: GrpcOptions) -> Result<Self, GrpcError> {
        options.check()?;
        let rooms = Rooms {
            level: Level::Run,
            stops: Vec::new(),
            emptied: Vec::new(),
        };
        Ok(Self {
            runtime,
            service,
            options: Arc::new(options),
            rooms: Arc::new(Mutex::new(rooms)),
        })
    }

    /// What the service says of its health.
    #[must_use]
    pub fn health(&self) -> Health {
        self.service.health()
    }

    /// How many connections and listeners there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.rooms).stops.len()
    }

    fn enter(&self) -> Option<Guest> {
        let mut rooms = lock(&self.rooms);
        if rooms.level != Level::Run {
            return None;
        }
        let stop = Arc::new(Stop::default());
        rooms.stops.push(Arc::clone(&stop));
        Some(Guest {
            stop,
            rooms: Arc::clone(&self.rooms),
        })
    }

    /// Takes connections and serves each in a task of its own, until the server drains or closes.
    /// The listener is dropped then, and new connections are refused by the system.
    pub async fn listen(&self, mut listener: impl Listener) {
        let Some(guest) = self.enter() else { return };
        loop {
            let accepted = {
                let mut accept = pin!(listener.accept());
                std::future::poll_fn(|cx| {
                    if guest.stop.watch(cx) != Level::Run {
                        return Poll::Ready(None);
                    }
                    accept.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match accepted {
                None => return,
                // With more than that, those that are served already could not be served.
                Some(Ok(_)) if self.connections() > self.options.connections_max as usize => {}
                Some(Ok(handshake)) => {
                    let server = self.clone();
                    self.runtime
                        .spawn(async move { server.shake(handshake).await });
                }
                Some(Err(_)) => self.runtime.timer().sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Serves one connection when it is ready. One that never is, or is not trusted, is closed: its
    /// peer knows why.
    async fn shake<Io>(
        &self,
        handshake: impl Future<Output = std::io::Result<Connection<Io>>> + Send,
    ) where
        Io: Read + Write + Unpin + Send + 'static,
    {
        let ready = {
            let Some(guest) = self.enter() else { return };
            let handshake = timely(&self.runtime, self.options.connect_timeout, handshake);
            guest.stop.until_closed(handshake).await
        };
        if let Some(Some(Ok(Connection { io, caller }))) = ready {
            self.serve_connection(io, caller).await;
        }
    }

    /// Serves one connection until it ends, is drained or closed. To a server that drains it is
    /// closed at once. `caller` says what is known of the other end.
    pub async fn serve_connection(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
        caller: Caller<Bytes>,
    ) {
        let Some(guest) = self.enter() else { return };
        let connection = self.builder().serve_connection(
            io,
            Served {
                service: self.service.clone(),
                caller,
            },
        );
        let mut connection = pin!(connection);
        let mut draining = false;
        std::future::poll_fn(|cx| {
            match guest.stop.watch(cx) {
                Level::Run => {}
                Level::Drain if draining => {}
                Level::Drain => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                Level::Close => return Poll::Ready(()),
            }
            // How a connection ends is its peer's business; its streams have heard of it.
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    }

    fn builder(&self) -> Builder<Exec<R>> {
        let options = &*self.options;
        let mut builder = Builder::new(Exec(self.runtime.clone()));
        builder
            .timer(self.runtime.timer())
            .auto_date_header(false)
            .adaptive_window(false)
            .initial_stream_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window)
            .max_concurrent_streams(options.concurrent_streams_max)
            // As many may be abandoned in a burst; far fewer than an attack by resets needs.
            .max_pending_accept_reset_streams(1_024)
            .max_frame_size(options.http_frame_bytes_max)
            .max_header_list_size(options.header_bytes_max)
            .max_send_buf_size(options.send_buffer_bytes as usize)
            .keep_alive_interval(Some(self.service.silence_max * 2 / 3))
            .keep_alive_timeout(self.service.silence_max / 3);
        builder
    }

    fn raise(&self, level: Level) {
        let stops = {
            let mut rooms = lock(&self.rooms);
            rooms.level = rooms.level.max(level);
            rooms.stops.clone()
        };
        for stop in stops {
            stop.raise(level);
        }
    }

    /// Takes no more connections and calls, lets those in flight end, and after `within` closes what
    /// is left. Returns whether nothing was.
    pub async fn drain(&self, within: Duration) -> bool {
        self.raise(Level::Drain);
        let mut sleep = self.runtime.timer().sleep(within);
        let drained = std::future::poll_fn(|cx| {
            {
                let mut rooms = lock(&self.rooms);
                if rooms.stops.is_empty() {
                    return Poll::Ready(true);
                }
                if !rooms
                    .emptied
                    .iter()
                    .any(|waker| waker.will_wake(cx.waker()))
                {
                    rooms.emptied.push(cx.waker().clone());
                }
            }
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await;
        self.close();
        drained
    }

    /// Closes every connection now. Calls in flight end as lost.
    pub fn close(&self) {
        self.raise(Level::Close);
    }
}
