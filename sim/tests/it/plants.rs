//! Each planted bug is seen by the invariant it breaks, within the stated number of seeds.

use trefoil_sim::ring::invariants::Invariant;
use trefoil_sim::ring::run::Options;
use trefoil_sim::ring::{batch, plant};

fn is_seen(name: &str) {
    let plant = plant::by_name(name).unwrap();
    let options = Options {
        plant: Some(plant),
        nodes: None,
    };
    let batch = batch::run(0, plant.seeds, &options, 2, Some(plant.breaks));
    assert!(
        batch.first_broken(plant.breaks).is_some(),
        "{name} is not seen within {} seeds",
        plant.seeds
    );
}

macro_rules! seen {
    ($($test:ident: $name:literal,)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                is_seen($name);
            }
        )*
    };
}

seen! {
    no_fence: "no-fence",
    lying_store: "lying-store",
    answer_before_durable: "answer-before-durable",
    forget_fence: "forget-fence",
    no_tie_break: "no-tie-break",
    no_anti_entropy: "no-anti-entropy",
    dead_claims: "dead-claims",
    hearsay: "hearsay",
    no_reunion: "no-reunion",
    short_replay: "short-replay",
    no_lag_guard: "no-lag-guard",
    forgotten_stream: "forgotten-stream",
    double_end: "double-end",
    late_timeout: "late-timeout",
}

#[test]
fn every_invariant_has_a_plant() {
    for invariant in Invariant::ALL {
        let breaks = |plant: &plant::Plant| plant.breaks == invariant;
        assert!(plant::PLANTS.iter().any(breaks), "{invariant}");
    }
}

#[test]
fn every_plant_has_its_test() {
    assert!(
        plant::PLANTS
            .iter()
            .map(|plant| plant.name)
            .eq(TESTED.iter().copied())
    );
}
