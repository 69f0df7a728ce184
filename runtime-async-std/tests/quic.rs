//! Nodes on async-std, by QUIC.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../runtime/tests/certificates/mod.rs"]
mod certificates;
#[path = "../../runtime/tests/nodes/mod.rs"]
mod nodes;
mod runtime;

/// What carries.
mod subject {
    use crate::certificates::security;
    use crate::runtime::{ClientOptions, NodeOptions, TransportKind};

    /// What callers show.
    pub(crate) const TOKEN: Option<&str> = None;

    /// The code of a connection that one side does not trust.
    pub(crate) const UNTRUSTED: &str = "TF-Q10";

    /// Whether there is no way to speak without certificates.
    pub(crate) const IS_ALWAYS_SECURE: bool = true;

    /// Whether a caller hears at once that nothing listens where it calls.
    pub(crate) const TELLS_OF_REFUSAL: bool = false;

    pub(crate) fn node(options: &mut NodeOptions) {
        options.transport = Some(TransportKind::Quic);
        options.security = security();
    }

    pub(crate) fn client(options: &mut ClientOptions) {
        options.transport = Some(TransportKind::Quic);
        options.security = security();
    }
}
