//! A client of the channels and a scripted server, over engines and streams in memory.

mod server;

use std::task::{Context, Poll, Waker};

use trefoil_core::channels::client::{
    Client, ClientCommand, ClientConfig, ClientEvent, ClientRefused, Dedupe,
};
use trefoil_core::channels::open::Policy;
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::id::Tag;
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::memory::{Memory, Switch};
use trefoil_core::storage::{Completion, Op, Storage};
use trefoil_core::time::{Duration, Instant, earliest};
use trefoil_core::transport::Transport;

use self::server::{CHANNEL, Server};

/// A store nobody asks.
struct NoStore;

impl Storage for NoStore {
    type Buf = Vec<u8>;
    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        Poll::Pending
    }
}

/// What the client told.
#[derive(Default)]
struct Told {
    produced: Vec<u64>,
    failed: u64,
    records: Vec<Vec<u8>>,
    last_delivery: u64,
    misbehaved: u64,
    stopped: bool,
}

impl Told {
    fn hear(&mut self, event: ClientEvent<'_>) {
        match event {
            ClientEvent::Produced { sequence, .. } => self.produced.push(sequence),
            ClientEvent::ProduceFailed { .. } => self.failed += 1,
            ClientEvent::Record {
                delivery, payload, ..
            } => {
                assert_eq!(delivery, self.last_delivery + 1);
                self.last_delivery = delivery;
                self.records.push(payload.to_vec());
            }
            ClientEvent::Misbehaved { why, .. } => panic!("misbehaved: {why}"),
            ClientEvent::Stopped => self.stopped = true,
            ClientEvent::Assignment { .. }
            | ClientEvent::Opened { .. }
            | ClientEvent::Interrupted { .. }
            | ClientEvent::Room { .. }
            | ClientEvent::Closed { .. } => {}
        }
    }
}

struct World {
    client: Engine<Client>,
    server: Engine<Server>,
    sides: Vec<Memory>,
    switch: Switch,
    now: Instant,
    told: Told,
}

fn engine(name: &str) -> EngineConfig {
    EngineConfig {
        anonymous: name == "client",
        limits: Limits {
            streams_max: 64,
            nodes_max: 8,
            ..Limits::default()
        },
        ..EngineConfig::new(name, "c", 1)
    }
}

impl World {
    fn new(seed: u64, fault_in: u64) -> Self {
        let (switch, sides) = Switch::new(&["client", "server"], 64, 8);
        let config = ClientConfig {
            coordinators: vec!["server".into()],
            seed,
            ..ClientConfig::default()
        };
        let client = Client::new(config).unwrap();
        Self {
            client: Engine::new(engine("client"), client).unwrap(),
            server: Engine::new(engine("server"), Server::new(seed, fault_in)).unwrap(),
            sides,
            switch,
            now: Instant::from_millis(1),
            told: Told::default(),
        }
    }

    fn command(&mut self, command: ClientCommand<'_>) -> Result<(), ClientRefused> {
        let told = &mut self.told;
        let mut up = |event: ClientEvent<'_>| told.hear(event);
        self.client
            .command(self.now, command, &mut self.sides[0], &mut NoStore, &mut up)
    }

    fn settle(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.switch.carry(&mut self.sides) {
            let (near, far) = self.sides.split_at_mut(1);
            while let Poll::Ready(arrival) = near[0].poll(&mut cx) {
                let told = &mut self.told;
                let mut up = |event: ClientEvent<'_>| told.hear(event);
                self.client
                    .arrive(self.now, &arrival, &mut near[0], &mut NoStore, &mut up);
                arrival.spend(|spent| near[0].recycle(spent));
            }
            while let Poll::Ready(arrival) = far[0].poll(&mut cx) {
                let mut up = |(): ()| {};
                self.server
                    .arrive(self.now, &arrival, &mut far[0], &mut NoStore, &mut up);
                arrival.spend(|spent| far[0].recycle(spent));
            }
        }
    }

