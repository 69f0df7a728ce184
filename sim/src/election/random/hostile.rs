//! One that says anything to anybody, valid or not, in any order: a voter, or somebody who is none.
//!
//! What holds beside it: nobody panics; the streams of an honest voter stay bounded; and three seconds after
//! it is gone the others have a leader that stays. If it is no voter, all else holds as well. A hostile
//! voter can break that: it may vote twice, and two majorities may share no other; and it may ask in its own
//! name with the successor of a leader's token, which is taken for proof that the leader handed over. The
//! voters of one electorate trust each other not to lie.

use trefoil_core::id::StreamId;
use trefoil_core::status::Cause;
use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, Empty, Get, Health, HealthAck, HostHealth,
    Leader, LeaderAck, LeaderDead, LeaderInfo, LeaderReq, LeaderReqAck, LeaderSwitch,
    LeaderSwitchPriority, MgmtAck, MgmtAckMethod, MgmtRequest, MgmtRequestMethod, Ping, Pong,
    State, StateValue,
};
use trefoil_proto::wire::{Decode, Encode};

use super::invariants::Invariant;
use super::streams::{End, Parcel, Stream};
use super::world::World;

/// Streams of callers that are no voters an honest voter takes here.
pub(super) const FOLLOWERS: u32 = 16;
/// Streams it takes of each voter.
const OF_EACH: usize = 4;
/// Its newest streams are those it speaks on.
const SPOKEN_ON: usize = 48;

/// What a hostile one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No voter: in the place of one that is down, without its name.
    Stranger,
    Voter,
    /// A voter that grants what it is asked, every other time.
    Granting,
}

/// The hostile one.
#[derive(Clone, Debug)]
pub(super) struct Hostile {
    pub(super) voter: usize,
    pub(super) kind: Kind,
    streams: Vec<usize>,
    /// Tokens it was told of.
    heard: Vec<i64>,
    calls: u32,
    /// What it did.
    pub(super) attacks: u64,
}

fn encode(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    let written = message.encode_to_slice(&mut bytes);
    debug_assert!(written.is_ok(), "as long as it said");
    bytes
}

fn request(method: MgmtRequestMethod<'_>) -> Vec<u8> {
    let method = Some(CacheRequestMethod::MgmtReq(MgmtRequest {
        method: Some(method),
    }));
    encode(&CacheRequest { method })
}

fn answer(method: MgmtAckMethod<'_, &[HostHealth<'_>]>) -> Vec<u8> {
    let method = Some(AckMethod::MgmtAck(MgmtAck {
        method: Some(method),
    }));
    encode(&Ack { method })
}

impl Hostile {
    pub(super) const fn new(voter: usize, kind: Kind) -> Self {
        Self {
            voter,
            kind,
            streams: Vec::new(),
            heard: Vec::new(),
            calls: 0,
            attacks: 0,
        }
    }

    fn listen(&mut self, token: i64) {
        self.heard.push(token);
        if self.heard.len() > 8 {
            self.heard.remove(0);
        }
    }

    fn joins(&mut self, stream: usize) {
        self.streams.push(stream);
        if self.streams.len() > SPOKEN_ON {
            self.streams.remove(0);
        }
    }
}

impl World {
    /// Does something.
    pub(super) fn attack(&mut self) {
        let Some(mut hostile) = self.hostile.take() else {
            return;
        };
        hostile.attacks += 1;
        let stream = hostile
            .streams
            .get(self.dice.index(hostile.streams.len().max(1)));
        match (self.dice.below(12), stream.copied()) {
            (0 | 1, _) | (_, None) => self.hostile_call(&mut hostile),
            (2, Some(stream)) => self.hostile_frame(&hostile, stream, Parcel::Ended(Cause::Lost)),
            (_, Some(stream)) => {
                let opened = self.streams[stream].ends[0].voter == hostile.voter;
                let bytes = if opened {
                    self.any_request(&hostile)
                } else {
                    self.any_answer(&hostile)
                };
                self.hostile_frame(&hostile, stream, Parcel::Frame(bytes));
            }
        }
        self.hostile = Some(hostile);
    }

