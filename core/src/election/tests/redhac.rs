//! Voters that are redhac's nodes, line by line of what one expects of the nodes of its cluster. The lines
//! that are missing are those of the cache.

mod door;
mod rest;
mod votes;

use trefoil_proto::cache::{
    Empty, HealthAck, Leader, LeaderAck, LeaderDead, LeaderSwitch, LeaderSwitchAck,
    LeaderSwitchPriority, Ping, Pong, State, StateValue,
};

use super::*;

/// What real nodes write: where they listen, with the scheme.
const HOSTS: [&str; 3] = ["http://v0:1", "http://r1:1", "http://r2:1"];

/// This voter and two of redhac's, which are connected and know no leader.
fn mixed(votes: RedhacVotes) -> Bench {
    let mut bench = alone(votes);
    bench.timeout();
    for seat in [1, 2] {
        joined(&mut bench, seat);
    }
    bench
}

fn alone(votes: RedhacVotes) -> Bench {
    Bench::with(|config| {
        config.voters = HOSTS.map(String::from).to_vec();
        config.redhac_votes = votes;
    })
}

/// This voter, another of ours and one of redhac's; this one leads by the vote of the other.
fn leads_with_ours(votes: RedhacVotes) -> (Bench, Token) {
    let mut bench = alone(votes);
    bench.timeout();
    ours(&mut bench, 1);
    joined(&mut bench, 2);
    let token = campaigns(&mut bench);
    let stream = bench.dialled(1);
    bench.answered(1, stream, &votes_for(token.to_wire()));
    assert!(bench.election.leads(bench.now));
    told(&mut bench, 2);
    (bench, token)
}

fn ours(bench: &mut Bench, seat: u8) {
    let stream = bench.dialled(seat);
    bench.greeted(seat, Kin::Ours);
    bench.answered(seat, stream, &says_free());
}

fn joined(bench: &mut Bench, seat: u8) {
    let stream = bench.dialled(seat);
    bench.greeted(seat, Kin::Redhac);
    let info = LeaderInfo {
        addr: None,
        election_ts: -1,
        has_quorum: false,
    };
    bench.answered(seat, stream, &says(Said::LeaderInfo(info)));
}

fn campaigns(bench: &mut Bench) -> Token {
    bench.command(ElectionCommand::Campaign).unwrap();
    bench.timeout();
    bench.kept();
    let Role::Candidate(token) = bench.election.elector.role() else {
        panic!("it does not ask");
    };
    token
}

fn votes_for(ts: i64) -> Vec<u8> {
    says(Said::LeaderReqAck(LeaderReqAck {
        addr: HOSTS[0],
        election_ts: ts,
    }))
}

fn broadcast_vote(addr: &str, ts: i64) -> Vec<u8> {
    asks(MgmtRequestMethod::LeaderReqAck(LeaderReqAck {
        addr,
        election_ts: ts,
    }))
}

fn claims_dead(seat: usize, ts: i64) -> Vec<u8> {
    asks(MgmtRequestMethod::LeaderDead(LeaderDead {
        vote_host: HOSTS[seat],
        election_ts: ts,
    }))
}

fn says_it_leads(seat: usize, ts: i64) -> Vec<u8> {
    asks(MgmtRequestMethod::LeaderAck(LeaderAck {
        addr: HOSTS[seat],
        election_ts: ts,
    }))
}

fn prefers(seat: usize, ts: i64) -> Vec<u8> {
    asks(MgmtRequestMethod::LeaderSwitchPriority(
        LeaderSwitchPriority {
            vote_host: HOSTS[seat],
            election_ts: ts,
        },
    ))
}

fn reports(state: StateValue, leader: Option<(&str, i64)>) -> Vec<u8> {
    says(Said::HealthAck(HealthAck {
        uptime_secs: 0,
        quorum: true,
        state: Some(State { value: Some(state) }),
        leader: leader.map(|(addr, election_ts)| Leader {
            addr,
            election_ts,
            connected: true,
        }),
        host_health: &[],
    }))
}

