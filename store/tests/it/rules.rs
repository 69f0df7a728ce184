//! Each rule of the seam, by name.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, OwnerId, Records, Storage, Values};
use trefoil_store::{LogEngine, Plant, Session, Store, StoreError, StoreOptions};

const A: OwnerId = OwnerId(1);
const B: OwnerId = OwnerId(2);
const LOG: &[u8] = b"log";

/// Every rule holds whichever engine has the logs.
macro_rules! on_both {
    ($($rule:ident),* $(,)?) => {
        mod wal {
            $(#[test] fn $rule() { super::$rule(trefoil_store::LogEngine::Wal); })*
        }
        mod redb {
            $(#[test] fn $rule() { super::$rule(trefoil_store::LogEngine::Redb); })*
        }
    };
}

on_both! {
    a_log_that_does_not_exist_is_empty_and_stays_so,
    append_needs_the_term_the_owner_and_the_number,
    the_same_owner_may_raise_the_same_fence_again,
    reads_give_as_many_as_fit_and_at_least_one,
    trim_forgets_what_is_below_and_nothing_else,
    a_sealed_log_takes_nothing_from_anybody,
    the_catalog_compares_revisions_and_raises_its_fence,
    the_catalog_is_read_by_the_beginning_of_names,
    a_nodes_own_state_is_its_own,
    operations_of_a_session_are_carried_out_in_order,
    too_many_operations_in_flight_are_refused,
    two_owners_who_race_never_both_append,
    what_was_written_is_there_after_a_restart,
    a_planted_missing_fence_lets_two_owners_append,
    a_planted_lost_append_is_found_by_the_check,
    nodes_share_a_store_if_they_share_its_handle_and_a_copy_is_another,
}

fn options(engine: LogEngine) -> StoreOptions {
    StoreOptions {
        log_engine: engine,
        ..StoreOptions::default()
    }
}

fn store(engine: LogEngine) -> Store {
    Store::in_memory(options(engine)).unwrap()
}

fn fence(session: &mut Session, term: u64, owner: OwnerId) -> Completion<Vec<u8>> {
    session.run(Op::Fence {
        log: LOG,
        term,
        owner,
    })
}

fn append(session: &mut Session, term: u64, owner: OwnerId, expected: u64) -> Completion<Vec<u8>> {
    session.run(Op::Append {
        log: LOG,
        term,
        owner,
        expected,
        payload: &expected.to_le_bytes(),
    })
}

fn read(session: &mut Session, from: u64, bytes_max: u32) -> Vec<(u64, Vec<u8>)> {
    match session.run(Op::Read {
        log: LOG,
        from,
        bytes_max,
    }) {
        Completion::Records(bytes) => Records(&bytes)
            .iter()
            .map(|(n, payload)| (n, payload.to_vec()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn a_log_that_does_not_exist_is_empty_and_stays_so(engine: LogEngine) {
    let mut session = store(engine).session("a");
    let nothing = Completion::Tail {
        term: 0,
        owner: OwnerId(0),
        first: 0,
        next: 0,
    };
    assert_eq!(session.run(Op::Tail { log: LOG }), nothing);
    assert_eq!(read(&mut session, 0, 1_000), []);
    assert_eq!(session.run(Op::Tail { log: LOG }), nothing);
}

fn append_needs_the_term_the_owner_and_the_number(engine: LogEngine) {
    let store = store(engine);
    let (mut a, mut b) = (store.session("a"), store.session("b"));
    assert_eq!(append(&mut a, 1, A, 0), Completion::Fenced { term: 0 });
    assert_eq!(
        fence(&mut a, 1, A),
        Completion::Tail {
            term: 1,
            owner: A,
            first: 0,
            next: 0
        }
    );
    assert_eq!(append(&mut a, 1, A, 0), Completion::Durable { sequence: 0 });
    assert_eq!(append(&mut a, 1, A, 0), Completion::Conflict { current: 1 });
    assert_eq!(append(&mut b, 1, B, 1), Completion::Fenced { term: 1 });
    assert_eq!(fence(&mut b, 1, B), Completion::Fenced { term: 1 });
    assert_eq!(
        fence(&mut b, 2, B),
        Completion::Tail {
            term: 2,
            owner: B,
            first: 0,
            next: 1
        }
    );
    assert_eq!(append(&mut a, 1, A, 1), Completion::Fenced { term: 2 });
    assert_eq!(append(&mut b, 2, B, 1), Completion::Durable { sequence: 1 });
}

fn the_same_owner_may_raise_the_same_fence_again(engine: LogEngine) {
    let mut session = store(engine).session("a");
    fence(&mut session, 3, A);
    assert_eq!(
        fence(&mut session, 3, A),
        Completion::Tail {
            term: 3,
            owner: A,
            first: 0,
            next: 0
        }
    );
    assert_eq!(fence(&mut session, 2, A), Completion::Fenced { term: 3 });
}

fn reads_give_as_many_as_fit_and_at_least_one(engine: LogEngine) {
    let mut session = store(engine).session("a");
    fence(&mut session, 1, A);
    for n in 0..10 {
        append(&mut session, 1, A, n);
    }
    assert_eq!(read(&mut session, 0, 1_000_000).len(), 10);
    assert_eq!(
        read(&mut session, 4, 0),
        [(4, 4_u64.to_le_bytes().to_vec())]
    );
    assert_eq!(read(&mut session, 10, 1_000), []);
    assert_eq!(read(&mut session, u64::MAX, 1_000), []);
}

fn trim_forgets_what_is_below_and_nothing_else(engine: LogEngine) {
    let mut session = store(engine).session("a");
    fence(&mut session, 1, A);
    for n in 0..10 {
        append(&mut session, 1, A, n);
    }
    let trim = |session: &mut Session, owner, before| {
        session.run(Op::Trim {
            log: LOG,
            term: 1,
            owner,
            before,
        })
    };
    assert_eq!(trim(&mut session, B, 5), Completion::Fenced { term: 1 });
    assert_eq!(
        trim(&mut session, A, 5),
        Completion::Durable { sequence: 5 }
    );
    assert_eq!(
        trim(&mut session, A, 2),
        Completion::Durable { sequence: 5 }
    );
    let numbers: Vec<u64> = read(&mut session, 0, 1_000)
        .iter()
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(numbers, [5, 6, 7, 8, 9]);
    assert_eq!(
        trim(&mut session, A, 99),
        Completion::Durable { sequence: 10 }
    );
    assert_eq!(
        append(&mut session, 1, A, 10),
        Completion::Durable { sequence: 10 }
    );
}

fn a_sealed_log_takes_nothing_from_anybody(engine: LogEngine) {
    let mut session = store(engine).session("a");
    fence(&mut session, 1, A);
    assert_eq!(
        session.run(Op::Seal {
            log: LOG,
            term: 1,
            owner: B
        }),
        Completion::Fenced { term: 1 }
    );
    assert_eq!(
        session.run(Op::Seal {
            log: LOG,
            term: 1,
            owner: A
        }),
        Completion::Durable { sequence: 0 }
    );
    assert_eq!(
        append(&mut session, 1, A, 0),
        Completion::Fenced { term: u64::MAX }
    );
    assert_eq!(
        fence(&mut session, u64::MAX, A),
        Completion::Fenced { term: u64::MAX }
    );
}

fn the_catalog_compares_revisions_and_raises_its_fence(engine: LogEngine) {
    let mut session = store(engine).session("a");
    let mut cas = |fence, revision, value: &[u8]| {
        session.run(Op::Cas {
            key: b"k",
            fence,
            revision,
            value,
        })
    };
    assert_eq!(cas(5, 0, b"one"), Completion::Durable { sequence: 1 });
    assert_eq!(cas(5, 0, b"two"), Completion::Conflict { current: 1 });
    assert_eq!(cas(4, 1, b"two"), Completion::Fenced { term: 5 });
    assert_eq!(cas(6, 1, b"two"), Completion::Durable { sequence: 2 });
    assert_eq!(cas(5, 2, b"three"), Completion::Fenced { term: 6 });
    let value = Completion::Value {
        revision: 2,
        value: b"two".to_vec(),
    };
    assert_eq!(session.run(Op::Load { key: b"k" }), value);
    assert_eq!(
        session.run(Op::Load { key: b"none" }),
        Completion::Value {
            revision: 0,
            value: vec![]
        }
    );
}

fn the_catalog_is_read_by_the_beginning_of_names(engine: LogEngine) {
    let mut session = store(engine).session("a");
    for key in [&b"m/b"[..], b"m/a", b"l", b"n", b"m/", b"m/c"] {
        session.run(Op::Cas {
            key,
            fence: 1,
            revision: 0,
            value: key,
        });
    }
    let mut scan = |after: &[u8], bytes_max| {
        let outcome = session.run(Op::Scan {
            prefix: b"m/",
            after,
            bytes_max,
        });
        let Completion::Values(run) = outcome else {
            panic!("{outcome:?}");
        };
        Values(&run)
            .iter()
            .map(|value| {
                assert_eq!(value.key, value.value);
                (value.key.to_vec(), value.revision)
            })
            .collect::<Vec<_>>()
    };
    let all = [
        (b"m/".to_vec(), 5),
        (b"m/a".to_vec(), 2),
        (b"m/b".to_vec(), 1),
        (b"m/c".to_vec(), 6),
    ];
    assert_eq!(scan(b"", 1 << 20), all);
    assert_eq!(scan(b"m/a", 1 << 20), all[2..]);
    assert_eq!(scan(b"m/aa", 0), all[2..3]);
    assert_eq!(scan(b"m/c", 1 << 20), []);
    assert_eq!(scan(b"z", 1 << 20), []);
}

fn a_nodes_own_state_is_its_own(engine: LogEngine) {
    let store = store(engine);
    let (mut a, mut b) = (store.session("a"), store.session("b"));
    assert_eq!(
        a.run(Op::Keep {
            key: b"vote",
            value: b"x"
        }),
        Completion::Durable { sequence: 1 }
    );
    assert_eq!(
        a.run(Op::Recall { key: b"vote" }),
        Completion::Value {
            revision: 1,
            value: b"x".to_vec()
        }
    );
    assert_eq!(
        b.run(Op::Recall { key: b"vote" }),
        Completion::Value {
            revision: 0,
            value: vec![]
        }
    );
    assert_eq!(store.begin_incarnation("a"), Ok(1));
    assert_eq!(store.begin_incarnation("a"), Ok(2));
    assert_eq!(store.begin_incarnation("b"), Ok(1));
}

fn operations_of_a_session_are_carried_out_in_order(engine: LogEngine) {
    let mut session = store(engine).session("a");
    session
        .submit(
            Op::Fence {
                log: LOG,
                term: 1,
                owner: A,
            },
            Tag(0),
        )
        .unwrap();
    for n in 0..100 {
        let payload = n.to_string();
        let op = Op::Append {
            log: LOG,
            term: 1,
            owner: A,
            expected: n,
            payload: payload.as_bytes(),
        };
        session.submit(op, Tag(2 * n + 1)).unwrap();
        session
            .submit(Op::Tail { log: LOG }, Tag(2 * n + 2))
            .unwrap();
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut heard = Vec::new();
    while heard.len() < 201 {
        match session.poll(&mut cx) {
            Poll::Ready(completion) => heard.push(completion),
            Poll::Pending => std::thread::yield_now(),
        }
    }
    for (at, (tag, completion)) in heard.into_iter().enumerate().skip(1) {
        assert_eq!(tag, Tag(at as u64));
        let n = (at as u64 - 1) / 2;
        match completion {
            Completion::Durable { sequence } => assert_eq!(sequence, n),
            Completion::Tail { next, .. } => assert_eq!(next, n + 1),
            other => panic!("{other:?}"),
        }
    }
}

fn too_many_operations_in_flight_are_refused(engine: LogEngine) {
    let store = Store::in_memory(StoreOptions {
        in_flight_max: 4,
        ..options(engine)
    })
    .unwrap();
    let mut session = store.session("a");
    for n in 0..4 {
        assert_eq!(session.submit(Op::Tail { log: LOG }, Tag(n)), Ok(()));
    }
    assert_eq!(session.submit(Op::Tail { log: LOG }, Tag(4)), Err(Full));
    let mut cx = Context::from_waker(Waker::noop());
    while session.poll(&mut cx).is_pending() {
        std::thread::yield_now();
    }
    assert_eq!(session.submit(Op::Tail { log: LOG }, Tag(5)), Ok(()));
}

fn two_owners_who_race_never_both_append(engine: LogEngine) {
    let store = store(engine);
    let work = |owner: OwnerId| {
        let mut session = store.session("racer");
        move || {
            let mut written = BTreeMap::new();
            let mut term = 0;
            while written.len() < 100 {
                term += 1;
                let next = match fence(&mut session, term, owner) {
                    Completion::Tail { next, .. } => next,
                    Completion::Fenced { term: present } => {
                        term = present;
                        continue;
                    }
                    other => panic!("{other:?}"),
                };
                for expected in next..next + 5 {
                    let payload = owner.0.to_le_bytes();
                    match session.run(Op::Append {
                        log: LOG,
                        term,
                        owner,
                        expected,
                        payload: &payload,
                    }) {
                        Completion::Durable { sequence } => {
                            assert!(written.insert(sequence, ()).is_none())
                        }
                        Completion::Fenced { .. } => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            written
        }
    };
    let (mut first, second) = (work(A), work(B));
    let other = std::thread::spawn(second);
    let written: Vec<BTreeMap<u64, ()>> = vec![first(), other.join().unwrap()];
    let records = read(&mut store.session("reader"), 0, u32::MAX);
    for (number, payload) in records {
        let owner = u64::from_le_bytes(payload.try_into().unwrap());
        assert!(written[owner as usize - 1].contains_key(&number));
        assert!(
            !written[2 - owner as usize].contains_key(&number),
            "two owners were told they wrote {number}"
        );
    }
}

fn what_was_written_is_there_after_a_restart(engine: LogEngine) {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), options(engine)).unwrap();
        let mut session = store.session("a");
        fence(&mut session, 7, A);
        for n in 0..50 {
            append(&mut session, 7, A, n);
        }
        session.run(Op::Trim {
            log: LOG,
            term: 7,
            owner: A,
            before: 20,
        });
        assert_eq!(
            Store::open(directory.path(), options(engine)).unwrap_err(),
            StoreError::InUse
        );
    }
    let report = Store::check(directory.path()).unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!((report.logs, report.records), (1, 30));
    let store = Store::open(directory.path(), options(engine)).unwrap();
    let mut session = store.session("a");
    assert_eq!(
        session.run(Op::Tail { log: LOG }),
        Completion::Tail {
            term: 7,
            owner: A,
            first: 20,
            next: 50
        }
    );
    assert_eq!(
        append(&mut session, 7, A, 50),
        Completion::Durable { sequence: 50 }
    );
}

fn a_planted_missing_fence_lets_two_owners_append(engine: LogEngine) {
    let options = StoreOptions {
        plant: Some(Plant::NoFence),
        ..options(engine)
    };
    let store = Store::in_memory(options).unwrap();
    let (mut a, mut b) = (store.session("a"), store.session("b"));
    fence(&mut a, 1, A);
    fence(&mut b, 2, B);
    assert_eq!(append(&mut a, 1, A, 0), Completion::Durable { sequence: 0 });
    assert_eq!(append(&mut b, 2, B, 0), Completion::Durable { sequence: 0 });
    assert_eq!(read(&mut a, 0, 1_000).len(), 2);
}

fn a_planted_lost_append_is_found_by_the_check(engine: LogEngine) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        plant: Some(Plant::LostAppend),
        ..options(engine)
    };
    {
        let mut session = Store::open(directory.path(), options).unwrap().session("a");
        fence(&mut session, 1, A);
        for n in 0..100 {
            assert_eq!(
                append(&mut session, 1, A, n),
                Completion::Durable { sequence: n }
            );
        }
        assert_eq!(read(&mut session, 0, u32::MAX).len(), 98);
    }
    assert!(!Store::check(directory.path()).unwrap().is_whole());
}

fn nodes_share_a_store_if_they_share_its_handle_and_a_copy_is_another(engine: LogEngine) {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Store::open(one.path(), options(engine)).unwrap());
    let file = "trefoil.redb";
    std::fs::copy(one.path().join(file), two.path().join(file)).unwrap();
    if engine == LogEngine::Wal {
        let (from, to) = (one.path().join("log"), two.path().join("log"));
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let open = |folder: &tempfile::TempDir| Store::open(folder, options(engine)).unwrap();
    let (original, copy) = (open(&one), open(&two));
    assert_ne!(original.id(), 0);
    assert_ne!(original.id(), copy.id());
    assert_eq!(original.session("a").id(), original.session("b").id());
    assert_eq!(original.session("a").id(), original.id());
}

#[test]
fn a_damaged_record_in_redb_fails_those_who_read_it_and_nobody_else() {
    let engine = LogEngine::Redb;
    const RECORDS: ::redb::TableDefinition<'_, (u64, u64), &[u8]> =
        ::redb::TableDefinition::new("records");
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(&folder, options(engine)).unwrap();
        let mut session = store.session("a");
        fence(&mut session, 1, A);
        append(&mut session, 1, A, 0);
    }
    {
        let database = ::redb::Database::open(folder.path().join("trefoil.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut records = transaction.open_table(RECORDS).unwrap();
            assert!(records.insert((1, 0), &b"nonsense"[..]).unwrap().is_some());
        }
        transaction.commit().unwrap();
    }
    assert!(!Store::check(&folder).unwrap().is_whole());
    let store = Store::open(&folder, options(engine)).unwrap();
    let mut session = store.session("a");
    let read = Op::Read {
        log: LOG,
        from: 0,
        bytes_max: 1_000,
    };
    assert_eq!(session.run(read), Completion::Unknown);
    assert_eq!(
        append(&mut session, 1, A, 1),
        Completion::Durable { sequence: 1 }
    );
    assert_eq!(store.failure(), None);
}
