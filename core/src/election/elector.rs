//! The part of an election that must never be wrong: what a voter promises, and when a candidate leads.
//!
//! It is a value without IO, timers of its own or chance. When to campaign, what to repeat and whom to
//! ask first is decided above it, and can cost time but not safety. The model checker runs this type.
//!
//! # The rules
//! A vote is a promise with a lease: a voter that granted a request acknowledges nobody else for a time
//! by its own clock, unless the owner of the promise gives it back or hands it on. A candidate leads
//! while a quorum of promises stands, counted from when each request was sent; its lease is shorter than
//! the promise by what clocks may drift. So at any time at most one node leads within its lease (Gray and
//! Cheriton, 1989, for leases). A token is made or taken over only above all that were heard of, and
//! promised only above all that may have led by the same vote; and a vote is kept before it is
//! acknowledged. So tokens of successive leaderships grow. What a candidate asked with that gave way to
//! another has led nobody: see `hand_on`.

mod hand_on;
mod terms;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;

use smallvec::SmallVec;

pub use self::terms::{Act, HandOn, Info, Plant, Promise, Role, Rules, Vote};
use super::Seat;
use super::token::{Token, VOTERS_MAX};
use crate::time::Instant;

/// What is done once the vote is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owed {
    Grant { to: Seat, token: Token },
    Requests(Token),
    Switch(HandOn),
}

/// One voter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elector {
    rules: Rules,
    role: Role,
    max: Token,
    /// The greatest token that may have led by the vote of this voter, but for that of the promise that
    /// stands. Nothing at or below it is promised any more.
    floor: Token,
    promise: Option<Promise>,
    /// When the newest granted request of this role's token was sent, by voter.
    granted: Box<[Option<Instant>]>,
    /// Before this, a voter that kept nothing says nothing.
    silent_until: Option<Instant>,
    /// Votes being kept.
    keeping: u32,
    /// The greatest token of the votes that are being kept, and of those that are durable.
    written: Token,
    durable: Token,
    owed: Option<Owed>,
    plant: Option<Plant>,
}

/// Takes what is to be done.
pub type Acts<'a> = &'a mut dyn FnMut(Act);

impl Elector {
    /// A voter that starts at `now` with what it kept; `None` if it kept nothing and cannot know what it
    /// promised. One that never voted starts with an empty vote.
    #[must_use]
    pub fn new(rules: Rules, kept: Option<Vote>, now: Instant) -> Self {
        let vote = kept.unwrap_or_default();
        let until = now + rules.promise;
        // A promise to oneself protected a leadership that ended with the process.
        let promise = vote.promise.filter(|(to, _)| *to != rules.me);
        Self {
            role: Role::Follower,
            max: vote.max,
            // A promise is above all that was acknowledged before it.
            floor: promise.map_or(vote.max, |(_, token)| token),
            promise: promise.map(|(to, token)| Promise::of(to, token, until)),
            granted: vec![None; usize::from(rules.voters).min(VOTERS_MAX)].into(),
            silent_until: kept.is_none().then_some(until),
            keeping: 0,
            written: vote.max,
            durable: vote.max,
            owed: None,
            plant: None,
            rules,
        }
    }

    /// Says nothing, and votes for nobody, until `until`.
    pub fn be_silent(&mut self, until: Instant) {
        self.silent_until = Some(until);
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub fn plant(&mut self, plant: Plant) {
        if plant == Plant::NoGuard {
            self.silent_until = None;
        }
        self.plant = Some(plant);
    }

    fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// What all voters have in common.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What this voter is. A leader whose lease has ended is one until it is told the time.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The greatest token this voter knows of.
    #[must_use]
    pub const fn max(&self) -> Token {
        self.max
    }

    /// What must be durable before anything that follows from it is said.
    #[must_use]
    pub fn vote(&self) -> Vote {
        Vote {
            max: self.max,
            promise: self.promise.map(|promise| (promise.to, promise.token)),
        }
    }

    /// Until when this voter leads; `None` if it does not.
    #[must_use]
    pub fn lease_until(&self) -> Option<Instant> {
        match self.role {
            Role::Leader(_) => self.quorum_until(),
            Role::Follower | Role::Candidate(_) => None,
        }
    }

    /// Whether this voter leads at `now`.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.lease_until().is_some_and(|until| now < until)
    }

