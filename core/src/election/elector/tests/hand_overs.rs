//! Leadership that is handed over, and its proof.

use super::*;

#[test]
fn a_leader_that_hands_over_leads_no_more_before_it_says_so() {
    let (mut elector, own) = leader();
    let acts = said(|acts| assert!(elector.hand_over(ms(2), X, acts)));
    assert_eq!(acts, [Act::Keep]);
    assert_eq!(
        (elector.role(), elector.leads(ms(2))),
        (Role::Follower, false)
    );
    let token = own.successor().unwrap();
    assert_eq!(elector.vote().promise, Some((X, token)));
    let switch = Act::Switch(HandOn {
        to: X,
        token,
        ceding: false,
        grants: None,
    });
    assert_eq!(said(|acts| elector.kept(ms(2), acts)), [switch]);
}

#[test]
fn leadership_is_handed_to_another_voter_or_given_up() {
    for nobody in [ME, Seat(3)] {
        let (mut elector, _) = leader();
        let acts = said(|acts| assert!(!elector.hand_over(ms(2), nobody, acts)));
        assert!(matches!(acts[..], [Act::Withdraw(_)]));
        assert_eq!(elector.role(), Role::Follower);
    }
    let mut elector = fresh();
    assert_eq!(said(|acts| assert!(!elector.hand_over(ms(2), X, acts))), []);
}

#[test]
fn whoever_is_next_asks_with_the_token_it_was_given() {
    let token = token(X, 1).successor().unwrap();
    let asked = [Act::Request { to: X, token }, Act::Request { to: Y, token }];
    // It promised the one before, or it is free.
    for mut elector in [bound(X, super::token(X, 1), 0), fresh()] {
        assert_eq!(switch(&mut elector, X, ME, token), asked);
        assert_eq!(elector.role(), Role::Candidate(token));
    }
}

#[test]
fn a_token_that_is_not_above_all_that_is_known_is_not_taken_over() {
    let mut elector = bound(X, token(X, 1), 0);
    elector.heard(token(Y, 9));
    switch(&mut elector, X, ME, token(X, 1).successor().unwrap());
    assert!(matches!(elector.role(), Role::Candidate(fresh) if fresh > token(Y, 9)));
}

/// It may be late, and the others may have forgotten what they promised since.
#[test]
fn where_votes_are_not_kept_whoever_is_next_asks_with_a_token_of_its_own() {
    let handed = token(X, 1).successor().unwrap();
    let mut elector = Elector::new(forgetful(), Some(Vote::default()), ms(0));
    assert!(is_granted(&mut elector, 0, X, token(X, 1)));
    switch(&mut elector, X, ME, handed);
    let Role::Candidate(own) = elector.role() else {
        panic!("{:?}", elector.role());
    };
    assert!(own > handed && own.to_wire() >> 4 & 63 == i64::from(ME.0));
}

#[test]
fn a_leader_hands_over_whatever_it_has_heard_of() {
    let (mut elector, own) = leader();
    elector.heard(token(Y, 50));
    all_said(&mut elector, ms(2), |elector, acts| {
        assert!(elector.hand_over(ms(2), X, acts));
    });
    let handed = own.successor().unwrap();
    assert_eq!(bound_to(&elector), Some((X, handed)));
    assert!(is_granted(&mut elector, 3, X, handed));
}

#[test]
fn a_hand_over_without_proof_moves_no_promise() {
    let next = token(X, 1).successor().unwrap();
    let wrong = [(Y, next), (X, token(X, 2)), (X, next.successor().unwrap())];
    for (from, handed) in wrong {
        for to in [ME, Y] {
            let mut elector = bound(X, token(X, 1), 0);
            assert_eq!(switch(&mut elector, from, to, handed), []);
            assert_eq!(bound_to(&elector), Some((X, token(X, 1))));
        }
    }
}

