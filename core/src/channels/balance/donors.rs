//! The channels that each node may give away, by load.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Channel, Node, load};

/// Channels by node. A node's own are put in order when it first gives one away.
#[derive(Clone, Debug, Default)]
pub(super) struct Donors {
    /// Channels, node after node.
    channels: Vec<u32>,
    nodes: Vec<Given>,
}

#[derive(Clone, Debug, Default)]
struct Given {
    range: Range<usize>,
    is_sorted: bool,
}

impl Donors {
    /// Takes up which channels may leave which node. Cost: two looks at each channel.
    pub(super) fn start(&mut self, nodes: &[Node], channels: &[Channel]) {
        self.nodes.clear();
        self.nodes.resize(nodes.len(), Given::default());
        let movable = || {
            let all = (0_u32..)
                .zip(channels)
                .filter(|(_, channel)| !channel.rests);
            let placed = all.filter_map(|(at, channel)| Some((at, channel.node? as usize)));
            placed.filter(|(_, node)| nodes[*node].takes())
        };
        for (_, node) in movable() {
            self.nodes[node].range.end += 1;
        }
        let mut sum = 0;
        for node in &mut self.nodes {
            let count = node.range.end;
            node.range = sum..sum;
            sum += count;
        }
        self.channels.clear();
        self.channels.resize(sum, 0);
        for (at, node) in movable() {
            let range = &mut self.nodes[node].range;
            self.channels[range.end] = at;
            range.end += 1;
        }
    }

    /// The channels of a node whose loads are the next to `ideal`, from below and from above.
    pub(super) fn around(
        &mut self,
        node: u32,
        ideal: u64,
        channels: &[Channel],
    ) -> impl Iterator<Item = u32> + use<> {
        let given = &mut self.nodes[node as usize];
        let own = &mut self.channels[given.range.clone()];
        let load = |at: &u32| load(&channels[*at as usize]);
        if !given.is_sorted {
            own.sort_by_key(load);
            given.is_sorted = true;
        }
        let above = own.partition_point(|at| load(at) <= ideal);
        let below = above.checked_sub(1).map(|at| own[at]);
        below.into_iter().chain(own.get(above).copied())
    }

    /// A channel leaves.
    pub(super) fn take(&mut self, node: u32, channel: u32) {
        let range = &mut self.nodes[node as usize].range;
        let own = &mut self.channels[range.clone()];
        if let Some(at) = own.iter().rposition(|at| *at == channel) {
            own[at..].rotate_left(1);
            range.end -= 1;
        }
    }
}
