//! What an operator may set about the channels of a node.

use alloc::string::String;

use super::retention::Retention;
use super::tags::{APPENDS_MAX, CHANNELS_MAX, SESSIONS_MAX};
use crate::channels::dialect::Dialect;
use crate::storage::OwnerId;
use crate::time::Duration;

/// Bytes that a message grows by on its way to a consumer, at most: its id, two properties, and lengths.
pub const GROWTH_BYTES_MAX: u32 = 128;

/// Bounds and times of a worker. Nothing is taken before it is needed.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Which dialect callers speak.
    pub dialect: Dialect,
    /// Number of this start of the node, above zero and never used before. Callers that mean another are
    /// refused.
    pub server_id: i64,
    /// Drawn anew at every start of the process. Two owners of one number would both pass the fence.
    pub owner: OwnerId,
    /// The cluster's name as producers and consumers say it; empty: not compared.
    pub cluster: String,
    /// Channels known at once, those that were taken away included as long as there is room: about 500
    /// bytes each. One more is refused as busy.
    pub channels_max: u32,
    /// Producers, and as many consumers, at once: about 300 bytes each and what waits for them.
    pub sessions_max: u32,
    /// Calls that wait at once.
    pub calls_max: u32,
    /// Messages of one producer that may be on their way to the log. More wait.
    pub in_flight_max: u32,
    /// Bytes of them; one message is always let through.
    pub in_flight_bytes_max: u64,
    /// Bytes of messages of one producer that may wait; one message always may. The transport's window ends that
    /// sooner, unless it is larger: more are refused as busy.
    pub backlog_bytes_max: u64,
    /// Appends of one channel in flight. One makes every message wait for the disk; many hide it.
    pub appends_max: u32,
    /// Largest message taken. Must stay 128 bytes below the transport's `frame_bytes_max`, or consumers
    /// could not be sent what producers may send.
    pub message_bytes_max: u32,
    /// Bytes asked of the log at once for one consumer.
    pub read_bytes_max: u32,
    /// Newest records of a channel in which a message that is sent again, with a number, is found. So many
    /// are read when a channel is opened.
    pub dedupe_records: u32,
    /// What of a channel is kept: everything, if nothing is said.
    pub retention: Retention,
    /// Whether a caller that neither says it is a node of ours nor is known by certificate, by token, or as one of
    /// this very machine, may give and take channels, as a foreign coordinator does. Where nodes are known by
    /// certificates it need not: then anybody who finds the port could take all channels away.
    pub believes_strangers: bool,
    /// How long a channel that is taken away may finish what is under way. Then it is closed by force.
    pub close_timeout: Duration,
    /// How often the log of a channel that has consumers, and took no record in the meantime, is asked whether a later
    /// term has it: who only consumes learns within twice that, and the time the store takes, that the channel is gone
    /// from a node that was succeeded. One [`Op::Tail`](crate::storage::Op::Tail) for each such channel.
    pub proof_interval: Duration,
    /// Wait before a storage operation is tried again; doubles with each try, up to a hundredfold.
    pub store_retry_delay: Duration,
    /// Keeps outsiders from choosing names that collide.
    pub seed: u64,
}

impl WorkerConfig {
    /// A node of this number and owner, with defaults for the rest.
    #[must_use]
    pub const fn new(server_id: i64, owner: OwnerId) -> Self {
        Self {
            dialect: Dialect::Seed,
            server_id,
            owner,
            cluster: String::new(),
            channels_max: 65_536,
            sessions_max: 16_384,
            calls_max: 16_384,
            in_flight_max: 1_024,
            in_flight_bytes_max: 64 << 20,
            backlog_bytes_max: 64 << 20,
            appends_max: 4_096,
            message_bytes_max: (64 << 20) - GROWTH_BYTES_MAX,
            read_bytes_max: 256 << 10,
            dedupe_records: 4_096,
            retention: Retention::KEEP_ALL,
            believes_strangers: true,
            close_timeout: Duration::from_secs(10),
            proof_interval: Duration::from_secs(10),
            store_retry_delay: Duration::from_millis(10),
            seed: owner.0,
        }
    }
}

/// A rule of [`WorkerConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerConfigError {
    /// A count or a duration is zero.
    Zero(&'static str),
    /// A count exceeds what tags have room for.
    TooMany(&'static str, u32),
    /// The number of the node is not above zero.
    ServerId,
    /// Messages of more than 256 MiB.
    MessageTooLarge,
}

impl core::fmt::Display for WorkerConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Zero(name) => write!(f, "{name} must not be zero"),
            Self::TooMany(name, most) => write!(f, "{name} must not exceed {most}"),
            Self::ServerId => f.write_str("server_id must be above zero"),
            Self::MessageTooLarge => f.write_str("message_bytes_max must not exceed 256 MiB"),
        }
    }
}

impl core::error::Error for WorkerConfigError {}

impl WorkerConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), WorkerConfigError> {
        for (name, value, most) in [
            ("channels_max", self.channels_max, CHANNELS_MAX),
            ("sessions_max", self.sessions_max, SESSIONS_MAX),
            ("calls_max", self.calls_max, SESSIONS_MAX),
            ("in_flight_max", self.in_flight_max, u32::MAX),
            ("appends_max", self.appends_max, APPENDS_MAX),
            ("message_bytes_max", self.message_bytes_max, u32::MAX),
            ("read_bytes_max", self.read_bytes_max, u32::MAX),
        ] {
            if value == 0 {
                return Err(WorkerConfigError::Zero(name));
            }
            if value > most {
                return Err(WorkerConfigError::TooMany(name, most));
            }
        }
        for (name, value) in [
            ("close_timeout", self.close_timeout),
            ("proof_interval", self.proof_interval),
            ("store_retry_delay", self.store_retry_delay),
            ("retention.interval", self.retention.interval),
        ] {
            if value.is_zero() {
                return Err(WorkerConfigError::Zero(name));
            }
        }
        if self.server_id <= 0 {
            return Err(WorkerConfigError::ServerId);
        }
        if self.message_bytes_max > 256 << 20 {
            return Err(WorkerConfigError::MessageTooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_worker_config_holds_and_each_rule_can_fail() {
        let config = WorkerConfig::new(1, OwnerId(1));
        assert_eq!(config.check(), Ok(()));
        let better_15 = (config.in_flight_max, config.in_flight_bytes_max);
        assert_eq!(better_15, (1_024, 64 << 20));
        let broken = |change: fn(&mut WorkerConfig)| {
            let mut config = WorkerConfig::new(1, OwnerId(1));
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|c| c.appends_max = 0),
            WorkerConfigError::Zero("appends_max")
        );
        assert_eq!(
            broken(|c| c.close_timeout = Duration::ZERO),
            WorkerConfigError::Zero("close_timeout")
        );
        assert_eq!(
            broken(|c| c.channels_max = u32::MAX),
            WorkerConfigError::TooMany("channels_max", CHANNELS_MAX)
        );
        assert_eq!(
            broken(|c| c.retention.interval = Duration::ZERO),
            WorkerConfigError::Zero("retention.interval")
        );
        assert_eq!(broken(|c| c.server_id = 0), WorkerConfigError::ServerId);
        assert_eq!(
            broken(|c| c.message_bytes_max = u32::MAX),
            WorkerConfigError::MessageTooLarge
        );
    }
}
