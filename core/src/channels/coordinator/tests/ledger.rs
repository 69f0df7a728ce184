//! The ledger alone, and every order of what can happen to it.

extern crate std;

use alloc::vec;
use alloc::vec::Vec;
use std::collections::HashSet;

use proptest::prelude::*;

use super::super::ledger::{Ledger, LedgerPlant, Owed};
use super::super::meta::{Incarnation, Meta, State};

fn node(server_id: i64) -> Incarnation {
    Incarnation::new(server_id, "n:1")
}

/// A channel that was created, in the catalog at revision 1.
fn created() -> Ledger {
    let mut ledger = Ledger::create();
    assert_eq!(ledger.owed(), Owed::Write);
    ledger.written(1);
    ledger
}

fn assigned(to: i64) -> Ledger {
    let mut ledger = created();
    assert!(ledger.assign(&node(to)));
    ledger.written(2);
    ledger.opened(2);
    ledger.written(3);
    assert!(ledger.is_assigned());
    ledger
}

#[test]
fn line_11_a_report_counts_once_and_only_at_the_present_term() {
    let mut ledger = assigned(1);
    assert!(!ledger.report(1) && !ledger.report(3));
    assert!(ledger.is_assigned());
    assert!(ledger.report(2));
    assert!(!ledger.is_assigned());
    assert!(!ledger.report(2));
    assert!(!created().report(1), "it was never assigned");
}

#[test]
fn the_outcome_of_a_write_that_is_not_known_is_read_before_anything_else() {
    let mut ledger = created();
    ledger.assign(&node(1));
    let proposed = ledger.to_write().unwrap().0.clone();
    ledger.doubt();
    assert_eq!(ledger.owed(), Owed::Read);
    let mut done = ledger.clone();
    done.read(Some((proposed, 2)));
    assert!(matches!(done.owed(), Owed::Assign { term: 2, .. }));
    // It was not done: it is proposed again, and nobody was called.
    ledger.read(Some((Meta::new(), 1)));
    assert_eq!(
        (ledger.owed(), ledger.target()),
        (Owed::Write, Some(&node(1)))
    );
}

/// Where it was to go is not forgotten with the write.
#[test]
fn a_move_whose_write_failed_is_proposed_again() {
    let mut ledger = assigned(1);
    let (kept, revision) = (ledger.meta().clone(), 3);
    assert!(ledger.assign(&node(2)));
    ledger.doubt();
    ledger.read(Some((kept, revision)));
    assert_eq!(ledger.owed(), Owed::Write);
    assert_eq!(ledger.target(), Some(&node(2)));
    ledger.written(4);
    assert_eq!((ledger.meta().term, ledger.is_assigned()), (3, false));
}

/// Milvus #50423: the node has opened it, and writing that failed.
#[test]
fn an_opening_is_not_forgotten_when_writing_it_fails() {
    let mut ledger = created();
    ledger.assign(&node(1));
    ledger.written(2);
    let assigning = ledger.meta().clone();
    ledger.opened(2);
    ledger.doubt();
    ledger.read(Some((assigning, 2)));
    assert_eq!(ledger.owed(), Owed::Write);
    assert_eq!(ledger.to_write().unwrap().0.state, State::Assigned);
}

#[test]
fn a_channel_without_a_term_left_stays_where_it_is() {
    let meta = Meta {
        term: i64::MAX - 1,
        state: State::Assigned,
        node: Some(node(1)),
        histories: vec![],
    };
    let mut ledger = Ledger::of(meta, 1);
    assert!(!ledger.assign(&node(2)));
    assert_eq!(ledger.owed(), Owed::Nothing);
}

/// A catalog of one channel, nodes with what they have opened, and two coordinators that both believe they lead:
/// the later one has fenced the earlier one out.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Model {
    value: Option<(Meta, u64)>,
    revision: u64,
    coordinators: [Option<Ledger>; 2],
    /// The later one has begun.
    later: bool,
    /// Who was told to open which term.
    told: Vec<(i64, i64)>,
    /// Terms that are open, by node, and those that were removed.
    open: [i64; 2],
    removed: [i64; 2],
    steps: u8,
}

impl Model {
    fn start() -> Self {
        Self {
            value: None,
            revision: 0,
            coordinators: [Some(Ledger::create()), None],
            later: false,
            told: Vec::new(),
            open: [0; 2],
            removed: [0; 2],
            steps: 0,
        }
    }

