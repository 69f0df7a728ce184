//! Nothing is answered that the log does not prove.

use super::*;
use crate::ring::actors::ActorsPlant;

/// An active actor with a first apply whose append is in flight.
fn appending(store: &mut Store) -> Node {
    let mut node = Node::active(store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.jobs();
    assert_eq!(node.kinds(), ["append"]);
    node
}

#[test]
fn an_answer_waits_until_its_record_is_durable() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    assert!(node.answer(1).is_none());
    node.op(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
}

#[test]
fn the_planted_early_answer_is_seen() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.machine.plant(ActorsPlant::AnswerBeforeDurable);
    node.apply(1, 5, &[2]);
    node.jobs();
    assert!(node.answer(1).is_some());
}

#[test]
fn the_next_job_runs_while_an_append_is_in_flight() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    node.jobs();
    assert_eq!(node.kinds(), ["append", "append"]);
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 7));
}

#[test]
fn no_more_appends_are_in_flight_than_allowed() {
    let mut store = Store::default();
    let mut node = Node::active(
        &mut store,
        ActorsConfig {
            appends_max: 3,
            ..config(0)
        },
        5,
        1,
    );
    for call in 0..10 {
        node.apply(call, 5, &[1]);
    }
    node.jobs();
    assert_eq!(node.kinds().len(), 3);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(9), 11);
}

#[test]
fn a_get_reveals_nothing_that_is_not_durable() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.get(2, 5);
    node.jobs();
    assert!(node.answer(2).is_none());
    node.op(&mut store);
    assert_eq!(node.sum_of_get(2), 3);
}

#[test]
fn an_apply_that_accepts_nothing_appends_nothing_and_waits_for_those_before() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[0xff]);
    node.jobs();
    assert_eq!(node.kinds(), ["append"]);
    assert!(node.answer(2).is_none());
    node.op(&mut store);
    assert_eq!(node.sum_of_apply(2), 3);
}

#[test]
fn outcomes_in_another_order_release_answers_in_order() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    node.jobs();
    let outcomes: Vec<_> = core::mem::take(&mut node.io.ops)
        .into_iter()
        .map(|(tag, op)| (tag, store.perform(0, &op)))
        .collect();
    node.done(outcomes[1].0, &outcomes[1].1);
    assert!(node.answer(2).is_none());
    node.done(outcomes[0].0, &outcomes[0].1);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 7));
}

#[test]
fn a_fenced_owner_drops_its_memory_and_says_that_it_does_not_know() {
    for conflict in [false, true] {
        let mut store = Store::default();
        let mut node = appending(&mut store);
        node.apply(2, 5, &[4]);
        node.apply(3, 5, &[8]);
        // Call 2 was run, call 3 was not.
        node.job();
        let (tag, _) = node.io.ops.pop_front().unwrap();
        let refusal = if conflict {
            Completion::Conflict { current: 9 }
        } else {
            Completion::Fenced { term: 9 }
        };
        node.done(tag, &refusal);
        assert_eq!(node.view.releases, [5]);
        assert_eq!(node.machine.counters().fenced, 1);
        while let Some((tag, _)) = node.io.ops.pop_front() {
            node.done(tag, &refusal);
        }
        node.jobs();
        assert_eq!(node.error(1), code("TF-R03", Code::Aborted));
        assert_eq!(node.error(2), code("TF-R03", Code::Aborted));
        assert_eq!((node.machine.active(), node.stage.len()), (0, 0));
        // What was not run is resolved again when the winner's claim has had time to travel.
        assert!(node.answer(3).is_none());
        node.view.routes.insert(5, Route::Remote(NodeId(1)));
        node.sleep(node.machine.config.retry_delay);
        assert_eq!(node.io.fake.take_opened().len(), 1);
    }
}

#[test]
fn a_fenced_owner_still_answers_what_turns_out_to_be_durable() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    node.jobs();
    let (first, op) = node.io.ops.pop_front().unwrap();
    let (second, _) = node.io.ops.pop_front().unwrap();
    node.done(second, &Completion::Fenced { term: 9 });
    assert!(node.answer(1).is_none() && node.answer(2).is_none());
    let durable = store.perform(0, &op);
    node.done(first, &durable);
    assert_eq!(node.sum_of_apply(1), 3);
    assert_eq!(node.error(2), code("TF-R03", Code::Aborted));
}

