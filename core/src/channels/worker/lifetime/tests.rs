use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn open(lifetime: &mut Lifetime, term: u64) {
    assert_eq!(lifetime.assign(term), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Open(term)));
    lifetime.opened(term);
    assert_eq!(lifetime.step(), None);
    assert_eq!(lifetime.open_at(), Some(term));
}

#[test]
fn line_14_duplicates_join_while_opening_and_are_ignored_when_open() {
    let mut lifetime = Lifetime::default();
    assert_eq!(lifetime.assign(2), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Open(2)));
    for _ in 0..100 {
        assert_eq!(lifetime.assign(2), Verdict::Waits);
        assert_eq!((lifetime.step(), lifetime.assigned(2)), (None, None));
    }
    lifetime.opened(2);
    assert_eq!(lifetime.assigned(2), Some(Assigned::Open));
    assert_eq!(lifetime.assign(2), Verdict::IsOpen);
    assert_eq!(lifetime.assign(1), Verdict::Stale);
}

#[test]
fn line_14_a_waiter_is_overtaken_by_a_higher_term_and_by_a_removal() {
    let mut lifetime = Lifetime::default();
    lifetime.assign(2);
    lifetime.step();
    lifetime.assign(3);
    assert_eq!(lifetime.assigned(2), Some(Assigned::Overtaken));
    assert_eq!(lifetime.step(), Some(Step::Abandon(2)));
    assert_eq!(lifetime.step(), Some(Step::Open(3)));
    lifetime.opened(2);
    assert_eq!(lifetime.open_at(), None, "what comes late opens nothing");
    assert_eq!(lifetime.remove(3), Verdict::Waits);
    assert_eq!(lifetime.assigned(3), Some(Assigned::Overtaken));
    assert_eq!(lifetime.step(), Some(Step::Abandon(3)));
    assert_eq!(lifetime.step(), None);
    assert!(lifetime.removed(3) && lifetime.is_at_rest());
}

#[test]
fn line_14_the_old_term_is_closed_before_the_new_one_is_opened() {
    let mut lifetime = Lifetime::default();
    open(&mut lifetime, 2);
    assert_eq!(lifetime.assign(4), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Close(2)));
    assert_eq!((lifetime.step(), lifetime.removed(2)), (None, false));
    lifetime.closed(2);
    assert!(lifetime.removed(2));
    assert_eq!(lifetime.step(), Some(Step::Open(4)));
}

#[test]
fn line_14_a_removal_waits_for_the_close_and_so_does_its_duplicate() {
    let mut lifetime = Lifetime::default();
    open(&mut lifetime, 2);
    assert_eq!(lifetime.remove(2), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Close(2)));
    assert_eq!(lifetime.remove(2), Verdict::Waits);
    assert!(!lifetime.removed(2));
    lifetime.closed(2);
    lifetime.step();
    assert!(lifetime.removed(2));
    assert_eq!(lifetime.remove(2), Verdict::Stale);
    assert_eq!(lifetime.assign(2), Verdict::Stale, "never opened again");
}

#[test]
fn line_14_a_removal_that_is_overtaken_waits_for_the_close_and_not_for_what_follows() {
    let mut lifetime = Lifetime::default();
    open(&mut lifetime, 1);
    assert_eq!(lifetime.remove(2), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Close(1)));
    assert_eq!(lifetime.assign(3), Verdict::Waits);
    assert!(!lifetime.removed(2));
    lifetime.closed(1);
    assert_eq!(lifetime.step(), Some(Step::Open(3)));
    assert!(lifetime.removed(2));
}

/// Its sender has not asked before: another leader has, and then asked for more.
#[test]
fn line_14_a_removal_that_comes_when_a_later_term_is_wanted_waits_for_the_close() {
    let mut lifetime = Lifetime::default();
    open(&mut lifetime, 4);
    assert_eq!(lifetime.assign(6), Verdict::Waits);
    assert_eq!(lifetime.step(), Some(Step::Close(4)));
    for term in [4, 5] {
        assert_eq!(lifetime.remove(term), Verdict::Waits, "term {term}");
        assert!(!lifetime.removed(term), "term {term}");
    }
    assert_eq!(
        lifetime.remove(3),
        Verdict::Stale,
        "it was gone before 4 was opened"
    );
    lifetime.closed(4);
    assert_eq!(lifetime.step(), Some(Step::Open(6)));
    for term in [4, 5] {
        assert!(lifetime.removed(term), "term {term}");
        assert_eq!(lifetime.remove(term), Verdict::Stale, "term {term}");
    }
}

#[test]
fn line_14_a_term_that_failed_is_not_tried_again() {
    let mut lifetime = Lifetime::default();
    lifetime.assign(2);
    lifetime.step();
    lifetime.failed(2);
    assert_eq!(lifetime.assigned(2), Some(Assigned::Failed));
    assert_eq!(lifetime.step(), None);
    assert_eq!(lifetime.assign(2), Verdict::Stale);
    assert_eq!(
        lifetime.remove(2),
        Verdict::Stale,
        "it counts as removed already"
    );
}

#[test]
fn a_fence_ends_a_term_for_good() {
    let mut lifetime = Lifetime::default();
    open(&mut lifetime, 2);
    lifetime.fenced(2);
    assert_eq!(lifetime.step(), Some(Step::Close(2)));
    assert_eq!(lifetime.assign(2), Verdict::Stale);
    lifetime.closed(2);
    assert_eq!(lifetime.step(), None);
    open(&mut lifetime, 3);
}

