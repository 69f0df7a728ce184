//! Who owned an id when it was last asked.

use core::hash::BuildHasherDefault;

use hashbrown::HashMap;

use crate::hash::IdHasher;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
struct Belief {
    owner: NodeId,
    until: Instant,
}

/// Owners by id, believed for a while.
#[derive(Debug)]
pub(super) struct Owners {
    beliefs: HashMap<u64, Belief, BuildHasherDefault<IdHasher>>,
    owners_max: usize,
    ttl: Duration,
}

impl Owners {
    pub(super) fn new(owners_max: u32, ttl: Duration) -> Self {
        Self {
            beliefs: HashMap::default(),
            owners_max: owners_max as usize,
            ttl,
        }
    }

    pub(super) fn find(&self, now: Instant, id: u64) -> Option<NodeId> {
        self.beliefs
            .get(&id)
            .filter(|belief| belief.until > now)
            .map(|belief| belief.owner)
    }

    /// Remembers an owner. When full, everything is forgotten at once: simpler than an order of use,
    /// and a belief costs one question to have again.
    pub(super) fn insert(&mut self, now: Instant, id: u64, owner: NodeId) {
        if self.beliefs.len() >= self.owners_max {
            self.beliefs.clear();
        }
        self.beliefs.insert(
            id,
            Belief {
                owner,
                until: now + self.ttl,
            },
        );
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.beliefs.remove(&id);
    }

    /// Linear in what is remembered; called when a host could not be reached.
    pub(super) fn forget_host(&mut self, owner: NodeId) {
        self.beliefs.retain(|_, belief| belief.owner != owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_ends_with_its_time_its_failure_or_its_host() {
        let mut owners = Owners::new(10, Duration::from_secs(1));
        for id in 0..4 {
            owners.insert(Instant::ZERO, id, NodeId(id as u32 % 2));
        }
        assert_eq!(owners.find(Instant::from_millis(999), 3), Some(NodeId(1)));
        assert_eq!(owners.find(Instant::from_millis(1_000), 3), None);
        owners.forget(0);
        owners.forget_host(NodeId(1));
        let left: [Option<NodeId>; 4] =
            core::array::from_fn(|id| owners.find(Instant::ZERO, id as u64));
        assert_eq!(left, [None, None, Some(NodeId(0)), None]);
    }

    #[test]
    fn the_bound_holds() {
        let mut owners = Owners::new(8, Duration::from_secs(1));
        for id in 0..1_000 {
            owners.insert(Instant::ZERO, id, NodeId(0));
            assert!(owners.beliefs.len() <= 8);
        }
    }
}
