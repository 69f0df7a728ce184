//! Where redhac's votes are counted: redhac's rules, besides our own.
//!
//! Nothing here is safe, and nothing can be: two candidates may each have the vote of one redhac node. What
//! it gives is a leader where ours alone are too few, and an end to every wait:
//! - A leader of ours tells redhac's nodes so every heartbeat, and a ping behind it that is answered is their
//!   vote. So they all follow it one heartbeat after anything went wrong.
//! - A leader of redhac's is followed as long as it says itself that it leads; it is asked a few times in
//!   each promise. So none is followed that is dead, deposed or made up.
//! - What a redhac node says of another leader is believed, for it hears that one, and this node may not; only
//!   who has followed that very leader and hears it no more knows better, for a redhac node does not notice
//!   for 50 s that one fell silent. A leader gives way to one that it does not hear and that they vote for.
//! - A first campaign asks; each further one claims what a dead leader left, which a redhac node grants
//!   without a condition. A campaign is preceded by a poll, as ever: while a quorum knows a leader, there is
//!   none.

use trefoil_proto::cache::{
    HealthAck, LeaderDead, LeaderInfo, LeaderReq, LeaderReqAck, LeaderSwitchAck,
    LeaderSwitchPriority, MgmtAckMethod, MgmtRequestMethod, StateValue,
};

use super::super::elector::Role;
use super::super::token::Token;
use super::super::{Election, Following, Lent, Seat};
use crate::id::StreamId;
use crate::time::Instant;

/// What is remembered of redhac's elections.
#[derive(Clone, Debug, Default)]
pub(in crate::election) struct Counted {
    /// The candidate of theirs that this node voted for, under which time, and how long that binds.
    voted: Option<(Seat, i64, Instant)>,
    /// A leader was known once, or a campaign was in vain: redhac's nodes remember somebody, and refuse who
    /// asks later.
    claims: bool,
    /// The last leader that said so to this node itself.
    followed: Option<(Seat, Token)>,
    /// When the leader that is followed is asked again whether it leads.
    check_at: Instant,
}

/// How a redhac node claims the leadership.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// It asks, and is answered on the same stream.
    Asks(StreamId),
    /// It says that the leader is dead, and all are to say for whom they are.
    SaysDead,
}

impl Election {
    /// Until when a vote or a leader of redhac's keeps this node from asking for itself.
    pub(in crate::election) fn redhac_binds(&self, now: Instant) -> Option<(Seat, Instant)> {
        if !self.counts_redhac() {
            return None;
        }
        let following = self
            .redhac_leader(now)
            .map(|known| (known.leader, known.until));
        let voted = self.counted.voted.map(|(seat, _, until)| (seat, until));
        following.or(voted.filter(|(_, until)| now < *until))
    }

    /// The leader of redhac's that this node follows.
    fn redhac_leader(&self, now: Instant) -> Option<Following> {
        self.following
            .filter(|known| now < known.until && self.is_redhac(known.leader))
    }

    /// Whether a leader of ours is there: it deals with what redhac's nodes want.
    fn follows_ours(&self, now: Instant) -> bool {
        self.following.is_some_and(|known| {
            let peer = self.peers.at(known.leader);
            now < known.until && peer.connected() && !self.is_redhac(known.leader)
        })
    }

    /// When the leader of redhac's is to be asked.
    pub(in crate::election) fn redhac_due(&self) -> Instant {
        match self.following {
            Some(known) if self.is_redhac(known.leader) => self.counted.check_at,
            _ => Instant::FAR_FUTURE,
        }
    }

    pub(in crate::election) fn check_redhac_leader(&mut self, lent: &mut Lent<'_>) {
        if let Some(known) = self.redhac_leader(lent.now) {
            if self.counted.check_at <= lent.now {
                self.counted.check_at = lent.now + self.config.promise / 4;
                self.ask_health(known.leader, lent);
            }
        }
    }

    /// Somebody led, or tried to: from now on redhac's nodes remember somebody.
    pub(in crate::election) const fn claim_from_now_on(&mut self) {
        self.counted.claims = true;
    }

    /// A leader has said to this node that it leads.
    pub(in crate::election) fn has_led(&mut self, leader: Seat, token: Token) {
        self.counted.claims = true;
        self.counted.followed = Some((leader, token));
    }

