//! Two machines that ping each other and write down what they hear: the world without a ring.

use std::time::Duration;

use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, StreamId, Tag};
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::storage::{Done, Op, OwnerId};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::Instant;
use trefoil_sim::moment::Moment;
use trefoil_sim::net::{NetConfig, Process};
use trefoil_sim::trace::Trace;
use trefoil_sim::watch::{Broken, MachinePlant, Planted, Watched};
use trefoil_sim::world::{Birth, Subject, Turn, World, WorldConfig};

const PING: MethodId = MethodId(100);
const PERIOD: Duration = Duration::from_millis(100);
const OURS: Tag = Tag(1);
const THEIRS: Tag = Tag(2);

/// Pings its peer every period, and appends to its log what it gets.
#[derive(Debug)]
struct Pinger {
    peer: String,
    due: Instant,
    next: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Pong,
    Failed(Cause),
    Wrote(u64),
}

impl Machine for Pinger {
    type Command<'a> = ();
    type Event<'a> = Heard;
    type Refused = ();

    fn handle_stream(
        &mut self,
        _: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        match event {
            StreamIn::Accepted { .. } => io.adopt(stream, THEIRS),
            StreamIn::Frame(frame) if tag == THEIRS => {
                let append = Op::Append {
                    log: b"l",
                    term: 1,
                    owner: OwnerId(1),
                    expected: self.next,
                    payload: frame,
                };
                if io.submit(append, THEIRS).is_ok() {
                    self.next += 1;
                }
                if let Ok(reply) = io.frame(stream, frame.len()) {
                    reply.copy_from_slice(frame);
                }
                io.end(stream, Status::OK);
            }
            StreamIn::Frame(_) => up.event(Heard::Pong),
            StreamIn::Ended(status) if tag == OURS && status.code != Code::Ok => {
                up.event(Heard::Failed(status.cause))
            }
            StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable
            | StreamIn::Ended(_) => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        done: Done<'_>,
        _: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        if let Done::Durable { sequence } = done {
            up.event(Heard::Wrote(sequence));
        }
    }

    fn handle_command(
        &mut self,
        _: Instant,
        (): (),
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), ()> {
        io.submit(
            Op::Fence {
                log: b"l",
                term: 1,
                owner: OwnerId(1),
            },
            THEIRS,
        )
        .map_err(|Full| ())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, _: &mut dyn Events<Self>) {
        if now < self.due {
            return;
        }
        self.due = now + PERIOD;
        let Ok(peer) = io.node(&self.peer) else {
            return;
        };
        let deadline = Some(now + Duration::from_secs(2));
        let Ok(stream) = io.open(peer, PING, Class::Control, Header::EMPTY, deadline, OURS) else {
            return;
        };
        match io.frame(stream, 4) {
            Ok(frame) => frame.copy_from_slice(b"ping"),
            Err(Full) => io.end(stream, Status::new(Code::Cancelled, "no room")),
        }
        io.half_close(stream);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due)
    }
}

#[derive(Default)]
struct Pair {
    plant: MachinePlant,
    heard: Vec<(Moment, usize, Heard)>,
    broken: Vec<Broken>,
}

impl Subject for Pair {
    type Machine = Watched<Planted<Pinger>>;
    type Command = ();
    type Act = ();

    fn engine(&mut self, _: Moment, birth: &Birth<'_>) -> Engine<Self::Machine> {
        let peer = if birth.name == "a" { "b" } else { "a" };
        let pinger = Pinger {
            peer: peer.into(),
            due: birth.now + PERIOD,
            next: 0,
        };
        let planted = Planted::new(pinger, self.plant);
        let mut watched = Watched::new(planted, birth.boot, 100_000, Duration::from_secs(1));
        watched.be_strict(birth.now);
        let config = EngineConfig {
            node: birth.name.into(),
            boot: birth.boot,
            incarnation: birth.incarnation,
            cluster: "toys".into(),
            placement: 0,
            store: 0,
            electorate: 0,
            features: 0,
            anonymous: false,
            token: None,
            certified: false,
            limits: Limits {
                streams_max: 64,
                nodes_max: 8,
                ..Limits::default()
            },
            links: LinkConfig::default(),
            seed: birth.boot,
        };
        Engine::new(config, watched).unwrap()
    }

    fn lend((): &()) {}

    fn event(&mut self, at: Moment, process: Process, event: Heard, _: &mut Vec<(Duration, ())>) {
        self.heard.push((at, process.node, event));
    }

    fn refused(&mut self, _: Moment, _: Process, (): (), (): ()) {}

    fn looked(&mut self, _: Moment, _: Process, engine: &mut Engine<Self::Machine>) {
        self.broken.extend(engine.machine_mut().take_broken());
    }

    fn died(&mut self, _: Moment, _: Process, _: &Engine<Self::Machine>) {}
}

