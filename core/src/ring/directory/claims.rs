//! Who claims which id: the index, and for each host the list of its ids.

use alloc::vec::Vec;
use core::hash::Hasher;

use super::index::{Entry, Host, Index};
use crate::hash::IdHasher;
use crate::machine::Full;

/// This node among the hosts.
pub(super) const SELF: Host = 0;

/// All claims this node has heard of.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    index: Index,
    lists: Vec<List>,
    ids_max: u32,
    /// Sum over all claims of a mix of id and host name: equal for equal views, in any order.
    fingerprint: u64,
}

#[derive(Clone, Debug, Default)]
struct List {
    ids: Vec<u64>,
    /// Hash of the host's name, the same on every node.
    name: u64,
}

/// A hash of a host name. With a secret seed outsiders cannot make names collide; with seed 0 it is
/// the same on every node.
pub(super) fn name_hash(seed: u64, name: &str) -> u64 {
    let mut hasher = IdHasher::default();
    hasher.write_u64(seed);
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// A number for one claim that is the same on every node.
fn print(id: u64, name: u64) -> u64 {
    let mut z = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Claims {
    pub(super) const fn new(ids_max: u32, seed: u64) -> Self {
        Self {
            index: Index::new(seed),
            lists: Vec::new(),
            ids_max,
            fingerprint: 0,
        }
    }

    /// Names a host that has no claims yet, and makes room for its list.
    pub(super) fn host(&mut self, host: Host, name: &str) {
        if self.lists.len() <= usize::from(host) {
            self.lists.resize(usize::from(host) + 1, List::default());
        }
        self.lists[usize::from(host)].name = name_hash(0, name);
    }

    pub(super) const fn len(&self) -> u32 {
        self.index.len()
    }

    pub(super) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self
            .lists
            .iter()
            .map(|list| size_of::<List>() + 8 * list.ids.capacity())
            .sum();
        self.index.bytes() + lists
    }

    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<&Entry> {
        self.index.find(id)
    }

    #[inline]
    pub(super) fn owner(&self, id: u64) -> Option<Host> {
        self.find(id).map(|entry| entry.host)
    }

    /// The ids of a host, in an order that depends on the history of calls alone.
    pub(super) fn list(&self, host: Host) -> &[u64] {
        self.lists
            .get(usize::from(host))
            .map_or(&[], |list| &list.ids)
    }

    /// The claim was heard of again.
    pub(super) fn touch(&mut self, id: u64, mark: u16) {
        if let Some(entry) = self.index.find_mut(id) {
            entry.mark = mark;
        }
    }

    /// Gives `id` to `host`, whoever had it.
    ///
    /// # Errors
    /// [`Full`] if nobody had it and there is no room for more claims.
    pub(super) fn set(&mut self, id: u64, host: Host, mark: u16) -> Result<(), Full> {
        let old = self
            .index
            .find(id)
            .map(|entry| (entry.host, entry.position));
        if old.is_none() && self.index.len() >= self.ids_max {
            return Err(Full);
        }
        if let Some((old, position)) = old {
            self.unlist(old, position);
        }
        let list = &mut self.lists[usize::from(host)];
        let position = list.ids.len() as u32;
        if list.ids.len() == list.ids.capacity() {
            // Steps of an eighth: a doubling would waste half of the largest allocation there is.
            list.ids.reserve_exact((list.ids.len() / 8).max(8));
        }
        list.ids.push(id);
        self.fingerprint = self.fingerprint.wrapping_add(print(id, list.name));
        if let Some(entry) = self.index.find_mut(id) {
            (entry.host, entry.position, entry.mark) = (host, position, mark);
        } else {
            self.index.insert(id, host, position, mark);
        }
        Ok(())
    }

    /// Nobody claims `id` any more.
    pub(super) fn remove(&mut self, id: u64) -> Option<Host> {
        let entry = self.index.remove(id)?;
        self.unlist(entry.host, entry.position);
        Some(entry.host)
    }

    /// Takes one id from a host: the last of its list.
    pub(super) fn pop(&mut self, host: Host) -> Option<u64> {
        let id = *self.list(host).last()?;
        self.remove(id);
        Some(id)
    }

    /// Gives the memory of a host's list back.
    pub(super) fn shrink(&mut self, host: Host) {
        if let Some(list) = self.lists.get_mut(usize::from(host)) {
            list.ids.shrink_to_fit();
        }
    }

    fn unlist(&mut self, host: Host, position: u32) {
        let list = &mut self.lists[usize::from(host)];
        let id = list.ids.swap_remove(position as usize);
        self.fingerprint = self.fingerprint.wrapping_sub(print(id, list.name));
        let moved = list.ids.get(position as usize);
        if let Some(entry) = moved.and_then(|moved| self.index.find_mut(*moved)) {
            entry.position = position;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::rng::Rng;
    use std::collections::{BTreeMap, BTreeSet};
    use std::vec::Vec;

    fn claims(hosts: Host, ids_max: u32) -> Claims {
        let mut claims = Claims::new(ids_max, 99);
        for host in 0..hosts {
            claims.host(host, &std::format!("host-{host}"));
        }
        claims
    }

    #[test]
    fn lists_and_index_agree_with_a_model() {
        let mut rng = Rng::new(5);
        let mut claims = claims(4, 1_000);
        let mut model: BTreeMap<u64, Host> = BTreeMap::new();
        for _ in 0..40_000 {
            let (id, host) = (rng.below(600), rng.below(4) as Host);
            match rng.below(8) {
                0..5 => {
                    claims.set(id, host, 0).unwrap();
                    model.insert(id, host);
                }
                5 | 6 => assert_eq!(claims.remove(id), model.remove(&id)),
                _ => {
                    if let Some(id) = claims.pop(host) {
                        assert_eq!(model.remove(&id), Some(host));
                    }
                }
            }
            assert_eq!(claims.owner(id), model.get(&id).copied());
        }
        assert_eq!(claims.len() as usize, model.len());
        for host in 0..4 {
            let listed: BTreeSet<u64> = claims.list(host).iter().copied().collect();
            assert_eq!(listed.len(), claims.list(host).len());
            let expected: BTreeSet<u64> = model
                .iter()
                .filter(|(_, h)| **h == host)
                .map(|(id, _)| *id)
                .collect();
            assert_eq!(listed, expected);
        }
        let mut again = self::claims(4, 1_000);
        for (id, host) in model.iter().rev() {
            again.set(*id, *host, 0).unwrap();
        }
        assert_eq!(again.fingerprint(), claims.fingerprint());
        let ids: Vec<u64> = model.keys().copied().collect();
        for id in ids {
            claims.remove(id);
        }
        assert_eq!(claims.fingerprint(), 0);
    }

    #[test]
    fn a_full_table_moves_claims_but_takes_no_more() {
        let mut claims = claims(2, 2);
        assert_eq!(claims.set(1, 0, 0), Ok(()));
        assert_eq!(claims.set(2, 0, 0), Ok(()));
        assert_eq!(claims.set(3, 0, 0), Err(Full));
        assert_eq!(claims.set(2, 1, 0), Ok(()));
        assert_eq!((claims.list(0), claims.list(1)), (&[1][..], &[2][..]));
    }

    #[test]
    fn a_claim_costs_at_most_32_bytes() {
        let mut claims = claims(10, u32::MAX);
        let (mut worst, mut sum, mut samples) = (0.0_f64, 0.0, 0.0);
        for id in 0..300_000_u64 {
            claims
                .set(id.wrapping_mul(0x9e37_79b9_7f4a_7c15), (id % 10) as Host, 0)
                .unwrap();
            if id >= 20_000 && id % 997 == 0 {
                let each = claims.bytes() as f64 / claims.len() as f64;
                worst = worst.max(each);
                sum += each;
                samples += 1.0;
            }
        }
        assert!(worst <= 32.0, "{worst}");
        assert!(sum / samples <= 30.5, "{}", sum / samples);
    }
}
