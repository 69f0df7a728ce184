//! What can be wrong before anything runs, and the messages of streams that this crate ends.

use trefoil_core::limits::LimitsError;

/// A transport or server that cannot be built as asked. The messages begin with a stable code; the
/// crate's front page lists them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcError {
    /// An option is zero.
    #[error("TF-T01: {0} must not be zero")]
    Zero(&'static str),
    /// An option is outside of what HTTP/2 and this crate take.
    #[error("TF-T02: {name} must be between {min} and {max}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A stream could never use its window.
    #[error("TF-T03: connection_window must not be smaller than stream_window")]
    WindowOrder,
    /// A rule of the core's limits does not hold.
    #[error("TF-T04: {0}")]
    Limits(LimitsError),
    /// Reflection was given something else than encoded `FileDescriptorSet`s.
    #[error("TF-T05: the file descriptor sets cannot be read: {0}")]
    Descriptors(String),
}

/// The connection was lost while the call ran.
pub(crate) const LOST: &str = "TF-T06: the connection was lost; the outcome is unknown";
/// The caller went away.
pub(crate) const CANCELLED: &str = "TF-T07: the caller went away";
/// The peer broke the protocol.
pub(crate) const PROTOCOL: &str = "TF-T08: the peer broke the protocol";

/// A connection that one side does not trust.
pub(crate) fn untrusted(why: &std::io::Error) -> String {
    format!("TF-T09: no connection that both sides trust: {why}")
}

/// A connection that is not made.
pub(crate) const PLAINTEXT: &str =
    "TF-T10: a connection without TLS to another machine must be asked for";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_table_lists_every_code_once() {
        let used: BTreeSet<&str> = include_str!("error.rs")
            .split("\"TF-T")
            .skip(1)
            .filter_map(|rest| rest.split(':').next())
            .filter(|number| number.len() == 2)
            .collect();
        let listed: Vec<&str> = include_str!("codes.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `TF-T")?.split('`').next())
            .collect();
        assert_eq!(used, listed.iter().copied().collect());
        assert_eq!(used.len(), listed.len());
    }
}
