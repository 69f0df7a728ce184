//! What is said, on which stream.

use smallvec::SmallVec;
use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, Empty, Health, HealthAck, HostHealth, Leader,
    LeaderAck, LeaderInfo, LeaderReq, LeaderReqAck, LeaderSwitch, LeaderSwitchPriority, MgmtAck,
    MgmtAckMethod, MgmtRequest, MgmtRequestMethod, State, StateValue,
};

use super::elector::{Act, HandOn, Info, Role};
use super::token::Token;
use super::{Election, ElectionEvent, ElectionPlant, Kin, Lent, MACHINE, Phase, Seat};
use crate::codes;
use crate::header::Header;
use crate::id::{StreamId, Tag};
use crate::machine::Full;
use crate::method::cache::STREAM_VALUES;
use crate::status::{Code, Status};
use crate::stream::Class;
use crate::time::Instant;
use crate::wire;

type Answer<'a> = Ack<'a, &'a [HostHealth<'a>]>;
type AnswerMethod<'a> = MgmtAckMethod<'a, &'a [HostHealth<'a>]>;

/// A tag of a stream that this node opened to a voter.
pub(super) fn dialled(seat: Seat) -> Tag {
    Tag::new(MACHINE, DIALLED | u64::from(seat.0))
}

/// Tag of every stream that others opened.
pub(super) const CALLED: Tag = Tag::new(MACHINE, 1 << 40);
pub(super) const DIALLED: u64 = 2 << 40;

impl Election {
    pub(super) fn perform(&mut self, act: Act, lent: &mut Lent<'_>) {
        match act {
            Act::Keep => {}
            Act::Request { to, .. } if self.is_redhac(to) => self.beat_redhac(to, lent),
            Act::Request { to, token } => self.request(to, token, lent),
            Act::Grant { to, token } => self.grant(to, token, lent),
            Act::Refuse { to, token, info } => self.refuse(to, token, info, lent),
            Act::Announce(token) => {
                for seat in self.elector.rules().others() {
                    self.announce(seat, token, lent);
                }
            }
            Act::Withdraw(info) => {
                for at in 0..self.callers.len() {
                    let stream = self.callers.at(at).stream;
                    self.inform(stream, info, lent);
                }
            }
            Act::Switch(switch) => self.switch(switch, lent),
        }
    }

    pub(super) fn ask(
        &self,
        seat: Seat,
        method: MgmtRequestMethod<'_>,
        lent: &mut Lent<'_>,
    ) -> bool {
        let peer = self.peers.at(seat);
        let Some(stream) = peer.stream.filter(|_| peer.heard) else {
            return false;
        };
        let request = CacheRequest {
            method: Some(CacheRequestMethod::MgmtReq(MgmtRequest {
                method: Some(method),
            })),
        };
        wire::send(lent.io, stream, &request).is_ok()
    }

    pub(super) fn answer(
        &self,
        stream: StreamId,
        method: AnswerMethod<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), Full> {
        let answer = Answer {
            method: Some(AckMethod::MgmtAck(MgmtAck {
                method: Some(method),
            })),
        };
        wire::send(lent.io, stream, &answer)
    }

    /// Asks a voter for its promise. One request of a token is on a stream at a time, so that its answer
    /// tells when it was sent.
    pub(super) fn request(&mut self, seat: Seat, token: Token, lent: &mut Lent<'_>) {
        let peer = self.peers.at_mut(seat);
        if peer.kin != Kin::Ours {
            return;
        }
        let unanswered = peer.asked.is_some_and(|(asked, _)| asked == token);
        if unanswered && self.plant != Some(ElectionPlant::TwoOutstanding) {
            peer.owes_request = true;
            return;
        }
        let me = self.peers.addr(self.config.me);
        let request = LeaderReq {
            addr: me,
            election_ts: token.to_wire(),
        };
        if self.ask(seat, MgmtRequestMethod::LeaderReq(request), lent) {
            self.counters.requests += 1;
            let peer = self.peers.at_mut(seat);
            peer.asked = Some((token, lent.now));
            peer.owes_request = false;
        }
    }

    fn grant(&mut self, to: Seat, token: Token, lent: &mut Lent<'_>) {
        let Some(stream) = self.callers.asked_on(to) else {
            return;
        };
        self.counters.grants += 1;
        let ack = LeaderReqAck {
            addr: self.peers.addr(to),
            election_ts: token.to_wire(),
        };
        // It answers a request, so it has room; and without it the candidate only asks again.
        let _ = self.answer(stream, MgmtAckMethod::LeaderReqAck(ack), lent);
    }

