//! Actors that do what their messages say, and clusters of nodes that run them.

use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_proto::google::Any;
use trefoil_store::{Durability, Store, StoreOptions};

use crate::runtime::{
    Applied, CallError, CallOptions, ClientOptions, Got, Handle, Node, NodeOptions, Remedy, sleep,
    timeout,
};

/// Longest wait for what should happen soon. Only a test that fails waits so long.
pub(crate) const SOON: Duration = Duration::from_secs(15);

const ADD: &str = "type.googleapis.com/test.Add";
const REFUSE: &str = "type.googleapis.com/test.Refuse";
const PANIC: &str = "type.googleapis.com/test.Panic";
const WAIT: &str = "type.googleapis.com/test.Wait";

/// Adds the first byte of `value` to the sum.
pub(crate) const fn add(value: &[u8]) -> Any<'_> {
    Any {
        type_url: ADD,
        value,
    }
}

const fn bare(type_url: &str) -> Any<'_> {
    Any {
        type_url,
        value: &[],
    }
}

/// Is refused.
pub(crate) const REFUSED: Any<'static> = bare(REFUSE);
/// Makes the actor panic, half way through a change.
pub(crate) const PANICS: Any<'static> = bare(PANIC);
/// Keeps the actor's thread until the gate is opened.
pub(crate) const WAITS: Any<'static> = bare(WAIT);

/// An actor that panics while it is loaded.
pub(crate) const STILLBORN: u64 = 666;

/// What a test may know of and do to the actors of its nodes.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    loads: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Actors that have come to it, and whether it is open.
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Sums {
    /// How often an actor was loaded.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Lets waiting actors go on; later ones do not wait.
    pub(crate) fn open_gate(&self) {
        self.gate.state.lock().unwrap().1 = true;
        self.gate.changed.notify_all();
    }

    /// Returns when an actor waits.
    pub(crate) async fn actor_waits(&self) {
        until("an actor waits", || self.gate.state.lock().unwrap().0 > 0).await;
    }
}

/// A sum of bytes.
pub(crate) struct Sum {
    sum: u64,
    gate: Arc<Gate>,
}

impl ActorKind for Sums {
    type Actor = Sum;

    fn load(&self, id: u64, snapshot: Option<&[u8]>) -> Result<Sum, Failed> {
        assert_ne!(id, STILLBORN, "as asked");
        self.loads.fetch_add(1, Ordering::SeqCst);
        let sum = match snapshot {
            None => 0,
            Some(bytes) => u64::from_le_bytes(bytes.try_into().map_err(|_| Failed)?),
        };
        let gate = Arc::clone(&self.gate);
        Ok(Sum { sum, gate })
    }
}

impl Actor for Sum {
    fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        match message.type_url {
            REFUSE => return Err("refused as asked".into()),
            PANIC => {
                self.sum += 1_000_000;
                panic!("as asked");
            }
            WAIT => {
                let mut state = self.gate.state.lock().unwrap();
                state.0 += 1;
                while !state.1 {
                    state = self.gate.changed.wait(state).unwrap();
                }
            }
            _ => self.sum += message.value.first().map_or(0, |byte| u64::from(*byte)),
        }
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sum.to_le_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/test.Sum"
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        // Not while another panic passes through, which would end the process.
        assert!(self.sum < 1_000_000 || thread::panicking(), "as asked");
    }
}

/// The sum an answer shows.
pub(crate) fn sum_of(got: &Got) -> u64 {
    u64::from_le_bytes(got.state().try_into().unwrap())
}

/// The sum after an Apply.
pub(crate) fn sum_after(applied: &Applied) -> u64 {
    let state = applied.view().state.unwrap();
    u64::from_le_bytes(state.value.try_into().unwrap())
}

/// A host string of the loopback at a port that is free, and stays so for other tests and other runs
/// of them. Not one of those the system gives to outgoing connections, which would take it before the
/// node does.
pub(crate) fn free_host() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Held as long as the process runs: the same port of another address is a sign to others.
    static SIGNS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let first = std::process::id().wrapping_mul(251) % 15_000;
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = ("127.0.0.1", 15_000 + ((first + next) % 15_000) as u16);
        let sign = UdpSocket::bind(("127.0.0.2", address.1));
        let host = format!("{}:{}", address.0, address.1);
        if let (Ok(sign), true) = (sign, is_free(&host)) {
            SIGNS.lock().unwrap().push(sign);
            return host;
        }
    }
}

