//! Small concrete identifiers. None of them is an address, and none of them is sent or persisted.

use core::fmt;

/// One stream of this process: a slot of the stream table and the generation that tells its
/// present user from earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    slot: u32,
    generation: u32,
}

impl StreamId {
    /// The stream in `slot` at `generation`. Only a stream table, or a test in its place, makes one.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Index into the stream table.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How often the slot has been used before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// A machine's own word, handed back with every event of the stream or operation it was given with.
/// Its top byte names the machine, so that a composition can route without a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of a stream that no machine has adopted yet.
    pub const NEW: Self = Self(0);

    /// A tag of machine `machine` with 56 bits of its own.
    #[must_use]
    pub const fn new(machine: u8, rest: u64) -> Self {
        Self(((machine as u64) << 56) | (rest & 0x00ff_ffff_ffff_ffff))
    }

    /// The machine the tag names.
    #[must_use]
    pub const fn machine(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The machine's own 56 bits.
    #[must_use]
    pub const fn rest(self) -> u64 {
        self.0 & 0x00ff_ffff_ffff_ffff
    }
}

/// A node of the cluster as this process numbers it. Never persisted, never sent: the wire knows
/// hosts by their strings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A remote procedure: an index into the table of [`Methods`](crate::method::Methods).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId(pub u16);

/// A dialled connection to one node for one class of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// An accepted call, as its transport numbers it until the stream table has given it a [`StreamId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_machine_and_its_rest_apart() {
        let tag = Tag::new(7, u64::MAX);
        assert_eq!(tag.machine(), 7);
        assert_eq!(tag.rest(), (1 << 56) - 1);
        assert_eq!(Tag::new(0, 0), Tag::NEW);
    }
}
