//! Against plain tonic, over its own transport.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio_stream::{Stream, StreamExt};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{LinkEvent, Transport};

use crate::harness::{BIDI, Side, UNARY, listen};

#[derive(Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

pub(crate) async fn channel(address: &str) -> tonic::client::Grpc<Channel> {
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    grpc
}

async fn talk(address: &str) {
    let mut grpc = channel(address).await;
    let mut request = Request::new(Bytes::from_static(b"hello"));
    request
        .metadata_mut()
        .insert("plain", "text".parse().unwrap());
    request.metadata_mut().insert_bin(
        "raw-bin",
        tonic::metadata::MetadataValue::from_bytes(&[0, 255]),
    );
    let answer = grpc
        .unary(
            request,
            http::uri::PathAndQuery::from_static("/test.Test/Unary"),
            Raw,
        )
        .await
        .unwrap();
    assert_eq!(answer.metadata().get("plain").unwrap(), "text");
    assert_eq!(
        answer
            .metadata()
            .get_bin("raw-bin")
            .unwrap()
            .to_bytes()
            .unwrap()
            .as_ref(),
        [0, 255]
    );
    assert_eq!(answer.into_inner(), "hello");

    grpc.ready().await.unwrap();
    let frames: Vec<Bytes> = (0..1_000_u32)
        .map(|n| Bytes::from(n.to_le_bytes().repeat(n as usize % 40)))
        .collect();
    let request = Request::new(tokio_stream::iter(frames.clone()));
    let answer = grpc
        .streaming(
            request,
            http::uri::PathAndQuery::from_static("/test.Test/Bidi"),
            Raw,
        )
        .await
        .unwrap();
    let got: Vec<Bytes> = answer.into_inner().map(Result::unwrap).collect().await;
    assert_eq!(got, frames);

    grpc.ready().await.unwrap();
    let request = Request::new(Bytes::new());
    let error = grpc
        .unary(
            request,
            http::uri::PathAndQuery::from_static("/test.Test/Nothing"),
            Raw,
        )
        .await
        .unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unimplemented);
    assert!(error.message().starts_with("TF-C08"));
}

#[tokio::test]
async fn a_plain_tonic_client_calls_us() {
    let server = Side::new(&Limits::default());
    let (address, _keep) = listen(&server).await;
    tokio::spawn(server.echo());
    talk(&address).await;
}

#[tokio::test]
async fn the_service_mounts_on_tonics_own_server() {
    let server = Side::new(&Limits::default());
    let service = server.transport.service();
    tokio::spawn(server.echo());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = tonic::service::Routes::from(axum::Router::new().fallback_service(service));
    tokio::spawn(async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    talk(&address).await;
}

#[tokio::test]
async fn a_client_of_tonics_that_goes_away_is_noticed_on_its_own_server_too() {
    let mut server = Side::new(&Limits::default());
    let service = server.transport.service();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = tonic::service::Routes::from(axum::Router::new().fallback_service(service));
    tokio::spawn(async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    let mut grpc = channel(&address).await;
    let mut request = Request::new(tokio_stream::empty::<Bytes>());
    request.set_timeout(Duration::from_secs(3));
    let call = tokio::spawn(async move {
        grpc.streaming(
            request,
            http::uri::PathAndQuery::from_static("/test.Test/Bidi"),
            Raw,
        )
        .await
        .map(drop)
    });
    let accepted = server.accept().await;
    assert!(accepted.timeout.unwrap() <= Duration::from_secs(3));
    server.transport.flush();
    server.expect_half_close(accepted.stream).await;
    call.await.unwrap().unwrap();
    let end = server.expect_end(accepted.stream).await;
    assert_eq!((end.code, end.cause), (Code::Cancelled, Cause::Peer));
}

/// A server as tonic generates it: echoes, and refuses what begins with `!`.
#[derive(Clone)]
struct Plain;

type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl Service<Request<Streaming<Bytes>>> for Plain {
    type Response = Response<Frames>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;
    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let (metadata, _, frames) = request.into_parts();
            if metadata.contains_key("refuse") {
                return Err(Status::with_details(
                    tonic::Code::DataLoss,
                    "nein: größer",
                    Bytes::from_static(b"d"),
                ));
            }
            let mut answer: Response<Frames> =
                Response::new(Box::pin(frames.map(|frame| match frame {
                    Ok(frame) if frame.starts_with(b"!") => {
                        Err(Status::out_of_range("the peer's own word"))
                    }
                    other => other,
                })));
            answer
                .metadata_mut()
                .insert("seen", metadata.get("trefoil-node").cloned().unwrap());
            Ok(answer)
        })
    }
}

