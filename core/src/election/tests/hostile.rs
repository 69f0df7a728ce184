//! Peers that say anything, in any order.

use proptest::prelude::*;

use super::*;

/// What a hostile peer does, and time.
#[derive(Clone, Debug)]
enum Attack {
    Open(Option<usize>),
    Call(usize, Vec<u8>),
    Greet(u8, bool),
    Answer(u8, Vec<u8>),
    HalfClose(usize),
    End(usize),
    Break(u8, bool),
    Wait(u64),
    Kept,
    StoreFails,
}

fn tokens() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        (-2_000_000..2_000_000_i64).prop_map(|off| NOON + off * 1_000),
        Just(NOON + 24 * 3_600 * 1_000_000_000),
        Just(i64::MAX),
    ]
}

fn addrs() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["http://v0:1", "v1:1", "v2:1", "", "v9:9"])
}

fn hostile_requests() -> impl Strategy<Value = Vec<u8>> {
    use trefoil_proto::cache::{
        LeaderAck, LeaderDead, LeaderSwitch, LeaderSwitchAck, LeaderSwitchPriority, Ping,
    };
    (
        0..10_u8,
        addrs(),
        tokens(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(kind, addr, election_ts, junk)| match kind {
            0 => junk,
            1 => asks_vote(addr, election_ts),
            2 => asks(MgmtRequestMethod::LeaderAck(LeaderAck {
                addr,
                election_ts,
            })),
            3 => asks(MgmtRequestMethod::LeaderSwitch(LeaderSwitch {
                vote_host: addr,
                election_ts,
            })),
            4 => asks(MgmtRequestMethod::LeaderSwitchPriority(
                LeaderSwitchPriority {
                    vote_host: addr,
                    election_ts,
                },
            )),
            5 => asks(MgmtRequestMethod::LeaderReqAck(LeaderReqAck {
                addr,
                election_ts,
            })),
            6 => asks(MgmtRequestMethod::Health(Health {})),
            7 => asks(MgmtRequestMethod::LeaderDead(LeaderDead {
                vote_host: addr,
                election_ts,
            })),
            8 => asks(MgmtRequestMethod::LeaderSwitchAck(LeaderSwitchAck { addr })),
            _ => asks(MgmtRequestMethod::Ping(Ping {})),
        })
}

pub(super) fn hostile_answers() -> impl Strategy<Value = Vec<u8>> {
    (
        0..6_u8,
        addrs(),
        tokens(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(kind, addr, election_ts, junk)| match kind {
            0 => junk,
            1 => votes(election_ts),
            2 => says(hostile_report(addr, election_ts)),
            3 => says(Said::Pong(trefoil_proto::cache::Pong {})),
            4 => says(Said::LeaderInfo(LeaderInfo {
                addr: Some(addr),
                election_ts,
                has_quorum: false,
            })),
            _ => says(Said::LeaderInfo(LeaderInfo {
                addr: None,
                election_ts,
                has_quorum: false,
            })),
        })
}

fn hostile_report(addr: &str, election_ts: i64) -> Said<'_> {
    use trefoil_proto::cache::{Empty, HealthAck, Leader, State, StateValue};
    let value = Some(StateValue::Leader(Empty {}));
    Said::HealthAck(HealthAck {
        uptime_secs: 1,
        quorum: true,
        state: Some(State { value }),
        leader: Some(Leader {
            addr,
            election_ts,
            connected: true,
        }),
        host_health: &[],
    })
}

/// What a hostile voter says of its own health.
pub(super) fn hostile_reports() -> impl Strategy<Value = Vec<u8>> {
    use trefoil_proto::cache::{Empty, HealthAck, Leader, State, StateValue};
    (addrs(), tokens(), any::<bool>(), 0..3_u8).prop_map(|(addr, election_ts, connected, state)| {
        let value = match state {
            0 => StateValue::Leader(Empty {}),
            1 => StateValue::Follower(Empty {}),
            _ => StateValue::Undefined(Empty {}),
        };
        says(Said::HealthAck(HealthAck {
            uptime_secs: 1,
            quorum: true,
            state: Some(State { value: Some(value) }),
            leader: Some(Leader {
                addr,
                election_ts,
                connected,
            }),
            host_health: &[],
        }))
    })
}

fn attacks() -> impl Strategy<Value = Attack> {
    prop_oneof![
        2 => prop::option::of(1..3_usize).prop_map(Attack::Open),
        6 => (0..64_usize, hostile_requests()).prop_map(|(at, bytes)| Attack::Call(at, bytes)),
        2 => (1..3_u8, any::<bool>()).prop_map(|(seat, ours)| Attack::Greet(seat, ours)),
        6 => (1..3_u8, prop_oneof![hostile_answers(), hostile_reports()])
            .prop_map(|(seat, bytes)| Attack::Answer(seat, bytes)),
        1 => (0..64_usize).prop_map(Attack::HalfClose),
        1 => (0..64_usize).prop_map(Attack::End),
        1 => (1..3_u8, any::<bool>()).prop_map(|(seat, refused)| Attack::Break(seat, refused)),
        3 => (0..400_u64).prop_map(Attack::Wait),
        3 => Just(Attack::Kept),
        1 => Just(Attack::StoreFails),
    ]
}

fn strike(bench: &mut Bench, streams: &mut Vec<StreamId>, attack: Attack) {
    let at = |streams: &Vec<StreamId>, at: usize| streams.get(at % streams.len().max(1)).copied();
    match attack {
        Attack::Open(from) => streams.push(bench.accept(from)),
        Attack::Call(stream, bytes) => {
            if let Some(stream) = at(streams, stream) {
                bench.called(stream, &bytes);
            }
        }
        Attack::Greet(seat, ours) => {
            if bench.election.peers.at(Seat(seat)).stream.is_some() {
                bench.greeted(seat, if ours { Kin::Ours } else { Kin::Redhac });
            }
        }
        Attack::Answer(seat, bytes) => {
            if let Some(stream) = bench.election.peers.at(Seat(seat)).stream {
                bench.answered(seat, stream, &bytes);
            }
        }
        Attack::HalfClose(stream) => {
            if let Some(stream) = at(streams, stream) {
                bench.stream(stream, speech::CALLED, StreamIn::HalfClosed);
            }
        }
        Attack::End(stream) => {
            if let Some(stream) = at(streams, stream) {
                bench.stream(stream, speech::CALLED, StreamIn::Ended(Status::OK));
            }
        }
        Attack::Break(seat, refused) => {
            let cause = if refused { Cause::Refused } else { Cause::Lost };
            let status = Status::new(Code::Unavailable, "").caused_by(cause);
            if let Some(stream) = bench.election.peers.at(Seat(seat)).stream {
                bench.stream(stream, speech::dialled(Seat(seat)), StreamIn::Ended(status));
            }
        }
        Attack::Wait(ms) => {
            let end = bench.now + Duration::from_millis(ms);
            bench.pass(end);
        }
        Attack::Kept => bench.kept(),
        Attack::StoreFails => {
            if bench.io.submitted.pop().is_some() {
                bench.done(KEEP, Done::Unknown);
            }
        }
    }
    // What was ended is known to its opener no more.
    let ended = core::mem::take(&mut bench.io.ended);
    streams.retain(|stream| !ended.iter().any(|(gone, _)| gone == stream));
    bench.io.frames.clear();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Two hostile voters and anybody else: no panic, a bounded table, and three seconds after it ends this
    /// voter leads with the votes of two that are honest again.
    #[test]
    fn no_peer_does_lasting_harm(
        attacks in prop::collection::vec(attacks(), 0..200),
        pre_vote: bool,
        refused: bool,
        counted: bool,
    ) {
        let mut bench = Bench::with(|config| {
            config.followers_max = 8;
            config.pre_vote = pre_vote;
            config.evidence = if refused { Evidence::RefusedAnywhere } else { Evidence::None };
            if counted {
                config.redhac_votes = RedhacVotes::CountedTwoMayLead;
            }
        });
        let mut streams = Vec::new();
        for attack in attacks {
            strike(&mut bench, &mut streams, attack);
            prop_assert!(bench.election.callers.len() <= 4 * 3 + 8);
        }
        let end = bench.now + Duration::from_secs(3);
        while bench.now < end && !bench.election.leads(bench.now) {
            honest(&mut bench);
            let next = bench.now + Duration::from_millis(5);
            bench.pass(next);
        }
        prop_assert!(bench.election.leads(bench.now), "{:?}", bench.election);
    }
}

/// The other voters answer as they should: a poll with freedom, a request with a vote.
fn honest(bench: &mut Bench) {
    bench.kept();
    for seat in [1, 2] {
        let Some(stream) = bench.election.peers.at(Seat(seat)).stream else {
            continue;
        };
        if bench.election.peers.at(Seat(seat)).kin != Kin::Ours {
            bench.greeted(seat, Kin::Ours);
        }
        if !bench.election.peers.at(Seat(seat)).heard {
            bench.answered(seat, stream, &says_free());
        }
        for bytes in bench.io.take_frames(stream) {
            let asked = CacheRequest::parse(&bytes).unwrap();
            if let Some(said) = honest_answer(&asked) {
                bench.answered(seat, stream, &said);
            }
        }
    }
    bench.io.ended.clear();
}

fn honest_answer(asked: &CacheRequest<'_>) -> Option<Vec<u8>> {
    use trefoil_proto::cache::{HealthAck, Leader, Pong};
    let Some(CacheRequestMethod::MgmtReq(MgmtRequest {
        method: Some(method),
    })) = &asked.method
    else {
        return None;
    };
    match method {
        MgmtRequestMethod::LeaderReq(request) => Some(votes(request.election_ts)),
        MgmtRequestMethod::Health(_) => Some(says(Said::HealthAck(HealthAck {
            uptime_secs: 1,
            quorum: true,
            state: None,
            leader: Some(Leader {
                addr: "v1:1",
                election_ts: 0,
                connected: false,
            }),
            host_health: &[],
        }))),
        MgmtRequestMethod::Ping(_) => Some(says(Said::Pong(Pong {}))),
        MgmtRequestMethod::LeaderAck(_)
        | MgmtRequestMethod::LeaderDead(_)
        | MgmtRequestMethod::LeaderReqAck(_)
        | MgmtRequestMethod::LeaderSwitch(_)
        | MgmtRequestMethod::LeaderSwitchPriority(_)
        | MgmtRequestMethod::LeaderSwitchAck(_) => None,
    }
}
