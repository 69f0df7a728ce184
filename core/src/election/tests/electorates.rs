//! Which electorates hear each other, and which a voter goes on with.

use super::*;
use crate::codes;
use crate::header::HeaderWriter;
use crate::identity::Identity;

/// What a voter of ours says of itself: its electorate, and for the rest what must be there.
fn names(electorate: u64, run: impl FnOnce(Header<'_>)) {
    let identity = Identity {
        node: "v1:1",
        boot: 1,
        incarnation: 1,
        cluster: "",
        placement: 0,
        store: 0,
        electorate,
        features: 0,
    };
    let mut bytes = [0; 512];
    let mut writer = HeaderWriter::new(&mut bytes);
    identity.write(&mut writer).unwrap();
    run(writer.finish());
}

const FOUR: [&str; 4] = ["http://v0:1", "v1:1", "v2:1", "v3:1"];
const WITHOUT_B: [&str; 3] = ["http://v0:1", electorate::RETIRED, "v2:1"];

fn electorate(epoch: u64, places: &[&str]) -> Electorate {
    Electorate {
        epoch,
        places: places.iter().map(|place| String::from(*place)).collect(),
    }
}

fn vote(promise: Option<(Seat, i64)>) -> Vote {
    Vote {
        max: Token::from_wire(NOON),
        promise: promise.map(|(seat, token)| (seat, Token::from_wire(token))),
    }
}

fn ballot_of(vote: Vote, kept: &Electorate, settled: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    ballot::write(vote, kept, settled, &mut bytes);
    bytes
}

/// A voter that finds `kept` and is configured with `voters` at `epoch`.
fn start(kept: &[u8], epoch: u64, voters: &[&str], change: impl Fn(&mut ElectionConfig)) -> Bench {
    let mut config = ElectionConfig {
        unix_origin: NOON,
        pre_vote: false,
        epoch,
        ..ElectionConfig::lan(0, voters)
    };
    change(&mut config);
    let mut bench = Bench {
        election: Election::new(config).unwrap(),
        io: FakeIo::default(),
        now: Instant::from_millis(1),
        told: Vec::new(),
    };
    bench.timeout();
    let value = Done::Value {
        revision: 1,
        value: kept,
    };
    bench.done(RECALL, value);
    bench
}

fn adopted(mut bench: Bench) -> Bench {
    assert!(matches!(bench.election.phase, Phase::Adopting(_)));
    bench.io.submitted.clear();
    bench.done(ADOPT, Done::Durable { sequence: 1 });
    assert_eq!(bench.election.phase, Phase::Running);
    bench
}

/// What was written last.
fn written(bench: &Bench) -> ballot::Kept {
    ballot::read(&bench.election.ballot, &bench.election.electorate).unwrap()
}

#[test]
fn a_stream_of_a_voter_of_another_electorate_is_refused_and_told_of_once() {
    let mut bench = Bench::new();
    for electorate in [7, 7, bench.election.electorate_hash, 0, 8] {
        names(electorate, |header| {
            let stream = bench.accept_with(Some(1), header);
            let ours = [0, bench.election.electorate_hash].contains(&electorate);
            let end = bench.io.take_end(stream);
            let wanted = (!ours).then_some((Code::FailedPrecondition, codes::OTHER_ELECTORATE));
            let end = end.as_ref().map(|end| (end.code, end.message.as_str()));
            assert_eq!(end, wanted, "{electorate}");
        });
    }
    let told = bench.told.iter().filter(|told| told.contains("TF-C18"));
    assert_eq!(told.count(), 2, "{:?}", bench.told);
}

#[test]
fn a_stream_to_a_voter_of_another_electorate_carries_no_vote() {
    let (mut bench, token) = Bench::candidate();
    let stream = bench.dialled(1);
    names(7, |header| {
        bench.stream(stream, speech::dialled(Seat(1)), StreamIn::Header(header));
    });
    let end = bench.io.take_end(stream).unwrap();
    assert_eq!(end.code, Code::FailedPrecondition);
    bench.answered(1, stream, &votes(token.to_wire()));
    assert!(!bench.election.leads(bench.now));
    assert!(bench.told.iter().any(|told| told.contains("TF-C18")));
    // The same voter in our electorate is heard.
    let later = bench.now + Duration::from_millis(30);
    bench.pass(later);
    let stream = bench.dialled(1);
    names(bench.election.electorate_hash, |header| {
        bench.stream(stream, speech::dialled(Seat(1)), StreamIn::Header(header));
    });
    bench.answered(1, stream, &says_free());
    bench.answered(1, stream, &votes(token.to_wire()));
    assert!(bench.election.leads(bench.now));
}

#[test]
fn a_caller_that_is_no_voter_may_name_any_electorate() {
    let mut bench = Bench::new();
    names(7, |header| {
        let stream = bench.accept_with(None, header);
        assert_eq!(answers(&mut bench, stream).len(), 1);
    });
}

#[test]
fn an_electorate_that_must_not_follow_is_refused_and_nothing_falls_due() {
    let three = electorate(5, &VOTERS);
    let five = ["http://v0:1", "v1:1", "v2:1", "v3:1", "v4:1"];
    for (epoch, voters, settled, code) in [
        (5, &FOUR[..], true, "TF-E11"),
        (4, &VOTERS[..], true, "TF-E12"),
        (6, &five[..], true, "TF-E14"),
    ] {
        let kept = ballot_of(vote(None), &three, settled);
        let mut bench = start(&kept, epoch, voters, |_| {});
        assert!(bench.told.concat().contains(code), "{:?}", bench.told);
        assert_eq!(bench.election.poll_timeout(), None);
        bench.timeout();
        let stream = bench.accept(Some(1));
        let end = bench.io.take_end(stream).unwrap();
        assert_eq!(end.code, Code::FailedPrecondition);
        assert!(end.message.starts_with(code), "{}", end.message);
        assert!(bench.io.opened.is_empty());
        let campaign = bench.command(ElectionCommand::Campaign);
        assert_eq!(campaign, Err(ElectionRefused::NotReady));
        // Unless an operator says that nobody else takes part.
        adopted(start(&kept, epoch, voters, |config| {
            config.replace_electorate = true;
        }));
    }
}

/// Opens a stream as a voter of the same electorate does.
fn accept_ours(bench: &mut Bench, from: usize) -> StreamId {
    let mut stream = None;
    names(bench.election.electorate_hash, |header| {
        stream = Some(bench.accept_with(Some(from), header));
    });
    stream.unwrap()
}

fn is_silent(bench: &mut Bench, caller: StreamId, ts: i64) -> bool {
    answers(bench, caller);
    bench.called(caller, &asks_vote("v1:1", ts));
    bench.io.submitted.iter().all(|(tag, _)| tag.rest() != KEEP)
        && answers(bench, caller).is_empty()
        && bench.command(ElectionCommand::Campaign).is_err()
}

#[test]
fn a_voter_that_does_not_know_that_it_may_waits_for_one_that_takes_part() {
    let three = electorate(5, &VOTERS);
    let kept = vote(Some((Seat(2), NOON)));
    let before = b"\x01\x02\x01\0\0\0\0\0\0".to_vec();
    for (kept, epoch, code) in [
        (ballot_of(kept, &three, true), 7, "TF-E13"),
        (ballot_of(kept, &three, false), 6, "TF-E15"),
        (before, 6, "TF-E15"),
        (Vec::new(), 6, "TF-E15"),
    ] {
        let mut bench = start(&kept, epoch, &FOUR, |config| {
            config.memory = Memory::Kept { first: true };
        });
        assert!(bench.told.concat().contains(code), "{:?}", bench.told);
        bench.connect();
        // One that does not name its electorate proves nothing; nor does a look whether it is alive.
        let mute = bench.accept(Some(1));
        assert!(is_silent(&mut bench, mute, NOON + 5_000_000_000));
        let caller = accept_ours(&mut bench, 1);
        let ping = MgmtRequestMethod::Ping(trefoil_proto::cache::Ping {});
        bench.called(caller, &asks(ping));
        let later = bench.now + Duration::from_secs(5);
        bench.pass(later);
        assert!(bench.election.waits);
        let bound = bench.election.elector.vote().promise;

        bench.called(caller, &asks(MgmtRequestMethod::Health(Health {})));
        assert!(is_silent(&mut bench, caller, NOON + 6_000_000_000));
        let mut bench = adopted(bench);
        assert_eq!(
            written(&bench).electorate,
            Some((electorate(epoch, &FOUR), false))
        );
        // What it promised before it stayed behind binds it anew.
        let now_bound = bench.election.elector.bound_to(bench.now);
        assert_eq!(now_bound.map(|bound| (bound.to, bound.token)), bound);
        bench.now += Duration::from_secs(1);
        answers(&mut bench, caller);
        bench.called(caller, &asks_vote("v1:1", NOON + 7_000_000_000));
        bench.kept();
        assert!(
            answers(&mut bench, caller)
                .concat()
                .contains("LeaderReqAck")
        );
    }
}

#[test]
fn a_lost_memory_waits_for_both() {
    let mut bench = start(&[], 6, &FOUR, |_| {});
    let caller = accept_ours(&mut bench, 1);
    bench.pass(Instant::from_millis(1_000));
    assert!(is_silent(&mut bench, caller, NOON + 500_000_000));
    assert_eq!(bench.election.phase, Phase::Running);
    bench.pass(Instant::from_millis(1_001));
    bench.called(caller, &asks(MgmtRequestMethod::Health(Health {})));
    adopted(bench);
}

#[test]
fn nothing_falls_due_for_a_lone_voter_that_waits() {
    let mut bench = start(&[], 6, &VOTERS[..1], |config| {
        config.memory = Memory::Kept { first: true };
    });
    bench.timeout();
    assert!(bench.election.waits);
    assert_eq!(bench.election.poll_timeout(), None);
}

#[test]
fn the_next_electorate_is_kept_before_anybody_hears_of_it() {
    let kept = ballot_of(vote(None), &electorate(5, &VOTERS), true);
    let mut bench = start(&kept, 6, &FOUR, |_| {});
    assert_eq!(
        written(&bench).electorate,
        Some((electorate(6, &FOUR), false))
    );
    let early = bench.accept(Some(1));
    assert_eq!(bench.io.take_end(early).unwrap().code, Code::Unavailable);
    assert!(bench.io.opened.is_empty());
    // A store that does not keep it is asked again.
    bench.io.submitted.clear();
    bench.done(ADOPT, Done::Unknown);
    let later = bench.now + Duration::from_millis(20);
    bench.pass(later);
    let value = Done::Value {
        revision: 1,
        value: &kept,
    };
    bench.done(RECALL, value);
    let mut bench = adopted(bench);
    assert_eq!(bench.election.elector.max(), Token::from_wire(NOON));
    bench.timeout();
    assert_eq!(bench.io.opened.len(), 3);
}

#[test]
fn an_epoch_is_settled_by_a_leader_of_it_and_nothing_less() {
    // Another that leads, and says so itself.
    let mut bench = Bench::new();
    bench.connect();
    let caller = bench.accept(Some(1));
    bench.called(caller, &asks_vote("v1:1", NOON));
    bench.kept();
    assert!(!written(&bench).electorate.unwrap().1);
    let leads = asks(MgmtRequestMethod::LeaderAck(
        trefoil_proto::cache::LeaderAck {
            addr: "v1:1",
            election_ts: NOON,
        },
    ));
    let stranger = bench.accept(None);
    bench.called(stranger, &leads);
    assert!(!written(&bench).electorate.unwrap().1);
    bench.called(caller, &leads);
    assert!(written(&bench).electorate.unwrap().1);
    // This voter.
    let (mut bench, token) = Bench::candidate();
    assert!(!written(&bench).electorate.unwrap().1);
    let stream = bench.dialled(1);
    bench.answered(1, stream, &votes(token.to_wire()));
    assert!(written(&bench).electorate.unwrap().1);
    // It is kept again if it was not, and with every vote after it.
    bench.election.ballot.clear();
    bench.done(SETTLE, Done::Unknown);
    let later = bench.now + Duration::from_millis(20);
    bench.pass(later);
    assert!(written(&bench).electorate.unwrap().1);
    let kept = bench.election.ballot.clone();
    let bench = start(&kept, 1, &VOTERS, |_| {});
    assert_eq!(bench.election.phase, Phase::Running);
    assert!(bench.election.settled);
}

#[test]
fn a_promise_to_a_voter_that_was_removed_binds_all_the_same() {
    let kept = ballot_of(vote(Some((Seat(1), NOON))), &electorate(5, &VOTERS), true);
    let mut bench = adopted(start(&kept, 6, &WITHOUT_B, |_| {}));
    let begun = bench.now;
    let ask = |bench: &mut Bench, ts: i64| {
        let stream = bench.accept(Some(1));
        answers(bench, stream);
        bench.called(stream, &asks_vote("v2:1", ts));
        bench.kept();
        answers(bench, stream).concat()
    };
    // The first number of the book is that of the one other voter now.
    assert!(ask(&mut bench, NOON + 10_000_000).contains("LeaderInfo"));
    // Its address has no meaning on the wire.
    let stream = bench.accept(Some(1));
    let switch = trefoil_proto::cache::LeaderSwitch {
        vote_host: electorate::RETIRED,
        election_ts: NOON + 1,
    };
    bench.called(stream, &asks(MgmtRequestMethod::LeaderSwitch(switch)));
    let report = asks(MgmtRequestMethod::Health(Health {}));
    answers(&mut bench, stream);
    bench.called(stream, &report);
    assert!(
        answers(&mut bench, stream)
            .concat()
            .contains("connected: true")
    );
    bench.now = begun + Duration::from_millis(1_000);
    assert!(ask(&mut bench, NOON + 20_000_000).contains("LeaderReqAck"));
}

#[test]
fn an_empty_place_is_not_dialled_and_makes_no_majority() {
    let kept = ballot_of(vote(None), &electorate(6, &WITHOUT_B), true);
    let mut bench = start(&kept, 6, &WITHOUT_B, |_| {});
    bench.timeout();
    let opened = bench.io.take_opened();
    assert_eq!(opened.len(), 1);
    assert_eq!(bench.election.neighbours().count(), 1);
    assert!(!bench.election.has_quorum());
    let hand = ElectionCommand::HandOver {
        to: electorate::RETIRED,
    };
    assert_eq!(bench.command(hand), Err(ElectionRefused::NoSuchVoter));
}

#[test]
fn a_vote_of_the_version_before_goes_on_in_the_first_epoch() {
    let kept = b"\x01\x02\x01\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0v2:1";
    let bench = adopted(start(kept, 1, &VOTERS, |_| {}));
    let promise = bench.election.elector.vote().promise;
    assert_eq!(promise, Some((Seat(2), Token::from_wire(0x0101))));
    assert_eq!(written(&bench).electorate.unwrap().0.epoch, 1);
}

#[test]
fn as_many_followers_are_served_as_configured_and_voters_besides() {
    let mut bench = Bench::with(|config| config.followers_max = 1_000);
    let followers: Vec<StreamId> = (0..1_000).map(|_| bench.accept(None)).collect();
    let late = bench.accept(None);
    assert_eq!(
        bench.io.take_end(late).unwrap().code,
        Code::ResourceExhausted
    );
    for seat in [1, 2] {
        let voter = bench.accept(Some(seat));
        assert_eq!(answers(&mut bench, voter).len(), 1);
    }
    for follower in [0, 499, 999] {
        answers(&mut bench, followers[follower]);
        bench.called(
            followers[follower],
            &asks(MgmtRequestMethod::Health(Health {})),
        );
        assert_eq!(answers(&mut bench, followers[follower]).len(), 1);
    }
    bench.stream(followers[7], speech::CALLED, StreamIn::Ended(Status::OK));
    let next = bench.accept(None);
    assert_eq!(answers(&mut bench, next).len(), 1);
}