#[test]
fn an_append_without_outcome_that_landed_is_answered_and_work_goes_on() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    let (tag, op) = node.io.ops.pop_front().unwrap();
    store.perform(0, &op);
    node.done(tag, &Completion::Unknown);
    assert!(node.answer(1).is_none());
    // No append before the log has told.
    node.apply(2, 5, &[4]);
    node.jobs();
    assert_eq!(node.kinds(), ["fence"]);
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 7));
    assert_eq!(
        (
            node.machine.counters().unknown,
            node.machine.counters().activations
        ),
        (1, 1)
    );
    assert_eq!(
        store.log(5).term,
        2,
        "late appends of the old term cannot land any more"
    );
}

#[test]
fn an_append_without_outcome_that_did_not_land_is_told_so_and_memory_is_loaded_anew() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    node.job();
    node.apply(3, 5, &[8]);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Unknown);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
    assert_eq!(node.error(2), code("TF-R09", Code::Unavailable));
    assert_eq!(node.sum_of_apply(3), 9);
    assert_eq!(store.log(5).records.len(), 2);
}

#[test]
fn a_job_that_ends_while_the_log_is_asked_is_run_again_if_memory_was_ahead() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Unknown);
    assert_eq!(node.kinds(), ["fence"]);
    node.job();
    assert_eq!(node.kinds(), ["fence"]);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
    assert_eq!(node.sum_of_apply(2), 5);
}

#[test]
fn a_store_that_stays_silent_drops_the_actor() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    node.apply(2, 5, &[4]);
    for _ in 0..20 {
        node.jobs();
        while let Some((tag, _)) = node.io.ops.pop_front() {
            node.done(tag, &Completion::Unknown);
        }
        if let Some(due) = node.machine.poll_timeout() {
            node.sleep(due.since(node.now));
        }
    }
    // Both records were submitted and may have landed.
    assert_eq!(node.error(1), code("TF-R03", Code::Aborted));
    assert_eq!(node.error(2), code("TF-R03", Code::Aborted));
    assert_eq!(
        (
            node.machine.active(),
            node.stage.len(),
            node.machine.in_flight()
        ),
        (0, 0, 0)
    );
    assert_eq!(node.view.releases, [5]);
}

#[test]
fn another_owner_found_after_an_unknown_outcome_ends_this_one() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Unknown);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Fenced { term: 12 });
    node.jobs();
    assert_eq!(node.error(1), code("TF-R03", Code::Aborted));
    assert_eq!(node.machine.active(), 0);
}

#[test]
fn a_store_without_room_is_tried_again_and_nothing_runs_meanwhile() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.io.store_full = true;
    node.apply(1, 5, &[2]);
    node.apply(2, 5, &[4]);
    node.jobs();
    assert_eq!(
        node.machine.counters().applied,
        2,
        "call 2 waits for call 1's record"
    );
    let due = node.machine.poll_timeout().unwrap();
    assert_eq!(due, node.now + node.machine.config.store_retry_delay);
    node.sleep(node.machine.config.store_retry_delay);
    assert!(node.io.ops.is_empty());
    node.io.store_full = false;
    node.sleep(node.machine.config.store_retry_delay);
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 7));
}

#[test]
fn a_store_without_room_delays_an_activation() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.io.store_full = true;
    node.apply(1, 5, &[2]);
    node.get(2, 6);
    assert_eq!(node.error(2), code("TF-C01", Code::ResourceExhausted));
    node.io.store_full = false;
    node.sleep(node.machine.config.store_retry_delay);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 2);
}

#[test]
fn a_number_the_log_did_not_promise_is_an_unknown_outcome() {
    let mut store = Store::default();
    let mut node = appending(&mut store);
    let (tag, op) = node.io.ops.pop_front().unwrap();
    store.perform(0, &op);
    node.done(tag, &Completion::Durable { sequence: 99 });
    assert!(node.answer(1).is_none());
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
}
