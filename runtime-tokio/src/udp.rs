//! Tokio as quinn asks for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Runtime, TokioRuntime};
use trefoil_runtime::QuicPlatform;

use crate::platform::Tokio;

impl QuicPlatform for Tokio {
    fn quinn(&self) -> Arc<dyn Runtime> {
        Arc::new(TokioRuntime)
    }

    async fn resolve(address: String) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }
}
