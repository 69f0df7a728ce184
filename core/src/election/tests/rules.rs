//! What the machine does, by rule.

use alloc::string::ToString;

use super::*;

#[test]
fn leader_info_is_the_first_message_on_an_accepted_stream() {
    let mut bench = Bench::new();
    for from in [Some(1), None] {
        let stream = bench.accept(from);
        let said = answers(&mut bench, stream);
        assert!(
            said.len() == 1 && said[0].contains("LeaderInfo"),
            "{said:?}"
        );
    }
}

#[test]
fn a_request_in_the_name_of_another_is_not_granted() {
    let mut bench = Bench::new();
    let (voter, nobody) = (bench.accept(Some(1)), bench.accept(None));
    for stream in [voter, nobody] {
        answers(&mut bench, stream);
        bench.called(stream, &asks_vote("v2:1", NOON));
    }
    bench.kept();
    assert_eq!(bench.election.elector.vote().promise, None);
    assert!(answers(&mut bench, voter).is_empty() && answers(&mut bench, nobody).is_empty());
    assert_eq!(bench.election.counters.misbehaved, 1);
}

#[test]
fn nothing_is_said_before_the_vote_is_kept() {
    let mut bench = Bench::new();
    let stream = bench.accept(Some(1));
    answers(&mut bench, stream);
    bench.called(stream, &asks_vote("v1:1", NOON));
    assert!(answers(&mut bench, stream).is_empty());
    bench.kept();
    let said = answers(&mut bench, stream);
    assert!(
        said.len() == 1 && said[0].contains("LeaderReqAck"),
        "{said:?}"
    );

    let mut bench = Bench::new();
    bench.connect();
    bench.command(ElectionCommand::Campaign).unwrap();
    bench.timeout();
    let stream = bench.dialled(1);
    assert_eq!(requests(&mut bench, stream), 0);
    bench.kept();
    assert_eq!(requests(&mut bench, stream), 1);
}

#[test]
fn a_vote_that_the_store_did_not_keep_is_kept_again() {
    let mut bench = Bench::new();
    let stream = bench.accept(Some(1));
    bench.called(stream, &asks_vote("v1:1", NOON));
    answers(&mut bench, stream);
    bench.io.submitted.clear();
    bench.done(KEEP, Done::Unknown);
    let later = bench.now + Duration::from_millis(20);
    bench.pass(later);
    assert!(answers(&mut bench, stream).is_empty());
    bench.kept();
    assert_eq!(answers(&mut bench, stream).len(), 1);
}

#[test]
fn an_answer_on_another_stream_or_for_another_token_is_not_counted() {
    let (mut bench, token) = Bench::candidate();
    let (vote, old) = (votes(token.to_wire()), votes(token.to_wire() - 1));
    let (accepted, dialled) = (bench.accept(Some(1)), bench.dialled(1));
    // Under the tag of the stream that was dialled, too: only the stream itself counts.
    bench.answered(1, accepted, &vote);
    bench.called(
        accepted,
        &asks(MgmtRequestMethod::LeaderReqAck(LeaderReqAck {
            addr: VOTERS[0],
            election_ts: token.to_wire(),
        })),
    );
    bench.answered(1, dialled, &old);
    assert!(!bench.election.leads(bench.now));
    bench.answered(1, dialled, &vote);
    assert!(bench.election.leads(bench.now));
}

#[test]
fn one_request_of_a_token_is_on_a_stream_at_a_time() {
    let (mut bench, token) = Bench::leader();
    let (quick, mute) = (bench.dialled(1), bench.dialled(2));
    assert_eq!(requests(&mut bench, mute), 1);
    requests(&mut bench, quick);
    let later = bench.now + Duration::from_millis(900);
    while bench.now < later {
        let next = bench.now + Duration::from_millis(100);
        bench.pass(next);
        bench.answered(1, quick, &votes(token.to_wire()));
    }
    assert!(requests(&mut bench, quick) >= 4);
    assert_eq!(requests(&mut bench, mute), 0);
    assert!(bench.election.leads(bench.now));
}

