//! One store, and nodes that are elsewhere.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId, Storage};
use trefoil_store::{
    RemoteSession, RemoteStore, Server, SplitSession, Store, StoreError, StoreOptions,
};

const A: OwnerId = OwnerId(1);
const B: OwnerId = OwnerId(2);
const LOG: &[u8] = b"log";

fn fence(term: u64, owner: OwnerId) -> Op<'static> {
    Op::Fence {
        log: LOG,
        term,
        owner,
    }
}

fn append(term: u64, owner: OwnerId, expected: u64, payload: &[u8]) -> Op<'_> {
    Op::Append {
        log: LOG,
        term,
        owner,
        expected,
        payload,
    }
}

struct House {
    directory: tempfile::TempDir,
    store: Option<(Store, Server)>,
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut house = Self {
            directory,
            store: None,
        };
        house.open();
        house
    }

    fn open(&mut self) {
        let store = Store::open(self.directory.path(), StoreOptions::default()).unwrap();
        let server = Server::bind(&store, self.socket()).unwrap();
        self.store = Some((store, server));
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("store.sock")
    }

    fn remote(&self) -> RemoteStore {
        RemoteStore::connect(self.socket(), &StoreOptions::default()).unwrap()
    }

    fn session(&self, node: &str) -> RemoteSession {
        self.remote().session(node).unwrap()
    }
}

/// Tries until the store is there again.
fn insist(session: &mut RemoteSession, op: Op<'_>) -> Completion<Vec<u8>> {
    let begun = Instant::now();
    loop {
        match session.run(op) {
            Completion::Unknown if begun.elapsed() < Duration::from_secs(20) => {}
            outcome => return outcome,
        }
    }
}

#[test]
fn a_log_is_the_same_for_all_and_its_fence_holds() {
    let house = House::new();
    let (mut a, mut b) = (house.session("a"), house.session("b"));
    assert!(matches!(
        a.run(fence(1, A)),
        Completion::Tail { term: 1, .. }
    ));
    assert_eq!(
        a.run(append(1, A, 0, b"one")),
        Completion::Durable { sequence: 0 }
    );
    assert!(matches!(
        b.run(fence(2, B)),
        Completion::Tail { next: 1, .. }
    ));
    assert_eq!(
        a.run(append(1, A, 1, b"late")),
        Completion::Fenced { term: 2 }
    );
    assert_eq!(
        b.run(append(2, B, 1, b"two")),
        Completion::Durable { sequence: 1 }
    );
    let mut here = house.store.as_ref().unwrap().0.session("here");
    let read = Op::Read {
        log: LOG,
        from: 0,
        bytes_max: 100,
    };
    assert_eq!(a.run(read), here.run(read));
    assert_eq!(house.remote().id(), house.store.as_ref().unwrap().0.id());
}

#[test]
fn many_operations_are_answered_in_order() {
    let house = House::new();
    let mut session = house.session("a");
    session.run(fence(1, A));
    let (mut sent, mut answered) = (0, 0);
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    while answered < 20_000 {
        while sent < 20_000
            && session
                .submit(append(1, A, sent, &sent.to_le_bytes()), Tag(sent))
                .is_ok()
        {
            sent += 1;
        }
        if let std::task::Poll::Ready((tag, done)) = session.poll(&mut cx) {
            assert_eq!(tag, Tag(answered));
            assert_eq!(done, Completion::Durable { sequence: answered });
            answered += 1;
        }
    }
}

#[test]
fn a_store_that_comes_back_is_the_same_store() {
    let mut house = House::new();
    let mut session = house.session("a");
    session.run(fence(1, A));
    assert_eq!(
        session.run(append(1, A, 0, b"one")),
        Completion::Durable { sequence: 0 }
    );
    let id = house.remote().id();
    house.store = None;
    let begun = Instant::now();
    assert_eq!(session.run(append(1, A, 1, b"lost")), Completion::Unknown);
    assert!(begun.elapsed() < Duration::from_secs(10));
    house.open();
    let tail = insist(&mut session, Op::Tail { log: LOG });
    assert!(
        matches!(
            tail,
            Completion::Tail {
                term: 1,
                owner: A,
                next: 1,
                ..
            }
        ),
        "{tail:?}"
    );
    assert_eq!(
        session.run(append(1, A, 1, b"two")),
        Completion::Durable { sequence: 1 }
    );
    assert_eq!((house.remote().id(), session.failure()), (id, None));
}

