//! The table of hosts: members, candidates and tombstones, by name and by number.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::DownReason;
use crate::codes;
use crate::id::NodeId;
use crate::rng::Rng;
use crate::status::Status;
use crate::time::{Duration, Instant};

/// A place in the table, good until the host is forgotten.
pub(super) type Slot = u32;

const NONE: u32 = u32::MAX;

/// Longest reason of a peer that is remembered.
const REASON_BYTES_MAX: usize = 512;

/// How far a doubt about a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// No doubt.
    None,
    /// Somebody removed it: so many own pings may still fail before peers are asked.
    Pings { left: u8 },
    /// Peers are being asked; `last` if their answer decides.
    Asking { last: bool },
    /// Nobody reached it; it has until then to answer.
    Hold { until: Instant },
    /// Too few peers answered: it is pinged and asked about once more.
    Retry { last: bool },
}

/// How a host that went comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// By answering a ping.
    ByAnswer,
    /// By a new start only: it said that it goes, or was declared dead.
    ByNewStart,
}

/// What a host is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// An empty place.
    Free,
    /// Heard of.
    Candidate,
    /// A member.
    Live(Check),
    /// Gone, and remembered as gone.
    Dead(DownReason, Returns),
}

impl Phase {
    pub(super) const fn is_live(self) -> bool {
        matches!(self, Self::Live(_))
    }

    pub(super) const fn has_failed(self) -> bool {
        matches!(self, Self::Dead(DownReason::Failed, _))
    }

    const fn is_checked(self) -> bool {
        matches!(
            self,
            Self::Live(
                Check::Pings { .. }
                    | Check::Asking { .. }
                    | Check::Hold { .. }
                    | Check::Retry { .. }
            )
        )
    }
}

/// What peers said about a host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Votes {
    /// Which asking the votes belong to.
    pub(super) round: u32,
    pub(super) open: u8,
    pub(super) negatives: u8,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: NodeId,
    pub(super) name: Box<str>,
    pub(super) incarnation: u64,
    pub(super) legacy: bool,
    pub(super) seed: bool,
    phase: Phase,
    /// Held, and said to be.
    pub(super) suspect: bool,
    /// The last ping that failed was refused.
    pub(super) refused: bool,
    /// It counts when the majority is counted.
    pub(super) counts: bool,
    /// It did not hear the goodbye of this node.
    pub(super) unheard: bool,
    /// It has been a member: its number is known to others.
    pub(super) was_member: bool,
    /// It refused to speak with this node, or this node with it: one of them is configured wrongly.
    pub(super) alien: bool,
    /// Why the last ping that failed did, as far as anybody said. Empty once it has answered.
    pub(super) why: String,
    /// It left itself out of its last answer: it lost the majority, or leaves.
    pub(super) abstains: bool,
    /// A ping is on its way. The place is not given away meanwhile.
    pub(super) pinging: bool,
    /// It waits for a ping.
    pub(super) queued: bool,
    /// Pings in a row that failed, of a host that is no member.
    pub(super) attempts: u8,
    /// When it came or went.
    pub(super) since: Instant,
    /// Hearsay of a host that went is not looked into before.
    pub(super) verify_after: Instant,
    /// News of its death is not passed on again before.
    pub(super) relay_after: Instant,
    /// The last exchange that listed it.
    pub(super) mark: u32,
    pub(super) round_trip: Option<Duration>,
    pub(super) votes: Votes,
    at: u32,
}

