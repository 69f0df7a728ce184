//! How a membership behaves: the pace of its failure detector, and bounds that size its memory.

use alloc::string::String;
use alloc::vec::Vec;

use super::partition::PartitionPolicy;
use crate::addresses::NAME_BYTES_MAX;
use crate::time::Duration;

/// Settings of a [`Membership`](super::Membership).
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// This node's host string, as its peers dial it. Two nodes of one name refuse each other.
    pub host: String,
    /// Counts the starts of this node; the engine's. A start that does not count up looks like a
    /// process that never stopped, and one that counts down is ignored for a `tombstone`.
    pub incarnation: u64,
    /// Hosts to ask for the cluster; asked again for ever while they are no members. None: this node
    /// is the first and holds the majority at once. This node's own name among them allows it to
    /// begin alone after `bootstrap_after`; without it, it waits for one of the others for ever.
    pub seeds: Vec<String>,
    /// Time between two probes; one peer each. Longer means later detection, shorter more messages.
    pub probe_interval: Duration,
    /// How long a probe may take. Below the worst usual round trip, healthy hosts are asked about. While
    /// answers take more than a quarter of it on average, it is up to eight times as long.
    pub probe_timeout: Duration,
    /// Peers asked about a host that did not answer. With 1 or 2, one lost message more often keeps
    /// a dead host alive for another round.
    pub indirect_probes: u8,
    /// How long a host that nobody reaches stays a member as a suspect. This is the pause of a
    /// process, or of its network, that is forgiven: 2 s is fast, 6 s forgives freezes of 5 s.
    pub hold: Duration,
    /// Time between two probes of a suspect, each of which may clear it.
    pub hold_probe_interval: Duration,
    /// Peers told at once that a host is gone. With 1, news of a death may die out.
    pub spread_fan_out: u8,
    /// Time between two exchanges of views, with one peer each: the repair of everything missed.
    pub exchange_interval: Duration,
    /// The same while the view changes: shorter means that joins are known by all sooner.
    pub exchange_interval_changing: Duration,
    /// How long a host that went is remembered as gone; at least 60 s. Shorter and hearsay of slow
    /// peers brings the dead back.
    pub tombstone: Duration,
    /// Shortest time between two pings of a host that is remembered as gone.
    pub verify_interval: Duration,
    /// Longest time between two attempts to reach a failed host or an absent seed: how long a
    /// healed partition may go unnoticed.
    pub retry_interval_max: Duration,
    /// A due time that was missed by more says that this process stood still: its suspicions are
    /// dropped. Too small and a busy process never suspects anybody; too large and a frozen one
    /// removes hosts that are alive.
    pub lag_limit: Duration,
    /// Members and hosts remembered as gone, together, at some 200 bytes each. Hosts beyond it are
    /// ignored.
    pub hosts_max: u32,
    /// Hosts heard of and not verified yet. Hearsay beyond it is ignored until there is room.
    pub candidates_max: u32,
    /// Own calls open at once, at some 100 bytes each. Too few and checks wait for each other.
    pub calls_max: u32,
    /// Pings of hosts that are no members open at once: bounds the burst of a join.
    pub verifications_max: u32,
    /// Calls of peers open at once that wait for a ping made for them. Beyond it the answer is what
    /// this node believes.
    pub errands_max: u32,
    /// Whether a host that refuses the connection is removed without the hold, once peers confirm.
    /// Right where a refusal means that the process is gone; wrong behind proxies and load balancers.
    pub refused_skips_hold: bool,
    /// Whether a `Closing` of a caller that says nothing of itself drops the host at once, as peers that
    /// know nothing of our metadata expect. Where nodes are known by certificates it need not be: then it
    /// is verified first, as news from another would be.
    pub believes_strangers: bool,
    /// What the smaller side of a partition does.
    pub partition: PartitionPolicy,
    /// How long a node whose seeds name itself waits for the others before it begins alone. Shorter
    /// than a start takes and nodes that start together begin apart.
    pub bootstrap_after: Duration,
    /// How long the notices of a node that leaves may take.
    pub leave_timeout: Duration,
    /// Seeds the choice of peers and the hashing of names, which outsiders choose.
    pub seed: u64,
}

