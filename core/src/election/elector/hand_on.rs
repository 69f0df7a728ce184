//! Votes that are handed on: by a candidate that gives way to an earlier one, and by a leader to its heir.
//!
//! Both give up their token first and say then whose the votes are. What differs: the token of a candidate
//! that gives way has led nobody. So whoever promised it may still grant what the earlier candidate had
//! asked for before; otherwise a leader would lack that vote for as long as it leads.

use super::{Act, Acts, Elector, HandOn, Owed, Plant, Promise, Role, Seat, Token};
use crate::time::Instant;

impl Elector {
    /// Of two candidates the one with the earlier token is to lead: the later one gives it its votes. Its
    /// own token led nobody, so it grants what was asked for, unless it helped a greater one before.
    pub(super) fn cede(&mut self, now: Instant, to: Seat, theirs: Token, acts: Acts<'_>) {
        let Role::Candidate(own) = self.role else {
            return;
        };
        let grants = Some(theirs).filter(|theirs| *theirs > self.floor);
        match own.successor() {
            Some(token) => {
                self.follow();
                let until = now + self.rules.promise;
                self.bind(match grants {
                    Some(theirs) => Promise::of(to, theirs, until),
                    None => Promise::of(to, token, until),
                });
                self.max = self.max.max(token);
                let switch = HandOn {
                    to,
                    token,
                    ceding: true,
                    grants,
                };
                self.keep(Some(Owed::Switch(switch)), acts);
            }
            None => {
                self.stop(now, acts);
                self.refuse(now, to, theirs, acts);
            }
        }
    }

    /// Hands the leadership over to `to`: this node leads no more when this returns. `false` if it did
    /// not lead, or could only step down.
    pub fn hand_over(&mut self, now: Instant, to: Seat, acts: Acts<'_>) -> bool {
        self.pass(now, acts);
        let Role::Leader(own) = self.role else {
            return false;
        };
        let is_voter = to != self.rules.me && self.rules.is_voter(to);
        let Some(token) = own.successor().filter(|_| is_voter) else {
            self.stop(now, acts);
            return false;
        };
        if !self.has(Plant::HandOverFirst) {
            self.follow();
        }
        self.bind(Promise::of(to, token, now + self.rules.promise));
        let switch = HandOn {
            to,
            token,
            ceding: false,
            grants: None,
        };
        self.keep(Some(Owed::Switch(switch)), acts);
        true
    }

    /// The owner of the predecessor of `token` says that its promises are `to`'s from now on, and whether
    /// it was a candidate that gave way: then its own token led nobody.
    pub fn switched(
        &mut self,
        now: Instant,
        from: Seat,
        to: Seat,
        token: Token,
        ceding: bool,
        acts: Acts<'_>,
    ) {
        self.pass(now, acts);
        if self.silent_until(now).is_some() {
            return;
        }
        let proved = self.promise.is_some_and(|promise| {
            promise.to == from && token.predecessor().is_some_and(|of| promise.covers(of))
        });
        let is_new = token > self.max;
        self.max = self.max.max(token);
        if to == self.rules.me {
            self.inherit(now, token, proved, is_new, acts);
        } else if proved {
            self.follow_on(now, to, token, ceding, acts);
        }
    }

    /// This voter is to lead next.
    fn inherit(&mut self, now: Instant, token: Token, proved: bool, is_new: bool, acts: Acts<'_>) {
        let free = self
            .bound_to(now)
            .is_none_or(|promise| promise.to == self.rules.me);
        if !(proved || free) || matches!(self.role, Role::Leader(_)) {
            return;
        }
        // Where votes are not kept, the others may have surpassed a token that comes late, and forgotten it.
        let holds = is_new && self.rules.votes_are_kept;
        if holds || self.has(Plant::LowToken) {
            return self.run_for(token, acts);
        }
        if proved {
            // The promise was made to the owner of the token, which is done with it.
            self.release();
        }
        self.campaign(now, acts);
    }

    /// What was promised to one that hands on is promised to the next.
    fn follow_on(&mut self, now: Instant, to: Seat, token: Token, ceding: bool, acts: Acts<'_>) {
        let never_led = ceding || self.has(Plant::OpenHandOver);
        if never_led {
            self.promise = None;
        }
        self.release();
        if token > self.floor {
            let until = now + self.rules.promise;
            let above = if never_led { self.floor } else { token };
            self.bind(Promise {
                to,
                token,
                above,
                until,
            });
            self.keep(None, acts);
        }
    }

    /// The vote of one that hands on is kept.
    pub(super) fn switch(&self, now: Instant, switch: HandOn, acts: Acts<'_>) {
        let to = switch.to;
        let stands = |token: &Token| self.is_bound_by(now, to, *token);
        if let Some(token) = switch.grants.filter(stands) {
            acts(Act::Grant { to, token });
        }
        acts(Act::Switch(switch));
    }
}