/// Otherwise a leader would reset the stream to a voter that may not vote for it, once a promise.
#[test]
fn a_refusal_answers_the_request_and_the_next_one_is_counted_from_when_it_was_sent() {
    let (mut bench, token) = Bench::leader();
    let stream = bench.dialled(2);
    let refuses = says(Said::LeaderReqAck(LeaderReqAck {
        addr: VOTERS[2],
        election_ts: token.to_wire(),
    }));
    assert_eq!(requests(&mut bench, stream), 1);
    bench.answered(2, stream, &refuses);
    assert_eq!(bench.election.elector.granted_at(Seat(2)), None);
    let later = bench.now + Duration::from_millis(250);
    bench.pass(later);
    assert_eq!(requests(&mut bench, stream), 1);
    let sent = bench.election.peers.at(Seat(2)).asked.unwrap().1;
    assert!(sent > Instant::from_millis(100));
    bench.answered(2, stream, &votes(token.to_wire()));
    assert_eq!(bench.election.elector.granted_at(Seat(2)), Some(sent));
}

#[test]
fn who_is_refused_is_told_by_whom_and_that_its_request_is_answered() {
    let (mut bench, token) = Bench::leader();
    let stream = bench.accept(Some(2));
    answers(&mut bench, stream);
    let asked = token.to_wire() + 4096;
    bench.called(stream, &asks_vote("v2:1", asked));
    bench.kept();
    let said = answers(&mut bench, stream);
    assert!(
        said.len() == 2 && said[0].contains("LeaderInfo") && said[1].contains("LeaderReqAck"),
        "{said:?}"
    );
    assert!(
        said[1].contains(VOTERS[0]) && said[1].contains(&asked.to_string()),
        "{said:?}"
    );
}

/// It would take the refusal for a vote: what binds this voter to it is another token than it asks with.
#[test]
fn who_is_refused_is_never_named_itself() {
    let mut bench = Bench::new();
    let stream = bench.accept(Some(1));
    bench.called(stream, &asks_vote("v1:1", NOON));
    bench.kept();
    answers(&mut bench, stream);
    let late = NOON - 4096;
    bench.called(stream, &asks_vote("v1:1", late));
    bench.kept();
    let said = answers(&mut bench, stream);
    assert!(
        said.len() == 2 && said[0].contains(VOTERS[1]),
        "it is told that the promise is its own: {said:?}"
    );
    assert!(
        said[1].contains("LeaderReqAck") && said[1].contains(&late.to_string()),
        "{said:?}"
    );
    assert!(
        said[1].contains(VOTERS[0]) && !said[1].contains(VOTERS[1]),
        "{said:?}"
    );
}

/// It would give its token up for the greater one.
#[test]
fn an_earlier_candidate_that_is_granted_its_token_is_told_of_no_other() {
    let (mut bench, token) = Bench::candidate();
    let (earlier, other) = (bench.dialled(1), bench.dialled(2));
    let stream = bench.accept(Some(1));
    answers(&mut bench, stream);
    let asked = token.to_wire() - 4096;
    bench.called(stream, &asks_vote("v1:1", asked));
    bench.kept();
    let said = answers(&mut bench, stream);
    assert!(
        said.len() == 1 && said[0].contains(VOTERS[1]) && said[0].contains(&asked.to_string()),
        "{said:?}"
    );
    let told = [earlier, other].map(|stream| switches(&mut bench, stream));
    assert_eq!(told, [0, 1]);
}

/// Voters that are far apart would otherwise look around for ever, and never campaign.
#[test]
fn a_poll_waits_for_voters_that_are_far_apart() {
    let mut bench = Bench::with(|config| config.pre_vote = true);
    bench.connect();
    let trip = Duration::from_millis(150);
    let pong = says(Said::Pong(trefoil_proto::cache::Pong {}));
    let free = says(Said::HealthAck(trefoil_proto::cache::HealthAck {
        uptime_secs: 1,
        quorum: true,
        state: None,
        leader: Some(trefoil_proto::cache::Leader {
            addr: VOTERS[1],
            election_ts: 0,
            connected: false,
        }),
        host_health: &[],
    }));
    bench.timeout();
    bench.pass(bench.now + trip);
    let stream = bench.dialled(1);
    bench.answered(1, stream, &pong);
    let polls = bench.election.counters.polls + 1;
    while bench.election.counters.polls < polls {
        bench.pass(bench.now + Duration::from_millis(1));
    }
    bench.pass(bench.now + trip);
    assert_eq!(bench.election.counters.polls, polls);
    bench.answered(1, stream, &free);
    assert!(matches!(bench.election.elector.role(), Role::Candidate(_)));
}

