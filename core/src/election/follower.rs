//! A member that does not vote: it learns who leads, under which token, and until when it may believe so.
//!
//! It keeps a stream to every voter and asks how it is, each heartbeat: the leader while one is known, all
//! of them while none is. It believes a voter that says of itself that it leads, for one promise from when
//! it was asked; what voters say of each other only makes it ask. If several say so, the greatest token
//! counts; one that lies is believed no longer than it goes on to lie, and it cannot make this node
//! believe in two. It promises nothing, counts nothing and keeps nothing, so nothing here touches safety:
//! as with [`Election::leads`](super::Election::leads), the token decides where a write lands.

use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, Health, HealthAck, LeaderInfo, MgmtAck,
    MgmtAckMethod, MgmtRequest, MgmtRequestMethod, Ping, State, StateValue,
};
use trefoil_proto::wire::Decode;

use super::electorate::RETIRED;
use super::peers::Peers;
use super::speech::{DIALLED, dialled};
use super::timing::PING_INTERVAL;
use super::token::Token;
use super::{
    Election, ElectionCommand, ElectionConfig, ElectionConfigError, ElectionCounters,
    ElectionEvent, ElectionRefused, Neighbour, Seat, Standing, config,
};
use crate::codes;
use crate::header::Header;
use crate::id::{StreamId, Tag};
use crate::machine::{Events, Full, Io, Machine};
use crate::method::cache::STREAM_VALUES;
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::storage::Done;
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant};
use crate::wire;

/// Settings of a follower.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// All voters, as in [`ElectionConfig::voters`]. A list that is an epoch late is as good, as long as the
    /// leader is in it.
    pub voters: Vec<String>,
    /// That of the voters: what a leader says of itself is believed for so long.
    pub promise: Duration,
    /// Unix time at the origin of the clock, in nanoseconds.
    pub unix_origin: i64,
    /// How far ahead of this node's time of day a token may be.
    pub ahead_max: Duration,
    /// Seeds the time of the first question, so that many followers do not ask at once.
    pub seed: u64,
}

impl FollowerConfig {
    /// For voters on one network.
    #[must_use]
    pub fn lan<S: AsRef<str>>(voters: &[S]) -> Self {
        Self::of(&ElectionConfig::lan(0, voters))
    }

    /// What a follower of these voters needs of their settings.
    #[must_use]
    pub fn of(voter: &ElectionConfig) -> Self {
        Self {
            voters: voter.voters.clone(),
            promise: voter.promise,
            unix_origin: voter.unix_origin,
            ahead_max: voter.ahead_max,
            seed: voter.seed,
        }
    }

    fn check(&self) -> Result<(), ElectionConfigError> {
        // As the first of the voters would check it.
        let first = self.voters.iter().position(|voter| voter != RETIRED);
        let voter = ElectionConfig {
            promise: self.promise,
            ..ElectionConfig::lan(first.unwrap_or_default(), &self.voters)
        };
        voter.check()
    }
}

/// A voter said of itself that it leads.
#[derive(Clone, Copy, Debug)]
struct Claim {
    token: Token,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Stopped,
}

/// A member that follows and does not vote. Memory: some 200 bytes for each voter, and no more.
#[derive(Debug)]
pub struct Follower {
    config: FollowerConfig,
    phase: Phase,
    pub(super) peers: Peers,
    /// By seat.
    claims: Vec<Option<Claim>>,
    /// Whoever is to be asked is asked then.
    ask_at: Instant,
    told: Option<Standing>,
    counters: ElectionCounters,
}

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Follower>,
}

const TOKEN_AHEAD: &str = "a token is far ahead of the time of day";

impl Follower {
    /// A follower that has not begun.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: FollowerConfig) -> Result<Self, ElectionConfigError> {
        config.check()?;
        Ok(Self {
            phase: Phase::New,
            peers: Peers::new(&config.voters),
            claims: alloc::vec![None; config.voters.len()],
            ask_at: Instant::ZERO,
            told: None,
            counters: ElectionCounters::default(),
            config,
        })
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &FollowerConfig {
        &self.config
    }

