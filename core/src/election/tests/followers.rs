//! Whom a node believes that does not vote, and for how long.

use proptest::prelude::*;
use trefoil_proto::cache::{Empty, HealthAck, Leader, State, StateValue};

use super::hostile::{hostile_answers, hostile_reports};
use super::*;

const PROMISE: Duration = Duration::from_secs(1);

struct Watch {
    follower: Follower,
    io: FakeIo,
    now: Instant,
    told: Vec<String>,
}

/// What a voter says of its own health.
fn report(state: StateValue, leader: &str, ts: i64) -> Vec<u8> {
    says(Said::HealthAck(HealthAck {
        uptime_secs: 1,
        quorum: true,
        state: Some(State { value: Some(state) }),
        leader: Some(Leader {
            addr: leader,
            election_ts: ts,
            connected: true,
        }),
        host_health: &[],
    }))
}

fn leads(leader: &str, ts: i64) -> Vec<u8> {
    report(StateValue::Leader(Empty {}), leader, ts)
}

fn info(addr: Option<&str>, election_ts: i64) -> Vec<u8> {
    says(Said::LeaderInfo(LeaderInfo {
        addr,
        election_ts,
        has_quorum: true,
    }))
}

impl Watch {
    /// All voters have said their first word: nobody leads.
    fn new() -> Self {
        let config = FollowerConfig {
            unix_origin: NOON,
            ..FollowerConfig::lan(&VOTERS)
        };
        let mut watch = Self {
            follower: Follower::new(config).unwrap(),
            io: FakeIo::default(),
            now: Instant::from_millis(1),
            told: Vec::new(),
        };
        watch.timeout();
        for seat in 0..3 {
            watch.says(seat, &info(None, 0));
        }
        watch
    }

    fn timeout(&mut self) {
        let told = &mut self.told;
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        (self.follower).handle_timeout(self.now, &mut self.io, &mut up);
    }

    fn pass(&mut self, end: Instant) {
        while let Some(due) = self.follower.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.timeout();
            assert!(self.follower.poll_timeout().unwrap() > self.now);
        }
        self.now = end;
    }

    fn event(&mut self, seat: u8, event: StreamIn<'_>) {
        let told = &mut self.told;
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        if let Some(stream) = self.follower.peers.at(Seat(seat)).stream {
            let tag = speech::dialled(Seat(seat));
            (self.follower).handle_stream(self.now, stream, tag, event, &mut self.io, &mut up);
        }
    }

    fn says(&mut self, seat: u8, bytes: &[u8]) {
        self.event(seat, StreamIn::Frame(bytes));
    }

    /// How often each voter was asked how it is since the last call.
    fn asked(&mut self) -> [usize; 3] {
        [0, 1, 2].map(|seat| {
            let Some(stream) = self.follower.peers.at(Seat(seat)).stream else {
                return 0;
            };
            let frames = self.io.take_frames(stream);
            let is_it = |bytes: &&Vec<u8>| {
                std::format!("{:?}", CacheRequest::parse(bytes).unwrap()).contains("Health")
            };
            frames.iter().filter(is_it).count()
        })
    }

    fn follows(&self) -> Option<(u8, i64)> {
        match self.follower.standing(self.now) {
            Standing::Following { leader, token } => Some((leader.0, token.to_wire())),
            Standing::Leaderless => None,
            Standing::Leading { .. } => panic!("it does not vote"),
        }
    }
}

#[test]
fn a_leader_is_believed_of_itself_for_one_promise_from_when_it_was_asked() {
    let mut watch = Watch::new();
    assert_eq!(watch.asked(), [1, 1, 1]);
    let asked = watch.now;
    watch.now = asked + Duration::from_millis(50);
    watch.says(1, &leads("v1:1", NOON));
    assert_eq!(watch.follows(), Some((1, NOON)));
    let until = asked + PROMISE;
    assert_eq!(watch.follower.believes_until(watch.now), Some(until));
    assert!(
        watch.told.last().unwrap().contains("v1:1"),
        "{:?}",
        watch.told
    );
    // From now on it alone is asked; what the others still owe is given up.
    for seat in [0, 2] {
        watch.says(seat, &report(StateValue::Follower(Empty {}), "v1:1", NOON));
    }
    watch.pass(asked + Duration::from_millis(900));
    assert_eq!(watch.asked(), [0, 1, 0]);
    watch.pass(until);
    assert_eq!(watch.follows(), None);
    assert_eq!(watch.told.last().unwrap(), "Leaderless");
}

#[test]
fn what_voters_say_of_each_other_or_unasked_is_not_believed() {
    for said in [
        leads("v2:1", NOON),
        leads("v9:9", NOON),
        leads("", NOON),
        leads("v1:1", 0),
        leads("v1:1", i64::MAX),
        report(StateValue::LeadershipRequested(Empty {}), "v1:1", NOON),
        report(StateValue::Follower(Empty {}), "v1:1", NOON),
        report(StateValue::Undefined(Empty {}), "v1:1", NOON),
        info(Some("v1:1"), NOON),
        votes(NOON),
    ] {
        let mut watch = Watch::new();
        watch.says(1, &said);
        assert_eq!(watch.follows(), None);
    }
    let mut watch = Watch::new();
    watch.says(1, &report(StateValue::Undefined(Empty {}), "v1:1", NOON));
    watch.says(1, &leads("v1:1", NOON));
    assert_eq!(watch.follows(), None, "it was asked once");
}

