//! The nodes that are known: who lives, who is gone, and whose turn it is to be called.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::meta::Incarnation;
use crate::id::NodeId;
use crate::machine::{Full, Io};
use crate::time::Instant;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Up,
    /// Gone from the membership since then; it may live all the same.
    Gone(Instant),
    /// Its process is over for certain.
    Dead,
    /// It was heard of, and is as unknown as if it were not.
    Forgotten,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) incarnation: Incarnation,
    pub(super) life: Life,
    pub(super) weight: u32,
    /// It is to give up its channels, by then.
    pub(super) drain_by: Option<Instant>,
    /// It is stopping: it is not taken back.
    pub(super) stops: bool,
    /// It was told to the layer above that it has none left.
    pub(super) told_drained: bool,
    /// Calls to it under way.
    pub(super) calls: u32,
    /// Channels that wait to call it, in order.
    pub(super) queue: VecDeque<u32>,
}

/// What is known of an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It lives, and is in this place of the table.
    Up(u32),
    Gone(Instant),
    Dead,
    /// It was never heard of.
    No,
}

/// All nodes by server id, in order of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    by_server: BTreeMap<i64, u32>,
    by_address: BTreeMap<Arc<str>, u32>,
    /// Numbers that nobody had asked for before: they are given back when nobody lives at the address.
    numbers: BTreeMap<Arc<str>, NodeId>,
}

/// What became of a node that was said to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new, or back.
    Up,
    /// It was up already.
    Known,
    /// That life is over: it is not believed.
    Dead,
}

impl Nodes {
    pub(super) fn at(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    pub(super) fn at_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    /// Those that live, in order of their server ids.
    pub(super) fn up(&self) -> impl Iterator<Item = (u32, &Node)> {
        let all = self.by_server.values();
        let all = all.map(|at| (*at, &self.nodes[*at as usize]));
        all.filter(|(_, node)| node.life == Life::Up)
    }

    /// All that are known, in order of their server ids.
    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.by_server.values().map(|at| &self.nodes[*at as usize])
    }

    pub(super) fn find(&self, node: &Incarnation) -> Known {
        let at = self.by_server.get(&node.server_id);
        let known = at.map(|at| (*at, &self.nodes[*at as usize]));
        match known.filter(|(_, known)| known.incarnation == *node) {
            None => Known::No,
            Some((at, known)) => match known.life {
                Life::Up => Known::Up(at),
                Life::Gone(since) => Known::Gone(since),
                Life::Dead => Known::Dead,
                Life::Forgotten => Known::No,
            },
        }
    }

    pub(super) fn by_server(&self, server_id: i64) -> Option<u32> {
        let at = self.by_server.get(&server_id).copied();
        at.filter(|at| self.at(*at).life == Life::Up)
    }

    pub(super) fn by_address(&self, address: &str) -> Option<u32> {
        self.by_address.get(address).copied()
    }

    /// Whether the server id is that of a node at another address: then one of the two is not told right.
    pub(super) fn is_elsewhere(&self, node: &Incarnation) -> bool {
        let known = self.by_server.get(&node.server_id);
        known.is_some_and(|at| self.at(*at).incarnation.address != node.address)
    }

    /// A node is up. Another life at its address is over, which is put into `dead`.
    ///
    /// # Errors
    /// [`Full`] if `nodes_max` live.
    pub(super) fn arrive(
        &mut self,
        node: &Incarnation,
        weight: u32,
        nodes_max: u32,
        dead: &mut Option<u32>,
    ) -> Result<Arrival, Full> {
        let is_back = match self.find(node) {
            Known::Dead => return Ok(Arrival::Dead),
            Known::Up(at) => {
                self.at_mut(at).weight = weight;
                return Ok(Arrival::Known);
            }
            Known::Gone(_) => true,
            Known::No => false,
        };
        let at = match self.by_server.get(&node.server_id).copied() {
            Some(at) => at,
            None => self.place(node, nodes_max)?,
        };
        *dead = self.by_address(&node.address).filter(|other| *other != at);
        if let Some(other) = *dead {
            self.at_mut(other).life = Life::Dead;
        }
        let earlier = self.at(at);
        // That it was not heard of for a while undoes no drain.
        *self.at_mut(at) = Node {
            incarnation: node.clone(),
            life: Life::Up,
            weight,
            drain_by: earlier.drain_by.filter(|_| is_back),
            stops: earlier.stops && is_back,
            told_drained: earlier.told_drained && is_back,
            calls: 0,
            queue: VecDeque::new(),
        };
        self.by_address.insert(Arc::clone(&node.address), at);
        Ok(Arrival::Up)
    }

    /// A place for a new node: that of the one that is gone the longest, if there is no other.
    fn place(&mut self, node: &Incarnation, nodes_max: u32) -> Result<u32, Full> {
        let fresh = Node {
            incarnation: node.clone(),
            life: Life::Dead,
            weight: 0,
            drain_by: None,
            stops: false,
            told_drained: false,
            calls: 0,
            queue: VecDeque::new(),
        };
        let at = if self.nodes.len() < nodes_max as usize {
            self.nodes.push(fresh);
            (self.nodes.len() - 1) as u32
        } else {
            let at = self.oldest_gone().ok_or(Full)?;
            let earlier = core::mem::replace(self.at_mut(at), fresh).incarnation;
            self.by_server.remove(&earlier.server_id);
            at
        };
        self.by_server.insert(node.server_id, at);
        Ok(at)
    }

