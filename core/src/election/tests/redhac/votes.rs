//! Who is voted for, whose votes count, and who is followed.

use super::*;

#[test]
fn line_11_a_request_is_never_granted_where_votes_of_redhac_are_ignored() {
    let mut bench = mixed(RedhacVotes::Ignored);
    let stream = bench.accept(None);
    answers(&mut bench, stream);
    for ts in [NOON - 1, i64::MIN, -1, 0, 1, NOON, i64::MAX] {
        bench.called(stream, &asks_vote(HOSTS[1], ts));
        bench.called(stream, &claims_dead(1, ts));
        bench.kept();
        assert!(answers(&mut bench, stream).is_empty());
    }
    let said = [told(&mut bench, 1), told(&mut bench, 2)].concat();
    assert!(without_pings(said).is_empty());
    assert_eq!(bench.election.elector.vote(), Vote::default());
}

#[test]
fn line_11_a_request_is_granted_where_they_count_and_no_leader_is_known() {
    for ts in [i64::MIN, -1, 0, 1, NOON, i64::MAX] {
        let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
        let (stream, other) = (bench.accept(None), bench.accept(None));
        answers(&mut bench, stream);
        answers(&mut bench, other);
        bench.called(stream, &asks_vote(HOSTS[1], ts));
        let said = answers(&mut bench, stream);
        let ack = std::format!("LeaderReqAck {{ addr: \"http://r1:1\", election_ts: {ts} }}");
        assert!(said.len() == 1 && said[0].contains(&ack), "{said:?}");
        // Once, for it counts whatever comes; and nobody else while that binds.
        bench.called(stream, &asks_vote(HOSTS[1], ts));
        bench.called(other, &asks_vote(HOSTS[2], ts));
        assert!(answers(&mut bench, stream).is_empty());
        assert!(answers(&mut bench, other).is_empty());
        // Its time is no token: nothing of ours is pushed by it.
        assert_eq!(bench.election.elector.max(), Token::NONE);
    }
}

#[test]
fn line_11_who_asks_while_a_leader_of_ours_is_there_is_told_who_leads() {
    for votes in both() {
        let (mut bench, token) = leads_with_ours(votes);
        let stream = bench.accept(None);
        answers(&mut bench, stream);
        told(&mut bench, 2);
        // Earlier or later: what leads is not deposed by a clock.
        for ts in [1, NOON + 1_000_000_000_000] {
            bench.called(stream, &asks_vote(HOSTS[2], ts));
            let ack = std::format!(
                "LeaderAck(LeaderAck {{ addr: \"http://v0:1\", election_ts: {token} }})"
            );
            assert_eq!(without_pings(told(&mut bench, 2)), [ack]);
            assert!(answers(&mut bench, stream).is_empty());
        }
        assert!(bench.election.leads(bench.now));
    }
}

/// This voter follows a leader of redhac's, since a time.
fn follows(seat: u8, ts: i64) -> (Bench, StreamId) {
    let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
    let stream = bench.accept(None);
    answers(&mut bench, stream);
    bench.called(stream, &says_it_leads(usize::from(seat), ts));
    assert!(
        matches!(bench.election.standing(bench.now), Standing::Following { leader, .. } if leader == Seat(seat))
    );
    for seat in [1, 2] {
        told(&mut bench, seat);
    }
    (bench, stream)
}

#[test]
fn line_11_a_leader_of_redhac_is_defended_against_the_later_and_left_for_the_earlier() {
    let (mut bench, _) = follows(1, NOON);
    let other = bench.accept(None);
    answers(&mut bench, other);
    bench.called(other, &asks_vote(HOSTS[2], NOON + 1));
    assert!(answers(&mut bench, other).is_empty());
    for seat in [1, 2] {
        let said = without_pings(told(&mut bench, seat));
        let known = std::format!(
            "LeaderSwitchPriority {{ vote_host: \"http://r1:1\", election_ts: {NOON} }}"
        );
        assert!(said.len() == 1 && said[0].contains(&known), "{said:?}");
    }
    bench.called(other, &asks_vote(HOSTS[2], NOON - 1));
    let said = answers(&mut bench, other);
    assert!(
        said.len() == 1 && said[0].contains("LeaderReqAck"),
        "{said:?}"
    );
}

