//! Queues inside a slab: doubly linked, so that a call that ends leaves its queue at once.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// What an element of a [`List`] carries for it. An element is in one list at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    pub(super) const FREE: Self = Self {
        prev: NONE,
        next: NONE,
    };
}

pub(super) trait Linked {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A queue of slots. All operations are O(1) and allocate nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    pub(super) const fn is_empty(self) -> bool {
        self.head == NONE
    }

    pub(super) const fn head(self) -> Option<u32> {
        if self.head == NONE {
            None
        } else {
            Some(self.head)
        }
    }

    pub(super) const fn tail(self) -> Option<u32> {
        if self.tail == NONE {
            None
        } else {
            Some(self.tail)
        }
    }

    /// The slot behind `at`.
    pub(super) fn after<T: Linked>(items: &[T], at: u32) -> Option<u32> {
        let next = items[at as usize].links().next;
        (next != NONE).then_some(next)
    }

    pub(super) fn push_back<T: Linked>(&mut self, items: &mut [T], at: u32) {
        *items[at as usize].links_mut() = Links {
            prev: self.tail,
            next: NONE,
        };
        if self.tail == NONE {
            self.head = at;
        } else {
            items[self.tail as usize].links_mut().next = at;
        }
        self.tail = at;
    }

    pub(super) fn push_front<T: Linked>(&mut self, items: &mut [T], at: u32) {
        *items[at as usize].links_mut() = Links {
            prev: NONE,
            next: self.head,
        };
        if self.head == NONE {
            self.tail = at;
        } else {
            items[self.head as usize].links_mut().prev = at;
        }
        self.head = at;
    }

    /// Takes `at`, which is in this list, out of it.
    pub(super) fn remove<T: Linked>(&mut self, items: &mut [T], at: u32) {
        let Links { prev, next } = items[at as usize].links();
        *items[at as usize].links_mut() = Links::FREE;
        if prev == NONE {
            self.head = next;
        } else {
            items[prev as usize].links_mut().next = next;
        }
        if next == NONE {
            self.tail = prev;
        } else {
            items[next as usize].links_mut().prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    struct Item(Links);

    impl Linked for Item {
        fn links(&self) -> Links {
            self.0
        }

        fn links_mut(&mut self) -> &mut Links {
            &mut self.0
        }
    }

    #[test]
    fn agrees_with_a_deque_under_random_use() {
        let mut items: Vec<Item> = (0..16).map(|_| Item(Links::FREE)).collect();
        let mut list = List::EMPTY;
        let mut model: VecDeque<u32> = VecDeque::new();
        let mut x = 9_u64;
        for _ in 0..20_000 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (x >> 40) as u32 % 16;
            if model.contains(&at) {
                list.remove(&mut items, at);
                model.retain(|known| *known != at);
            } else if x >> 63 == 0 {
                list.push_back(&mut items, at);
                model.push_back(at);
            } else {
                list.push_front(&mut items, at);
                model.push_front(at);
            }
            assert_eq!(
                (list.head(), list.tail()),
                (model.front().copied(), model.back().copied())
            );
            let mut walked = Vec::new();
            let mut next = list.head();
            while let Some(at) = next {
                walked.push(at);
                next = List::after(&items, at);
            }
            assert_eq!(walked, Vec::from(model.clone()));
        }
    }
}
