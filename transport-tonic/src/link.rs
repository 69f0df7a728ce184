//! Dialling a link, and the task that holds it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Executor, Timer};
use tonic::Status;
use tonic::codegen::tokio_stream;
use tower_service::Service;
use trefoil_core::id::LinkId;

use crate::body::{InBody, RequestBody, distrust, failed};
use crate::codec::RawCodec;
use crate::error::{PLAINTEXT, untrusted};
use crate::first::First;
use crate::inbox::{Inbox, LinkNews, News};
use crate::options::GrpcOptions;
use crate::pipe::{Outbox, Pipe};
use crate::runtime::Runtime;
use crate::sending::{self, Sending};
use crate::stream::Call;
use trefoil_transport::Stop;

/// A request that has not been sent.
pub(crate) struct Request {
    pub(crate) headers: http::HeaderMap,
    pub(crate) path: PathAndQuery,
    pub(crate) streaming: bool,
    pub(crate) frame_bytes_max: usize,
    pub(crate) origin: http::Uri,
    pub(crate) pipe: Arc<Pipe>,
}

/// One attempt to reach a peer.
pub(crate) struct Dial<R> {
    pub(crate) runtime: R,
    pub(crate) link: LinkId,
    pub(crate) attempt: u64,
    pub(crate) address: String,
    pub(crate) options: GrpcOptions,
    pub(crate) silence_max: Duration,
    pub(crate) stop: Arc<Stop>,
    pub(crate) inbox: Arc<Inbox>,
}

impl<R: Runtime> Dial<R> {
    /// Dials, reports, and holds the connection until it is lost or hung up; then says nothing.
    pub(crate) async fn run(self) {
        let stop = Arc::clone(&self.stop);
        stop.until_closed(self.hold()).await;
    }

    async fn hold(self) {
        let dialled = timely(&self.runtime, self.options.connect_timeout, self.connect()).await;
        let connection = match dialled {
            Some(Ok(io)) => {
                let executor = ConnectionExec::new(self.runtime.clone(), Arc::clone(&self.stop));
                self.builder(executor)
                    .handshake::<_, RequestBody>(First::new(io, self.runtime.is_secure()))
                    .await
                    .map_err(|_| News::Lost)
            }
            Some(Err(error)) => Err(news(&error)),
            None => Err(News::Lost),
        };
        match connection {
            Err(news) => self.report(news),
            Ok((sender, connection)) => {
                self.report(News::Up(sender));
                // Streams hear of it one by one; the peer's verdict on our certificate comes here, too.
                let ended = sending::connection(connection).await;
                self.report(
                    match ended.as_ref().err().and_then(|error| distrust(error)) {
                        Some(why) => News::Untrusted(untrusted(why).into()),
                        None => News::Lost,
                    },
                );
            }
        }
    }

    fn report(&self, news: News) {
        self.inbox.news(LinkNews {
            link: self.link,
            attempt: self.attempt,
            news,
        });
    }

    /// Tries the addresses in turn. Refused only if every one of them refuses.
    async fn connect(&self) -> io::Result<R::Io> {
        let addresses = match self.address.parse::<SocketAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => self
                .runtime
                .resolve(&self.address)
                .await
                .map_err(io::Error::other)?,
        };
        let mut worst = None;
        for address in addresses {
            match self.connect_to(address).await {
                Ok(io) => return Ok(io),
                Err(error)
                    if worst.is_none() || error.kind() != io::ErrorKind::ConnectionRefused =>
                {
                    worst = Some(error)
                }
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<R::Io> {
        if !self.runtime.is_secure()
            && !self.options.plaintext
            && !address.ip().to_canonical().is_loopback()
        {
            return Err(io::Error::other(Plaintext));
        }
        self.runtime.connect(address, &self.address).await
    }

    fn builder<E: Clone>(&self, executor: E) -> Builder<E> {
        let options = &self.options;
        let mut builder = Builder::new(executor);
        builder
            .timer(self.runtime.timer())
            .adaptive_window(false)
            .initial_stream_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window)
            .initial_max_send_streams(1_024)
            // Calls are abandoned in bursts when a peer is slow. What it still sends on them is no
            // offence, and must not end the connection.
            .max_concurrent_reset_streams(1_024)
            .max_local_error_reset_streams(None)
            .max_frame_size(options.http_frame_bytes_max)
            .max_header_list_size(options.header_bytes_max)
            .max_send_buf_size(options.send_buffer_bytes as usize)
            .keep_alive_interval(Some(self.silence_max * 2 / 3))
            .keep_alive_timeout(self.silence_max / 3)
            .keep_alive_while_idle(true);
        builder
    }
}

/// A connection that was not asked for.
#[derive(Debug, thiserror::Error)]
#[error("{PLAINTEXT}")]
struct Plaintext;

/// What an error of a dial means.
fn news(error: &io::Error) -> News {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        News::Refused
    } else if kind == io::ErrorKind::InvalidData {
        News::Untrusted(untrusted(error).into())
    } else if error.get_ref().is_some_and(|inner| inner.is::<Plaintext>()) {
        News::Untrusted(PLAINTEXT.into())
    } else {
        News::Lost
    }
}