    fn hostile_call(&mut self, hostile: &mut Hostile) {
        let count = self.voters.len();
        let to = (hostile.voter + 1 + self.dice.index(count - 1)) % count;
        hostile.calls += 1;
        let end = |voter, open| End {
            voter,
            boot: 0,
            stream: StreamId::new(hostile.calls, 1),
            open,
        };
        self.streams.push(Stream {
            ends: [end(hostile.voter, true), end(to, false)],
            arrives: [self.now; 2],
            held: [Vec::new(), Vec::new()],
            greeted: false,
            is_anonymous: hostile.kind == Kind::Stranger || self.dice.below(4) == 0,
        });
        let at = self.streams.len() - 1;
        hostile.joins(at);
        self.send(at, 1, Parcel::Call);
    }

    fn hostile_frame(&mut self, hostile: &Hostile, stream: usize, parcel: Parcel) {
        let mine = usize::from(self.streams[stream].ends[0].voter != hostile.voter);
        self.send(stream, 1 - mine, parcel);
    }

    /// An honest voter opened a stream to it: as a voter it takes it. `false` if it is none, or somebody
    /// else was called.
    pub(super) fn hostile_accepts(&mut self, stream: usize, called: usize) -> bool {
        let is_it =
            |hostile: &&mut Hostile| hostile.voter == called && hostile.kind != Kind::Stranger;
        let Some(hostile) = self.hostile.as_mut().filter(is_it) else {
            return false;
        };
        self.streams[stream].ends[1].open = true;
        hostile.joins(stream);
        true
    }

    /// An honest voter says something to it.
    pub(super) fn hostile_hears(&mut self, stream: usize, to: usize, bytes: &[u8]) {
        let Some(mut hostile) = self.hostile.take() else {
            return;
        };
        if to == 1
            && let Ok(CacheRequest {
                method:
                    Some(CacheRequestMethod::MgmtReq(MgmtRequest {
                        method: Some(method),
                    })),
            }) = CacheRequest::parse(bytes)
        {
            match method {
                MgmtRequestMethod::LeaderReq(asked) => {
                    hostile.listen(asked.election_ts);
                    if hostile.kind == Kind::Granting && self.dice.coin() {
                        let grant = answer(MgmtAckMethod::LeaderReqAck(LeaderReqAck {
                            addr: asked.addr,
                            election_ts: asked.election_ts,
                        }));
                        self.send(stream, 0, Parcel::Frame(grant));
                    }
                }
                MgmtRequestMethod::LeaderAck(ack) => hostile.listen(ack.election_ts),
                MgmtRequestMethod::Ping(_) if self.dice.coin() => {
                    let pong = answer(MgmtAckMethod::Pong(Pong {}));
                    self.send(stream, 0, Parcel::Frame(pong));
                }
                MgmtRequestMethod::Ping(_)
                | MgmtRequestMethod::Health(_)
                | MgmtRequestMethod::LeaderReqAck(_)
                | MgmtRequestMethod::LeaderDead(_)
                | MgmtRequestMethod::LeaderSwitch(_)
                | MgmtRequestMethod::LeaderSwitchPriority(_)
                | MgmtRequestMethod::LeaderSwitchAck(_) => {}
            }
        }
        self.hostile = Some(hostile);
    }

    /// It is gone, and everybody hears of it.
    pub(super) fn hostile_ends(&mut self) {
        let Some(hostile) = self.hostile.take() else {
            return;
        };
        for stream in 0..self.streams.len() {
            let ends = self.streams[stream].ends;
            if let Some(mine) = ends.iter().position(|end| end.voter == hostile.voter) {
                self.streams[stream].ends[mine].open = false;
                self.send(stream, 1 - mine, Parcel::Ended(Cause::Lost));
            }
        }
    }

    /// An honest voter holds as many streams as it may, and no more.
    pub(super) fn is_bounded(&self, voter: usize) -> bool {
        let voters = self.voters.len();
        self.streams_of(voter) < voters + OF_EACH * voters + FOLLOWERS as usize
    }

