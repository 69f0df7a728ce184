//! What a message means, and who may say it.

use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, DelAck, GetAck, HealthAck, LeaderAckAck,
    MgmtAck, MgmtAckMethod, MgmtRequest, MgmtRequestMethod, PutAck,
};
use trefoil_proto::wire::Decode;

use super::elector::{Info, Role};
use super::speech::{CALLED, DIALLED};
use super::token::Token;
use super::{Election, ElectionPlant, Evidence, Following, Lent, Phase, Seat};
use crate::codes;
use crate::header::Header;
use crate::id::{NodeId, StreamId, Tag};
use crate::identity::Identity;
use crate::method::cache::STREAM_VALUES;
use crate::status::{Cause, Code, Status};
use crate::stream::StreamIn;
use crate::wire;

const TOKEN_AHEAD: &str = "a token is far ahead of the time of day";
const NOT_ITS_NAME: &str = "a request in the name of another";

impl Election {
    pub(super) fn hear(
        &mut self,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        if let StreamIn::Accepted {
            from,
            method,
            header,
            ..
        } = event
        {
            if method == STREAM_VALUES {
                self.accepted(stream, from, header, lent);
            }
            return;
        }
        if tag == CALLED {
            return self.caller_says(stream, event, lent);
        }
        let seat = Seat(tag.rest() as u8);
        let current = tag.rest() & DIALLED != 0
            && self
                .peers
                .get_mut(seat)
                .is_some_and(|peer| peer.stream == Some(stream));
        if current {
            self.peer_says(seat, event, lent);
        }
    }

    fn accepted(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        header: Header<'_>,
        lent: &mut Lent<'_>,
    ) {
        let seat = from.and_then(|node| self.peers.of_node(node));
        if let Err(refused) = self.takes_caller(seat, header, lent) {
            return lent.io.end(stream, refused);
        }
        let bounded = seat.filter(|_| !self.has(ElectionPlant::NoSurplus));
        if let Some(oldest) = bounded.and_then(|seat| self.callers.surplus(seat)) {
            self.callers.remove(oldest);
            lent.io
                .end(oldest, Status::new(Code::ResourceExhausted, codes::BUSY));
        }
        if !self.callers.insert(stream, seat) {
            let busy = Status::new(Code::ResourceExhausted, codes::BUSY);
            return lent.io.end(stream, busy);
        }
        lent.io.adopt(stream, CALLED);
        let info = self.elector.info(lent.now);
        self.inform(stream, info, lent);
    }

