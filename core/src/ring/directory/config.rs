//! How a directory behaves: bounds that size its memory, and the pace of its repairs.

use alloc::string::String;

use crate::ring::placement::{AddError, Weight};
use crate::time::Duration;

/// Settings of a [`Directory`](super::Directory).
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// This node's host string, as its peers know it. Two nodes of one name would claim in each
    /// other's name.
    pub host: String,
    /// This node's share of the placement; the same on every node that speaks of this one.
    pub weight: Weight,
    /// Claims kept, own and others' together, at 29 to 32 bytes each. Claims beyond it are refused
    /// and the ids are routed by placement alone: choose it above the actors of the whole cluster.
    pub ids_max: u32,
    /// Peers known at once, at some 300 bytes each. A member beyond it is refused.
    pub peers_max: u16,
    /// How long a claim may wait for others to share its message. Longer means fewer messages and
    /// a wider window for two nodes to claim one id.
    pub batch_delay: Duration,
    /// Changes that are announced at once, without waiting for `batch_delay`.
    pub batch_ids: u32,
    /// Most ids in one announcement. 400,000 ids of ten bytes stay below the 4 MiB that other
    /// implementations accept by default.
    pub chunk_ids: u32,
    /// Own changes remembered for peers that are slow to acknowledge, at eight bytes each. A peer
    /// further behind is told all own ids anew.
    pub log_ids: u32,
    /// Ids remembered for each peer that refused them, at eight bytes each and only while there are
    /// any. Beyond it all own ids are announced to that peer again.
    pub disputed_max: u32,
    /// How long an announcement may take. Too short and slow peers are told everything twice.
    pub call_timeout: Duration,
    /// How long a peer may take to list its ids: 4 MiB over the slowest link of the cluster.
    pub fetch_timeout: Duration,
    /// How long this node waits for the ids of a new peer before it decides without them. Too short
    /// risks that an id is claimed twice for a moment; too long delays first calls while a peer
    /// that was admitted does not answer.
    pub fetch_patience: Duration,
    /// Lists of ids asked for at the same time.
    pub fetches_max: u16,
    /// How often one peer, in turn, is asked for its ids. This bounds how long a lost announcement
    /// can go unnoticed, and is the whole cost of a directory at rest.
    pub anti_entropy_interval: Duration,
    /// First wait before a failed or refused announcement is made again; it doubles up to
    /// `anti_entropy_interval`.
    pub retry_min: Duration,
    /// Longest list of own ids this node sends, in bytes: no larger than the frames of its
    /// transport.
    pub reply_bytes_max: u32,
    /// Seeds the choice of peers and the hashing of ids, which outsiders choose.
    pub seed: u64,
}

/// A rule of [`DirectoryConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryConfigError {
    /// The host string is empty.
    NoHost,
    /// A setting is zero.
    Zero(&'static str),
    /// `ids_max` exceeds 2^31: positions have no room for them.
    TooManyIds,
    /// `peers_max` exceeds 65,000.
    TooManyPeers,
    /// `chunk_ids` exceeds 400,000: an announcement could exceed 4 MiB.
    ChunkTooLarge,
    /// `log_ids` is below `batch_ids`: no batch would ever be whole.
    LogBelowBatch,
    /// `retry_min` exceeds `anti_entropy_interval`.
    RetryAboveInterval,
    /// The placement does not take this node.
    Placement(AddError),
}

impl core::fmt::Display for DirectoryConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoHost => f.write_str("host must not be empty"),
            Self::Zero(name) => write!(f, "{name} must not be zero"),
            Self::TooManyIds => f.write_str("ids_max must not exceed 2,147,483,648"),
            Self::TooManyPeers => f.write_str("peers_max must not exceed 65,000"),
            Self::ChunkTooLarge => f.write_str("chunk_ids must not exceed 400,000"),
            Self::LogBelowBatch => f.write_str("log_ids must not be below batch_ids"),
            Self::Placement(error) => write!(f, "the placement does not take this node: {error}"),
            Self::RetryAboveInterval => {
                f.write_str("retry_min must not exceed anti_entropy_interval")
            }
        }
    }
}

