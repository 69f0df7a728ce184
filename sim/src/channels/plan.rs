//! What is drawn for a run before it begins: its size, its weather, and which faults it knows.
//!
//! Times are scaled: what takes ten seconds in a cluster takes one here, the store and the network included, so that
//! a short run sees many leaderships, openings and losses.

use std::time::Duration;

use trefoil_core::channels::dialect::Dialect;
use trefoil_core::channels::worker::Retention;

use crate::dice::Dice;
use crate::disk::DiskConfig;
use crate::moment::Moment;
use crate::net::NetConfig;

/// What a world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything goes wrong. The log fences.
    Storm,
    /// Nothing goes wrong, but channels are moved and nodes drained, and the store may be slow: what must not
    /// happen without a reason does not.
    Calm,
    /// Everything goes wrong and nothing is relied on but leases: a node that is gone from the membership stops
    /// itself in time.
    Leased,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Some do not hear the others, clients too.
    Split,
    /// One is not heard by some, and hears them.
    OneWay,
    /// A process sleeps. It may be taken for gone meanwhile.
    Pause,
    /// A process dies and comes back, often to die again at once.
    Crash,
    /// A node is taken for gone, and lives.
    LostLease,
    /// A connection is broken.
    ResetLink,
    /// A way is slow for a while.
    Slow,
    /// Another node leads.
    Election,
    /// An operator moves a channel.
    Move,
    /// An operator drains a node.
    Drain,
}

const STORMY: [Kind; 10] = [
    Kind::Split,
    Kind::OneWay,
    Kind::Pause,
    Kind::Crash,
    Kind::LostLease,
    Kind::ResetLink,
    Kind::Slow,
    Kind::Election,
    Kind::Move,
    Kind::Drain,
];

/// What a run will be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is like.
    pub mode: Mode,
    /// Host strings of all parties: nodes first, then clients, the echo last.
    pub names: Vec<String>,
    /// How many nodes there are.
    pub hosts: usize,
    /// How many clients.
    pub clients: usize,
    /// How many channels.
    pub channels: usize,
    /// Kinds of faults it knows.
    pub kinds: Vec<Kind>,
    /// Mean wait between two faults.
    pub between: Duration,
    /// Mean time between two changes of the leader besides; none if absent.
    pub elections: Option<Duration>,
    /// How long it takes until a node that does not answer is taken for gone.
    pub detection: Duration,
    /// A node that is gone from the membership has stopped itself by then, where leases count.
    pub lease: Duration,
    /// Calls that come again, in a million.
    pub echo_ppm: u32,
    /// Mean wait of a client between two records.
    pub think: Duration,
    /// The last node comes only then.
    pub late_start: Duration,
    /// When all faults end.
    pub heal_at: Moment,
    /// The network until then.
    pub net: NetConfig,
    /// The store until then.
    pub disk: DiskConfig,
    /// How wrong the clock on the wall of each node is, in milliseconds.
    pub skew_ms: Vec<i64>,
    /// Moves for the sake of balance at once.
    pub moves_max: u32,
    /// How long a channel stays where it is after a move.
    pub move_interval: Duration,
    /// Appends of one channel in flight.
    pub appends_max: u32,
    /// Bytes a worker asks of a log at once.
    pub read_bytes_max: u32,
    /// Records that a consumer may have without saying that it handled them.
    pub unacknowledged_max: u32,
    /// Which dialect all speak.
    pub dialect: Dialect,
    /// What of each log is kept.
    pub retention: Retention,
    /// How often a log that is only read is asked whose it is: often in one of three runs. In the others never, as
    /// before it was done at all, so that the seeds that found something go the way they went.
    pub proof_interval: Duration,
}

/// Clocks on the wall are wrong by up to so much.
pub const SKEW_MS_MAX: i64 = 30_000;

/// A duration of about this length: between a half and three halves.
fn about(dice: &mut Dice, mean: Duration) -> Duration {
    dice.between(mean / 2, mean * 3 / 2)
}