    /// Tells a voter who has the promise, and answers its request: whose request is acknowledged, if not
    /// its own. So it may ask again.
    fn refuse(&mut self, to: Seat, token: Token, info: Info, lent: &mut Lent<'_>) {
        self.counters.refusals += 1;
        let Some(stream) = self.callers.asked_on(to) else {
            return;
        };
        self.inform(stream, info, lent);
        let other = info.leader.filter(|leader| *leader != to);
        let ack = LeaderReqAck {
            addr: self.peers.addr(other.unwrap_or(self.config.me)),
            election_ts: token.to_wire(),
        };
        let _ = self.answer(stream, MgmtAckMethod::LeaderReqAck(ack), lent);
    }

    /// Says on a stream of another whom this voter is bound to. What has no room now is said later.
    pub(super) fn inform(&mut self, stream: StreamId, info: Info, lent: &mut Lent<'_>) {
        let caller = self.callers.find(stream);
        let said = if caller.is_some_and(|caller| caller.seat.is_some()) {
            LeaderInfo {
                addr: info
                    .leader
                    .filter(|seat| self.elector.rules().is_voter(*seat))
                    .map(|seat| self.peers.addr(seat)),
                election_ts: info.token.to_wire(),
                has_quorum: self.has_quorum(),
            }
        } else {
            self.leader_for_redhac(lent.now)
        };
        let sent = self.answer(stream, MgmtAckMethod::LeaderInfo(said), lent);
        if let Some(caller) = self.callers.find(stream) {
            caller.owes_info = sent.is_err();
        }
    }

    /// Tells a voter that this node leads.
    pub(super) fn announce(&mut self, seat: Seat, token: Token, lent: &mut Lent<'_>) {
        self.peers.at_mut(seat).knows_leader = true;
        let ack = LeaderAck {
            addr: self.peers.addr(self.config.me),
            election_ts: token.to_wire(),
        };
        self.ask(seat, MgmtRequestMethod::LeaderAck(ack), lent);
    }

    fn switch(&self, switch: HandOn, lent: &mut Lent<'_>) {
        let HandOn { to, token, .. } = switch;
        let (vote_host, election_ts) = (self.peers.addr(to), token.to_wire());
        let method = if switch.ceding {
            MgmtRequestMethod::LeaderSwitchPriority(LeaderSwitchPriority {
                vote_host,
                election_ts,
            })
        } else {
            MgmtRequestMethod::LeaderSwitch(LeaderSwitch {
                vote_host,
                election_ts,
            })
        };
        for seat in self.elector.rules().others() {
            // One of redhac's would tell all others, and one that knows no leader would not survive that.
            let knows = seat == to && switch.grants.is_some();
            if !self.is_redhac(seat) && !knows {
                self.ask(seat, method, lent);
            }
        }
    }

    /// Asks a voter how it is, if what it says matters.
    pub(super) fn ask_health(&self, seat: Seat, lent: &mut Lent<'_>) {
        if !self.counts(seat) {
            return;
        }
        self.ask(seat, MgmtRequestMethod::Health(Health {}), lent);
    }

