//! Voters that are redhac's nodes: how they are known, what they are told, and what they are not believed.
//!
//! A vote of theirs is no promise: a redhac node acknowledges anybody at any time, remembers nothing, and
//! does not say who it is. So it is told who leads, and its votes are worth nothing, unless
//! [`RedhacVotes::CountedTwoMayLead`](super::RedhacVotes) asks for them; what is done then is in `counted`.
//!
//! # How one is known
//! By what the stream shows that this node opened to it: nodes of ours say who they are when they answer,
//! redhac's say nothing. Who has not said it is not counted, so that no mistake can count a redhac node.
//! A stream that it opened to this node shows nobody; who claims something there is known by what it claims.
//!
//! # What it is told
//! | it | this node |
//! |---|---|
//! | opens a stream | `LeaderInfo`: the leader, if this node leads or hears the leader now; else none, -1 |
//! | asks, claims or leads, and this node leads | `LeaderAck`: it adopts that without a condition |
//! | says anything else of an election, or ends a stream to this node, which leads | the same at every heartbeat, for one promise: it may have moved, or be about to |
//! | nothing, and this node leads | the same with every ping: what redhac's nodes tell each other is mended so; both are one message a second |
//! | anything else | nothing |
//!
//! A repeated request would make it tell everybody.

mod counted;

use trefoil_proto::cache::{LeaderInfo, MgmtAckMethod, MgmtRequestMethod, Ping};

pub(super) use self::counted::Counted;
use super::elector::Role;
use super::{Election, Kin, Lent, RedhacVotes, Seat, Standing};
use crate::header::Header;
use crate::id::StreamId;
use crate::identity::Identity;
use crate::time::Instant;

/// What stands for no leader on redhac's wire.
const NO_TIME: i64 = -1;

impl Election {
    /// A voter has answered, and says who it is or does not.
    pub(super) fn greeted(&mut self, seat: Seat, header: Header<'_>) {
        // That it is the one that was dialled was seen to before.
        self.peers.at_mut(seat).kin = match Identity::from_header(header) {
            Some(_) => Kin::Ours,
            None => Kin::Redhac,
        };
    }

    pub(super) fn is_redhac(&self, seat: Seat) -> bool {
        self.peers.at(seat).kin == Kin::Redhac
    }

    pub(super) const fn counts_redhac(&self) -> bool {
        matches!(self.config.redhac_votes, RedhacVotes::CountedTwoMayLead)
    }

    /// Whether what a voter says may decide who leads.
    pub(super) fn counts(&self, seat: Seat) -> bool {
        match self.peers.at(seat).kin {
            Kin::Ours => true,
            Kin::Redhac => self.counts_redhac(),
            Kin::Unknown => false,
        }
    }

    /// The redhac node that an address names, if it is no other voter. One that was not heard yet may be one.
    fn redhac_named(&self, addr: &str) -> Option<Seat> {
        let seat = self.peers.find(addr)?;
        (seat != self.config.me && self.peers.at(seat).kin != Kin::Ours).then_some(seat)
    }

