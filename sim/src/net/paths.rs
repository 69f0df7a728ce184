//! The ways between nodes: how long a packet takes, and which ways are cut.

use std::time::Duration;

use crate::dice::Dice;
use crate::moment::Moment;

/// What the network is like.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Shortest way of a packet.
    pub latency_min: Duration,
    /// Mean of what is added to it, with a long tail.
    pub latency_jitter: Duration,
    /// Packets in a million that are lost once, and come after [`retransmission`](Self::retransmission).
    pub loss_ppm: u32,
    /// What a lost packet costs.
    pub retransmission: Duration,
    /// Calls in a million that something between the nodes resets.
    pub reset_ppm: u32,
    /// Opened streams in a million whose first frame meets no room.
    pub choke_ppm: u32,
    /// A connection of which one direction carries nothing for so long is given up by both ends.
    pub keepalive: Duration,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            latency_min: Duration::from_micros(200),
            latency_jitter: Duration::from_micros(400),
            loss_ppm: 0,
            retransmission: Duration::from_millis(200),
            reset_ppm: 0,
            choke_ppm: 0,
            keepalive: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    cut: bool,
    /// Counts the cuts, so that a wait for one can tell it from the next.
    epoch: u32,
    /// How much slower than the rest, in percent added.
    slow_percent: u32,
}

/// The directed ways between `n` nodes.
#[derive(Debug)]
pub struct Paths {
    nodes: usize,
    ways: Vec<Way>,
    /// Weather, which heals.
    pub config: NetConfig,
}

impl Paths {
    /// All ways open.
    #[must_use]
    pub fn new(nodes: usize, config: NetConfig) -> Self {
        Self {
            nodes,
            ways: vec![Way::default(); nodes * nodes],
            config,
        }
    }

    fn way(&self, from: usize, to: usize) -> Way {
        self.ways[from * self.nodes + to]
    }

    /// Cuts or mends one direction.
    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        let way = &mut self.ways[from * self.nodes + to];
        if cut && !way.cut {
            way.epoch += 1;
        }
        way.cut = cut;
    }

    /// Makes one direction slower by `percent`.
    pub fn set_slow(&mut self, from: usize, to: usize, percent: u32) {
        self.ways[from * self.nodes + to].slow_percent = percent;
    }

    /// Whether packets of this direction are stopped.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.way(from, to).cut
    }

    /// Whether either direction is stopped.
    #[must_use]
    pub fn is_hurt(&self, a: usize, b: usize) -> bool {
        self.is_cut(a, b) || self.is_cut(b, a)
    }

    /// What tells the present cut of either direction from later ones.
    #[must_use]
    pub fn epoch(&self, a: usize, b: usize) -> u64 {
        u64::from(self.way(a, b).epoch) << 32 | u64::from(self.way(b, a).epoch)
    }

    /// When a packet that leaves at `at` arrives, if nothing stops it.
    pub fn arrival(&self, at: Moment, from: usize, to: usize, dice: &mut Dice) -> Moment {
        let config = &self.config;
        let mut takes = config.latency_min + dice.tail(config.latency_jitter);
        takes += takes * self.way(from, to).slow_percent / 100;
        if dice.chance(config.loss_ppm) {
            takes += config.retransmission + dice.tail(config.retransmission);
        }
        at + takes
    }

    /// Mends everything.
    pub fn heal(&mut self) {
        for way in &mut self.ways {
            way.cut = false;
            way.slow_percent = 0;
        }
        self.config.loss_ppm = 0;
        self.config.reset_ppm = 0;
        self.config.choke_ppm = 0;
    }
}