/// What was said to a voter on the stream that this one opened, by method.
fn told(bench: &mut Bench, seat: u8) -> Vec<String> {
    let stream = bench.dialled(seat);
    let frames = bench.io.take_frames(stream);
    let method = |bytes: &Vec<u8>| match CacheRequest::parse(bytes).unwrap().method {
        Some(CacheRequestMethod::MgmtReq(MgmtRequest {
            method: Some(method),
        })) => std::format!("{method:?}"),
        other => std::format!("{other:?}"),
    };
    frames.iter().map(method).collect()
}

fn without_pings(mut said: Vec<String>) -> Vec<String> {
    said.retain(|said| !said.starts_with("Ping"));
    said
}

/// Seconds in which every ping is answered.
fn quiet(bench: &mut Bench, millis: u64) -> Vec<Vec<String>> {
    let mut said = vec![Vec::new(); 3];
    let end = bench.now + Duration::from_millis(millis);
    while bench.now < end {
        let next = bench.now + Duration::from_millis(10);
        bench.pass(next.min(end));
        for seat in [1, 2] {
            let new = told(bench, seat);
            let stream = bench.dialled(seat);
            for one in &new {
                if one.starts_with("Ping") {
                    bench.answered(seat, stream, &says(Said::Pong(Pong {})));
                }
            }
            said[usize::from(seat)].extend(new);
        }
    }
    said
}

fn both() -> [RedhacVotes; 2] {
    [RedhacVotes::Ignored, RedhacVotes::CountedTwoMayLead]
}

#[test]
fn line_01_every_other_voter_is_dialled_and_the_stream_stays() {
    for votes in both() {
        let mut bench = mixed(votes);
        assert_eq!(bench.io.opened.len(), 2);
        quiet(&mut bench, 60_000);
        assert_eq!((bench.io.opened.len(), bench.io.ended.len()), (2, 0));
    }
}

#[test]
fn line_02_names_are_those_of_the_list_byte_by_byte() {
    let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
    campaigns(&mut bench);
    let said = without_pings(told(&mut bench, 1));
    assert!(
        said.len() == 1 && said[0].contains("\"http://v0:1\""),
        "{said:?}"
    );
    // A voter that names itself otherwise is none.
    let stream = bench.accept(None);
    answers(&mut bench, stream);
    bench.called(stream, &asks_vote("r1:1", 1));
    assert!(answers(&mut bench, stream).is_empty());
    // The scheme is no part of what is dialled.
    let names = bench
        .io
        .opened
        .iter()
        .map(|opened| bench.io.name(opened.to));
    assert_eq!(names.collect::<Vec<_>>(), ["r1:1", "r2:1"]);
}

#[test]
fn line_05_leader_info_is_the_first_message() {
    for votes in both() {
        // Nobody leads: no name, -1. It is there at once.
        let mut bench = mixed(votes);
        let stream = bench.accept(None);
        let none = "LeaderInfo(LeaderInfo { addr: None, election_ts: -1, has_quorum: true })";
        let said = answers(&mut bench, stream);
        assert!(said.len() == 1 && said[0].contains(none), "{said:?}");
        // A candidate is no leader.
        campaigns(&mut bench);
        let stream = bench.accept(None);
        let said = answers(&mut bench, stream);
        assert!(said.len() == 1 && said[0].contains(none), "{said:?}");

        let (mut bench, token) = leads_with_ours(votes);
        let stream = bench.accept(None);
        let me =
            std::format!("addr: Some(\"http://v0:1\"), election_ts: {token}, has_quorum: true");
        let said = answers(&mut bench, stream);
        assert!(said.len() == 1 && said[0].contains(&me), "{said:?}");
    }
}