    fn oldest_gone(&self) -> Option<u32> {
        let gone = (0_u32..)
            .zip(&self.nodes)
            .filter_map(|(at, node)| match node.life {
                Life::Up => None,
                Life::Gone(since) => Some((since, at)),
                Life::Dead | Life::Forgotten => Some((Instant::ZERO, at)),
            });
        gone.min().map(|(_, at)| at)
    }

    /// The number by which a node is called.
    pub(super) fn number(&mut self, at: u32, io: &mut dyn Io) -> Result<NodeId, Full> {
        let address = &self.nodes[at as usize].incarnation.address;
        if let Some(number) = self.numbers.get(address) {
            return Ok(*number);
        }
        let is_ours = !io.knows(address);
        let number = io.node(address)?;
        if is_ours {
            self.numbers.insert(Arc::clone(address), number);
        }
        Ok(number)
    }

    /// Gives the number of a node back that nobody calls any more.
    pub(super) fn give_number_back(&mut self, at: u32, io: &mut dyn Io) {
        let address = &self.nodes[at as usize].incarnation.address;
        if !self.by_address.contains_key(address) {
            if let Some(number) = self.numbers.remove(address) {
                io.forget(number);
            }
        }
    }

    /// What is known of a node is not believed any more, unless its process is over.
    pub(super) fn forget(&mut self, server_id: i64) {
        let Some(at) = self.by_server.get(&server_id).copied() else {
            return;
        };
        if self.at(at).life != Life::Dead {
            self.leave(at, Life::Forgotten);
            self.at_mut(at).life = Life::Forgotten;
        }
    }

    /// Nobody waits for his turn any more.
    pub(super) fn forget_turns(&mut self) {
        for node in &mut self.nodes {
            node.queue.clear();
        }
    }

    /// A node is gone, or dead. `false` if it was so before.
    pub(super) fn leave(&mut self, at: u32, life: Life) -> bool {
        let node = self.at_mut(at);
        let was_up = node.life == Life::Up;
        if was_up || life == Life::Dead {
            node.life = life;
        }
        node.queue.clear();
        let address = Arc::clone(&node.incarnation.address);
        if was_up && self.by_address(&address) == Some(at) {
            self.by_address.remove(&address);
        }
        was_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(
        nodes: &mut Nodes,
        server_id: i64,
        address: &str,
    ) -> (Result<Arrival, Full>, Option<u32>) {
        let mut dead = None;
        let node = Incarnation::new(server_id, address);
        let arrival = nodes.arrive(&node, 1, 3, &mut dead);
        (arrival, dead)
    }

    #[test]
    fn of_an_address_the_newest_life_counts_and_the_earlier_never_comes_back() {
        let mut nodes = Nodes::default();
        assert_eq!(arrive(&mut nodes, 7, "a:1"), (Ok(Arrival::Up), None));
        assert_eq!(arrive(&mut nodes, 7, "a:1"), (Ok(Arrival::Known), None));
        assert_eq!(arrive(&mut nodes, 5, "a:1"), (Ok(Arrival::Up), Some(0)));
        assert_eq!(nodes.find(&Incarnation::new(7, "a:1")), Known::Dead);
        assert_eq!(nodes.by_address("a:1"), Some(1));
        assert_eq!(arrive(&mut nodes, 7, "a:1"), (Ok(Arrival::Dead), None));
        assert_eq!(nodes.find(&Incarnation::new(5, "b:1")), Known::No);
    }

    #[test]
    fn who_is_gone_longest_makes_room_and_who_lives_never_does() {
        let mut nodes = Nodes::default();
        for (server_id, address) in [(1, "a:1"), (2, "b:1"), (3, "c:1")] {
            assert_eq!(arrive(&mut nodes, server_id, address).0, Ok(Arrival::Up));
        }
        assert_eq!(arrive(&mut nodes, 4, "d:1").0, Err(Full));
        assert!(nodes.leave(1, Life::Gone(Instant::from_millis(9))));
        assert!(nodes.leave(0, Life::Gone(Instant::from_millis(10))));
        assert!(!nodes.leave(0, Life::Gone(Instant::from_millis(11))));
        assert_eq!(arrive(&mut nodes, 4, "d:1").0, Ok(Arrival::Up));
        assert_eq!(nodes.find(&Incarnation::new(2, "b:1")), Known::No);
        let gone = Known::Gone(Instant::from_millis(10));
        assert_eq!(nodes.find(&Incarnation::new(1, "a:1")), gone);
        assert!(
            nodes
                .up()
                .map(|(_, node)| node.incarnation.server_id)
                .eq([3, 4])
        );
        assert_eq!(
            arrive(&mut nodes, 1, "a:1").0,
            Ok(Arrival::Up),
            "it is back"
        );
    }
}
