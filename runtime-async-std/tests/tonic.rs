//! Nodes on async-std, by gRPC without certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../runtime/tests/nodes/mod.rs"]
mod nodes;
mod runtime;

/// What carries.
mod subject {
    use crate::runtime::{ClientOptions, NodeOptions, TransportKind};

    /// Whether a caller hears at once that nothing listens where it calls.
    pub(crate) const TELLS_OF_REFUSAL: bool = true;

    pub(crate) fn node(options: &mut NodeOptions) {
        options.transport = Some(TransportKind::Tonic);
    }

    pub(crate) fn client(options: &mut ClientOptions) {
        options.transport = Some(TransportKind::Tonic);
    }
}
