//! Asks every node what it is, over the wire, as redhac's own health check does, and remembers all answers.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use trefoil_core::driver::Driver;
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::header::Header;
use trefoil_core::id::{NodeId, StreamId, Tag};
use trefoil_core::identity::Token;
use trefoil_core::limits::Limits;
use trefoil_core::machine::{Events, Io, Machine};
use trefoil_core::memory::MemoryStore;
use trefoil_core::method::Methods;
use trefoil_core::method::cache::STREAM_VALUES;
use trefoil_core::storage::Done;
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::Instant;
use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, Health, HealthAck, MgmtAck, MgmtAckMethod,
    MgmtRequest, MgmtRequestMethod, StateValue,
};
use trefoil_proto::wire::{Decode, Encode};
use trefoil_runtime::{Tls, clock};
use trefoil_transport_tonic::{Grpc, GrpcOptions};

use crate::driving::{Asked, Detours, Surroundings, drive};
use crate::{TOKEN, dialled};

/// Between two questions to a node.
const PAUSE: Duration = Duration::from_millis(10);
/// Without an answer for so long a node is not heard.
const FRESH: Duration = Duration::from_millis(250);

/// What a node said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the answer came.
    pub at: Instant,
    /// Which node.
    pub node: usize,
    /// Whether it says that it leads.
    pub leads: bool,
    /// How many others it is connected to.
    pub connected: usize,
    /// Its state, for people.
    pub state: String,
    /// The leader it names.
    pub leader: Option<String>,
    /// Since when, or under which token.
    pub ts: i64,
}

/// All answers, in order.
#[derive(Debug, Default)]
pub struct Log {
    all: Vec<Seen>,
    latest: Vec<Option<Seen>>,
}

/// A running probe. It ends with the runtime.
#[derive(Clone, Debug)]
pub struct Probe {
    log: Arc<Mutex<Log>>,
    rests: Arc<AtomicBool>,
    hosts: Vec<String>,
}

impl Probe {
    /// Begins to ask, each node where it really listens, with certificates if there are any.
    ///
    /// # Errors
    /// The transport cannot be had.
    pub fn start(
        hosts: &[String],
        detours: HashMap<SocketAddr, SocketAddr>,
        tls: Option<&Tls>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let engine = EngineConfig {
            anonymous: true,
            token: Some(Token::new(TOKEN)),
            ..EngineConfig::new("probe:1", "interop", clock::entropy()?)
        };
        let peers = hosts.iter().map(|host| Peer {
            name: dialled(host).to_owned(),
            node: None,
            stream: None,
        });
        let rests = Arc::new(AtomicBool::new(false));
        let machine = Asker {
            peers: peers.collect(),
            rests: Arc::clone(&rests),
            next: clock::now(),
        };
        let engine = Engine::new(engine, machine)?;
        let net = Detours::new(detours, tls)?;
        let options = GrpcOptions::default();
        let transport = Grpc::new(net, Methods::election(), &Limits::default(), options)?;
        let log = Arc::new(Mutex::new(Log {
            all: Vec::new(),
            latest: vec![None; hosts.len()],
        }));
        let hears = Arc::clone(&log);
        let hear = move |seen: Seen| {
            let mut log = lock(&hears);
            log.latest[seen.node] = Some(seen.clone());
            log.all.push(seen);
        };
        let (never, asks) = mpsc::channel(1);
        let surroundings = Surroundings::<Asker, _>::new(asks, hear);
        // The answers of a store that nobody asks.
        let store = MemoryStore::new();
        tokio::task::spawn_local(async move {
            let _never = never;
            let mut driver =
                Driver::new(engine, transport, store.session("probe", 1), surroundings);
            drive(|cx| driver.poll(cx)).await;
        });
        let hosts = hosts.to_vec();
        Ok(Self { log, rests, hosts })
    }

    /// Asks nobody from now on, or asks again.
    pub fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// What a node said last, if it is heard now.
    #[must_use]
    pub fn now(&self, node: usize) -> Option<Seen> {
        let fresh = clock::now().since(Instant::ZERO).saturating_sub(FRESH);
        let seen = lock(&self.log).latest[node].clone();
        seen.filter(|seen| seen.at.since(Instant::ZERO) >= fresh)
    }

    /// The node that says that it leads and that all of `nodes` name, by what they said since `begin`.
    #[must_use]
    pub fn agreed(&self, nodes: &[usize], begin: Instant) -> Option<usize> {
        let now = |node| self.now(node).filter(|seen| seen.at >= begin);
        let named = now(*nodes.first()?)?.leader?;
        let leader = self.hosts.iter().position(|host| *host == named)?;
        let names =
            |node: &usize| now(*node).is_some_and(|seen| seen.leader.as_ref() == Some(&named));
        let all = nodes.iter().all(names);
        (all && now(leader).is_some_and(|seen| seen.leads)).then_some(leader)
    }

