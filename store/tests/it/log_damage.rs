//! What no crash leaves: files cut short, bytes that changed. The log says so, or loses nothing but its last write.

use std::time::{Duration, Instant};

use trefoil_core::storage::{Completion, Op, OwnerId, Records};
use trefoil_store::{Store, StoreError};

use crate::crash::Tables;
use crate::disk::{Disk, Fault};
use crate::log_crash::{open, tables};

const A: OwnerId = OwnerId(1);
const LOG: &[u8] = b"log";
const FIRST: &str = "00000001.log";

fn append(store: &Store, expected: u64) -> Completion<Vec<u8>> {
    store.session("a").run(Op::Append {
        log: LOG,
        term: 1,
        owner: A,
        expected,
        payload: &[expected as u8 + 1; 20],
    })
}

/// A log of `count` records, one sync each, as a crash of the process leaves it; of many, with a checkpoint.
fn written(count: u64) -> (Tables, Disk) {
    let (tables, disk) = (tables(), Disk::new(Fault::NONE));
    let store = open(&tables, &disk).unwrap();
    let fence = Op::Fence {
        log: LOG,
        term: 1,
        owner: A,
    };
    store.session("a").run(fence);
    for n in 0..count {
        assert_eq!(append(&store, n), Completion::Durable { sequence: n });
    }
    let begun = Instant::now();
    while count > 100 && !disk.names().iter().any(|name| name.ends_with(".index")) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "a checkpoint is taken"
        );
        std::thread::yield_now();
    }
    // Not closed: that would say how far it goes.
    (tables, disk.reopened(Fault::NONE))
}

fn records(store: &Store) -> u64 {
    let read = Op::Read {
        log: LOG,
        from: 0,
        bytes_max: u32::MAX,
    };
    let Completion::Records(run) = store.session("a").run(read) else {
        panic!("{:?}", store.failure());
    };
    for (expected, (sequence, bytes)) in (0..).zip(Records(&run).iter()) {
        assert_eq!((sequence, bytes), (expected, &[expected as u8 + 1; 20][..]));
    }
    Records(&run).iter().count() as u64
}

/// Bytes of a record's frame, of which the last four mean nothing; and where the first one lies: behind the head of the
/// segment, the log's name and its fence.
const RECORD: usize = 80;
const PADDING: usize = 4;
const BEGIN: usize = 64 + 64 + 56;