/// A rule of [`MembershipConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipConfigError {
    /// The host string is empty.
    NoHost,
    /// A seed is an empty string.
    EmptySeed,
    /// A host string is longer than an address book takes.
    NameTooLong,
    /// A setting is zero.
    Zero(&'static str),
    /// `probe_timeout` exceeds `probe_interval`.
    TimeoutAboveInterval,
    /// `hold_probe_interval` exceeds a `hold` that is not zero: a suspect would never be probed.
    NoProbeInHold,
    /// `exchange_interval_changing` exceeds `exchange_interval`.
    ChangingAboveInterval,
    /// `tombstone` is below 60 s.
    TombstoneTooShort,
    /// `verify_interval` exceeds `retry_interval_max`.
    VerifyAboveRetry,
    /// `lag_limit` is not below `probe_timeout` and `hold` together: a frozen process would remove
    /// hosts before it noticed.
    LagAboveHold,
    /// `hosts_max` and `candidates_max` together exceed 2^20, or `calls_max` exceeds 2^20.
    TooMany,
}

impl core::fmt::Display for MembershipConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoHost => f.write_str("host must not be empty"),
            Self::EmptySeed => f.write_str("seeds must not contain an empty string"),
            Self::NameTooLong => write!(f, "host strings must not exceed {NAME_BYTES_MAX} bytes"),
            Self::Zero(name) => write!(f, "{name} must not be zero"),
            Self::TimeoutAboveInterval => {
                f.write_str("probe_timeout must not exceed probe_interval")
            }
            Self::NoProbeInHold => f.write_str("hold_probe_interval must not exceed hold"),
            Self::ChangingAboveInterval => {
                f.write_str("exchange_interval_changing must not exceed exchange_interval")
            }
            Self::TombstoneTooShort => f.write_str("tombstone must not be below 60 s"),
            Self::VerifyAboveRetry => {
                f.write_str("verify_interval must not exceed retry_interval_max")
            }
            Self::LagAboveHold => {
                f.write_str("lag_limit must be below probe_timeout and hold together")
            }
            Self::TooMany => f.write_str(
                "neither hosts_max and candidates_max nor calls_max may exceed 1,048,576",
            ),
        }
    }
}

impl core::error::Error for MembershipConfigError {}

