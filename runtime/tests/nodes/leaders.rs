//! Leaders: one at a time, over real sockets, with a lock for whoever needs one.

use std::time::{Duration, Instant};

use trefoil_core::election::{ElectionConfig, Evidence, Memory};
use trefoil_core::ring::membership::PartitionPolicy;
use trefoil_store::{Session, Store};

use super::harness::{Sums, free_host, named, soon, stat, store, until};
use crate::runtime::{
    Election, ElectionError, FencingToken, Leadership, Node, NodeOptions, StartError, clock, run,
    sleep, spawn, timeout,
};

/// Voters that share nothing, not even a store: each keeps its own vote.
struct Voters {
    hosts: Vec<String>,
    stores: Vec<Store>,
    nodes: Vec<Option<Node>>,
}

impl Voters {
    async fn of(count: usize) -> Self {
        Self::with(count, |_| {}).await
    }

    async fn with(count: usize, change: impl Fn(&mut ElectionConfig)) -> Self {
        let mut voters = Self {
            hosts: (0..count).map(|_| free_host()).collect(),
            stores: (0..count).map(|_| store()).collect(),
            nodes: (0..count).map(|_| None).collect(),
        };
        for at in 0..count {
            voters.start(at, &change).await;
        }
        voters
    }

    async fn start(&mut self, at: usize, change: &impl Fn(&mut ElectionConfig)) {
        let mut options = named(self.hosts[at].clone(), "voters");
        let mut election = ElectionConfig::lan(0, &self.hosts);
        election.memory = Memory::Kept { first: true };
        change(&mut election);
        options.election = Some(election);
        self.nodes[at] = Some(start(options, self.session(at)).await.unwrap());
    }

    fn session(&self, at: usize) -> Session {
        self.stores[at].session(&self.hosts[at])
    }

    fn election(&self, at: usize) -> Election {
        let node = self.nodes[at].as_ref().unwrap();
        node.handle().election().unwrap()
    }