#[test]
fn line_05_a_quorum_is_half_of_the_voters_besides_this_one() {
    let mut bench = alone(RedhacVotes::Ignored);
    bench.timeout();
    let stream = bench.accept(None);
    let said = answers(&mut bench, stream);
    assert!(said[0].contains("has_quorum: false"), "{said:?}");
    joined(&mut bench, 1);
    let stream = bench.accept(None);
    let said = answers(&mut bench, stream);
    assert!(said[0].contains("has_quorum: true"), "{said:?}");
    // That is what redhac means by it. No leadership can come of it.
    assert!(!bench.election.has_quorum());
}

#[test]
fn line_06_pings_go_out_every_two_seconds_and_are_answered() {
    for votes in both() {
        let mut bench = mixed(votes);
        quiet(&mut bench, 1_000);
        let said = quiet(&mut bench, 60_000);
        for seat in [1, 2] {
            let pings = said[seat].iter().filter(|said| said.starts_with("Ping"));
            let pings = pings.count();
            assert!((29..=31).contains(&pings), "{pings}");
        }
        let stream = bench.accept(None);
        answers(&mut bench, stream);
        for _ in 0..3 {
            bench.called(stream, &asks(MgmtRequestMethod::Ping(Ping {})));
        }
        let said = answers(&mut bench, stream);
        assert!(said.len() == 3 && said[2].contains("Pong"), "{said:?}");
    }
}

#[test]
fn line_08_every_get_is_answered_also_of_a_cache_that_nobody_knows() {
    for votes in both() {
        let mut bench = mixed(votes);
        let stream = bench.accept(None);
        answers(&mut bench, stream);
        let get = Get {
            cache_name: "no such",
            entry: "e",
        };
        let method = Some(CacheRequestMethod::Get(get));
        bench.called(stream, &encode(&CacheRequest { method }));
        let said = answers(&mut bench, stream);
        assert!(
            said.len() == 1 && said[0].contains("\"no such\", entry: \"e\", value: None"),
            "{said:?}"
        );
    }
}

#[test]
fn line_19_what_a_redhac_node_repeats_costs_nothing() {
    for votes in both() {
        let (mut bench, token) = leads_with_ours(votes);
        // It comes again every few seconds, and asks each time.
        for round in 0..20 {
            let stream = bench.accept(None);
            answers(&mut bench, stream);
            bench.called(stream, &asks_vote(HOSTS[2], NOON + round));
            for _ in 0..5 {
                bench.called(stream, &prefers(0, token.to_wire()));
                bench.called(stream, &broadcast_vote(HOSTS[0], token.to_wire()));
                bench.called(stream, &says_it_leads(2, NOON + round));
            }
            let put = Put {
                cache_name: "c",
                entry: "e",
                value: b"v",
                req_id: None,
            };
            let method = Some(CacheRequestMethod::Put(put));
            bench.called(stream, &encode(&CacheRequest { method }));
            let said = told(&mut bench, 2);
            let said = without_pings(said);
            // One answer each to who asks or says that it leads: none to an opinion.
            assert!(said.len() <= 7, "{said:?}");
            assert!(said.iter().all(|said| said.starts_with("LeaderAck(")));
            bench.stream(stream, speech::CALLED, StreamIn::HalfClosed);
            bench.stream(stream, speech::CALLED, StreamIn::Ended(Status::OK));
        }
        assert!(bench.election.leads(bench.now));
        assert_eq!(bench.election.counters.misbehaved, 0);
        // Several streams of one node during its reconnects.
        let streams: Vec<StreamId> = (0..8).map(|_| bench.accept(None)).collect();
        for stream in streams {
            assert_eq!(bench.io.take_end(stream), None);
        }
    }
}

#[test]
fn what_the_electorate_is_can_be_seen() {
    let (bench, _) = leads_with_ours(RedhacVotes::Ignored);
    let kinds: Vec<Kin> = bench.election.neighbours().map(|n| n.kin).collect();
    assert_eq!(kinds, [Kin::Ours, Kin::Redhac]);
    assert!(bench.election.is_exclusive() && bench.election.has_quorum());
    let bench = mixed(RedhacVotes::CountedTwoMayLead);
    assert!(!bench.election.is_exclusive() && bench.election.has_quorum());
}
