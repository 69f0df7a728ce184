//! What can be wrong before anything runs, and the messages of streams that this crate ends.

use trefoil_core::limits::LimitsError;

/// A transport or server that cannot be built as asked. The messages begin with a stable code; the
/// crate's front page lists them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuicError {
    /// An option is zero.
    #[error("TF-Q01: {0} must not be zero")]
    Zero(&'static str),
    /// An option is outside of what QUIC and this crate take.
    #[error("TF-Q02: {name} must be between {min} and {max}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A rule of the core's limits does not hold.
    #[error("TF-Q03: {0}")]
    Limits(LimitsError),
    /// The certificates cannot serve QUIC.
    #[error("TF-Q04: {0}")]
    Tls(String),
    /// The socket cannot be used.
    #[error("TF-Q05: the socket cannot be used: {0}")]
    Socket(String),
}

/// The connection was lost while the call ran.
pub(crate) const LOST: &str = "TF-Q06: the connection was lost; the outcome is unknown";
/// The other side does not want the call any more.
pub(crate) const CANCELLED: &str = "TF-Q07: the other side abandoned the call";
/// The peer broke the protocol.
pub(crate) const PROTOCOL: &str = "TF-Q08: the peer broke the protocol";
/// The peer reset the call before it looked at it.
pub(crate) const REFUSED: &str =
    "TF-Q09: the peer refused the call before anything of it was applied";
/// One side does not trust the other: what follows says who and why.
pub(crate) const UNTRUSTED: &str = "TF-Q10:";
/// A request frame above the limit.
pub(crate) const REQUEST_TOO_LARGE: &str =
    "TF-Q11: the metadata of the call is larger than a request may be";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_table_lists_every_code_once() {
        let used: BTreeSet<&str> = include_str!("error.rs")
            .split("\"TF-Q")
            .skip(1)
            .filter_map(|rest| rest.split(':').next())
            .filter(|number| number.len() == 2)
            .collect();
        let listed: Vec<&str> = include_str!("codes.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `TF-Q")?.split('`').next())
            .collect();
        assert_eq!(used, listed.iter().copied().collect());
        assert_eq!(used.len(), listed.len());
    }
}
