//! Three voters and members that do not vote, over memory: each of them knows the leader that there is.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trefoil_core::election::token::Token;
use trefoil_core::election::{
    Election, ElectionCommand, ElectionConfig, ElectionEvent, Follower, FollowerConfig, Memory,
    Standing,
};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::machine::Machine;
use trefoil_core::memory::{self, MemorySession, MemoryStore, Switch};
use trefoil_core::storage::Storage;
use trefoil_core::time::Instant;
use trefoil_core::transport::Transport;

const VOTERS: usize = 3;
const NAMES: [&str; 8] = ["a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1", "h:1"];

struct Node<M> {
    engine: Engine<M>,
    session: MemorySession,
}

fn turn<M>(node: &mut Node<M>, side: &mut memory::Memory, now: Instant) -> bool
where
    M: for<'a> Machine<Event<'a> = ElectionEvent<'a>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let up = &mut |_: ElectionEvent<'_>| {};
    let Node { engine, session } = node;
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

struct Cluster {
    now: Instant,
    switch: Switch,
    sides: Vec<memory::Memory>,
    voters: Vec<Node<Election>>,
    followers: Vec<Node<Follower>>,
    /// A voter that does nothing.
    still: Option<usize>,
}

impl Cluster {
    /// The electorate of the last voter is `last`'s epoch.
    fn new(last: u64) -> Self {
        let (switch, sides) = Switch::new(&NAMES, 256, 16);
        let store = MemoryStore::new();
        let config = |me: usize| ElectionConfig {
            memory: Memory::Kept { first: true },
            unix_origin: 1_770_000_000_000_000_000,
            epoch: if me == VOTERS - 1 { last } else { 1 },
            ..ElectionConfig::lan(me, &NAMES[..VOTERS])
        };
        let engine = |me: usize, electorate| EngineConfig {
            electorate,
            ..EngineConfig::new(NAMES[me], "test", me as u64 + 1)
        };
        let session = |me: usize| store.session(NAMES[me], 64);
        let voter = |me| {
            let (config, session) = (config(me), session(me));
            let engine = engine(me, config.electorate_hash());
            let engine = Engine::new(engine, Election::new(config).unwrap()).unwrap();
            Node { engine, session }
        };
        let follower = |me| {
            let (config, session) = (FollowerConfig::of(&config(0)), session(me));
            let engine = Engine::new(engine(me, 0), Follower::new(config).unwrap()).unwrap();
            Node { engine, session }
        };
        Self {
            now: Instant::ZERO,
            switch,
            sides,
            voters: (0..VOTERS).map(voter).collect(),
            followers: (VOTERS..NAMES.len()).map(follower).collect(),
            still: None,
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let mut busy = false;
            for (me, node) in self.voters.iter_mut().enumerate() {
                if self.still == Some(me) {
                    let cx = &mut Context::from_waker(Waker::noop());
                    while self.sides[me].poll(cx).is_ready() {}
                } else {
                    busy |= turn(node, &mut self.sides[me], self.now);
                }
            }
            for (at, node) in self.followers.iter_mut().enumerate() {
                busy |= turn(node, &mut self.sides[VOTERS + at], self.now);
            }
            if busy | self.switch.carry(&mut self.sides) {
                continue;
            }
            let voters = self.voters.iter().enumerate();
            let voters = voters.filter(|(me, _)| self.still != Some(*me));
            let voters = voters.filter_map(|(_, node)| node.engine.poll_timeout());
            let followers = self.followers.iter();
            let due = voters.chain(followers.filter_map(|node| node.engine.poll_timeout()));
            let due = due.min().unwrap();
            self.now = due.min(until);
            if due > until {
                return;
            }
        }
    }

    fn leader(&self) -> (usize, Token) {
        let leads =
            |(me, node): (usize, &Node<Election>)| match node.engine.machine().standing(self.now) {
                Standing::Leading { token, .. } if self.still != Some(me) => Some((me, token)),
                Standing::Leading { .. } | Standing::Following { .. } | Standing::Leaderless => {
                    None
                }
            };
        self.voters.iter().enumerate().find_map(leads).unwrap()
    }

    fn all_follow_it(&self) -> (usize, Token) {
        let (leader, token) = self.leader();
        for node in &self.followers {
            match node.engine.machine().standing(self.now) {
                Standing::Following {
                    leader: seat,
                    token: heard,
                } => {
                    assert_eq!((usize::from(seat.0), heard), (leader, token));
                }
                other @ (Standing::Leading { .. } | Standing::Leaderless) => {
                    panic!("a follower is {other:?}")
                }
            }
        }
        (leader, token)
    }
}

#[test]
fn members_that_do_not_vote_follow_every_leader() {
    let mut cluster = Cluster::new(1);
    cluster.run_for(Duration::from_secs(1));
    let (first, token) = cluster.all_follow_it();

    let heir = (first + 1) % VOTERS;
    let Node { engine, session } = &mut cluster.voters[first];
    let command = ElectionCommand::HandOver { to: NAMES[heir] };
    let (now, side) = (cluster.now, &mut cluster.sides[first]);
    engine
        .command(now, command, side, session, &mut |_: ElectionEvent<'_>| {})
        .unwrap();
    // Two heartbeats: one in which it is asked in vain, and one for the answer.
    cluster.run_for(Duration::from_millis(400));
    let (second, next) = cluster.all_follow_it();
    assert!(second == heir && next > token);

    // It falls silent. Nobody believes in it for longer than a promise.
    cluster.still = Some(second);
    cluster.run_for(Duration::from_millis(1_000));
    for node in &cluster.followers {
        let standing = node.engine.machine().standing(cluster.now);
        assert!(
            !matches!(standing, Standing::Following { token, .. } if token == next),
            "{standing:?}"
        );
    }
    cluster.run_for(Duration::from_millis(600));
    let (third, last) = cluster.all_follow_it();
    assert!(third != second && last > next);
}

#[test]
fn a_voter_of_another_epoch_is_refused_and_operators_are_told() {
    let mut cluster = Cluster::new(2);
    cluster.run_for(Duration::from_secs(2));
    let (leader, _) = cluster.all_follow_it();
    assert!(leader < VOTERS - 1);
    for (me, node) in cluster.voters.iter().enumerate() {
        let connected = node.engine.machine().neighbours();
        let connected = connected.filter(|neighbour| neighbour.connected).count();
        assert_eq!(connected, usize::from(me < VOTERS - 1));
        let (_, why) = node.engine.last_mismatch().unwrap();
        assert!(why.starts_with("TF-C18"), "{why}");
    }
}