    fn any_token(&mut self, hostile: &Hostile) -> i64 {
        let now = 1_770_000_000_000_000_000 + self.now.as_nanos() as i64;
        let heard = hostile
            .heard
            .get(self.dice.index(hostile.heard.len().max(1)));
        let near = heard.copied().unwrap_or(now);
        match self.dice.below(10) {
            0 => self.dice.draw() as i64,
            1 => i64::MAX,
            2 => -1,
            3 => now + 24 * 3_600_000_000_000 - self.dice.below(2_000_000_000) as i64,
            4 | 5 => near.saturating_add(1),
            6 => near,
            7 => near - 1_000_000,
            _ => now + self.dice.below(2_000_000_000) as i64 - 1_000_000_000,
        }
    }

    fn any_addr(&mut self, hostile: &Hostile) -> String {
        match self.dice.below(8) {
            0 => String::new(),
            1 => "-".to_owned(),
            2 => "v99:1".to_owned(),
            3..=5 => self.name(hostile.voter),
            _ => {
                let any = self.dice.index(self.voters.len());
                self.name(any)
            }
        }
    }

    fn junk(&mut self) -> Vec<u8> {
        let length = self.dice.index(40);
        (0..length).map(|_| self.dice.draw() as u8).collect()
    }

    fn any_request(&mut self, hostile: &Hostile) -> Vec<u8> {
        let (election_ts, addr) = (self.any_token(hostile), self.any_addr(hostile));
        let addr = addr.as_str();
        let vote_host = addr;
        match self.dice.below(12) {
            0..=3 => request(MgmtRequestMethod::LeaderReq(LeaderReq {
                addr,
                election_ts,
            })),
            4 => request(MgmtRequestMethod::LeaderAck(LeaderAck {
                addr,
                election_ts,
            })),
            5 => request(MgmtRequestMethod::LeaderSwitch(LeaderSwitch {
                vote_host,
                election_ts,
            })),
            6 => request(MgmtRequestMethod::LeaderSwitchPriority(
                LeaderSwitchPriority {
                    vote_host,
                    election_ts,
                },
            )),
            7 => request(MgmtRequestMethod::LeaderDead(LeaderDead {
                vote_host,
                election_ts,
            })),
            8 => request(MgmtRequestMethod::Health(Health {})),
            9 => request(MgmtRequestMethod::Ping(Ping {})),
            10 => encode(&CacheRequest {
                method: Some(CacheRequestMethod::Get(Get {
                    cache_name: addr,
                    entry: addr,
                })),
            }),
            _ => self.junk(),
        }
    }

    fn any_answer(&mut self, hostile: &Hostile) -> Vec<u8> {
        let (election_ts, addr) = (self.any_token(hostile), self.any_addr(hostile));
        let addr = addr.as_str();
        match self.dice.below(8) {
            // A vote it must not have granted: for no token that anybody asks with.
            0 => answer(MgmtAckMethod::LeaderReqAck(LeaderReqAck {
                addr,
                election_ts: if hostile.kind == Kind::Granting {
                    election_ts
                } else {
                    -1
                },
            })),
            1 | 2 => answer(MgmtAckMethod::LeaderInfo(LeaderInfo {
                addr: (!addr.is_empty()).then_some(addr),
                election_ts,
                has_quorum: self.dice.coin(),
            })),
            3..=5 => {
                let value = match self.dice.below(4) {
                    0 => StateValue::Leader(Empty {}),
                    1 => StateValue::Follower(Empty {}),
                    2 => StateValue::LeadershipRequested(Empty {}),
                    _ => StateValue::Undefined(Empty {}),
                };
                answer(MgmtAckMethod::HealthAck(HealthAck {
                    uptime_secs: self.dice.draw(),
                    quorum: self.dice.coin(),
                    state: Some(State { value: Some(value) }),
                    leader: Some(Leader {
                        addr,
                        election_ts,
                        connected: self.dice.coin(),
                    }),
                    host_health: &[],
                }))
            }
            6 => answer(MgmtAckMethod::Pong(Pong {})),
            _ => self.junk(),
        }
    }

    /// What a hostile voter can break, and nobody is to blame for.
    pub(super) fn is_excused(&self, what: Invariant) -> bool {
        let votes = [
            Invariant::OneLeader,
            Invariant::TokensGrow,
            Invariant::VotesAreBacked,
        ];
        self.hostile_voted && votes.contains(&what)
    }
}
