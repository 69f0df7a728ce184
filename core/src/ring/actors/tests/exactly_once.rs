//! Requests that carry an id.

use super::*;

#[test]
fn a_repeated_request_joins_the_original_while_it_is_open() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply_as(1, 5, &[4], Some(9));
    node.apply_as(2, 5, &[4], Some(9));
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (4, 4));
    assert_eq!(
        (
            node.machine.counters().joined,
            node.machine.counters().applied
        ),
        (1, 1)
    );
    // Queued, running and held originals are joined alike.
    node.apply(3, 5, &[1]);
    node.apply_as(4, 5, &[2], Some(10));
    node.apply_as(5, 5, &[2], Some(10));
    node.job();
    node.apply_as(6, 5, &[2], Some(10));
    node.job();
    node.apply_as(7, 5, &[2], Some(10));
    node.settle(&mut store);
    for call in 4..8 {
        assert_eq!(node.sum_of_apply(call), 7);
    }
}

#[test]
fn a_repeated_request_gets_the_same_bytes_while_they_are_held() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply_as(1, 5, &[4, 0xff], Some(9));
    node.settle(&mut store);
    node.apply(2, 5, &[7]);
    node.apply_as(3, 5, &[4, 0xff], Some(9));
    node.settle(&mut store);
    assert_eq!(node.answer(1), node.answer(3));
    assert_eq!(node.sum_of_apply(2), 12);
    assert_eq!(node.machine.counters().duplicates, 1);
}

#[test]
fn a_repeated_request_is_known_after_its_answer_and_after_a_reload() {
    for snapshot_records in [1, 100] {
        let mut store = Store::default();
        let config = ActorsConfig {
            snapshot_records,
            ..config(0)
        };
        let mut node = Node::active(
            &mut store,
            ActorsConfig {
                answers_bytes_max: 0,
                ..config.clone()
            },
            5,
            1,
        );
        node.apply_as(1, 5, &[4], Some(9));
        node.settle(&mut store);
        node.apply_as(2, 5, &[4], Some(9));
        node.settle(&mut store);
        assert_eq!(node.error(2), code("TF-R07", Code::AlreadyExists));
        let mut other = Node::with(1, config);
        other.apply_as(3, 5, &[4], Some(9));
        other.settle(&mut store);
        assert_eq!(other.error(3), code("TF-R07", Code::AlreadyExists));
        other.get(4, 5);
        other.settle(&mut store);
        assert_eq!(other.sum_of_get(4), 5);
    }
}

#[test]
fn a_request_is_forgotten_after_so_many_others() {
    let mut store = Store::default();
    let config = ActorsConfig {
        dedupe_ids: 2,
        answers_bytes_max: 0,
        ..config(0)
    };
    let mut node = Node::active(&mut store, config, 5, 0);
    for id in [9, 10, 11, 9] {
        node.apply_as(
            u64::from(id as u32) + 100 * node.machine.counters().applied,
            5,
            &[1],
            Some(id),
        );
        node.settle(&mut store);
    }
    assert_eq!(node.sum_of_apply(9 + 400), 4);
}

#[test]
fn a_request_whose_record_did_not_land_is_applied_when_it_is_repeated() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply_as(1, 5, &[4], Some(9));
    node.jobs();
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Unknown);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
    node.apply_as(2, 5, &[4], Some(9));
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(2), 5);
}

#[test]
fn when_the_original_caller_goes_away_those_who_joined_still_get_the_answer() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    let id: &[u8] = b"0000000000000000000000000000000f";
    let first = node.call(APPLY, &[("trefoil-request", id)], &adds(5, &[4]));
    let second = node.call(APPLY, &[("trefoil-request", id)], &adds(5, &[4]));
    let third = node.call(APPLY, &[("trefoil-request", id)], &adds(5, &[4]));
    node.caller(first, StreamIn::Ended(Status::new(Code::Cancelled, "")));
    node.caller(third, StreamIn::Ended(Status::new(Code::Cancelled, "")));
    node.settle(&mut store);
    assert_eq!(sum_of_apply(&node.io.fake.take_frames(second)[0]), 4);
    assert_eq!(node.end_of(second), code("", Code::Ok));
    assert_eq!(node.machine.in_flight(), 0);
    assert_eq!(node.io.fake.ended, []);
}

#[test]
fn an_original_that_joins_another_takes_those_with_it_that_had_joined_it() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.job();
    node.apply(2, 5, &[4]);
    node.apply_as(3, 5, &[8], Some(9));
    node.apply_as(4, 5, &[8], Some(9));
    // The queue is put off, and the request is repeated meanwhile.
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Fenced { term: 1 });
    node.jobs();
    node.apply_as(5, 5, &[8], Some(9));
    node.sleep(node.machine.config.retry_delay);
    node.settle(&mut store);
    let answers: [u64; 3] = [3, 4, 5].map(|call| node.sum_of_apply(call));
    assert_eq!(answers, [answers[0]; 3]);
    assert_eq!(node.machine.in_flight(), 0);
}

#[test]
fn a_request_id_means_nothing_on_a_get() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    let id: &[u8] = b"00000000000000000000000000000009";
    let read = node.call(GET, &[("trefoil-request", id)], &get(5));
    node.settle(&mut store);
    assert_eq!(node.io.fake.take_frames(read).len(), 1);
    node.apply_as(1, 5, &[2], Some(9));
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
}
