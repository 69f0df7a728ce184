//! `grpc.health.v1` beside our methods.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use http::{Request, Response};
use http_body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service;

pub(crate) const PREFIX: &str = "/grpc.health.v1.Health/";

/// What a node says of its health: SERVING or NOT_SERVING, for itself (the name `""`) and for each
/// service by name. It begins as SERVING for itself; of other names nothing is known until they are
/// set. Clones share it.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    server: HealthServer<HealthService>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    pub(crate) fn new() -> Self {
        let reporter = HealthReporter::new();
        let server = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        Self { reporter, server }
    }

    /// Says whether `service` serves, to those who ask and to those who watch.
    pub async fn set(&self, service: &str, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status(service, status).await;
    }

    pub(crate) fn answer<B>(
        &self,
        request: Request<B>,
    ) -> Pin<Box<dyn Future<Output = Response<tonic::body::Body>> + Send>>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut server = self.server.clone();
        let answer = server
            .call(request.map(|body| crate::body::InBody::new(body, std::sync::Arc::default())));
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    }
}