    /// Whom this voter is bound to at `now`. A candidate and a leader are bound to themselves.
    #[must_use]
    pub fn bound_to(&self, now: Instant) -> Option<Promise> {
        self.promise
            .filter(|promise| promise.to == self.rules.me || now < promise.until)
    }

    fn is_bound_by(&self, now: Instant, to: Seat, token: Token) -> bool {
        let stands = |promise: Promise| (promise.to, promise.token) == (to, token);
        self.bound_to(now).is_some_and(stands)
    }

    /// Whether something is said as soon as the vote is kept.
    #[must_use]
    pub const fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Until when this voter, which kept nothing, says nothing.
    #[must_use]
    pub fn silent_until(&self, now: Instant) -> Option<Instant> {
        self.silent_until.filter(|until| now < *until)
    }

    /// When the newest granted request was sent to a voter, under the present token.
    #[must_use]
    pub fn granted_at(&self, seat: Seat) -> Option<Instant> {
        self.granted.get(usize::from(seat.0)).copied().flatten()
    }

    /// What this voter says about the leadership. Where it may release promises, its token is one that a
    /// restart remembers: otherwise this voter might take a lower one, and what was said before release it.
    #[must_use]
    pub fn info(&self, now: Instant) -> Info {
        let known = if self.rules.votes_are_kept {
            self.durable
        } else {
            self.max
        };
        let (leader, token) = match self.role {
            Role::Leader(token) => (Some(self.rules.me), token),
            Role::Candidate(_) => (Some(self.rules.me), known),
            Role::Follower => (self.bound_to(now).map(|promise| promise.to), known),
        };
        Info { leader, token }
    }

    /// Lease of a quorum of granted requests, this voter's own vote among them: the time the
    /// `quorum - 1`-th newest was sent, and the lease. Cost: a sort of at most 63 times.
    fn quorum_until(&self) -> Option<Instant> {
        let needed = self.rules.quorum() - 1;
        if needed == 0 {
            return Some(Instant::FAR_FUTURE);
        }
        let mut sent: SmallVec<[Instant; 8]> = self.granted.iter().flatten().copied().collect();
        sent.sort_unstable();
        let at = sent.len().checked_sub(needed)?;
        Some(sent[at] + self.rules.lease)
    }

    /// Time has passed: a leader whose lease has ended leads no more. Every other input does this
    /// first, so that nothing is said under a lease that has ended.
    pub fn pass(&mut self, now: Instant, acts: Acts<'_>) {
        if matches!(self.role, Role::Leader(_)) && !self.leads(now) {
            self.stop(now, acts);
        }
    }

    /// Stops to lead or to ask, gives back what was promised, and says so.
    pub fn stop(&mut self, now: Instant, acts: Acts<'_>) {
        if self.role == Role::Follower {
            return;
        }
        self.follow();
        acts(Act::Withdraw(self.info(now)));
    }

    fn follow(&mut self) {
        self.role = Role::Follower;
        self.granted.fill(None);
        self.owed = None;
        self.promise = self.promise.filter(|promise| promise.to != self.rules.me);
    }

    /// The promise binds no more. What it was made for may have led; one's own candidacy has not, or the
    /// floor was raised when it did.
    fn release(&mut self) {
        let promise = self.promise.take();
        let acknowledged = promise.filter(|old| old.to != self.rules.me && !old.is_open());
        self.floor = acknowledged.map_or(self.floor, |old| self.floor.max(old.token));
    }

