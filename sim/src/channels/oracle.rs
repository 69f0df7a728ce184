//! Who lives and who leads, as the nodes are told: late, in an order of their own on each node, and wrong at times.
//!
//! The tokens of leaderships grow, and that is all that is promised: a leader that was replaced may not hear of it,
//! and one that is elected may be asleep.

use std::time::Duration;

use trefoil_core::election::token::Token;
use trefoil_core::id::NodeId;
use trefoil_core::node::News;

use super::order::Order;
use super::plan::{Mode, Plan};
use super::subject::ChannelSubject;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::world::World;

/// A world of parties.
pub type Worlds = World<ChannelSubject>;

/// See the module.
#[derive(Debug)]
pub struct Oracle {
    hosts: usize,
    calm: bool,
    /// By node: the start of it that is taken for alive.
    alive: Vec<Option<u32>>,
    token: i64,
    /// Who was elected last.
    pub leader: Option<usize>,
    /// By node: when it will have heard everything that is on its way to it.
    told: Vec<Moment>,
    /// All is told at once.
    pub prompt: bool,
    dice: Dice,
}

impl Oracle {
    /// The oracle of a run.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64) -> Self {
        Self {
            hosts: plan.hosts,
            calm: plan.mode == Mode::Calm,
            alive: vec![None; plan.hosts],
            token: 0,
            leader: None,
            told: vec![Moment::ZERO; plan.hosts],
            prompt: false,
            dice: Dice::new(seed, "oracle"),
        }
    }

    /// The token of the last leadership.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token.unsigned_abs()
    }

    /// Whether a node is taken for alive.
    #[must_use]
    pub fn is_member(&self, node: usize) -> bool {
        self.alive[node].is_some()
    }

    /// Tells a node, behind all that is on its way to it.
    fn tell(&mut self, to: usize, longest: Duration, news: News, world: &mut Worlds) {
        let longest = if self.prompt || self.calm {
            Duration::from_millis(5)
        } else {
            longest
        };
        let at = world.now() + self.dice.between(Duration::ZERO, longest);
        let at = at.max(self.told[to]);
        self.told[to] = at;
        world.command(to, at.since(world.now()), Order::Hear(news));
    }

    fn up(&self, node: usize, world: &Worlds) -> Option<News> {
        Some(News::Up {
            node: NodeId(node as u32),
            host: world.nodes()[node].name().to_owned(),
            incarnation: u64::from(self.alive[node]?),
        })
    }

    /// A node has started, or is heard of again.
    pub fn joins(&mut self, node: usize, world: &mut Worlds) {
        if !world.nodes()[node].lives() {
            return;
        }
        self.alive[node] = Some(world.nodes()[node].session());
        let news = self.up(node, world);
        for other in (0..self.hosts).filter(|other| *other != node) {
            if let Some(news) = news.clone() {
                self.tell(other, Duration::from_millis(300), news, world);
            }
        }
    }

    /// A node that has started hears who is there. What was on its way to its earlier life is lost.
    pub fn greets(&mut self, node: usize, world: &mut Worlds) {
        self.told[node] = world.now();
        for other in (0..self.hosts).filter(|other| *other != node) {
            if let Some(news) = self.up(other, world) {
                self.tell(node, Duration::from_millis(200), news, world);
            }
        }
        let leader = self
            .leader
            .map(|leader| world.nodes()[leader].name().to_owned());
        let leader = leader.filter(|_| self.leader != Some(node));
        self.tell(
            node,
            Duration::from_millis(200),
            News::Follows { leader },
            world,
        );
    }

    /// A start of a node is taken for gone. `false` if it was so before, or another one is alive.
    pub fn declares_gone(&mut self, node: usize, session: u32, world: &mut Worlds) -> bool {
        if self.alive[node] != Some(session) {
            return false;
        }
        self.alive[node] = None;
        for other in (0..self.hosts).filter(|other| *other != node) {
            let news = News::Down {
                node: NodeId(node as u32),
            };
            self.tell(other, Duration::from_millis(300), news, world);
        }
        true
    }

    /// Another node leads, or the same one anew.
    pub fn elects(&mut self, world: &mut Worlds) {
        let able: Vec<usize> = (0..self.hosts)
            .filter(|node| {
                let known = &world.nodes()[*node];
                known.lives() && (!known.is_paused() || self.dice.chance(100_000))
            })
            .collect();
        if able.is_empty() {
            return;
        }
        let leader = able[self.dice.index(able.len())];
        self.token += 1 + self.dice.below(3) as i64;
        world.subject.coverage.add("elections", 1);
        let earlier = self.leader.replace(leader);
        let token = Token::from_wire(self.token);
        self.tell(leader, Duration::from_millis(50), News::Leads(token), world);
        for other in (0..self.hosts).filter(|other| *other != leader) {
            // One that led may hear it last, or not before the next.
            let deaf = !self.prompt && earlier == Some(other) && self.dice.chance(250_000);
            if !deaf {
                let known = self.prompt || self.dice.chance(800_000);
                let name = known.then(|| world.nodes()[leader].name().to_owned());
                let news = News::Follows { leader: name };
                self.tell(other, Duration::from_millis(800), news, world);
            }
        }
    }

    /// From now on all that is told is so, and everybody is told.
    pub fn tells_the_truth(&mut self, world: &mut Worlds) {
        self.prompt = true;
        for node in 0..self.hosts {
            if world.nodes()[node].lives() {
                self.joins(node, world);
            }
        }
        self.elects(world);
    }
}