    /// Nobody opens a term that another was told to open, and whoever opens one is alone with it.
    fn check(&self) -> Result<(), &'static str> {
        for (term, to) in &self.told {
            if self
                .told
                .iter()
                .any(|(other, at)| other == term && at != to)
            {
                return Err("two nodes were told to open one term");
            }
        }
        if self.open.iter().all(|term| *term > 0) {
            return Err("two nodes have it");
        }
        Ok(())
    }

    /// What can happen next.
    fn next(&self, plant: Option<LedgerPlant>) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..2 {
            let Some(ledger) = &self.coordinators[at] else {
                continue;
            };
            let mut step = |run: &dyn Fn(&mut Self, &mut Ledger)| {
                let mut next = self.clone();
                next.steps += 1;
                let mut ledger = ledger.clone();
                run(&mut next, &mut ledger);
                next.coordinators[at] = Some(ledger);
                all.push(next);
            };
            for to in [1, 2] {
                step(&|_, ledger| {
                    ledger.assign(&node(to));
                });
            }
            step(&|_, ledger| {
                ledger.lose();
            });
            match ledger.owed() {
                Owed::Nothing => {}
                Owed::Read => step(&|model, ledger| ledger.read(model.value.clone())),
                Owed::Write => {
                    step(&|model, ledger| model.write(at, ledger, true));
                    step(&|model, ledger| model.write(at, ledger, false));
                }
                Owed::Remove(history) => step(&|model, ledger| {
                    let node = history.node.server_id as usize - 1;
                    model.removed[node] = model.removed[node].max(history.term);
                    if model.open[node] <= history.term {
                        model.open[node] = 0;
                    }
                    ledger.removed(&history.node, history.term);
                }),
                Owed::Assign { to, term } => {
                    step(&|model, ledger| model.open(&to, term, ledger, true));
                    step(&|model, ledger| model.open(&to, term, ledger, false));
                    step(&|_, ledger| {
                        ledger.never(term);
                    });
                }
            }
        }
        if !self.later {
            let mut next = self.clone();
            next.later = true;
            next.steps += 1;
            let ledger = match self.value.clone() {
                Some((meta, revision)) => Ledger::of(meta, revision),
                None => Ledger::create(),
            };
            let mut ledger = ledger;
            if let Some(plant) = plant {
                ledger.plant(plant);
            }
            next.coordinators[1] = Some(ledger);
            all.push(next);
        }
        all
    }

    /// A write of a coordinator: the earlier one's is refused once the later one has begun.
    fn write(&mut self, at: usize, ledger: &mut Ledger, is_heard: bool) {
        let Some((meta, revision)) = ledger.to_write() else {
            return;
        };
        let is_fenced = at == 0 && self.later;
        let present = self.value.as_ref().map_or(0, |(_, revision)| *revision);
        if is_fenced || revision != present {
            return ledger.doubt();
        }
        self.revision += 1;
        self.value = Some((meta.clone(), self.revision));
        if is_heard {
            ledger.written(self.revision);
        } else {
            ledger.doubt();
        }
    }

    /// A node is told to open a term: forward only, one log, whose fence rises with each opening.
    fn open(&mut self, to: &Incarnation, term: i64, ledger: &mut Ledger, is_heard: bool) {
        let node = to.server_id as usize - 1;
        if !self.told.contains(&(term, to.server_id)) {
            self.told.push((term, to.server_id));
        }
        if term > self.removed[node] && term >= self.open[node] {
            self.open[node] = term;
            if is_heard {
                ledger.opened(term);
            }
        }
    }
}

/// Every order of at most so many steps; the first state that is wrong.
fn explore(plant: Option<LedgerPlant>, steps_max: u8) -> Result<usize, &'static str> {
    let mut start = Model::start();
    if let (Some(plant), Some(ledger)) = (plant, start.coordinators[0].as_mut()) {
        ledger.plant(plant);
    }
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(model) = open.pop() {
        if model.steps == steps_max {
            continue;
        }
        for next in model.next(plant) {
            // Of one coordinator alone nobody has it twice; of two, no term is told to two.
            let checked = next.check();
            let is_alone = !next.later;
            if is_alone || checked == Err("two nodes were told to open one term") {
                checked?;
            }
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_order_of_nine_steps_tells_two_nodes_to_open_one_term_or_leaves_two_with_the_channel() {
    let states = explore(None, 9).unwrap();
    assert!(states > 10_000, "{states} states");
}

#[test]
fn both_planted_bugs_are_found() {
    let two_terms = explore(Some(LedgerPlant::ActBeforeWritten), 9);
    assert_eq!(two_terms, Err("two nodes were told to open one term"));
    let two_owners = explore(Some(LedgerPlant::AssignFirst), 9);
    assert_eq!(two_owners, Err("two nodes have it"));
}

proptest! {
    /// Line 12: terms grow with every assignment, whatever happens; and what is written never has an incarnation
    /// twice.
    #[test]
    fn line_12_terms_grow_and_histories_have_each_incarnation_once(
        inputs in prop::collection::vec((0_u8..9, 1_i64..4), 1..80),
    ) {
        let mut ledger = Ledger::create();
        let (mut kept, mut revision) = (None::<(Meta, u64)>, 0);
        let mut highest = 0;
        for (input, number) in inputs {
            match (input, ledger.owed()) {
                (0, _) => { ledger.assign(&node(number)); }
                (1, _) => { ledger.lose(); }
                (2, _) => { ledger.give_up(); }
                (3, Owed::Assign { term, .. }) => ledger.opened(term),
                (4, Owed::Assign { term, .. }) => { ledger.never(term); }
                (5, Owed::Remove(history)) => ledger.removed(&history.node, history.term),
                (6 | 7, Owed::Write) => {
                    let (meta, read) = ledger.to_write().unwrap();
                    prop_assert_eq!(read, kept.as_ref().map_or(0, |(_, revision)| *revision));
                    let before = kept.as_ref().map_or(0, |(meta, _)| meta.term);
                    let is_new = meta.state == State::Assigning;
                    prop_assert!(meta.term >= before + i64::from(is_new));
                    highest = highest.max(meta.term);
                    let mut nodes: Vec<_> = meta.histories.iter().map(|h| h.node.clone()).collect();
                    nodes.sort();
                    nodes.dedup();
                    prop_assert_eq!(nodes.len(), meta.histories.len());
                    revision += 1;
                    kept = Some((meta.clone(), revision));
                    if input == 6 { ledger.written(revision) } else { ledger.doubt() }
                }
                (8, Owed::Read) => ledger.read(kept.clone()),
                _ => {}
            }
            prop_assert!(ledger.meta().term <= highest.max(1));
        }
    }
}
