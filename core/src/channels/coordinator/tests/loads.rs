//! Channels of unequal load.

use alloc::collections::BTreeMap;
use alloc::string::String;

use super::super::*;
use super::world::*;
use crate::rng::Rng;

fn load(world: &mut World, channel: &str, load: u32) {
    world
        .command(CoordinatorCommand::Load { channel, load })
        .unwrap();
}

/// What each node has to do.
fn loads(world: &World) -> BTreeMap<i64, u32> {
    let mut loads = BTreeMap::new();
    for view in world.machine.channels() {
        *loads.entry(view.node.unwrap().server_id).or_default() += view.load;
    }
    loads
}

/// Milvus #49568: counted alone, a hot channel stays with as many others as any.
#[test]
fn a_hot_channel_is_left_alone_with_what_fits_beside_it() {
    let mut world = World::serving(4, 40);
    let hot = name(3);
    let on = world.at(&hot).0.unwrap();
    assert_eq!(world.count_on(on), 10);
    load(&mut world, &hot, 13);
    world.run(Duration::from_secs(60));
    world.assert_all_assigned();
    assert_eq!(world.at(&hot), (Some(on), 2), "it stays, the others go");
    assert_eq!(world.count_on(on), 1);
    assert_eq!(loads(&world).values().max(), Some(&13));
    // A node that is lost is missed by its load, and not by the count of its channels.
    world.gone(on);
    world.run(Duration::from_secs(1));
    world.assert_all_assigned();
    let other = world.at(&hot).0.unwrap();
    assert_ne!(other, on);
    // It cools down.
    load(&mut world, &hot, 0);
    assert_eq!(world.view(&hot).load, 1);
    world.run(Duration::from_secs(1_000));
    let counts: Vec<u32> = loads(&world).into_values().collect();
    assert!(
        counts.iter().all(|count| (13..=14).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn loads_are_of_one_leadership_and_of_channels_that_are_there() {
    let mut world = World::serving(2, 2);
    let refused = world.command(CoordinatorCommand::Load {
        channel: "other",
        load: 1,
    });
    assert_eq!(refused, Err(CoordinatorRefused::NoSuchChannel));
    load(&mut world, &name(0), 7);
    world.command(CoordinatorCommand::StepDown).unwrap();
    let refused = world.command(CoordinatorCommand::Load {
        channel: &name(0),
        load: 1,
    });
    assert_eq!(refused, Err(CoordinatorRefused::NotLeading));
    world.lead(8);
    assert_eq!(world.view(&name(0)).load, 1);
}

/// 10,000 changes of load at random: nothing goes there and back within the interval, and what gains little
/// moves nothing.
#[test]
fn better_03_nothing_goes_there_and_back_whatever_the_loads_do() {
    let mut world = World::serving(4, 24);
    let mut rng = Rng::new(5);
    let mut changed: BTreeMap<String, (Instant, i64)> = BTreeMap::new();
    let mut before = world.placement();
    let mut moves = 0;
    for _ in 0..10_000 {
        let channel = name(rng.below(24) as usize);
        load(&mut world, &channel, 100 + rng.below(100) as u32);
        world.run(ms(500));
        let after = world.placement();
        for (channel, (_, on)) in &after {
            let (_, was) = before[channel];
            if was == *on {
                continue;
            }
            moves += 1;
            if let Some((at, from)) = changed.insert(channel.clone(), (world.now, was)) {
                let is_soon = world.now.since(at) < Duration::from_secs(290);
                assert!(!is_soon || from != *on, "{channel} went back to {on}");
            }
        }
        before = after;
    }
    assert!((1..600).contains(&moves), "{moves} moves");
}
