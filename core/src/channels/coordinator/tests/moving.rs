//! Moves for the sake of balance: few, slow, and not back and forth.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::meta::State;
use super::super::*;
use super::world::*;
use crate::channels::balance::Reason;
use crate::rng::Rng;

/// Channels that are on their way.
fn under_way(world: &World) -> u32 {
    let (assigned, all) = world.machine.assigned();
    all - assigned
}

#[test]
fn better_03_a_node_that_comes_is_given_its_share_and_no_more() {
    for (nodes, channels) in [(3_i64, 16_usize), (4, 100)] {
        let mut world = World::serving(nodes, channels);
        let before = world.placement();
        world.up(nodes + 1, &address(nodes + 1));
        world.run(Duration::from_secs(60));
        world.assert_all_assigned();
        let after = world.placement();
        let moved = after
            .iter()
            .filter(|(channel, at)| before[*channel] != **at);
        let moved = moved.count();
        assert!(
            moved <= channels.div_ceil(nodes as usize + 1),
            "{moved} moves"
        );
        let counts: Vec<usize> = (1..=nodes + 1).map(|node| world.count_on(node)).collect();
        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        assert!(spread <= 1, "{counts:?}");
    }
}

#[test]
fn better_03_a_node_that_is_lost_takes_away_what_it_had_and_nothing_else_moves() {
    let mut world = World::serving(8, 256);
    let before = world.placement();
    world.gone(3);
    world.run(Duration::from_secs(1));
    world.assert_all_assigned();
    for (channel, (term, on)) in world.placement() {
        let (term_before, on_before) = before[&channel];
        let was_lost = on_before == 3;
        assert_eq!(term != term_before, was_lost);
        assert_eq!(on != on_before, was_lost);
    }
}

#[test]
fn better_12_at_most_three_channels_move_at_once_and_orphans_are_not_counted() {
    let mut world = World::serving(2, 60);
    world.worker(1).open = ms(50);
    world.worker(2).open = ms(50);
    world.up(3, &address(3));
    world.worker(3).open = ms(50);
    let mut most = 0;
    for _ in 0..3_000 {
        world.run(ms(1));
        most = most.max(under_way(&world));
    }
    assert_eq!((most, world.count_on(3)), (3, 20));
    // What has lost its node is placed at once, all of it.
    world.gone(1);
    world.run(ms(10));
    assert_eq!(under_way(&world), 20);
    world.run(ms(100));
    world.assert_all_assigned();
}

#[test]
fn better_12_a_channel_that_moved_stays_for_five_minutes() {
    let mut world = World::serving(2, 10);
    world.up(3, &address(3));
    world.run(Duration::from_secs(10));
    assert_eq!(world.count_on(3), 3);
    let moved: Vec<String> = world
        .placement()
        .into_iter()
        .filter(|(_, (_, on))| *on == 3)
        .map(|(channel, _)| channel)
        .collect();
    // Its share falls to nothing but a third of a channel: others may take what it has, but not yet.
    let weight = |world: &mut World, weight| {
        for node in [1, 2] {
            let address = address(node);
            let command = CoordinatorCommand::Weight {
                address: &address,
                weight,
            };
            world.command(command).unwrap();
        }
    };
    weight(&mut world, 10);
    world.run(Duration::from_secs(280));
    assert_eq!(world.count_on(3), 3);
    world.run(Duration::from_secs(30));
    assert!(world.count_on(3) <= 1);
    assert!(moved.iter().any(|channel| world.at(channel).1 == 4));
    world.assert_all_assigned();
}

/// 10,000 changes of weight at random: nothing goes there and back within the interval.
#[test]
fn better_03_nothing_goes_there_and_back_within_the_interval() {
    let mut world = World::serving(4, 24);
    let mut rng = Rng::new(11);
    let mut changed: BTreeMap<String, (Instant, i64, i64)> = BTreeMap::new();
    let mut before = world.placement();
    let mut moves = 0;
    for _ in 0..10_000 {
        let address = address(1 + rng.below(4) as i64);
        let command = CoordinatorCommand::Weight {
            address: &address,
            weight: 8 + rng.below(5) as u32,
        };
        world.command(command).unwrap();
        world.run(ms(500));
        let after = world.placement();
        for (channel, (_, on)) in &after {
            let (_, was) = before[channel];
            if was == *on {
                continue;
            }
            moves += 1;
            let last = changed.insert(channel.clone(), (world.now, was, *on));
            if let Some((at, from, _)) = last {
                let is_soon = world.now.since(at) < Duration::from_secs(290);
                assert!(!is_soon || from != *on, "{channel} went back to {on}");
            }
        }
        before = after;
    }
    assert!(moves < 2_000, "{moves} moves");
}