#[test]
fn line_12_a_dead_leader_claimed_is_obeyed_where_redhac_counts() {
    let (mut bench, stream) = follows(1, NOON);
    bench.called(stream, &claims_dead(2, NOON + 5));
    for seat in [1, 2] {
        let said = without_pings(told(&mut bench, seat));
        let vote = std::format!(
            "LeaderReqAck {{ addr: \"http://r2:1\", election_ts: {} }}",
            NOON + 5
        );
        assert!(said.len() == 1 && said[0].contains(&vote), "{said:?}");
    }
}

#[test]
fn line_12_a_dead_leader_claimed_means_nothing_while_one_of_ours_is_followed() {
    for votes in both() {
        let mut bench = alone(votes);
        bench.timeout();
        ours(&mut bench, 1);
        joined(&mut bench, 2);
        let (leader, stream) = (bench.accept(Some(1)), bench.accept(None));
        bench.called(leader, &asks_vote(HOSTS[1], NOON));
        bench.kept();
        bench.called(leader, &says_it_leads(1, NOON));
        told(&mut bench, 2);
        bench.called(stream, &claims_dead(2, 1));
        assert!(without_pings(told(&mut bench, 2)).is_empty());
        assert!(
            matches!(bench.election.standing(bench.now), Standing::Following { leader, .. } if leader == Seat(1))
        );
    }
}

#[test]
fn line_12_a_hand_over_of_redhac_makes_this_voter_claim_or_vote() {
    let hands = |to: usize| {
        asks(MgmtRequestMethod::LeaderSwitch(LeaderSwitch {
            vote_host: HOSTS[to],
            election_ts: NOON + 9,
        }))
    };
    let (mut bench, stream) = follows(1, NOON);
    bench.called(stream, &hands(0));
    bench.timeout();
    bench.kept();
    let said = without_pings(told(&mut bench, 2));
    assert!(
        said.len() == 1 && said[0].contains("LeaderDead"),
        "{said:?}"
    );
    // What acknowledges the hand-over is a vote as well.
    bench.called(
        stream,
        &asks(MgmtRequestMethod::LeaderSwitchAck(LeaderSwitchAck {
            addr: HOSTS[0],
        })),
    );
    assert!(bench.election.leads(bench.now));

    let (mut bench, stream) = follows(1, NOON);
    let info = LeaderInfo {
        addr: Some(HOSTS[1]),
        election_ts: NOON,
        has_quorum: true,
    };
    let dialled = bench.dialled(2);
    bench.answered(2, dialled, &says(Said::LeaderInfo(info)));
    bench.called(stream, &hands(2));
    let said = without_pings(told(&mut bench, 2));
    assert!(
        said.len() == 1 && said[0].contains("LeaderSwitchAck"),
        "{said:?}"
    );
}

#[test]
fn line_12_whoever_says_that_it_leads_is_followed_where_redhac_counts() {
    let (mut bench, _) = follows(1, NOON);
    let known = Some((HOSTS[1], NOON));
    // As long as it says so itself.
    for _ in 0..20 {
        let next = bench.now + Duration::from_millis(250);
        bench.pass(next);
        let said = told(&mut bench, 1);
        assert!(
            said.iter().any(|said| said.starts_with("Health")),
            "{said:?}"
        );
        let stream = bench.dialled(1);
        bench.answered(1, stream, &says(Said::Pong(Pong {})));
        bench.answered(1, stream, &reports(StateValue::Leader(Empty {}), known));
        let other = bench.dialled(2);
        bench.answered(2, other, &says(Said::Pong(Pong {})));
    }
    assert!(matches!(
        bench.election.standing(bench.now),
        Standing::Following { .. }
    ));
    let last = bench.now;
    while bench.now < last + Duration::from_millis(1_100) {
        let next = bench.now + Duration::from_millis(50);
        bench.pass(next);
        let stream = bench.dialled(1);
        bench.answered(1, stream, &says(Said::Pong(Pong {})));
        bench.answered(1, stream, &reports(StateValue::Follower(Empty {}), known));
    }
    assert!(!matches!(
        bench.election.standing(bench.now),
        Standing::Following { .. }
    ));

    let mut bench = mixed(RedhacVotes::Ignored);
    let stream = bench.accept(None);
    bench.called(stream, &says_it_leads(1, NOON));
    assert_eq!(bench.election.standing(bench.now), Standing::Leaderless);
}

