//! What an operator may set about actors.

use crate::storage::OwnerId;
use crate::time::Duration;

/// Bounds and times of the actor machine. All bounds are taken before anything changes.
///
/// Recovery of one actor reads its last snapshot and at most `snapshot_records` records (or
/// `snapshot_bytes` bytes, and one record) behind it; while a trim is on its way, or if one was
/// lost, the records before that snapshot are read too and skipped.
#[derive(Clone, Debug)]
pub struct ActorsConfig {
    /// Drawn anew at every start of the process. Two owners of one number would both pass the fence.
    pub owner: OwnerId,
    /// Seeds request ids and the hashing of actor ids.
    pub seed: u64,
    /// Calls held at once, of all kinds. About 250 bytes each, and their request. Too few and callers
    /// meet `TF-C01`.
    pub calls_max: u32,
    /// Actors held at once, idle ones included. About 500 bytes each here, and their own memory. When
    /// none is free the longest idle one is let go and the call meets `TF-C01`.
    pub actors_max: u32,
    /// Calls of one actor held at once. Too few and bursts meet `TF-R05`; too many and a caller waits
    /// longer than it is willing to.
    pub mailbox_calls_max: u32,
    /// Bytes of requests held at once by all calls.
    pub mailbox_bytes_max: u64,
    /// Calls that may wait for this node to know who owns what; more meet `TF-R11`.
    pub waiting_max: u32,
    /// Longest such wait; a call's own deadline ends it sooner.
    pub waiting_timeout: Duration,
    /// Messages in one Apply; more meet `TF-R10`. Bounds the time one call holds its actor.
    pub messages_max: u32,
    /// Appends of one actor in flight. One makes every call wait for the disk; many hide it.
    pub appends_max: u32,
    /// Records behind a snapshot before the next is taken. Small makes recovery fast and writes more.
    pub snapshot_records: u32,
    /// Bytes of records behind a snapshot before the next is taken.
    pub snapshot_bytes: u64,
    /// Records behind a snapshot that are worth one more when an idle actor is let go.
    pub idle_snapshot_records: u32,
    /// An actor nobody calls for so long is let go and its ownership given up.
    pub idle_timeout: Duration,
    /// How long a Get may rely on the log having been this node's. The bound of how old an answer may
    /// be where ownership was lost without a word; short costs one look at the log's tail a Get.
    pub proof_age_max: Duration,
    /// Request ids an actor remembers, in memory and in its snapshots, at about 70 and 16 bytes each:
    /// more than arrive for one actor while a caller still tries. A request repeated after so
    /// many others is applied again.
    pub dedupe_ids: u32,
    /// Bytes of recent answers an actor keeps for repeated requests.
    pub answers_bytes_max: u32,
    /// Bytes asked of the log at once while an actor is loaded.
    pub read_bytes_max: u32,
    /// Wait before a call that was turned away by another node, or that lost its owner, is routed
    /// again: long enough for a claim to travel.
    pub retry_delay: Duration,
    /// Wait before a storage operation is tried again; doubles with each try.
    pub store_retry_delay: Duration,
    /// Tries of a storage operation without an outcome before its callers meet `TF-R09`.
    pub store_tries_max: u32,
    /// Fences tried before a node that meets ever higher terms lets the other have the actor.
    pub fence_tries_max: u32,
}

impl Default for ActorsConfig {
    fn default() -> Self {
        Self {
            owner: OwnerId(0),
            seed: 0,
            calls_max: 16_384,
            actors_max: 100_000,
            mailbox_calls_max: 256,
            mailbox_bytes_max: 64 << 20,
            waiting_max: 4_096,
            waiting_timeout: Duration::from_secs(5),
            messages_max: 1_024,
            appends_max: 32,
            snapshot_records: 256,
            snapshot_bytes: 256 << 10,
            idle_snapshot_records: 16,
            idle_timeout: Duration::from_secs(15 * 60),
            proof_age_max: Duration::from_secs(1),
            dedupe_ids: 4_096,
            answers_bytes_max: 16 << 10,
            read_bytes_max: 256 << 10,
            retry_delay: Duration::from_millis(20),
            store_retry_delay: Duration::from_millis(10),
            store_tries_max: 6,
            fence_tries_max: 4,
        }
    }
}

/// A rule of [`ActorsConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorsConfigError {
    /// A count is zero.
    Zero(&'static str),
    /// A count exceeds 2^24: tags have no room for it.
    TooMany(&'static str),
    /// More than 65,535 request ids: a snapshot has no room for them.
    TooManyRequestIds,
    /// A duration is zero.
    NoTime(&'static str),
}

impl core::fmt::Display for ActorsConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Zero(name) | Self::NoTime(name) => write!(f, "{name} must not be zero"),
            Self::TooMany(name) => write!(f, "{name} must not exceed 16,777,216"),
            Self::TooManyRequestIds => f.write_str("dedupe_ids must not exceed 65,535"),
        }
    }
}

impl core::error::Error for ActorsConfigError {}

impl ActorsConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), ActorsConfigError> {
        for (name, value) in [
            ("calls_max", self.calls_max),
            ("actors_max", self.actors_max),
            ("mailbox_calls_max", self.mailbox_calls_max),
            ("messages_max", self.messages_max),
            ("appends_max", self.appends_max),
            ("snapshot_records", self.snapshot_records),
            ("read_bytes_max", self.read_bytes_max),
            ("store_tries_max", self.store_tries_max),
            ("fence_tries_max", self.fence_tries_max),
        ] {
            if value == 0 {
                return Err(ActorsConfigError::Zero(name));
            }
        }
        for (name, value) in [
            ("calls_max", self.calls_max),
            ("actors_max", self.actors_max),
        ] {
            if value > 1 << 24 {
                return Err(ActorsConfigError::TooMany(name));
            }
        }
        if self.dedupe_ids > u32::from(u16::MAX) {
            return Err(ActorsConfigError::TooManyRequestIds);
        }
        for (name, value) in [
            ("idle_timeout", self.idle_timeout),
            ("waiting_timeout", self.waiting_timeout),
            ("proof_age_max", self.proof_age_max),
            ("retry_delay", self.retry_delay),
            ("store_retry_delay", self.store_retry_delay),
        ] {
            if value.is_zero() {
                return Err(ActorsConfigError::NoTime(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_actor_config_holds_and_each_rule_can_fail() {
        assert_eq!(ActorsConfig::default().check(), Ok(()));
        let broken = |change: fn(&mut ActorsConfig)| {
            let mut config = ActorsConfig::default();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|c| c.calls_max = 0),
            ActorsConfigError::Zero("calls_max")
        );
        assert_eq!(
            broken(|c| c.actors_max = u32::MAX),
            ActorsConfigError::TooMany("actors_max")
        );
        assert_eq!(
            broken(|c| c.dedupe_ids = 70_000),
            ActorsConfigError::TooManyRequestIds
        );
        assert_eq!(
            broken(|c| c.idle_timeout = Duration::ZERO),
            ActorsConfigError::NoTime("idle_timeout")
        );
    }
}