    /// Asks a redhac node for its vote. Once for a token: it answers each further time by telling all.
    pub(super) fn claim(&mut self, seat: Seat, token: Token, lent: &mut Lent<'_>) {
        let claimed = self.peers.at(seat).claimed;
        if !self.counts_redhac() || claimed.is_some_and(|(known, _)| known == token) {
            return;
        }
        let (me, election_ts) = (self.peers.addr(self.config.me), token.to_wire());
        let method = if self.counted.claims {
            MgmtRequestMethod::LeaderDead(LeaderDead {
                vote_host: me,
                election_ts,
            })
        } else {
            MgmtRequestMethod::LeaderReq(LeaderReq {
                addr: me,
                election_ts,
            })
        };
        if self.ask(seat, method, lent) {
            self.counters.requests += 1;
            self.peers.at_mut(seat).claimed = Some((token, lent.now));
        }
    }

    pub(super) fn counted_asks(
        &mut self,
        stream: StreamId,
        claimant: Option<Seat>,
        method: MgmtRequestMethod<'_>,
        lent: &mut Lent<'_>,
    ) {
        if let (Some(seat), Some(caller)) = (claimant, self.callers.find(stream)) {
            caller.claimed = Some(seat);
        }
        if let Role::Leader(own) = self.elector.role() {
            // Its heartbeat is the answer to everything but to a leader that it does not reach.
            if let MgmtRequestMethod::LeaderReqAck(ack) = method {
                self.outvoted(own, ack, lent);
            }
            return;
        }
        match (method, claimant) {
            (MgmtRequestMethod::LeaderReq(request), Some(seat)) => {
                self.claims(seat, request.election_ts, Claim::Asks(stream), lent);
            }
            (MgmtRequestMethod::LeaderDead(dead), Some(seat)) => {
                self.claims(seat, dead.election_ts, Claim::SaysDead, lent);
            }
            (MgmtRequestMethod::LeaderAck(ack), Some(seat)) => {
                self.says_it_leads(seat, ack.election_ts, lent);
            }
            (MgmtRequestMethod::LeaderReqAck(ack), _) => {
                self.voted_on(stream, ack.addr, Some(ack.election_ts), lent);
            }
            (MgmtRequestMethod::LeaderSwitchAck(ack), _) => {
                self.voted_on(stream, ack.addr, None, lent);
            }
            (MgmtRequestMethod::LeaderSwitch(switch), _) => {
                self.hands_over(switch.vote_host, switch.election_ts, lent);
            }
            (MgmtRequestMethod::LeaderSwitchPriority(switch), _) => {
                self.prefers(switch.vote_host, switch.election_ts, lent);
            }
            _ => {}
        }
    }

    /// A redhac node tells a leader that it voted for another.
    fn outvoted(&mut self, own: Token, ack: LeaderReqAck<'_>, lent: &mut Lent<'_>) {
        let other = self.peers.find(ack.addr);
        let other = other.filter(|seat| *seat != self.config.me);
        let is_unheard = other.is_some_and(|seat| {
            let heard = self.elector.granted_at(seat);
            heard.is_none_or(|heard| heard + self.config.promise < lent.now)
        });
        if is_unheard && ack.election_ts > own.to_wire() {
            self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
        }
    }

    /// A redhac node wants to lead. This node does not.
    fn claims(&mut self, seat: Seat, ts: i64, how: Claim, lent: &mut Lent<'_>) {
        let now = lent.now;
        if self.follows_ours(now) {
            return;
        }
        if let Role::Candidate(own) = self.elector.role() {
            if ts >= own.to_wire() {
                return;
            }
            self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
        }
        if let (Claim::Asks(_), Some(known)) = (how, self.redhac_leader(now)) {
            if ts >= known.token.to_wire() && known.leader != seat {
                return self.defend(known, lent);
            }
        }
        let stands = |(voted, when, until): (Seat, i64, Instant)| {
            now < until && (voted != seat || when == ts)
        };
        if matches!(how, Claim::Asks(_)) && self.counted.voted.is_some_and(stands) {
            // It counts whatever comes: a second vote of this node would make it a leader of two.
            return;
        }
        self.vote_for(seat, ts, how, lent);
    }