    /// What a redhac node is told of the leadership. A leader that is not heard any more is not named: who
    /// is told of it waits for a connection to it, for ever.
    pub(super) fn leader_for_redhac(&self, now: Instant) -> LeaderInfo<'_> {
        let known = match self.standing(now) {
            Standing::Leading { token, .. } => Some((self.config.me, token)),
            Standing::Following { leader, token } => {
                let heard = self.peers.at(leader).connected();
                heard.then_some((leader, token))
            }
            Standing::Leaderless => None,
        };
        LeaderInfo {
            addr: known.map(|(seat, _)| self.peers.addr(seat)),
            election_ts: known.map_or(NO_TIME, |(_, token)| token.to_wire()),
            has_quorum: self.peers.connected().count() + 1 >= self.elector.rules().quorum(),
        }
    }

    /// Somebody who does not say who it is asks for something about the leadership.
    pub(super) fn redhac_asks(
        &mut self,
        stream: StreamId,
        method: MgmtRequestMethod<'_>,
        lent: &mut Lent<'_>,
    ) {
        let claimant = match method {
            MgmtRequestMethod::LeaderReq(request) => Some(request.addr),
            MgmtRequestMethod::LeaderDead(dead) => Some(dead.vote_host),
            MgmtRequestMethod::LeaderAck(ack) => Some(ack.addr),
            MgmtRequestMethod::Ping(_)
            | MgmtRequestMethod::Health(_)
            | MgmtRequestMethod::LeaderReqAck(_)
            | MgmtRequestMethod::LeaderSwitch(_)
            | MgmtRequestMethod::LeaderSwitchAck(_)
            | MgmtRequestMethod::LeaderSwitchPriority(_) => None,
        };
        let claimant = claimant.and_then(|addr| self.redhac_named(addr));
        self.redhac_may_move(stream, lent.now);
        match (claimant, self.elector.role()) {
            (Some(seat), Role::Leader(token)) if self.elector.leads(lent.now) => {
                self.announce(seat, token, lent);
            }
            _ if self.counts_redhac() => self.counted_asks(stream, claimant, method, lent),
            _ => {}
        }
    }

    /// A redhac node answers.
    pub(super) fn redhac_answers(
        &mut self,
        seat: Seat,
        method: MgmtAckMethod<'_>,
        lent: &mut Lent<'_>,
    ) {
        match method {
            MgmtAckMethod::Pong(_) => self.redhac_pongs(seat, lent),
            MgmtAckMethod::LeaderInfo(info) => {
                self.peers.at_mut(seat).knows_leader = info.addr.is_some();
                self.counted_informed(info, lent);
            }
            MgmtAckMethod::LeaderReqAck(ack) => self.counted_granted(seat, ack, lent),
            MgmtAckMethod::HealthAck(report) => self.counted_reported(seat, &report, lent),
            MgmtAckMethod::LeaderAckAck(_) | MgmtAckMethod::LeaderSwitchAck(_) => {}
        }
    }

    fn redhac_pongs(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let peer = self.peers.at_mut(seat);
        let vouched = peer.vouched.take();
        let Some(sent) = peer.pinged.take() else {
            return;
        };
        peer.round_trip = Some(lent.now.since(sent));
        if let Some(token) = vouched {
            // What was sent before the ping was read before it: it follows this node.
            self.with_elector(lent, |elector, now, acts| {
                elector.granted(now, seat, token, sent, acts);
            });
        }
    }

    /// One may follow somebody else now, or soon: it claims the leadership within 100 ms after it lost its
    /// stream to the leader. Who says who it is knows better.
    pub(super) fn redhac_may_move(&mut self, stream: StreamId, now: Instant) {
        if self
            .callers
            .find(stream)
            .is_some_and(|it| it.seat.is_none())
        {
            self.redhac_moves_until = now + self.config.promise;
        }
    }

    /// It is a redhac node's turn: a leader tells it so where that matters, a candidate claims, once.
    pub(super) fn beat_redhac(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        match self.elector.role() {
            // Its vote is what it answers to the ping behind this.
            Role::Leader(token) if self.counts_redhac() => {
                self.announce(seat, token, lent);
                if self.peers.at(seat).pinged.is_none() {
                    self.ping(seat, lent);
                    self.peers.at_mut(seat).vouched = Some(token);
                }
            }
            Role::Leader(token) if lent.now < self.redhac_moves_until => {
                self.announce(seat, token, lent);
            }
            Role::Candidate(token) => self.claim(seat, token, lent),
            Role::Leader(_) | Role::Follower => {}
        }
    }

    pub(super) fn ping(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        if let Role::Leader(token) = self.elector.role() {
            if self.is_redhac(seat) && !self.counts_redhac() {
                self.announce(seat, token, lent);
            }
        }
        let peer = self.peers.at_mut(seat);
        peer.ping_at = lent.now + super::timing::PING_INTERVAL;
        // One that never said anything is given up the same way.
        peer.pinged = Some(lent.now);
        self.ask(seat, MgmtRequestMethod::Ping(Ping {}), lent);
    }
}
