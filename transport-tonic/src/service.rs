//! The server's end: an HTTP service that offers calls to the driver.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body::Body;
use tonic::codegen::tokio_stream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};
use tower_service::Service;
use trefoil_core::codes;
use trefoil_core::id::MethodId;
use trefoil_core::limits::Limits;
use trefoil_core::method::Methods;
use trefoil_core::transport::Caller;

use crate::body::{AnswerBody, InBody};
use crate::codec::RawCodec;
use crate::health::{self, Health};
use crate::inbox::{Inbox, Offer};
use crate::metadata;
use crate::pipe::{Outbox, Pipe};

/// What answers to HTTP are made of.
type HttpAnswer = Response<tonic::body::Body>;

/// A tower service that accepts calls for a [`Grpc`](crate::Grpc) transport.
///
/// It answers all of gRPC that a node answers: our methods, health, reflection if it was given, and
/// `UNIMPLEMENTED` for what is unknown. [`Server`](crate::Server) serves it; to mount it on a server of
/// one's own, give it all paths that no other service has, for instance as the fallback of an `axum`
/// router. Bodies must fail when their stream is reset, as hyper's do: by that a caller that went
/// away is told from one that has sent everything.
#[derive(Clone)]
pub struct GrpcService {
    methods: Arc<Methods>,
    inbox: Arc<Inbox>,
    frame_bytes_max: usize,
    pub(crate) silence_max: Duration,
    health: Health,
    #[cfg(feature = "reflection")]
    reflection: Option<crate::reflection::Reflection>,
}

impl std::fmt::Debug for GrpcService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcService")
            .field("methods", &self.methods.iter().count())
            .finish_non_exhaustive()
    }
}

impl GrpcService {
    pub(crate) fn new(methods: Arc<Methods>, inbox: Arc<Inbox>, limits: &Limits) -> Self {
        Self {
            methods,
            inbox,
            frame_bytes_max: limits.frame_bytes_max as usize,
            silence_max: limits.silence_max,
            health: Health::new(),
            #[cfg(feature = "reflection")]
            reflection: None,
        }
    }

    /// What the service says of its health. Clones share it.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Adds server reflection, v1 and v1alpha, from encoded `FileDescriptorSet`s, such as the
    /// constants of `trefoil-proto` under its feature `descriptors`. Its answers are tasks of tokio:
    /// under another runtime a request for reflection panics in its own task.
    ///
    /// # Errors
    /// [`GrpcError::Descriptors`](crate::GrpcError::Descriptors) if a set cannot be read.
    #[cfg(feature = "reflection")]
    pub fn with_reflection(
        mut self,
        descriptor_sets: &[&'static [u8]],
    ) -> Result<Self, crate::GrpcError> {
        self.reflection = Some(crate::reflection::Reflection::new(descriptor_sets)?);
        Ok(self)
    }

    /// Answers one request.
    pub(crate) fn answer<B>(
        &self,
        request: Request<B>,
        caller: Caller<Bytes>,
    ) -> Pin<Box<dyn Future<Output = HttpAnswer> + Send>>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let path = request.uri().path();
        if let Some((id, method)) = self.methods.by_path(path) {
            if !is_grpc(&request) {
                return ready(not_grpc());
            }
            let streaming =
                method.descriptor.client_streaming || method.descriptor.server_streaming;
            return self.call(id, streaming, caller, request);
        }
        if path.starts_with(health::PREFIX) {
            return self.health.answer(request);
        }
        #[cfg(feature = "reflection")]
        if let Some(reflection) = self
            .reflection
            .as_ref()
            .filter(|_| path.starts_with(crate::reflection::PREFIX))
        {
            return reflection.answer(request);
        }
        if !is_grpc(&request) {
            return ready(not_grpc());
        }
        ready(Status::unimplemented(codes::NO_METHOD).into_http())
    }

    fn call<B>(
        &self,
        method: MethodId,
        streaming: bool,
        caller: Caller<Bytes>,
        request: Request<B>,
    ) -> Pin<Box<dyn Future<Output = HttpAnswer> + Send>>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let pipe = Arc::new(Pipe::default());
        let request = request.map(|body| InBody::new(body, Arc::clone(&pipe)));
        let inbox = Arc::clone(&self.inbox);
        let frame_bytes_max = self.frame_bytes_max;
        Box::pin(async move {
            // Dropped before the end, it tells the driver that nobody waits.
            let outbox = Outbox::new(Arc::clone(&pipe));
            let accepted = AtomicBool::new(false);
            let offering = Offering {
                method,
                caller,
                inbox,
                pipe,
                outbox: &outbox,
                accepted: &accepted,
            };
            let answer = tonic::server::Grpc::new(RawCodec::new(streaming))
                .max_decoding_message_size(frame_bytes_max)
                .streaming(offering, request)
                .await;
            if accepted.into_inner() {
                answer.map(|_| tonic::body::Body::new(AnswerBody::new(outbox)))
            } else {
                answer
            }
        })
    }
}

fn ready(answer: HttpAnswer) -> Pin<Box<dyn Future<Output = HttpAnswer> + Send>> {
    Box::pin(std::future::ready(answer))
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What gRPC asks to answer to those who speak something else.
fn not_grpc() -> HttpAnswer {
    let mut answer = Response::new(tonic::body::Body::empty());
    *answer.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    answer
}

impl<B> Service<Request<B>> for GrpcService
where
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpAnswer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Where the caller is, is for whoever mounted the service to know.
        let answer = self.answer(request, Caller::REMOTE);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Puts one call before the driver.
struct Offering<'a> {
    method: MethodId,
    caller: Caller<Bytes>,
    inbox: Arc<Inbox>,
    pipe: Arc<Pipe>,
    outbox: &'a Outbox,
    accepted: &'a AtomicBool,
}

/// What tonic takes for the messages of an answer. It never asks for one: the body is ours.
type NoMessages = tokio_stream::Pending<Result<Bytes, Status>>;

impl<'a> Service<tonic::Request<Streaming<Bytes>>> for Offering<'a> {
    type Response = tonic::Response<NoMessages>;
    type Error = Status;
    type Future = Decision<'a>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Decision<'a> {
        let (metadata, _, inbound) = request.into_parts();
        let headers = metadata.into_headers();
        let offer = Offer {
            method: self.method,
            header: metadata::header(&headers),
            timeout: metadata::timeout(&headers),
            caller: self.caller.clone(),
            inbound,
            pipe: Arc::clone(&self.pipe),
        };
        let refused = self.inbox.offer(offer).err();
        Decision {
            refused: refused.map(|(_, code, why)| Status::new((code as i32).into(), why)),
            outbox: self.outbox,
            accepted: self.accepted,
        }
    }
}

/// What the driver makes of an offered call.
struct Decision<'a> {
    refused: Option<Status>,
    outbox: &'a Outbox,
    accepted: &'a AtomicBool,
}

impl Future for Decision<'_> {
    type Output = Result<tonic::Response<NoMessages>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(status) = self.refused.take() {
            return Poll::Ready(Err(status));
        }
        self.outbox.poll_answer(cx).map_ok(|headers| {
            self.accepted.store(true, Ordering::SeqCst);
            tonic::Response::from_parts(
                MetadataMap::from_headers(headers),
                tokio_stream::pending(),
                http::Extensions::new(),
            )
        })
    }
}
