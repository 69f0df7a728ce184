//! Limits of one node: set once, before anything is allocated, and they size the memory.

use crate::time::Duration;

/// Bounds of a node's tables, frames and turns.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams open at once, accepted and opened together. Each costs about 120 bytes. Too few and
    /// calls are refused with `TF-C01`. The last quarter is kept for nodes: callers that do not say
    /// who they are cannot take it.
    pub streams_max: u32,
    /// Hosts ever heard of in the life of the process, at about 200 bytes each. Too few and new hosts
    /// are ignored.
    pub nodes_max: u32,
    /// Largest message accepted or sent, in bytes. A peer's reply to `GetLocalActorIds` of 441,000
    /// ids takes 4 MiB; the default of 64 MiB takes 7 million ids.
    pub frame_bytes_max: u32,
    /// Bytes a stream can always still send when a request is delivered on it.
    pub reply_reserve: u32,
    /// Bytes a stream may have waiting to be sent before `frame` is refused.
    pub stream_send_bytes_max: u32,
    /// Bytes of messages a peer may have sent on a stream that this node has not taken.
    pub stream_receive_bytes_max: u32,
    /// How long a connection may be silent. It is asked for a sign of life before, also when nothing is
    /// sent on it, and counts as lost after. Shorter than the longest pause of a healthy peer, and
    /// healthy connections are cut.
    pub silence_max: Duration,
    /// How long the one message of a unary call may take to come. Longer and callers that open streams
    /// and send nothing take more of `streams_max`.
    pub request_timeout: Duration,
    /// Storage operations in flight at once.
    pub storage_ops_max: u32,
    /// Inputs the driver takes in one turn before it flushes and lets others run.
    pub turn_inputs_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 16_384,
            nodes_max: 16_384,
            frame_bytes_max: 64 << 20,
            reply_reserve: 64 << 10,
            stream_send_bytes_max: 1 << 20,
            stream_receive_bytes_max: 1 << 20,
            silence_max: Duration::from_secs(15),
            request_timeout: Duration::from_secs(10),
            storage_ops_max: 8_192,
            turn_inputs_max: 256,
        }
    }
}

/// A rule of [`Limits`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsError {
    /// A count is zero.
    Zero(&'static str),
    /// More than 2^24 streams: tags have no room for them.
    TooManyStreams,
    /// `frame_bytes_max` exceeds 256 MiB.
    FrameTooLarge,
    /// `reply_reserve` exceeds `stream_send_bytes_max`: no request would ever be delivered.
    ReserveAboveWindow,
    /// The names of node and cluster do not fit into a header.
    NameTooLong,
    /// The token is empty, too long, or no visible ASCII.
    Token,
}

impl core::fmt::Display for LimitsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Zero(name) => write!(f, "{name} must not be zero"),
            Self::TooManyStreams => f.write_str("streams_max must not exceed 16,777,216"),
            Self::FrameTooLarge => f.write_str("frame_bytes_max must not exceed 256 MiB"),
            Self::NameTooLong => {
                f.write_str("the names of node and cluster must not exceed 1,500 bytes together")
            }
            Self::Token => f.write_str("a token must be 1 to 512 bytes of visible ASCII"),
            Self::ReserveAboveWindow => {
                f.write_str("reply_reserve must not exceed stream_send_bytes_max")
            }
        }
    }
}

impl core::error::Error for LimitsError {}

impl Limits {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), LimitsError> {
        for (name, value) in [
            ("streams_max", self.streams_max),
            ("nodes_max", self.nodes_max),
            ("frame_bytes_max", self.frame_bytes_max),
            ("stream_send_bytes_max", self.stream_send_bytes_max),
            ("stream_receive_bytes_max", self.stream_receive_bytes_max),
            ("storage_ops_max", self.storage_ops_max),
            ("turn_inputs_max", self.turn_inputs_max),
        ] {
            if value == 0 {
                return Err(LimitsError::Zero(name));
            }
        }
        for (name, value) in [
            ("silence_max", self.silence_max),
            ("request_timeout", self.request_timeout),
        ] {
            if value.is_zero() {
                return Err(LimitsError::Zero(name));
            }
        }
        if self.streams_max > 1 << 24 {
            return Err(LimitsError::TooManyStreams);
        }
        if self.frame_bytes_max > 256 << 20 {
            return Err(LimitsError::FrameTooLarge);
        }
        if self.reply_reserve > self.stream_send_bytes_max {
            return Err(LimitsError::ReserveAboveWindow);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_and_each_rule_can_fail() {
        assert_eq!(Limits::default().check(), Ok(()));
        let broken = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err()
        };
        assert_eq!(broken(|l| l.nodes_max = 0), LimitsError::Zero("nodes_max"));
        assert_eq!(
            broken(|l| l.streams_max = (1 << 24) + 1),
            LimitsError::TooManyStreams
        );
        assert_eq!(
            broken(|l| l.frame_bytes_max = (256 << 20) + 1),
            LimitsError::FrameTooLarge
        );
        assert_eq!(
            broken(|l| l.reply_reserve = u32::MAX),
            LimitsError::ReserveAboveWindow
        );
    }
}
