//! The rules, one by one.

mod hand_overs;

use alloc::vec::Vec;

use super::*;
use crate::time::Duration;

const NOON: i64 = 1_770_000_000_000_000_000;
const PROMISE: u64 = 1_000;
const LEASE: u64 = 900;
const ME: Seat = Seat(0);
const X: Seat = Seat(1);
const Y: Seat = Seat(2);

fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn rules(me: Seat, voters: u8) -> Rules {
    Rules {
        me,
        voters,
        retired: 0,
        promise: Duration::from_millis(PROMISE),
        lease: Duration::from_millis(LEASE),
        unix_origin: NOON,
        votes_are_kept: true,
    }
}

fn forgetful() -> Rules {
    Rules {
        votes_are_kept: false,
        ..rules(ME, 3)
    }
}

fn fresh() -> Elector {
    Elector::new(rules(ME, 3), Some(Vote::default()), ms(0))
}

/// A token of `seat`, the later the greater `time`.
fn token(seat: Seat, time: i64) -> Token {
    Token::mint(NOON + time * 2_000, Token::NONE, seat).unwrap()
}

fn said(input: impl FnOnce(Acts<'_>)) -> Vec<Act> {
    let mut acts = Vec::new();
    input(&mut |act| acts.push(act));
    acts
}

/// Gives a voter an input and keeps its vote at once.
fn all_said(
    elector: &mut Elector,
    now: Instant,
    input: impl FnOnce(&mut Elector, Acts<'_>),
) -> Vec<Act> {
    let mut acts = said(|acts| input(elector, acts));
    while let Some(at) = acts.iter().position(|act| *act == Act::Keep) {
        acts.remove(at);
        acts.extend(said(|acts| elector.kept(now, acts)));
    }
    acts
}

fn request(elector: &mut Elector, now: u64, from: Seat, token: Token) -> Vec<Act> {
    all_said(elector, ms(now), |elector, acts| {
        elector.requested(ms(now), from, token, acts);
    })
}

fn is_granted(elector: &mut Elector, now: u64, from: Seat, token: Token) -> bool {
    let acts = request(elector, now, from, token);
    acts.contains(&Act::Grant { to: from, token })
}

/// A voter bound to `to` since `now`.
fn bound(to: Seat, token: Token, now: u64) -> Elector {
    let mut elector = fresh();
    assert!(is_granted(&mut elector, now, to, token));
    elector
}

fn candidate(voters: u8) -> (Elector, Token) {
    let mut elector = Elector::new(rules(ME, voters), Some(Vote::default()), ms(0));
    let acts = all_said(&mut elector, ms(0), |elector, acts| {
        assert!(elector.campaign(ms(0), acts));
    });
    let Role::Candidate(own) = elector.role() else {
        panic!("{:?}", elector.role());
    };
    let requests = (1..voters)
        .map(Seat)
        .map(|to| Act::Request { to, token: own });
    assert_eq!(acts, requests.collect::<Vec<_>>());
    (elector, own)
}

fn grant(elector: &mut Elector, now: u64, from: Seat, token: Token, sent: u64) -> Vec<Act> {
    said(|acts| elector.granted(ms(now), from, token, ms(sent), acts))
}

/// A leader whose lease began at 0.
fn leader() -> (Elector, Token) {
    let (mut elector, own) = candidate(3);
    assert_eq!(grant(&mut elector, 1, X, own, 0), [Act::Announce(own)]);
    (elector, own)
}

fn inform(elector: &mut Elector, from: Seat, leader: Option<Seat>, token: Token) -> Vec<Act> {
    all_said(elector, ms(10), |elector, acts| {
        elector.informed(ms(10), from, Info { leader, token }, acts);
    })
}

fn switch(elector: &mut Elector, from: Seat, to: Seat, token: Token) -> Vec<Act> {
    all_said(elector, ms(10), |elector, acts| {
        elector.switched(ms(10), from, to, token, false, acts);
    })
}

/// A candidate gives way.
fn give_way(elector: &mut Elector, from: Seat, to: Seat, token: Token) -> Vec<Act> {
    all_said(elector, ms(10), |elector, acts| {
        elector.switched(ms(10), from, to, token, true, acts);
    })
}

fn bound_to(elector: &Elector) -> Option<(Seat, Token)> {
    let promise = elector.bound_to(ms(10));
    promise.map(|promise| (promise.to, promise.token))
}

mod requests {
    use super::*;

    #[test]
    fn a_free_voter_promises_nothing_below_what_it_knows() {
        let mut elector = fresh();
        elector.heard(token(Y, 5));
        assert!(!is_granted(&mut elector, 0, X, token(X, 4)));
        assert!(is_granted(&mut elector, 0, X, token(X, 6)));
    }

    /// A leader without the vote of a voter that only heard of it would have to do without for as long as
    /// it leads.
    #[test]
    fn a_token_that_was_heard_of_is_promised_to_its_owner_unless_it_was_promised_before() {
        let mut elector = fresh();
        elector.heard(token(Y, 5));
        assert!(is_granted(&mut elector, 0, Y, token(Y, 5)));

        // It asked while the voter was bound to another.
        let mut elector = bound(X, token(X, 1), 0);
        assert!(!is_granted(&mut elector, 1, Y, token(Y, 5)));
        assert!(is_granted(&mut elector, PROMISE, Y, token(Y, 5)));

        // It was named as the heir of a token that was promised to nobody here.
        let mut elector = bound(Y, token(Y, 1), 0);
        let handed = token(X, 2).successor().unwrap();
        assert_eq!(switch(&mut elector, X, Y, handed), []);
        assert!(is_granted(&mut elector, 11, Y, handed));

        // It was given back, and the request is a late one.
        assert_eq!(inform(&mut elector, Y, None, handed), []);
        assert_eq!(bound_to(&elector), None);
        assert!(!is_granted(&mut elector, 11, Y, handed));
    }

    #[test]
    fn a_bound_voter_refuses_everybody_else_until_its_promise_ends() {
        let mut elector = bound(X, token(X, 1), 0);
        for later in [2, 900] {
            let acts = request(&mut elector, PROMISE - 1, Y, token(Y, later));
            assert!(
                matches!(acts[..], [Act::Refuse { to: Y, info, .. }] if info.leader == Some(X)),
                "{acts:?}"
            );
        }
        assert!(is_granted(&mut elector, PROMISE, Y, token(Y, 901)));
    }

    #[test]
    fn whoever_is_refused_learns_above_what_to_ask() {
        let mut elector = bound(X, token(X, 1), 0);
        request(&mut elector, 1, Y, token(Y, 7));
        assert_eq!(elector.info(ms(1)).token, token(Y, 7));
    }

    #[test]
    fn a_renewal_extends_the_promise_and_is_not_written_down() {
        let mut elector = bound(X, token(X, 1), 0);
        let acts = said(|acts| elector.requested(ms(400), X, token(X, 1), acts));
        let grant = Act::Grant {
            to: X,
            token: token(X, 1),
        };
        assert_eq!(acts, [grant]);
        assert_eq!(elector.bound_to(ms(400)).unwrap().until, ms(400 + PROMISE));
        assert!(!is_granted(&mut elector, 399 + PROMISE, Y, token(Y, 9)));
    }

    #[test]
    fn the_owner_of_a_promise_may_ask_with_a_greater_token_but_not_with_a_lower_one() {
        let mut elector = bound(X, token(X, 5), 0);
        assert!(!is_granted(&mut elector, 1, X, token(X, 4)));
        assert!(is_granted(&mut elector, 1, X, token(X, 6)));
        assert!(!is_granted(&mut elector, 1, X, token(X, 5)));
    }

    #[test]
    fn a_request_with_the_successor_of_a_promise_proves_a_hand_over() {
        let handed = token(X, 1).successor().unwrap();
        assert!(is_granted(&mut bound(X, token(X, 1), 0), 1, Y, handed));
        let twice = handed.successor().unwrap();
        assert!(!is_granted(&mut bound(X, token(X, 1), 0), 1, Y, twice));
        let mut elector = bound(X, token(X, 1), 0);
        elector.heard(token(Y, 9));
        assert!(!is_granted(&mut elector, 1, Y, handed));
    }

    #[test]
    fn a_promise_that_ran_out_is_renewed_if_nothing_was_promised_since() {
        let mut elector = bound(X, token(X, 1), 0);
        elector.heard(token(Y, 2));
        assert!(is_granted(&mut elector, 2 * PROMISE, X, token(X, 1)));
        assert!(is_granted(&mut elector, 4 * PROMISE, Y, token(Y, 3)));
        assert!(!is_granted(&mut elector, 6 * PROMISE, X, token(X, 1)));
    }

    /// Others that forgot what they promised since rely on it.
    #[test]
    fn where_votes_are_not_kept_a_promise_that_ran_out_is_not_renewed_below_what_was_heard_of() {
        let mut elector = Elector::new(forgetful(), Some(Vote::default()), ms(0));
        assert!(is_granted(&mut elector, 0, X, token(X, 1)));
        assert!(is_granted(&mut elector, 2 * PROMISE, X, token(X, 1)));
        elector.heard(token(Y, 2));
        assert!(!is_granted(&mut elector, 4 * PROMISE, X, token(X, 1)));
    }

    #[test]
    fn a_leader_names_itself_to_whoever_asks() {
        let (mut elector, own) = leader();
        let acts = request(&mut elector, 2, Y, token(Y, 90));
        let info = Info {
            leader: Some(ME),
            token: own,
        };
        let token = token(Y, 90);
        assert_eq!(acts, [Act::Refuse { to: Y, token, info }]);
        assert!(elector.leads(ms(2)));
    }

    #[test]
    fn a_candidate_gives_way_to_an_earlier_one() {
        let (mut elector, own) = candidate(3);
        let acts = said(|acts| elector.requested(ms(1), Y, token(Y, -9), acts));
        assert_eq!(acts, [Act::Keep]);
        assert_eq!(elector.role(), Role::Follower);
        let token = own.successor().unwrap();
        let acts = said(|acts| elector.kept(ms(1), acts));
        let earlier = super::token(Y, -9);
        let switch = Act::Switch(HandOn {
            to: Y,
            token,
            ceding: true,
            grants: Some(earlier),
        });
        let grant = Act::Grant {
            to: Y,
            token: earlier,
        };
        assert_eq!(acts, [grant, switch]);
        assert_eq!(bound_to(&elector), Some((Y, earlier)));
    }

    #[test]
    fn a_candidate_refuses_a_later_one() {
        let (mut elector, own) = candidate(3);
        let acts = request(&mut elector, 1, Y, token(Y, 9));
        assert!(matches!(acts[..], [Act::Refuse { to: Y, info, .. }] if info.leader == Some(ME)));
        assert_eq!(elector.role(), Role::Candidate(own));
    }
}

mod memory {
    use super::*;

    #[test]
    fn nothing_is_said_before_the_vote_is_kept() {
        let mut elector = fresh();
        let acts = said(|acts| elector.requested(ms(0), X, token(X, 1), acts));
        assert_eq!(acts, [Act::Keep]);
        assert_eq!(elector.vote().promise, Some((X, token(X, 1))));

        let mut elector = fresh();
        let acts = said(|acts| assert!(elector.campaign(ms(0), acts)));
        assert_eq!(acts, [Act::Keep]);
        assert_eq!(elector.vote().promise.unwrap().0, ME);
        let acts = said(|acts| elector.kept(ms(0), acts));
        assert!(matches!(
            acts[..],
            [Act::Request { to: X, .. }, Act::Request { to: Y, .. }]
        ));
    }

    #[test]
    fn of_two_votes_being_kept_only_the_newest_is_said_and_after_both() {
        let mut elector = fresh();
        for time in [1, 2] {
            let acts = said(|acts| elector.requested(ms(0), X, token(X, time), acts));
            assert_eq!(acts, [Act::Keep]);
        }
        // A renewal does not overtake the vote it renews.
        assert_eq!(
            said(|acts| elector.requested(ms(0), X, token(X, 2), acts)),
            []
        );
        assert_eq!(said(|acts| elector.kept(ms(0), acts)), []);
        let grant = Act::Grant {
            to: X,
            token: token(X, 2),
        };
        assert_eq!(said(|acts| elector.kept(ms(0), acts)), [grant]);
    }

    #[test]
    fn a_promise_that_ran_out_while_it_was_kept_is_not_said() {
        let mut elector = fresh();
        said(|acts| elector.requested(ms(0), X, token(X, 1), acts));
        assert_eq!(said(|acts| elector.kept(ms(PROMISE), acts)), []);
    }

    #[test]
    fn a_candidate_whose_own_vote_is_not_kept_does_not_lead() {
        let mut elector = fresh();
        said(|acts| assert!(elector.campaign(ms(0), acts)));
        let Role::Candidate(own) = elector.role() else {
            panic!("{:?}", elector.role());
        };
        assert_eq!(grant(&mut elector, 1, X, own, 0), []);
        let acts = said(|acts| elector.kept(ms(2), acts));
        assert_eq!(acts.last(), Some(&Act::Announce(own)));
    }

    /// It refused another candidate, whose token it is to remember, before it was granted what it needs.
    #[test]
    fn what_was_granted_while_something_was_kept_counts_once_it_is() {
        let (mut elector, own) = candidate(3);
        let acts = said(|acts| elector.requested(ms(1), Y, token(Y, 9), acts));
        assert!(
            matches!(acts[..], [Act::Refuse { .. }, Act::Keep]),
            "{acts:?}"
        );
        assert_eq!(grant(&mut elector, 2, X, own, 0), []);
        assert_eq!(said(|acts| elector.kept(ms(3), acts)), [Act::Announce(own)]);
    }

    #[test]
    fn a_restart_binds_anew_for_the_whole_promise() {
        let before = bound(X, token(X, 1), 0);
        let mut elector = Elector::new(rules(ME, 3), Some(before.vote()), ms(5_000));
        assert!(!is_granted(&mut elector, 4_999 + PROMISE, Y, token(Y, 9)));
        assert!(is_granted(&mut elector, 5_000 + PROMISE, Y, token(Y, 10)));
    }

    #[test]
    fn a_restart_forgets_no_token_but_a_promise_to_oneself() {
        let (before, own) = leader();
        let mut elector = Elector::new(rules(ME, 3), Some(before.vote()), ms(0));
        assert_eq!(elector.role(), Role::Follower);
        assert_eq!(elector.bound_to(ms(0)), None);
        assert!(!is_granted(&mut elector, 0, X, own));
        said(|acts| assert!(elector.campaign(ms(0), acts)));
        assert!(matches!(elector.role(), Role::Candidate(token) if token > own));
    }

    #[test]
    fn a_voter_that_kept_nothing_says_nothing_for_one_promise() {
        let mut elector = Elector::new(rules(ME, 3), None, ms(0));
        let early = PROMISE - 1;
        assert_eq!(request(&mut elector, early, X, token(X, 1)), []);
        assert_eq!(switch(&mut elector, X, ME, token(X, 2)), []);
        assert!(said(|acts| assert!(!elector.campaign(ms(early), acts))).is_empty());
        assert!(is_granted(&mut elector, PROMISE, X, token(X, 3)));
    }

    #[test]
    fn what_a_restart_may_forget_is_not_said_where_it_releases() {
        let (mut elector, own) = candidate(3);
        let vote = elector.vote();
        elector.heard(token(Y, 9));
        let acts = said(|acts| elector.stop(ms(1), acts));
        let Act::Withdraw(info) = acts[0] else {
            panic!("{acts:?}");
        };
        assert_eq!(info.token, own);
        let mut elector = Elector::new(rules(ME, 3), Some(vote), ms(2));
        said(|acts| assert!(elector.campaign(ms(2), acts)));
        let Role::Candidate(next) = elector.role() else {
            panic!("{:?}", elector.role());
        };
        let mut voter = Elector::new(rules(X, 3), Some(Vote::default()), ms(0));
        assert!(is_granted(&mut voter, 3, ME, next));
        // It comes late, from before the restart.
        inform(&mut voter, ME, None, info.token);
        assert_eq!(bound_to(&voter), Some((ME, next)));
    }
}

mod grants {
    use super::*;

    #[test]
    fn only_a_grant_of_the_present_token_counts() {
        let (mut elector, own) = candidate(3);
        for wrong in [token(ME, -5), token(X, 5), own.successor().unwrap()] {
            assert_eq!(grant(&mut elector, 1, X, wrong, 0), []);
        }
        assert_eq!(grant(&mut elector, 1, ME, own, 0), []);
        assert_eq!(grant(&mut elector, 1, Seat(3), own, 0), []);
        assert_eq!(grant(&mut elector, 1, X, own, 0), [Act::Announce(own)]);
    }

    #[test]
    fn a_voter_counts_once() {
        let (mut elector, own) = candidate(5);
        assert_eq!(grant(&mut elector, 1, X, own, 0), []);
        assert_eq!(grant(&mut elector, 2, X, own, 0), []);
        assert_eq!(grant(&mut elector, 3, Y, own, 0), [Act::Announce(own)]);
    }

    #[test]
    fn a_lease_is_counted_from_when_the_request_was_sent() {
        let (mut elector, own) = candidate(3);
        assert_eq!(grant(&mut elector, LEASE, X, own, 0), []);
        grant(&mut elector, LEASE, X, own, 300);
        assert_eq!(elector.lease_until(), Some(ms(300 + LEASE)));
    }

    #[test]
    fn a_lease_is_that_of_a_quorum_and_no_late_grant_shortens_it() {
        let (mut elector, own) = candidate(5);
        for (from, sent) in [(1, 10), (2, 20), (3, 30)] {
            grant(&mut elector, 40, Seat(from), own, sent);
        }
        // Its own vote and the two newest.
        assert_eq!(elector.lease_until(), Some(ms(20 + LEASE)));
        grant(&mut elector, 41, Seat(3), own, 5);
        assert_eq!(elector.lease_until(), Some(ms(20 + LEASE)));
        grant(&mut elector, 50, Seat(4), own, 45);
        assert_eq!(elector.lease_until(), Some(ms(30 + LEASE)));
    }

    #[test]
    fn grants_of_an_earlier_candidacy_are_forgotten() {
        let (mut elector, old) = leader();
        said(|acts| elector.stop(ms(2), acts));
        all_said(&mut elector, ms(2), |elector, acts| {
            assert!(elector.campaign(ms(2), acts));
        });
        assert_eq!(elector.granted_at(X), None);
        assert_eq!(grant(&mut elector, 3, X, old, 0), []);
    }

    #[test]
    fn a_leader_whose_lease_has_ended_steps_down_before_it_says_anything() {
        let ended = ms(LEASE);
        let inputs: [fn(&mut Elector, Acts<'_>); 7] = [
            |elector, acts| elector.pass(ms(LEASE), acts),
            |elector, acts| elector.requested(ms(LEASE), Y, token(Y, 5), acts),
            |elector, acts| elector.granted(ms(LEASE), Y, elector.max(), ms(LEASE - 1), acts),
            |elector, acts| elector.informed(ms(LEASE), Y, elector.info(ms(0)), acts),
            |elector, acts| elector.switched(ms(LEASE), Y, X, token(Y, 5), false, acts),
            |elector, acts| assert!(!elector.hand_over(ms(LEASE), X, acts)),
            |elector, acts| assert!(elector.campaign(ms(LEASE), acts)),
        ];
        for (number, input) in inputs.into_iter().enumerate() {
            let (mut elector, own) = leader();
            assert!(elector.leads(ms(LEASE - 1)) && !elector.leads(ended));
            let acts = said(|acts| input(&mut elector, acts));
            assert!(matches!(acts[0], Act::Withdraw(_)), "{number}: {acts:?}");
            assert_ne!(elector.role(), Role::Leader(own), "{number}");
        }
    }

    #[test]
    fn a_voter_that_is_alone_leads_for_ever() {
        let mut elector = Elector::new(rules(ME, 1), Some(Vote::default()), ms(0));
        let acts = all_said(&mut elector, ms(0), |elector, acts| {
            assert!(elector.campaign(ms(0), acts));
        });
        assert!(matches!(acts[..], [Act::Announce(_)]));
        assert!(elector.leads(ms(1 << 40)));
    }
}

mod infos {
    use super::*;

    #[test]
    fn a_withdrawal_releases_what_was_promised_to_its_sender() {
        for who in [None, Some(Y)] {
            let mut elector = bound(X, token(X, 5), 0);
            inform(&mut elector, X, who, token(X, 5));
            assert_eq!(bound_to(&elector), None);
            assert!(is_granted(&mut elector, 11, Y, token(Y, 6)));
        }
    }

    #[test]
    fn a_withdrawal_does_not_release_what_was_promised_later() {
        let mut elector = bound(X, token(X, 5), 0);
        inform(&mut elector, X, None, token(X, 4));
        assert_eq!(bound_to(&elector), Some((X, token(X, 5))));
    }

    #[test]
    fn nobody_else_releases_a_promise_nor_does_its_owner_by_naming_itself() {
        let mut elector = bound(X, token(X, 5), 0);
        inform(&mut elector, Y, None, token(Y, 9));
        inform(&mut elector, X, Some(X), token(X, 9));
        assert_eq!(bound_to(&elector), Some((X, token(X, 5))));
    }

    #[test]
    fn nothing_is_released_where_votes_are_not_kept() {
        let mut elector = Elector::new(forgetful(), Some(Vote::default()), ms(0));
        assert!(is_granted(&mut elector, 0, X, token(X, 5)));
        inform(&mut elector, X, None, token(X, 5));
        assert_eq!(bound_to(&elector), Some((X, token(X, 5))));
    }

    #[test]
    fn a_released_vote_that_is_being_kept_is_not_said() {
        let mut elector = fresh();
        said(|acts| elector.requested(ms(0), X, token(X, 1), acts));
        let info = Info {
            leader: None,
            token: token(X, 1),
        };
        said(|acts| elector.informed(ms(1), X, info, acts));
        assert_eq!(said(|acts| elector.kept(ms(2), acts)), []);
    }

    #[test]
    fn a_candidate_that_asks_below_what_a_voter_knows_asks_with_a_token_of_its_own() {
        let (mut elector, own) = candidate(3);
        assert_eq!(inform(&mut elector, X, Some(ME), own), []);
        assert_eq!(inform(&mut elector, X, Some(Y), token(Y, 9)), []);
        for who in [Some(ME), None] {
            let (mut elector, _) = candidate(3);
            let acts = inform(&mut elector, X, who, token(Y, 9));
            let Role::Candidate(fresh) = elector.role() else {
                panic!("{acts:?}");
            };
            assert!(fresh > token(Y, 9) && fresh.to_wire() >> 4 & 63 == i64::from(ME.0));
            assert!(acts.contains(&Act::Request {
                to: X,
                token: fresh
            }));
        }
    }

    #[test]
    fn what_was_asked_for_after_a_dial_is_not_the_dead_process() {
        let mut elector = bound(X, token(X, 1), 0);
        // It came back, was handed the same token, and asked again: the dial began before that.
        assert!(is_granted(&mut elector, 5, X, token(X, 1)));
        assert!(!elector.is_dead(X, Some(ms(4))));
        assert!(!elector.is_dead(X, Some(ms(5))));
        assert!(elector.is_dead(X, Some(ms(6))));
    }

    #[test]
    fn a_promise_binds_no_more_once_its_owner_is_known_to_be_dead() {
        let mut elector = bound(X, token(X, 1), 0);
        assert!(!elector.is_dead(Y, None));
        assert!(elector.is_dead(X, None));
        assert!(
            !is_granted(&mut elector, 1, X, token(X, 1)),
            "the floor stays"
        );
        assert!(is_granted(&mut elector, 1, Y, token(Y, 2)));
        let (mut elector, _) = leader();
        assert!(!elector.is_dead(ME, None) && elector.leads(ms(1)));
    }
}
