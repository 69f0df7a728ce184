//! What a node costs that has nothing to do, among many: one node in a process of its own, the others a
//! few to a process, which could not hold the connections of them all.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread that measures runs no node"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trefoil_benches::{is_test, resident_mib};
use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::storage::{Completion, Op, Storage};
use trefoil_proto::google::Any;
use trefoil_runtime_tokio::{Node, NodeOptions, Platform, Tokio, task};
use trefoil_store::{Session, Store, StoreOptions};

use crate::measure::{say, verdict};

const CPU_MAX_PERCENT: f64 = 1.0;
const RESIDENT_MAX_MIB: f64 = 30.0;

/// Says to this program that it is to be nodes and nothing else: how many in all, and their hosts.
const CHILD: &str = "--idle-nodes";

/// Nodes of one process. Each has connections to most of the others.
const GROUP: usize = 9;

/// How long the nodes may take to know each other.
const TOGETHER_MAX: Duration = Duration::from_secs(300);

struct Nobody;

impl ActorKind for Nobody {
    type Actor = Self;

    fn load(&self, _: u64, _: Option<&[u8]>) -> Result<Self, Failed> {
        Ok(Self)
    }
}

impl Clone for Nobody {
    fn clone(&self) -> Self {
        Self
    }
}

impl Actor for Nobody {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        Ok(())
    }

    fn snapshot(&self, _: &mut Vec<u8>) {}

    fn type_url(&self) -> &str {
        "type.googleapis.com/bench.Nobody"
    }
}

/// The store of a node, in memory. It does not say which it is: the nodes of the other process have
/// another.
struct Unnamed(Session);

impl Storage for Unnamed {
    type Buf = Vec<u8>;

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        self.0.submit(op, tag)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        self.0.poll(cx)
    }
}

/// Is nodes until the parent goes away, if that is what this process is for.
pub(crate) fn is_child() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != CHILD);
    if arguments.next().is_none() {
        return false;
    }
    let all = arguments.next().and_then(|all| all.parse().ok());
    let all: usize = all.expect("how many nodes there are");
    let before = arguments.next().and_then(|before| before.parse().ok());
    let before: usize = before.expect("how many nodes there are already");
    let seed = arguments.next().expect("a host to join");
    let hosts: Vec<String> = arguments.collect();
    Tokio::run(be_nodes(all, before, &seed, &hosts)).expect("a runtime");
    true
}

async fn be_nodes(all: usize, before: usize, seed: &str, hosts: &[String]) {
    let store = Store::in_memory(StoreOptions::default()).expect("a store in memory");
    let mut nodes = Vec::new();
    for host in hosts {
        let mut options = NodeOptions::new(host.clone(), "idle");
        options.join = vec![seed.to_owned(), host.clone()];
        let session = Unnamed(store.session(host));
        let node = Node::spawn(options, Nobody, session).await;
        nodes.push(node.expect("a node that starts"));
    }
    for members in [before + hosts.len(), all] {
        let begun = Instant::now();
        for node in &nodes {
            while node.handle().members().members.len() < members {
                assert!(begun.elapsed() < TOGETHER_MAX, "they never met");
                task::sleep::<Tokio>(Duration::from_millis(100)).await;
            }
        }
        say("together");
    }
    let parent = || std::io::stdin().read_line(&mut String::new());
    // Whatever comes, or nothing any more, says that it is over.
    let _ = Tokio::unblock(parent).await;
    // As a crash would end it: to leave in good order is not what is measured.
    std::process::exit(0);
}

/// Nodes in a process of their own.
struct Nodes {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    count: usize,
}

impl Nodes {
    fn start(all: usize, before: usize, seed: &str, hosts: &[String]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args([CHILD, &all.to_string(), &before.to_string(), seed])
            .args(hosts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        let count = hosts.len();
        Self { child, said, count }
    }

    fn wait_together(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("its output");
        assert_eq!(line.trim_end(), "together");
    }

    fn file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.child.id());
        std::fs::read_to_string(path).expect("a system with /proc")
    }

    /// Seconds it has had of the processor, in the system's ticks of 10 ms.
    fn cpu(&self) -> f64 {
        let stat = self.file("stat");
        // Behind the name, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').expect("its name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }

    fn resident_mib(&self) -> f64 {
        resident_mib(self.child.id())
    }

    fn sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        let open = open.expect("a system with /proc").flatten();
        let names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        names
            .filter(|name| name.to_string_lossy().starts_with("socket:"))
            .count()
    }

    fn stop(mut self) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.write_all(b"over\n");
        }
        let _ = self.child.wait();
    }
}

pub(crate) fn all() {
    let (count, seconds) = if is_test() { (5, 1) } else { (100, 60) };
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let hosts: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().expect("an address").to_string())
        .collect();
    drop(listeners);
    let begun = Instant::now();
    let (alone, others) = hosts.split_at(1);
    let seed = &others[0];
    // One process after the other, as machines of a cluster would be, unless what two cores make of a
    // hundred nodes that start in one moment is to be measured.
    let at_once = std::env::args().any(|argument| argument == "--at-once");
    let mut before = 0;
    let mut start = |hosts: &[String]| {
        let mut nodes = Nodes::start(count, before, seed, hosts);
        if !at_once {
            nodes.wait_together();
            before += hosts.len();
        }
        nodes
    };
    let mut others: Vec<Nodes> = others.chunks(GROUP).map(&mut start).collect();
    let mut alone = [start(alone)];
    for nodes in others.iter_mut().chain(&mut alone) {
        if at_once {
            nodes.wait_together();
        }
        nodes.wait_together();
    }
    let took = begun.elapsed();
    say(&format!("idle: together after {:.1} s", took.as_secs_f64()));
    // First with all the connections they met by; then with those they still use.
    let waits = if is_test() { [0, 0] } else { [10, 300] };
    for (when, wait) in ["just met", "at rest"].into_iter().zip(waits) {
        std::thread::sleep(Duration::from_secs(wait));
        let before = [cpu(&alone), cpu(&others)];
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(seconds));
        let passed = begun.elapsed().as_secs_f64();
        for (what, nodes, before) in [
            ("one in a process of its own", &alone[..], before[0]),
            ("each of the others, nine to a process", &others, before[1]),
        ] {
            let of_each = nodes.iter().map(|nodes| nodes.count).sum::<usize>() as f64;
            let share = (cpu(nodes) - before) / passed * 100.0 / of_each;
            let resident = nodes.iter().map(Nodes::resident_mib).sum::<f64>() / of_each;
            say(&format!(
                "idle, {count} nodes, {when}, {what}: {share:.2} % of one core, at most \
                 {CPU_MAX_PERCENT}: {}; {resident:.1} MiB resident, at most {RESIDENT_MAX_MIB}: {}; \
                 {} sockets",
                verdict(share <= CPU_MAX_PERCENT),
                verdict(resident <= RESIDENT_MAX_MIB),
                nodes.iter().map(Nodes::sockets).sum::<usize>() / of_each as usize,
            ));
        }
    }
    others.into_iter().chain(alone).for_each(Nodes::stop);
}

fn cpu(nodes: &[Nodes]) -> f64 {
    nodes.iter().map(Nodes::cpu).sum()
}
