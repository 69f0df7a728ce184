//! Bringing actors to life: fence, claim, read, replay.

use super::*;
use crate::ring::actors::journal;

#[test]
fn a_first_apply_fences_claims_and_answers() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply(1, 5, &[4]);
    assert_eq!(node.kinds(), ["fence"]);
    assert_eq!(node.view.claims, [] as [u64; 0]);
    node.op(&mut store);
    assert_eq!(node.view.claims, [5]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 4);
    assert_eq!(
        (
            node.machine.active(),
            node.machine.in_flight(),
            node.machine.operations()
        ),
        (1, 0, 0)
    );
}

#[test]
fn a_fence_that_is_refused_is_raised_above_the_other() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    store.perform(
        9,
        &OwnedOp::Fence {
            log: journal::log(5).to_vec(),
            term: 7,
            owner: OwnerId(1),
        },
    );
    node.apply(1, 5, &[4]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 4);
    assert_eq!((store.log(5).term, store.log(5).owner), (8, OwnerId(100)));
}

#[test]
fn a_race_for_the_fence_is_given_up_after_some_tries_and_claims_nothing() {
    let mut node = Node::new(0);
    node.apply(1, 5, &[4]);
    for round in 0..3 {
        for _ in 0..node.machine.config.fence_tries_max {
            let (tag, op) = node.io.ops.pop_front().unwrap();
            let OwnedOp::Fence { term, .. } = op else {
                panic!()
            };
            node.done(tag, &Completion::Fenced { term: term + 5 });
        }
        assert!(node.io.ops.is_empty());
        assert_eq!(node.machine.active(), 0);
        if round < 2 {
            node.sleep(node.machine.config.retry_delay);
        }
    }
    assert_eq!(node.error(1), code("TF-R03", Code::Aborted));
    assert!(node.view.claims.is_empty());
}

#[test]
fn an_id_that_went_elsewhere_while_it_was_fenced_is_forwarded_not_claimed() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply(1, 5, &[4]);
    node.view.routes.insert(5, Route::Remote(NodeId(1)));
    node.op(&mut store);
    assert!(node.view.claims.is_empty());
    node.sleep(node.machine.config.retry_delay);
    assert_eq!(node.io.fake.take_opened().len(), 1);
}

#[test]
fn a_sealed_log_is_a_store_error() {
    let mut node = Node::new(0);
    node.apply(1, 5, &[4]);
    let (tag, _) = node.io.ops.pop_front().unwrap();
    node.done(tag, &Completion::Fenced { term: u64::MAX });
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
    assert_eq!(node.machine.active(), 0);
}

#[test]
fn a_get_of_an_unknown_id_is_not_found_and_claims_nothing() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.get(1, 5);
    assert_eq!(node.kinds(), ["tail"]);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R04", Code::NotFound));
    assert!(node.view.claims.is_empty() && store.logs.is_empty());
    assert_eq!(node.machine.active(), 0);
}

#[test]
fn a_get_of_an_actor_whose_first_messages_were_all_refused_is_not_found() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply(1, 5, &[0xff]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 0);
    node.get(2, 5);
    node.settle(&mut store);
    assert_eq!(node.error(2), code("TF-R04", Code::NotFound));
}

#[test]
fn replay_after_a_crash_gives_the_same_state() {
    for read_bytes_max in [1, 100, 1 << 20] {
        for snapshot_records in [1, 3, 100] {
            let mut store = Store::default();
            let config = ActorsConfig {
                read_bytes_max,
                snapshot_records,
                ..config(0)
            };
            let mut node = Node::active(&mut store, config.clone(), 5, 1);
            for call in 0..10 {
                node.apply(call, 5, &[2, 0xff, 3]);
                node.settle(&mut store);
                assert_eq!(node.sum_of_apply(call), 6 + 5 * call);
            }
            let mut other = Node::with(
                1,
                ActorsConfig {
                    owner: OwnerId(77),
                    ..config
                },
            );
            other.get(1, 5);
            other.settle(&mut store);
            assert_eq!(other.sum_of_get(1), 51);
            assert_eq!(other.view.claims, [5]);
        }
    }
}