#[test]
fn whoever_promised_the_one_before_promises_the_next() {
    let mut elector = bound(X, token(X, 1), 0);
    let next = token(X, 1).successor().unwrap();
    let acts = said(|acts| elector.switched(ms(10), X, Y, next, false, acts));
    assert_eq!(acts, [Act::Keep]);
    assert_eq!(said(|acts| elector.kept(ms(10), acts)), []);
    assert_eq!(elector.bound_to(ms(9 + PROMISE)).unwrap().to, Y);
    let grant = Act::Grant { to: Y, token: next };
    assert_eq!(request(&mut elector, 11, Y, next), [grant]);
}

#[test]
fn a_leader_takes_no_hand_over() {
    let (mut elector, own) = leader();
    assert_eq!(switch(&mut elector, X, ME, token(X, 9)), []);
    assert_eq!(elector.role(), Role::Leader(own));
}

#[test]
fn a_chain_of_hand_overs_ends_with_the_last_one_stepping_down() {
    let mut last = token(X, 1);
    while let Some(next) = last.successor() {
        last = next;
    }
    let last_of_chain = || {
        let mut elector = fresh();
        switch(&mut elector, X, ME, last);
        assert_eq!(elector.role(), Role::Candidate(last));
        elector
    };
    let mut elector = last_of_chain();
    grant(&mut elector, 11, X, last, 10);
    assert!(elector.leads(ms(11)));
    let acts = said(|acts| assert!(!elector.hand_over(ms(12), X, acts)));
    assert!(matches!(acts[..], [Act::Withdraw(_)]), "{acts:?}");

    let acts = request(&mut last_of_chain(), 11, Y, token(Y, -9));
    assert!(matches!(
        acts[..],
        [Act::Withdraw(_), Act::Refuse { to: Y, .. }]
    ));
}

/// A voter that promised a candidate, which gave way to an earlier one.
fn gave_way(elector: &mut Elector) -> Token {
    let own = elector.bound_to(ms(10)).unwrap().token;
    let next = own.successor().unwrap();
    assert_eq!(give_way(elector, X, Y, next), []);
    next
}

#[test]
fn who_promised_one_that_gave_way_grants_what_the_earlier_one_asked_for() {
    let mut elector = bound(X, token(X, 5), 0);
    let next = gave_way(&mut elector);
    assert!(is_granted(&mut elector, 11, Y, token(Y, 2)));
    assert_eq!(bound_to(&elector), Some((Y, token(Y, 2))));
    // It is renewed like any other, hands on like any other, and may still be asked for the greater one.
    assert!(is_granted(&mut elector, 500, Y, token(Y, 2)));
    assert!(is_granted(&mut elector, 501, Y, next));
    assert!(!is_granted(&mut elector, 502, Y, token(Y, 2)));
}

#[test]
fn what_a_voter_helped_before_stays_the_floor_of_what_it_grants_to_the_earlier_one() {
    let mut elector = bound(X, token(X, 3), 0);
    assert!(is_granted(&mut elector, 1, X, token(X, 5)));
    gave_way(&mut elector);
    assert!(!is_granted(&mut elector, 11, Y, token(Y, 2)));
    assert!(is_granted(&mut elector, 11, Y, token(Y, 4)));
}

#[test]
fn what_was_promised_to_a_leader_is_no_vote_for_an_earlier_token_of_its_heir() {
    let mut elector = bound(X, token(X, 5), 0);
    let next = token(X, 5).successor().unwrap();
    assert_eq!(switch(&mut elector, X, Y, next), []);
    assert!(!is_granted(&mut elector, 11, Y, token(Y, 2)));
    assert!(is_granted(&mut elector, 11, Y, next));
}

#[test]
fn who_leads_with_the_earlier_token_hands_on_what_was_promised_to_it_with_the_greater_one() {
    let mut elector = bound(X, token(X, 5), 0);
    gave_way(&mut elector);
    // The leader is gone before it asked here.
    let handed = token(Y, 2).successor().unwrap();
    assert_eq!(
        switch(&mut elector, Y, ME, handed),
        [
            Act::Request {
                to: X,
                token: elector.max()
            },
            Act::Request {
                to: Y,
                token: elector.max()
            },
        ]
    );
    assert!(elector.max() > token(X, 5));
}