impl<B> Service<http::Request<B>> for Plain
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;
    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).streaming(Self, request).await) })
    }
}

impl tonic::server::NamedService for Plain {
    const NAME: &'static str = "test.Test";
}

#[tokio::test]
async fn we_call_a_plain_tonic_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder()
            .add_service(Plain)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    let mut client = Side::new(&Limits::default());
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;

    let stream = client.open_with(
        BIDI,
        &[("trefoil-node", b"me")],
        Some(Duration::from_secs(9)),
    );
    client.transport.flush();
    let header = client.expect_header(stream).await;
    assert_eq!(
        trefoil_core::header::Header(&header).text("seen"),
        Some("me")
    );
    for n in 0..100_u8 {
        client.send(stream, &[n | 0x80; 100]);
    }
    for n in 0..100_u8 {
        assert_eq!(client.expect_frame(stream).await.as_ref(), [n | 0x80; 100]);
    }
    client.transport.half_close(stream);
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);

    let stream = client.open_with(UNARY, &[("refuse", b"yes")], None);
    client.ask(stream, b"x");
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.cause, end.message.as_str()),
        (Code::DataLoss, Cause::Peer, "nein: größer")
    );
    assert_eq!(end.details, "d");

    let stream = client.open_with(BIDI, &[("trefoil-node", b"me")], None);
    client.send(stream, b"!");
    client.expect_header(stream).await;
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::OutOfRange, "the peer's own word")
    );
    assert!(
        client
            .next_within(Duration::from_millis(100))
            .await
            .is_none()
    );
}

/// A body of one piece, whatever it says.
struct Piece(Option<Bytes>);

impl tonic::codegen::Body for Piece {
    type Data = Bytes;
    type Error = Status;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        match self.0.take() {
            Some(piece) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece)))),
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_claim_is_not_believed() {
    for (piece, code, message) in [
        (
            &[0, 0x7f, 0xff, 0xff, 0xff, 1][..],
            Code::ResourceExhausted,
            "TF-C05",
        ),
        (&[1, 0, 0, 0, 1, 0][..], Code::Internal, ""),
        (&[7, 0, 0, 0, 1, 0][..], Code::Internal, ""),
    ] {
        let mut server = Side::new(&Limits::default());
        let (address, _keep) = listen(&server).await;
        let mut channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://{address}/test.Test/Bidi"))
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(Piece(Some(Bytes::from_static(
                piece,
            )))))
            .unwrap();
        let answer = tokio::spawn(async move {
            std::future::poll_fn(|cx| {
                Service::<http::Request<tonic::body::Body>>::poll_ready(&mut channel, cx)
            })
            .await
            .unwrap();
            channel.call(request).await.unwrap()
        });
        let call = server.accept().await;
        let end = server.expect_end(call.stream).await;
        assert_eq!((end.code, end.cause), (code, Cause::Peer));
        assert!(end.message.starts_with(message), "{}", end.message);
        server.silence().await;
        let mut body = answer.await.unwrap().into_body();
        let trailers =
            std::future::poll_fn(|cx| tonic::codegen::Body::poll_frame(Pin::new(&mut body), cx))
                .await
                .unwrap()
                .unwrap()
                .into_trailers()
                .unwrap();
        assert_eq!(trailers["grpc-status"], (code as i32).to_string());
    }
}
