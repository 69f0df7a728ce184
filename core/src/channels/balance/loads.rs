//! How loaded the nodes are, and which are the least and the most.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Channel, Node, load};

/// A load by weight, compared exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relative {
    load: u64,
    weight: u32,
}

impl Relative {
    fn times(self, weight: u32) -> u128 {
        u128::from(self.load) * u128::from(weight)
    }
}

impl Ord for Relative {
    fn cmp(&self, other: &Self) -> Ordering {
        self.times(other.weight).cmp(&other.times(self.weight))
    }
}

impl PartialOrd for Relative {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Relative {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Relative {}

/// A node that would give, and one that would take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    from: Relative,
    to: Relative,
}

impl Pair {
    /// The load to move: what would make both equally loaded, or as much of it as is worth it; 0 if they are
    /// already, or the other way round. Where the giver is the heavier node, the latter is less.
    pub(super) fn ideal(self, percent: u32) -> u64 {
        let gap = self
            .from
            .times(self.to.weight)
            .checked_sub(self.to.times(self.from.weight));
        let (from, to) = (u128::from(self.from.weight), u128::from(self.to.weight));
        let (even, worth) = (from + to, from * (100 + u128::from(percent)));
        // Never above the load of the giver.
        gap.map_or(0, |gap| (gap / even).min(gap * 100 / worth) as u64)
    }

    /// The more loaded of the two after a move.
    pub(super) fn after(self, moved: u64) -> Relative {
        let (mut from, mut to) = (self.from, self.to);
        from.load -= moved;
        to.load += moved;
        from.max(to)
    }

    /// Whether the giver is more loaded than the taker will be, by so much of what is moved.
    pub(super) fn is_worth(self, moved: u64, percent: u32) -> bool {
        let mut to = self.to;
        to.load += moved;
        let gain = self
            .from
            .times(to.weight)
            .checked_sub(to.times(self.from.weight));
        let weight = u128::from(self.from.weight);
        let worth = u128::from(moved) * weight * u128::from(percent);
        gain.is_some_and(|gain| gain > 0 && gain * 100 >= worth)
    }
}

/// Nodes of one weight, by load.
#[derive(Clone, Debug)]
struct Class {
    weight: u32,
    takers: BTreeSet<(u64, u32)>,
    givers: BTreeSet<(u64, u32)>,
}

/// The load of every node that takes channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    /// In the order of their weights.
    classes: Vec<Class>,
    /// Load and class of each node; of one that takes nothing they mean nothing.
    nodes: Vec<(u64, u32)>,
}

impl Loads {
    pub(super) fn start(&mut self, nodes: &[Node], channels: &[Channel]) {
        self.nodes.clear();
        self.nodes.resize(nodes.len(), (0, 0));
        for channel in channels {
            if let Some(node) = channel.node {
                self.nodes[node as usize].0 += load(channel);
            }
        }
        let mut weights: Vec<u32> = nodes
            .iter()
            .filter(|node| node.takes())
            .map(|node| node.weight)
            .collect();
        weights.sort_unstable();
        weights.dedup();
        self.classes.clear();
        self.classes.extend(weights.iter().map(|weight| Class {
            weight: *weight,
            takers: BTreeSet::new(),
            givers: BTreeSet::new(),
        }));
        for (at, node) in (0_u32..).zip(nodes).filter(|(_, node)| node.takes()) {
            let class = weights.partition_point(|weight| *weight < node.weight);
            let entry = &mut self.nodes[at as usize];
            entry.1 = class as u32;
            let entry = (entry.0, at);
            self.classes[class].takers.insert(entry);
            self.classes[class].givers.insert(entry);
        }
    }

    fn relative(&self, node: u32) -> Relative {
        let (load, class) = self.nodes[node as usize];
        let weight = self.classes[class as usize].weight;
        Relative { load, weight }
    }

    pub(super) fn pair(&self, from: u32, to: u32) -> Pair {
        let (from, to) = (self.relative(from), self.relative(to));
        Pair { from, to }
    }

    /// The least loaded nodes, one of each weight.
    pub(super) fn least_of_each_weight(&self) -> impl Iterator<Item = u32> {
        self.classes
            .iter()
            .filter_map(|class| Some(class.takers.first()?.1))
    }

    /// The node that is the least loaded with something more.
    pub(super) fn least_with(&self, more: u64) -> u32 {
        let with = |node: &u32| {
            let mut relative = self.relative(*node);
            relative.load += more;
            (relative, *node)
        };
        // There is a node that takes channels, or nothing would have been asked.
        self.least_of_each_weight()
            .min_by_key(with)
            .unwrap_or_default()
    }

    /// The most loaded node of those that may have something to give.
    pub(super) fn most(&self) -> Option<u32> {
        let most = self
            .classes
            .iter()
            .filter_map(|class| Some(class.givers.last()?.1));
        most.max_by_key(|node| (self.relative(*node), core::cmp::Reverse(*node)))
    }

    /// Whether no move of any load could be worth it.
    pub(super) fn is_level(&self, percent: u32) -> bool {
        let most = self
            .classes
            .iter()
            .filter_map(|class| Some(class.givers.last()?.1));
        most.into_iter().all(|from| {
            self.least_of_each_weight()
                .all(|to| !self.pair(from, to).is_worth(1, percent))
        })
    }

    pub(super) fn give_no_more(&mut self, node: u32) {
        let (load, class) = self.nodes[node as usize];
        self.classes[class as usize].givers.remove(&(load, node));
    }

    pub(super) fn add(&mut self, node: u32, more: u64) {
        let load = self.nodes[node as usize].0;
        self.change(node, load + more);
    }

    pub(super) fn subtract(&mut self, node: u32, less: u64) {
        let load = self.nodes[node as usize].0;
        self.change(node, load - less);
    }

    fn change(&mut self, node: u32, load: u64) {
        let (at, class) = &mut self.nodes[node as usize];
        let before = core::mem::replace(at, load);
        let class = &mut self.classes[*class as usize];
        class.takers.remove(&(before, node));
        class.takers.insert((load, node));
        if class.givers.remove(&(before, node)) {
            class.givers.insert((load, node));
        }
    }
}