    /// Whether each of `nodes` is connected to all others of them.
    #[must_use]
    pub fn meshed(&self, nodes: &[usize]) -> bool {
        let meshed = |node: &usize| {
            let seen = self.now(*node);
            seen.is_some_and(|seen| seen.connected + 1 >= nodes.len())
        };
        nodes.iter().all(meshed)
    }

    /// What each node said last, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let show = |node| match self.now(node) {
            Some(seen) => format!("{node}: {} -> {:?} @ {}", seen.state, seen.leader, seen.ts),
            None => format!("{node}: not heard"),
        };
        let nodes: Vec<String> = (0..self.hosts.len()).map(show).collect();
        nodes.join("\n")
    }

    /// All answers since a time.
    #[must_use]
    pub fn since(&self, begin: Instant) -> Vec<Seen> {
        let log = lock(&self.log);
        let new = log.all.iter().filter(|seen| seen.at >= begin);
        new.cloned().collect()
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long two or more nodes said at once that they lead, each by what it said last.
#[must_use]
pub fn overlap(all: &[Seen]) -> Duration {
    let mut leads = BTreeSet::new();
    let mut total = Duration::ZERO;
    for (at, seen) in all.iter().enumerate() {
        if seen.leads {
            leads.insert(seen.node);
        } else {
            leads.remove(&seen.node);
        }
        if let Some(next) = all.get(at + 1).filter(|_| leads.len() > 1) {
            total += next.at.since(seen.at);
        }
    }
    total
}

struct Peer {
    name: String,
    node: Option<NodeId>,
    stream: Option<StreamId>,
}

/// The machine of a probe.
struct Asker {
    peers: Vec<Peer>,
    rests: Arc<AtomicBool>,
    next: Instant,
}

impl Asker {
    fn ask(&mut self, peer: usize, io: &mut dyn Io) {
        let this = &mut self.peers[peer];
        let Some(stream) = this.stream else {
            let node = this.node.or_else(|| io.node(&this.name).ok());
            this.node = node;
            let tag = Tag::new(9, peer as u64);
            let opened = node.map(|node| {
                io.open(
                    node,
                    STREAM_VALUES,
                    Class::Control,
                    Header::EMPTY,
                    None,
                    tag,
                )
            });
            this.stream = opened.and_then(Result::ok);
            return;
        };
        let request = CacheRequest {
            method: Some(CacheRequestMethod::MgmtReq(MgmtRequest {
                method: Some(MgmtRequestMethod::Health(Health {})),
            })),
        };
        if let Ok(place) = io.frame(stream, request.encoded_len()) {
            // It is as long as it said.
            let _ = request.encode_to_slice(place);
        }
    }
}

impl Asked for Asker {
    fn asked((): &()) {}
}

impl Machine for Asker {
    type Command<'a> = ();
    type Event<'a> = Seen;
    type Refused = ();

    fn handle_stream(
        &mut self,
        now: Instant,
        _: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        _: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let node = tag.rest() as usize;
        match event {
            StreamIn::Frame(bytes) => {
                if let Some(seen) = Ack::parse(bytes).ok().and_then(|ack| seen(now, node, ack)) {
                    up.event(seen);
                }
            }
            StreamIn::Ended(_) => self.peers[node].stream = None,
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        _: Instant,
        (): (),
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), ()> {
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, _: &mut dyn Events<Self>) {
        if self.next > now {
            return;
        }
        self.next = now + PAUSE;
        if self.rests.load(Ordering::Relaxed) {
            return;
        }
        for peer in 0..self.peers.len() {
            self.ask(peer, io);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }
}

fn seen(at: Instant, node: usize, ack: Ack<'_>) -> Option<Seen> {
    let Some(AckMethod::MgmtAck(MgmtAck {
        method:
            Some(MgmtAckMethod::HealthAck(HealthAck {
                state,
                leader,
                host_health,
                ..
            })),
    })) = ack.method
    else {
        return None;
    };
    let hosts = host_health.iter().flatten();
    let state = state.and_then(|state| state.value);
    Some(Seen {
        at,
        node,
        leads: matches!(state, Some(StateValue::Leader(_))),
        connected: hosts.filter(|host| host.connected).count(),
        state: format!("{state:?}"),
        // One of ours that knows nobody names itself, and says that it is not connected to it.
        leader: leader
            .filter(|leader| leader.connected)
            .map(|leader| leader.addr.to_owned()),
        ts: leader.map_or(0, |leader| leader.election_ts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_lead_at_once_are_noticed_and_one_after_the_other_is_not() {
        let said = |at, node, leads| Seen {
            at: Instant::from_millis(at),
            node,
            leads,
            connected: 0,
            state: String::new(),
            leader: None,
            ts: 0,
        };
        let mut all = vec![said(0, 0, true), said(10, 0, false), said(20, 1, true)];
        assert_eq!(overlap(&all), Duration::ZERO);
        all.extend([said(30, 0, true), said(40, 2, false), said(45, 1, false)]);
        assert_eq!(overlap(&all), Duration::from_millis(15));
    }
}
