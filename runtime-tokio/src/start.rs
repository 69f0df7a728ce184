//! Why something could not be started, and what to do about it.

use trefoil_core::limits::LimitsError;
use trefoil_core::ring::node::RingConfigError;
use trefoil_transport_tonic::GrpcError;

/// A node or a client that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A limit does not hold.
    #[error("TF-U01: {0}")]
    Limits(#[from] LimitsError),
    /// A setting of the ring does not hold.
    #[error("TF-U02: {0}")]
    Ring(#[from] RingConfigError),
    /// A setting of the transport does not hold.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
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
}