    /// What this node knows of the leader at `now`. It never leads.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        match self.believed(now) {
            Some((leader, claim)) => Standing::Following {
                leader,
                token: claim.token,
            },
            None => Standing::Leaderless,
        }
    }

    /// Until when what [`standing`](Self::standing) says may be believed, if nothing else is heard.
    #[must_use]
    pub fn believes_until(&self, now: Instant) -> Option<Instant> {
        self.believed(now).map(|(_, claim)| claim.until)
    }

    /// The voters, in order.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour<'_>> + '_ {
        self.seats().map(|seat| {
            let peer = self.peers.at(seat);
            Neighbour {
                addr: &peer.addr,
                connected: peer.connected(),
                round_trip: peer.round_trip,
                kin: peer.kin,
            }
        })
    }

    /// What happened since it was made.
    #[must_use]
    pub const fn counters(&self) -> &ElectionCounters {
        &self.counters
    }

    fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        let retired = (0..)
            .zip(&self.config.voters)
            .filter(|(_, voter)| *voter == RETIRED)
            .fold(0_u64, |mask, (at, _): (u32, _)| mask | 1 << at);
        let all = (0..self.config.voters.len() as u8).map(Seat);
        all.filter(move |seat| retired >> seat.0 & 1 == 0)
    }

    fn believed(&self, now: Instant) -> Option<(Seat, Claim)> {
        let claims = (0..).map(Seat).zip(&self.claims);
        let live = claims.filter_map(|(seat, claim)| Some((seat, (*claim)?)));
        live.filter(|(_, claim)| now < claim.until)
            .max_by_key(|(_, claim)| claim.token)
    }

    fn begin(&mut self, lent: &mut Lent<'_>) {
        self.phase = Phase::Running;
        let heartbeat = u64::try_from(self.heartbeat().as_nanos()).unwrap_or(u64::MAX);
        let offset = Rng::new(self.config.seed).below(heartbeat.max(1));
        self.ask_at = lent.now + Duration::from_nanos(offset);
        for seat in self.seats() {
            match lent.io.node(config::dialled(self.peers.addr(seat))) {
                Ok(node) => self.peers.at_mut(seat).node = Some(node),
                Err(Full) => self.misbehaved(None, "the address book is full", lent),
            }
        }
    }

    fn heartbeat(&self) -> Duration {
        self.config.promise / 5
    }

    fn misbehaved(&mut self, voter: Option<Seat>, what: &'static str, lent: &mut Lent<'_>) {
        self.counters.misbehaved += 1;
        let voter = voter.map(|seat| self.peers.addr(seat));
        lent.up.event(ElectionEvent::Misbehaved { voter, what });
    }

    fn ask(&self, seat: Seat, method: MgmtRequestMethod<'_>, lent: &mut Lent<'_>) -> bool {
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

    /// Asks a voter how it is, unless it still owes an answer.
    fn ask_health(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        if self.peers.at(seat).asked.is_some() {
            return;
        }
        if self.ask(seat, MgmtRequestMethod::Health(Health {}), lent) {
            self.counters.polls += 1;
            self.peers.at_mut(seat).asked = Some((Token::NONE, lent.now));
        }
    }

    fn ask_all_due(&mut self, lent: &mut Lent<'_>) {
        if self.ask_at > lent.now {
            return;
        }
        self.ask_at = lent.now + self.heartbeat();
        match self.believed(lent.now) {
            Some((leader, _)) => self.ask_health(leader, lent),
            None => {
                for seat in self.seats() {
                    self.ask_health(seat, lent);
                }
            }
        }
    }

    /// Looks after the stream to a voter: opens it, asks whether it is alive, gives it up.
    fn tend(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let (now, patience) = (lent.now, self.config.promise);
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
            peer.close(now);
            let reopens = peer.open_at <= now;
            let late = Status::new(Code::Cancelled, codes::DEADLINE);
            lent.io.end(stream, late);
            if reopens {
                self.open(seat, lent);
            }
            return;
        }
        if peer.pinged.is_none() && peer.ping_at <= now {
            peer.ping_at = now + PING_INTERVAL;
            peer.pinged = Some(now);
            self.ask(seat, MgmtRequestMethod::Ping(Ping {}), lent);
        }
    }

    fn open(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let peer = self.peers.at_mut(seat);
        let Some(node) = peer.node else {
            peer.open_at = Instant::FAR_FUTURE;
            return;
        };
        let (class, tag) = (Class::Control, dialled(seat));
        let opened = (lent.io).open(node, STREAM_VALUES, class, Header::EMPTY, None, tag);
        match opened {
            Ok(stream) => {
                self.counters.streams += 1;
                peer.dialled_at = lent.now;
                peer.stream = Some(stream);
                peer.pinged = Some(lent.now);
            }
            Err(Full) => peer.close(lent.now),
        }
    }

    fn hear(&mut self, seat: Seat, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        match event {
            StreamIn::Frame(bytes) => match Ack::parse(bytes) {
                Ok(ack) => {
                    let is_first = self.peers.at_mut(seat).hear(lent.now);
                    self.answered(seat, ack, lent);
                    if is_first && self.believed(lent.now).is_none() {
                        self.ask_health(seat, lent);
                    }
                }
                Err(_) => {
                    self.misbehaved(Some(seat), codes::MALFORMED, lent);
                    let peer = self.peers.at_mut(seat);
                    if let Some(stream) = peer.stream {
                        let malformed = Status::new(Code::Cancelled, codes::MALFORMED);
                        lent.io.end(stream, malformed);
                    }
                    peer.close(lent.now);
                }
            },
            StreamIn::Ended(_) => self.peers.at_mut(seat).close(lent.now),
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn answered(&mut self, seat: Seat, ack: Ack<'_>, lent: &mut Lent<'_>) {
        let Some(AckMethod::MgmtAck(MgmtAck {
            method: Some(method),
        })) = ack.method
        else {
            return;
        };
        match method {
            MgmtAckMethod::LeaderInfo(info) => self.informed(seat, &info, lent),
            MgmtAckMethod::HealthAck(report) => {
                let asked = self.peers.at_mut(seat).asked.take();
                // One that was not asked for proves nothing about when.
                if let Some((_, asked)) = asked {
                    self.reported(seat, &report, asked, lent);
                }
            }
            MgmtAckMethod::Pong(_) => {
                let peer = self.peers.at_mut(seat);
                if let Some(sent) = peer.pinged.take() {
                    peer.round_trip = Some(lent.now.since(sent));
                }
            }
            MgmtAckMethod::LeaderReqAck(_)
            | MgmtAckMethod::LeaderAckAck(_)
            | MgmtAckMethod::LeaderSwitchAck(_) => {}
        }
    }

    /// A voter says whom it is bound to: one that does not say itself leads no more, and whoever is named is
    /// asked.
    fn informed(&mut self, seat: Seat, info: &LeaderInfo<'_>, lent: &mut Lent<'_>) {
        let named = info.addr.and_then(|addr| self.peers.find(addr));
        if named != Some(seat) {
            self.forget(seat, lent);
        }
        if let Some(named) = named {
            self.ask_health(named, lent);
        }
    }

    fn reported(&mut self, seat: Seat, said: &HealthAck<'_>, asked: Instant, lent: &mut Lent<'_>) {
        let leads = matches!(
            said.state,
            Some(State {
                value: Some(StateValue::Leader(_))
            })
        );
        let of_itself = |addr: &str| self.peers.find(addr) == Some(seat);
        let leader = said.leader.filter(|leader| leads && of_itself(leader.addr));
        let Some(leader) = leader else {
            return self.forget(seat, lent);
        };
        if leader.election_ts > self.latest(lent.now) {
            self.forget(seat, lent);
            return self.misbehaved(Some(seat), TOKEN_AHEAD, lent);
        }
        let token = Token::from_wire(leader.election_ts);
        let until = asked + self.config.promise;
        if let Some(claim) = self.claims.get_mut(usize::from(seat.0)) {
            *claim = (token > Token::NONE).then_some(Claim { token, until });
        }
    }

    /// The greatest token that is believed at `now`.
    fn latest(&self, now: Instant) -> i64 {
        let ahead = i64::try_from(self.config.ahead_max.as_nanos()).unwrap_or(i64::MAX);
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        (self.config.unix_origin)
            .saturating_add(now)
            .saturating_add(ahead)
    }

    /// A voter does not lead. If it was followed, all are asked at once.
    fn forget(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let was = self.believed(lent.now).map(|(leader, _)| leader);
        if let Some(claim) = self.claims.get_mut(usize::from(seat.0)) {
            *claim = None;
        }
        if was == Some(seat) {
            self.ask_at = lent.now;
            self.ask_all_due(lent);
        }
    }

    fn command(
        &mut self,
        command: ElectionCommand<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), ElectionRefused> {
        match command {
            ElectionCommand::Campaign => Err(ElectionRefused::NotAVoter),
            ElectionCommand::HandOver { .. } | ElectionCommand::StepDown => {
                Err(ElectionRefused::NotLeading)
            }
            ElectionCommand::Dead { voter } => {
                let seat = self.peers.find(voter);
                self.forget(seat.ok_or(ElectionRefused::NoSuchVoter)?, lent);
                Ok(())
            }
            ElectionCommand::Stop => {
                self.stop(lent);
                Ok(())
            }
        }
    }

    fn stop(&mut self, lent: &mut Lent<'_>) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.phase = Phase::Stopped;
        self.claims.fill(None);
        for seat in self.seats() {
            if let Some(stream) = self.peers.at_mut(seat).stream.take() {
                lent.io.half_close(stream);
                let stopping = Status::new(Code::Cancelled, codes::STOPPING);
                lent.io.end(stream, stopping);
            }
        }
        self.settle(lent);
        // It votes for nobody, and leads nobody: it has no last word.
        lent.up.event(ElectionEvent::Stopped);
    }

    /// Tells the layer above what changed. Every input ends here.
    fn settle(&mut self, lent: &mut Lent<'_>) {
        let standing = self.standing(lent.now);
        if self.told == Some(standing) {
            return;
        }
        self.told = Some(standing);
        match standing {
            Standing::Following { leader, token } => {
                let leader = self.peers.addr(leader);
                lent.up.event(ElectionEvent::Following { leader, token });
            }
            Standing::Leaderless | Standing::Leading { .. } => {
                // Whoever ran out is replaced by somebody.
                if self.phase == Phase::Running {
                    self.ask_at = self.ask_at.min(lent.now + self.heartbeat());
                }
                lent.up.event(ElectionEvent::Leaderless);
            }
        }
    }

    fn due(&self) -> Instant {
        let patience = self.config.promise;
        let streams = self.seats().map(|seat| self.peers.at(seat).due(patience));
        let claims = self.claims.iter().flatten().map(|claim| claim.until);
        // One that has run out is told of when it does, and then taken away.
        streams.chain(claims).fold(self.ask_at, Instant::min)
    }

    fn pass_time(&mut self, lent: &mut Lent<'_>) {
        for claim in &mut self.claims {
            *claim = claim.filter(|claim| lent.now < claim.until);
        }
        for seat in self.seats() {
            self.tend(seat, lent);
        }
        self.ask_all_due(lent);
    }
}

impl Machine for Follower {
    type Command<'a> = <Election as Machine>::Command<'a>;
    type Event<'a> = <Election as Machine>::Event<'a>;
    type Refused = <Election as Machine>::Refused;

    /// Streams of others are not taken: there is nothing to be had here.
    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let lent = &mut Lent { now, io, up };
        let seat = Seat(tag.rest() as u8);
        let is_its = |seat| {
            self.peers
                .get(seat)
                .is_some_and(|p| p.stream == Some(stream))
        };
        if tag.rest() & DIALLED != 0 && is_its(seat) {
            self.hear(seat, event, lent);
        }
        self.settle(lent);
    }

    /// Nothing is kept.
    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: ElectionCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), ElectionRefused> {
        let lent = &mut Lent { now, io, up };
        let done = self.command(command, lent);
        self.settle(lent);
        done
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let lent = &mut Lent { now, io, up };
        if self.phase == Phase::New {
            self.begin(lent);
        }
        if self.phase == Phase::Running {
            self.pass_time(lent);
        }
        self.settle(lent);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::New => Some(Instant::ZERO),
            Phase::Running => Some(self.due()),
            Phase::Stopped => None,
        }
    }
}
