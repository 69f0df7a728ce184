//! Why something could not be started, and what to do about it.

use std::net::SocketAddr;

use trefoil_core::channels::client::ClientConfigError;
use trefoil_core::limits::LimitsError;
use trefoil_core::node::NodeConfigError;

/// A node or a client that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A limit does not hold.
    #[error("TF-U01: {0}")]
    Limits(#[from] LimitsError),
    /// A setting of the ring or of the election does not hold.
    #[error("TF-U02: {0}")]
    Node(#[from] NodeConfigError),
    /// The listening address cannot be used.
    #[error(
        "TF-U03: cannot listen on {address}: {source}; is another program there, or is the address not this host's?"
    )]
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("TF-U04: {0}")]
    System(#[from] std::io::Error),
    /// The program was built without what is asked for.
    #[error("TF-U05: this program was built without the feature `{0}`")]
    NotBuilt(&'static str),
    /// Listening beyond this machine, without TLS.
    #[error(
        "TF-U06: {0} is no address of this machine alone, and there are no certificates: give some, or ask for plaintext"
    )]
    Plaintext(SocketAddr),
    /// QUIC without certificates.
    #[error("TF-U07: QUIC is always secure, and there are no certificates: give some")]
    NoCertificates,
    /// The certificate does not name the node.
    #[error(
        "TF-U08: the certificate does not name the host of {0}: every peer would refuse it; have it issued for that name"
    )]
    NotNamed(String),
    /// A setting of a client of channels does not hold.
    #[error("TF-U09: {0}")]
    Channels(#[from] ClientConfigError),
    /// A setting of gRPC does not hold.
    #[cfg(feature = "tonic")]
    #[error(transparent)]
    Grpc(#[from] trefoil_transport_tonic::GrpcError),
    /// A setting of QUIC does not hold.
    #[cfg(feature = "quic")]
    #[error(transparent)]
    Quic(#[from] trefoil_transport_quic::QuicError),
    /// The certificates cannot be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] trefoil_tls::TlsError),
}

#[cfg(any(feature = "tonic", feature = "quic"))]
impl StartError {
    pub(crate) fn listen(address: &str, source: std::io::Error) -> Self {
        Self::Listen {
            address: address.to_owned(),
            source,
        }
    }
}