fn refusal(outcome: Result<Store, StoreError>) -> String {
    match outcome {
        Err(StoreError::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Opens a disk over a copy of the tables, since another test of the same log follows.
fn open_again(tables: &Tables, disk: &Disk) -> Result<Store, StoreError> {
    let copy = Tables::new(
        tables.after_crash(),
        u64::MAX,
        std::io::ErrorKind::Other,
        false,
    );
    open(&copy, disk)
}

#[test]
fn a_log_that_is_cut_at_any_byte_holds_what_is_before_the_cut() {
    let (tables, disk) = written(4);
    for cut in 64..BEGIN + 4 * RECORD {
        for zeros in [false, true] {
            let disk = disk.reopened(Fault::NONE);
            disk.alter(FIRST, |bytes| {
                let len = bytes.len();
                bytes.truncate(cut);
                if zeros {
                    bytes.resize(len, 0);
                }
            });
            let store = open_again(&tables, &disk).unwrap();
            let left = records(&store);
            let whole = (cut + PADDING).saturating_sub(BEGIN) / RECORD;
            assert_eq!(left, whole as u64, "cut at {cut}");
            if cut >= BEGIN {
                assert_eq!(append(&store, left), Completion::Durable { sequence: left });
                drop(store);
                let store = open_again(&tables, &disk).unwrap();
                assert_eq!(records(&store), left + 1, "cut at {cut}");
            }
        }
    }
}

#[test]
fn a_byte_that_changed_is_told_from_a_write_that_was_torn() {
    let (tables, disk) = written(4);
    let end = BEGIN + 4 * RECORD;
    for at in 0..end + 100 {
        let disk = disk.reopened(Fault::NONE);
        disk.alter(FIRST, |bytes| bytes[at] ^= 0x10);
        let outcome = open_again(&tables, &disk);
        let is_padding = |frame: usize| at >= frame && (at - frame) % RECORD >= RECORD - PADDING;
        let is_name_padding = (64 + 56 + 3..64 + 64).contains(&at);
        if at >= end || is_name_padding || (at >= BEGIN && is_padding(BEGIN)) {
            assert_eq!(records(&outcome.unwrap()), 4, "byte {at}");
        } else if at >= end - RECORD {
            // Of the last write nobody can tell.
            assert_eq!(records(&outcome.unwrap()), 3, "byte {at}");
        } else {
            assert!(refusal(outcome).contains(FIRST), "byte {at}");
        }
    }
}

#[test]
fn of_a_log_that_was_closed_even_the_last_record_may_not_be_missing() {
    let (tables, disk) = written(3);
    drop(open_again(&tables, &disk).unwrap());
    let store = open_again(&tables, &disk).unwrap();
    append(&store, 3);
    drop(store);
    for at in BEGIN..BEGIN + 4 * RECORD - PADDING {
        if (at - BEGIN) % RECORD < RECORD - PADDING {
            let disk = disk.reopened(Fault::NONE);
            disk.alter(FIRST, |bytes| bytes[at] ^= 0x10);
            assert!(
                refusal(open_again(&tables, &disk)).contains("durable"),
                "byte {at}"
            );
        }
    }
}

#[test]
fn what_a_torn_write_left_never_comes_back() {
    let (tables, disk) = written(3);
    let (second, third) = (BEGIN + RECORD, BEGIN + 2 * RECORD);
    // As if the second and the third record had been one write, of which the second was torn: the third is whole, and does
    // not claim that the second was durable.
    let whole = disk.bytes_of(FIRST);
    disk.alter(FIRST, |bytes| {
        let claim = (third - RECORD) as u32;
        bytes[third + 48..third + 52].copy_from_slice(&claim.to_le_bytes());
        let seed = crc32c::crc32c(&bytes[..64]);
        let crc = crc32c::crc32c_append(seed, &bytes[third + 4..third + 56]);
        bytes[third..third + 4].copy_from_slice(&crc.to_le_bytes());
        bytes[second + 60] ^= 1;
    });
    let store = open_again(&tables, &disk).unwrap();
    assert_eq!(records(&store), 1);
    assert_eq!(append(&store, 1), Completion::Durable { sequence: 1 });
    drop(store);
    assert_ne!(
        disk.bytes_of(FIRST)[third..third + 56],
        whole[third..third + 56]
    );
    assert_eq!(records(&open_again(&tables, &disk).unwrap()), 2);
}

#[test]
fn a_segment_that_is_missing_is_noticed() {
    let (tables, disk) = written(150);
    let mut names = disk.names();
    names.retain(|name| name.ends_with(".log"));
    assert!(names.len() >= 4, "{names:?}");
    for name in &names[..names.len() - 2] {
        let disk = disk.reopened(Fault::NONE);
        trefoil_store::Files::remove(&disk, name).unwrap();
        assert!(
            refusal(open_again(&tables, &disk)).contains("missing"),
            "{name}"
        );
    }
    let all = disk.reopened(Fault::NONE);
    for name in disk.names() {
        trefoil_store::Files::remove(&all, &name).unwrap();
    }
    assert!(refusal(open_again(&tables, &all)).contains("missing"));
}

#[test]
fn an_index_that_is_damaged_is_done_without_as_long_as_all_is_there() {
    let (tables, disk) = written(150);
    let index = disk
        .names()
        .into_iter()
        .find(|name| name.ends_with(".index"));
    let index = index.unwrap();
    disk.alter(&index, |bytes| bytes[40] ^= 1);
    let all = disk.reopened(Fault::NONE);
    assert_eq!(records(&open_again(&tables, &all).unwrap()), 150);
    trefoil_store::Files::remove(&disk, FIRST).unwrap();
    assert!(refusal(open_again(&tables, &disk)).contains("index"));
}

#[test]
fn a_log_of_another_store_is_refused() {
    let (tables, _) = written(1);
    let (_, other) = written(1);
    assert!(refusal(open_again(&tables, &other)).contains("another log"));
}
