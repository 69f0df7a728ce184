//! The setting of a placement, most of which all nodes of a cluster must share.

use core::fmt;

use super::direct::DIRECT_HOSTS_MAX;
use crate::xxh3::xxh3_64;

/// The most slots a placement can have, as a power of two: 2 MiB of table.
pub const SLOTS_LOG2_MAX: u8 = 20;

/// How owners are found. Each node may choose for itself: the owners are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Structure {
    /// A table of two bytes per slot from the start. Look-ups cost about 1 ns whatever the number of
    /// hosts; a change of the hosts costs a pass over the table.
    #[default]
    Table,
    /// No table: for at most [`DIRECT_HOSTS_MAX`] hosts and where memory is dear. A look-up costs
    /// about 1.4 ns per host, a change nothing to speak of.
    Direct,
    /// Direct while there are at most [`DIRECT_HOSTS_MAX`] hosts, the table above. The table's memory
    /// is taken at the start; each crossing upwards fills it, about 1.5 ms for 2^16 slots.
    ByHostCount,
}

/// The setting of a placement. Checked by [`Placement::new`](super::Placement::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementConfig {
    /// The number of slots is two to this power, 1 to [`SLOTS_LOG2_MAX`]. The same on all nodes of a
    /// cluster and for its life: another number moves nearly every id.
    ///
    /// Choose it by the number of hosts. The fullest host has, against the mean, 1.02 with 10 hosts
    /// and 1.12 with 100 at 16; with 1,000 hosts it has 1.40 at 16 and 1.10 at 20. A table takes
    /// `2^(slots_log2 + 1)` bytes, and the cost of a change grows in step.
    pub slots_log2: u8,
    /// Hosts in the set at once; memory for them is taken at the start, 56 bytes each. Hosts beyond
    /// are refused, and a node that cannot place on a host disagrees with those that can.
    pub hosts_max: u16,
    /// How owners are found on this node.
    pub structure: Structure,
    /// A hash of the cluster's weights per host, as the caller defines it; 0 if all are equal. It
    /// only enters the fingerprint.
    pub weights: u64,
}

impl Default for PlacementConfig {
    /// 65,536 slots, 1,024 hosts, a table, equal weights.
    fn default() -> Self {
        Self {
            slots_log2: 16,
            hosts_max: 1024,
            structure: Structure::Table,
            weights: 0,
        }
    }
}

/// A rule of [`PlacementConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementConfigError {
    /// `slots_log2` is 0 or above [`SLOTS_LOG2_MAX`].
    Slots,
    /// `hosts_max` is 0.
    NoHosts,
    /// `hosts_max` exceeds the number of slots: some hosts could never own anything.
    MoreHostsThanSlots,
    /// [`Structure::Direct`] with a `hosts_max` above [`DIRECT_HOSTS_MAX`].
    TooManyHostsForDirect,
}

impl fmt::Display for PlacementConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slots => "slots_log2 must be from 1 to 20",
            Self::NoHosts => "hosts_max must not be zero",
            Self::MoreHostsThanSlots => "hosts_max must not exceed the number of slots",
            Self::TooManyHostsForDirect => "hosts_max must not exceed 16 where there is no table",
        })
    }
}

impl core::error::Error for PlacementConfigError {}

impl PlacementConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), PlacementConfigError> {
        if !(1..=SLOTS_LOG2_MAX).contains(&self.slots_log2) {
            return Err(PlacementConfigError::Slots);
        }
        if self.hosts_max == 0 {
            return Err(PlacementConfigError::NoHosts);
        }
        if u32::from(self.hosts_max) > 1 << self.slots_log2 {
            return Err(PlacementConfigError::MoreHostsThanSlots);
        }
        if self.structure == Structure::Direct && self.hosts_max > DIRECT_HOSTS_MAX {
            return Err(PlacementConfigError::TooManyHostsForDirect);
        }
        Ok(())
    }

    /// A fingerprint of what all nodes of a cluster must share: the definition of the placement, the
    /// slot count and the weights. XXH3-64 of the setting written as text, see the
    /// [`Display`](fmt::Display) of this type; `hosts_max` and `structure` are each node's own.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut text = Line {
            bytes: [0; 128],
            length: 0,
        };
        // The text has a fixed length far below the room for it.
        let written = fmt::write(&mut text, format_args!("{self}"));
        debug_assert!(written.is_ok());
        xxh3_64(&text.bytes[..text.length])
    }
}

impl fmt::Display for PlacementConfig {
    /// The shared part of the setting, with every algorithm named and a version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trefoil-placement 1 slots_log2={:02} id=fmix64 slot=splitmix64 host=xxh3-64 score=fmix64 weights={:016x}",
            self.slots_log2, self.weights
        )
    }
}

struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_default_holds_and_each_rule_can_fail() {
        assert_eq!(PlacementConfig::default().check(), Ok(()));
        let broken = |change: fn(&mut PlacementConfig)| {
            let mut config = PlacementConfig::default();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(broken(|c| c.slots_log2 = 0), PlacementConfigError::Slots);
        assert_eq!(broken(|c| c.slots_log2 = 21), PlacementConfigError::Slots);
        assert_eq!(broken(|c| c.hosts_max = 0), PlacementConfigError::NoHosts);
        assert_eq!(
            broken(|c| c.slots_log2 = 9),
            PlacementConfigError::MoreHostsThanSlots
        );
        assert_eq!(
            broken(|c| c.structure = Structure::Direct),
            PlacementConfigError::TooManyHostsForDirect
        );
    }

    #[test]
    fn the_fingerprint_is_of_what_must_be_shared() {
        let config = PlacementConfig::default();
        let own = PlacementConfig {
            hosts_max: 3,
            structure: Structure::Direct,
            ..config
        };
        assert_eq!(config.fingerprint(), own.fingerprint());
        let slots = PlacementConfig {
            slots_log2: 20,
            ..config
        };
        let weights = PlacementConfig {
            weights: 1,
            ..config
        };
        assert_ne!(config.fingerprint(), slots.fingerprint());
        assert_ne!(config.fingerprint(), weights.fingerprint());
        assert_eq!(config.fingerprint(), xxh3_64(config.to_string().as_bytes()));
    }
}