#[test]
fn a_request_that_is_unanswered_for_a_promise_resets_the_stream() {
    let (mut bench, _) = Bench::candidate();
    let stream = bench.dialled(2);
    let asked = bench.now;
    bench.pass(asked + Duration::from_millis(999));
    assert_eq!(bench.io.take_end(stream), None);
    bench.pass(asked + Duration::from_millis(1_000));
    assert_eq!(bench.io.take_end(stream).unwrap().code, Code::Cancelled);
    assert_ne!(bench.dialled(2), stream);
}

#[test]
fn who_asks_for_a_cache_is_told_that_there_is_none() {
    let mut bench = Bench::new();
    let stream = bench.accept(None);
    answers(&mut bench, stream);
    let (cache_name, entry, value) = ("c", "e", &b"v"[..]);
    let put = Put {
        cache_name,
        entry,
        value,
        req_id: Some("1"),
    };
    let insert = Insert {
        cache_name,
        entry,
        value,
        req_id: "2",
        ..Insert::default()
    };
    let del = Del {
        cache_name,
        entry,
        req_id: Some("3"),
    };
    let remove = Remove {
        cache_name,
        entry,
        req_id: "4",
        ..Remove::default()
    };
    for method in [
        CacheRequestMethod::Get(Get { cache_name, entry }),
        CacheRequestMethod::Put(put),
        CacheRequestMethod::Insert(insert),
        CacheRequestMethod::Del(del),
        CacheRequestMethod::Remove(remove),
    ] {
        let is_get = matches!(method, CacheRequestMethod::Get(_));
        bench.called(
            stream,
            &encode(&CacheRequest {
                method: Some(method),
            }),
        );
        let said = answers(&mut bench, stream);
        let sought = if is_get {
            "value: None"
        } else {
            "mod_res: Some(false)"
        };
        assert!(said.len() == 1 && said[0].contains(sought), "{said:?}");
    }
}

#[test]
fn a_token_far_ahead_is_not_believed() {
    let mut bench = Bench::new();
    let stream = bench.accept(Some(1));
    let two_days = 2 * 24 * 3_600 * 1_000_000_000;
    bench.called(stream, &asks_vote("v1:1", NOON + two_days));
    bench.timeout();
    bench.greeted(1, Kin::Ours);
    let dialled = bench.dialled(1);
    let info = LeaderInfo {
        addr: None,
        election_ts: i64::MAX,
        has_quorum: true,
    };
    bench.answered(1, dialled, &says(Said::LeaderInfo(info)));
    assert_eq!(bench.election.elector.max(), Token::NONE);
    assert_eq!(bench.election.elector.vote().promise, None);
    assert_eq!(bench.election.counters.misbehaved, 2);
}

#[test]
fn stop_steps_down_before_anything_else() {
    let (mut bench, _) = Bench::leader();
    let caller = bench.accept(Some(2));
    answers(&mut bench, caller);
    bench.told.clear();
    bench.command(ElectionCommand::Stop).unwrap();
    assert!(!bench.election.leads(bench.now));
    let said = answers(&mut bench, caller);
    assert!(
        said.len() == 1 && said[0].contains("addr: None"),
        "{said:?}"
    );
    assert!(bench.io.take_end(caller).is_some());
    assert_eq!(bench.told, ["Leaderless"], "two have still to hear of it");
    let late = bench.accept(Some(1));
    assert_eq!(bench.io.take_end(late).unwrap().code, Code::Unavailable);
    // Streams that were ended are not ended again.
    bench.io.ended.clear();
    bench.command(ElectionCommand::Stop).unwrap();
    assert!(bench.io.ended.is_empty());
}

