//! Our node in a process of its own, and our client: one of it, however many producers there are.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio, exit};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trefoil_benches::{allocations, count, free_host, resident_mib};
use trefoil_runtime_tokio::channels::{Producer, ProducerOptions};
use trefoil_runtime_tokio::{
    ChannelClient, ChannelOperator, Client, ClientOptions, Platform, Tokio, task,
};
use trefoil_store::{Durability, Store, StoreOptions};

use super::load::{Contender, Load, PATTERN, Window};
use super::server::{Server, directory};
use crate::node::{PATIENCE, start};

/// Says to this program that it is to be a node and nothing else: of which host, where it keeps what, and how.
const CHILD: &str = "--produce-node";

pub(crate) const CHANNEL: &str = "bench";

/// What our store promises of a record that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is in the file, by fdatasync.
    Synced,
    /// Nothing.
    InMemory,
}

impl Kept {
    fn open(self, directory: PathBuf) -> Store {
        let store = match self {
            Self::Synced => Store::open(directory, StoreOptions::default()),
            Self::InMemory => Store::in_memory(StoreOptions {
                durability: Durability::None,
                ..StoreOptions::default()
            }),
        };
        store.expect("a store")
    }
}

/// Is a node until the parent goes away, if that is what this process is for.
pub(crate) fn is_child() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != CHILD);
    if arguments.next().is_none() {
        return false;
    }
    count(false);
    let mut next = || arguments.next().expect("an argument");
    let (host, directory) = (next(), next().into());
    let kept = if next() == "synced" {
        Kept::Synced
    } else {
        Kept::InMemory
    };
    Tokio::run(be(host, kept.open(directory))).expect("a runtime");
    true
}

async fn be(host: String, store: Store) {
    let node = start(0, &[host], &store).await;
    say("started");
    let obey = || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            count(line == "count");
            say(&allocations().to_string());
        }
    };
    Tokio::unblock(obey).await;
    drop(node);
    exit(0);
}

fn say(line: &str) {
    // A parent that is gone has no interest in it.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

pub(crate) struct Trefoil {
    name: &'static str,
    host: String,
    node: Server,
    said: BufReader<ChildStdout>,
    loads: UnboundedSender<Load>,
    done: mpsc::Receiver<Vec<u32>>,
}

impl Trefoil {
    pub(crate) fn start(kept: Kept) -> Self {
        let (name, how) = match kept {
            Kept::Synced => ("trefoil, fdatasync", "synced"),
            Kept::InMemory => ("trefoil, memory", "memory"),
        };
        let (host, directory) = (free_host(), directory("node"));
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg(CHILD).arg(&host).arg(&directory).arg(how);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = Server::start(&mut command, directory);
        let said = node.child.stdout.take().expect("its output");
        let (loads, to_do) = unbounded_channel();
        let (tell, done) = mpsc::channel();
        let mut started = Self {
            name,
            host: host.clone(),
            node,
            said: BufReader::new(said),
            loads,
            done,
        };
        assert_eq!(started.hear(), "started");
        std::thread::spawn(move || Tokio::run(append(host, to_do, tell)).expect("a runtime"));
        started
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Mebibytes of memory that the node has.
    pub(crate) fn resident_mib(&self) -> f64 {
        resident_mib(self.node.child.id())
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a node that speaks");
        line.trim_end().to_owned()
    }
}

impl Contender for Trefoil {
    fn name(&self) -> &str {
        self.name
    }

    fn run(&mut self, load: Load) -> Vec<u32> {
        self.loads.send(load).expect("a client");
        self.done.recv().expect("a client that does its work")
    }

    fn server_cpu(&self) -> f64 {
        self.node.cpu()
    }

    fn server_allocations(&mut self, count: bool) -> Option<u64> {
        let stdin = self.node.child.stdin.as_mut().expect("its input");
        let verb = if count { "count" } else { "stop" };
        writeln!(stdin, "{verb}").expect("a node that listens");
        self.hear().parse().ok()
    }
}

/// Does loads as they come, on this thread, until there are no more.
async fn append(host: String, mut loads: UnboundedReceiver<Load>, done: mpsc::Sender<Vec<u32>>) {
    let operator = Client::start(ClientOptions::to([&*host])).expect("a client");
    let operator = ChannelOperator::new(operator, PATIENCE);
    operator.create(&[CHANNEL]).await.expect("a channel");
    let client = ChannelClient::start(ClientOptions::to([&*host])).expect("a client");
    let mut producers: Vec<Arc<Producer>> = Vec::new();
    while let Some(load) = loads.recv().await {
        while producers.len() < load.producers {
            let producer = client.producer(CHANNEL, ProducerOptions::default()).await;
            producers.push(Arc::new(producer.expect("a producer")));
        }
        let each = producers.iter().take(load.producers).cloned();
        let tasks: Vec<_> = each
            .map(|producer| task::spawn::<Tokio, _>(produce(producer, load.of_one())))
            .collect();
        let mut trips = Vec::with_capacity(load.records_max);
        for task in tasks {
            trips.extend(task.await.expect("a producer that succeeds"));
        }
        if done.send(trips).is_err() {
            return;
        }
    }
}

async fn produce(producer: Arc<Producer>, load: Load) -> Vec<u32> {
    let payload = Bytes::from_static(&PATTERN[..load.bytes]);
    let mut window = Window::new(load);
    let mut sendings = VecDeque::with_capacity(load.in_flight);
    loop {
        while window.sends() {
            let sending = producer.enqueue(payload.clone(), &[]).await;
            sendings.push_back(sending.expect("a client"));
        }
        let Some(sending) = sendings.pop_front() else {
            return window.trips();
        };
        sending.await.expect("a record that is appended");
        window.heard();
    }
}
