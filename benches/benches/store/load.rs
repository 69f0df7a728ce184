//! A client that keeps so many appends in flight.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId, Storage};
use trefoil_store::{Session, Store};

/// A new folder on the disk that the build is on; gone when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("store-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next completion, however long it takes.
fn next(session: &mut Session, cx: &mut Context<'_>) -> (Tag, Completion<Vec<u8>>) {
    loop {
        match session.poll(cx) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Does one thing.
pub(crate) fn wait_for(session: &mut Session, op: Op<'_>) {
    assert!(
        !matches!(session.run(op), Completion::Unknown),
        "it is granted"
    );
}

const OWNER: OwnerId = OwnerId(1);

fn name(log: usize) -> Vec<u8> {
    format!("log {log}").into_bytes()
}

/// Raises the fence of so many logs.
fn create_logs(session: &mut Session, logs: usize) {
    for log in 0..logs {
        session
            .submit(
                Op::Fence {
                    log: &name(log),
                    term: 1,
                    owner: OWNER,
                },
                Tag(0),
            )
            .expect("room");
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..logs {
        let _ = next(session, &mut cx);
    }
}

/// Appends to logs in turn.
pub(crate) struct Load {
    session: Session,
    names: Vec<Vec<u8>>,
    expected: Vec<u64>,
    at: usize,
    payload: Vec<u8>,
}

impl Load {
    pub(crate) fn new(store: &Store, logs: usize, bytes: usize) -> Self {
        let mut session = store.session("load");
        create_logs(&mut session, logs);
        Self {
            session,
            names: (0..logs).map(name).collect(),
            expected: vec![0; logs],
            at: 0,
            payload: vec![7; bytes],
        }
    }

    fn submit(&mut self) {
        let log = self.at % self.names.len();
        self.at += 1;
        let op = Op::Append {
            log: &self.names[log],
            term: 1,
            owner: OWNER,
            expected: self.expected[log],
            payload: &self.payload,
        };
        self.expected[log] += 1;
        self.session.submit(op, Tag(1)).expect("room");
    }

    /// Appends until `stops` says so of the number that was answered; returns it.
    fn until(&mut self, in_flight: usize, mut stops: impl FnMut(u64) -> bool) -> u64 {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let (mut under_way, mut answered) = (0, 0);
        let mut stopped = false;
        while !stopped || under_way > 0 {
            while !stopped && under_way < in_flight {
                self.submit();
                under_way += 1;
            }
            let (_, done) = next(&mut self.session, &mut cx);
            assert!(matches!(done, Completion::Durable { .. }), "{done:?}");
            under_way -= 1;
            answered += 1;
            stopped = stopped || stops(answered);
        }
        answered
    }

    /// Appends for a time; returns how many a second.
    pub(crate) fn run(&mut self, in_flight: usize, time: Duration) -> f64 {
        let begun = Instant::now();
        let answered = self.until(in_flight, |_| begun.elapsed() > time);
        answered as f64 / begun.elapsed().as_secs_f64()
    }

    /// Appends so many.
    pub(crate) fn write(&mut self, in_flight: usize, count: u64) {
        self.until(in_flight, |answered| answered >= count);
    }
}