#[test]
fn an_heir_is_told_before_the_streams_are_closed() {
    for kept in [true, false] {
        let (mut bench, _) = Bench::leader();
        let stream = bench.dialled(2);
        bench.io.take_frames(stream);
        let to = VOTERS[2];
        bench.command(ElectionCommand::HandOver { to }).unwrap();
        bench.command(ElectionCommand::Stop).unwrap();
        assert!(!bench.election.leads(bench.now));
        assert!(
            bench.io.half_closed.is_empty(),
            "what it owes waits for the store"
        );
        if kept {
            bench.kept();
        } else {
            bench.done(KEEP, Done::Unknown);
        }
        let said = bench.io.take_frames(stream);
        let switch = |bytes: &Vec<u8>| {
            std::format!("{:?}", CacheRequest::parse(bytes).unwrap()).contains("LeaderSwitch(")
        };
        assert_eq!(said.iter().any(switch), kept);
        assert!(bench.io.half_closed.contains(&stream));
        assert!(
            bench.io.take_end(stream).is_none(),
            "an end would take it back"
        );
    }
}

/// A leader that was stopped, and the streams to the other two, which have not heard of it yet.
fn stopped_leader() -> (Bench, [StreamId; 2]) {
    let (mut bench, _) = Bench::leader();
    let streams = [bench.dialled(1), bench.dialled(2)];
    bench.told.clear();
    bench.command(ElectionCommand::Stop).unwrap();
    bench.kept();
    assert_eq!(bench.told, ["Leaderless"]);
    (bench, streams)
}

#[test]
fn a_voter_has_stopped_when_all_others_have_heard_its_last_word() {
    let (mut bench, [one, two]) = stopped_leader();
    bench.stream(one, speech::dialled(Seat(1)), StreamIn::Ended(Status::OK));
    assert_eq!(bench.told, ["Leaderless"], "one has still to hear of it");
    // One whose connection is lost hears nothing more.
    let lost = Status::new(Code::Unavailable, "lost");
    bench.stream(two, speech::dialled(Seat(2)), StreamIn::Ended(lost));
    assert_eq!(bench.told, ["Leaderless", "Stopped"]);
    assert_eq!(bench.election.poll_timeout(), None);
    bench.command(ElectionCommand::Stop).unwrap();
    assert_eq!(bench.told, ["Leaderless", "Stopped"]);
}

/// A leader that was stopped as soon as it had named its heir, and what became of the vote it had to keep first.
fn stopped_before_it_is_kept(store: impl FnOnce(&mut Bench)) -> (Bench, StreamId) {
    let (mut bench, _) = Bench::leader();
    let stream = bench.dialled(2);
    bench.io.take_frames(stream);
    let to = VOTERS[2];
    bench.command(ElectionCommand::HandOver { to }).unwrap();
    store(&mut bench);
    bench.command(ElectionCommand::Stop).unwrap();
    assert!(bench.io.half_closed.is_empty());
    (bench, stream)
}

#[test]
fn what_an_heir_is_owed_is_kept_again_by_a_voter_that_stops() {
    let (mut bench, stream) = stopped_before_it_is_kept(|bench| {
        bench.io.submitted.clear();
        bench.done(KEEP, Done::Unknown);
    });
    let due = bench.election.poll_timeout().unwrap();
    assert!(due < bench.now + bench.election.config.promise);
    bench.now = due;
    bench.timeout();
    bench.kept();
    assert_eq!(said_on(&mut bench, stream, "LeaderSwitch("), 1);
    assert!(bench.io.half_closed.contains(&stream));
}

#[test]
fn a_voter_whose_store_does_not_answer_stops_after_a_promise() {
    let (mut bench, stream) = stopped_before_it_is_kept(|_| {});
    let due = bench.election.poll_timeout().unwrap();
    assert_eq!(due, bench.now + bench.election.config.promise);
    bench.now = due;
    bench.timeout();
    assert!(bench.io.half_closed.contains(&stream));
    // What it says now comes too late for anybody.
    bench.kept();
    assert_eq!(said_on(&mut bench, stream, "LeaderSwitch("), 0);
    bench.timeout();
    assert_eq!(bench.told.last().unwrap(), "Stopped");
    assert_eq!(bench.election.poll_timeout(), None);
}

#[test]
fn a_voter_that_is_not_heard_is_waited_for_no_longer_than_its_word_matters() {
    let (mut bench, [_, two]) = stopped_leader();
    let due = bench.election.poll_timeout().unwrap();
    assert_eq!(due, bench.now + bench.election.config.promise);
    bench.now = due;
    bench.timeout();
    assert_eq!(bench.told, ["Leaderless", "Stopped"]);
    assert_eq!(bench.io.take_end(two).unwrap().code, Code::Cancelled);
    assert_eq!(bench.election.poll_timeout(), None);
}