/// What may come from outside.
#[derive(Clone, Copy, Debug)]
enum Input {
    Assign(u64),
    Remove(u64),
    /// What is under way ends well.
    Done,
    Failed,
    Fenced,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let one = prop_oneof![
        3 => (1..6_u64).prop_map(Input::Assign),
        3 => (1..6_u64).prop_map(Input::Remove),
        4 => Just(Input::Done),
        1 => Just(Input::Failed),
        1 => Just(Input::Fenced),
    ];
    proptest::collection::vec(one, 0..60)
}

/// The rules once more, by what has been asked and what has been seen instead of by marks.
#[derive(Default)]
struct Model {
    /// Everything that was asked for or ruled out: term, and whether gone.
    asked: Vec<(u64, bool)>,
    /// Terms that were begun to be opened, in order, and what became of each.
    begun: Vec<u64>,
    failed: Vec<u64>,
    open: Option<u64>,
    opening: Option<u64>,
    closing: Option<u64>,
}

impl Model {
    fn furthest(&self) -> (u64, bool) {
        self.asked.iter().copied().max().unwrap_or((0, true))
    }

    fn is_quiet(&self) -> bool {
        self.open.or(self.opening).or(self.closing).is_none()
    }

    /// The verdict on a request, which is then among those that were asked.
    fn ask(&mut self, term: u64, gone: bool) -> Verdict {
        let stale = if gone {
            self.removed(term)
        } else {
            (term, gone) < self.furthest()
        };
        if stale {
            return Verdict::Stale;
        }
        self.asked.push((term, gone));
        if !gone && self.open == Some(term) {
            Verdict::IsOpen
        } else {
            Verdict::Waits
        }
    }

    fn see(&mut self, step: Step) {
        match step {
            Step::Open(term) => {
                assert!(self.is_quiet(), "one term at a time");
                assert!(self.begun.iter().all(|before| *before < term));
                assert_eq!(self.furthest(), (term, false), "only what is wanted");
                self.begun.push(term);
                self.opening = Some(term);
            }
            Step::Abandon(term) => {
                assert_eq!(self.opening.take(), Some(term));
                assert!(self.furthest() > (term, false));
            }
            Step::Close(term) => {
                assert_eq!(self.open.take(), Some(term));
                assert!(self.furthest() > (term, false));
                self.closing = Some(term);
            }
        }
    }

    fn assigned(&self, term: u64) -> Option<Assigned> {
        if self.open == Some(term) {
            Some(Assigned::Open)
        } else if self.furthest() <= (term, false) {
            None
        } else if self.failed.last() == Some(&term) {
            Some(Assigned::Failed)
        } else {
            Some(Assigned::Overtaken)
        }
    }

    /// A removal is done when nothing at its term or before is left, nor will come to be.
    fn removed(&self, term: u64) -> bool {
        let busy = self.opening.or(self.closing).or(self.open);
        busy.is_none_or(|at| at > term) && self.furthest() >= (term, true)
    }
}

fn apply(lifetime: &mut Lifetime, model: &mut Model, input: Input) {
    match input {
        Input::Assign(term) => assert_eq!(lifetime.assign(term), model.ask(term, false)),
        Input::Remove(term) => assert_eq!(lifetime.remove(term), model.ask(term, true)),
        Input::Done => {
            if let Some(term) = model.opening.take() {
                lifetime.opened(term);
                model.open = Some(term);
            } else if let Some(term) = model.closing.take() {
                lifetime.closed(term);
            }
        }
        Input::Failed => {
            if let Some(term) = model.opening.take() {
                lifetime.failed(term);
                model.failed.push(term);
                model.asked.push((term, true));
            }
        }
        Input::Fenced => {
            if let Some(term) = model.open.or(model.closing) {
                lifetime.fenced(term);
                model.asked.push((term, true));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn line_14_marks_move_forward_and_the_rules_hold(inputs in inputs()) {
        let (mut lifetime, mut model) = (Lifetime::default(), Model::default());
        for input in inputs {
            let before = lifetime;
            apply(&mut lifetime, &mut model, input);
            while let Some(step) = lifetime.step() {
                model.see(step);
            }
            prop_assert!(lifetime.expected >= before.expected);
            prop_assert!(lifetime.current >= before.current);
            prop_assert!(lifetime.current <= lifetime.expected);
            prop_assert_eq!(lifetime.open_at(), model.open);
            prop_assert_eq!((lifetime.expected.term, lifetime.expected.gone), model.furthest());
            for term in 1..6 {
                prop_assert_eq!(lifetime.assigned(term), model.assigned(term), "term {}", term);
                // Only what was asked is waited for.
                if model.asked.contains(&(term, true)) {
                    prop_assert_eq!(lifetime.removed(term), model.removed(term), "term {}", term);
                }
            }
        }
        // When all that is under way has ended, nothing is left to wait for.
        for _ in 0..4 {
            apply(&mut lifetime, &mut model, Input::Done);
            while let Some(step) = lifetime.step() {
                model.see(step);
            }
        }
        let (term, gone) = model.furthest();
        prop_assert_eq!(lifetime.open_at(), (!gone).then_some(term));
        prop_assert!(gone == lifetime.is_at_rest());
    }
}