/// Runs `task`, but not for longer than `limit`.
pub(crate) async fn timely<R: Runtime, T>(
    runtime: &R,
    limit: Duration,
    task: impl Future<Output = T>,
) -> Option<T> {
    let mut task = pin!(task);
    let mut sleep = runtime.timer().sleep(limit);
    std::future::poll_fn(|cx| match task.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Spawns what hyper spawns for one connection. The first of it holds the socket; it is dropped when
/// the link is hung up, and with it the connection, whatever its streams still wait for.
#[derive(Clone)]
struct ConnectionExec<R> {
    runtime: R,
    stop: Arc<Stop>,
    has_socket: Arc<AtomicBool>,
}

impl<R> ConnectionExec<R> {
    fn new(runtime: R, stop: Arc<Stop>) -> Self {
        Self {
            runtime,
            stop,
            has_socket: Arc::new(AtomicBool::new(false)),
        }
    }
}

impl<R: Runtime, F: Future<Output = ()> + Send + 'static> Executor<F> for ConnectionExec<R> {
    fn execute(&self, task: F) {
        if self.has_socket.swap(true, Ordering::SeqCst) {
            self.runtime.spawn(Sending::new(task));
        } else {
            let stop = Arc::clone(&self.stop);
            self.runtime.spawn(async move {
                stop.until_closed(task).await;
            });
        }
    }
}

/// Sends a request on a connection.
pub(crate) fn send(sender: SendRequest<RequestBody>, request: Request) -> Call {
    Box::pin(async move {
        let Request {
            headers,
            path,
            streaming,
            frame_bytes_max,
            origin,
            pipe,
        } = request;
        // What is sent is the caller's body; tonic never asks for a message.
        let mut message = tonic::Request::new(tokio_stream::pending());
        *message.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        let outbox = Some(Outbox::new(Arc::clone(&pipe)));
        let caller = Caller {
            sender,
            outbox,
            pipe,
        };
        tonic::client::Grpc::with_origin(caller, origin)
            .max_decoding_message_size(frame_bytes_max)
            .max_encoding_message_size(usize::MAX)
            .streaming(message, path, RawCodec::new(streaming))
            .await
    })
}

/// One connection as tonic's client calls it, for one call.
struct Caller {
    sender: SendRequest<RequestBody>,
    outbox: Option<Outbox>,
    pipe: Arc<Pipe>,
}

impl Service<http::Request<tonic::body::Body>> for Caller {
    type Response = http::Response<InBody<hyper::body::Incoming>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let pipe = Arc::clone(&self.pipe);
        let outbox = self.outbox.take();
        let answer = outbox.map(|outbox| {
            self.sender
                .send_request(request.map(|_| RequestBody::new(outbox)))
        });
        Box::pin(async move {
            let Some(answer) = answer else {
                return Err(Status::internal("one call has one request"));
            };
            match answer.await {
                Ok(answer) => Ok(answer.map(|body| InBody::new(body, pipe))),
                Err(error) => Err(failed(&error, &pipe)),
            }
        })
    }
}
