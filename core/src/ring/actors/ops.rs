//! The storage operations in flight: what each is for.

use alloc::vec::Vec;

use super::MACHINE;
use super::calls::OP_BIT;
use crate::id::Tag;

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The step an actor waits for: fence or read.
    Step,
    /// A record with its number.
    Append { sequence: u64 },
    /// Nobody waits: the next snapshot trims again.
    Trim,
    /// Whether an actor was ever written; owner is a call.
    Probe,
}

/// An operation in flight, and the actor or call it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) purpose: Purpose,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

#[derive(Debug, Default)]
pub(super) struct Ops {
    slots: Vec<(u32, Option<InFlight>)>,
    free: Vec<u32>,
}

/// Bits of a tag that number the slot; the rest, below the bit that marks operations, is the
/// generation.
const SLOT_BITS: u32 = 24;
const GENERATION_MASK: u32 = (1 << 31) - 1;

impl Ops {
    /// A tag for an operation about to be submitted; `None` if 16 million are in flight.
    pub(super) fn insert(&mut self, what: InFlight) -> Option<Tag> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < 1 << SLOT_BITS => {
                self.slots.push((0, None));
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let (generation, held) = &mut self.slots[slot as usize];
        *generation = generation.wrapping_add(1) & GENERATION_MASK;
        *held = Some(what);
        Some(Tag::new(
            MACHINE,
            OP_BIT | (u64::from(*generation) << SLOT_BITS) | u64::from(slot),
        ))
    }

    /// The operation of a tag, which is over. A tag is good once.
    pub(super) fn take(&mut self, tag: Tag) -> Option<InFlight> {
        let rest = tag.rest();
        let slot = rest as u32 & ((1 << SLOT_BITS) - 1);
        let (generation, held) = self.slots.get_mut(slot as usize)?;
        let expected = OP_BIT | (u64::from(*generation) << SLOT_BITS) | u64::from(slot);
        if rest != expected {
            return None;
        }
        let what = held.take()?;
        self.free.push(slot);
        Some(what)
    }

    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_tag_is_good_once_and_for_its_use_only() {
        let what = InFlight {
            purpose: Purpose::Trim,
            slot: 3,
            generation: 9,
        };
        let mut ops = Ops::default();
        let first = ops.insert(what).unwrap();
        assert!(ops.take(first).is_some_and(|op| op.slot == 3));
        assert!(ops.take(first).is_none());
        let second = ops.insert(what).unwrap();
        assert!(ops.take(first).is_none());
        assert!(ops.take(second).is_some());
        assert_eq!(ops.live(), 0);
    }
}
