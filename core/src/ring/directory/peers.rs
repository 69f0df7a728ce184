//! The peers: members now or not long ago, and what is under way with each.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::claims::{SELF, name_hash};
use super::index::Host;
use crate::id::{NodeId, StreamId};
use crate::machine::Full;
use crate::time::{Duration, Instant};

/// What is being announced to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// The changes below this number.
    Window { end: u64 },
    /// Own ids from `low` on, downward: the peer fell off the log.
    Sync { low: u32 },
    /// Ids it refused before, held in `retold`.
    Disputed,
}

/// One announcement under way: at most two calls, whose ids have nothing in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) job: Job,
    /// The claims, then the expiries.
    pub(super) calls: [Option<StreamId>; 2],
    /// Which of the two have been answered.
    pub(super) answered: [bool; 2],
    pub(super) failed: bool,
    pub(super) refused: bool,
}

/// A list of ids asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) stream: StreamId,
    /// Number of the request: claims marked with it or a later one are younger than the list.
    pub(super) number: u16,
    pub(super) answered: bool,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) name: Box<str>,
    pub(super) live: bool,
    /// Not one of ours: it has no rank and never yields.
    pub(super) legacy: bool,
    went: Instant,

    /// Own changes below this number are acknowledged.
    pub(super) cursor: u64,
    pub(super) sending: Option<Sending>,
    /// Nothing is sent before.
    pub(super) hold: Option<Instant>,
    pub(super) backoff: Duration,
    /// Own ids below this place in their list are still to be announced.
    pub(super) sync_left: Option<u32>,
    /// Own ids the peer refused.
    pub(super) disputed: Vec<u64>,
    /// Those of them that are being announced again.
    pub(super) retold: Vec<u64>,
    /// More were refused than are remembered.
    pub(super) disputed_all: bool,
    pub(super) dispute_at: Option<Instant>,
    pub(super) dispute_backoff: Duration,

    pub(super) fetch: Option<Fetch>,
    /// Asked for again while a list was under way.
    pub(super) fetch_again: bool,
    pub(super) fetched_at: Option<Instant>,
    pub(super) fetch_backoff: Duration,
    /// This node decides nothing until the peer's ids are here.
    pub(super) awaited: bool,
    /// Ids it gave up while a list was under way.
    pub(super) expired: Vec<u64>,
    pub(super) expired_more: bool,
}

impl Peer {
    fn new(node: NodeId, name: &str) -> Self {
        Self {
            node,
            name: name.into(),
            live: false,
            legacy: false,
            went: Instant::ZERO,
            cursor: 0,
            sending: None,
            hold: None,
            backoff: Duration::ZERO,
            sync_left: None,
            disputed: Vec::new(),
            retold: Vec::new(),
            disputed_all: false,
            dispute_at: None,
            dispute_backoff: Duration::ZERO,
            fetch: None,
            fetch_again: false,
            fetched_at: None,
            fetch_backoff: Duration::ZERO,
            awaited: false,
            expired: Vec::new(),
            expired_more: false,
        }
    }
}

/// Peers by slot, by name and by node. Slot 0 is this node.
#[derive(Debug)]
pub(super) struct Peers {
    slots: Vec<Peer>,
    by_name: HashTable<Host>,
    by_node: Vec<Host>,
    /// Slots of live peers, in an order that is shuffled from time to time.
    pub(super) live: Vec<Host>,
    peers_max: u16,
    seed: u64,
}

const NO_SLOT: Host = Host::MAX;

impl Peers {
    pub(super) fn new(own: NodeId, own_name: &str, peers_max: u16, seed: u64) -> Self {
        let mut peers = Self {
            slots: Vec::new(),
            by_name: HashTable::new(),
            by_node: Vec::new(),
            live: Vec::new(),
            peers_max,
            seed,
        };
        peers.push(own, own_name);
        peers
    }

    fn index(&mut self, slot: Host) {
        let (slots, seed) = (&self.slots, self.seed);
        let hash = |slot: &Host| name_hash(seed, &slots[usize::from(*slot)].name);
        self.by_name.insert_unique(hash(&slot), slot, hash);
        let node = slots[usize::from(slot)].node.0 as usize;
        if self.by_node.len() <= node {
            self.by_node.resize(node + 1, NO_SLOT);
        }
        self.by_node[node] = slot;
    }