#[test]
fn a_lost_memory_is_silent_for_one_promise() {
    for memory in [Memory::Lost, Memory::Kept { first: false }] {
        let mut bench = Bench::with(|config| config.memory = memory);
        let begun = bench.now;
        let stream = bench.accept(Some(1));
        answers(&mut bench, stream);
        bench.called(stream, &asks_vote("v1:1", NOON));
        bench.kept();
        assert!(answers(&mut bench, stream).is_empty());
        assert_eq!(
            bench.command(ElectionCommand::Campaign),
            Err(ElectionRefused::Bound)
        );
        bench.now = begun + Duration::from_secs(1);
        bench.called(stream, &asks_vote("v1:1", NOON));
        bench.kept();
        assert_eq!(answers(&mut bench, stream).len(), 1);
    }
}

#[test]
fn a_store_that_has_no_room_is_asked_again_later_and_not_at_once() {
    let mut bench = Bench::new();
    bench.election = Election::new(bench.election.config.clone()).unwrap();
    bench.io.full = true;
    bench.timeout();
    assert!(
        bench
            .election
            .poll_timeout()
            .is_some_and(|due| due > bench.now)
    );
    bench.io.full = false;
    let later = bench.now + Duration::from_millis(20);
    bench.pass(later);
    bench.done(RECALL, Done::Unknown);
    assert!(
        bench
            .election
            .poll_timeout()
            .is_some_and(|due| due > bench.now)
    );
    bench.pass(later + Duration::from_millis(20));
    bench.recalled();
    assert_eq!(bench.election.phase, Phase::Running);
}

#[test]
fn a_voter_with_many_streams_loses_its_oldest_and_takes_no_place_of_another() {
    let mut bench = Bench::new();
    let streams: Vec<StreamId> = (0..40).map(|_| bench.accept(Some(1))).collect();
    assert!(bench.io.take_end(streams[0]).is_some());
    assert!(bench.io.take_end(streams[39]).is_none());
    let other = bench.accept(Some(2));
    assert!(bench.io.take_end(other).is_none());
    assert_eq!(answers(&mut bench, other).len(), 1);
}

#[test]
fn a_refused_dial_proves_nothing_about_a_promise_made_since() {
    let mut bench = Bench::with(|config| config.evidence = Evidence::RefusedAnywhere);
    bench.connect();
    let gone = bench.dialled(1);
    let lost = Status::new(Code::Unavailable, "").caused_by(Cause::Lost);
    bench.stream(gone, speech::dialled(Seat(1)), StreamIn::Ended(lost));
    bench.timeout();
    let dial = bench.dialled(1);
    let caller = bench.accept(Some(1));
    bench.called(caller, &asks_vote("v1:1", NOON));
    bench.kept();
    let refused = Status::new(Code::Unavailable, "").caused_by(Cause::Refused);
    bench.stream(dial, speech::dialled(Seat(1)), StreamIn::Ended(refused));
    assert!(bench.election.elector.bound_to(bench.now).is_some());
    // The next dial is begun under the promise, and its refusal is proof.
    let later = bench.now + Duration::from_millis(100);
    bench.pass(later);
    let dial = bench.dialled(1);
    bench.stream(dial, speech::dialled(Seat(1)), StreamIn::Ended(refused));
    assert_eq!(bench.election.elector.bound_to(bench.now), None);
}

