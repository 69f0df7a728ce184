//! How fast a membership settles: clusters of memberships alone, in a calm network, and how long it
//! takes until all know all, until all know a host that joins, and until all know one that died.

use std::time::Duration;

use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::id::NodeId;
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::ring::membership::{
    Membership, MembershipCommand, MembershipConfig, MembershipEvent, MembershipRefused,
};

use crate::dice::Dice;
use crate::moment::Moment;
use crate::net::Process;
use crate::trace::Trace;
use crate::world::{Birth, Subject, Turn, World, WorldConfig};

/// What one run measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// From the first start until all know all.
    pub cold_start: Duration,
    /// From the start of one more host until all know it and it knows all.
    pub join: Duration,
    /// From the death of a silent host until each of the others removed it, in order.
    pub crash: Vec<Duration>,
    /// Packets each host sent in a second at rest.
    pub packets: f64,
}

impl Figures {
    /// The time after which `percent` of the others had removed the dead host.
    #[must_use]
    pub fn crash_percentile(&self, percent: usize) -> Duration {
        let at = (self.crash.len() * percent)
            .div_ceil(100)
            .clamp(1, self.crash.len().max(1));
        self.crash.get(at - 1).copied().unwrap_or_default()
    }
}

/// Memberships, and how many of them know how many others.
struct Members {
    names: Vec<String>,
    /// By node: its peers by their numbers, and whether they are up.
    views: Vec<Vec<(NodeId, String, bool)>>,
    removals: Vec<(Moment, String)>,
}

impl Members {
    fn known(&self, node: usize) -> usize {
        self.views[node].iter().filter(|(_, _, up)| *up).count()
    }
}

impl Subject for Members {
    type Machine = Membership;
    type Command = ();
    type Act = ();

    fn engine(&mut self, _: Moment, birth: &Birth<'_>) -> Engine<Membership> {
        let count = self.names.len() as u32;
        let config = MembershipConfig {
            host: birth.name.into(),
            incarnation: birth.incarnation,
            seeds: self.names[..self.names.len().min(3)].to_vec(),
            hosts_max: count + 8,
            candidates_max: count + 8,
            seed: birth.boot,
            ..MembershipConfig::lan()
        };
        let membership = match Membership::new(config) {
            Ok(membership) => membership,
            Err(error) => unreachable!("the settings of the simulator hold: {error}"),
        };
        let config = EngineConfig {
            node: birth.name.into(),
            boot: birth.boot,
            incarnation: birth.incarnation,
            cluster: "sim".into(),
            placement: 0,
            store: 1,
            electorate: 0,
            features: 0,
            anonymous: false,
            token: None,
            certified: false,
            limits: Limits {
                streams_max: 4_096,
                nodes_max: count + 8,
                ..Limits::default()
            },
            links: LinkConfig::default(),
            seed: birth.boot,
        };
        match Engine::new(config, membership) {
            Ok(engine) => engine,
            Err(error) => unreachable!("the limits of the simulator hold: {error}"),
        }
    }

    fn lend((): &()) -> MembershipCommand<'_> {
        MembershipCommand::Leave
    }

    fn event(
        &mut self,
        at: Moment,
        process: Process,
        event: MembershipEvent<'_>,
        _: &mut Vec<(Duration, ())>,
    ) {
        let view = &mut self.views[process.node];
        match event {
            MembershipEvent::Up { node, host, .. } => {
                match view.iter_mut().find(|(known, _, _)| *known == node) {
                    Some(known) => known.2 = true,
                    None => view.push((node, host.to_owned(), true)),
                }
            }
            MembershipEvent::Down { node, .. } => {
                if let Some(known) = view.iter_mut().find(|(known, _, _)| *known == node) {
                    known.2 = false;
                    self.removals.push((at, known.1.clone()));
                }
            }
            MembershipEvent::Majority(_)
            | MembershipEvent::Left
            | MembershipEvent::Suspected { .. }
            | MembershipEvent::Cleared { .. }
            | MembershipEvent::Draining { .. }
            | MembershipEvent::Misbehaved { .. } => {}
        }
    }

    fn refused(&mut self, _: Moment, _: Process, (): (), _: MembershipRefused) {}

    fn looked(&mut self, _: Moment, _: Process, _: &mut Engine<Membership>) {}

    fn died(&mut self, _: Moment, process: Process, _: &Engine<Membership>) {
        self.views[process.node].clear();
    }
}

/// Lets the world go on until each of `nodes` knows `others`, or for a virtual minute.
fn settle(world: &mut World<Members>, nodes: usize, others: usize) -> Duration {
    let began = world.now();
    let step = Duration::from_millis(20);
    for _ in 0..3_000 {
        go_on(world, step);
        if (0..nodes).all(|node| world.subject.known(node) >= others) {
            break;
        }
    }
    world.now().since(began)
}

fn go_on(world: &mut World<Members>, span: Duration) {
    let until = world.now() + span;
    while !matches!(world.turn(until), Turn::Reached) {}
}

/// Measures a cluster of `nodes` hosts, and one that joins.
#[must_use]
pub fn measure(seed: u64, nodes: usize) -> Figures {
    let mut dice = Dice::new(seed, "convergence");
    let names: Vec<String> = (0..=nodes)
        .map(|node| format!("10.{}.{}.1:7000", node / 256, node % 256))
        .collect();
    let views = vec![Vec::new(); nodes + 1];
    let config = WorldConfig {
        names: names.clone(),
        drift_ppm: 200,
        ..WorldConfig::default()
    };
    let mut world = World::new(
        Members {
            names,
            views,
            removals: Vec::new(),
        },
        config,
        seed,
        Trace::default(),
    );
    for node in 0..nodes {
        world.start(node);
    }
    let cold_start = settle(&mut world, nodes, nodes - 1);
    go_on(&mut world, Duration::from_secs(15));
    let before = world.net.counts.packets;
    go_on(&mut world, Duration::from_secs(20));
    let packets = (world.net.counts.packets - before) as f64 / 20.0 / nodes as f64;
    world.start(nodes);
    let join = settle(&mut world, nodes + 1, nodes);
    go_on(&mut world, Duration::from_secs(15));
    let victim = dice.index(nodes);
    let died = world.now();
    world.subject.removals.clear();
    world.crash(victim, false);
    go_on(&mut world, Duration::from_secs(40));
    let name = world.nodes()[victim].name().to_owned();
    let removals = world
        .subject
        .removals
        .iter()
        .filter(|(_, host)| *host == name);
    let mut crash: Vec<Duration> = removals.map(|(at, _)| at.since(died)).collect();
    crash.sort_unstable();
    Figures {
        cold_start,
        join,
        crash,
        packets,
    }
}
