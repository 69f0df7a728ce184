//! The address book: every host string this process has heard of, numbered in order of first sight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::id::NodeId;
use crate::machine::Full;

/// Host strings by number and numbers by host string. A number stays good for the life of the process,
/// unless it is given back by whoever knows that nobody holds it; the bound keeps hostile names from
/// filling memory.
#[derive(Clone, Debug)]
pub struct AddressBook {
    names: Vec<Box<str>>,
    by_name: HashTable<u32>,
    /// Numbers that were given back.
    free: Vec<u32>,
    seed: u64,
    capacity: u32,
}

/// Longest host string accepted: a DNS name and a port, with room to spare.
pub const NAME_BYTES_MAX: usize = 512;

impl AddressBook {
    /// A book for `capacity` names. `seed` keeps outsiders from choosing names that collide.
    #[must_use]
    pub fn new(capacity: u32, seed: u64) -> Self {
        Self {
            names: Vec::with_capacity(capacity as usize),
            by_name: HashTable::with_capacity(capacity as usize),
            free: Vec::new(),
            seed,
            capacity,
        }
    }

    /// The number of `name`, given on first sight. Allocates for a new name only.
    ///
    /// # Errors
    /// [`Full`] if the book is, or the name is longer than [`NAME_BYTES_MAX`].
    pub fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        if let Some(node) = self.find(name) {
            return Ok(node);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Full);
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.names[number as usize] = name.into();
                number
            }
            None if self.names.len() < self.capacity as usize => {
                self.names.push(name.into());
                self.names.len() as u32 - 1
            }
            None => return Err(Full),
        };
        let (names, seed) = (&self.names, self.seed);
        self.by_name
            .insert_unique(hash(seed, name.as_bytes()), number, |n| {
                hash(seed, names[*n as usize].as_bytes())
            });
        Ok(NodeId(number))
    }

    /// The number of `name`, if it has one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let at = self.by_name.find(hash(self.seed, name.as_bytes()), |n| {
            &*self.names[*n as usize] == name
        })?;
        Some(NodeId(*at))
    }

    /// Takes back the number of a node of which nobody holds it any more: it may name another next.
    pub fn forget(&mut self, node: NodeId) {
        let Some(name) = self
            .names
            .get(node.0 as usize)
            .filter(|name| !name.is_empty())
        else {
            return;
        };
        let known = self
            .by_name
            .find_entry(hash(self.seed, name.as_bytes()), |n| *n == node.0);
        if let Ok(entry) = known {
            entry.remove();
            self.names[node.0 as usize] = Box::default();
            self.free.push(node.0);
        }
    }

    /// The name of a node; empty for a number the book did not give.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        self.names.get(node.0 as usize).map_or("", |name| name)
    }

    /// How many names are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len() - self.free.len()
    }

    /// Whether no name is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A seeded hash of short strings: one multiply-and-fold per 8 bytes, as wyhash does. It stays
/// inside the process.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut state = fold(seed ^ K, (bytes.len() as u64) ^ 0xd6e8_feb8_6659_fd93);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = fold(state ^ u64::from_le_bytes(word), K ^ seed.rotate_left(17));
    }
    fold(state ^ K, 0xa076_1d64_78bd_642f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_name_keeps_its_number() {
        let mut book = AddressBook::new(100, 7);
        for i in 0..100 {
            assert_eq!(book.node(&format!("10.0.0.{i}:7000")), Ok(NodeId(i)));
        }
        assert_eq!(book.node("10.0.0.7:7000"), Ok(NodeId(7)));
        assert_eq!(book.find("10.0.0.99:7000"), Some(NodeId(99)));
        assert_eq!(book.name(NodeId(3)), "10.0.0.3:7000");
        assert_eq!(book.find("elsewhere"), None);
        assert_eq!(book.name(NodeId(1_000)), "");
    }

    #[test]
    fn the_bound_holds_and_changes_nothing() {
        let mut book = AddressBook::new(1, 0);
        book.node("a").unwrap();
        assert_eq!(book.node("b"), Err(Full));
        assert_eq!(book.node("a"), Ok(NodeId(0)));
        assert_eq!(
            AddressBook::new(9, 0).node(&"x".repeat(NAME_BYTES_MAX + 1)),
            Err(Full)
        );
    }

    #[test]
    fn a_number_that_is_given_back_names_another() {
        let mut book = AddressBook::new(2, 3);
        let (a, b) = (book.node("a").unwrap(), book.node("b").unwrap());
        book.forget(b);
        book.forget(b);
        assert_eq!((book.len(), book.find("b"), book.name(b)), (1, None, ""));
        assert_eq!(book.node("c"), Ok(b));
        assert_eq!((book.name(a), book.name(b)), ("a", "c"));
        assert_eq!(book.node("d"), Err(Full));
    }
}