#[test]
fn a_copy_of_a_store_is_another_store() {
    let mut house = House::new();
    let mut session = house.session("a");
    house.store = None;
    let file = house.directory.path().join("trefoil.redb");
    let copy = house.directory.path().join("copy");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::rename(&copy, &file).unwrap();
    house.open();
    while session.failure().is_none() {
        assert_eq!(session.run(Op::Load { key: b"k" }), Completion::Unknown);
    }
    assert_eq!(session.run(Op::Load { key: b"k" }), Completion::Unknown);
    assert!(session.failure().unwrap().contains("another store"));
    assert_ne!(house.remote().id(), session.id());
}

#[test]
fn a_nodes_own_state_stays_with_the_node() {
    let mut house = House::new();
    let own = Store::in_memory(StoreOptions::default()).unwrap();
    let mut split = SplitSession::new(own.session("a"), house.session("a"));
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    let mut run = |op: Op<'_>| {
        split.submit(op, Tag(1)).unwrap();
        loop {
            if let std::task::Poll::Ready((_, done)) = split.poll(&mut cx) {
                return done;
            }
            std::thread::yield_now();
        }
    };
    assert!(matches!(run(fence(1, A)), Completion::Tail { .. }));
    house.store = None;
    let keep = Op::Keep {
        key: b"vote",
        value: b"x",
    };
    assert_eq!(run(keep), Completion::Durable { sequence: 1 });
    assert_eq!(run(append(1, A, 0, b"")), Completion::Unknown);
}

#[test]
fn a_store_is_served_once_to_its_user_alone() {
    let house = House::new();
    let store = &house.store.as_ref().unwrap().0;
    let mode = std::fs::metadata(house.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Server::bind(store, house.socket()).unwrap_err();
    assert_eq!(again, StoreError::InUse);
    assert!(matches!(
        RemoteStore::connect(
            house.directory.path().join("none"),
            &StoreOptions::default()
        ),
        Err(StoreError::Unusable(_))
    ));
}

#[test]
fn strangers_are_hung_up_on_and_others_go_on() {
    let house = House::new();
    let mut session = house.session("a");
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"TRFS\x02\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
        b"TRFS\x02\0\0\0\0\0\0\0\0\x01\0\0\0n\xff\xff\xff\xff",
    ] {
        let mut stranger = UnixStream::connect(house.socket()).unwrap();
        stranger.write_all(noise).unwrap();
        let mut heard = Vec::new();
        // Reset or end: it is over.
        let _ = stranger.read_to_end(&mut heard);
        assert!(heard.len() <= 13);
    }
    assert!(matches!(session.run(fence(1, A)), Completion::Tail { .. }));
}

/// A node that greets by hand, as the session `session`.
fn greet(house: &House, session: u64) -> UnixStream {
    let mut stream = UnixStream::connect(house.socket()).unwrap();
    let mut greeting = b"TRFS\x02".to_vec();
    greeting.extend_from_slice(&session.to_le_bytes());
    greeting.extend_from_slice(b"\x01\0\0\0n");
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut [0; 13]).unwrap();
    stream
}

#[test]
fn a_session_that_connects_again_ends_its_earlier_connection_first() {
    let house = House::new();
    let (mut first, mut other) = (greet(&house, 7), greet(&house, 8));
    // A request that is cut: whatever is left of it must not count any more.
    first.write_all(&[30, 0, 0, 0, 1]).unwrap();
    let _second = greet(&house, 7);
    let soon = Some(Duration::from_secs(5));
    first.set_read_timeout(soon).unwrap();
    assert_eq!(first.read_to_end(&mut Vec::new()).unwrap(), 0);
    other
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(other.read(&mut [0]).is_err(), "the other one goes on");
}