#[test]
fn line_13_a_priority_counts_if_it_is_earlier_and_an_equal_one_is_not_answered() {
    let (mut bench, stream) = follows(1, NOON);
    for ts in [NOON, NOON + 1] {
        for seat in 0..3 {
            bench.called(stream, &prefers(seat, ts));
        }
    }
    for seat in [1, 2] {
        assert!(without_pings(told(&mut bench, seat)).is_empty());
    }
    bench.called(stream, &prefers(2, NOON - 1));
    let said = without_pings(told(&mut bench, 2));
    assert!(
        said.len() == 1 && said[0].contains("LeaderReqAck"),
        "{said:?}"
    );
    assert!(
        matches!(bench.election.standing(bench.now), Standing::Following { leader, .. } if leader == Seat(2))
    );
    // What leads is not moved by any.
    for votes in both() {
        let (mut bench, _) = leads_with_ours(votes);
        let stream = bench.accept(None);
        told(&mut bench, 2);
        for ts in [i64::MIN, 1, i64::MAX] {
            bench.called(stream, &prefers(2, ts));
        }
        assert!(without_pings(told(&mut bench, 2)).is_empty());
        assert!(bench.election.leads(bench.now));
    }
}

#[test]
fn line_14_votes_of_redhac_are_not_counted_unless_asked_for() {
    let mut bench = alone(RedhacVotes::Ignored);
    bench.timeout();
    ours(&mut bench, 1);
    joined(&mut bench, 2);
    let token = campaigns(&mut bench);
    // It is not even asked.
    assert!(without_pings(told(&mut bench, 2)).is_empty());
    let (dialled, caller) = (bench.dialled(2), bench.accept(None));
    bench.answered(2, dialled, &votes_for(token.to_wire()));
    bench.called(caller, &broadcast_vote(HOSTS[0], token.to_wire()));
    bench.answered(2, dialled, &reports(StateValue::Undefined(Empty {}), None));
    assert!(!bench.election.leads(bench.now));
    // A voter that says nothing of itself is one of redhac's, whatever the list says.
    let mut bench = alone(RedhacVotes::Ignored);
    bench.timeout();
    for seat in [1, 2] {
        let stream = bench.dialled(seat);
        bench.answered(seat, stream, &says_free());
    }
    let token = campaigns(&mut bench);
    for seat in [1, 2] {
        let stream = bench.dialled(seat);
        bench.answered(seat, stream, &votes_for(token.to_wire()));
    }
    assert!(!bench.election.leads(bench.now));
}