    fn vote_for(&mut self, seat: Seat, ts: i64, how: Claim, lent: &mut Lent<'_>) {
        self.following = None;
        self.counted.voted = Some((seat, ts, lent.now + self.config.promise));
        self.peers.at_mut(seat).knows_leader = true;
        self.counters.grants += 1;
        match how {
            Claim::Asks(stream) => {
                let ack = MgmtAckMethod::LeaderReqAck(LeaderReqAck {
                    addr: self.peers.addr(seat),
                    election_ts: ts,
                });
                // It answers a request, so it has room.
                let _ = self.answer(stream, ack, lent);
            }
            Claim::SaysDead => self.say_vote(seat, ts, lent),
        }
    }

    /// Tells all redhac nodes for whom this node is: that is how they vote.
    fn say_vote(&self, seat: Seat, ts: i64, lent: &mut Lent<'_>) {
        let vote = MgmtRequestMethod::LeaderReqAck(LeaderReqAck {
            addr: self.peers.addr(seat),
            election_ts: ts,
        });
        self.ask_redhac(vote, lent);
    }

    /// Tells all redhac nodes who leads since an earlier time.
    fn defend(&self, known: Following, lent: &mut Lent<'_>) {
        let earlier = MgmtRequestMethod::LeaderSwitchPriority(LeaderSwitchPriority {
            vote_host: self.peers.addr(known.leader),
            election_ts: known.token.to_wire(),
        });
        self.ask_redhac(earlier, lent);
    }

    fn ask_redhac(&self, method: MgmtRequestMethod<'_>, lent: &mut Lent<'_>) {
        for seat in self.elector.rules().others() {
            if self.is_redhac(seat) {
                self.ask(seat, method, lent);
            }
        }
    }

    /// A redhac node says that it leads.
    fn says_it_leads(&mut self, seat: Seat, ts: i64, lent: &mut Lent<'_>) {
        if self.follows_ours(lent.now) || !self.peers.at(seat).connected() {
            return;
        }
        if let Role::Candidate(_) = self.elector.role() {
            if self.counted.claims {
                // It was told that its leadership is over, and is about to say so.
                return;
            }
            self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
        }
        self.follow_redhac(seat, ts, lent);
    }

    fn follow_redhac(&mut self, seat: Seat, ts: i64, lent: &Lent<'_>) {
        let is_known = self
            .redhac_leader(lent.now)
            .is_some_and(|known| known.leader == seat);
        if !is_known {
            self.counted.check_at = lent.now + self.config.promise / 4;
        }
        let token = Token::from_wire(ts);
        self.counted.voted = None;
        self.has_led(seat, token);
        self.peers.at_mut(seat).knows_leader = true;
        self.following = Some(Following {
            leader: seat,
            token,
            until: lent.now + self.config.promise,
        });
    }

    /// A leader of redhac's that shuts down names the next.
    fn hands_over(&mut self, to: &str, ts: i64, lent: &mut Lent<'_>) {
        if self.follows_ours(lent.now) || self.elector.role() != Role::Follower {
            return;
        }
        self.following = None;
        self.claim_from_now_on();
        if to == self.peers.addr(self.config.me) {
            self.counted.voted = None;
            return self.timing.campaign_now(lent.now);
        }
        let Some(seat) = self.redhac_named(to) else {
            return;
        };
        self.counted.voted = Some((seat, ts, lent.now + self.config.promise));
        if self.peers.at(seat).knows_leader {
            // One that knows none would not survive it.
            let ack = LeaderSwitchAck {
                addr: self.peers.addr(seat),
            };
            self.ask(seat, MgmtRequestMethod::LeaderSwitchAck(ack), lent);
        }
    }

    /// A redhac node says whom it holds for the leader since when. Only an earlier one counts, and an equal
    /// one is never answered: it would be told of again, for ever.
    fn prefers(&mut self, whom: &str, ts: i64, lent: &mut Lent<'_>) {
        let Some(seat) = self.redhac_named(whom) else {
            return;
        };
        let known = match (self.elector.role(), self.redhac_leader(lent.now)) {
            (Role::Candidate(own), _) => Some(own.to_wire()),
            (_, Some(known)) => Some(known.token.to_wire()),
            _ => None,
        };
        let is_later = known.is_some_and(|known| ts >= known);
        if is_later || self.follows_ours(lent.now) || !self.peers.at(seat).connected() {
            return;
        }
        self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
        self.follow_redhac(seat, ts, lent);
        self.say_vote(seat, ts, lent);
    }

