//! Numbered places that are used again, each time under another generation.

use alloc::vec::Vec;

/// A place and who holds it: good until that one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    used: bool,
    value: T,
}

/// Up to `max` places. What was in a place stays there for who comes next, so that its memory is used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    max: u32,
}

impl<T: Default> Slab<T> {
    pub(super) const fn new(max: u32) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            max,
        }
    }

    /// A free place, as whoever had it last has left it; none if all are taken.
    pub(super) fn take(&mut self) -> Option<(Key, &mut T)> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.places.len() < self.max as usize => {
                self.places.push(Place {
                    generation: 0,
                    used: false,
                    value: T::default(),
                });
                self.places.len() as u32 - 1
            }
            None => return None,
        };
        let place = &mut self.places[slot as usize];
        // Tags hold 24 bits of it.
        place.generation = (place.generation + 1) & 0x00ff_ffff;
        place.used = true;
        let generation = place.generation;
        Some((Key { slot, generation }, &mut place.value))
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.slot as usize)?;
        (place.used && place.generation == key.generation).then_some(&mut place.value)
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.slot as usize)?;
        (place.used && place.generation == key.generation).then_some(&place.value)
    }

    pub(super) fn free(&mut self, key: Key) {
        if self.get(key).is_some() {
            self.places[key.slot as usize].used = false;
            self.free.push(key.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_one_holder_only() {
        let mut slab: Slab<u8> = Slab::new(1);
        let (first, value) = slab.take().unwrap();
        *value = 7;
        assert!(slab.take().is_none());
        slab.free(first);
        slab.free(first);
        assert_eq!(slab.get(first), None);
        let (second, value) = slab.take().unwrap();
        assert_eq!(*value, 7, "left for the next");
        assert!(first != second && slab.get_mut(first).is_none());
    }
}
