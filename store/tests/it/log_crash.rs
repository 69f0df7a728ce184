//! The write-ahead log, over a disk that fails at any of its operations, loses power at any of them, or takes a
//! sync that failed for one that was done. What was acknowledged, and what was shown, must be there afterwards.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId, Records, Storage};
use trefoil_store::{Session, Store, StoreError, StoreOptions};

use crate::crash::Tables;
use crate::disk::{Dice, Disk, Fault};
use crate::wait::next;

const OWNER: OwnerId = OwnerId(1);
const LOGS: usize = 3;

/// What one log is known to be, at least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) term: u64,
    pub(crate) first: u64,
    pub(crate) next: u64,
}

/// What a client knows of its logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// What was acknowledged, and what was asked for.
    pub(crate) told: [Bounds; LOGS],
    pub(crate) asked: [Bounds; LOGS],
}

/// A record is known by its log and number.
pub(crate) fn payload(log: usize, sequence: u64) -> Vec<u8> {
    let mut dice = Dice(1_000 * sequence + log as u64);
    // Some fill more than a segment.
    let len = match dice.below(50) {
        0 => 5_000,
        1..=10 => dice.below(900),
        _ => dice.below(80),
    };
    (0..len).map(|_| dice.next() as u8).collect()
}

fn options() -> StoreOptions {
    StoreOptions {
        // As small as they get: a few hundred operations fill many of them.
        segment_bytes_max: 4 << 10,
        ..StoreOptions::default()
    }
}

pub(crate) fn open(tables: &Tables, disk: &Disk) -> Result<Store, StoreError> {
    Store::with_layers(tables.clone(), Arc::new(disk.clone()), options())
}

pub(crate) fn tables() -> Tables {
    Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false)
}

/// The tables as the next process, or the next start of the machine, finds them.
fn reopened(tables: &Tables) -> Tables {
    Tables::new(tables.after_crash(), u64::MAX, io::ErrorKind::Other, false)
}

/// Asks for something that is granted if all before it was; returns the log.
fn ask(session: &mut Session, ledger: &mut Ledger, dice: &mut Dice, tag: Tag) -> (usize, Bounds) {
    let log = dice.below(LOGS);
    let name = [log as u8];
    let bounds = &mut ledger.asked[log];
    let kind = if bounds.term == 0 { 0 } else { dice.below(30) };
    match kind {
        0 => bounds.term += 1,
        1 | 2 => bounds.first += (bounds.next - bounds.first) * dice.below(100) as u64 / 100,
        _ => bounds.next += 1,
    }
    let (term, owner) = (bounds.term, OWNER);
    let log_name = &name[..];
    let record = payload(log, bounds.next.saturating_sub(1));
    let op = match kind {
        0 => Op::Fence {
            log: log_name,
            term,
            owner,
        },
        1 | 2 => Op::Trim {
            log: log_name,
            term,
            owner,
            before: bounds.first,
        },
        _ => Op::Append {
            log: log_name,
            term,
            owner,
            expected: bounds.next - 1,
            payload: &record,
        },
    };
    session.submit(op, tag).unwrap();
    (log, *bounds)
}

