//! QUIC.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use trefoil_core::method::Methods;
use trefoil_transport_quic::{Quic as Transport, QuicOptions, Server, quinn};

use super::{Carrier, Door, TransportKind, only};
use crate::client::ClientOptions;
use crate::node::NodeOptions;
use crate::platform::Platform;
use crate::security::Security;
use crate::start::StartError;

/// A runtime with sockets for QUIC.
pub trait QuicPlatform: Platform {
    /// The runtime as quinn sees it.
    fn quinn(&self) -> Arc<dyn quinn::Runtime>;

    /// The addresses of `host:port`.
    fn resolve(address: String) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Carries by QUIC alone.
#[derive(Debug)]
pub struct Quic;

/// A server of QUIC, where it listens.
#[derive(Clone, Debug)]
pub struct QuicDoor {
    server: Server,
    address: SocketAddr,
}

impl Door for QuicDoor {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn say_leaving(self) {}

    async fn drain(self, within: Duration) {
        self.server.drain(within).await;
    }

    fn close(&self) {
        self.server.close();
    }
}

fn transport<P: QuicPlatform>(
    platform: &P,
    security: &Security,
    limits: &trefoil_core::limits::Limits,
    options: QuicOptions,
) -> Result<Transport, StartError> {
    let tls = security.tls().ok_or(StartError::NoCertificates)?;
    let options = QuicOptions {
        resolve: Some(Arc::new(|address| Box::pin(P::resolve(address)))),
        ..options
    };
    let methods = Methods::ring().with_election().with_channels();
    Ok(Transport::new(
        platform.quinn(),
        tls.clone(),
        methods,
        limits,
        options,
    )?)
}

/// The part of [`Carrier::serve`] that is QUIC's, at an address.
pub(super) async fn serve<P: QuicPlatform>(
    platform: &P,
    options: &NodeOptions,
    address: &str,
) -> Result<(Transport, QuicDoor), StartError> {
    let quic_options = QuicOptions {
        source: options.source.or(options.quic.source),
        ..options.quic.clone()
    };
    let quic = transport(platform, &options.security, &options.limits, quic_options)?;
    let socket = bind::<P>(address)
        .await
        .map_err(|source| StartError::listen(address, source))?;
    let server = quic.server();
    let address = server.bind(socket)?;
    Ok((quic, QuicDoor { server, address }))
}

/// The first address of `address` that can be bound.
async fn bind<P: QuicPlatform>(address: &str) -> io::Result<UdpSocket> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in P::resolve(address.to_owned()).await? {
        match UdpSocket::bind(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The part of [`Carrier::call`] that is QUIC's.
pub(super) fn call<P: QuicPlatform>(
    platform: &P,
    options: &ClientOptions,
) -> Result<Transport, StartError> {
    let quic_options = QuicOptions {
        source: options.source.or(options.quic.source),
        ..options.quic.clone()
    };
    transport(platform, &options.security, &options.limits, quic_options)
}

impl<P: QuicPlatform> Carrier<P> for Quic {
    type Transport = Transport;
    type Door = QuicDoor;

    async fn serve(
        platform: &P,
        options: &NodeOptions,
    ) -> Result<(Self::Transport, Self::Door), StartError> {
        only(TransportKind::Quic, options.transport, options.accepts_both)?;
        serve(platform, options, options.listens_on()).await
    }

    fn call(platform: &P, options: &ClientOptions) -> Result<Self::Transport, StartError> {
        only(TransportKind::Quic, options.transport, false)?;
        call(platform, options)
    }
}
