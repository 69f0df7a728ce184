//! Disk that trimmed records took is given back, whatever few records are left between them.

use std::time::{Duration, Instant};

use trefoil_core::storage::{Completion, Op, OwnerId, Records};
use trefoil_store::{Session, Store, StoreOptions};

const A: OwnerId = OwnerId(1);
const SOON: Duration = Duration::from_secs(60);

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes_max: 4 << 10,
        ..StoreOptions::default()
    }
}

fn fence(session: &mut Session, log: &[u8]) {
    session.run(Op::Fence {
        log,
        term: 1,
        owner: A,
    });
}

fn append(session: &mut Session, log: &[u8], expected: u64) {
    let outcome = session.run(Op::Append {
        log,
        term: 1,
        owner: A,
        expected,
        payload: &expected.to_le_bytes().repeat(12),
    });
    assert_eq!(outcome, Completion::Durable { sequence: expected });
}

fn trim(session: &mut Session, log: &[u8], before: u64) {
    let op = Op::Trim {
        log,
        term: 1,
        owner: A,
        before,
    };
    assert_eq!(session.run(op), Completion::Durable { sequence: before });
}

fn segments(folder: &tempfile::TempDir) -> usize {
    let names = std::fs::read_dir(folder.path().join("log")).unwrap();
    names
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".log")
        })
        .count()
}

fn verify(session: &mut Session, log: &[u8], range: std::ops::Range<u64>) {
    let read = Op::Read {
        log,
        from: 0,
        bytes_max: u32::MAX,
    };
    let Completion::Records(run) = session.run(read) else {
        panic!("{log:?} cannot be read");
    };
    let found: Vec<u64> = Records(&run).iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(found, range.collect::<Vec<_>>());
    for (sequence, payload) in Records(&run).iter() {
        assert_eq!(payload, sequence.to_le_bytes().repeat(12));
    }
}

/// Fills many segments with a busy log, that is trimmed, and a quiet one, of which all is kept.
fn fill(session: &mut Session, rounds: u64) {
    for round in 0..rounds {
        append(session, b"quiet", round);
        for n in 0..30 {
            append(session, b"busy", 30 * round + n);
        }
        trim(session, b"busy", 30 * round + 25);
    }
}

#[test]
fn few_records_that_are_kept_do_not_keep_many_that_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut session = store.session("a");
    fence(&mut session, b"quiet");
    fence(&mut session, b"busy");
    fill(&mut session, 60);
    // 60 records are left of each log, of 1,860 that were written: four segments of about 120.
    let begun = Instant::now();
    let mut round = 60;
    while segments(&folder) > 16 {
        assert!(begun.elapsed() < SOON, "{} segments", segments(&folder));
        append(&mut session, b"quiet", round);
        trim(&mut session, b"busy", 30 * 59 + 25);
        round += 1;
    }
    verify(&mut session, b"quiet", 0..round);
    verify(&mut session, b"busy", 30 * 59 + 25..1_800);
    drop((session, store));
    let report = Store::check(folder.path()).unwrap();
    assert!(report.is_whole(), "{report}");
    let store = Store::open(folder.path(), options()).unwrap();
    let mut session = store.session("a");
    verify(&mut session, b"quiet", 0..round);
    verify(&mut session, b"busy", 30 * 59 + 25..1_800);
    append(&mut session, b"busy", 1_800);
}

#[test]
fn a_record_that_is_damaged_fails_those_who_read_it_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        let mut session = store.session("a");
        fence(&mut session, b"quiet");
        fence(&mut session, b"busy");
        append(&mut session, b"quiet", 0);
        for n in 0..100 {
            append(&mut session, b"busy", n);
        }
        let begun = Instant::now();
        let names = || std::fs::read_dir(folder.path().join("log")).unwrap();
        let is_index = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".index");
        while !names().any(|entry| is_index(entry.unwrap().file_name())) {
            assert!(begun.elapsed() < SOON, "no checkpoint");
            std::thread::yield_now();
        }
    }
    let first = folder.path().join("log/00000001.log");
    let mut bytes = std::fs::read(&first).unwrap();
    // The names and fences of both logs lie before the first record.
    let record = 64 + (56 + 8) + 56 + (56 + 8) + 56;
    bytes[record + 56] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    assert!(!Store::check(folder.path()).unwrap().is_whole());
    let store = Store::open(folder.path(), options()).unwrap();
    let mut session = store.session("a");
    let read = Op::Read {
        log: b"quiet",
        from: 0,
        bytes_max: 100,
    };
    assert_eq!(session.run(read), Completion::Unknown);
    verify(&mut session, b"busy", 0..100);
    append(&mut session, b"quiet", 1);
    assert_eq!(store.failure(), None);
}
