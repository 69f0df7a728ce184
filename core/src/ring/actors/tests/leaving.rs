//! Letting actors go.

use super::*;

const B: Route = Route::Remote(NodeId(1));

#[test]
fn an_actor_nobody_calls_is_let_go_exactly_when_due() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    let due = node.now + node.machine.config.idle_timeout;
    assert_eq!(node.machine.poll_timeout(), Some(due));
    node.sleep(node.machine.config.idle_timeout - Duration::from_nanos(1));
    assert!(node.ears.jobs.is_empty());
    node.sleep(Duration::from_nanos(1));
    assert_eq!(node.view.releases, [5]);
    node.settle(&mut store);
    assert_eq!((node.machine.active(), node.stage.len()), (0, 0));
    assert_eq!(
        (
            node.machine.counters().expired,
            node.machine.counters().snapshots
        ),
        (1, 0)
    );
    assert_eq!(node.machine.poll_timeout(), None);
}

#[test]
fn a_call_makes_an_actor_young_again_and_the_idlest_goes_first() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    for id in [5, 6, 5] {
        node.apply(id, id, &[1]);
        node.settle(&mut store);
        node.answer(id);
        node.sleep(SECOND);
    }
    let wait = node.machine.poll_timeout().unwrap().since(node.now);
    node.sleep(wait);
    assert_eq!(node.view.releases, [6]);
    let wait = node.machine.poll_timeout().unwrap().since(node.now);
    assert_eq!(wait, SECOND);
    node.sleep(wait);
    assert_eq!(node.view.releases, [6, 5]);
}

#[test]
fn an_idle_actor_with_enough_records_leaves_a_snapshot() {
    let mut store = Store::default();
    let mut node = Node::active(
        &mut store,
        ActorsConfig {
            idle_snapshot_records: 1,
            ..config(0)
        },
        5,
        1,
    );
    node.sleep(node.machine.config.idle_timeout);
    assert!(
        node.view.releases.is_empty(),
        "not before the snapshot is durable"
    );
    node.settle(&mut store);
    assert_eq!(
        (node.view.releases.as_slice(), store.log(5).first),
        (&[5][..], 1)
    );
    assert_eq!(node.machine.active(), 0);
}

#[test]
fn a_call_that_comes_while_an_idle_actor_is_leaving_keeps_it() {
    let mut store = Store::default();
    let mut node = Node::active(
        &mut store,
        ActorsConfig {
            idle_snapshot_records: 1,
            ..config(0)
        },
        5,
        1,
    );
    node.sleep(node.machine.config.idle_timeout);
    node.apply(1, 5, &[2]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
    assert!(node.view.releases.is_empty() && node.machine.active() == 1);
}

#[test]
fn an_evicted_actor_appends_nothing_more_and_its_queue_goes_to_the_winner() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.job();
    node.apply(2, 5, &[4]);
    node.apply(3, 5, &[8]);
    // Call 1 is in flight, call 2 is run, call 3 is queued.
    node.view.routes.insert(5, B);
    node.command(ActorsCommand::Evict { id: 5 });
    assert_eq!(node.io.fake.opened.len(), 1);
    node.command(ActorsCommand::Evict { id: 5 });
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
    assert_eq!(node.io.fake.take_opened().len(), 2);
    assert_eq!(store.log(5).records.len(), 2);
    assert_eq!((node.machine.active(), node.stage.len()), (0, 0));
    assert!(node.view.releases.is_empty());
}

#[test]
fn an_evicted_actor_does_not_say_what_it_cannot_prove() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.job();
    node.view.routes.insert(5, B);
    node.command(ActorsCommand::Evict { id: 5 });
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Unknown);
    assert_eq!(node.error(1), code("TF-R03", Code::Aborted));
    node.jobs();
    assert_eq!(node.machine.active(), 0);
}

#[test]
fn an_actor_evicted_before_it_lives_is_gone_at_once() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply(1, 5, &[2]);
    node.view.routes.insert(5, B);
    node.command(ActorsCommand::Evict { id: 5 });
    assert_eq!((node.machine.active(), node.io.fake.opened.len()), (0, 1));
    node.settle(&mut store);
    node.command(ActorsCommand::Evict { id: 99 });
}

#[test]
fn calls_for_an_actor_that_comes_back_wait_until_its_memory_is_gone() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.command(ActorsCommand::Evict { id: 5 });
    node.apply(1, 5, &[2]);
    assert_eq!(node.ears.jobs.len(), 1);
    assert_eq!(node.job(), Some(OwnedJob::Drop));
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
}

#[test]
fn a_released_actor_finishes_its_queue_leaves_a_snapshot_and_is_given_up() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.apply(2, 5, &[4]);
    node.command(ActorsCommand::Release { id: 5 });
    node.apply(3, 5, &[8]);
    node.view.routes.insert(5, B);
    let mut jobs = Vec::new();
    while !node.ears.jobs.is_empty() || !node.io.ops.is_empty() {
        assert!(node.view.releases.is_empty() || store.log(5).records.len() == 4);
        jobs.extend(node.job());
        node.op(&mut store);
    }
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 7));
    assert_eq!(jobs[jobs.len() - 2..], [OwnedJob::Snapshot, OwnedJob::Drop]);
    assert_eq!(node.view.releases, [5]);
    // What came after the command follows the actor to where it went.
    assert_eq!(node.io.fake.take_opened().len(), 1);
}

#[test]
fn a_drain_finishes_what_is_there_refuses_what_comes_and_ends() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.view.routes.insert(7, B);
    node.apply(1, 5, &[2]);
    node.apply(2, 6, &[2]);
    node.get(3, 7);
    node.command(ActorsCommand::Drain);
    node.command(ActorsCommand::Drain);
    node.apply(4, 5, &[1]);
    node.apply(5, 8, &[1]);
    node.get(6, 8);
    for call in [4, 5, 6] {
        assert_eq!(node.error(call), code("TF-R06", Code::Unavailable));
    }
    node.settle(&mut store);
    assert_eq!((node.sum_of_apply(1), node.sum_of_apply(2)), (3, 2));
    assert_eq!(
        (node.machine.active(), node.stage.len(), node.ears.drained),
        (0, 0, 0)
    );
    assert_eq!(node.view.releases.len(), 2);
    assert_eq!((store.log(5).first, store.log(6).first), (2, 1));
    // Others are still served by way of this node, and do not keep it.
    node.get(7, 7);
    let opened = node.io.fake.take_opened();
    assert_eq!(opened.len(), 2);
    node.owner(
        &opened[0],
        StreamIn::Ended(
            Status::new(Code::NotFound, "TF-R04: no").caused_by(crate::status::Cause::Peer),
        ),
    );
    assert_eq!(node.ears.drained, 1);
    node.sleep(SECOND);
    assert_eq!(node.ears.drained, 1);
}

#[test]
fn an_empty_node_is_drained_at_once() {
    let mut node = Node::new(0);
    node.command(ActorsCommand::Drain);
    assert_eq!(node.ears.drained, 1);
}