#[test]
fn a_snapshot_is_taken_after_some_records_and_what_is_below_is_trimmed() {
    let mut store = Store::default();
    let config = ActorsConfig {
        snapshot_records: 4,
        ..config(0)
    };
    let mut node = Node::active(&mut store, config.clone(), 5, 1);
    for call in 0..20 {
        node.apply(call, 5, &[1]);
        node.settle(&mut store);
        // The bound that recovery time rests on.
        let log = store.log(5);
        assert!(log.records.len() as u64 - log.first <= 5);
    }
    assert_eq!(node.machine.counters().snapshots, 5);
    let mut other = Node::with(1, config);
    other.get(1, 5);
    let mut jobs = 0;
    while !other.io.ops.is_empty() || !other.ears.jobs.is_empty() {
        jobs += usize::from(other.job().is_some());
        other.op(&mut store);
    }
    assert!(jobs <= 6, "{jobs} jobs");
    assert_eq!(other.sum_of_get(1), 21);
}

#[test]
fn a_snapshot_is_taken_after_some_bytes() {
    let mut store = Store::default();
    let mut node = Node::active(
        &mut store,
        ActorsConfig {
            snapshot_bytes: 100,
            ..config(0)
        },
        5,
        1,
    );
    for call in 0..4 {
        node.apply(call, 5, &[1]);
    }
    node.settle(&mut store);
    assert!(node.machine.counters().snapshots >= 1);
}

#[test]
fn records_older_than_the_last_snapshot_are_skipped_when_a_trim_was_lost() {
    let mut store = Store::default();
    let config = ActorsConfig {
        snapshot_records: 3,
        ..config(0)
    };
    let mut node = Node::active(&mut store, config.clone(), 5, 1);
    for call in 0..7 {
        node.apply(call, 5, &[1]);
        node.settle(&mut store);
    }
    store.log(5).first = 2;
    for read_bytes_max in [1, 1 << 20] {
        let mut other = Node::with(
            1,
            ActorsConfig {
                read_bytes_max,
                ..config.clone()
            },
        );
        other.get(1, 5);
        let mut loads = 0;
        while !other.io.ops.is_empty() || !other.ears.jobs.is_empty() {
            loads += usize::from(matches!(other.job(), Some(OwnedJob::Load(_))));
            other.op(&mut store);
        }
        assert_eq!(other.sum_of_get(1), 8);
        // In one piece only the last snapshot is loaded.
        assert!(loads == 1 || read_bytes_max == 1);
    }
}

#[test]
fn a_journal_that_cannot_be_read_fails_its_calls_and_is_given_up() {
    let broken: [(&[u8], u64, &str); 4] = [
        (&[9, 1, 0], 0, "version"),
        (&[1, 9, 0], 0, "cannot be read"),
        (&[1, 1, 0], 0, "cannot be read"),
        (&[1, 2, 0, 0, 1, 2, 3], 0, "TF-R08"),
    ];
    for (record, first, word) in broken {
        let mut store = Store::default();
        store.log(5).records.push(record.to_vec());
        store.log(5).first = first;
        let mut node = Node::new(0);
        node.apply(1, 5, &[1]);
        node.apply(2, 5, &[1]);
        node.settle(&mut store);
        for call in [1, 2] {
            let status = node.answer(call).unwrap().unwrap_err();
            assert_eq!(status.code, Code::Internal);
            assert!(
                status.message.starts_with("TF-R08") && status.message.contains(word),
                "{}",
                status.message
            );
        }
        assert_eq!((node.machine.active(), node.stage.len()), (0, 0));
        assert_eq!(node.view.claims, node.view.releases);
    }
}

#[test]
fn a_trimmed_journal_without_a_snapshot_has_lost_its_beginning() {
    for first in [1, 2] {
        let mut store = Store::default();
        let mut record = Vec::new();
        journal::write_mutations(&mut record, None, &adds(5, &[1]));
        store.log(5).records = alloc::vec![record.clone(), record];
        store.log(5).first = first;
        let mut node = Node::new(0);
        node.apply(1, 5, &[1]);
        node.settle(&mut store);
        let status = node.answer(1).unwrap().unwrap_err();
        assert!(status.message.contains("beginning"), "{}", status.message);
    }
}