#[test]
fn line_14_votes_are_counted_as_answers_and_as_requests_and_once_each() {
    // As an answer.
    let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
    let token = campaigns(&mut bench);
    let said = without_pings(told(&mut bench, 1));
    assert!(
        said.len() == 1 && said[0].starts_with("LeaderReq("),
        "{said:?}"
    );
    let stream = bench.dialled(1);
    bench.answered(1, stream, &votes_for(token.to_wire() - 1));
    assert!(!bench.election.leads(bench.now));
    bench.answered(1, stream, &votes_for(token.to_wire()));
    assert!(bench.election.leads(bench.now));
    for seat in [1, 2] {
        let said = without_pings(told(&mut bench, seat));
        let ack =
            std::format!("LeaderAck(LeaderAck {{ addr: \"http://v0:1\", election_ts: {token} }})");
        assert!(said.contains(&ack), "{said:?}");
    }

    // As a request, of five voters: two of one stream are one.
    let hosts = ["http://v0:1", "r1:1", "r2:1", "r3:1", "r4:1"];
    let mut bench = Bench::with(|config| {
        config.voters = hosts.map(String::from).to_vec();
        config.redhac_votes = RedhacVotes::CountedTwoMayLead;
    });
    bench.timeout();
    for seat in 1..5 {
        joined(&mut bench, seat);
    }
    let token = campaigns(&mut bench);
    let (first, second) = (bench.accept(None), bench.accept(None));
    bench.called(first, &broadcast_vote(hosts[2], token.to_wire()));
    for _ in 0..3 {
        bench.called(first, &broadcast_vote(hosts[0], token.to_wire()));
    }
    assert!(!bench.election.leads(bench.now));
    bench.called(second, &broadcast_vote(hosts[0], token.to_wire()));
    assert!(bench.election.leads(bench.now));
}

#[test]
fn line_14_the_time_of_a_reign_does_not_change() {
    for votes in both() {
        let (mut bench, token) = leads_with_ours(votes);
        let sane = token.to_wire() - NOON;
        assert!((0..1_000_000_000).contains(&sane), "{token}");
        let mut said = Vec::new();
        for _ in 0..50 {
            let next = bench.now + Duration::from_millis(100);
            bench.pass(next);
            let (one, two) = (bench.dialled(1), bench.dialled(2));
            bench.answered(1, one, &votes_for(token.to_wire()));
            for (seat, stream) in [(1, one), (2, two)] {
                bench.answered(seat, stream, &says(Said::Pong(Pong {})));
            }
            said.extend(without_pings(told(&mut bench, 2)));
        }
        // One kind of message, and nothing that a redhac node would answer.
        let ack =
            std::format!("LeaderAck(LeaderAck {{ addr: \"http://v0:1\", election_ts: {token} }})");
        let expected = match votes {
            RedhacVotes::Ignored => 2..=4,
            RedhacVotes::CountedTwoMayLead => 24..=27,
        };
        assert!(expected.contains(&said.len()), "{}", said.len());
        assert!(said.iter().all(|one| *one == ack), "{said:?}");
        assert!(bench.election.leads(bench.now));
    }
}

#[test]
fn line_14_a_leader_by_votes_of_redhac_leads_as_long_as_they_answer() {
    let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
    let token = campaigns(&mut bench);
    let stream = bench.dialled(1);
    bench.answered(1, stream, &votes_for(token.to_wire()));
    quiet(&mut bench, 10_000);
    assert!(bench.election.leads(bench.now));
    let last = bench.now + Duration::from_millis(1_300);
    bench.pass(last);
    assert!(!bench.election.leads(bench.now));
}

