//! Who should own an id: a pure function of the set of hosts.
//!
//! Rendezvous hashing over slots. With `P` slots, a power of two:
//!
//! ```text
//! slot(id)          = fmix64(id) >> (64 - log2 P)
//! hash(slot, host)  = fmix64(splitmix64(slot) ^ xxh3_64(host))
//! owner(slot)       = the host with the lowest bid, then the highest hash, then the smallest string
//! bid               = -log2(hash / 2^64) / weight     (integers, see `weight`)
//! ```
//!
//! With equal weights the owner is simply the host with the highest hash. Any order of additions and
//! removals that ends in the same hosts ends in the same owners, and no more ids move than must:
//! those of a host that leaves, and those a host that comes is the best for. Nothing depends on
//! floating point, on the machine's word size or byte order, or on a hasher of the standard library.

mod config;
mod direct;
pub mod hash;
mod hosts;
mod rank;
mod slots;
mod weight;

use core::fmt;

pub use crate::xxh3::xxh3_64;
pub use config::{PlacementConfig, PlacementConfigError, SLOTS_LOG2_MAX, Structure};
pub use direct::DIRECT_HOSTS_MAX;
pub use rank::{Rank, rank};
pub use weight::Weight;

use hash::{fmix64_high, splitmix64};
use hosts::Hosts;
use slots::HrwSlots;

/// The longest host string, in bytes.
pub const HOST_BYTES_MAX: usize = 1024;

/// Why a host was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// There are `hosts_max` hosts already.
    Full,
    /// A host with this key is in the set.
    DuplicateKey,
    /// A host of this name is in the set.
    DuplicateHost,
    /// The host string is empty or longer than [`HOST_BYTES_MAX`].
    HostLength,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "there are hosts_max hosts already",
            Self::DuplicateKey => "a host with this key is in the set",
            Self::DuplicateHost => "a host of this name is in the set",
            Self::HostLength => "a host string must have from 1 to 1,024 bytes",
        })
    }
}

impl core::error::Error for AddError {}

/// A host to place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The caller's own number for the host, given back by look-ups. It decides nothing.
    pub key: u32,
    /// The host string, by which all nodes know the host.
    pub name: &'a str,
    /// How much it should own.
    pub weight: Weight,
}

/// The slot of an id among `2^slots_log2`, which is at most [`SLOTS_LOG2_MAX`]; more counts as that.
/// Cost: about 1 ns.
#[inline]
#[must_use]
pub const fn slot_of(id: u64, slots_log2: u8) -> u32 {
    let log2 = if slots_log2 > SLOTS_LOG2_MAX {
        SLOTS_LOG2_MAX
    } else {
        slots_log2
    };
    // Two steps, so that a single slot needs no shift by 64.
    (fmix64_high(id) >> 1 >> (63 - log2 as u32)) as u32
}

/// The owner of every id for a set of hosts.
///
/// All memory is taken at construction, for host strings of 32 bytes on average; longer ones let it
/// grow. Look-ups never allocate. To share it with other threads, publish a clone in an `Arc` after
/// each change; `clone_from` into a copy that nobody reads any more allocates nothing.
#[derive(Debug)]
pub struct Placement {
    config: PlacementConfig,
    hosts: Hosts,
    table: HrwSlots,
    /// `64 - slots_log2`.
    shift: u32,
}

impl Placement {
    /// A placement on no host.
    ///
    /// # Errors
    /// The first rule of the setting that does not hold.
    pub fn new(config: PlacementConfig) -> Result<Self, PlacementConfigError> {
        config.check()?;
        let mut table = match config.structure {
            Structure::Direct => HrwSlots::none(),
            Structure::Table | Structure::ByHostCount => HrwSlots::new(config.slots_log2),
        };
        table.set_used(config.structure == Structure::Table);
        Ok(Self {
            hosts: Hosts::new(config.hosts_max),
            table,
            shift: 64 - u32::from(config.slots_log2),
            config,
        })
    }

    /// The key of the host that should own `id`; `None` without hosts.
    ///
    /// Cost: about 1.2 ns with a table of 2^16 slots, 1.4 ns per host without. Allocates nothing.
    #[inline]
    #[must_use]
    pub fn owner(&self, id: u64) -> Option<u32> {
        let slot = self.slot_of(id);
        match self.table.owner_of_slot(slot) {
            Some(index) => self.hosts.key(index),
            None => self.search(slot),
        }
    }

    /// The owner of a slot while there is no table.
    #[inline]
    fn search(&self, slot: u32) -> Option<u32> {
        self.hosts.key(direct::best(&self.hosts, slot))
    }

    /// The key of the host that should own a slot; `None` without hosts and for a slot there is not.
    #[must_use]
    pub fn owner_of_slot(&self, slot: u32) -> Option<u32> {
        if slot >= self.slots() {
            return None;
        }
        match self.table.owner_of_slot(slot) {
            Some(index) => self.hosts.key(index),
            None => self.search(slot),
        }
    }

