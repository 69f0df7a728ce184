//! The controls: worlds with one rule broken, in which the checker must find something, or it proves
//! nothing.

use trefoil_core::election::elector::Plant;

use super::configs::{Config, budget, changing, forgetful, withdrawing, world};
use super::epochs::Moves;
use super::judge::Broken::{self, TokenWentBack, TwoLeaders, UnbackedVote};
use super::world::{Clock, Redhac, World};

fn control(name: &'static str, finds: Broken, world: World) -> Config {
    Config {
        name,
        world: World {
            only: Some(finds),
            ..world
        },
        all_clocks: false,
        heavy: false,
        finds: Some(finds),
        leaderships: 0,
    }
}

fn planted(plant: Plant, world: World) -> World {
    World {
        plant: Some(plant),
        ..world
    }
}

/// A world in which votes are not kept, and one wall clock is ahead by more than a promise: tokens may go
/// back then, but no vote may be counted that is not backed.
pub(super) fn early() -> World {
    World {
        skew: vec![0, 0, 5],
        clocks: vec![Clock::Fast; 3],
        only: Some(UnbackedVote),
        ..withdrawing(1, forgetful(world(3, 2, budget(3, 0, 1))))
    }
}

/// All controls. The bug `Steal` is not among them: it takes more voters or campaigns than a walk by breadth
/// gets through, and the random worlds find it.
#[must_use]
pub fn all() -> Vec<Config> {
    let mut long_lease = world(3, 6, budget(2, 0, 0));
    long_lease.clocks = vec![Clock::Broken; 3];
    let mut counted = world(3, 6, budget(2, 0, 0));
    counted.redhac = Some(Redhac {
        seat: 2,
        counts: true,
    });
    let (five, four) = (world(5, 2, budget(2, 0, 1)), world(4, 1, budget(2, 0, 3)));
    let electorate = changing(&[0b00111, 0b11111], Moves::Any, five);
    let released = world(3, 1, budget(2, 0, 2));
    let released = changing(&[0b111, 0b011], Moves::Released, released);
    let unsettled = changing(&[0b0111, 0b1111, 0b1110], Moves::Unsettled, four);
    vec![
        control(
            "release-unkept",
            UnbackedVote,
            planted(Plant::ReleaseUnkept, early()),
        ),
        control("electorate", TwoLeaders, electorate),
        control("unsettled", TwoLeaders, unsettled),
        control("removed-released", TwoLeaders, released),
        control(
            "low-token",
            TwoLeaders,
            planted(
                Plant::LowToken,
                withdrawing(1, world(3, 1, budget(2, 1, 0))),
            ),
        ),
        control("lease-outlasts-promise", TwoLeaders, long_lease),
        control(
            "no-guard",
            TwoLeaders,
            planted(Plant::NoGuard, forgetful(world(3, 6, budget(2, 0, 2)))),
        ),
        control(
            "release-untested",
            TwoLeaders,
            planted(
                Plant::ReleaseUntested,
                withdrawing(2, world(3, 5, budget(3, 0, 0))),
            ),
        ),
        control(
            "hand-over-first",
            TwoLeaders,
            planted(Plant::HandOverFirst, world(3, 4, budget(1, 1, 0))),
        ),
        control(
            "open-hand-over",
            TokenWentBack,
            planted(Plant::OpenHandOver, world(3, 1, budget(2, 1, 0))),
        ),
        control(
            "earlier-wins",
            TwoLeaders,
            planted(Plant::EarlierWins, world(3, 6, budget(2, 0, 0))),
        ),
        control(
            "lease-from-ack",
            TwoLeaders,
            planted(Plant::LeaseFromAck, world(3, 6, budget(2, 0, 0))),
        ),
        control(
            "no-floor",
            TokenWentBack,
            planted(Plant::NoFloor, world(3, 6, budget(2, 0, 0))),
        ),
        control("redhac-voter-counted", TwoLeaders, counted),
    ]
}
