//! Which channel goes where, and when: what has no node at once, what is moved for the sake of balance slowly.

use alloc::vec::Vec;

use super::channels::Slot;
use super::meta::State;
use super::nodes::Known;
use super::{
    Coordinator, CoordinatorEvent, CoordinatorPlant, CoordinatorRefused, DUE_PLACE, Lent,
    PlannedMove, Standing,
};
use crate::channels::balance::{Balancer, Channel, Move, Node, Pace, Reason};
use crate::time::{Duration, Instant, earliest};

/// What lies between two plans at least: a plan walks all channels, and what happens to one of them often happens to
/// many. So planning takes a bounded part of a core, however fast channels are made or reported.
const PLAN_INTERVAL: Duration = Duration::from_millis(10);

/// The same by the number of channels, where there are more than 10,000.
const PLAN_INTERVAL_PER_CHANNEL: Duration = Duration::from_micros(1);

/// What is kept between plans.
#[derive(Debug, Default)]
pub(super) struct Placing {
    balancer: Balancer,
    moves: Vec<Move>,
    /// When the last plan was made.
    planned_at: Option<Instant>,
    /// The nodes that were waited for are there, or were waited for long enough.
    ready: bool,
}

impl Placing {
    pub(super) const fn is_ready(&self) -> bool {
        self.ready
    }
}

/// What a plan is made of.
#[derive(Debug, Default)]
struct Inputs {
    nodes: Vec<Node>,
    /// Which node of the table each is.
    node_slots: Vec<u32>,
    channels: Vec<Channel>,
    /// Which channel of the table each is.
    channel_slots: Vec<u32>,
    /// When the first of those that rest may move again.
    rested_at: Option<Instant>,
}

impl Coordinator {
    /// A plan is made in this very moment, when all that happens in it has happened; or a while after the last one.
    pub(super) fn place_soon(&mut self, now: Instant) {
        let interval = self.plan_interval();
        let due = self.placing.planned_at.map_or(now, |at| at + interval);
        self.place_at(due.max(now));
    }

    /// A plan is made soon.
    pub(super) fn place_later(&mut self, now: Instant) {
        self.place_at(now + self.plan_interval());
    }

    fn plan_interval(&self) -> Duration {
        PLAN_INTERVAL.max(PLAN_INTERVAL_PER_CHANNEL * self.channels.len())
    }

    fn place_at(&mut self, due: Instant) {
        let sooner = self.timers.due(DUE_PLACE).is_some_and(|at| at <= due);
        if self.standing == Standing::Serving && !sooner {
            self.timers.set(DUE_PLACE, due);
        }
    }

    /// Makes a plan and carries it out.
    pub(super) fn place(&mut self, lent: &mut Lent<'_>) {
        if !self.is_serving() || !self.is_ready(lent) {
            return;
        }
        self.placing.planned_at = Some(lent.now);
        self.counters.plans += 1;
        let inputs = self.inputs(lent.now);
        let moving = self.channels.moving;
        let room = match self.plant {
            Some(CoordinatorPlant::NeverBalances) => 0,
            Some(CoordinatorPlant::NoThrottle) => u32::MAX,
            _ => self.config.moves_max.saturating_sub(moving),
        };
        let pace = self.pace(room);
        let mut moves = core::mem::take(&mut self.placing.moves);
        moves.clear();
        self.placing
            .balancer
            .plan(&inputs.nodes, &inputs.channels, pace, &mut moves);
        for planned in &moves {
            self.carry_out(planned, &inputs, lent);
        }
        if moves.is_empty() {
            self.give_up_homeless(&inputs, lent);
        }
        self.placing.moves = moves;
        self.tell_drained(&inputs, lent);
        if let Some(at) = inputs.rested_at {
            let sooner = self.timers.due(DUE_PLACE).is_some_and(|due| due <= at);
            if !sooner {
                self.timers.set(DUE_PLACE, at);
            }
        }
    }

    const fn pace(&self, moves_max: u32) -> Pace {
        Pace {
            moves_max,
            worth_percent: self.config.worth_percent,
        }
    }

    /// Whether nodes need not be waited for any more.
    fn is_ready(&mut self, lent: &mut Lent<'_>) -> bool {
        if self.placing.ready {
            return true;
        }
        let by = self.nodes_by();
        let are_known = || {
            let mut named = self.channels.in_order();
            let nodes = |slot: &Slot| slot.ledger.meta().node.clone();
            named
                .all(|(_, slot)| nodes(slot).is_none_or(|node| self.nodes.find(&node) != Known::No))
        };
        let enough = self.nodes.up().count() >= self.config.expected_nodes as usize;
        if lent.now < by && !(enough && are_known()) {
            self.timers.set(DUE_PLACE, by);
            return false;
        }
        self.placing.ready = true;
        for at in 0..self.channels.len() {
            self.step(at, lent);
        }
        true
    }

