//! Three whole nodes and a client over memory, in virtual time: the leader coordinates, channels go to where
//! nodes live, and what was acknowledged is delivered once and in order, whoever stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trefoil_core::channels::client::{
    Client, ClientCommand, ClientConfig, ClientEvent, ClientRefused, Dedupe,
};
use trefoil_core::channels::coordinator::{CoordinatorCommand, CoordinatorConfig};
use trefoil_core::channels::open::Policy;
use trefoil_core::channels::worker::WorkerConfig;
use trefoil_core::election::{ElectionConfig, Memory};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::memory::{self, MemorySession, MemoryStore, Switch};
use trefoil_core::node::{ChannelsConfig, Node, NodeCommand, NodeConfig, NodeEvent, PartConfig};
use trefoil_core::ring::membership::{MembershipCommand, PartitionPolicy};
use trefoil_core::ring::{RingCommand, RingConfig};
use trefoil_core::storage::{OwnerId, Storage};
use trefoil_core::time::{Instant, WallClock};
use trefoil_core::transport::Transport;

const NAMES: [&str; 4] = ["a:1", "b:1", "c:1", "client:1"];
const NODES: usize = 3;
const CHANNELS: u64 = 12;
const NOON: i64 = 1_770_000_000_000;

struct Process {
    engine: Engine<Node>,
    session: MemorySession,
    /// It does nothing, and hears nothing meanwhile.
    still: bool,
}

/// What the client was told.
#[derive(Default)]
struct Told {
    /// By producer: the sequences that were answered, and the ids.
    produced: BTreeMap<u64, BTreeSet<u64>>,
    failed: u64,
    /// By consumer: the payloads, and the last delivery.
    records: BTreeMap<u64, Vec<Vec<u8>>>,
    deliveries: BTreeMap<u64, u64>,
}

impl Told {
    fn hear(&mut self, event: ClientEvent<'_>) {
        match event {
            ClientEvent::Produced { key, sequence, .. } => {
                assert!(self.produced.entry(key).or_default().insert(sequence));
            }
            ClientEvent::ProduceFailed { .. } => self.failed += 1,
            ClientEvent::Record {
                key,
                delivery,
                payload,
                ..
            } => {
                self.records.entry(key).or_default().push(payload.to_vec());
                self.deliveries.insert(key, delivery);
            }
            ClientEvent::Misbehaved { why, .. } => panic!("{why}"),
            ClientEvent::Assignment { .. }
            | ClientEvent::Opened { .. }
            | ClientEvent::Interrupted { .. }
            | ClientEvent::Room { .. }
            | ClientEvent::Closed { .. }
            | ClientEvent::Stopped => {}
        }
    }
}

struct World {
    now: Instant,
    switch: Switch,
    sides: Vec<memory::Memory>,
    nodes: Vec<Process>,
    client: (Engine<Client>, MemorySession),
    told: Told,
    sent: u64,
}

fn node(me: usize, store: &MemoryStore) -> Process {
    let voters = &NAMES[..NODES];
    let boot = me as u64 + 1;
    let mut ring = RingConfig::lan(NAMES[me], voters, boot);
    ring.membership.partition = PartitionPolicy::KeepQuorum;
    let election = ElectionConfig {
        memory: Memory::Kept { first: true },
        unix_origin: NOON * 1_000_000,
        ..ElectionConfig::lan(me, voters)
    };
    let config = EngineConfig {
        electorate: election.electorate_hash(),
        placement: ring.placement().fingerprint(),
        ..EngineConfig::new(NAMES[me], "", boot)
    };
    let channels = ChannelsConfig {
        coordinator: CoordinatorConfig {
            expected_nodes: NODES as u32,
            ..CoordinatorConfig::default()
        },
        worker: WorkerConfig::new(1, OwnerId(boot)),
        ..ChannelsConfig::default()
    };
    let machine = Node::new(NodeConfig {
        ring,
        election: Some(PartConfig::Voter(election)),
        channels: Some(channels),
    });
    Process {
        engine: Engine::new(config, machine.unwrap()).unwrap(),
        session: store.session(NAMES[me], 4_096),
        still: false,
    }
}

impl World {
    fn new() -> Self {
        let (switch, sides) = Switch::new(&NAMES, 1_024, 16);
        let store = MemoryStore::new();
        let config = ClientConfig {
            coordinators: NAMES[..NODES].iter().map(|&name| name.into()).collect(),
            ..ClientConfig::default()
        };
        let engine = EngineConfig {
            anonymous: true,
            ..EngineConfig::new(NAMES[NODES], "", 9)
        };
        let client = Engine::new(engine, Client::new(config).unwrap()).unwrap();
        let mut world = Self {
            now: Instant::ZERO,
            switch,
            sides,
            nodes: (0..NODES).map(|me| node(me, &store)).collect(),
            client: (client, store.session("client", 16)),
            told: Told::default(),
            sent: 0,
        };
        for me in 0..NODES {
            let wall = WallClock {
                at: world.now,
                unix_millis: NOON,
            };
            let wall = RingCommand::Membership(MembershipCommand::Wall(wall));
            world.command(me, NodeCommand::Ring(wall));
        }
        world
    }

    fn command(&mut self, me: usize, command: NodeCommand<'_>) {
        let (node, side) = (&mut self.nodes[me], &mut self.sides[me]);
        let up = &mut |_: NodeEvent<'_>| {};
        let session = &mut node.session;
        node.engine
            .command(self.now, command, side, session, up)
            .unwrap();
    }

    fn ask(&mut self, command: ClientCommand<'_>) -> Result<(), ClientRefused> {
        let (engine, session) = &mut self.client;
        let side = &mut self.sides[NODES];
        let up = &mut |event: ClientEvent<'_>| self.told.hear(event);
        engine.command(self.now, command, side, session, up)
    }