    /// A vote that came as a request: from whom, it does not say.
    fn voted_on(&mut self, stream: StreamId, addr: &str, ts: Option<i64>, lent: &mut Lent<'_>) {
        let Role::Candidate(own) = self.elector.role() else {
            return;
        };
        let is_mine = addr == self.peers.addr(self.config.me);
        if !is_mine || ts.is_some_and(|ts| ts != own.to_wire()) {
            return;
        }
        if let Some(seat) = self.whose(stream) {
            self.count_vote(seat, own, lent);
        }
    }

    /// Whose stream it is: of whoever claimed something on it, else of a redhac node that has none yet. Which
    /// one of several does not matter for their number.
    fn whose(&mut self, stream: StreamId) -> Option<Seat> {
        let known = self.callers.find(stream)?.claimed;
        if known.is_some() {
            return known;
        }
        let mut others = self.elector.rules().others();
        let free = others.find(|seat| self.is_redhac(*seat) && !self.callers.is_claimed(*seat))?;
        if let Some(caller) = self.callers.find(stream) {
            caller.claimed = Some(free);
        }
        Some(free)
    }

    pub(super) fn counted_granted(
        &mut self,
        seat: Seat,
        ack: LeaderReqAck<'_>,
        lent: &mut Lent<'_>,
    ) {
        if self.counts_redhac() && ack.addr == self.peers.addr(self.config.me) {
            self.count_vote(seat, Token::from_wire(ack.election_ts), lent);
        }
    }

    fn count_vote(&mut self, seat: Seat, token: Token, lent: &mut Lent<'_>) {
        let claimed = self.peers.at(seat).claimed;
        if let Some((_, sent)) = claimed.filter(|(claimed, _)| *claimed == token) {
            self.peers.at_mut(seat).knows_leader = true;
            self.with_elector(lent, |elector, now, acts| {
                elector.granted(now, seat, token, sent, acts);
            });
        }
    }

    /// The first thing on a stream to a redhac node: whom it follows.
    pub(super) fn counted_informed(&mut self, info: LeaderInfo<'_>, lent: &mut Lent<'_>) {
        if !self.counts_redhac() || self.elector.role() != Role::Follower {
            return;
        }
        let now = lent.now;
        let Some(seat) = info.addr.and_then(|addr| self.redhac_named(addr)) else {
            return;
        };
        let knows = self.follows_ours(now) || self.redhac_binds(now).is_some();
        if !knows && self.peers.at(seat).connected() {
            self.follow_redhac(seat, info.election_ts, lent);
        }
    }

    pub(super) fn counted_reported(
        &mut self,
        seat: Seat,
        report: &HealthAck<'_>,
        lent: &mut Lent<'_>,
    ) {
        if !self.counts_redhac() {
            return;
        }
        let state = report.state.as_ref().and_then(|state| state.value.as_ref());
        let named = report
            .leader
            .map(|leader| (leader.addr, leader.election_ts));
        let its_own = named.filter(|(addr, _)| *addr == self.peers.addr(seat));
        if let (Some(StateValue::Leader(_)), Some((_, ts))) = (state, its_own) {
            if !self.elector.leads(lent.now) {
                self.says_it_leads(seat, ts, lent);
            }
        }
        let leader =
            named.and_then(|(addr, ts)| Some((self.peers.find(addr)?, Token::from_wire(ts))));
        let is_other = leader.is_some_and(|(seat, _)| seat != self.config.me);
        let fell_silent = leader == self.counted.followed && self.following.is_none();
        let is_busy = matches!(
            state,
            Some(
                StateValue::Leader(_)
                    | StateValue::Follower(_)
                    | StateValue::LeadershipRequested(_)
                    | StateValue::LeaderSwitch(_)
            )
        );
        self.polled(seat, fell_silent || !(is_busy && is_other), lent);
    }
}
