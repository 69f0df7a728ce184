//! What is drawn for a run before it begins: its size, its weather, and which faults it knows.
//!
//! Each run knows some kinds of faults only, and some more often than others: runs that know all
//! kinds at once spend their time in the same few states.

use std::time::Duration;

use trefoil_core::ring::membership::PartitionPolicy;

use super::subject::Settings;
use crate::dice::Dice;
use crate::disk::DiskConfig;
use crate::moment::Moment;
use crate::net::NetConfig;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The nodes fall into two groups that do not hear each other.
    Split,
    /// One node is not heard by some others, and hears them.
    OneWay,
    /// A process does nothing for a while.
    Pause,
    /// A process dies and comes back.
    Crash,
    /// A process leaves politely and comes back.
    Leave,
    /// A connection is broken.
    ResetLink,
    /// A way is slow for a while.
    Slow,
    /// An actor is told to move.
    Release,
    /// A process dies for good. One a run.
    Death,
}

const KINDS: [Kind; 9] = [
    Kind::Split,
    Kind::OneWay,
    Kind::Pause,
    Kind::Crash,
    Kind::Leave,
    Kind::ResetLink,
    Kind::Slow,
    Kind::Release,
    Kind::Death,
];

/// What a run will be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Host strings.
    pub names: Vec<String>,
    /// Actors.
    pub ids: Vec<u64>,
    /// Clients, each with one call at a time.
    pub clients: usize,
    /// Mean wait of a client between two calls.
    pub think: Duration,
    /// The settings of its rings.
    pub settings: Settings,
    /// Kinds of faults it knows.
    pub kinds: Vec<Kind>,
    /// Mean wait between two faults.
    pub between: Duration,
    /// When the last node starts.
    pub late_start: Moment,
    /// When faults begin.
    pub faults_from: Moment,
    /// When all faults end.
    pub heal_at: Moment,
    /// The network until then.
    pub net: NetConfig,
    /// The disk until then.
    pub disk: DiskConfig,
}

impl Plan {
    /// The plan of a seed, with `nodes` nodes or a drawn number.
    #[must_use]
    pub fn draw(seed: u64, nodes: Option<usize>) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let drawn = 3 + dice.index(4);
        let count = nodes.unwrap_or(drawn);
        let names: Vec<String> = (0..count)
            .map(|node| format!("10.0.0.{}:7000", node + 1))
            .collect();
        let ids = (0..8 + dice.below(17)).map(|_| dice.draw()).collect();
        let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| dice.chance(550_000)).collect();
        let wide = dice.chance(250_000);
        let latency = if wide {
            Duration::from_millis(15)
        } else {
            Duration::from_micros(200)
        };
        let ppm = |dice: &mut Dice, max: u64| {
            if dice.coin() {
                0
            } else {
                dice.below(max) as u32
            }
        };
        let net = NetConfig {
            latency_min: latency,
            latency_jitter: if wide {
                Duration::from_millis(8)
            } else {
                dice.between(Duration::from_micros(100), Duration::from_millis(5))
            },
            loss_ppm: ppm(&mut dice, 30_000),
            reset_ppm: ppm(&mut dice, 20_000),
            choke_ppm: ppm(&mut dice, 5_000),
            ..NetConfig::default()
        };
        let disk = DiskConfig {
            latency_jitter: dice.between(Duration::from_micros(500), Duration::from_millis(20)),
            unknown_ppm: ppm(&mut dice, 20_000),
            stall_ppm: ppm(&mut dice, 5_000),
            ..DiskConfig::default()
        };
        let settings = Settings {
            contacts: names[..2].to_vec(),
            partition: if dice.chance(300_000) {
                PartitionPolicy::KeepBoth
            } else {
                PartitionPolicy::KeepMajority
            },
            idle_timeout: Duration::from_secs(if dice.coin() { 8 } else { 600 }),
        };
        let late = if dice.coin() {
            Duration::ZERO
        } else {
            dice.between(Duration::from_secs(5), Duration::from_secs(20))
        };
        Self {
            names,
            ids,
            clients: 3 + dice.index(4),
            think: dice.between(Duration::from_millis(50), Duration::from_millis(300)),
            settings,
            kinds,
            between: dice.between(Duration::from_millis(500), Duration::from_secs(4)),
            late_start: Moment::from_secs(1) + late,
            faults_from: Moment::from_secs(5),
            heal_at: Moment::from_secs(25) + dice.between(Duration::ZERO, Duration::from_secs(15)),
            net,
            disk,
        }
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