    /// One round of everybody; `false` if there was nothing to do.
    fn turn(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut busy = false;
        for (me, node) in self.nodes.iter_mut().enumerate() {
            let side = &mut self.sides[me];
            if node.still {
                while side.poll(cx).is_ready() {}
                continue;
            }
            busy |= turn(
                &mut node.engine,
                &mut node.session,
                side,
                self.now,
                &mut |_: NodeEvent<'_>| {},
            );
        }
        let (engine, session) = &mut self.client;
        let side = &mut self.sides[NODES];
        busy |= turn(
            engine,
            session,
            side,
            self.now,
            &mut |event: ClientEvent<'_>| {
                self.told.hear(event);
            },
        );
        for (key, delivery) in std::mem::take(&mut self.told.deliveries) {
            self.ask(ClientCommand::Acknowledge { key, delivery })
                .unwrap();
        }
        busy | self.switch.carry(&mut self.sides)
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            if self.turn() {
                continue;
            }
            let awake = self.nodes.iter().filter(|node| !node.still);
            let due = awake.filter_map(|node| node.engine.poll_timeout());
            let due = due.chain(self.client.0.poll_timeout()).min().unwrap();
            self.now = due.max(self.now).min(until);
            if due > until {
                return;
            }
        }
    }

    fn serving(&self) -> usize {
        let mut serving = (0..NODES).filter(|me| {
            let node = &self.nodes[*me];
            let channels = node.engine.machine().channels().unwrap();
            !node.still && channels.coordinator().is_serving()
        });
        let first = serving.next().expect("a coordinator");
        assert_eq!(serving.next(), None);
        first
    }

    /// Channels by node, as the coordinator has them; all of them are assigned.
    fn placed(&self) -> BTreeMap<String, usize> {
        let leader = &self.nodes[self.serving()];
        let mut placed = BTreeMap::new();
        let channels = leader.engine.machine().channels().unwrap();
        for channel in channels.coordinator().channels() {
            assert!(
                channel.state == trefoil_core::channels::coordinator::meta::State::Assigned,
                "{channel:?}"
            );
            *placed
                .entry(channel.node.unwrap().address.to_string())
                .or_default() += 1;
        }
        placed
    }

    fn produce(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.sent += 1;
            for channel in 0..CHANNELS {
                let text = format!("{channel}/{}", self.sent);
                self.ask(ClientCommand::Produce {
                    key: channel,
                    payload: text.as_bytes(),
                    properties: &[("_v", b"1"), ("_t", b"2")],
                })
                .unwrap();
            }
            self.run_for(Duration::from_millis(10));
        }
    }
}

fn turn<M: trefoil_core::machine::Machine>(
    engine: &mut Engine<M>,
    session: &mut MemorySession,
    side: &mut memory::Memory,
    now: Instant,
    up: &mut dyn trefoil_core::machine::Events<M>,
) -> bool {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut busy = false;
    while engine.poll_timeout().is_some_and(|due| due <= now) {
        engine.tick(now, side, session, up);
        busy = true;
    }
    while let Poll::Ready(arrival) = side.poll(cx) {
        engine.arrive(now, &arrival, side, session, up);
        busy = true;
    }
    while let Poll::Ready((tag, outcome)) = session.poll(cx) {
        engine.done(now, tag, &outcome, side, session, up);
        busy = true;
    }
    busy
}

#[test]
fn channels_outlive_the_leader_and_a_node_that_wakes_up() {
    let mut world = World::new();
    world.run_for(Duration::from_secs(6));
    let first = world.serving();
    for channel in 0..CHANNELS {
        let channel = &*format!("c{channel}");
        let create = CoordinatorCommand::Create { channel };
        world.command(first, NodeCommand::Channels(create));
    }
    world.run_for(Duration::from_secs(1));
    assert!(
        world.placed().values().eq(&[4, 4, 4]),
        "{:?}",
        world.placed()
    );

    for channel in 0..CHANNELS {
        let name = &*format!("c{channel}");
        world
            .ask(ClientCommand::OpenProducer {
                key: channel,
                channel: name,
                timeout: None,
                dedupe: Some(Dedupe {
                    producer: "test",
                    sequence: 1,
                }),
            })
            .unwrap();
        world
            .ask(ClientCommand::OpenConsumer {
                key: CHANNELS + channel,
                channel: name,
                policy: Policy::All,
                filters: &[],
            })
            .unwrap();
    }
    world.produce(20);

    // The leader stands still: another one leads, and the others have all channels.
    world.nodes[first].still = true;
    world.produce(50);
    world.run_for(Duration::from_secs(20));
    let second = world.serving();
    assert_ne!(second, first);
    assert!(world.placed().values().eq(&[6, 6]), "{:?}", world.placed());
    world.produce(20);
    world.run_for(Duration::from_secs(20));

    // It wakes up, believes what it believed, and is told better.
    world.nodes[first].still = false;
    world.produce(20);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.told.failed, 0);
    for channel in 0..CHANNELS {
        let answered = &world.told.produced[&channel];
        assert_eq!(answered.len() as u64, world.sent, "channel {channel}");
        let wanted = (1..=world.sent).map(|round| format!("{channel}/{round}").into_bytes());
        let wanted: Vec<Vec<u8>> = wanted.collect();
        let records = &world.told.records[&(CHANNELS + channel)];
        assert_eq!(records.len(), wanted.len(), "channel {channel}");
        assert_eq!(records.iter().collect::<BTreeSet<_>>().len(), wanted.len());
        assert_eq!(*records, wanted, "channel {channel}");
    }
}
