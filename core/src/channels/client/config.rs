//! How a client of the channels behaves.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::channels::dialect::Dialect;
use crate::time::Duration;

/// How a client finds channels, writes to them and reads from them.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What is spoken. Nothing on the wire tells: the wrong one is refused with `TF-L05` at best.
    pub dialect: Dialect,
    /// Where coordinators are, as host:port. Any of them may lead: one that does not is left for the next.
    pub coordinators: Vec<String>,
    /// Which cluster is meant; servers of another refuse. Not said if absent.
    pub cluster: Option<String>,
    /// Producers and consumers open at once, together. Each costs about 400 bytes and what it holds.
    pub sessions_max: u32,
    /// Records of one producer that wait for an answer; more are refused. At 80 bytes each.
    pub records_max: u32,
    /// Bytes of such records. One record is always taken. They are kept until they are answered, to be sent
    /// again when a node is lost.
    pub record_bytes_max: u32,
    /// Bytes of one request. Above what nodes, or the [`Limits`](crate::limits::Limits) of this program,
    /// accept, and a record of that size never arrives.
    pub request_bytes_max: u32,
    /// Records that one consumer was given and did not acknowledge, before its node is asked to wait. At 32
    /// bytes each and their ids.
    pub unacknowledged_records_max: u32,
    /// Bytes of such records. What is under way when the limit is reached comes on top: one window of a stream.
    pub unacknowledged_bytes_max: u32,
    /// Bytes of the largest assignment that is taken in. One of 100,000 channels has 3.3 MB.
    pub assignment_bytes_max: u32,
    /// Wait before a coordinator is called again, or the next one; doubles with every round of all of them.
    pub watch_backoff_min: Duration,
    /// Longest wait between two calls of coordinators.
    pub watch_backoff_max: Duration,
    /// Least time between two attempts to open a stream of records, and before a record that was refused is
    /// sent again; doubles with every failure that follows another.
    pub backoff_min: Duration,
    /// Longest wait between two attempts.
    pub backoff_max: Duration,
    /// How long a peer may take for its first word on a stream, and for its last one after a close. Shorter
    /// than a node takes to open a log, and it is opened over and over.
    pub answer_timeout: Duration,
    /// How long a stream goes on after it is known that a later term has its channel. A node that gives the
    /// channel up in order ends the stream before; one that hangs does not.
    pub superseded_timeout: Duration,
    /// How long a producer that is closed waits for the answers it is owed.
    pub close_timeout: Duration,
    /// Seeds jitter and the choice of the first coordinator.
    pub seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Seed,
            coordinators: Vec::new(),
            cluster: None,
            sessions_max: 4_096,
            records_max: 1_024,
            record_bytes_max: 64 << 20,
            request_bytes_max: (64 << 20) - 1_024,
            unacknowledged_records_max: 65_536,
            unacknowledged_bytes_max: 64 << 20,
            assignment_bytes_max: 64 << 20,
            watch_backoff_min: Duration::from_millis(50),
            watch_backoff_max: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            superseded_timeout: Duration::from_secs(1),
            close_timeout: Duration::from_secs(10),
            seed: 0,
        }
    }
}

/// A rule of [`ClientConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientConfigError {
    /// No coordinator is named, or one without a name.
    Coordinators,
    /// A count or a number of bytes is zero, or too large to be told apart.
    Bound(&'static str),
    /// A wait is shorter than a millisecond, or its longest shorter than its shortest.
    Wait(&'static str),
}

impl fmt::Display for ClientConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinators => f.write_str("name one coordinator at least"),
            Self::Bound(what) => write!(f, "{what} is out of bounds"),
            Self::Wait(what) => write!(f, "{what} is too short"),
        }
    }
}

impl core::error::Error for ClientConfigError {}

impl ClientConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), ClientConfigError> {
        if self.coordinators.is_empty() || self.coordinators.iter().any(String::is_empty) {
            return Err(ClientConfigError::Coordinators);
        }
        for (what, count) in [
            ("sessions_max", self.sessions_max),
            ("records_max", self.records_max),
            ("record_bytes_max", self.record_bytes_max),
            ("request_bytes_max", self.request_bytes_max),
            (
                "unacknowledged_records_max",
                self.unacknowledged_records_max,
            ),
            ("unacknowledged_bytes_max", self.unacknowledged_bytes_max),
            ("assignment_bytes_max", self.assignment_bytes_max),
        ] {
            // Timers are numbered by 32 bits, two for each session.
            if count == 0 || (what == "sessions_max" && count > 1 << 24) {
                return Err(ClientConfigError::Bound(what));
            }
        }
        for (what, wait, least) in [
            ("watch_backoff_min", self.watch_backoff_min, Duration::ZERO),
            (
                "watch_backoff_max",
                self.watch_backoff_max,
                self.watch_backoff_min,
            ),
            ("backoff_min", self.backoff_min, Duration::ZERO),
            ("backoff_max", self.backoff_max, self.backoff_min),
            ("answer_timeout", self.answer_timeout, Duration::ZERO),
            (
                "superseded_timeout",
                self.superseded_timeout,
                Duration::ZERO,
            ),
            ("close_timeout", self.close_timeout, Duration::ZERO),
        ] {
            if wait < least.max(Duration::from_millis(1)) {
                return Err(ClientConfigError::Wait(what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn every_rule_is_checked() {
        let good = ClientConfig {
            coordinators: alloc::vec!["c:1".into()],
            ..ClientConfig::default()
        };
        assert_eq!(good.check(), Ok(()));
        let better_15 = (good.records_max, good.record_bytes_max);
        assert_eq!(better_15, (1_024, 64 << 20));
        assert_eq!(
            ClientConfig::default().check(),
            Err(ClientConfigError::Coordinators)
        );
        let broken = |change: fn(&mut ClientConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|config| config.coordinators.push(String::new())),
            ClientConfigError::Coordinators
        );
        assert_eq!(
            broken(|config| config.records_max = 0),
            ClientConfigError::Bound("records_max")
        );
        assert_eq!(
            broken(|config| config.sessions_max = u32::MAX),
            ClientConfigError::Bound("sessions_max")
        );
        assert_eq!(
            broken(|config| config.backoff_min = Duration::ZERO),
            ClientConfigError::Wait("backoff_min")
        );
        assert_eq!(
            broken(|config| config.backoff_max = Duration::from_millis(99)),
            ClientConfigError::Wait("backoff_max")
        );
    }
}