/// A node of this name in a cluster of this name, carried by what is under test.
pub(crate) fn named(host: impl Into<String>, cluster: &str) -> NodeOptions {
    let mut options = NodeOptions::new(host, cluster);
    crate::subject::node(&mut options);
    options
}

/// A client of these hosts, carried by what is under test.
pub(crate) fn calling(hosts: impl IntoIterator<Item = impl Into<String>>) -> ClientOptions {
    let mut options = ClientOptions::to(hosts);
    crate::subject::client(&mut options);
    options
}

/// What all of these give, in their order.
pub(crate) async fn all<T>(tasks: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut given = Vec::new();
    for task in tasks {
        given.push(task.await);
    }
    given
}

/// Whether a node can listen on a host string, by either transport.
pub(crate) fn is_free(host: &str) -> bool {
    TcpListener::bind(host).is_ok() && UdpSocket::bind(host).is_ok()
}

/// A store in memory. What must be durable is the store's own to prove.
pub(crate) fn store() -> Store {
    let options = StoreOptions {
        durability: Durability::None,
        ..StoreOptions::default()
    };
    Store::in_memory(options).unwrap()
}

/// What `future` gives, which must be soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let Some(value) = timeout(SOON, future).await else {
        panic!("nothing came of it within {SOON:?}");
    };
    value
}

/// Returns when `holds` does, which must be soon.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(SOON, looking).await.is_none() {
        panic!("not within {SOON:?}: {what}");
    }
}

/// The value of a counter or gauge.
pub(crate) async fn stat(node: &Handle, name: &str) -> u64 {
    soon(node.stats()).await.unwrap().value(name).unwrap()
}

/// Whether trying again may help; a failed call waits a little before it is told.
async fn may_retry(error: &CallError) -> bool {
    sleep(Duration::from_millis(20)).await;
    error.remedy != Remedy::Final
}

/// Reads the state, trying again as often as that may help.
pub(crate) async fn get_surely(node: &Handle, id: u64) -> Got {
    loop {
        match node.get(id).await {
            Ok(got) => return got,
            Err(error) => assert!(may_retry(&error).await, "{id}: {error}"),
        }
    }
}

/// Applies messages, trying again under one request id as often as that may help.
pub(crate) async fn apply_surely(node: &Handle, id: u64, messages: &[Any<'_>]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let options = CallOptions {
        request_id: Some(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        ..CallOptions::default()
    };
    loop {
        match node.apply_with(id, messages, options).await {
            Ok(_) => return,
            Err(error) => assert!(may_retry(&error).await, "{id}: {error}"),
        }
    }
}

/// Nodes that share a store.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) kind: Sums,
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    /// A cluster of `count` nodes that know each other.
    pub(crate) async fn of(count: usize) -> Self {
        let mut cluster = Self {
            store: store(),
            kind: Sums::default(),
            nodes: Vec::new(),
        };
        for _ in 0..count {
            cluster.join().await;
        }
        cluster.together().await;
        cluster
    }

    /// Options of one more node.
    pub(crate) fn options(&self) -> NodeOptions {
        let mut options = named(free_host(), "tests");
        options.join = self
            .nodes
            .first()
            .map(|node| node.handle().host().to_owned())
            .into_iter()
            .collect();
        options
    }

    /// Starts one more node, which goes on joining when this returns.
    pub(crate) async fn join(&mut self) {
        self.add(self.options()).await;
    }

    pub(crate) async fn add(&mut self, options: NodeOptions) {
        let session = self.store.session(&options.host);
        let node = Node::spawn(options, self.kind.clone(), session);
        self.nodes.push(soon(node).await.unwrap());
    }

    /// Returns when every node counts all of these as alive.
    pub(crate) async fn together(&self) {
        for node in &self.nodes {
            let mut watch = node.handle().watch();
            let whole =
                watch.wait_for(|view| view.majority && view.alive().count() == self.nodes.len());
            soon(whole).await.unwrap();
        }
    }

    pub(crate) fn handle(&self, at: usize) -> &Handle {
        self.nodes[at].handle()
    }

    /// Hosts of all nodes.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.handle().host().to_owned())
            .collect()
    }

    /// Ids placed on a node, so many.
    pub(crate) fn ids_of(&self, at: usize, count: usize) -> Vec<u64> {
        let handle = self.handle(at);
        (1..)
            .filter(|id| handle.owner_of(*id).as_deref() == Some(handle.host()))
            .take(count)
            .collect()
    }

    /// Ends all nodes without ceremony: a test has no use for their good-byes.
    pub(crate) async fn end(self) {
        self.kind.open_gate();
        for node in self.nodes {
            soon(node.kill()).await;
        }
    }
}