    /// The slot of an id, below [`slots`](Self::slots).
    #[inline]
    #[must_use]
    pub fn slot_of(&self, id: u64) -> u32 {
        (fmix64_high(id) >> self.shift) as u32
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> u32 {
        1 << self.config.slots_log2
    }

    /// How many slots a host owns: its share is this of [`slots`](Self::slots). 0 for a host that is
    /// not in the set. Cost: a pass over the table, 10 to 30 us for 2^16 slots; a search per slot
    /// without a table.
    #[must_use]
    pub fn slots_of(&self, key: u32) -> u32 {
        let Some(index) = self.hosts.find(key) else {
            return 0;
        };
        if self.table.is_used() {
            return self.table.count(index);
        }
        (0..self.slots())
            .map(|slot| u32::from(direct::best(&self.hosts, slot) == index))
            .sum()
    }

    /// How strongly a host of the set claims `id`; [`rank()`] answers for any host. Cost: about
    /// 10 ns and a linear search for the key.
    #[must_use]
    pub fn rank(&self, key: u32, id: u64) -> Option<Rank<'_>> {
        let index = self.hosts.find(key)?;
        Some(
            self.hosts
                .rank(splitmix64(u64::from(self.slot_of(id))), index),
        )
    }

    /// Adds a host and gives it the ids it is best for; no other id moves.
    ///
    /// Cost: three hashes per slot, about 0.2 ms for 2^16 slots, whatever the number of hosts.
    /// `key` is the caller's own number for the host.
    ///
    /// # Errors
    /// The host is refused and nothing is changed.
    pub fn add(&mut self, key: u32, host: &str, weight: Weight) -> Result<(), AddError> {
        let index = self.hosts.insert(key, host, weight)?;
        if self.table.is_used() {
            self.table.add(&self.hosts, index);
        } else if self.wants_table() {
            self.table.set_used(true);
            self.table.rebuild(&self.hosts);
        }
        Ok(())
    }

    /// Removes a host and gives its ids to the best of the others; no other id moves. `false` if
    /// there is no such host.
    ///
    /// Cost: a pass over the table and one hash per slot on average, about 0.15 ms for 2^16 slots.
    pub fn remove(&mut self, key: u32) -> bool {
        let Some(index) = self.hosts.find(key) else {
            return false;
        };
        self.hosts.remove(index);
        self.table.set_used(self.wants_table());
        self.table.remove(&self.hosts, index);
        true
    }

    /// Replaces the whole set. Cheaper than one by one from about half as many new hosts as there
    /// are hosts. Cost: slots times hosts, 1.3 ns each: 86 ms for 2^16 slots and 1,000 hosts.
    ///
    /// # Errors
    /// The first host that is refused; nothing is changed.
    pub fn rebuild(&mut self, hosts: &[Host<'_>]) -> Result<(), AddError> {
        let mut fresh = Hosts::new(self.config.hosts_max);
        for host in hosts {
            fresh.insert(host.key, host.name, host.weight)?;
        }
        self.hosts = fresh;
        self.table.set_used(self.wants_table());
        self.table.rebuild(&self.hosts);
        Ok(())
    }

    fn wants_table(&self) -> bool {
        match self.config.structure {
            Structure::Table => true,
            Structure::Direct => false,
            Structure::ByHostCount => self.hosts.len() > usize::from(DIRECT_HOSTS_MAX),
        }
    }

    /// The hosts of the set, in no particular order.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.hosts.indices().map(|index| Host {
            key: self.hosts.keys()[index.place()],
            name: self.hosts.name(index),
            weight: self.hosts.weights()[index.place()],
        })
    }

    /// Whether a host of this key is in the set. Linear in the hosts.
    #[must_use]
    pub fn contains(&self, key: u32) -> bool {
        self.hosts.find(key).is_some()
    }

    /// The number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no host, and so no owner of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The setting.
    #[must_use]
    pub fn config(&self) -> &PlacementConfig {
        &self.config
    }

    /// The fingerprint of the part of the setting that all nodes share, see
    /// [`PlacementConfig::fingerprint`]. The same for any hosts.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.config.fingerprint()
    }

    /// Bytes of heap memory held: `2 * slots` for the table and 56 per host there is room for.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.hosts.memory_bytes()
    }
}

impl Clone for Placement {
    fn clone(&self) -> Self {
        Self {
            config: self.config,
            hosts: self.hosts.clone(),
            table: self.table.clone(),
            shift: self.shift,
        }
    }

    /// Allocates nothing if both have the same setting.
    fn clone_from(&mut self, source: &Self) {
        self.config = source.config;
        self.hosts.clone_from(&source.hosts);
        self.table.clone_from(&source.table);
        self.shift = source.shift;
    }
}