/// Does `count` things, several at a time, until the disk fails.
fn work(store: &Store, ledger: &mut Ledger, dice: &mut Dice, count: u64) {
    let mut session = store.session("a");
    let mut under_way = BTreeMap::new();
    let (mut asked, mut failed) = (0, false);
    while !under_way.is_empty() || (asked < count && !failed) {
        while asked < count && !failed && under_way.len() < 1 + dice.below(8) {
            under_way.insert(Tag(asked), ask(&mut session, ledger, dice, Tag(asked)));
            asked += 1;
        }
        let (tag, completion) = next(&mut session);
        let (log, bounds) = under_way.remove(&tag).unwrap();
        match completion {
            Completion::Durable { .. } | Completion::Tail { .. } => {
                let told = &mut ledger.told[log];
                told.term = told.term.max(bounds.term);
                told.first = told.first.max(bounds.first);
                told.next = told.next.max(bounds.next);
            }
            Completion::Unknown => {
                assert!(store.failure().is_some(), "a store that failed says why");
                failed = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every log is what it was acknowledged to be, or more of what was asked for, and all of it can be read. What is
/// shown here must stay. `false` if the store has stopped meanwhile.
fn verify(store: &Store, ledger: &mut Ledger, at: &str) -> bool {
    let mut session = store.session("b");
    for log in 0..LOGS {
        let name = [log as u8];
        let Completion::Tail {
            term, first, next, ..
        } = session.run(Op::Tail { log: &name })
        else {
            assert!(store.failure().is_some(), "{at}: log {log} has no tail");
            return false;
        };
        let (told, asked) = (&mut ledger.told[log], &mut ledger.asked[log]);
        let found = Bounds { term, first, next };
        let fits = |low: u64, found: u64, high: u64| (low..=high).contains(&found);
        assert!(
            fits(told.term, term, asked.term)
                && fits(told.first, first, asked.first)
                && fits(told.next, next, asked.next),
            "{at}: log {log} was acknowledged as {told:?}, asked to be {asked:?} and is {found:?}"
        );
        let read = session.run(Op::Read {
            log: &name,
            from: 0,
            bytes_max: u32::MAX,
        });
        let Completion::Records(run) = read else {
            assert!(store.failure().is_some(), "{at}: log {log} cannot be read");
            return false;
        };
        let mut expected = first;
        for (sequence, bytes) in Records(&run).iter() {
            assert_eq!(sequence, expected, "{at}: log {log}");
            assert_eq!(bytes, payload(log, sequence), "{at}: log {log}, {sequence}");
            expected += 1;
        }
        assert_eq!(expected, next, "{at}: log {log}");
        (*told, *asked) = (found, found);
    }
    true
}

const OPERATIONS: u64 = 160;

/// Works until the operation `at` of the disk fails; then opens what a crash left, again and again.
fn fail_at(at: u64, kind: io::ErrorKind, seed: u64) {
    let mut dice = Dice(seed);
    let (tables, disk) = (tables(), Disk::new(Fault { at, kind }));
    let mut ledger = Ledger::default();
    if let Ok(store) = open(&tables, &disk) {
        work(&store, &mut ledger, &mut dice, OPERATIONS);
    }
    let mut tables = reopened(&tables);
    let mut disk = match dice.below(3) {
        // Only the process crashed: what was not synced can be read, and may still be lost.
        0 => disk.reopened(Fault::NONE),
        _ => disk.after_crash(&mut dice, Fault::NONE),
    };
    // The first time, it may crash while it is opened.
    let crashing = Fault {
        at: 1 + dice.below(12) as u64,
        kind,
    };
    disk = disk.reopened(crashing);
    for round in 0..3 {
        let said = format!("operation {at}, seed {seed}, round {round}");
        match open(&tables, &disk) {
            Ok(store) => {
                let verified = verify(&store, &mut ledger, &said);
                assert!(verified || round == 0, "{said}: {:?}", store.failure());
                work(&store, &mut ledger, &mut dice, 20);
            }
            Err(error) => {
                let unusable = matches!(error, StoreError::Unusable(_));
                assert!(unusable && round == 0, "{said}: {error}");
            }
        }
        tables = reopened(&tables);
        disk = disk.after_crash(&mut dice, Fault::NONE);
    }
    let store = open(&tables, &disk).unwrap();
    let said = format!("operation {at}, seed {seed}, at last");
    assert!(
        verify(&store, &mut ledger, &said),
        "{said}: {:?}",
        store.failure()
    );
}

fn operations() -> u64 {
    let (tables, disk) = (tables(), Disk::new(Fault::NONE));
    let mut ledger = Ledger::default();
    {
        let store = open(&tables, &disk).unwrap();
        work(&store, &mut ledger, &mut Dice(1), OPERATIONS);
        assert!(verify(&store, &mut ledger, "nothing failed"));
    }
    disk.operations()
}

fn fail_everywhere(kind: io::ErrorKind, seeds: std::ops::Range<u64>) {
    let operations = operations();
    assert!(operations > 200, "{operations}");
    for seed in seeds {
        // How many there are depends on what shared a sync.
        for at in 1..=operations + 10 {
            fail_at(at, kind, seed);
        }
    }
}

#[test]
fn nothing_acknowledged_or_shown_is_lost_whatever_operation_fails() {
    fail_everywhere(io::ErrorKind::Other, 0..2);
}

#[test]
fn nor_when_the_disk_is_full() {
    fail_everywhere(io::ErrorKind::StorageFull, 7..8);
}