/// A share of a million, in half of all runs none.
fn ppm(dice: &mut Dice, max: u64) -> u32 {
    if dice.coin() {
        0
    } else {
        dice.below(max) as u32
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, mode: Option<Mode>) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let drawn = match dice.below(100) {
            0..75 => Mode::Storm,
            75..88 => Mode::Calm,
            _ => Mode::Leased,
        };
        let mode = mode.unwrap_or(drawn);
        let (hosts, clients) = (2 + dice.index(4), 1 + dice.index(3));
        let calm = mode == Mode::Calm;
        let kinds: Vec<Kind> = if calm {
            vec![Kind::Move, Kind::Drain]
        } else {
            let known = STORMY.into_iter();
            known.filter(|_| dice.chance(600_000)).collect()
        };
        let elections = [200, 600, 2_000, 0][dice.index(4)];
        let elections = Some(Duration::from_millis(elections)).filter(|every| !every.is_zero());
        Self {
            mode,
            names: names(hosts, clients),
            hosts,
            clients,
            channels: 2 + dice.index(5),
            kinds,
            between: about(&mut dice, Duration::from_millis(300)),
            elections: elections.filter(|_| !calm),
            detection: about(&mut dice, Duration::from_millis(500)),
            lease: Duration::from_millis(500),
            echo_ppm: if calm { 0 } else { 250_000 },
            think: about(&mut dice, Duration::from_millis(60)),
            late_start: if dice.coin() {
                Duration::ZERO
            } else {
                about(&mut dice, Duration::from_millis(1_500))
            },
            heal_at: Moment::from_secs(3) + dice.between(Duration::ZERO, Duration::from_secs(3)),
            net: net(&mut dice, calm),
            disk: disk(&mut dice, calm),
            skew_ms: (0..hosts)
                .map(|_| dice.below(2 * SKEW_MS_MAX as u64) as i64 - SKEW_MS_MAX)
                .collect(),
            moves_max: 1 + dice.below(3) as u32,
            move_interval: about(&mut dice, Duration::from_millis(700)),
            appends_max: [1, 3, 64][dice.index(3)],
            read_bytes_max: [1, 200, 64 << 10][dice.index(3)],
            unacknowledged_max: [2, 1_024][dice.index(2)],
            dialect: [Dialect::Seed, Dialect::V2024_08][dice.index(2)],
            retention: retention(&mut dice),
            proof_interval: Duration::from_millis(if seed % 3 == 2 { 400 } else { 1_000_000 }),
        }
    }

    /// Which party is the echo.
    #[must_use]
    pub const fn echo(&self) -> usize {
        self.hosts + self.clients
    }
}

fn names(hosts: usize, clients: usize) -> Vec<String> {
    let hosts = (1..=hosts).map(|host| format!("10.0.0.{host}:7"));
    let clients = (1..=clients).map(|client| format!("client-{client}"));
    hosts.chain(clients).chain(["echo".to_owned()]).collect()
}

/// In two of three runs everything is kept.
fn retention(dice: &mut Dice) -> Retention {
    if dice.chance(666_667) {
        return Retention::KEEP_ALL;
    }
    Retention {
        age: dice
            .chance(250_000)
            .then(|| about(dice, Duration::from_secs(1))),
        bytes: Some(100 + dice.below(5_000)),
        acknowledged: dice.coin(),
        interval: about(dice, Duration::from_millis(100)),
    }
}

fn net(dice: &mut Dice, calm: bool) -> NetConfig {
    let quiet = NetConfig {
        latency_min: Duration::from_micros(200),
        latency_jitter: dice.between(Duration::from_micros(100), Duration::from_millis(5)),
        keepalive: Duration::from_millis(1_500),
        ..NetConfig::default()
    };
    if calm {
        return quiet;
    }
    NetConfig {
        loss_ppm: ppm(dice, 30_000),
        reset_ppm: ppm(dice, 30_000),
        choke_ppm: ppm(dice, 20_000),
        ..quiet
    }
}

fn disk(dice: &mut Dice, calm: bool) -> DiskConfig {
    let jitter = dice.between(Duration::from_micros(500), Duration::from_millis(10));
    let slow = calm && dice.coin();
    DiskConfig {
        // An opening takes four operations, one after the other: longer than one attempt may take.
        latency_min: if slow {
            dice.between(Duration::from_millis(60), Duration::from_millis(200))
        } else {
            Duration::from_micros(200)
        },
        latency_jitter: jitter,
        unknown_ppm: if calm { 0 } else { ppm(dice, 100_000) },
        stall_ppm: if calm { 0 } else { ppm(dice, 20_000) },
        ..DiskConfig::default()
    }
}

/// How long a fault lasts: often short, seldom long.
pub fn duration(dice: &mut Dice, shortest: Duration, longest: Duration) -> Duration {
    let tenth = shortest + longest.saturating_sub(shortest) / 10;
    if dice.coin() {
        dice.between(shortest, tenth)
    } else {
        dice.between(tenth, longest)
    }
}
