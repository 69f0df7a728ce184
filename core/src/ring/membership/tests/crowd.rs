//! Many nodes on one machine: a processor that all of them share, a slice of time each in turn.

extern crate std;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::eprintln;
use std::vec::Vec;

use super::net::{Due, Event, Net};
use crate::machine::Machine;
use crate::ring::membership::MembershipConfig;
use crate::time::{Duration, Instant};

/// Events a node takes in one turn before the next node has its own.
const SLICE: usize = 30;

/// The one processor.
pub(super) struct Processor {
    /// What it takes to handle a request or a reply, sockets and all.
    cost: Duration,
    /// What waits at each node.
    inboxes: Vec<VecDeque<Event>>,
    turn: usize,
}

impl Net {
    /// From now on all nodes share one processor.
    fn share_processor(&mut self, cost: Duration) {
        let inboxes = self.nodes.iter().map(|_| VecDeque::new()).collect();
        self.processor = Some(Processor {
            cost,
            inboxes,
            turn: 0,
        });
    }

    /// Whether there is anything to be done for an event.
    fn is_work(&self, at: usize, event: &Event) -> bool {
        let node = &self.nodes[at];
        match event {
            Event::Tick => node.machine.poll_timeout().is_some_and(|d| d <= self.now),
            Event::Deadline(stream) => node.has_stream(*stream),
            Event::Request { .. } | Event::Reply { .. } | Event::Refused(_) => true,
        }
    }

    /// Runs until `until`, or a little longer if the processor is busy then.
    pub(super) fn run_shared(&mut self, processor: &mut Processor, until: Instant) {
        while self.now <= until {
            self.receive(processor);
            let nodes = processor.inboxes.len();
            let mut turns = (0..nodes).map(|step| (processor.turn + step) % nodes);
            let Some(at) = turns.find(|at| !processor.inboxes[*at].is_empty()) else {
                let due = self.queue.peek().map_or(until, |Reverse(due)| due.at);
                if due > until {
                    break;
                }
                self.now = due;
                continue;
            };
            processor.turn = at + 1;
            let mut left = SLICE;
            while left > 0 {
                let Some(event) = processor.inboxes[at].pop_front() else {
                    break;
                };
                if self.is_work(at, &event) {
                    left -= 1;
                    self.deliver(at, event);
                    self.now += processor.cost;
                    self.receive(processor);
                } else if matches!(event, Event::Tick) {
                    self.deliver(at, event);
                }
            }
        }
        self.now = self.now.max(until);
    }

    /// Gives each node what is due. Its timers are looked at before its sockets.
    fn receive(&mut self, processor: &mut Processor) {
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(due)| due.at <= self.now)
        {
            let Some(Reverse(Due { node, event, .. })) = self.queue.pop() else {
                return;
            };
            let inbox = &mut processor.inboxes[node];
            match event {
                Event::Tick | Event::Deadline(_) => inbox.push_front(event),
                Event::Request { .. } | Event::Reply { .. } | Event::Refused(_) => {
                    inbox.push_back(event);
                }
            }
        }
    }
}

/// A start in one moment makes each node slow for all others. That must not be taken for their death: the
/// questions about who is dead would be what keeps them slow, for ever.
#[test]
fn nodes_that_share_a_processor_and_start_in_one_moment_become_whole() {
    for (n, bound) in [(50, 3), (100, 20)] {
        for seed in 0..2 {
            let mut net = Net::new(MembershipConfig::lan(), seed);
            for _ in 0..n {
                net.add(&[0]);
            }
            net.share_processor(Duration::from_micros(150));
            let all: Vec<usize> = (0..n).collect();
            let time = net.until(Duration::from_secs(bound), |net| net.agree(&all, &all));
            eprintln!("n={n} on one processor: {} ms", time.as_millis());
            net.run(Duration::from_secs(10));
            let downs: usize = all.iter().map(|at| net.downs(*at)).sum();
            assert_eq!(downs, 0, "nobody died");
        }
    }
}

/// Those that are left answer promptly, so the dead are not taken for slow.
#[test]
fn the_death_of_half_a_cluster_is_known_as_soon_as_that_of_one() {
    for seed in 0..3 {
        let (n, dead) = (50, 25);
        let mut net = Net::cluster(n, seed);
        let all: Vec<usize> = (0..n).collect();
        net.until(Duration::from_secs(10), |net| net.agree(&all, &all));
        net.run(Duration::from_secs(3));
        for at in 0..dead {
            net.crash(at);
        }
        let rest = &all[dead..];
        let time = net.until(Duration::from_secs(13), |net| net.agree(rest, rest));
        eprintln!("death of {dead} of {n}: {} ms", time.as_millis());
    }
}