    /// Asks for the leadership with a new token. Whether that is wise is not asked here; whether this
    /// voter may is: not while it is bound to another, and not while it must be silent.
    pub fn campaign(&mut self, now: Instant, acts: Acts<'_>) -> bool {
        self.pass(now, acts);
        let bound = self
            .bound_to(now)
            .is_some_and(|promise| promise.to != self.rules.me);
        if bound || matches!(self.role, Role::Leader(_)) || self.silent_until(now).is_some() {
            return false;
        }
        let unix = self
            .rules
            .unix_origin
            .saturating_add(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        match Token::mint(unix, self.max, self.rules.me) {
            Some(token) => self.run_for(token, acts),
            None => return false,
        }
        true
    }

    fn run_for(&mut self, token: Token, acts: Acts<'_>) {
        self.follow();
        self.role = Role::Candidate(token);
        self.bind(Promise::of(self.rules.me, token, Instant::FAR_FUTURE));
        self.keep(Some(Owed::Requests(token)), acts);
    }

    fn bind(&mut self, promise: Promise) {
        self.release();
        self.max = self.max.max(promise.token);
        self.promise = Some(promise);
    }

    fn keep(&mut self, owed: Option<Owed>, acts: Acts<'_>) {
        self.keeping += 1;
        self.written = self.max;
        self.owed = owed;
        acts(Act::Keep);
    }

    /// The oldest vote that was being kept is durable. What depends on the newest waits for it.
    pub fn kept(&mut self, now: Instant, acts: Acts<'_>) {
        self.pass(now, acts);
        self.keeping = self.keeping.saturating_sub(1);
        if self.keeping > 0 {
            return;
        }
        self.durable = self.written;
        match self.owed.take() {
            Some(Owed::Grant { to, token }) if self.is_bound_by(now, to, token) => {
                acts(Act::Grant { to, token });
            }
            Some(Owed::Requests(token)) => {
                for to in self.rules.others() {
                    acts(Act::Request { to, token });
                }
            }
            Some(Owed::Switch(switch)) => self.switch(now, switch, acts),
            Some(Owed::Grant { .. }) | None => {}
        }
        // What was granted meanwhile waited for this.
        self.count(now, acts);
    }

    /// A voter asks for the promise, or for it to be renewed.
    pub fn requested(&mut self, now: Instant, from: Seat, token: Token, acts: Acts<'_>) {
        self.pass(now, acts);
        if self.silent_until(now).is_some() || from == self.rules.me {
            return;
        }
        if let Role::Candidate(own) = self.role {
            if token < own && !self.has(Plant::EarlierWins) {
                return self.cede(now, from, token, acts);
            }
        }
        let until = now + self.rules.promise;
        let same = |promise: Promise| (promise.to, promise.token) == (from, token);
        if self.may_grant(now, from, token) {
            if self.promise.is_some_and(same) {
                return self.renew(from, token, until, acts);
            }
            if self.role != Role::Follower {
                self.follow();
            }
            self.bind(Promise::of(from, token, until));
            return self.keep(Some(Owed::Grant { to: from, token }), acts);
        }
        self.max = self.max.max(token);
        self.refuse(now, from, token, acts);
        if self.max > self.written {
            // Whoever asks again is to be told above what.
            self.keep(self.owed, acts);
        }
    }

    fn refuse(&self, now: Instant, to: Seat, token: Token, acts: Acts<'_>) {
        let info = self.info(now);
        acts(Act::Refuse { to, token, info });
    }

    /// The promise stands already; only its time is new, and that is not kept.
    fn renew(&mut self, to: Seat, token: Token, until: Instant, acts: Acts<'_>) {
        self.promise = Some(Promise::of(to, token, until));
        if self.keeping == 0 {
            acts(Act::Grant { to, token });
        } else if !matches!(self.owed, Some(Owed::Switch(_))) {
            self.owed = Some(Owed::Grant { to, token });
        }
    }

    fn may_grant(&self, now: Instant, from: Seat, token: Token) -> bool {
        // The greatest token may have been heard of before its owner asks: in a request that was refused
        // because of an earlier promise, or when its owner became an heir. No other token equals it.
        let is_unspent = token == self.max && token > self.floor;
        let is_new = token > self.max || is_unspent || self.has(Plant::NoFloor);
        if self.has(Plant::EarlierWins) && self.promise.is_some_and(|p| token < p.token) {
            return true;
        }
        match (self.promise, self.bound_to(now)) {
            (_, Some(bound)) if bound.to == self.rules.me => false,
            // What its owner handed on is above all this voter knows, or it is no proof of anything.
            (_, Some(bound)) if bound.to == from => bound.covers(token) || is_new,
            (_, Some(bound)) => token.succeeds(bound.token) && is_new,
            (Some(old), None) => is_new || self.outlasts(old, from, token),
            (None, None) => is_new,
        }
    }

    /// Whether a promise that ran out still lets a token be granted, though a greater one was heard of: the
    /// one it was made for, since nothing else was promised meanwhile; and whatever is above the floor if
    /// nothing was acknowledged under it.
    fn outlasts(&self, old: Promise, from: Seat, token: Token) -> bool {
        let is_its = (old.to, old.token) == (from, token);
        // Where votes are not kept, another voter may have forgotten what it promised since.
        let kept = self.rules.votes_are_kept;
        (is_its && (kept || token == self.max)) || (kept && old.is_open() && token > old.above)
    }

    /// A voter granted the request that was sent to it at `sent`.
    pub fn granted(
        &mut self,
        now: Instant,
        from: Seat,
        token: Token,
        sent: Instant,
        acts: Acts<'_>,
    ) {
        self.pass(now, acts);
        let own = match self.role {
            Role::Candidate(own) | Role::Leader(own) => own,
            Role::Follower => return,
        };
        let sent = if self.has(Plant::LeaseFromAck) {
            now
        } else {
            sent
        };
        let me = self.rules.me;
        if let Some(newest) = self
            .granted
            .get_mut(usize::from(from.0))
            .filter(|_| own == token && from != me)
        {
            *newest = (*newest).max(Some(sent));
            self.count(now, acts);
        }
    }

    fn count(&mut self, now: Instant, acts: Acts<'_>) {
        let Role::Candidate(token) = self.role else {
            return;
        };
        let stands = self.quorum_until().is_some_and(|until| now < until);
        if self.keeping == 0 && stands {
            self.role = Role::Leader(token);
            self.floor = self.floor.max(token);
            acts(Act::Announce(token));
        }
    }

    /// A voter, dialled by this one, says whom it is bound to.
    pub fn informed(&mut self, now: Instant, from: Seat, info: Info, acts: Acts<'_>) {
        self.pass(now, acts);
        let withdrew = info.leader != Some(from)
            && (self.rules.votes_are_kept || self.has(Plant::ReleaseUnkept));
        let released = self.promise.is_some_and(|promise| {
            let tested = promise.token <= info.token || self.has(Plant::ReleaseUntested);
            promise.to == from && from != self.rules.me && tested
        });
        if withdrew && released {
            self.release();
            if matches!(self.owed, Some(Owed::Grant { .. })) {
                self.owed = None;
            }
        }
        let mine = match self.role {
            Role::Candidate(own) => {
                let is_mine = info.leader.is_none_or(|leader| leader == self.rules.me);
                (own < info.token && is_mine).then_some(own)
            }
            Role::Follower | Role::Leader(_) => None,
        };
        self.max = self.max.max(info.token);
        if mine.is_some() {
            // It would vote for this node, but not under a token that is not above all it knows.
            if self.has(Plant::Steal) {
                return self.run_for(info.token, acts);
            }
            self.campaign(now, acts);
        }
    }

    /// A token was heard of that means nothing else.
    pub fn heard(&mut self, token: Token) {
        self.max = self.max.max(token);
    }

    /// There is proof that a voter's process was gone at some time after `since`, or is gone for good if
    /// absent: what was promised to it before binds nobody. A promise that was made or renewed after `since`
    /// may be that of its next process, which counts on it. Whether the proof is good is for the policy above
    /// to know.
    pub fn is_dead(&mut self, seat: Seat, since: Option<Instant>) -> bool {
        let bound = self.promise.is_some_and(|promise| {
            let is_older = since.is_none_or(|since| promise.until < since + self.rules.promise);
            promise.to == seat && seat != self.rules.me && is_older
        });
        if bound {
            self.release();
        }
        bound
    }
}
