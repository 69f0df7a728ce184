//! The table: the owner of every slot, kept up to date host by host.

use alloc::boxed::Box;
use core::mem;

use super::direct;
use super::hosts::{HostIndex, Hosts};

/// The owner of every slot, two bytes each. Allocated once, and used or not.
#[derive(Debug)]
pub(super) struct HrwSlots {
    /// Empty while the table is not used: then the bounds check of a look-up, which there must be
    /// anyway, is what sends it elsewhere.
    owners: Box<[u16]>,
    /// The memory of the table while it is not used; empty otherwise.
    spare: Box<[u16]>,
}

impl HrwSlots {
    /// A table of `2^slots_log2` slots without owners, in use.
    pub(super) fn new(slots_log2: u8) -> Self {
        let owners = alloc::vec![HostIndex::NONE.0; 1 << slots_log2].into_boxed_slice();
        Self {
            owners,
            spare: Box::new([]),
        }
    }

    /// No table at all: never to be used.
    pub(super) fn none() -> Self {
        Self {
            owners: Box::new([]),
            spare: Box::new([]),
        }
    }

    pub(super) fn is_used(&self) -> bool {
        !self.owners.is_empty()
    }

    /// Takes the table into use, with whatever is in it, or out of use.
    pub(super) fn set_used(&mut self, used: bool) {
        if used != self.is_used() {
            mem::swap(&mut self.owners, &mut self.spare);
        }
    }

    /// The owner of a slot, which is [`HostIndex::NONE`] if there are no hosts; `None` if the table
    /// is not used or has no such slot.
    #[inline]
    pub(super) fn owner_of_slot(&self, slot: u32) -> Option<HostIndex> {
        self.owners
            .get(slot as usize)
            .map(|owner| HostIndex(*owner))
    }

    /// Slots of one host. Linear in the slots.
    pub(super) fn count(&self, index: HostIndex) -> u32 {
        self.owners
            .iter()
            .map(|owner| u32::from(*owner == index.0))
            .sum()
    }

    /// Fills the table from nothing. Cost: slots times hosts, 1.3 ns each.
    pub(super) fn rebuild(&mut self, hosts: &Hosts) {
        for (slot, owner) in self.owners.iter_mut().enumerate() {
            *owner = direct::best(hosts, slot as u32).0;
        }
    }

    /// Gives a host that was just inserted the slots it is best for. Three hashes per slot: the
    /// winning scores are computed again, since keeping them would cost four times the table.
    pub(super) fn add(&mut self, hosts: &Hosts, added: HostIndex) {
        for (slot, owner) in self.owners.iter_mut().enumerate() {
            if direct::is_better(hosts, slot as u32, added, HostIndex(*owner)) {
                *owner = added.0;
            }
        }
    }

    /// Gives the slots of a host that was just removed to the best of the rest, and renames the host
    /// that moved to its place. One pass over the table, and a search for each slot it had.
    pub(super) fn remove(&mut self, hosts: &Hosts, removed: HostIndex) {
        let moved = hosts.len() as u16;
        for (slot, owner) in self.owners.iter_mut().enumerate() {
            if *owner == removed.0 {
                *owner = direct::best(hosts, slot as u32).0;
            } else if *owner == moved {
                *owner = removed.0;
            }
        }
    }

    /// Bytes of heap memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.owners) + size_of_val(&*self.spare)
    }
}

impl Clone for HrwSlots {
    fn clone(&self) -> Self {
        Self {
            owners: self.owners.clone(),
            spare: self.spare.clone(),
        }
    }

    /// Allocates nothing if both tables have the same size.
    fn clone_from(&mut self, source: &Self) {
        self.set_used(source.is_used());
        self.owners.clone_from(&source.owners);
        self.spare.clone_from(&source.spare);
    }
}
