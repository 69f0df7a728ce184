//! Limits, deadlines, and callers that go away.

use super::*;

#[test]
fn too_many_messages_are_refused() {
    let (mut node, mut store) = (
        Node::with(
            0,
            ActorsConfig {
                messages_max: 2,
                ..config(0)
            },
        ),
        Store::default(),
    );
    node.apply(1, 5, &[1, 1, 1]);
    assert_eq!(node.error(1), code("TF-R10", Code::InvalidArgument));
    node.apply(2, 5, &[1, 1]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(2), 2);
}

#[test]
fn a_full_mailbox_refuses_before_anything_changes() {
    let (mut node, mut store) = (
        Node::with(
            0,
            ActorsConfig {
                mailbox_calls_max: 2,
                ..config(0)
            },
        ),
        Store::default(),
    );
    for call in 1..=3 {
        node.apply(call, 5, &[1]);
    }
    assert_eq!(node.error(3), code("TF-R05", Code::ResourceExhausted));
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (1, 2));
    assert_eq!(store.log(5).records.len(), 2);
    node.apply(4, 5, &[1]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(4), 3);
}

#[test]
fn the_bytes_of_all_requests_are_bounded() {
    let size = adds(5, &[1]).len() as u64;
    let config = ActorsConfig {
        mailbox_bytes_max: 2 * size,
        ..config(0)
    };
    let (mut node, mut store) = (Node::with(0, config), Store::default());
    node.apply(1, 5, &[1]);
    node.apply(2, 6, &[1]);
    node.apply(3, 7, &[1]);
    assert_eq!(node.error(3), code("TF-R05", Code::ResourceExhausted));
    node.settle(&mut store);
    assert_eq!(node.machine.calls.request_bytes(), 0);
}

#[test]
fn no_more_calls_are_open_than_allowed() {
    let mut node = Node::with(
        0,
        ActorsConfig {
            calls_max: 1,
            ..config(0)
        },
    );
    node.apply(1, 5, &[1]);
    let stream = node.accept(APPLY, &[], None);
    assert_eq!(node.end_of(stream), code("TF-C01", Code::ResourceExhausted));
    let command = ActorsCommand::Get {
        call: 2,
        request: &get(5),
        deadline: node.now + SECOND,
    };
    let ears = &mut node.ears;
    let refused =
        node.machine
            .handle_command(node.now, command, &mut node.io, &mut node.view, &mut |e| {
                ears.hear(e)
            });
    assert_eq!(refused, Err(super::super::ActorsBusy));
    assert_eq!(node.machine.in_flight(), 1);
}

#[test]
fn no_more_actors_are_held_than_allowed_and_the_idlest_makes_room() {
    let (mut node, mut store) = (
        Node::with(
            0,
            ActorsConfig {
                actors_max: 2,
                ..config(0)
            },
        ),
        Store::default(),
    );
    for id in [5, 6] {
        node.apply(id, id, &[1]);
        node.settle(&mut store);
        node.sleep(SECOND);
    }
    node.apply(7, 7, &[1]);
    assert_eq!(node.error(7), code("TF-C01", Code::ResourceExhausted));
    node.settle(&mut store);
    assert_eq!(node.view.releases, [5]);
    node.apply(8, 7, &[1]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(8), 1);
    assert_eq!(node.machine.active(), 2);
}

#[test]
fn a_caller_that_goes_away_leaves_the_mailbox() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    let queued = node.call(APPLY, &[], &adds(5, &[4]));
    node.caller(
        queued,
        StreamIn::Ended(Status::new(Code::DeadlineExceeded, "")),
    );
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), store.log(5).records.len()), (3, 2));
    assert_eq!(node.machine.in_flight(), 0);
}

#[test]
fn a_caller_that_goes_away_too_late_leaves_its_effect() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    for held in [false, true] {
        let stream = node.call(APPLY, &[], &adds(5, &[2]));
        if held {
            node.job();
        }
        node.caller(stream, StreamIn::Ended(Status::new(Code::Cancelled, "")));
        node.settle(&mut store);
    }
    node.get(1, 5);
    node.settle(&mut store);
    assert_eq!(node.sum_of_get(1), 5);
    assert!(node.io.fake.ended.is_empty() && node.machine.in_flight() == 0);
}

#[test]
fn a_caller_that_goes_away_while_the_store_is_asked_is_forgotten() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    let stream = node.call(GET, &[], &get(5));
    node.caller(stream, StreamIn::Ended(Status::new(Code::Cancelled, "")));
    node.get(1, 6);
    node.settle(&mut store);
    assert_eq!(node.error(1).1, Code::NotFound);
    assert_eq!(node.machine.in_flight(), 0);
}

#[test]
fn a_handles_deadline_is_kept_to_the_nanosecond() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    let deadline = node.now + SECOND;
    node.command(ActorsCommand::Apply {
        call: 1,
        request: &adds(5, &[2]),
        request_id: None,
        deadline,
    });
    assert_eq!(node.machine.poll_timeout(), Some(deadline));
    node.sleep(SECOND - Duration::from_nanos(1));
    assert!(node.answer(1).is_none());
    node.sleep(Duration::from_nanos(1));
    assert_eq!(node.error(1), code("TF-C06", Code::DeadlineExceeded));
    node.settle(&mut store);
    assert!(node.answer(1).is_none());
    node.get(2, 5);
    node.settle(&mut store);
    assert_eq!(node.sum_of_get(2), 3);
}

#[test]
fn an_answer_too_large_for_its_stream_ends_it_with_a_code() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    let stream = node.call(GET, &[], &get(5));
    node.io.fake.full = true;
    node.jobs();
    assert_eq!(node.end_of(stream), code("TF-C05", Code::ResourceExhausted));
}

#[test]
fn buffers_are_used_again() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    for call in 0..100 {
        node.apply(call, 5, &[1]);
        node.settle(&mut store);
    }
    assert_eq!(
        (
            node.machine.calls.slots.len(),
            node.machine.held.slots.len()
        ),
        (1, 1)
    );
}

#[test]
fn a_call_and_an_actor_take_the_memory_the_configuration_says() {
    assert!(size_of::<super::super::calls::Call>() <= 256);
    assert!(size_of::<super::super::held::Actor>() <= 512);
}
