//! What is in redb, over a file layer that fails on purpose: crashes that lose what was not synced, errors at any
//! operation. What was acknowledged must be there afterwards.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use trefoil_core::storage::{Completion, Op, OwnerId, Records};
use trefoil_store::{LogEngine, Store, StoreError, StoreOptions};

use crate::disk::{Disk, Fault};

const A: OwnerId = OwnerId(1);

/// What the disk holds, and what has been written but not synced.
#[derive(Clone, Debug, Default)]
struct Image {
    synced: Vec<u8>,
    written: Vec<u8>,
    operations: u64,
}

/// A file in memory that fails from its `fails_at`th operation on, as a full or broken disk does.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    image: Arc<Mutex<Image>>,
    fails_at: u64,
    kind: io::ErrorKind,
    /// The failing write is done in part.
    torn: bool,
}

impl Tables {
    pub(crate) fn new(bytes: Vec<u8>, fails_at: u64, kind: io::ErrorKind, torn: bool) -> Self {
        let image = Image {
            synced: bytes.clone(),
            written: bytes,
            operations: 0,
        };
        Self {
            image: Arc::new(Mutex::new(image)),
            fails_at,
            kind,
            torn,
        }
    }

    fn count(&self, image: &mut Image) -> io::Result<()> {
        image.operations += 1;
        if image.operations >= self.fails_at {
            Err(self.kind.into())
        } else {
            Ok(())
        }
    }

    /// What is left after the machine has crashed.
    pub(crate) fn after_crash(&self) -> Vec<u8> {
        self.image.lock().unwrap().synced.clone()
    }
}

impl StorageBackend for Tables {
    fn len(&self) -> io::Result<u64> {
        Ok(self.image.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = self.image.lock().unwrap();
        let at = offset as usize;
        out.copy_from_slice(
            image
                .written
                .get(at..at + out.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?,
        );
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        self.count(&mut image)?;
        image.written.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        self.count(&mut image)?;
        image.synced = image.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        let at = offset as usize;
        if let Err(error) = self.count(&mut image) {
            if self.torn {
                let half = data.len() / 2;
                image.written[at..at + half].copy_from_slice(&data[..half]);
                // A torn write may reach the disk although nobody synced it.
                image.synced = image.written.clone();
            }
            return Err(error);
        }
        image.written[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// A store that has its logs in the tables.
fn open(disk: &Tables) -> Result<Store, StoreError> {
    let options = StoreOptions {
        log_engine: LogEngine::Redb,
        ..StoreOptions::default()
    };
    Store::with_layers(disk.clone(), Arc::new(Disk::new(Fault::NONE)), options)
}

/// Appends to three logs in turn until the disk fails; returns what was acknowledged in each.
fn work(disk: &Tables) -> [u64; 3] {
    let mut acknowledged = [0; 3];
    let Ok(store) = open(disk) else {
        return acknowledged;
    };
    let mut session = store.session("a");
    for log in 0..3_u8 {
        if !matches!(
            session.run(Op::Fence {
                log: &[log],
                term: 1,
                owner: A
            }),
            Completion::Tail { .. }
        ) {
            return acknowledged;
        }
    }
    for round in 0..12_u64 {
        for log in 0..3_u8 {
            let payload = [log; 100];
            let op = Op::Append {
                log: &[log],
                term: 1,
                owner: A,
                expected: round,
                payload: &payload,
            };
            match session.run(op) {
                Completion::Durable { sequence } => acknowledged[usize::from(log)] = sequence + 1,
                Completion::Unknown => {
                    assert!(store.failure().is_some(), "a store that failed says why");
                    let after = session.run(Op::Tail { log: &[log] });
                    assert_eq!(
                        after,
                        Completion::Unknown,
                        "a store that failed once does nothing more"
                    );
                    return acknowledged;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    acknowledged
}

/// Everything acknowledged must be there, and every log must be whole.
fn verify(bytes: Vec<u8>, acknowledged: [u64; 3], at: u64) {
    let disk = Tables::new(bytes, u64::MAX, io::ErrorKind::Other, false);
    let store = open(&disk).unwrap();
    let mut session = store.session("a");
    for (log, count) in acknowledged.into_iter().enumerate() {
        let log = [log as u8];
        let Completion::Tail { next, .. } = session.run(Op::Tail { log: &log }) else {
            panic!()
        };
        assert!(
            next >= count,
            "crash at {at}: {count} were acknowledged, {next} are there"
        );
        assert!(
            next <= count + 1,
            "crash at {at}: one at most was in flight"
        );
        let Completion::Records(run) = session.run(Op::Read {
            log: &log,
            from: 0,
            bytes_max: u32::MAX,
        }) else {
            panic!()
        };
        assert_eq!(Records(&run).iter().count() as u64, next, "crash at {at}");
        assert!(
            Records(&run)
                .iter()
                .all(|(_, payload)| payload == [log[0]; 100])
        );
    }
}

/// A new store; making one is atomic by other means, since nothing is in it.
fn empty() -> Vec<u8> {
    let disk = Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false);
    drop(open(&disk).unwrap());
    disk.after_crash()
}

fn fail_everywhere(kind: io::ErrorKind, torn: bool) {
    let whole = Tables::new(empty(), u64::MAX, kind, torn);
    assert_eq!(work(&whole), [12; 3]);
    let operations = whole.image.lock().unwrap().operations;
    assert!(operations > 100, "{operations}");
    for at in 1..=operations {
        let disk = Tables::new(empty(), at, kind, torn);
        let acknowledged = work(&disk);
        verify(disk.after_crash(), acknowledged, at);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_operation_fails() {
    fail_everywhere(io::ErrorKind::Other, false);
}

#[test]
fn nor_when_the_disk_is_full() {
    fail_everywhere(io::ErrorKind::StorageFull, false);
}

#[test]
fn nor_when_the_failing_write_is_torn() {
    fail_everywhere(io::ErrorKind::Other, true);
}

#[test]
fn a_crash_while_the_file_is_made_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("trefoil.redb.new"), b"half a file").unwrap();
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.begin_incarnation("a"), Ok(1));
}
