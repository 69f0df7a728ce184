//! Logs that were in redb move into the write-ahead log, all of them or none.

use std::io;
use std::sync::Arc;

use trefoil_core::storage::{Completion, Op, OwnerId, Records};
use trefoil_store::{LogEngine, Session, Store, StoreError, StoreOptions};

use crate::crash::Tables;
use crate::disk::{Disk, Fault};

const A: OwnerId = OwnerId(1);

fn options(engine: LogEngine) -> StoreOptions {
    StoreOptions {
        log_engine: engine,
        segment_bytes_max: 4 << 10,
        ..StoreOptions::default()
    }
}

/// Logs that are long, trimmed, emptied, sealed and empty, and something in the catalog.
fn fill(session: &mut Session) {
    for (log, count, before) in [
        (&b"long"[..], 100, 0),
        (b"trimmed", 40, 30),
        (b"emptied", 5, 5),
        (b"empty", 0, 0),
        (b"sealed", 3, 1),
    ] {
        let (term, owner) = (3, A);
        session.run(Op::Fence { log, term, owner });
        for expected in 0..count {
            let outcome = session.run(Op::Append {
                log,
                term,
                owner,
                expected,
                payload: &[expected as u8; 60],
            });
            assert_eq!(outcome, Completion::Durable { sequence: expected });
        }
        session.run(Op::Trim {
            log,
            term,
            owner,
            before,
        });
        if log == b"sealed" {
            session.run(Op::Seal { log, term, owner });
        }
    }
    session.run(Op::Cas {
        key: b"k",
        fence: 1,
        revision: 0,
        value: b"v",
    });
}

/// All that can be asked.
fn shown(store: &Store) -> Vec<Completion<Vec<u8>>> {
    let mut session = store.session("a");
    let mut shown = vec![session.run(Op::Load { key: b"k" })];
    for log in [&b"long"[..], b"trimmed", b"emptied", b"empty", b"sealed"] {
        shown.push(session.run(Op::Tail { log }));
        shown.push(session.run(Op::Read {
            log,
            from: 0,
            bytes_max: u32::MAX,
        }));
    }
    shown
}

#[test]
fn all_logs_move_once_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (before, id) = {
        let store = Store::open(folder.path(), options(LogEngine::Redb)).unwrap();
        fill(&mut store.session("a"));
        (shown(&store), store.id())
    };
    assert!(
        matches!(before[2], Completion::Records(ref run) if Records(run).iter().count() == 100)
    );
    for _ in 0..2 {
        let store = Store::open(folder.path(), options(LogEngine::Wal)).unwrap();
        assert_eq!((shown(&store), store.id()), (before.clone(), id));
    }
    let refused = Store::open(folder.path(), options(LogEngine::Redb)).unwrap_err();
    assert_eq!(refused, StoreError::OtherEngine);
    let report = Store::check(folder.path()).unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!((report.logs, report.records, report.values), (5, 112, 1));
    let store = Store::open(folder.path(), options(LogEngine::Wal)).unwrap();
    let outcome = store.session("a").run(Op::Append {
        log: b"trimmed",
        term: 3,
        owner: A,
        expected: 40,
        payload: b"more",
    });
    assert_eq!(outcome, Completion::Durable { sequence: 40 });
}

#[test]
fn a_crash_on_the_way_leaves_them_where_they_were() {
    let tables = Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false);
    let nowhere = || Arc::new(Disk::new(Fault::NONE));
    let store = Store::with_layers(tables.clone(), nowhere(), options(LogEngine::Redb)).unwrap();
    fill(&mut store.session("a"));
    let before = shown(&store);
    drop(store);
    let bytes = tables.after_crash();
    let tables = || Tables::new(bytes.clone(), u64::MAX, io::ErrorKind::Other, false);
    let mut failed = 0;
    for at in 1.. {
        let kind = io::ErrorKind::StorageFull;
        let (moving, disk) = (tables(), Disk::new(Fault { at, kind }));
        let layer = Arc::new(disk.clone());
        let moved = Store::with_layers(moving.clone(), layer, options(LogEngine::Wal));
        let Err(error) = moved else {
            break;
        };
        failed += 1;
        assert!(matches!(error, StoreError::Unusable(_)), "{error}");
        let left = Tables::new(moving.after_crash(), u64::MAX, kind, false);
        let old = Store::with_layers(left.clone(), nowhere(), options(LogEngine::Redb)).unwrap();
        assert_eq!(shown(&old), before, "operation {at}");
        drop(old);
        let disk = Arc::new(disk.reopened(Fault::NONE));
        let again = Store::with_layers(left, disk, options(LogEngine::Wal)).unwrap();
        assert_eq!(shown(&again), before, "operation {at}");
    }
    assert!(failed > 20, "{failed}");
}
