//! gRPC.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trefoil_core::method::Methods;
use trefoil_transport_tonic::{Grpc, GrpcOptions, Listener, Runtime, Server};

use super::{Carrier, Door, TransportKind, only};
use crate::client::ClientOptions;
use crate::node::NodeOptions;
use crate::platform::Platform;
use crate::security::{Security, Tls};
use crate::start::StartError;

/// A runtime with sockets for gRPC.
pub trait TonicPlatform: Platform {
    /// Dials.
    type Net: Runtime;
    /// Listens.
    type Listener: Listener;

    /// Whether server reflection works here: its services are tasks of tokio.
    const REFLECTION: bool;

    /// Dials from a local address, if one is given, and with certificates, if there are any.
    ///
    /// # Errors
    /// [`StartError::NotBuilt`] if there are certificates, and this build has no TLS.
    fn net(&self, source: Option<IpAddr>, tls: Option<&Tls>) -> Result<Self::Net, StartError>;

    /// Listens on an address, `host:port`.
    fn listen(
        &self,
        address: &str,
        tls: Option<&Tls>,
    ) -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;
}

/// Carries by gRPC alone.
#[derive(Debug)]
pub struct Tonic;

/// A server of gRPC, where it listens.
pub struct TonicDoor<P: TonicPlatform> {
    server: Server<P::Net>,
    address: SocketAddr,
}

impl<P: TonicPlatform> Clone for TonicDoor<P> {
    fn clone(&self) -> Self {
        Self {
            server: self.server.clone(),
            address: self.address,
        }
    }
}

impl<P: TonicPlatform> Door for TonicDoor<P> {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn say_leaving(self) {
        self.server.health().set("", false).await;
    }

    async fn drain(self, within: Duration) {
        self.server.drain(within).await;
    }

    fn close(&self) {
        self.server.close();
    }
}

fn grpc_options(options: &GrpcOptions, security: &Security) -> GrpcOptions {
    GrpcOptions {
        plaintext: options.plaintext || matches!(security, Security::Plaintext),
        ..options.clone()
    }
}

/// The part of [`Carrier::serve`] that is gRPC's, at an address.
pub(super) async fn serve<P: TonicPlatform>(
    platform: &P,
    options: &NodeOptions,
) -> Result<(Grpc<P::Net>, TonicDoor<P>), StartError> {
    let tls = options.security.tls();
    #[cfg(feature = "tls")]
    if let Some(tls) = tls {
        // A server without a certificate would refuse everybody, one by one.
        tls.server_config(b"h2")?;
    }
    let net = platform.net(options.source, tls)?;
    let address = options.listens_on();
    let (listener, address) = platform
        .listen(address, tls)
        .await
        .map_err(|source| StartError::listen(address, source))?;
    if matches!(options.security, Security::Loopback) && !address.ip().to_canonical().is_loopback()
    {
        return Err(StartError::Plaintext(address));
    }
    let grpc_options = grpc_options(&options.grpc, &options.security);
    let grpc = Grpc::new(
        net.clone(),
        Methods::ring().with_election().with_channels(),
        &options.limits,
        grpc_options.clone(),
    )?;
    let service = grpc.service();
    #[cfg(feature = "reflection")]
    let service = if P::REFLECTION {
        service.with_reflection(&descriptor_sets(options))?
    } else {
        service
    };
    let server = Server::new(net, service, grpc_options)?;
    let accepting = server.clone();
    platform.spawn(async move { accepting.listen(listener).await });
    Ok((grpc, TonicDoor { server, address }))
}

/// The schemas of what a node serves, each service once.
#[cfg(feature = "reflection")]
fn descriptor_sets(options: &NodeOptions) -> Vec<&'static [u8]> {
    use trefoil_core::channels::dialect::Dialect;
    use trefoil_proto::{admin, cache, channels, control_plane, streaming, v2024_08};

    let mut sets = vec![
        control_plane::FILE_DESCRIPTOR_SET,
        admin::FILE_DESCRIPTOR_SET,
    ];
    if options.election.is_some() {
        sets.push(cache::FILE_DESCRIPTOR_SET);
    }
    if let Some(channels) = &options.channels {
        sets.push(channels::FILE_DESCRIPTOR_SET);
        // Both dialects have the same names.
        sets.push(match channels.worker.dialect {
            Dialect::Seed => streaming::FILE_DESCRIPTOR_SET,
            Dialect::V2024_08 => v2024_08::streaming::FILE_DESCRIPTOR_SET,
        });
    }
    sets
}

/// The part of [`Carrier::call`] that is gRPC's.
pub(super) fn call<P: TonicPlatform>(
    platform: &P,
    options: &ClientOptions,
) -> Result<Grpc<P::Net>, StartError> {
    let net = platform.net(options.source, options.security.tls())?;
    let grpc_options = grpc_options(&options.grpc, &options.security);
    Ok(Grpc::new(
        net,
        Methods::ring().with_election().with_channels(),
        &options.limits,
        grpc_options,
    )?)
}

impl<P: TonicPlatform> Carrier<P> for Tonic {
    type Transport = Grpc<P::Net>;
    type Door = TonicDoor<P>;

    async fn serve(
        platform: &P,
        options: &NodeOptions,
    ) -> Result<(Self::Transport, Self::Door), StartError> {
        only(
            TransportKind::Tonic,
            options.transport,
            options.accepts_both,
        )?;
        serve(platform, options).await
    }

    fn call(platform: &P, options: &ClientOptions) -> Result<Self::Transport, StartError> {
        only(TransportKind::Tonic, options.transport, false)?;
        call(platform, options)
    }
}