#[test]
fn a_refusal_that_a_link_remembers_proves_nothing_about_a_promise_made_since() {
    let mut bench = Bench::with(|config| config.evidence = Evidence::RefusedAnywhere);
    bench.connect();
    let ended = |cause| StreamIn::Ended(Status::new(Code::Unavailable, "").caused_by(cause));
    let gone = bench.dialled(1);
    bench.stream(gone, speech::dialled(Seat(1)), ended(Cause::Lost));
    bench.timeout();
    let dial = bench.dialled(1);
    bench.now += Duration::from_millis(1);
    bench.stream(dial, speech::dialled(Seat(1)), ended(Cause::Refused));
    // It is back, and this voter is bound to it.
    let caller = bench.accept(Some(1));
    bench.called(caller, &asks_vote("v1:1", NOON));
    bench.kept();
    // The link still waits to dial, and ends a new stream in the turn in which it was opened.
    let due = bench.election.poll_timeout().unwrap();
    bench.pass(due);
    let dial = bench.dialled(1);
    bench.stream(dial, speech::dialled(Seat(1)), ended(Cause::Refused));
    assert!(bench.election.elector.bound_to(bench.now).is_some());
    // One that was dialled, and refused, is gone: that is looked for soon.
    let due = bench.election.peers.at(Seat(1)).open_at;
    assert!(due <= bench.now + Duration::from_millis(5));
    bench.pass(due);
    let dial = bench.dialled(1);
    bench.now += Duration::from_millis(1);
    bench.stream(dial, speech::dialled(Seat(1)), ended(Cause::Refused));
    assert_eq!(bench.election.elector.bound_to(bench.now), None);
}

#[test]
fn who_hears_of_a_leader_from_another_grants_its_request() {
    let mut bench = Bench::new();
    bench.connect();
    let told = LeaderInfo {
        addr: Some("v1:1"),
        election_ts: NOON,
        has_quorum: true,
    };
    let dialled = bench.dialled(2);
    bench.answered(2, dialled, &says(Said::LeaderInfo(told)));
    let caller = bench.accept(Some(1));
    answers(&mut bench, caller);
    bench.called(caller, &asks_vote("v1:1", NOON));
    bench.kept();
    let said = answers(&mut bench, caller);
    assert!(
        said.len() == 1 && said[0].contains("LeaderReqAck"),
        "{said:?}"
    );
}

#[test]
fn a_call_when_something_is_due_moves_the_due_time_forward() {
    for pre_vote in [false, true] {
        let mut bench = Bench::with(|config| config.pre_vote = pre_vote);
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
}

#[test]
fn who_does_not_say_that_it_is_a_voter_raises_no_token() {
    let mut bench = Bench::new();
    let caller = bench.accept(None);
    bench.called(caller, &asks_vote("v1:1", NOON));
    let ack = LeaderReqAck {
        addr: "v1:1",
        election_ts: NOON,
    };
    bench.called(caller, &asks(MgmtRequestMethod::LeaderReqAck(ack)));
    assert_eq!(bench.election.elector.max(), Token::NONE);
    assert_eq!(bench.election.elector.bound_to(bench.now), None);
}

#[test]
fn what_a_leader_said_before_it_led_does_not_end_that_it_is_followed() {
    let mut bench = Bench::new();
    bench.connect();
    let caller = bench.accept(Some(1));
    let leads = trefoil_proto::cache::LeaderAck {
        addr: "v1:1",
        election_ts: NOON,
    };
    bench.called(caller, &asks(MgmtRequestMethod::LeaderAck(leads)));
    let says_none = |bench: &mut Bench, election_ts| {
        let dialled = bench.dialled(1);
        let info = LeaderInfo {
            addr: None,
            election_ts,
            has_quorum: true,
        };
        bench.answered(1, dialled, &says(Said::LeaderInfo(info)));
        bench.election.standing(bench.now)
    };
    let late = says_none(&mut bench, NOON - 1);
    assert!(matches!(late, Standing::Following { .. }), "{late:?}");
    assert_eq!(says_none(&mut bench, NOON), Standing::Leaderless);
}

#[test]
fn a_leader_whose_requests_come_late_is_followed_again_without_another_announcement() {
    let mut bench = Bench::new();
    let caller = bench.accept(Some(1));
    let leads = trefoil_proto::cache::LeaderAck {
        addr: "v1:1",
        election_ts: NOON,
    };
    bench.called(caller, &asks_vote("v1:1", NOON));
    bench.kept();
    // A candidate that asks is no leader.
    assert_eq!(bench.election.standing(bench.now), Standing::Leaderless);
    bench.called(caller, &asks(MgmtRequestMethod::LeaderAck(leads)));
    let later = bench.now + Duration::from_millis(1_000);
    bench.pass(later);
    assert_eq!(bench.election.standing(bench.now), Standing::Leaderless);
    bench.called(caller, &asks_vote("v1:1", NOON));
    let standing = bench.election.standing(bench.now);
    assert!(
        matches!(standing, Standing::Following { .. }),
        "{standing:?}"
    );
}