#[test]
fn who_is_named_is_asked() {
    let mut watch = Watch::new();
    for seat in 0..3 {
        watch.says(seat, &report(StateValue::Undefined(Empty {}), VOTERS[0], 0));
    }
    watch.asked();
    watch.says(2, &info(Some("v1:1"), NOON));
    assert_eq!(watch.asked(), [0, 1, 0]);
}

#[test]
fn of_two_that_say_they_lead_the_greater_token_counts_and_no_longer_than_it_is_said() {
    let mut watch = Watch::new();
    watch.says(1, &leads("v1:1", NOON));
    watch.says(2, &leads("v2:1", NOON + 100));
    assert_eq!(watch.follows(), Some((2, NOON + 100)));
    let later = watch.now + Duration::from_millis(400);
    watch.pass(later);
    // The liar is silent; the leader is heard again when it is asked again.
    let end = watch.now + PROMISE;
    while watch.now < end {
        let next = watch.now + Duration::from_millis(20);
        watch.pass(next);
        watch.says(1, &leads("v1:1", NOON));
    }
    assert_eq!(watch.follows(), Some((1, NOON)));
}

#[test]
fn a_leader_that_steps_down_is_followed_no_more_and_all_are_asked_at_once() {
    let mut watch = Watch::new();
    for seat in [0, 2] {
        watch.says(seat, &report(StateValue::Undefined(Empty {}), VOTERS[0], 0));
    }
    watch.says(1, &leads("v1:1", NOON));
    watch.asked();
    watch.says(1, &info(None, NOON));
    assert_eq!(watch.follows(), None);
    assert_eq!(watch.asked(), [1, 1, 1]);
    watch.says(0, &leads(VOTERS[0], NOON + 1));
    assert_eq!(watch.follows(), Some((0, NOON + 1)));
}

#[test]
fn a_follower_neither_votes_nor_leads_nor_serves() {
    let mut watch = Watch::new();
    let told = &mut watch.told;
    let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
    let mut command =
        |command| (watch.follower).handle_command(watch.now, command, &mut watch.io, &mut up);
    for (asked, why) in [
        (ElectionCommand::Campaign, ElectionRefused::NotAVoter),
        (ElectionCommand::StepDown, ElectionRefused::NotLeading),
        (
            ElectionCommand::HandOver { to: "v1:1" },
            ElectionRefused::NotLeading,
        ),
        (
            ElectionCommand::Dead { voter: "v9:9" },
            ElectionRefused::NoSuchVoter,
        ),
    ] {
        assert_eq!(command(asked), Err(why));
    }
    assert_eq!(command(ElectionCommand::Stop), Ok(()));
    assert_eq!(watch.io.ended.len(), 3);
    assert_eq!(watch.follower.poll_timeout(), None);
    assert!(watch.io.adopted.is_empty() && watch.io.submitted.is_empty());
}

#[derive(Clone, Debug)]
enum Attack {
    Say(u8, Vec<u8>),
    End(u8),
    Wait(u64),
}

fn attacks() -> impl Strategy<Value = Attack> {
    let bytes = prop_oneof![hostile_answers(), hostile_reports()];
    prop_oneof![
        6 => (0..3_u8, bytes).prop_map(|(seat, bytes)| Attack::Say(seat, bytes)),
        1 => (0..3_u8).prop_map(Attack::End),
        3 => (0..400_u64).prop_map(Attack::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Hostile voters: no panic, one leader at a time or none, and three seconds after it ends the leader
    /// is followed.
    #[test]
    fn no_voter_does_a_follower_lasting_harm(attacks in prop::collection::vec(attacks(), 0..200)) {
        let mut watch = Watch::new();
        for attack in attacks {
            match attack {
                Attack::Say(seat, bytes) => watch.says(seat, &bytes),
                Attack::End(seat) => watch.event(seat, StreamIn::Ended(Status::OK)),
                Attack::Wait(ms) => {
                    let end = watch.now + Duration::from_millis(ms);
                    watch.pass(end);
                }
            }
            watch.io.frames.clear();
            watch.io.opened.clear();
        }
        let end = watch.now + Duration::from_secs(3);
        while watch.now < end {
            let next = watch.now + Duration::from_millis(20);
            watch.pass(next);
            watch.says(1, &leads("v1:1", NOON + 5));
            for seat in [0, 2] {
                watch.says(seat, &report(StateValue::Follower(Empty {}), "v1:1", NOON + 5));
            }
        }
        prop_assert_eq!(watch.follows(), Some((1, NOON + 5)));
    }
}