#[test]
fn a_channel_is_moved_where_an_operator_wants_it_and_a_plan_is_only_shown() {
    let mut world = World::serving(2, 4);
    let (channel, from) = (name(2), world.at(&name(2)).0.unwrap());
    let to = address(3 - from);
    let command = CoordinatorCommand::Move {
        channel: &channel,
        to: &to,
    };
    world.command(command).unwrap();
    world.run(ms(50));
    assert_eq!(world.at(&channel), (Some(3 - from), 3));
    // Where it is already, nothing happens.
    let writes = world.io.writes;
    world.command(command).unwrap();
    world.run(ms(50));
    assert_eq!(world.io.writes, writes);
    // A plan of what would be, and nothing is.
    world.up(3, &address(3));
    let mut planned = Vec::new();
    world
        .machine
        .plan(world.now, &mut |step| {
            assert_eq!(step.reason, Reason::Unbalanced);
            planned.push((String::from(step.channel), step.to.server_id));
        })
        .unwrap();
    assert!(!planned.is_empty() && planned.iter().all(|(_, to)| *to == 3));
    assert_eq!((world.io.writes, world.count_on(3)), (writes, 0));
    let idle = World::new();
    let refused = idle.machine.plan(idle.now, &mut |_| {});
    assert_eq!(refused, Err(CoordinatorRefused::NotLeading));
}

/// It is not there before its new owner has opened it, and its former owner has it until it has let it go.
#[test]
fn a_channel_on_its_way_is_assigned_to_nobody_and_held_by_its_former_owner() {
    let mut world = World::serving(2, 3);
    world.worker(1).open = ms(20);
    world.worker(2).open = ms(20);
    let from = if world.count_on(1) == 2 { 1 } else { 2 };
    let on = |channel: &usize| world.at(&name(*channel)).0 == Some(from);
    let channel = name((0..3).find(on).unwrap());
    let held = |world: &World, node: i64| {
        let held = world.machine.held();
        held.get(&Incarnation::new(node, &address(node))).copied()
    };
    let before = (held(&world, from), held(&world, 3 - from));
    let to = address(3 - from);
    let command = CoordinatorCommand::Move {
        channel: &channel,
        to: &to,
    };
    world.command(command).unwrap();
    let has = |world: &World| {
        let worker = &world.workers[&address(from)];
        worker.channels[&channel].1
    };
    // What the catalog, the removal and the opening take.
    for _ in 0..200 {
        let view = world.view(&channel);
        let there = world.workers[&to].channels.get(&channel);
        if view.state == State::Assigned {
            assert_eq!(view.node.map(|node| node.server_id), Some(3 - from));
            assert!(there.is_some_and(|(term, open, _)| *open && *term == view.term));
        }
        if has(&world) {
            assert_eq!(held(&world, from), before.0);
        }
        world.run(Duration::from_micros(200));
    }
    assert_eq!(world.view(&channel).state, State::Assigned);
    let after = (held(&world, from), held(&world, 3 - from));
    let changed = (before.0.map(|had| had - 1), before.1.map(|had| had + 1));
    assert_eq!(after, changed);
    // Where its node is lost and there is no other, it is nowhere.
    world.gone(from);
    world.run(ms(200));
    world.gone(3 - from);
    let view = world.view(&channel);
    assert_eq!((view.state, view.node), (State::Unavailable, None));
}

#[test]
fn a_node_is_given_what_it_weighs() {
    let mut world = World::serving(2, 0);
    let heavy = CoordinatorCommand::Weight {
        address: &address(2),
        weight: 3,
    };
    world.command(heavy).unwrap();
    for channel in 0..40 {
        world.create(&name(channel));
    }
    world.run(ms(100));
    assert_eq!((world.count_on(1), world.count_on(2)), (10, 30));
    let nothing = CoordinatorCommand::Weight {
        address: &address(1),
        weight: 0,
    };
    world.command(nothing).unwrap();
    world.run(ms(100));
    assert_eq!((world.count_on(1), world.count_on(2)), (0, 40));
    world.assert_all_assigned();
}

/// A plan walks all channels: one for each that is made, or reported, would take a time that grows with its square.
#[test]
fn a_plan_is_made_for_all_that_happens_within_ten_milliseconds() {
    let mut world = World::serving(4, 0);
    let plans = world.machine.counters().plans;
    for channel in 0..1_000 {
        world.create(&name(channel));
        world.run(Duration::from_micros(100));
    }
    world.run(ms(100));
    world.assert_all_assigned();
    let plans = world.machine.counters().plans - plans;
    assert!((1..25).contains(&plans), "{plans} plans");
}
