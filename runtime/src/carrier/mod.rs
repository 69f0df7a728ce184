//! What carries a node's streams: gRPC, QUIC, or both.

#[cfg(all(feature = "tonic", feature = "quic"))]
mod both;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "tonic")]
mod tonic;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trefoil_core::transport::Transport;

#[cfg(all(feature = "tonic", feature = "quic"))]
pub use self::both::Both;
#[cfg(feature = "quic")]
pub use self::quic::{Quic, QuicPlatform};
#[cfg(feature = "tonic")]
pub use self::tonic::{Tonic, TonicPlatform};
use crate::client::ClientOptions;
use crate::node::NodeOptions;
use crate::platform::Platform;
use crate::start::StartError;

/// By what streams are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// gRPC over TCP.
    Tonic,
    /// QUIC over UDP.
    Quic,
}

impl TransportKind {
    /// The name of the feature that brings it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tonic => "tonic",
            Self::Quic => "quic",
        }
    }
}

/// What takes the calls of others. Clones share it.
pub trait Door: Clone + Send + Sync + 'static {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Tells those who ask that the node is leaving.
    fn say_leaving(self) -> impl Future<Output = ()> + Send;

    /// Takes no more calls, lets those in flight end, and closes what is left after `within`.
    fn drain(self, within: Duration) -> impl Future<Output = ()> + Send;

    /// Closes every connection now.
    fn close(&self);
}

/// Carries the streams of nodes and clients on a runtime.
pub trait Carrier<P: Platform>: 'static {
    /// What the driver polls.
    type Transport: Transport<Buf = Bytes> + Send + 'static;
    /// What listens.
    type Door: Door;

    /// Listens where the options say, and dials as they say.
    fn serve(
        platform: &P,
        options: &NodeOptions,
    ) -> impl Future<Output = Result<(Self::Transport, Self::Door), StartError>> + Send;

    /// Dials, and serves nothing.
    ///
    /// # Errors
    /// A setting does not hold, or asks for what this build does not have.
    fn call(platform: &P, options: &ClientOptions) -> Result<Self::Transport, StartError>;
}

/// Whether the one transport of this build is what is asked for.
#[cfg(any(feature = "tonic", feature = "quic"))]
fn only(
    built: TransportKind,
    transport: Option<TransportKind>,
    accepts_both: bool,
) -> Result<(), StartError> {
    let missing = match built {
        TransportKind::Tonic => TransportKind::Quic,
        TransportKind::Quic => TransportKind::Tonic,
    };
    if accepts_both || transport == Some(missing) {
        return Err(StartError::NotBuilt(missing.as_str()));
    }
    Ok(())
}
