//! One voter, in a process of its own: it says what it becomes, and answers what it is asked.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use trefoil_core::election::{ElectionConfig, Evidence, Memory};
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::time::Instant;
use trefoil_proto::google::Any;
use trefoil_runtime_tokio::{
    Election, Leadership, Node, NodeOptions, Platform, Tokio, clock, task,
};
use trefoil_store::{Store, StoreOptions};

use crate::say;

/// Says to this program that it is to be a voter and nothing else.
const CHILD: &str = "--voter";

/// How finely a lease that grows is followed.
const GLANCE: Duration = Duration::from_millis(5);

/// What a voter is told when it is started.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its place among the hosts.
    pub(crate) seat: usize,
    pub(crate) hosts: Vec<String>,
    /// Where it listens; somebody else may be called at its host.
    pub(crate) listen: String,
    /// The address it dials from.
    pub(crate) source: String,
    /// Where its store is.
    pub(crate) directory: PathBuf,
    /// Whether a refused dial is proof.
    pub(crate) evidence: bool,
}

impl Part {
    /// As arguments of this program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let evidence = if self.evidence { "refused" } else { "none" };
        let mut arguments = vec![
            CHILD.to_owned(),
            self.seat.to_string(),
            self.listen.clone(),
            self.source.clone(),
            self.directory.display().to_string(),
            evidence.to_owned(),
        ];
        arguments.extend(self.hosts.iter().cloned());
        arguments
    }

    fn read() -> Option<Self> {
        let mut arguments = std::env::args().skip_while(|argument| argument != CHILD);
        arguments.next()?;
        let mut next = || arguments.next().expect("an argument");
        Some(Self {
            seat: next().parse().expect("a number"),
            listen: next(),
            source: next(),
            directory: next().into(),
            evidence: next() == "refused",
            hosts: arguments.collect(),
        })
    }

    fn options(&self) -> NodeOptions {
        let host = self.hosts[self.seat].clone();
        let mut options = NodeOptions::new(host, "failover");
        options.listen = Some(self.listen.clone());
        options.source = Some(self.source.parse().expect("an address"));
        let mut election = ElectionConfig::lan(self.seat, &self.hosts);
        election.memory = Memory::Kept { first: true };
        if self.evidence {
            election.evidence = Evidence::Refused;
        }
        options.election = Some(election);
        options
    }
}

#[derive(Clone)]
struct Nobody;

impl ActorKind for Nobody {
    type Actor = Self;

    fn load(&self, _: u64, _: Option<&[u8]>) -> Result<Self, Failed> {
        Ok(Self)
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

/// Is a voter until the parent goes away, if that is what this process is for.
pub(crate) fn is_child() -> bool {
    let Some(part) = Part::read() else {
        return false;
    };
    Tokio::run(be(part)).expect("a runtime");
    true
}

async fn be(part: Part) {
    let store = Store::open(&part.directory, StoreOptions::default()).expect("a store");
    let mut options = part.options();
    let host = options.host.clone();
    options.incarnation = store.begin_incarnation(&host).expect("a store");
    let node = Node::spawn(options, Nobody, store.session(&host)).await;
    let node = node.expect("a node that starts");
    let election = node.handle().election().expect("an election");
    let (tell, told) = unbounded_channel();
    let hasty = election.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            // Answered on this very thread: the process may have stood still until now.
            if line == "leads?" {
                let at = now();
                say(&format!("leads {at} {}", u8::from(hasty.is_leader())));
            } else if tell.send(line).is_err() {
                break;
            }
        }
        // As a crash would end it: to leave in good order is not what is measured.
        exit(0);
    });
    let others = part.hosts.len() as u64 - 1;
    drop(task::spawn::<Tokio, _>(obey(node, others, told)));
    watch(election).await;
}

fn now() -> u64 {
    clock::now().as_nanos()
}

/// Says what the voter becomes, as soon as a program that watches it would know.
async fn watch(election: Election) {
    let mut watch = election.watch();
    let mut led: Option<(i64, Instant)> = None;
    loop {
        let leadership = watch.borrow_and_update().clone();
        let (at, is_leader) = (now(), u8::from(election.is_leader()));
        let leads = match leadership {
            Leadership::Leading { token, until } => Some((token.to_wire(), until)),
            Leadership::Following { .. } | Leadership::Leaderless => None,
        };
        let token_of = |leads: Option<(i64, Instant)>| leads.map(|(token, _)| token);
        if token_of(leads) != token_of(led) {
            if let Some((token, until)) = led {
                say(&format!("out {at} {token} {}", until.as_nanos()));
            }
            if let Some((token, _)) = leads {
                say(&format!("leading {at} {token} {is_leader}"));
            }
        }
        led = leads;
        let changed = task::timeout::<Tokio, _>(GLANCE, watch.changed()).await;
        if changed.is_some_and(|changed| changed.is_err()) {
            return;
        }
    }
}

async fn obey(node: Node, others: u64, mut told: UnboundedReceiver<String>) {
    let handle = node.handle().clone();
    let election = handle.election().expect("an election");
    while let Some(line) = told.recv().await {
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "mesh" => {
                while handle
                    .stats()
                    .await
                    .expect("stats")
                    .value("voters_connected")
                    != Some(others)
                {
                    task::sleep::<Tokio>(Duration::from_millis(2)).await;
                }
                say(&format!("mesh {}", now()));
            }
            "counters" => {
                let stats = handle.stats().await.expect("stats");
                let value = |name| stats.value(name).expect("a counter");
                say(&format!(
                    "counters {} {} {} {}",
                    value("voter_streams"),
                    value("voter_timeouts"),
                    value("campaigns"),
                    value("leaderships")
                ));
            }
            "handover" => {
                let at = now();
                let done = election.hand_over(rest).await;
                say(&format!("handed {at} {}", u8::from(done.is_ok())));
            }
            other => unreachable!("{other} is no command"),
        }
    }
}
