//! Server reflection beside our methods, in both versions clients ask for.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tonic_reflection::server::Builder;
use tower_service::Service;

use crate::body::InBody;
use crate::error::GrpcError;

pub(crate) const PREFIX: &str = "/grpc.reflection.";
const V1: &str = "/grpc.reflection.v1.";

type BoxedAnswer = Pin<Box<dyn Future<Output = Response<tonic::body::Body>> + Send>>;
/// A service of a type that cannot be named.
type Answers = Arc<dyn Fn(Request<tonic::body::Body>) -> BoxedAnswer + Send + Sync>;

/// Both versions, over the same descriptors.
#[derive(Clone)]
pub(crate) struct Reflection {
    v1: Answers,
    v1alpha: Answers,
}

impl Reflection {
    pub(crate) fn new(descriptor_sets: &[&'static [u8]]) -> Result<Self, GrpcError> {
        let builder = || {
            let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
            descriptor_sets.iter().fold(
                Builder::configure().register_encoded_file_descriptor_set(health),
                |builder, set| builder.register_encoded_file_descriptor_set(set),
            )
        };
        let failed =
            |error: tonic_reflection::server::Error| GrpcError::Descriptors(error.to_string());
        Ok(Self {
            v1: erased(builder().build_v1().map_err(failed)?),
            v1alpha: erased(builder().build_v1alpha().map_err(failed)?),
        })
    }

    pub(crate) fn answer<B>(&self, request: Request<B>) -> BoxedAnswer
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let version = if request.uri().path().starts_with(V1) {
            &self.v1
        } else {
            &self.v1alpha
        };
        version(request.map(|body| tonic::body::Body::new(InBody::new(body, Arc::default()))))
    }
}

fn erased<S>(service: S) -> Answers
where
    S: Service<
            Request<tonic::body::Body>,
            Response = Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    Arc::new(move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    })
}