    /// Says how this node is. What a poll needs: whom it is bound to, whether that still binds, and the
    /// greatest token it knows.
    pub(super) fn report(&self, stream: StreamId, lent: &mut Lent<'_>) {
        let now = lent.now;
        let promised = self.elector.bound_to(now).map(|promise| promise.to);
        let bound = self.redhac_binds(now).map(|(seat, _)| seat).or(promised);
        let silent = self.elector.silent_until(now).is_some();
        let value = match self.elector.role() {
            Role::Leader(_) if self.elector.leads(now) => StateValue::Leader(Empty {}),
            Role::Leader(_) => StateValue::Undefined(Empty {}),
            Role::Candidate(_) => StateValue::LeadershipRequested(Empty {}),
            Role::Follower if bound.is_some() => StateValue::Follower(Empty {}),
            Role::Follower => StateValue::Undefined(Empty {}),
        };
        // A leader names its own: greater ones may have been asked for in vain.
        let known = match self.elector.role() {
            Role::Leader(token) => token,
            Role::Candidate(_) | Role::Follower => self.elector.max(),
        };
        let leader = Leader {
            addr: self.peers.addr(bound.unwrap_or(self.config.me)),
            election_ts: known.to_wire(),
            connected: bound.is_some() || silent,
        };
        let hosts: SmallVec<[HostHealth<'_>; 8]> = self
            .elector
            .rules()
            .others()
            .map(|seat| HostHealth {
                addr: self.peers.addr(seat),
                connected: self.peers.at(seat).connected(),
            })
            .collect();
        let report = HealthAck {
            uptime_secs: now.since(self.started).as_secs(),
            quorum: self.has_quorum(),
            state: Some(State { value: Some(value) }),
            leader: Some(leader),
            host_health: &hosts[..],
        };
        let _ = self.answer(stream, MgmtAckMethod::HealthAck(report), lent);
    }

    pub(super) fn pong(&self, stream: StreamId, lent: &mut Lent<'_>) {
        let _ = self.answer(
            stream,
            MgmtAckMethod::Pong(trefoil_proto::cache::Pong {}),
            lent,
        );
    }

    /// Looks after the stream to a voter: opens it, asks whether it is alive, gives it up.
    pub(super) fn tend(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let (now, patience) = (lent.now, self.timing.patience());
        let peer = self.peers.at_mut(seat);
        let Some(stream) = peer.stream else {
            if peer.open_at <= now {
                self.open(seat, lent);
            }
            return;
        };
        let is_late = |sent: Option<Instant>| sent.is_some_and(|sent| sent + patience <= now);
        if is_late(peer.asked.map(|(_, sent)| sent)) || is_late(peer.pinged) {
            self.counters.timeouts += 1;
            lent.io
                .end(stream, Status::new(Code::Cancelled, codes::DEADLINE));
            self.closed(seat, now);
            if self.peers.at(seat).open_at <= now {
                self.open(seat, lent);
            }
            return;
        }
        if peer.pinged.is_none() && peer.ping_at <= now {
            self.ping(seat, lent);
        }
    }

    fn open(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let forgotten = self.has(ElectionPlant::NeverRedials);
        let peer = self.peers.at_mut(seat);
        let Some(node) = peer.node.filter(|_| !(forgotten && peer.lost)) else {
            peer.open_at = Instant::FAR_FUTURE;
            return;
        };
        let tag = dialled(seat);
        let opened = lent.io.open(
            node,
            STREAM_VALUES,
            Class::Control,
            Header::EMPTY,
            None,
            tag,
        );
        match opened {
            Ok(stream) => {
                self.counters.streams += 1;
                let peer = self.peers.at_mut(seat);
                peer.dialled_at = lent.now;
                peer.stream = Some(stream);
                // Silence from the first moment on is noticed.
                peer.pinged = Some(lent.now);
            }
            Err(Full) => self.closed(seat, lent.now),
        }
    }

    pub(super) fn closed(&mut self, seat: Seat, now: Instant) {
        if self.is_redhac(seat) {
            // It has no lease that would outlive its stream.
            self.following = self.following.filter(|known| known.leader != seat);
        }
        self.peers.at_mut(seat).close(now);
    }

    /// Takes leave of all others, if it is stopping.
    pub(super) fn leave(&mut self, lent: &mut Lent<'_>) {
        let Phase::Stopping { until } = self.phase else {
            return;
        };
        self.phase = Phase::Leaving {
            until: until.max(lent.now),
        };
        self.hang_up(lent);
        self.stopped_if_heard(lent);
    }

    /// The end, once nobody is left who has still to hear a word.
    pub(super) fn stopped_if_heard(&mut self, lent: &mut Lent<'_>) {
        if matches!(self.phase, Phase::Leaving { .. }) && self.peers.connected().next().is_none() {
            self.phase = Phase::Stopped;
            lent.up.event(ElectionEvent::Stopped);
        }
    }

    /// A promise has passed.
    pub(super) fn wait_no_longer(&mut self, lent: &mut Lent<'_>) {
        for seat in self.elector.rules().others() {
            let stopping = Status::new(Code::Cancelled, codes::STOPPING);
            self.hang_up_on(seat, stopping, lent);
        }
        self.stopped_if_heard(lent);
    }

    /// Ends all streams. Those to others are only closed on this side: an heir is told in the last words on
    /// one, and to end it would take them back. Who was told nothing is not waited for.
    fn hang_up(&mut self, lent: &mut Lent<'_>) {
        for seat in self.elector.rules().others() {
            let Some(stream) = self.peers.at(seat).stream else {
                continue;
            };
            lent.io.half_close(stream);
            if !self.peers.at(seat).connected() || self.is_redhac(seat) {
                self.closed(seat, lent.now);
            }
        }
        for at in 0..self.callers.len() {
            let stream = self.callers.at(at).stream;
            lent.io.end(stream, Status::OK);
        }
        self.callers.clear();
    }
}
