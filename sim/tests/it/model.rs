//! The model checker: small worlds hold, and a world with a rule broken does not. All of them run in
//! release: `trefoil-sim election --model`.

use trefoil_sim::election::model::check::{self, Verdict, verdict};
use trefoil_sim::election::model::configs::{self, Config};

/// Worlds that are explored in a second or two without optimisation.
const SMALL: &[&str] = &[
    "three-forgotten-token",
    "three-mixed-forgetful",
    "three-withdrawal",
];

fn all_fine(configs: &[Config]) {
    let mut seen = 0;
    check::run(configs, 2, 20_000_000, |config, found| {
        seen += 1;
        let says = verdict(config, found);
        assert_eq!(says, Verdict::Fine, "{}: {:?}", config.name, found.broken);
    });
    assert_eq!(seen, configs.len());
}

#[test]
fn what_must_hold_does_in_every_state_of_small_worlds() {
    let mut configs = configs::all();
    configs.retain(|config| SMALL.contains(&config.name));
    assert_eq!(configs.len(), SMALL.len());
    all_fine(&configs);
}

#[test]
fn every_rule_that_is_broken_is_missed() {
    let mut configs = configs::all();
    // One takes longer than all the others.
    configs.retain(|config| config.finds.is_some() && config.name != "release-unkept");
    assert!(configs.len() >= 10);
    all_fine(&configs);
}

#[test]
fn what_is_not_as_it_should_be_is_said() {
    let mut configs = configs::all();
    let mut control = configs
        .pop()
        .filter(|config| config.finds.is_some())
        .unwrap();
    let mut world = configs
        .into_iter()
        .find(|config| config.name == SMALL[0])
        .unwrap();
    let says = |config: &Config, states_max| {
        let mut says = None;
        check::run(
            std::slice::from_ref(config),
            1,
            states_max,
            |config, found| {
                says = Some(verdict(config, found));
            },
        );
        says.unwrap()
    };
    assert_eq!(says(&world, 100), Verdict::Unfinished);
    world.leaderships = 15;
    assert_eq!(says(&world, 20_000_000), Verdict::Vacuous);
    assert_eq!(says(&control, 100), Verdict::Missed);
    control.finds = None;
    assert_eq!(says(&control, 20_000_000), Verdict::Broken);
}