    fn up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some())
    }

    /// Who leads, once all that are up say the same.
    async fn leader(&self) -> (usize, FencingToken) {
        let mut found = None;
        let agreed = || {
            let leaders = self
                .up()
                .filter_map(|at| Some((at, self.election(at).token()?)));
            found = leaders.last();
            let Some((leader, token)) = found else {
                return false;
            };
            self.up().all(|at| match self.election(at).leadership() {
                Leadership::Leading { token: own, .. } => own == token,
                Leadership::Following {
                    leader: host,
                    token: own,
                } => *host == *self.hosts[leader] && own == token,
                Leadership::Leaderless => false,
            })
        };
        until("all follow one leader", agreed).await;
        found.unwrap()
    }

    /// Returns when each voter hears all others, each on the stream that it opened.
    async fn connected(&self) {
        let others = self.nodes.len() as u64 - 1;
        for node in self.nodes.iter().flatten() {
            while stat(node.handle(), "voters_connected").await < others {
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn end(self) {
        for node in self.nodes.into_iter().flatten() {
            soon(node.kill()).await;
        }
    }
}

async fn start(options: NodeOptions, session: Session) -> Result<Node, StartError> {
    soon(Node::spawn(options, Sums::default(), session)).await
}

#[test]
fn voters_that_share_nothing_have_one_leader_and_give_it_to_another() {
    run(async {
        let voters = Voters::of(3).await;
        let (leader, token) = voters.leader().await;
        let next = (leader + 1) % 3;
        let old = voters.election(leader);
        assert!(old.is_leader() && !voters.election(next).is_leader());
        let nobody = voters.election(next).step_down().await;
        assert_eq!(nobody.unwrap_err().to_string().get(..6), Some("TF-E01"));
        let nowhere = old.hand_over("127.0.0.1:1").await;
        assert_eq!(nowhere.unwrap_err().to_string().get(..6), Some("TF-E02"));
        assert_eq!(old.token(), Some(token), "a refusal changes nothing");

        soon(old.hand_over(&voters.hosts[next])).await.unwrap();
        assert!(!old.is_leader(), "it stopped before the other was told");
        let (leads, greater) = voters.leader().await;
        assert_eq!(leads, next);
        assert!(greater > token);
        voters.end().await;
    });
}

#[test]
fn a_leader_that_falls_silent_is_followed_by_another_within_its_promise() {
    run(async {
        let mut voters = Voters::of(3).await;
        let (leader, token) = voters.leader().await;
        let killed = voters.nodes[leader].take().unwrap();
        soon(killed.kill()).await;
        let at = Instant::now();
        let (_, greater) = voters.leader().await;
        let gap = at.elapsed();
        assert!(greater > token);
        // A lease must run out first; a machine under load takes longer.
        assert!(gap > Duration::from_millis(500), "{gap:?}");
        voters.end().await;
    });
}

#[test]
fn a_refused_dial_replaces_a_leader_whose_process_is_gone_at_once() {
    run(async {
        let change = |config: &mut ElectionConfig| {
            // Where refusals are told, only that can be why another leads.
            if crate::subject::TELLS_OF_REFUSAL {
                config.promise = Duration::from_secs(60);
            }
            config.evidence = Evidence::Refused;
        };
        let mut voters = Voters::with(3, change).await;
        let (leader, token) = voters.leader().await;
        // A refusal says something of a voter that was reached there before, by whoever is refused.
        soon(voters.connected()).await;
        let killed = voters.nodes[leader].take().unwrap();
        soon(killed.kill()).await;
        let (_, greater) = voters.leader().await;
        assert!(greater > token);
        voters.end().await;
    });
}

#[test]
fn a_leader_that_is_shut_down_hands_over_first() {
    run(async {
        let change = |config: &mut ElectionConfig| config.promise = Duration::from_secs(60);
        let mut voters = Voters::with(3, change).await;
        let (leader, token) = voters.leader().await;
        let leaving = voters.nodes[leader].take().unwrap();
        let old = leaving.handle().election().unwrap();
        soon(leaving.shutdown()).await;
        assert!(!old.is_leader());
        let (_, greater) = voters.leader().await;
        assert!(greater > token);
        voters.end().await;
    });
}

#[test]
fn a_voter_that_is_started_again_remembers_and_disturbs_nobody() {
    run(async {
        let mut voters = Voters::of(3).await;
        let (leader, token) = voters.leader().await;
        let other = (leader + 1) % 3;
        soon(voters.nodes[other].take().unwrap().kill()).await;
        voters.start(other, &|_: &mut ElectionConfig| {}).await;
        assert_eq!(voters.leader().await, (leader, token));
        voters.end().await;
    });
}

#[test]
fn the_catalog_takes_the_fence_of_the_newest_lock_and_no_earlier_one() {
    run(async {
        let voters = Voters::of(3).await;
        let (leader, token) = voters.leader().await;
        let lock = soon(voters.election(leader).lock()).await.unwrap();
        assert_eq!((lock.token(), lock.is_held()), (token, true));
        let catalog = store();
        write(&catalog, lock.fence()).unwrap();
        assert_eq!(soon(lock.run(async { 7 })).await, Ok(7));

        let next = (leader + 1) % 3;
        let kept = lock.clone();
        let waits = spawn(async move { kept.run(std::future::pending::<()>()).await });
        soon(voters.election(leader).hand_over(&voters.hosts[next]))
            .await
            .unwrap();
        assert!(!lock.is_held());
        assert_eq!(soon(waits).await, Err(ElectionError::Lost));
        let newer = soon(voters.election(next).lock()).await.unwrap();
        write(&catalog, newer.fence()).unwrap();
        assert!(write(&catalog, lock.fence()).is_err(), "it was fenced off");
        assert_eq!(soon(lock.release()).await, Err(ElectionError::Lost));
        soon(newer.release()).await.unwrap();
        voters.end().await;
    });
}

/// Writes to the catalog in the name of a leadership.
pub(super) fn write(catalog: &Store, fence: u64) -> Result<(), String> {
    use trefoil_core::storage::{Completion, Op};
    let mut session = catalog.session("writer");
    let key = b"assignment";
    let Completion::Value { revision, .. } = session.run(Op::Load { key }) else {
        return Err("it cannot be read".into());
    };
    let value = b"mine";
    let op = Op::Cas {
        key,
        fence,
        revision,
        value,
    };
    let done = session.run(op);
    let is_written = matches!(done, Completion::Durable { .. });
    is_written.then_some(()).ok_or(format!("{done:?}"))
}

#[test]
fn a_ring_that_follows_the_voters_goes_on_only_with_their_quorum() {
    run(async {
        let hosts: Vec<String> = (0..3).map(|_| free_host()).collect();
        let shared = store();
        let mut nodes = Vec::new();
        for host in &hosts {
            let mut options = named(host.clone(), "tests");
            options.join = hosts.clone();
            options.membership.partition = PartitionPolicy::KeepQuorum;
            let memory = Memory::Kept { first: true };
            let election = ElectionConfig::lan(0, &hosts);
            options.election = Some(ElectionConfig { memory, ..election });
            nodes.push(start(options, shared.session(host)).await.unwrap());
        }
        let handle = nodes[0].handle().clone();
        let has_majority = || handle.members().majority;
        until("the voters hear each other", has_majority).await;
        for node in nodes.drain(1..) {
            soon(node.kill()).await;
        }
        until("no quorum is heard", || !handle.members().majority).await;
        soon(nodes.remove(0).kill()).await;
    });
}

#[test]
fn who_is_not_in_the_list_follows_and_never_leads() {
    run(async {
        let voters = Voters::of(3).await;
        let host = free_host();
        let mut options = named(host.clone(), "voters");
        options.election = Some(ElectionConfig::lan(0, &voters.hosts));
        let follower = start(options, store().session(&host)).await.unwrap();
        let known = follower.handle().election().unwrap();
        let (leader, token) = voters.leader().await;
        let follows = |of: usize| {
            let known = known.leadership();
            matches!(known, Leadership::Following { leader, .. } if *leader == *voters.hosts[of])
        };
        until("it hears of the leader", || follows(leader)).await;
        assert_eq!(known.leadership().token(), Some(token));
        let refused = known.campaign().await.unwrap_err();
        assert_eq!(refused.to_string().get(..6), Some("TF-E08"));
        let next = (leader + 1) % 3;
        let old = voters.election(leader);
        soon(old.hand_over(&voters.hosts[next])).await.unwrap();
        until("it hears of the next", || follows(next)).await;
        soon(follower.kill()).await;
        voters.end().await;
    });
}

#[test]
fn voters_of_two_electorates_do_not_vote_together() {
    run(async {
        let hosts: Vec<String> = (0..3).map(|_| free_host()).collect();
        let mut nodes = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            let mut options = named(host.clone(), "voters");
            let memory = Memory::Kept { first: true };
            let mut election = ElectionConfig::lan(0, &hosts);
            // No two of them mean the same.
            election.epoch = 1 + at as u64;
            options.election = Some(ElectionConfig { memory, ..election });
            nodes.push(start(options, store().session(host)).await.unwrap());
        }
        sleep(Duration::from_secs(2)).await;
        for node in nodes {
            let election = node.handle().election().unwrap();
            assert_eq!(election.leadership(), Leadership::Leaderless);
            soon(node.kill()).await;
        }
    });
}

#[test]
fn settings_of_an_election_are_refused_by_name() {
    run(async {
        let host = free_host();
        let with = |election: Option<ElectionConfig>, partition| {
            let mut options = named(host.clone(), "voters");
            options.election = election;
            options.membership.partition = partition;
            options
        };
        let members = PartitionPolicy::KeepMajority;
        let none = ElectionConfig::lan(0, &[""; 0]);
        let away = ElectionConfig {
            evidence: Evidence::Refused,
            ..ElectionConfig::lan(0, &[host.as_str(), "10.0.0.1:1"])
        };
        for (options, why) in [
            (with(Some(none), members), "1 to 64 voters"),
            (with(Some(away), members), "10.0.0.1:1"),
            (with(None, PartitionPolicy::KeepQuorum), "no voters"),
        ] {
            let error = start(options, store().session(&host))
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("TF-U02") && error.contains(why),
                "{error}"
            );
        }
    });
}

#[test]
fn a_leader_without_a_quorum_leads_no_more_when_its_lease_has_ended() {
    run(async {
        let mut voters = Voters::of(3).await;
        let (leader, _) = voters.leader().await;
        let old = voters.election(leader);
        for other in [(leader + 1) % 3, (leader + 2) % 3] {
            soon(voters.nodes[other].take().unwrap().kill()).await;
        }
        let Leadership::Leading { until: end, .. } = old.leadership() else {
            panic!("a lease lasts longer than a kill");
        };
        until("the lease has ended", || !old.is_leader()).await;
        assert!(clock::now() >= end);
        let led = timeout(Duration::from_secs(2), old.lock()).await;
        assert!(led.is_none(), "alone it must never lead");
        voters.end().await;
    });
}