#[test]
fn line_15_a_leader_that_is_not_heard_is_not_named() {
    for votes in both() {
        let mut bench = alone(votes);
        bench.timeout();
        ours(&mut bench, 1);
        joined(&mut bench, 2);
        let leader = bench.accept(Some(1));
        bench.called(leader, &asks_vote(HOSTS[1], NOON));
        bench.kept();
        bench.called(leader, &says_it_leads(1, NOON));
        let stream = bench.accept(None);
        let said = answers(&mut bench, stream);
        assert!(said[0].contains("Some(\"http://r1:1\")"), "{said:?}");
        // Its promise binds still, and yet it is not named.
        let (lost, dialled) = (
            Status::new(Code::Unavailable, "").caused_by(Cause::Lost),
            bench.dialled(1),
        );
        bench.stream(dialled, speech::dialled(Seat(1)), StreamIn::Ended(lost));
        assert!(bench.election.elector.bound_to(bench.now).is_some());
        let stream = bench.accept(None);
        let said = answers(&mut bench, stream);
        assert!(said[0].contains("addr: None, election_ts: -1"), "{said:?}");
    }
    // One of redhac's is forgotten with its stream, and nobody is asked to wait for it.
    let (mut bench, _) = follows(1, NOON);
    let (lost, dialled) = (
        Status::new(Code::Unavailable, "").caused_by(Cause::Lost),
        bench.dialled(1),
    );
    bench.stream(dialled, speech::dialled(Seat(1)), StreamIn::Ended(lost));
    assert_eq!(bench.election.standing(bench.now), Standing::Leaderless);
    let other = bench.accept(None);
    answers(&mut bench, other);
    bench.called(other, &asks_vote(HOSTS[2], NOON + 1));
    let said = answers(&mut bench, other);
    assert!(
        said.len() == 1 && said[0].contains("LeaderReqAck"),
        "{said:?}"
    );
}

#[test]
fn line_16_who_knows_no_leader_is_not_told_of_a_hand_over() {
    let (mut bench, stream) = follows(1, NOON);
    // It has just started.
    let dialled = bench.dialled(2);
    let lost = Status::new(Code::Unavailable, "").caused_by(Cause::Lost);
    bench.stream(dialled, speech::dialled(Seat(2)), StreamIn::Ended(lost));
    bench.timeout();
    joined(&mut bench, 2);
    told(&mut bench, 2);
    let switch = LeaderSwitch {
        vote_host: HOSTS[2],
        election_ts: NOON + 9,
    };
    bench.called(stream, &asks(MgmtRequestMethod::LeaderSwitch(switch)));
    assert!(without_pings(told(&mut bench, 2)).is_empty());
    // Nor of one among ours, and none is made to a redhac node.
    for votes in both() {
        let (mut bench, _) = leads_with_ours(votes);
        told(&mut bench, 2);
        let hand_over = |to| ElectionCommand::HandOver { to };
        assert_eq!(
            bench.command(hand_over(HOSTS[2])),
            Err(ElectionRefused::RedhacVoter)
        );
        assert_eq!(bench.command(hand_over(HOSTS[1])), Ok(()));
        bench.kept();
        assert!(without_pings(told(&mut bench, 2)).is_empty());
        let said = told(&mut bench, 1);
        assert!(
            said.iter().any(|said| said.starts_with("LeaderSwitch(")),
            "{said:?}"
        );
    }
}

#[test]
fn a_first_campaign_asks_and_the_next_one_claims() {
    let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
    campaigns(&mut bench);
    let said = without_pings(told(&mut bench, 1));
    assert!(
        said.len() == 1 && said[0].starts_with("LeaderReq("),
        "{said:?}"
    );
    // Nobody answers it. It is not asked again under the same token.
    let said = quiet(&mut bench, 390);
    assert!(without_pings(said[1].clone()).is_empty(), "{said:?}");
    let said = quiet(&mut bench, 1_000);
    assert!(
        said[1].iter().any(|said| said.starts_with("LeaderDead(")),
        "{said:?}"
    );
    assert!(!said[1].iter().any(|said| said.starts_with("LeaderReq(")));
}

#[test]
fn a_poll_counts_a_redhac_node_that_names_nobody_else() {
    let polls = |state: StateValue, leader: Option<(&str, i64)>| {
        let mut bench = Bench::with(|config| {
            config.voters = HOSTS.map(String::from).to_vec();
            config.redhac_votes = RedhacVotes::CountedTwoMayLead;
            config.pre_vote = true;
        });
        bench.timeout();
        for seat in [1, 2] {
            joined(&mut bench, seat);
        }
        polled(&mut bench, state, leader)
    };
    let (follower, asks) = (
        StateValue::Follower(Empty {}),
        StateValue::LeadershipRequested(Empty {}),
    );
    assert!(polls(StateValue::Undefined(Empty {}), None));
    assert!(polls(follower, Some((HOSTS[0], NOON))));
    assert!(polls(follower, Some(("http://gone:1", NOON))));
    assert!(polls(
        StateValue::LeaderDead(Empty {}),
        Some((HOSTS[2], NOON))
    ));
    assert!(!polls(follower, Some((HOSTS[2], NOON))));
    // It asks for itself, and has this voter's vote when it asks.
    assert!(!polls(asks, Some((HOSTS[1], NOON))));
}

