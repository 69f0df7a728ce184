//! Soon after all faults end, everything is well: a leader serves, each channel is assigned to a node that has it
//! open, clients know, producers have their answers, consumers everything, and no node has two channels more than
//! another.
//!
//! Planted against it: `asks-once` (settled), `never-balances` (balance).

use std::time::Duration;

use trefoil_core::channels::coordinator::meta::State;
use trefoil_core::channels::worker::ChannelState;
use trefoil_core::node::Channels;

use crate::channels::oracle::{Oracle, Worlds};
use crate::channels::plan::Plan;

/// Within this time.
pub const BOUND: Duration = Duration::from_secs(15);
/// How long it must last.
pub const LASTS: Duration = Duration::from_millis(800);

fn channels(world: &Worlds, node: usize) -> Option<&Channels> {
    world.engine(node)?.machine().machine().machine().channels()
}

/// What is wrong with the assignments, if anything is.
#[must_use]
pub fn unassigned(plan: &Plan, oracle: &Oracle, world: &Worlds) -> Option<String> {
    let Some(leader) = oracle.leader.and_then(|leader| channels(world, leader)) else {
        return Some("nobody leads".to_owned());
    };
    let coordinator = leader.coordinator();
    if !coordinator.is_serving() {
        return Some("the leader does not serve".to_owned());
    }
    let mut count = 0;
    for channel in coordinator.channels() {
        count += 1;
        let name = channel.name;
        let Some(node) = channel.node.filter(|_| channel.state == State::Assigned) else {
            return Some(format!(
                "{name} is {:?}, {:?}",
                channel.state, channel.waits
            ));
        };
        let owner = plan.names.iter().position(|known| **known == *node.address);
        let owner = owner.and_then(|owner| channels(world, owner));
        let view = owner.and_then(|owner| owner.worker().channel(name));
        let is_open = view.is_some_and(|view| {
            view.state == ChannelState::Open && i64::try_from(view.term) == Ok(channel.term)
        });
        if !is_open {
            let term = channel.term;
            return Some(format!(
                "{name} is not open at {term} on {}: {view:?}",
                node.address
            ));
        }
    }
    (count < plan.channels).then(|| format!("there are {count} channels of {}", plan.channels))
}

/// A client that does not know what the leader says, if there is one.
#[must_use]
pub fn unaware(plan: &Plan, oracle: &Oracle, world: &Worlds) -> Option<String> {
    let leader = channels(world, oracle.leader?)?;
    let version = leader.coordinator().version()?;
    (plan.hosts..plan.hosts + plan.clients).find_map(|client| {
        let party = world.engine(client)?.machine().machine().machine();
        let (global, local) = party.as_client()?.version();
        let knows = u64::try_from(global).is_ok_and(|global| (global, local) == version);
        (!knows).then(|| format!("client {client} is at {global}, {local} and not at {version:?}"))
    })
}

/// How the channels are spread over the nodes that take any, if not evenly.
#[must_use]
pub fn uneven(oracle: &Oracle, world: &Worlds) -> Option<String> {
    let coordinator = channels(world, oracle.leader?)?.coordinator();
    let mut counts = Vec::new();
    for node in coordinator
        .nodes()
        .filter(|node| node.lives && !node.drains)
    {
        let has = coordinator
            .channels()
            .filter(|channel| channel.node == Some(node.node));
        counts.push(has.count());
    }
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (most - least > 1).then(|| format!("nodes have {counts:?} channels"))
}
