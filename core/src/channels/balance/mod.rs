//! Where channels belong: a pure function of the nodes, the channels, and where the channels are.
//!
//! # What a plan does
//! - **Every channel is placed, at once.** One that has no node, or whose node gives up its channels, goes to
//!   the node that is the least loaded with it, the heaviest channel first.
//! - **Nothing else moves, unless it pays.** A channel is moved from the most loaded node to the one where it
//!   leaves the pair the least loaded, as long as the gain is worth what is moved
//!   ([`Pace::worth_percent`]), the channel may move ([`Channel::rests`]) and there are moves left
//!   ([`Pace::moves_max`]). No channel moves twice in a plan.
//! - With channels of equal load and nodes of equal weight, and moves enough, two nodes differ by one channel
//!   at most, and no plan that ends so has fewer moves: a node that comes is given `C / (N + 1)`, rounded down
//!   if all others were even; one that goes takes away what it had and no more.
//! - Where loads change a little, nothing moves: a move that gains less than its worth is none, and so a channel
//!   does not go back and forth.
//!
//! # How loads are compared
//! A node of weight `w` with channels of load `L` in all is loaded `L / w`: exactly, in integers. So with equal
//! loads channels are apportioned by the method of D'Hondt (1878), greedily; for unequal loads, heaviest first is
//! Graham's rule (1969), which is within a third of the best for nodes of equal weight.
//!
//! # Cost
//! `O(C + N log N + (placed + moved) * K * log N)` for `C` channels, `N` nodes and `K` different weights; besides,
//! what is placed is sorted once by load, so are the channels of a node that gives some away, and each that it
//! gives is a walk through them. Some 8 bytes a channel and 100 a node are kept between plans.

mod donors;
mod loads;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use self::donors::Donors;
use self::loads::{Loads, Relative};

/// A node that channels may be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its share: a node of weight 2 gets twice as much as one of weight 1. One of weight 0 gets nothing and
    /// gives up what it has.
    pub weight: u32,
    /// Whether it gives up all its channels: it is stopping, or an operator said so.
    pub drains: bool,
}

impl Node {
    const fn takes(self) -> bool {
        self.weight > 0 && !self.drains
    }
}

/// A channel, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The node it is on, by its place in the list of nodes; `None` if it is on none, or on one that is gone.
    pub node: Option<u32>,
    /// What it costs its node, in any unit that all channels share. 0 counts as 1.
    pub load: u32,
    /// Whether it may not be moved for the sake of balance: it moved a short while ago, say, or has much to
    /// catch up with. It is moved all the same if its node gives it up.
    pub rests: bool,
}

/// How eagerly channels are moved for the sake of balance. What has no node is placed whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Moves of one plan. More of them end an imbalance sooner, and disturb more channels at a time.
    pub moves_max: u32,
    /// How much of the load that is moved must be gained, in percent: by so much the node it leaves was more
    /// loaded than the one it comes to will be. At 0 any gain is enough, and loads that change a little move
    /// channels back and forth; from 100 on channels of equal load are not evened out any more.
    pub worth_percent: u32,
}

impl Default for Pace {
    /// Three moves a plan; a gain of a quarter.
    fn default() -> Self {
        Self {
            moves_max: 3,
            worth_percent: 25,
        }
    }
}

/// Why a channel is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no node.
    Orphaned,
    /// Its node gives up its channels.
    Drained,
    /// Its node has more than its share.
    Unbalanced,
}

/// A channel that is to be on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which, by its place in the list of channels.
    pub channel: u32,
    /// Where it is.
    pub from: Option<u32>,
    /// Where it is to be.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

/// Makes plans. It keeps nothing between them but memory.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    loads: Loads,
    donors: Donors,
    homeless: Vec<u32>,
}

impl Balancer {
    /// Appends what is to be moved to `moves`: first what must, then what pays. The same arguments give the
    /// same plan on every machine. Without a node that takes channels the plan is empty.
    ///
    /// # Panics
    /// If a channel is on a node that is not in the list, or there are more than `u32::MAX` channels.
    pub fn plan(
        &mut self,
        nodes: &[Node],
        channels: &[Channel],
        pace: Pace,
        moves: &mut Vec<Move>,
    ) {
        if !nodes.iter().any(|node| node.takes()) {
            return;
        }
        self.loads.start(nodes, channels);
        self.place(nodes, channels, moves);
        self.level(nodes, channels, pace, moves);
    }

    /// Gives a node to every channel that has none, or must leave its own.
    fn place(&mut self, nodes: &[Node], channels: &[Channel], moves: &mut Vec<Move>) {
        self.homeless.clear();
        for (at, channel) in (0_u32..).zip(channels) {
            let stays = channel
                .node
                .is_some_and(|node| nodes[node as usize].takes());
            if !stays {
                self.homeless.push(at);
            }
        }
        // A stable order: of equal loads the first in the list goes first.
        self.homeless
            .sort_by_key(|at| core::cmp::Reverse(load(&channels[*at as usize])));
        for at in &self.homeless {
            let channel = &channels[*at as usize];
            let to = self.loads.least_with(load(channel));
            self.loads.add(to, load(channel));
            let reason = match channel.node {
                None => Reason::Orphaned,
                Some(_) => Reason::Drained,
            };
            moves.push(Move {
                channel: *at,
                from: channel.node,
                to,
                reason,
            });
        }
    }

    /// Moves channels from nodes that have more than their share.
    fn level(&mut self, nodes: &[Node], channels: &[Channel], pace: Pace, moves: &mut Vec<Move>) {
        if pace.moves_max == 0 || self.loads.is_level(pace.worth_percent) {
            return;
        }
        self.donors.start(nodes, channels);
        let mut left = pace.moves_max;
        while let Some(from) = self.loads.most().filter(|_| left > 0) {
            let Some((channel, to)) = self.best(from, channels, pace) else {
                self.loads.give_no_more(from);
                continue;
            };
            self.donors.take(from, channel);
            let load = load(&channels[channel as usize]);
            self.loads.subtract(from, load);
            self.loads.add(to, load);
            left -= 1;
            moves.push(Move {
                channel,
                from: Some(from),
                to,
                reason: Reason::Unbalanced,
            });
        }
    }

    /// The move from a node that leaves the two nodes the least loaded, if one is worth it.
    fn best(&mut self, from: u32, channels: &[Channel], pace: Pace) -> Option<(u32, u32)> {
        let mut best: Option<(Relative, u32, u32)> = None;
        for to in self.loads.least_of_each_weight().filter(|to| *to != from) {
            let pair = self.loads.pair(from, to);
            for channel in self
                .donors
                .around(from, pair.ideal(pace.worth_percent), channels)
            {
                let moved = load(&channels[channel as usize]);
                if !pair.is_worth(moved, pace.worth_percent) {
                    continue;
                }
                let after = pair.after(moved);
                if best.is_none_or(|(least, ..)| after < least) {
                    best = Some((after, channel, to));
                }
            }
        }
        best.map(|(_, channel, to)| (channel, to))
    }
}

fn load(channel: &Channel) -> u64 {
    u64::from(channel.load.max(1))
}