    fn inputs(&self, now: Instant) -> Inputs {
        let mut inputs = Inputs::default();
        for (at, node) in self.nodes.up() {
            inputs.nodes.push(Node {
                weight: node.weight,
                drains: node.drain_by.is_some(),
            });
            inputs.node_slots.push(at);
        }
        // From the node's place in the table to its place in the plan.
        let most = inputs.node_slots.iter().max().map_or(0, |most| most + 1);
        let mut places = alloc::vec![None; most as usize];
        for (place, at) in (0_u32..).zip(&inputs.node_slots) {
            places[*at as usize] = Some(place);
        }
        for (at, slot) in self.channels.in_order() {
            let target = slot.ledger.target();
            let node = target.and_then(|target| match self.nodes.find(target) {
                Known::Up(at) => places[at as usize],
                Known::Gone(_) | Known::Dead | Known::No => None,
            });
            let rests_until = slot.moved_at.map(|at| at + self.config.move_interval);
            let rests_until = rests_until.filter(|until| *until > now);
            inputs.rested_at = earliest(inputs.rested_at, rests_until);
            inputs.channels.push(Channel {
                node,
                load: slot.load,
                rests: rests_until.is_some() || !slot.shown || slot.moves,
            });
            inputs.channel_slots.push(at);
        }
        inputs
    }

    fn carry_out(&mut self, planned: &Move, inputs: &Inputs, lent: &mut Lent<'_>) {
        let at = inputs.channel_slots[planned.channel as usize];
        let node = inputs.node_slots[planned.to as usize];
        let to = self.nodes.at(node).incarnation.clone();
        // One that is still being created is given a place when it is there.
        if !self.channels.at(at).ledger.is_created() {
            return;
        }
        if self.give(at, &to, lent) && planned.reason == Reason::Unbalanced {
            self.counters.moves += 1;
            self.channels.set_moves(at, true);
        }
    }

    /// There is nowhere to give them to: the catalog is told that those that were assigned are not.
    fn give_up_homeless(&mut self, inputs: &Inputs, lent: &mut Lent<'_>) {
        for (channel, at) in inputs.channels.iter().zip(&inputs.channel_slots) {
            if channel.node.is_none() && self.channels.at_mut(*at).ledger.give_up() {
                self.step(*at, lent);
            }
        }
    }

    /// Nodes that are drained and have nothing left, not even a removal that is not known to be complete.
    fn tell_drained(&mut self, inputs: &Inputs, lent: &mut Lent<'_>) {
        for (node, at) in inputs.nodes.iter().zip(&inputs.node_slots) {
            if !node.drains || self.nodes.at(*at).told_drained {
                continue;
            }
            let incarnation = self.nodes.at(*at).incarnation.clone();
            let has = |slot: &Slot| {
                let meta = slot.ledger.meta();
                let is_on =
                    meta.node.as_ref() == Some(&incarnation) && meta.state != State::Unavailable;
                let is_former = |history: &super::meta::History| history.node == incarnation;
                is_on
                    || slot.ledger.target() == Some(&incarnation)
                    || meta.histories.iter().any(is_former)
            };
            if self.channels.in_order().any(|(_, slot)| has(slot)) {
                continue;
            }
            self.nodes.at_mut(*at).told_drained = true;
            lent.up
                .event(CoordinatorEvent::Drained { node: &incarnation });
        }
    }

    /// What a plan made now would move, if nothing limited the moves for the sake of balance; nothing is moved.
    ///
    /// # Errors
    /// [`CoordinatorRefused::NotLeading`] if this node does not serve.
    pub fn plan(
        &self,
        now: Instant,
        each: &mut dyn FnMut(PlannedMove<'_>),
    ) -> Result<(), CoordinatorRefused> {
        if !self.is_serving() {
            return Err(CoordinatorRefused::NotLeading);
        }
        let inputs = self.inputs(now);
        let mut moves = Vec::new();
        Balancer::default().plan(
            &inputs.nodes,
            &inputs.channels,
            self.pace(u32::MAX),
            &mut moves,
        );
        let node = |place: u32| &self.nodes.at(inputs.node_slots[place as usize]).incarnation;
        for planned in &moves {
            let slot = self
                .channels
                .at(inputs.channel_slots[planned.channel as usize]);
            each(PlannedMove {
                channel: &slot.name,
                from: planned.from.map(node),
                to: node(planned.to),
                reason: planned.reason,
            });
        }
        Ok(())
    }
}