/// Whether a campaign begins after one of redhac's has said how it is.
fn polled(bench: &mut Bench, state: StateValue, leader: Option<(&str, i64)>) -> bool {
    bench.command(ElectionCommand::Campaign).unwrap();
    bench.timeout();
    let stream = bench.dialled(1);
    bench.answered(1, stream, &reports(state, leader));
    bench.kept();
    bench.election.elector.role() != Role::Follower
}

#[test]
fn a_leader_that_fell_silent_is_dead_to_who_followed_it_and_to_nobody_else() {
    let silent = |ts: i64| {
        let mut bench = Bench::with(|config| {
            config.voters = HOSTS.map(String::from).to_vec();
            config.redhac_votes = RedhacVotes::CountedTwoMayLead;
            config.pre_vote = true;
        });
        bench.timeout();
        joined(&mut bench, 1);
        ours(&mut bench, 2);
        let leader = bench.accept(Some(2));
        bench.called(leader, &asks_vote(HOSTS[2], NOON));
        bench.kept();
        bench.called(leader, &says_it_leads(2, NOON));
        // Nothing more comes of it, and its stream stands.
        bench.now += Duration::from_millis(1_010);
        let stream = bench.dialled(1);
        bench.answered(1, stream, &says(Said::Pong(Pong {})));
        bench.timeout();
        let follower = StateValue::Follower(Empty {});
        polled(&mut bench, follower, Some((HOSTS[2], ts)))
    };
    assert!(silent(NOON));
    // It leads anew, by a vote that this voter has not heard of.
    assert!(!silent(NOON + 1_024));
}

#[test]
fn a_leader_by_votes_of_redhac_gives_way_to_one_it_does_not_hear() {
    let led = || {
        let mut bench = mixed(RedhacVotes::CountedTwoMayLead);
        let token = campaigns(&mut bench);
        let stream = bench.dialled(1);
        bench.answered(1, stream, &votes_for(token.to_wire()));
        (bench, token)
    };
    let (mut bench, token) = led();
    let stream = bench.accept(None);
    // Not to an earlier one, nor to one that follows it the moment its heartbeat comes.
    bench.called(stream, &broadcast_vote(HOSTS[2], token.to_wire() - 1));
    bench.called(stream, &broadcast_vote(HOSTS[1], token.to_wire() + 1));
    bench.called(stream, &broadcast_vote("http://v9:9", token.to_wire() + 1));
    assert!(bench.election.leads(bench.now));
    bench.called(stream, &broadcast_vote(HOSTS[2], token.to_wire() + 1));
    assert!(!bench.election.leads(bench.now));

    // Where redhac's votes are ignored nothing of theirs is heard.
    let (mut bench, token) = leads_with_ours(RedhacVotes::Ignored);
    let stream = bench.accept(None);
    bench.called(stream, &broadcast_vote(HOSTS[2], token.to_wire() + 1));
    assert!(bench.election.leads(bench.now));
}

#[test]
fn a_call_when_something_is_due_moves_the_due_time_forward() {
    let (mut bench, _) = follows(1, NOON);
    let mut calls = 0;
    while bench.now < Instant::from_millis(20_000) {
        let due = bench.election.poll_timeout().unwrap();
        bench.now = bench.now.max(due);
        bench.timeout();
        assert!(bench.election.poll_timeout().unwrap() > bench.now);
        bench.kept();
        calls += 1;
    }
    assert!(calls < 2_000, "{calls}");
}
