//! Who waits for whom, and who does not.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId, Records, Storage};
use trefoil_store::{Files, LogFile, Session, Store, StoreOptions};

use crate::crash::Tables;
use crate::disk::{Disk, Fault};

const A: OwnerId = OwnerId(1);
const SOON: Duration = Duration::from_secs(60);

/// A disk whose syncs of files take as long as the test wants.
#[derive(Clone, Debug)]
struct Slow {
    disk: Disk,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    fn new() -> Self {
        Self {
            disk: Disk::new(Fault::NONE),
            gate: Arc::new((Mutex::new(true), Condvar::new())),
        }
    }

    fn set_gate(&self, open: bool) {
        *self.gate.0.lock().unwrap() = open;
        self.gate.1.notify_all();
    }

    /// No sync ends until what this gives is dropped: before the store is, or it would wait for ever.
    fn close_gate(&self) -> Closed<'_> {
        self.set_gate(false);
        Closed(self)
    }

    fn wrap(&self, file: io::Result<Arc<dyn LogFile>>) -> io::Result<Arc<dyn LogFile>> {
        let gate = Arc::clone(&self.gate);
        Ok(Arc::new(SlowFile { file: file?, gate }))
    }
}

struct Closed<'s>(&'s Slow);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.set_gate(true);
    }
}

impl Files for Slow {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.wrap(self.disk.create(name))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.wrap(self.disk.open(name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn LogFile>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl LogFile for SlowFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        let open = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_while(open, |open| !*open).unwrap());
        self.file.sync()
    }
}

fn append(log: &[u8], expected: u64) -> Op<'_> {
    Op::Append {
        log,
        term: 1,
        owner: A,
        expected,
        payload: b"record",
    }
}

fn fence(log: &[u8]) -> Op<'_> {
    Op::Fence {
        log,
        term: 1,
        owner: A,
    }
}

fn read(log: &[u8]) -> Op<'_> {
    Op::Read {
        log,
        from: 0,
        bytes_max: 1_000,
    }
}

fn poll(session: &mut Session) -> Option<(Tag, Completion<Vec<u8>>)> {
    match session.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// The outcomes of those who do not wait, whichever comes first.
fn outcomes(session: &mut Session, count: usize) -> Vec<(Tag, Completion<Vec<u8>>)> {
    let begun = Instant::now();
    let mut outcomes = Vec::new();
    while outcomes.len() < count {
        assert!(begun.elapsed() < SOON, "only {outcomes:?}");
        match poll(session) {
            Some(done) => outcomes.push(done),
            None => std::thread::yield_now(),
        }
    }
    outcomes.sort_by_key(|(tag, _)| *tag);
    outcomes
}

fn count(completion: &Completion<Vec<u8>>) -> usize {
    match completion {
        Completion::Records(run) => Records(run).iter().count(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_of_other_logs_and_votes_do_not_wait_for_a_sync() {
    let slow = Slow::new();
    let tables = Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false);
    let layer = Arc::new(slow.clone());
    let store = Store::with_layers(tables, layer, StoreOptions::default()).unwrap();
    let mut session = store.session("a");
    for log in [b"x", b"y"] {
        session.run(fence(log));
        session.run(append(log, 0));
    }
    let closed = slow.close_gate();
    session.submit(append(b"x", 1), Tag(0)).unwrap();
    session.submit(read(b"x"), Tag(1)).unwrap();
    session.submit(Op::Tail { log: b"x" }, Tag(2)).unwrap();
    let keep = Op::Keep {
        key: b"vote",
        value: b"v",
    };
    session.submit(keep, Tag(3)).unwrap();
    session.submit(read(b"y"), Tag(4)).unwrap();
    session.submit(Op::Tail { log: b"y" }, Tag(5)).unwrap();
    let heard = outcomes(&mut session, 3);
    assert_eq!(heard[0], (Tag(3), Completion::Durable { sequence: 1 }));
    assert_eq!((heard[1].0, count(&heard[1].1)), (Tag(4), 1));
    assert!(matches!(
        heard[2],
        (Tag(5), Completion::Tail { next: 1, .. })
    ));
    // Nobody else sees what is not durable, and who wrote it waits.
    let mut other = store.session("b");
    other.submit(read(b"x"), Tag(0)).unwrap();
    assert_eq!((poll(&mut session), poll(&mut other)), (None, None));
    drop(closed);
    let heard = outcomes(&mut session, 3);
    assert_eq!(heard[0], (Tag(0), Completion::Durable { sequence: 1 }));
    assert_eq!((heard[1].0, count(&heard[1].1)), (Tag(1), 2));
    assert!(matches!(
        heard[2],
        (Tag(2), Completion::Tail { next: 2, .. })
    ));
    assert_eq!(count(&outcomes(&mut other, 1)[0].1), 2);
}

#[test]
fn what_comes_between_others_sees_those_before_it_and_not_those_after_it() {
    let slow = Slow::new();
    let tables = Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false);
    let layer = Arc::new(slow.clone());
    let store = Store::with_layers(tables, layer, StoreOptions::default()).unwrap();
    let mut session = store.session("a");
    session.run(fence(b"x"));
    let closed = slow.close_gate();
    // The first append is being synced; all else shares the next sync.
    let trim = Op::Trim {
        log: b"x",
        term: 1,
        owner: A,
        before: 2,
    };
    let ops = [
        append(b"x", 0),
        append(b"x", 1),
        read(b"x"),
        append(b"x", 2),
        trim,
        read(b"x"),
    ];
    for (tag, op) in (0..).zip(ops) {
        session.submit(op, Tag(tag)).unwrap();
    }
    drop(closed);
    let heard = outcomes(&mut session, 6);
    assert_eq!(
        count(&heard[2].1),
        2,
        "before the third record and the trim"
    );
    assert_eq!(count(&heard[5].1), 1, "after both");
}

#[test]
fn who_looks_does_not_see_what_is_asked_for_afterwards() {
    let store = Store::in_memory(StoreOptions::default()).unwrap();
    let mut session = store.session("a");
    session.run(fence(b"x"));
    for n in 0..200 {
        session.submit(read(b"x"), Tag(0)).unwrap();
        session.submit(Op::Tail { log: b"x" }, Tag(1)).unwrap();
        session.submit(append(b"x", n), Tag(2)).unwrap();
        let heard = outcomes(&mut session, 3);
        assert_eq!(count(&heard[0].1), n.min(56) as usize);
        assert!(matches!(heard[1].1, Completion::Tail { next, .. } if next == n));
    }
}
