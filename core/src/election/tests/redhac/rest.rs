//! What a leader tells redhac's nodes when nothing happens, and when something did.

use super::*;

/// Time passes while all answer: how long after its start this leader told the redhac node that it leads, in
/// milliseconds, and how much it said to it.
fn reigns(bench: &mut Bench, token: Token, millis: u64) -> (Vec<u64>, usize) {
    let ack =
        std::format!("LeaderAck(LeaderAck {{ addr: \"http://v0:1\", election_ts: {token} }})");
    let (mut acks, mut count) = (Vec::new(), 0);
    let begin = bench.now;
    while bench.now < begin + Duration::from_millis(millis) {
        let next = bench.now + Duration::from_millis(10);
        bench.pass(next);
        let (one, two) = (bench.dialled(1), bench.dialled(2));
        bench.answered(1, one, &votes_for(token.to_wire()));
        for (seat, stream) in [(1, one), (2, two)] {
            bench.answered(seat, stream, &says(Said::Pong(Pong {})));
        }
        let said = told(bench, 2);
        count += said.len();
        for said in without_pings(said) {
            assert_eq!(said, ack);
            acks.push(bench.now.since(begin).as_millis() as u64);
        }
    }
    assert!(bench.election.leads(bench.now));
    (acks, count)
}

/// The redhac node was just told who leads, and is told nothing more for now.
fn rests(bench: &mut Bench, token: Token) {
    reigns(bench, token, 5_000);
    while reigns(bench, token, 10).0.is_empty() {}
}

#[test]
fn at_rest_a_leader_says_one_message_a_second_to_a_redhac_node() {
    let (mut bench, token) = leads_with_ours(RedhacVotes::Ignored);
    reigns(&mut bench, token, 5_000);
    let (acks, count) = reigns(&mut bench, token, 60_000);
    assert!((59..=61).contains(&count), "{count}");
    // Whatever it was told meanwhile by others of redhac's, it knows better soon.
    assert!((29..=31).contains(&acks.len()), "{acks:?}");
    let most = acks.windows(2).map(|two| two[1] - two[0]).max();
    assert!(most.is_some_and(|most| most <= 2_010), "{acks:?}");
}

#[test]
fn after_what_may_have_moved_a_redhac_node_it_is_told_at_every_heartbeat_for_a_promise() {
    type Event = fn(&mut Bench, StreamId);
    let events: [(&str, Event); 4] = [
        // It claims the leadership when its stream to the leader is lost.
        ("its stream ended", |bench, stream| {
            let lost = Status::new(Code::Unavailable, "").caused_by(Cause::Lost);
            bench.stream(stream, speech::CALLED, StreamIn::Ended(lost));
        }),
        ("its stream was closed", |bench, stream| {
            bench.stream(stream, speech::CALLED, StreamIn::HalfClosed);
        }),
        ("it votes for another", |bench, stream| {
            bench.called(stream, &broadcast_vote(HOSTS[2], NOON));
        }),
        ("it prefers another", |bench, stream| {
            bench.called(stream, &prefers(2, NOON));
        }),
    ];
    for (what, event) in events {
        let (mut bench, token) = leads_with_ours(RedhacVotes::Ignored);
        let stream = bench.accept(None);
        rests(&mut bench, token);
        event(&mut bench, stream);
        let (acks, _) = reigns(&mut bench, token, 1_500);
        assert!((4..=6).contains(&acks.len()), "{what}: {acks:?}");
        assert!(
            acks[0] <= 210 && acks.last() < Some(&1_210),
            "{what}: {acks:?}"
        );
    }
    // Nothing happened.
    let (mut bench, token) = leads_with_ours(RedhacVotes::Ignored);
    rests(&mut bench, token);
    assert_eq!(reigns(&mut bench, token, 1_500).0, []);
}

#[test]
fn a_redhac_node_that_comes_is_told_at_once_and_once() {
    let (mut bench, token) = leads_with_ours(RedhacVotes::Ignored);
    reigns(&mut bench, token, 5_000);
    let dialled = bench.dialled(2);
    let lost = Status::new(Code::Unavailable, "").caused_by(Cause::Lost);
    bench.stream(dialled, speech::dialled(Seat(2)), StreamIn::Ended(lost));
    bench.timeout();
    joined(&mut bench, 2);
    bench.timeout();
    let said = told(&mut bench, 2);
    let ack =
        std::format!("LeaderAck(LeaderAck {{ addr: \"http://v0:1\", election_ts: {token} }})");
    assert_eq!(without_pings(said), [ack]);
}

#[test]
fn where_votes_of_redhac_count_they_are_asked_for_at_every_heartbeat() {
    let (mut bench, token) = leads_with_ours(RedhacVotes::CountedTwoMayLead);
    let (acks, _) = reigns(&mut bench, token, 10_000);
    assert!((49..=51).contains(&acks.len()), "{acks:?}");
}