    /// Lets the next due time come, or a tenth of a second pass.
    fn sleep(&mut self) {
        let due = earliest(self.client.poll_timeout(), self.server.poll_timeout());
        let step = self.now + Duration::from_millis(100);
        self.now = due.map_or(step, |due| due.max(self.now).min(step));
        let told = &mut self.told;
        let mut up = |event: ClientEvent<'_>| told.hear(event);
        self.client
            .tick(self.now, &mut self.sides[0], &mut NoStore, &mut up);
        let mut nobody = |(): ()| {};
        self.server
            .tick(self.now, &mut self.sides[1], &mut NoStore, &mut nobody);
        self.settle();
    }

    fn open(&mut self, dedupe: bool) {
        let dedupe = dedupe.then_some(Dedupe {
            producer: "p",
            sequence: 1,
        });
        self.command(ClientCommand::OpenProducer {
            key: 1,
            channel: CHANNEL,
            timeout: None,
            dedupe,
        })
        .unwrap();
        self.command(ClientCommand::OpenConsumer {
            key: 2,
            channel: CHANNEL,
            policy: Policy::All,
            filters: &[],
        })
        .unwrap();
        self.settle();
    }

    /// Produces records, a few at a time, until `enough`, and waits until all are answered and delivered.
    fn produce(&mut self, mut enough: impl FnMut(&Server) -> bool) -> u64 {
        let mut given = 0_u64;
        while !enough(self.server.machine()) {
            for _ in 0..4 {
                given += 1;
                let payload = given.to_be_bytes();
                let produce = ClientCommand::Produce {
                    key: 1,
                    payload: &payload,
                    properties: &[("_t", b"2"), ("_v", b"1")],
                };
                if self.command(produce).is_err() {
                    given -= 1;
                    break;
                }
            }
            self.settle();
            let delivery = self.told.last_delivery.saturating_sub(3);
            let acknowledge = ClientCommand::Acknowledge { key: 2, delivery };
            self.command(acknowledge).unwrap();
            self.sleep();
        }
        for _ in 0..100_000 {
            if self.told.produced.len() as u64 == given
                && self.told.records.len() == self.server.machine().log.len()
            {
                break;
            }
            self.sleep();
        }
        given
    }

    fn stop(&mut self) {
        self.command(ClientCommand::Stop).unwrap();
        self.settle();
        for _ in 0..1_000 {
            if self.told.stopped {
                break;
            }
            self.sleep();
        }
        assert!(self.told.stopped);
        assert_eq!((self.client.streams(), self.server.streams()), (0, 0));
    }
}

#[test]
fn better_16_no_duplicates_over_ten_thousand_lost_streams() {
    let mut world = World::new(1, 4);
    world.open(true);
    let given = world.produce(|server| server.lost_streams >= 10_000);
    let server = world.server.machine();
    assert!(server.faults > 5_000 && server.term > 500);
    // Every record is in the log once, and was delivered once, in the order of the log.
    let mut log: Vec<_> = server.log.clone();
    assert!(log == world.told.records);
    log.sort();
    let expected: Vec<_> = (1..=given).map(|n| n.to_be_bytes().to_vec()).collect();
    assert!(log == expected);
    let mut produced = world.told.produced.clone();
    produced.sort_unstable();
    assert!(produced.into_iter().eq(1..=given));
    assert_eq!((world.told.failed, world.told.misbehaved), (0, 0));
    let counters = world.client.machine().counters();
    assert!(counters.resent > 1_000 && counters.skipped > 100);
    world.stop();
}

/// The control: without it there are some, and nothing is missing.
#[test]
fn without_dedupe_a_record_is_there_at_least_once() {
    let mut world = World::new(2, 4);
    world.open(false);
    let given = world.produce(|server| server.lost_streams >= 500);
    let log = &world.server.machine().log;
    assert!(*log == world.told.records);
    let distinct: std::collections::BTreeSet<_> = log.iter().collect();
    assert_eq!(distinct.len() as u64, given);
    assert!(log.len() as u64 > given);
    world.stop();
}