#[test]
fn a_store_that_gives_no_outcome_is_tried_some_times() {
    let (mut node, mut store) = (Node::new(0), Store::default());
    node.apply(1, 5, &[4]);
    for doubled in 0..node.machine.config.store_tries_max - 1 {
        let (tag, _) = node.io.ops.pop_front().unwrap();
        node.done(tag, &Completion::Unknown);
        assert!(node.io.ops.is_empty(), "not before its time");
        let due = node.machine.poll_timeout().unwrap();
        assert_eq!(
            due.since(node.now),
            node.machine.config.store_retry_delay * (1 << doubled)
        );
        node.sleep(due.since(node.now));
    }
    // The last one lands, and nobody is told.
    let (tag, op) = node.io.ops.pop_front().unwrap();
    store.perform(0, &op);
    node.done(tag, &Completion::Unknown);
    node.done(tag, &Completion::Unknown);
    node.settle(&mut store);
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
    node.apply(2, 5, &[4]);
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(2), 4);
}

#[test]
fn an_actor_that_fails_fails_its_call_only_and_is_loaded_anew() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    node.apply(1, 5, &[2]);
    node.job();
    node.apply(2, 5, &[4]);
    node.apply(3, 5, &[8]);
    // The record of call 1 is in flight while call 2 fails.
    node.fail_job();
    assert_eq!(node.error(2), code("TF-R08", Code::Internal));
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
    assert_eq!(node.sum_of_apply(3), 11);
    assert_eq!(node.machine.counters().failed, 1);
}

#[test]
fn answers_of_jobs_and_of_the_store_that_nobody_waits_for_do_nothing() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 1);
    for ticket in [0, 1, u64::MAX, 7 << 32] {
        node.command(ActorsCommand::Ran {
            ticket: Ticket(ticket),
            outcome: Outcome::Failed,
        });
    }
    for rest in [0, 1, u64::MAX, 1 << 55, (1 << 55) | 1 << 24] {
        node.done(Tag::new(super::super::MACHINE, rest), &Completion::Unknown);
    }
    assert_eq!(node.machine.counters().strays, 9);
    node.apply(1, 5, &[2]);
    let (ticket, ..) = node.ears.jobs[0];
    node.jobs();
    node.command(ActorsCommand::Ran {
        ticket,
        outcome: Outcome::Failed,
    });
    node.settle(&mut store);
    assert_eq!(node.sum_of_apply(1), 3);
}

/// Another owner took the log, wrote to it, and gave the id up: nobody told this node.
fn written_elsewhere(store: &mut Store) {
    let log = journal::log(5).to_vec();
    let mut other = Node::with(1, config(1));
    other.apply(1, 5, &[10]);
    other.settle(store);
    assert_eq!(other.sum_of_apply(1), 14);
    assert_eq!(store.log(5).term, 2, "{log:?}");
}

#[test]
fn a_get_shows_what_another_owner_wrote_once_the_proof_is_old() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 4);
    written_elsewhere(&mut store);
    node.sleep(node.machine.config.proof_age_max);
    node.get(1, 5);
    node.settle(&mut store);
    assert_eq!(node.sum_of_get(1), 4, "as old as is allowed");

    node.sleep(Duration::from_nanos(1));
    node.get(2, 5);
    assert_eq!(node.kinds(), ["tail"]);
    node.settle(&mut store);
    assert_eq!(node.view.releases, [5]);
    node.sleep(node.machine.config.retry_delay);
    node.settle(&mut store);
    assert_eq!(node.sum_of_get(2), 14);
}

#[test]
fn a_proof_serves_all_gets_of_its_time_and_an_append_is_one() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 4);
    let age = node.machine.config.proof_age_max;
    node.sleep(age + SECOND);
    for call in 1..4 {
        node.get(call, 5);
    }
    node.settle(&mut store);
    for call in 1..4 {
        assert_eq!(node.sum_of_get(call), 4);
    }
    assert_eq!(node.machine.counters().proofs, 1);
    node.sleep(age + SECOND);
    node.apply(4, 5, &[1]);
    node.settle(&mut store);
    node.sleep(age);
    node.get(5, 5);
    node.settle(&mut store);
    assert_eq!(node.sum_of_get(5), 5);
    assert_eq!(node.machine.counters().proofs, 1);
}

#[test]
fn a_log_that_does_not_answer_is_asked_again_and_then_the_get_fails() {
    let mut store = Store::default();
    let mut node = Node::active(&mut store, config(0), 5, 4);
    node.sleep(2 * node.machine.config.proof_age_max);
    node.get(1, 5);
    for _ in 0..node.machine.config.store_tries_max {
        let (tag, _) = node.io.ops.pop_front().unwrap();
        node.done(tag, &Completion::Unknown);
        node.sleep(SECOND);
    }
    assert_eq!(node.error(1), code("TF-R09", Code::Unavailable));
}
