//! Due times of a bounded set of things: an indexed binary heap.
//!
//! A timing wheel would be cheaper to insert into, but it rounds; `poll_timeout` must be exact, so
//! that a driver sleeps exactly as long as there is nothing to do. Set, change and cancel cost
//! O(log n) and never allocate after construction; the earliest is read in O(1).

use alloc::vec::Vec;

use crate::time::Instant;

const ABSENT: u32 = u32::MAX;

/// Due times by key, for keys `0..capacity`.
#[derive(Clone, Debug)]
pub struct Timers {
    heap: Vec<(Instant, u32)>,
    position: Vec<u32>,
}

impl Timers {
    /// Room for keys below `capacity`: 20 bytes each.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let mut position = Vec::new();
        position.resize(capacity as usize, ABSENT);
        Self {
            heap: Vec::with_capacity(capacity as usize),
            position,
        }
    }

    /// Sets or changes the due time of `key`. Keys beyond the capacity make room for themselves,
    /// which allocates.
    pub fn set(&mut self, key: u32, due: Instant) {
        if key as usize >= self.position.len() {
            self.position.resize(key as usize + 1, ABSENT);
        }
        let at = self.position[key as usize];
        if at == ABSENT {
            self.position[key as usize] = self.heap.len() as u32;
            self.heap.push((due, key));
            self.up(self.heap.len() - 1);
        } else {
            self.heap[at as usize].0 = due;
            let at = self.up(at as usize);
            self.down(at);
        }
    }

    /// Forgets the due time of `key`, if it has one.
    pub fn cancel(&mut self, key: u32) {
        let Some(&at) = self.position.get(key as usize).filter(|at| **at != ABSENT) else {
            return;
        };
        self.position[key as usize] = ABSENT;
        let last = self.heap.len() - 1;
        self.heap.swap_remove(at as usize);
        if (at as usize) < last {
            self.position[self.heap[at as usize].1 as usize] = at;
            let at = self.up(at as usize);
            self.down(at);
        }
    }

    /// The due time of `key`.
    #[must_use]
    pub fn due(&self, key: u32) -> Option<Instant> {
        let at = *self.position.get(key as usize)?;
        self.heap.get(at as usize).map(|(due, _)| *due)
    }

    /// The earliest due time.
    #[must_use]
    pub fn earliest(&self) -> Option<Instant> {
        self.heap.first().map(|(due, _)| *due)
    }

    /// Takes one key that is due at `now`; the earliest first, and of equal ones in an order that
    /// depends on the history of calls alone.
    pub fn pop_due(&mut self, now: Instant) -> Option<(u32, Instant)> {
        let (due, key) = *self.heap.first()?;
        (due <= now).then(|| {
            self.cancel(key);
            (key, due)
        })
    }

    fn up(&mut self, mut at: usize) -> usize {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.swap(parent, at);
            at = parent;
        }
        at
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.heap[right] < self.heap[left] {
                right
            } else {
                left
            };
            if self.heap[at] <= self.heap[child] {
                return;
            }
            self.swap(at, child);
            at = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_sorted_set_under_random_use() {
        let mut timers = Timers::new(16);
        let mut model: BTreeSet<(Instant, u32)> = BTreeSet::new();
        let mut x = 1_u64;
        for _ in 0..20_000 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let key = (x >> 40) as u32 % 24;
            let due = Instant::from_nanos((x >> 20) % 64);
            match x >> 62 {
                0 => {
                    timers.cancel(key);
                    model.retain(|(_, k)| *k != key);
                }
                1 => {
                    let popped = timers.pop_due(due);
                    let expected = model.first().copied().filter(|(at, _)| *at <= due);
                    assert_eq!(popped.map(|(_, at)| at), expected.map(|(at, _)| at));
                    if let Some((key, at)) = popped {
                        assert!(model.remove(&(at, key)));
                    }
                }
                _ => {
                    timers.set(key, due);
                    model.retain(|(_, k)| *k != key);
                    model.insert((due, key));
                }
            }
            assert_eq!(timers.earliest(), model.first().map(|(at, _)| *at));
            assert_eq!(
                timers.due(key),
                model.iter().find(|(_, k)| *k == key).map(|(at, _)| *at)
            );
        }
    }
}