    fn push(&mut self, node: NodeId, name: &str) -> Host {
        let slot = self.slots.len() as Host;
        self.slots.push(Peer::new(node, name));
        self.index(slot);
        slot
    }

    /// Whether `slot` is a live peer.
    pub(super) fn is_live(&self, slot: Host) -> bool {
        self.slots
            .get(usize::from(slot))
            .is_some_and(|peer| peer.live)
    }

    #[inline]
    pub(super) fn at(&self, slot: Host) -> &Peer {
        &self.slots[usize::from(slot)]
    }

    pub(super) fn at_mut(&mut self, slot: Host) -> &mut Peer {
        &mut self.slots[usize::from(slot)]
    }

    /// The slot of a name: this node, a member, or one that was a member.
    pub(super) fn find(&self, name: &str) -> Option<Host> {
        let hash = name_hash(self.seed, name);
        self.by_name
            .find(hash, |slot| *self.slots[usize::from(*slot)].name == *name)
            .copied()
    }

    /// The slot of a node that is or was a member.
    pub(super) fn slot(&self, node: NodeId) -> Option<Host> {
        self.by_node
            .get(node.0 as usize)
            .copied()
            .filter(|slot| *slot != NO_SLOT)
    }

    /// A slot for a peer that is not live: its old one, a new one, or that of the peer that has
    /// been gone for longest.
    ///
    /// # Errors
    /// [`Full`] if all are live.
    pub(super) fn take_slot(&mut self, node: NodeId, name: &str) -> Result<Host, Full> {
        if let Some(slot) = self.find(name) {
            return Ok(slot);
        }
        if self.slots.len() <= usize::from(self.peers_max) {
            return Ok(self.push(node, name));
        }
        let gone = (SELF + 1..)
            .zip(&self.slots[1..])
            .filter(|(_, peer)| !peer.live);
        let slot = gone
            .min_by_key(|(slot, peer)| (peer.went, *slot))
            .map(|(slot, _)| slot)
            .ok_or(Full)?;
        let old = &self.slots[usize::from(slot)];
        let hash = name_hash(self.seed, &old.name);
        let old_node = old.node;
        if let Ok(entry) = self.by_name.find_entry(hash, |known| *known == slot) {
            entry.remove();
        }
        self.by_node[old_node.0 as usize] = NO_SLOT;
        self.slots[usize::from(slot)] = Peer::new(node, name);
        self.index(slot);
        Ok(slot)
    }

    /// The peer is a member from now on.
    pub(super) fn came(&mut self, slot: Host, legacy: bool) {
        let peer = self.at_mut(slot);
        peer.live = true;
        peer.legacy = legacy;
        self.live.push(slot);
    }

    /// The peer is no member any more: everything under way with it is forgotten.
    pub(super) fn went(&mut self, slot: Host, now: Instant) {
        self.live.retain(|live| *live != slot);
        let peer = self.at_mut(slot);
        let name = core::mem::take(&mut peer.name);
        *peer = Peer {
            name,
            went: now,
            ..Peer::new(peer.node, "")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_kept_while_there_is_room_and_then_given_to_another() {
        let mut peers = Peers::new(NodeId(0), "me", 2, 1);
        let a = peers.take_slot(NodeId(1), "a").unwrap();
        peers.came(a, false);
        let b = peers.take_slot(NodeId(2), "b").unwrap();
        peers.came(b, true);
        assert_eq!(peers.take_slot(NodeId(3), "c"), Err(Full));
        peers.went(b, Instant::from_millis(2));
        peers.went(a, Instant::from_millis(3));
        assert_eq!(
            (peers.find("a"), peers.slot(NodeId(1)), peers.is_live(a)),
            (Some(a), Some(a), false)
        );
        assert_eq!(peers.take_slot(NodeId(3), "c"), Ok(b));
        assert_eq!((peers.find("b"), peers.slot(NodeId(2))), (None, None));
        assert_eq!((peers.find("c"), peers.slot(NodeId(3))), (Some(b), Some(b)));
        assert_eq!(peers.find("me"), Some(SELF));
    }
}