#[test]
fn a_candidate_that_helped_a_greater_token_before_gives_its_votes_under_a_new_one() {
    let helped = |elector: &mut Elector| {
        assert!(is_granted(elector, 0, X, token(X, -5)));
        inform(elector, X, None, token(X, -5));
    };
    let led = |elector: &mut Elector| {
        all_said(elector, ms(1), |elector, acts| {
            assert!(elector.campaign(ms(1), acts))
        });
        let own = elector.max();
        assert_eq!(grant(elector, 2, X, own, 1), [Act::Announce(own)]);
        said(|acts| elector.stop(ms(3), acts));
    };
    let before: [fn(&mut Elector); 2] = [helped, led];
    for (before, below, above) in [(before[0], -9, Some(-4)), (before[1], -9, None)] {
        for (earlier, grants) in [(Some(below), false), (above, true)] {
            let Some(earlier) = earlier else { continue };
            let mut elector = fresh();
            before(&mut elector);
            all_said(&mut elector, ms(10), |elector, acts| {
                assert!(elector.campaign(ms(10), acts));
            });
            let acts = request(&mut elector, 11, Y, token(Y, earlier));
            let switch = acts.last();
            assert!(
                matches!(switch, Some(Act::Switch(switch)) if switch.grants.is_some() == grants),
                "{acts:?}"
            );
            assert_eq!(acts.len() > 1, grants, "{acts:?}");
        }
    }
}

#[test]
fn a_vote_that_is_handed_on_while_it_is_kept_is_granted_once_it_is() {
    let (mut elector, _) = candidate(3);
    let earlier = token(Y, -9);
    let ask = |elector: &mut Elector| said(|acts| elector.requested(ms(1), Y, earlier, acts));
    assert_eq!(ask(&mut elector), [Act::Keep]);
    // It asks again before the vote is durable: nothing of what is owed is lost.
    assert_eq!(ask(&mut elector), []);
    let acts = said(|acts| elector.kept(ms(2), acts));
    assert!(
        matches!(acts[..], [Act::Grant { to: Y, token }, Act::Switch(_)] if token == earlier),
        "{acts:?}"
    );
    // Or its owner takes the request back, and the others are still told.
    let (mut elector, _) = candidate(3);
    assert_eq!(ask(&mut elector), [Act::Keep]);
    let back = Info {
        leader: None,
        token: earlier,
    };
    said(|acts| elector.informed(ms(1), Y, back, acts));
    let acts = said(|acts| elector.kept(ms(2), acts));
    assert!(matches!(acts[..], [Act::Switch(_)]), "{acts:?}");
}

/// It had promised the third of three candidates, of which the second gave way to the first before it heard
/// that the third gave way to it: the promise it holds is one that nobody asks for.
#[test]
fn an_open_promise_that_ran_out_lets_the_leader_be_voted_for() {
    let mut elector = bound(X, token(X, 5), 0);
    gave_way(&mut elector);
    let leader = Seat(3);
    assert!(!is_granted(&mut elector, PROMISE, leader, token(leader, 1)));
    assert!(is_granted(
        &mut elector,
        11 + PROMISE,
        leader,
        token(leader, 1)
    ));
}

#[test]
fn after_a_restart_the_heir_of_a_kept_promise_is_voted_for_though_more_was_heard_of() {
    let mut before = bound(X, token(X, 5), 0);
    request(&mut before, 1, Y, token(Y, 9));
    let mut elector = Elector::new(rules(ME, 3), Some(before.vote()), ms(2));
    let next = token(X, 5).successor().unwrap();
    assert_eq!(switch(&mut elector, X, Y, next), []);
    assert!(is_granted(&mut elector, 11, Y, next));
    // What it kept without a promise may all have led.
    let vote = Vote {
        promise: None,
        ..before.vote()
    };
    let mut elector = Elector::new(rules(ME, 3), Some(vote), ms(2));
    assert!(!is_granted(&mut elector, 11, Y, token(Y, 9)));
}