impl MembershipConfig {
    /// For hosts that are not paused for long: a crash is known by all within about 6 s.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            host: String::new(),
            incarnation: 1,
            seeds: Vec::new(),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            hold: Duration::from_secs(2),
            hold_probe_interval: Duration::from_millis(700),
            spread_fan_out: 3,
            exchange_interval: Duration::from_secs(1),
            exchange_interval_changing: Duration::from_millis(200),
            tombstone: Duration::from_secs(60),
            verify_interval: Duration::from_secs(2),
            retry_interval_max: Duration::from_secs(10),
            lag_limit: Duration::from_millis(500),
            hosts_max: 4_096,
            candidates_max: 4_096,
            calls_max: 1_024,
            verifications_max: 64,
            errands_max: 64,
            refused_skips_hold: false,
            believes_strangers: true,
            partition: PartitionPolicy::KeepMajority,
            bootstrap_after: Duration::from_secs(2),
            leave_timeout: Duration::from_secs(2),
            seed: 0,
        }
    }

    /// For hosts that freeze for up to 5 s (live migration, long collections, overcommitted
    /// machines): a crash is known by all within about 10 s.
    #[must_use]
    pub fn patient() -> Self {
        Self {
            hold: Duration::from_secs(6),
            ..Self::lan()
        }
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), MembershipConfigError> {
        if self.host.is_empty() {
            return Err(MembershipConfigError::NoHost);
        }
        if self.seeds.iter().any(String::is_empty) {
            return Err(MembershipConfigError::EmptySeed);
        }
        if self
            .seeds
            .iter()
            .chain([&self.host])
            .any(|name| name.len() > NAME_BYTES_MAX)
        {
            return Err(MembershipConfigError::NameTooLong);
        }
        self.check_zeros()?;
        if self.probe_timeout > self.probe_interval {
            return Err(MembershipConfigError::TimeoutAboveInterval);
        }
        if !self.hold.is_zero() && self.hold_probe_interval > self.hold {
            return Err(MembershipConfigError::NoProbeInHold);
        }
        if self.exchange_interval_changing > self.exchange_interval {
            return Err(MembershipConfigError::ChangingAboveInterval);
        }
        if self.tombstone < Duration::from_secs(60) {
            return Err(MembershipConfigError::TombstoneTooShort);
        }
        if self.verify_interval > self.retry_interval_max {
            return Err(MembershipConfigError::VerifyAboveRetry);
        }
        if self.lag_limit >= self.probe_timeout.saturating_add(self.hold) {
            return Err(MembershipConfigError::LagAboveHold);
        }
        if self
            .hosts_max
            .saturating_add(self.candidates_max)
            .max(self.calls_max)
            > 1 << 20
        {
            return Err(MembershipConfigError::TooMany);
        }
        Ok(())
    }

    fn check_zeros(&self) -> Result<(), MembershipConfigError> {
        for (name, value) in [
            ("probe_interval", self.probe_interval),
            ("probe_timeout", self.probe_timeout),
            ("hold_probe_interval", self.hold_probe_interval),
            ("exchange_interval", self.exchange_interval),
            (
                "exchange_interval_changing",
                self.exchange_interval_changing,
            ),
            ("verify_interval", self.verify_interval),
            ("lag_limit", self.lag_limit),
            ("bootstrap_after", self.bootstrap_after),
            ("leave_timeout", self.leave_timeout),
        ] {
            if value.is_zero() {
                return Err(MembershipConfigError::Zero(name));
            }
        }
        for (name, value) in [
            ("indirect_probes", u32::from(self.indirect_probes)),
            ("spread_fan_out", u32::from(self.spread_fan_out)),
            ("hosts_max", self.hosts_max),
            ("candidates_max", self.candidates_max),
            ("calls_max", self.calls_max),
            ("verifications_max", self.verifications_max),
            ("errands_max", self.errands_max),
        ] {
            if value == 0 {
                return Err(MembershipConfigError::Zero(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(config: MembershipConfig) -> MembershipConfig {
        MembershipConfig {
            host: "a:1".into(),
            ..config
        }
    }

    #[test]
    fn the_presets_hold_once_they_have_a_name() {
        assert_eq!(named(MembershipConfig::lan()).check(), Ok(()));
        assert_eq!(named(MembershipConfig::patient()).check(), Ok(()));
        assert_eq!(
            MembershipConfig::lan().check(),
            Err(MembershipConfigError::NoHost)
        );
    }

    #[test]
    fn each_rule_can_fail() {
        use MembershipConfigError as E;
        let broken = |change: fn(&mut MembershipConfig)| {
            let mut config = named(MembershipConfig::lan());
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|c| c.seeds = alloc::vec![String::new()]),
            E::EmptySeed
        );
        assert_eq!(
            broken(|c| c.seeds = alloc::vec!["x".repeat(NAME_BYTES_MAX + 1)]),
            E::NameTooLong
        );
        assert_eq!(
            broken(|c| c.lag_limit = Duration::ZERO),
            E::Zero("lag_limit")
        );
        assert_eq!(broken(|c| c.errands_max = 0), E::Zero("errands_max"));
        assert_eq!(
            broken(|c| c.probe_timeout = Duration::from_secs(2)),
            E::TimeoutAboveInterval
        );
        assert_eq!(
            broken(|c| c.hold = Duration::from_millis(600)),
            E::NoProbeInHold
        );
        assert_eq!(
            broken(|c| c.exchange_interval_changing = Duration::from_secs(2)),
            E::ChangingAboveInterval
        );
        assert_eq!(
            broken(|c| c.tombstone = Duration::from_secs(59)),
            E::TombstoneTooShort
        );
        assert_eq!(
            broken(|c| c.verify_interval = Duration::from_secs(11)),
            E::VerifyAboveRetry
        );
        assert_eq!(
            broken(|c| c.lag_limit = Duration::from_millis(2_500)),
            E::LagAboveHold
        );
        assert_eq!(broken(|c| c.hosts_max = 1 << 20), E::TooMany);
        assert_eq!(broken(|c| c.calls_max = u32::MAX), E::TooMany);
    }
}
