//! Three voters elect a leader, on one thread: no runtime, no socket, no clock.
//!
//! The leader hands over, then it stands still, and another leads: each time under a greater token. A
//! store that remembers the greatest token refuses what the old leader still sends.
//!
//! `cargo run -p trefoil-core --example leader`

#![allow(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trefoil_core::election::token::Token;
use trefoil_core::election::{
    Election, ElectionCommand, ElectionConfig, ElectionEvent, Memory, Standing,
};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::memory::{self, MemorySession, MemoryStore, Switch};
use trefoil_core::storage::Storage;
use trefoil_core::time::Instant;
use trefoil_core::transport::Transport;

const VOTERS: [&str; 3] = ["a:7001", "b:7001", "c:7001"];

/// A voter and its own durable state.
struct Voter {
    engine: Engine<Election>,
    session: MemorySession,
    stands_still: bool,
}

/// Three voters, what carries between them, and the time.
struct Cluster {
    now: Instant,
    switch: Switch,
    sides: Vec<memory::Memory>,
    voters: Vec<Voter>,
}

impl Cluster {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (switch, sides) = Switch::new(&VOTERS, 256, 16);
        let store = MemoryStore::new();
        let mut voters = Vec::new();
        for (me, name) in VOTERS.iter().enumerate() {
            let config = ElectionConfig {
                // They have never voted before, and may begin at once.
                memory: Memory::Kept { first: true },
                unix_origin: 1_770_000_000_000_000_000,
                ..ElectionConfig::lan(me, &VOTERS)
            };
            let engine = EngineConfig {
                // Voters that mean other voters refuse each other.
                electorate: config.electorate_hash(),
                ..EngineConfig::new(name, "example", me as u64 + 1)
            };
            voters.push(Voter {
                engine: Engine::new(engine, Election::new(config)?)?,
                session: store.session(name, 64),
                stands_still: false,
            });
        }
        Ok(Self {
            now: Instant::ZERO,
            switch,
            sides,
            voters,
        })
    }

    /// Takes in what has come to a voter; says whether there was anything.
    fn turn(&mut self, me: usize) -> bool {
        let (side, now) = (&mut self.sides[me], self.now);
        let cx = &mut Context::from_waker(Waker::noop());
        let voter = &mut self.voters[me];
        let (engine, session) = (&mut voter.engine, &mut voter.session);
        let up = &mut |event: ElectionEvent<'_>| tell(now, me, event);
        let mut busy = false;
        if voter.stands_still {
            while side.poll(cx).is_ready() {}
            return false;
        }
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

    /// Lets time pass: every due time is met exactly.
    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let mut busy = false;
            for me in 0..VOTERS.len() {
                busy |= self.turn(me);
            }
            if busy | self.switch.carry(&mut self.sides) {
                continue;
            }
            let running = self.voters.iter().filter(|voter| !voter.stands_still);
            let due = running
                .filter_map(|voter| voter.engine.poll_timeout())
                .min();
            self.now = due.map_or(until, |due| due.min(until));
            if due.is_none_or(|due| due > until) {
                return;
            }
        }
    }

    /// Who leads, and under which token.
    fn leader(&self) -> Option<(usize, Token)> {
        self.voters.iter().enumerate().find_map(|(me, voter)| {
            match voter.engine.machine().standing(self.now) {
                Standing::Leading { token, .. } => Some((me, token)),
                Standing::Following { .. } | Standing::Leaderless => None,
            }
        })
    }

    fn expect_leader(&self) -> Result<(usize, Token), Box<dyn Error>> {
        Ok(self.leader().ok_or("nobody leads")?)
    }
}

fn tell(now: Instant, me: usize, event: ElectionEvent<'_>) {
    // A leader says anew that it leads with each renewal of its lease.
    if !matches!(event, ElectionEvent::Leading { .. }) {
        println!("{:5} ms, {}: {event:?}", now.as_millis(), VOTERS[me]);
    }
}

/// What a leader writes to: it remembers the greatest token, and refuses what comes under a lesser one.
#[derive(Default)]
struct Ledger {
    fence: Token,
    entries: u32,
}

impl Ledger {
    fn write(&mut self, token: Token) -> bool {
        if token < self.fence {
            return false;
        }
        self.fence = token;
        self.entries += 1;
        true
    }
}

/// A leader is elected, hands over, stands still, and is replaced.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (mut cluster, mut ledger) = (Cluster::new()?, Ledger::default());
    cluster.run_for(Duration::from_millis(500));
    let (first, token) = cluster.expect_leader()?;
    println!("{} leads with token {token}", VOTERS[first]);
    assert!(ledger.write(token));

    let heir = (first + 1) % VOTERS.len();
    let voter = &mut cluster.voters[first];
    voter
        .engine
        .command(
            cluster.now,
            ElectionCommand::HandOver { to: VOTERS[heir] },
            &mut cluster.sides[first],
            &mut voter.session,
            &mut |event: ElectionEvent<'_>| tell(cluster.now, first, event),
        )
        .map_err(|refused| format!("{refused:?}"))?;
    cluster.run_for(Duration::from_millis(50));
    let (second, next) = cluster.expect_leader()?;
    println!("{} leads with token {next}", VOTERS[second]);
    assert!(second == heir && next > token && ledger.write(next));

    cluster.voters[second].stands_still = true;
    cluster.run_for(Duration::from_millis(1_500));
    let (third, last) = cluster.expect_leader()?;
    println!("{} leads with token {last}", VOTERS[third]);
    assert!(third != second && last > next && ledger.write(last));
    // What the second still has on its way is too late wherever the third has written.
    assert!(!ledger.write(next));
    println!(
        "{} entries, none of them under a token that was replaced",
        ledger.entries
    );
    Ok(())
}