impl core::error::Error for DirectoryConfigError {}

impl DirectoryConfig {
    /// For nodes in one data centre.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            host: String::new(),
            weight: Weight::ONE,
            ids_max: 8 << 20,
            peers_max: 4_096,
            batch_delay: Duration::from_millis(10),
            batch_ids: 4_096,
            chunk_ids: 65_536,
            log_ids: 65_536,
            disputed_max: 4_096,
            call_timeout: Duration::from_secs(2),
            fetch_timeout: Duration::from_secs(10),
            fetch_patience: Duration::from_secs(3),
            fetches_max: 16,
            anti_entropy_interval: Duration::from_secs(5),
            retry_min: Duration::from_millis(50),
            reply_bytes_max: 64 << 20,
            seed: 0,
        }
    }

    /// For nodes on different continents.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            call_timeout: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(60),
            fetch_patience: Duration::from_secs(10),
            anti_entropy_interval: Duration::from_secs(15),
            retry_min: Duration::from_millis(250),
            ..Self::lan()
        }
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), DirectoryConfigError> {
        if self.host.is_empty() {
            return Err(DirectoryConfigError::NoHost);
        }
        for (name, value) in [
            ("ids_max", self.ids_max),
            ("peers_max", u32::from(self.peers_max)),
            ("batch_ids", self.batch_ids),
            ("chunk_ids", self.chunk_ids),
            ("disputed_max", self.disputed_max),
            ("fetches_max", u32::from(self.fetches_max)),
            ("reply_bytes_max", self.reply_bytes_max),
        ] {
            if value == 0 {
                return Err(DirectoryConfigError::Zero(name));
            }
        }
        for (name, value) in [
            ("call_timeout", self.call_timeout),
            ("fetch_timeout", self.fetch_timeout),
            ("anti_entropy_interval", self.anti_entropy_interval),
            ("retry_min", self.retry_min),
        ] {
            if value.is_zero() {
                return Err(DirectoryConfigError::Zero(name));
            }
        }
        if self.ids_max > 1 << 31 {
            return Err(DirectoryConfigError::TooManyIds);
        }
        if self.peers_max > 65_000 {
            return Err(DirectoryConfigError::TooManyPeers);
        }
        if self.chunk_ids > 400_000 {
            return Err(DirectoryConfigError::ChunkTooLarge);
        }
        if self.log_ids < self.batch_ids {
            return Err(DirectoryConfigError::LogBelowBatch);
        }
        if self.retry_min > self.anti_entropy_interval {
            return Err(DirectoryConfigError::RetryAboveInterval);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_hold_and_each_rule_can_fail() {
        let named = |config: DirectoryConfig| DirectoryConfig {
            host: "a".into(),
            ..config
        };
        assert_eq!(named(DirectoryConfig::lan()).check(), Ok(()));
        assert_eq!(named(DirectoryConfig::wan()).check(), Ok(()));
        assert_eq!(
            DirectoryConfig::lan().check(),
            Err(DirectoryConfigError::NoHost)
        );
        let broken = |change: fn(&mut DirectoryConfig)| {
            let mut config = named(DirectoryConfig::lan());
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|c| c.batch_ids = 0),
            DirectoryConfigError::Zero("batch_ids")
        );
        assert_eq!(
            broken(|c| c.retry_min = Duration::ZERO),
            DirectoryConfigError::Zero("retry_min")
        );
        assert_eq!(
            broken(|c| c.ids_max = u32::MAX),
            DirectoryConfigError::TooManyIds
        );
        assert_eq!(
            broken(|c| c.peers_max = u16::MAX),
            DirectoryConfigError::TooManyPeers
        );
        assert_eq!(
            broken(|c| c.chunk_ids = 400_001),
            DirectoryConfigError::ChunkTooLarge
        );
        assert_eq!(
            broken(|c| c.log_ids = 1),
            DirectoryConfigError::LogBelowBatch
        );
        assert_eq!(
            broken(|c| c.retry_min = Duration::from_secs(60)),
            DirectoryConfigError::RetryAboveInterval
        );
    }
}