impl Host {
    const fn free(name: Box<str>) -> Self {
        Self {
            node: NodeId(NONE),
            name,
            incarnation: 0,
            legacy: false,
            seed: false,
            phase: Phase::Free,
            suspect: false,
            refused: false,
            counts: false,
            unheard: false,
            was_member: false,
            alien: false,
            why: String::new(),
            abstains: false,
            pinging: false,
            queued: false,
            attempts: 0,
            since: Instant::ZERO,
            verify_after: Instant::ZERO,
            relay_after: Instant::ZERO,
            mark: 0,
            round_trip: None,
            votes: Votes {
                round: 0,
                open: 0,
                negatives: 0,
            },
            at: NONE,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Remembers why a ping failed. That a link backs off says nothing new.
    pub(super) fn note_failure(&mut self, status: Status<'_>) {
        let why = status.message;
        if status.stable_code().is_some()
            && why.len() <= REASON_BYTES_MAX
            && why != codes::UNTRUSTED
            && why != self.why
        {
            self.why.clear();
            self.why.push_str(why);
        }
    }

    /// Whether this node wishes that it answered, and it does not.
    pub(super) fn is_missed(&self) -> bool {
        !self.why.is_empty()
            && match self.phase {
                Phase::Candidate | Phase::Live(_) => true,
                Phase::Dead(reason, _) => matches!(reason, DownReason::Failed),
                Phase::Free => false,
            }
    }

    /// A member that is told of to others.
    pub(super) const fn is_healthy(&self) -> bool {
        self.phase.is_live() && !self.suspect
    }
}

/// All hosts this node knows of but itself. Memory is taken once, the names apart.
#[derive(Debug)]
pub(super) struct Hosts {
    slots: Vec<Host>,
    free: Vec<Slot>,
    by_name: HashTable<Slot>,
    by_node: Vec<Slot>,
    /// Members. Those before `cursor` have had their probe in this round.
    order: Vec<Slot>,
    cursor: usize,
    candidates: u32,
    checked: u32,
    failed: u32,
    hosts_max: u32,
    candidates_max: u32,
    hash_seed: u64,
}

impl Hosts {
    pub(super) fn new(hosts_max: u32, candidates_max: u32, hash_seed: u64) -> Self {
        let count = hosts_max + candidates_max;
        Self {
            slots: (0..count).map(|_| Host::free(Box::default())).collect(),
            free: (0..count).rev().collect(),
            by_name: HashTable::with_capacity(count as usize),
            by_node: Vec::new(),
            order: Vec::with_capacity(hosts_max as usize),
            cursor: 0,
            candidates: 0,
            checked: 0,
            failed: 0,
            hosts_max,
            candidates_max,
            hash_seed,
        }
    }

    /// Who is a member counts from now on.
    pub(super) fn count_all_members(&mut self) {
        for at in 0..self.order.len() {
            let slot = self.order[at];
            self.at_mut(slot).counts = true;
        }
    }

    /// Members that the exchange of this mark listed count from now on.
    pub(super) fn count_listed(&mut self, mark: u32) {
        for at in 0..self.order.len() {
            let slot = self.order[at];
            let host = self.at_mut(slot);
            host.counts |= host.mark == mark;
        }
    }

    /// Who failed does not count any more.
    pub(super) fn count_no_failed(&mut self) {
        for host in &mut self.slots {
            host.counts &= !host.phase.has_failed();
        }
    }

    /// The members.
    pub(super) fn live(&self) -> impl Iterator<Item = &Host> {
        self.order.iter().map(|slot| self.at(*slot))
    }

    /// How many places there are.
    pub(super) const fn capacity(&self) -> u32 {
        self.hosts_max + self.candidates_max
    }

    pub(super) fn at(&self, slot: Slot) -> &Host {
        &self.slots[slot as usize]
    }

    pub(super) fn at_mut(&mut self, slot: Slot) -> &mut Host {
        &mut self.slots[slot as usize]
    }

    /// All places that are taken.
    pub(super) fn known(&self) -> impl Iterator<Item = &Host> {
        self.slots.iter().filter(|host| host.phase != Phase::Free)
    }

    /// The members in the order of this round.
    pub(super) fn members(&self) -> &[Slot] {
        &self.order
    }

    /// Members nobody doubts.
    pub(super) fn settled(&self) -> usize {
        self.order.len() - self.checked as usize
    }

    /// Members that somebody doubts.
    pub(super) const fn checked(&self) -> u32 {
        self.checked
    }

    /// Hosts removed because they failed, and not forgotten.
    pub(super) const fn failed(&self) -> u32 {
        self.failed
    }

    /// Nobody failed, and no member is doubted.
    pub(super) const fn all_well(&self) -> bool {
        self.failed == 0 && self.checked == 0
    }

    pub(super) fn by_node(&self, node: NodeId) -> Option<Slot> {
        self.by_node
            .get(node.0 as usize)
            .copied()
            .filter(|slot| *slot != NONE)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Slot> {
        let hash = hash(self.hash_seed, name.as_bytes());
        self.by_name
            .find(hash, |slot| *self.slots[*slot as usize].name == *name)
            .copied()
    }

    /// Whether another candidate would be taken in.
    pub(super) const fn has_room(&self) -> bool {
        self.candidates < self.candidates_max
    }

    /// Takes a new host in as a candidate.
    pub(super) fn insert(&mut self, node: NodeId, name: &str) -> Option<Slot> {
        if !self.has_room() {
            return None;
        }
        let slot = self.free.pop()?;
        *self.at_mut(slot) = Host {
            node,
            phase: Phase::Candidate,
            ..Host::free(name.into())
        };
        self.candidates += 1;
        let (slots, seed) = (&self.slots, self.hash_seed);
        let rehash = |slot: &Slot| hash(seed, slots[*slot as usize].name.as_bytes());
        self.by_name
            .insert_unique(hash(seed, name.as_bytes()), slot, rehash);
        if self.by_node.len() <= node.0 as usize {
            self.by_node.resize(node.0 as usize + 1, NONE);
        }
        self.by_node[node.0 as usize] = slot;
        Some(slot)
    }

    /// Whether a candidate may become a member or a tombstone.
    pub(super) fn may_settle(&self) -> bool {
        let taken = self.slots.len() - self.free.len() - self.candidates as usize;
        taken < self.hosts_max as usize
    }

    /// Gives the place of a host away that has no ping on its way and waits for none.
    /// Returns its number if nobody else was ever told of it.
    pub(super) fn forget(&mut self, slot: Slot, rng: &mut Rng) -> Option<NodeId> {
        self.enter(slot, Phase::Free, rng);
        let host = core::mem::replace(self.at_mut(slot), Host::free(Box::default()));
        debug_assert!(!host.pinging && !host.queued);
        self.by_node[host.node.0 as usize] = NONE;
        if let Ok(entry) = self
            .by_name
            .find_entry(hash(self.hash_seed, host.name.as_bytes()), |s| *s == slot)
        {
            entry.remove();
        }
        self.free.push(slot);
        (!host.was_member).then_some(host.node)
    }

    /// Moves a host to another phase.
    pub(super) fn enter(&mut self, slot: Slot, phase: Phase, rng: &mut Rng) {
        let was = core::mem::replace(&mut self.at_mut(slot).phase, phase);
        let count = |counter: &mut u32, before: bool, after: bool| {
            *counter = *counter + u32::from(after) - u32::from(before);
        };
        let candidate = |phase| matches!(phase, Phase::Candidate);
        count(&mut self.candidates, candidate(was), candidate(phase));
        count(&mut self.failed, was.has_failed(), phase.has_failed());
        count(&mut self.checked, was.is_checked(), phase.is_checked());
        match (was.is_live(), phase.is_live()) {
            (false, true) => self.join_round(slot, rng),
            (true, false) => self.leave_round(slot),
            (true, true) | (false, false) => {}
        }
    }

    /// A new member gets its first probe at a random place of what is left of this round.
    fn join_round(&mut self, slot: Slot, rng: &mut Rng) {
        let last = self.order.len();
        self.order.push(slot);
        let to = self.cursor + rng.below((last + 1 - self.cursor) as u64) as usize;
        self.at_mut(slot).at = last as u32;
        self.swap(to, last);
    }

    fn leave_round(&mut self, slot: Slot) {
        let mut at = self.at(slot).at as usize;
        if at < self.cursor {
            self.cursor -= 1;
            self.swap(at, self.cursor);
            at = self.cursor;
        }
        let last = self.order.len() - 1;
        self.swap(at, last);
        self.order.pop();
        self.at_mut(slot).at = NONE;
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        for at in [a, b] {
            let slot = self.order[at];
            self.at_mut(slot).at = at as u32;
        }
    }

    /// The next member of this round; a new round is shuffled when one is over.
    pub(super) fn next_in_round(&mut self, rng: &mut Rng) -> Option<Slot> {
        if self.cursor >= self.order.len() {
            self.cursor = 0;
            for at in (1..self.order.len()).rev() {
                let other = rng.below(at as u64 + 1) as usize;
                self.swap(at, other);
            }
        }
        let slot = self.order.get(self.cursor).copied()?;
        self.cursor += 1;
        Some(slot)
    }
}

/// A seeded hash of short strings, one multiply-and-fold for 8 bytes; outsiders choose the strings.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
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
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;
    use std::format;

    fn table() -> (Hosts, Rng) {
        (Hosts::new(16, 8, 3), Rng::new(1))
    }

    #[test]
    fn names_and_numbers_agree_until_forgotten() {
        let (mut hosts, mut rng) = table();
        let slot = hosts.insert(NodeId(4), "b:1").unwrap();
        assert_eq!(
            (hosts.by_name("b:1"), hosts.by_node(NodeId(4))),
            (Some(slot), Some(slot))
        );
        hosts.forget(slot, &mut rng);
        assert_eq!(
            (hosts.by_name("b:1"), hosts.by_node(NodeId(4))),
            (None, None)
        );
        for i in 0..8 {
            assert!(hosts.insert(NodeId(i), &format!("h{i}")).is_some());
        }
        assert_eq!(
            hosts.insert(NodeId(9), "h9"),
            None,
            "candidates are bounded"
        );
    }

    #[test]
    fn a_round_probes_every_member_once_whoever_comes_and_goes() {
        let (mut hosts, mut rng) = table();
        let mut live = BTreeSet::new();
        let add = |hosts: &mut Hosts, rng: &mut Rng, i: u32| {
            let slot = hosts.insert(NodeId(i), &format!("h{i}")).unwrap();
            hosts.enter(slot, Phase::Live(Check::None), rng);
            slot
        };
        for i in 0..8 {
            live.insert(add(&mut hosts, &mut rng, i));
        }
        while hosts.cursor != hosts.order.len() {
            hosts.next_in_round(&mut rng);
        }
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            assert!(seen.insert(hosts.next_in_round(&mut rng).unwrap()));
        }
        let gone = *seen.first().unwrap();
        hosts.enter(
            gone,
            Phase::Dead(DownReason::Failed, Returns::ByAnswer),
            &mut rng,
        );
        live.insert(add(&mut hosts, &mut rng, 8));
        for _ in 0..5 {
            assert!(
                seen.insert(hosts.next_in_round(&mut rng).unwrap()),
                "twice in one round"
            );
        }
        assert_eq!(seen, live);
        assert_eq!(hosts.failed(), 1);
    }
}
