//! The same messages on one bidirectional stream of tonic's own client and server: a codec for bytes, a
//! queue to each stream that is sent, emptied as a whole whenever it is asked for more. tonic puts what
//! is ready into one buffer by itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http, tokio_stream};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Status, Streaming};
use trefoil_runtime_tokio::{GrpcOptions, Platform, Tokio};

use crate::measure::{ACK_BYTES, Contender, Request, Window, Work, answer};
use crate::mux::MUX_PATH;
use crate::ours::on_threads;

/// Taken out of a queue at once.
const BATCH: usize = 512;

/// What is sent.
#[derive(Debug)]
enum Message {
    Request(Request),
    Answer(Bytes),
}

#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match message {
            Message::Request(request) => {
                let (id, payload) = request.parts();
                into.reserve(request.len);
                into.put_slice(&id);
                into.put_slice(payload);
            }
            Message::Answer(answer) => {
                into.reserve(answer.len());
                into.put_slice(&answer);
            }
        }
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What a queue holds, as tonic asks for it.
struct Queue {
    messages: UnboundedReceiver<Message>,
    taken: Vec<Message>,
}

impl Queue {
    fn new(messages: UnboundedReceiver<Message>) -> Self {
        Self {
            messages,
            taken: Vec::with_capacity(BATCH),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.taken.is_empty() {
            ready!(self.messages.poll_recv_many(cx, &mut self.taken, BATCH));
            // From its end from now on.
            self.taken.reverse();
        }
        Poll::Ready(self.taken.pop())
    }
}

struct Requests(Queue);

impl tokio_stream::Stream for Requests {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.poll(cx)
    }
}

struct Answers(Queue);

impl tokio_stream::Stream for Answers {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx).map(|message| message.map(Ok))
    }
}

fn reply(message: Bytes) -> Message {
    let whole = answer(&message).len() == message.len();
    Message::Answer(if whole {
        message
    } else {
        message.slice(..ACK_BYTES)
    })
}

/// Answers by a task that reads and a queue that is sent.
#[derive(Clone, Copy)]
struct Queued;

impl StreamingService<Bytes> for Queued {
    type Response = Message;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let mut inbound = request.into_inner();
        let (queue, messages) = unbounded_channel();
        Tokio.spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                if queue.send(reply(message)).is_err() {
                    return;
                }
            }
        });
        std::future::ready(Ok(tonic::Response::new(Answers(Queue::new(messages)))))
    }
}

/// The stream of answers is that of the requests, without a task or a queue: what only a service that
/// always answers at once and in turn can do.
#[derive(Clone, Copy)]
struct Fused;

struct Echo(Streaming<Bytes>);

impl tokio_stream::Stream for Echo {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(message.map(|message| message.map(reply)))
    }
}

impl StreamingService<Bytes> for Fused {
    type Response = Message;
    type ResponseStream = Echo;
    type Future = std::future::Ready<Result<tonic::Response<Echo>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(Echo(request.into_inner()))))
    }
}

/// The service of one method, as generated code has it.
#[derive(Clone, Copy)]
struct Bench<S>(S);

impl<S> NamedService for Bench<S> {
    const NAME: &'static str = "bench.Bench";
}

impl<S> Service<http::Request<tonic::body::Body>> for Bench<S>
where
    S: StreamingService<Bytes, Response = Message> + Copy + Send + 'static,
    S::ResponseStream: Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.0;
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(Raw)
                .streaming(service, request)
                .await)
        })
    }
}

async fn call(address: SocketAddr, mut work: Work) {
    let options = GrpcOptions::default();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint
        .tcp_nodelay(true)
        .initial_stream_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window);
    let channel = channel.connect().await.expect("a server");
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a server");
    let (queue, messages) = unbounded_channel();
    let requests = tonic::Request::new(Requests(Queue::new(messages)));
    let path = http::uri::PathAndQuery::from_static(MUX_PATH);
    let answers = client
        .streaming(requests, path, Raw)
        .await
        .expect("a server");
    let mut answers = answers.into_inner();
    while let Some(load) = work.loads.recv().await {
        let mut window = Window::new(load);
        while !window.is_done() {
            while let Some(request) = window.next() {
                queue.send(Message::Request(request)).expect("a stream");
            }
            let answer = answers
                .message()
                .await
                .expect("a server")
                .expect("an answer");
            window.heard(&answer);
        }
        work.done.send(window.trips()).expect("a bench that waits");
    }
}

fn contender<S>(name: &'static str, service: S) -> Contender
where
    S: StreamingService<Bytes, Response = Message> + Copy + Send + Sync + 'static,
    S::ResponseStream: Send + 'static,
    S::Future: Send,
{
    on_threads::<Tokio, _, _>(
        name,
        async move |tell| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address"))
                .expect("a caller");
            let options = GrpcOptions::default();
            let server = Server::builder()
                .initial_stream_window_size(options.stream_window)
                .initial_connection_window_size(options.connection_window)
                .max_frame_size(options.http_frame_bytes_max)
                .add_service(Bench(service))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
            server.await.expect("a server");
        },
        async |address, work| Tokio.spawn(call(address, work)),
    )
}

pub(crate) fn mux(name: &'static str) -> Contender {
    contender(name, Queued)
}

pub(crate) fn fused(name: &'static str) -> Contender {
    contender(name, Fused)
}