fn world(seed: u64, plant: MachinePlant, net: NetConfig) -> World<Pair> {
    let names = vec!["a".to_owned(), "b".to_owned()];
    let config = WorldConfig {
        names,
        net,
        drift_ppm: 200,
        ..WorldConfig::default()
    };
    let mut world = World::new(
        Pair {
            plant,
            ..Pair::default()
        },
        config,
        seed,
        Trace::default(),
    );
    for node in [0, 1] {
        world.start(node);
        world.command(node, Duration::ZERO, ());
    }
    world
}

fn run(world: &mut World<Pair>, secs: u64) {
    let until = world.now() + Duration::from_secs(secs);
    while !matches!(world.turn(until), Turn::Reached) {}
}

fn count(world: &World<Pair>, of: impl Fn(&Heard) -> bool) -> usize {
    world
        .subject
        .heard
        .iter()
        .filter(|(_, _, heard)| of(heard))
        .count()
}

fn pongs(world: &World<Pair>) -> usize {
    count(world, |heard| *heard == Heard::Pong)
}

/// Weather with something of everything.
fn storm() -> NetConfig {
    NetConfig {
        loss_ppm: 50_000,
        reset_ppm: 50_000,
        choke_ppm: 50_000,
        ..NetConfig::default()
    }
}

#[test]
fn two_machines_ping_and_write() {
    let mut world = world(1, MachinePlant::None, NetConfig::default());
    run(&mut world, 10);
    assert!((195..=200).contains(&pongs(&world)), "{}", pongs(&world));
    assert_eq!(world.subject.broken, []);
    let written = world.disk.store.log(b"l").unwrap().records().len();
    assert!(written > 90, "one of the two writes");
}

#[test]
fn a_seed_is_a_run_bit_for_bit() {
    let hash = |seed| {
        let mut world = world(seed, MachinePlant::None, storm());
        run(&mut world, 5);
        world.pause(0, Duration::from_millis(700));
        run(&mut world, 2);
        world.crash(1, true);
        run(&mut world, 1);
        world.start(1);
        run(&mut world, 5);
        assert_eq!(world.subject.broken, []);
        assert!(world.net.counts.resets > 0 && world.net.counts.choked > 0);
        (world.trace.hash(), world.trace.events())
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
fn a_dead_process_refuses_and_a_dead_host_is_silent() {
    for (host_answers, cause) in [(true, Cause::Refused), (false, Cause::Deadline)] {
        let mut world = world(2, MachinePlant::None, NetConfig::default());
        run(&mut world, 1);
        world.crash(1, host_answers);
        run(&mut world, 10);
        assert!(
            count(&world, |heard| *heard == Heard::Failed(cause)) > 0,
            "{cause:?}"
        );
        let before = pongs(&world);
        world.start(1);
        run(&mut world, 5);
        assert!(pongs(&world) > before + 20, "it is dialled again");
    }
}

#[test]
fn a_cut_stalls_and_a_long_one_costs_the_connection() {
    let mut world = world(3, MachinePlant::None, NetConfig::default());
    run(&mut world, 1);
    world.with_net(|at, net, later| net.cut(at, 0, 1, later));
    run(&mut world, 1);
    world.with_net(|at, net, later| net.mend(at, 0, 1, later));
    run(&mut world, 2);
    assert_eq!(
        count(&world, |heard| matches!(heard, Heard::Failed(_))),
        0,
        "what was stalled came"
    );
    world.with_net(|at, net, later| net.cut(at, 0, 1, later));
    run(&mut world, 20);
    assert!(
        count(&world, |heard| matches!(
            heard,
            Heard::Failed(Cause::Deadline)
        )) > 0
    );
    assert!(count(&world, |heard| matches!(heard, Heard::Failed(Cause::Lost))) > 0);
    assert!(world.net.counts.lost > 0);
    let before = pongs(&world);
    world.heal();
    run(&mut world, 10);
    assert!(pongs(&world) > before + 100);
    assert_eq!(world.subject.broken, []);
}

#[test]
fn the_watch_sees_each_planted_machine() {
    let broken = |plant| {
        let mut world = world(4, plant, NetConfig::default());
        run(&mut world, 30);
        let now = world.clock(0);
        world.subject.broken.extend(
            world
                .engine(0)
                .unwrap()
                .machine()
                .overdue(now)
                .collect::<Vec<_>>(),
        );
        std::mem::take(&mut world.subject.broken)
    };
    assert_eq!(broken(MachinePlant::None), []);
    assert!(matches!(
        broken(MachinePlant::ForgottenStream)[..],
        [Broken::Unanswered(..), ..]
    ));
    assert!(matches!(
        broken(MachinePlant::DoubleEnd)[..],
        [Broken::EndedTwice(..), ..]
    ));
    assert!(matches!(
        broken(MachinePlant::LateTimeout)[..],
        [Broken::TimeStoodStill(_), ..]
    ));
}
