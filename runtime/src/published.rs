//! What the driver publishes and handles read without leaving their thread: who is a member, where
//! ids are placed, who owns those that are claimed.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use tokio::sync::watch;
use trefoil_core::hash::IdHasher;
use trefoil_core::id::NodeId;
use trefoil_core::ring::placement::Placement;

use crate::election::Leadership;

/// What a node thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It has not answered lately; others are being asked.
    Suspect,
    /// It is leaving.
    Draining,
}

impl MemberState {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
        }
    }
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its host string.
    pub host: Arc<str>,
    /// What this node thinks of it.
    pub state: MemberState,
    /// Its start, as it counts them; 0 if it does not say.
    pub incarnation: u64,
    /// Whether it speaks the wire without our metadata.
    pub legacy: bool,
    /// The last round trip of a probe.
    pub round_trip: Option<Duration>,
}

/// A peer that was called and that this node must not speak with, or it with this node: one of the two
/// is configured wrongly, and they will never be members of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Its host string.
    pub host: Arc<str>,
    /// The code and the reason, such as `TF-C12` for journals in different stores.
    pub why: Arc<str>,
}

/// The membership as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Rises with every change.
    pub version: u64,
    /// All members, this node among them, in order of their host strings.
    pub members: Vec<Member>,
    /// Whether this side may own ids.
    pub majority: bool,
}

impl View {
    /// Hosts of all members that are not suspect.
    pub fn alive(&self) -> impl Iterator<Item = &str> {
        self.members
            .iter()
            .filter(|m| m.state == MemberState::Alive)
            .map(|m| &*m.host)
    }
}

/// A power of two, so that writers of different ids rarely meet.
const SHARDS: usize = 64;

type Owners = RwLock<HashMap<u64, NodeId, BuildHasherDefault<IdHasher>>>;

/// Shared between one driver and its handles.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) host: Arc<str>,
    pub(crate) view: watch::Sender<Arc<View>>,
    /// The last peer that was called and would not speak with this node, or this node with it.
    pub(crate) mismatch: watch::Sender<Option<Mismatch>>,
    /// Who leads; absent if the node takes part in no election.
    pub(crate) leadership: Option<watch::Sender<Leadership>>,
    /// Whether the node has left its cluster.
    pub(crate) left: watch::Sender<bool>,
    placement: ArcSwapOption<Placement>,
    owners: [Owners; SHARDS],
    names: RwLock<Vec<Arc<str>>>,
}

impl Published {
    pub(crate) fn new(host: &str, has_part: bool) -> Self {
        Self {
            host: host.into(),
            leadership: has_part.then(watch::Sender::default),
            view: watch::Sender::new(Arc::default()),
            mismatch: watch::Sender::new(None),
            left: watch::Sender::new(false),
            placement: ArcSwapOption::empty(),
            owners: std::array::from_fn(|_| Owners::default()),
            names: RwLock::default(),
        }
    }

    fn shard(&self, id: u64) -> &Owners {
        // Not the bits the table inside uses.
        &self.owners[(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % SHARDS]
    }

    pub(crate) fn set_owner(&self, id: u64, owner: Option<NodeId>) {
        let mut owners = self.shard(id).write();
        match owner {
            Some(owner) => owners.insert(id, owner),
            None => owners.remove(&id),
        };
    }

    pub(crate) fn set_placement(&self, placement: Placement) {
        self.placement.store(Some(Arc::new(placement)));
    }

    /// Makes a node's name known to handles.
    pub(crate) fn name(&self, node: NodeId, name: &str) -> Arc<str> {
        let at = node.0 as usize;
        if let Some(known) = self.names.read().get(at).filter(|known| !known.is_empty()) {
            return Arc::clone(known);
        }
        let mut names = self.names.write();
        if names.len() <= at {
            names.resize(at + 1, "".into());
        }
        names[at] = name.into();
        Arc::clone(&names[at])
    }

    /// The claimed owner of an id, or else the host it is placed on.
    pub(crate) fn owner_of(&self, id: u64) -> Option<Arc<str>> {
        let claimed = self.shard(id).read().get(&id).copied();
        let owner = claimed.or_else(|| {
            let placement = self.placement.load();
            placement.as_ref()?.owner(id).map(NodeId)
        })?;
        self.names
            .read()
            .get(owner.0 as usize)
            .filter(|name| !name.is_empty())
            .cloned()
    }

    pub(crate) fn is_claimed(&self, id: u64) -> bool {
        self.shard(id).read().contains_key(&id)
    }

    /// How many ids each host has claimed, in order of host strings. Linear in the claimed ids.
    pub(crate) fn owned(&self) -> Vec<(Arc<str>, u64)> {
        let names = self.names.read().clone();
        let mut counts = vec![0_u64; names.len()];
        for shard in &self.owners {
            for owner in shard.read().values() {
                if let Some(count) = counts.get_mut(owner.0 as usize) {
                    *count += 1;
                }
            }
        }
        let mut owned: Vec<_> = names
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect();
        owned.sort();
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_stands_above_the_placement_and_goes_with_its_release() {
        let published = Published::new("a:1", false);
        published.name(NodeId(0), "a:1");
        published.name(NodeId(3), "d:4");
        assert_eq!(published.owner_of(7), None);
        published.set_owner(7, Some(NodeId(3)));
        assert_eq!(published.owner_of(7).as_deref(), Some("d:4"));
        assert_eq!(published.owned(), [("d:4".into(), 1)]);
        published.set_owner(7, None);
        assert_eq!(published.owner_of(7), None);
    }
}