    fn takes_caller(
        &mut self,
        seat: Option<Seat>,
        header: Header<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), Status<'static>> {
        match self.phase {
            Phase::Running => match seat {
                Some(seat) if !self.same_electorate(seat, header, lent) => Err(Status::new(
                    Code::FailedPrecondition,
                    codes::OTHER_ELECTORATE,
                )),
                Some(_) | None => Ok(()),
            },
            Phase::Refused(why) => Err(Status::new(Code::FailedPrecondition, why.message())),
            Phase::New
            | Phase::Recalling
            | Phase::Adopting(_)
            | Phase::Stopping { .. }
            | Phase::Leaving { .. }
            | Phase::Stopped => Err(Status::new(Code::Unavailable, codes::STOPPING)),
        }
    }

    /// Whether a voter means this electorate, as far as it says. Another one is told to the layer above
    /// once.
    fn same_electorate(&mut self, seat: Seat, header: Header<'_>, lent: &mut Lent<'_>) -> bool {
        let named = Identity::from_header(header).map_or(0, |peer| peer.electorate);
        let differs = named != 0 && named != self.electorate_hash;
        let is_other = differs && !self.has(ElectionPlant::AnyEpoch);
        let told = &mut self.peers.at_mut(seat).other_electorate;
        let is_news = is_other && *told != named;
        *told = if is_other { named } else { 0 };
        self.peers.at_mut(seat).is_ours = named == self.electorate_hash;
        if is_news {
            self.misbehaved(Some(seat), codes::OTHER_ELECTORATE, lent);
        }
        !is_other
    }

    fn caller_says(&mut self, stream: StreamId, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        match event {
            StreamIn::Frame(bytes) => match CacheRequest::parse(bytes) {
                Ok(request) => self.called(stream, request, lent),
                Err(_) => {
                    let seat = self.callers.find(stream).and_then(|caller| caller.seat);
                    self.misbehaved(seat, codes::MALFORMED, lent);
                    self.callers.remove(stream);
                    let malformed = Status::new(Code::InvalidArgument, codes::MALFORMED);
                    lent.io.end(stream, malformed);
                }
            },
            StreamIn::Writable => {
                if self
                    .callers
                    .find(stream)
                    .is_some_and(|caller| caller.owes_info)
                {
                    let info = self.elector.info(lent.now);
                    self.inform(stream, info, lent);
                }
            }
            StreamIn::HalfClosed => {
                self.redhac_may_move(stream, lent.now);
                self.callers.remove(stream);
                lent.io.end(stream, Status::OK);
            }
            StreamIn::Ended(_) => {
                self.redhac_may_move(stream, lent.now);
                self.callers.remove(stream);
            }
            StreamIn::Accepted { .. } | StreamIn::Header(_) => {}
        }
    }

    fn called(&mut self, stream: StreamId, request: CacheRequest<'_>, lent: &mut Lent<'_>) {
        match request.method {
            Some(CacheRequestMethod::MgmtReq(MgmtRequest {
                method: Some(method),
            })) => self.managed(stream, method, lent),
            Some(CacheRequestMethod::MgmtReq(MgmtRequest { method: None })) | None => {}
            Some(method) => no_cache(stream, method, lent),
        }
    }

    fn managed(&mut self, stream: StreamId, method: MgmtRequestMethod<'_>, lent: &mut Lent<'_>) {
        let from = self.callers.find(stream).and_then(|caller| caller.seat);
        if let (Some(seat), false) = (from, matches!(method, MgmtRequestMethod::Ping(_))) {
            self.takes_part(seat, lent);
        }
        match method {
            MgmtRequestMethod::Ping(_) => self.pong(stream, lent),
            MgmtRequestMethod::Health(_) => self.report(stream, lent),
            // What nobody of ours says never gets to the elector: it could push the greatest token above
            // that of the leader.
            method if from.is_none() => self.redhac_asks(stream, method, lent),
            MgmtRequestMethod::LeaderReq(request) => {
                let Some(seat) = from else { return };
                if self.peers.addr(seat) != request.addr {
                    return self.misbehaved(from, NOT_ITS_NAME, lent);
                }
                if let Some(token) = self.believable(from, request.election_ts, lent) {
                    self.asked(stream, seat, token, lent);
                }
            }
            MgmtRequestMethod::LeaderAck(ack) => {
                let Some(token) = self.believable(from, ack.election_ts, lent) else {
                    return;
                };
                if let Some(seat) = from.filter(|seat| self.peers.addr(*seat) == ack.addr) {
                    // The token is not taken for the greatest known: a voter that did so would refuse the
                    // request of the same leader that follows.
                    self.announced(stream, seat, token, lent);
                }
            }
            MgmtRequestMethod::LeaderSwitch(switch) => {
                self.switched(from, switch.vote_host, switch.election_ts, false, lent);
            }
            MgmtRequestMethod::LeaderSwitchPriority(switch) => {
                self.switched(from, switch.vote_host, switch.election_ts, true, lent);
            }
            // What redhac nodes tell each other.
            MgmtRequestMethod::LeaderReqAck(_)
            | MgmtRequestMethod::LeaderDead(_)
            | MgmtRequestMethod::LeaderSwitchAck(_) => {}
        }
    }

    /// A token as it came, unless it is so far ahead that it would push all tokens after it.
    fn believable(&mut self, from: Option<Seat>, ts: i64, lent: &mut Lent<'_>) -> Option<Token> {
        let ahead = i64::try_from(self.config.ahead_max.as_nanos()).unwrap_or(i64::MAX);
        let now = i64::try_from(lent.now.as_nanos()).unwrap_or(i64::MAX);
        let latest = self
            .config
            .unix_origin
            .saturating_add(now)
            .saturating_add(ahead);
        if ts > latest && !self.has(ElectionPlant::AnyToken) {
            self.misbehaved(from, TOKEN_AHEAD, lent);
            return None;
        }
        Some(Token::from_wire(ts))
    }

    fn asked(&mut self, stream: StreamId, seat: Seat, token: Token, lent: &mut Lent<'_>) {
        self.callers.asked(seat, stream);
        let until = lent.now + self.config.promise;
        if self.announced == Some((seat, token)) {
            self.following = Some(Following {
                leader: seat,
                token,
                until,
            });
        }
        self.with_elector(lent, |elector, now, acts| {
            elector.requested(now, seat, token, acts);
        });
    }

    /// A voter says that it leads.
    fn announced(&mut self, stream: StreamId, leader: Seat, token: Token, lent: &mut Lent<'_>) {
        // Times of redhac's are no tokens: a leader of ours is followed whatever they are.
        let is_old = self
            .following
            .is_some_and(|known| token < known.token && !self.is_redhac(known.leader));
        if !is_old {
            self.has_led(leader, token);
            let until = lent.now + self.config.promise;
            self.announced = Some((leader, token));
            self.following = Some(Following {
                leader,
                token,
                until,
            });
        }
        let ack = Ack::<'_, &[trefoil_proto::cache::HostHealth<'_>]> {
            method: Some(AckMethod::MgmtAck(MgmtAck {
                method: Some(MgmtAckMethod::LeaderAckAck(LeaderAckAck {
                    addr: self.peers.addr(self.config.me),
                })),
            })),
        };
        let _ = wire::send(lent.io, stream, &ack);
    }

    /// Only a voter of ours hands over: what a redhac node says of it is an opinion.
    fn switched(
        &mut self,
        from: Option<Seat>,
        to: &str,
        ts: i64,
        ceding: bool,
        lent: &mut Lent<'_>,
    ) {
        let (Some(token), Some(from)) = (self.believable(from, ts, lent), from) else {
            return;
        };
        self.unfollow(from, None);
        if let Some(to) = self.peers.find(to) {
            self.with_elector(lent, |elector, now, acts| {
                elector.switched(now, from, to, token, ceding, acts);
            });
        }
    }

    fn peer_says(&mut self, seat: Seat, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        match event {
            StreamIn::Frame(bytes) => match Ack::parse(bytes) {
                Ok(ack) => {
                    if self.peers.at_mut(seat).hear(lent.now) {
                        self.connected(seat, lent);
                    }
                    self.answered(seat, ack, lent);
                }
                Err(_) => {
                    self.misbehaved(Some(seat), codes::MALFORMED, lent);
                    let malformed = Status::new(Code::Cancelled, codes::MALFORMED);
                    self.hang_up_on(seat, malformed, lent);
                }
            },
            StreamIn::Header(header) => {
                if self.same_electorate(seat, header, lent) {
                    self.greeted(seat, header);
                } else {
                    let other = Status::new(Code::FailedPrecondition, codes::OTHER_ELECTORATE);
                    self.hang_up_on(seat, other, lent);
                }
            }
            StreamIn::HalfClosed => {}
            StreamIn::Ended(status) => self.peer_gone(seat, status, lent),
            StreamIn::Accepted { .. } | StreamIn::Writable => {}
        }
    }

    pub(super) fn hang_up_on(&mut self, seat: Seat, status: Status<'_>, lent: &mut Lent<'_>) {
        if let Some(stream) = self.peers.at(seat).stream {
            lent.io.end(stream, status);
        }
        self.closed(seat, lent.now);
    }

    /// A voter has said its first word on a new stream.
    fn connected(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        match self.elector.role() {
            Role::Leader(_) | Role::Candidate(_) if self.is_redhac(seat) => {
                self.beat_redhac(seat, lent);
            }
            Role::Leader(token) => {
                self.announce(seat, token, lent);
                self.request(seat, token, lent);
            }
            Role::Candidate(token) => self.request(seat, token, lent),
            Role::Follower if self.timing.poll.is_some() => self.ask_health(seat, lent),
            Role::Follower => {}
        }
    }

    fn peer_gone(&mut self, seat: Seat, status: Status<'_>, lent: &mut Lent<'_>) {
        let refused = status.cause == Cause::Refused;
        let peer = self.peers.at_mut(seat);
        let dialled_at = peer.dialled_at;
        // What a link remembers proves nothing: the voter may have come back since.
        let proved = refused && peer.was_dialled(lent.now) && peer.lost && !peer.heard;
        self.closed(seat, lent.now);
        if proved && self.config.evidence != Evidence::None {
            self.is_dead(seat, Some(dialled_at), lent);
        }
    }

    fn answered(&mut self, seat: Seat, ack: Ack<'_>, lent: &mut Lent<'_>) {
        let Some(AckMethod::MgmtAck(MgmtAck {
            method: Some(method),
        })) = ack.method
        else {
            return;
        };
        if self.is_redhac(seat) {
            return self.redhac_answers(seat, method, lent);
        }
        match method {
            MgmtAckMethod::LeaderReqAck(ack) => {
                let token = Token::from_wire(ack.election_ts);
                let is_mine = ack.addr == self.peers.addr(self.config.me);
                self.acknowledged(seat, token, is_mine, lent);
            }
            MgmtAckMethod::LeaderInfo(said) => {
                let Some(token) = self.believable(Some(seat), said.election_ts, lent) else {
                    return;
                };
                let leader = said.addr.and_then(|addr| self.peers.find(addr));
                // What it said before it led may come late, on another stream than its announcement.
                if leader != Some(seat) {
                    self.unfollow(seat, Some(token));
                }
                let token = self.told_of(seat, leader, token);
                let info = Info { leader, token };
                self.with_elector(lent, |elector, now, acts| {
                    elector.informed(now, seat, info, acts);
                });
            }
            MgmtAckMethod::HealthAck(report) => self.reported(seat, &report, lent),
            MgmtAckMethod::Pong(_) => {
                let peer = self.peers.at_mut(seat);
                if let Some(sent) = peer.pinged.take() {
                    peer.round_trip = Some(lent.now.since(sent));
                }
            }
            MgmtAckMethod::LeaderAckAck(_) | MgmtAckMethod::LeaderSwitchAck(_) => {}
        }
    }

    /// How much of a token that a voter names is heard. One of a leadership that stands is not: a voter
    /// that knew it before that leader's own request came would refuse it. What remains is proof that the
    /// speaker is done with a promise made to itself.
    fn told_of(&self, from: Seat, leader: Option<Seat>, token: Token) -> Token {
        if leader.is_none_or(|leader| leader == self.config.me) {
            return token;
        }
        let promised = self.elector.vote().promise.filter(|(to, _)| *to == from);
        promised.map_or(Token::NONE, |(_, promised)| token.min(promised))
    }

    /// Takes the answer to a request, the one that is unanswered: a vote, or that another has it.
    fn acknowledged(&mut self, seat: Seat, token: Token, is_mine: bool, lent: &mut Lent<'_>) {
        let peer = self.peers.at_mut(seat);
        let Some((_, sent)) = peer.asked.filter(|(asked, _)| *asked == token) else {
            return;
        };
        peer.asked = None;
        let owes = core::mem::take(&mut peer.owes_request);
        if is_mine {
            self.with_elector(lent, |elector, now, acts| {
                elector.granted(now, seat, token, sent, acts);
            });
        }
        if owes && matches!(self.elector.role(), Role::Leader(own) if own == token) {
            self.request(seat, token, lent);
        }
    }

    fn reported(&mut self, seat: Seat, report: &HealthAck<'_>, lent: &mut Lent<'_>) {
        let Some(leader) = report.leader else {
            return;
        };
        let Some(token) = self.believable(Some(seat), leader.election_ts, lent) else {
            return;
        };
        let is_mine = leader.addr == self.peers.addr(self.config.me);
        let is_free = !leader.connected || is_mine;
        if is_free {
            self.elector.heard(token);
        }
        self.polled(seat, is_free, lent);
    }
}

/// There is no cache here: whoever asks for it is told so, for a request without an answer hangs a redhac
/// node.
fn no_cache(stream: StreamId, method: CacheRequestMethod<'_>, lent: &mut Lent<'_>) {
    type Answer<'a> = AckMethod<'a, &'a [trefoil_proto::cache::HostHealth<'a>]>;
    let put = |req_id| {
        Answer::PutAck(PutAck {
            req_id,
            mod_res: Some(false),
        })
    };
    let del = |req_id| {
        Answer::DelAck(DelAck {
            req_id,
            mod_res: Some(false),
        })
    };
    let method = match method {
        CacheRequestMethod::Get(get) => Answer::GetAck(GetAck {
            cache_name: get.cache_name,
            entry: get.entry,
            value: None,
        }),
        CacheRequestMethod::Put(request) => put(request.req_id),
        CacheRequestMethod::Insert(request) => put(Some(request.req_id)),
        CacheRequestMethod::Del(request) => del(request.req_id),
        CacheRequestMethod::Remove(request) => del(Some(request.req_id)),
        CacheRequestMethod::MgmtReq(_) => return,
    };
    let answer = Ack {
        method: Some(method),
    };
    let _ = wire::send(lent.io, stream, &answer);
}
