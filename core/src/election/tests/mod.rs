//! The machine against a scripted world: who may say what, where it counts, and when something is due.

extern crate std;

mod electorates;
mod followers;
mod hostile;
mod redhac;
mod rules;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use trefoil_proto::cache::{
    Ack, AckMethod, CacheRequest, CacheRequestMethod, Del, Get, Health, HostHealth, Insert,
    LeaderInfo, LeaderReq, LeaderReqAck, MgmtAck, MgmtAckMethod, MgmtRequest, MgmtRequestMethod,
    Put, Remove,
};
use trefoil_proto::wire::{Decode, Encode};

use super::elector::Role;
use super::*;
use crate::header::{Header, HeaderWriter};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::method::cache::STREAM_VALUES;
use crate::status::{Cause, Code, Status};
use crate::testing::FakeIo;
use crate::time::Duration;

const VOTERS: [&str; 3] = ["http://v0:1", "v1:1", "v2:1"];
const NOON: i64 = 1_770_000_000_000_000_000;

/// A voter of three, the first in the list, in a world that only records.
struct Bench {
    election: Election,
    io: FakeIo,
    now: Instant,
    told: Vec<String>,
}

fn encode(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode_to_slice(&mut bytes).unwrap();
    bytes
}

fn asks(method: MgmtRequestMethod<'_>) -> Vec<u8> {
    encode(&CacheRequest {
        method: Some(CacheRequestMethod::MgmtReq(MgmtRequest {
            method: Some(method),
        })),
    })
}

fn asks_vote(addr: &str, ts: i64) -> Vec<u8> {
    asks(MgmtRequestMethod::LeaderReq(LeaderReq {
        addr,
        election_ts: ts,
    }))
}

type Said<'a> = MgmtAckMethod<'a, &'a [HostHealth<'a>]>;

fn says(method: Said<'_>) -> Vec<u8> {
    encode(&Ack {
        method: Some(AckMethod::MgmtAck(MgmtAck {
            method: Some(method),
        })),
    })
}

fn says_free() -> Vec<u8> {
    says(Said::LeaderInfo(LeaderInfo {
        addr: None,
        election_ts: 0,
        has_quorum: true,
    }))
}

fn votes(ts: i64) -> Vec<u8> {
    says(Said::LeaderReqAck(LeaderReqAck {
        addr: VOTERS[0],
        election_ts: ts,
    }))
}

impl Bench {
    fn with(change: impl FnOnce(&mut ElectionConfig)) -> Self {
        let mut config = ElectionConfig {
            unix_origin: NOON,
            memory: Memory::Kept { first: true },
            pre_vote: false,
            ..ElectionConfig::lan(0, &VOTERS)
        };
        change(&mut config);
        let mut bench = Self {
            election: Election::new(config).unwrap(),
            io: FakeIo::default(),
            now: Instant::from_millis(1),
            told: Vec::new(),
        };
        bench.timeout();
        bench.recalled();
        bench
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    fn recalled(&mut self) {
        if self.election.phase == Phase::Recalling {
            let none = Done::Value {
                revision: 0,
                value: &[],
            };
            self.done(RECALL, none);
        }
    }

    fn done(&mut self, what: u64, done: Done<'_>) {
        let told = &mut self.told;
        let tag = Tag::new(MACHINE, what);
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        (self.election).handle_done(self.now, tag, done, &mut self.io, &mut up);
    }

    /// Everything that is being kept is durable.
    fn kept(&mut self) {
        let keeps = self
            .io
            .submitted
            .iter()
            .filter(|(tag, _)| tag.rest() == KEEP)
            .count();
        self.io.submitted.clear();
        for _ in 0..keeps {
            self.done(KEEP, Done::Durable { sequence: 1 });
        }
    }

    fn timeout(&mut self) {
        let told = &mut self.told;
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        self.election
            .handle_timeout(self.now, &mut self.io, &mut up);
    }

    fn stream(&mut self, stream: StreamId, tag: Tag, event: StreamIn<'_>) {
        let told = &mut self.told;
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        (self.election).handle_stream(self.now, stream, tag, event, &mut self.io, &mut up);
    }

    fn command(&mut self, command: ElectionCommand<'_>) -> Result<(), ElectionRefused> {
        let told = &mut self.told;
        let mut up = |event: ElectionEvent<'_>| told.push(std::format!("{event:?}"));
        (self.election).handle_command(self.now, command, &mut self.io, &mut up)
    }

    /// Goes on until `end`, by what is due.
    fn pass(&mut self, end: Instant) {
        while let Some(due) = self.election.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.timeout();
        }
        self.now = end;
    }

    /// A stream of a voter, or of somebody who says nothing of himself.
    fn accept(&mut self, from: Option<usize>) -> StreamId {
        self.accept_with(from, Header::EMPTY)
    }

    fn accept_with(&mut self, from: Option<usize>, header: Header<'_>) -> StreamId {
        let stream = self.io.accept();
        // Numbers are given in the order of the list, without this voter.
        let from = from.map(|voter| NodeId(voter as u32 - 1));
        let event = StreamIn::Accepted {
            from,
            method: STREAM_VALUES,
            header,
            deadline: None,
            trusted: false,
        };
        self.stream(stream, Tag::NEW, event);
        stream
    }

    fn called(&mut self, stream: StreamId, bytes: &[u8]) {
        self.stream(stream, speech::CALLED, StreamIn::Frame(bytes));
    }

    /// The stream that this voter opened to another.
    fn dialled(&mut self, seat: u8) -> StreamId {
        self.election.peers.at(Seat(seat)).stream.unwrap()
    }

    fn answered(&mut self, seat: u8, stream: StreamId, bytes: &[u8]) {
        self.stream(stream, speech::dialled(Seat(seat)), StreamIn::Frame(bytes));
    }

    /// The voter that was dialled answers, and says that it is one of ours or says nothing of itself.
    fn greeted(&mut self, seat: u8, kin: Kin) {
        let stream = self.dialled(seat);
        let mut bytes = [0; 512];
        let mut header = HeaderWriter::new(&mut bytes);
        if kin == Kin::Ours {
            let identity = Identity {
                node: VOTERS[usize::from(seat)],
                boot: 1,
                incarnation: 1,
                cluster: "c",
                placement: 0,
                store: 0,
                electorate: 0,
                features: 0,
            };
            identity.write(&mut header).unwrap();
        }
        let header = StreamIn::Header(header.finish());
        self.stream(stream, speech::dialled(Seat(seat)), header);
    }

    /// Both others have answered, and this voter is a candidate that has asked them.
    fn candidate() -> (Self, Token) {
        let mut bench = Self::new();
        bench.connect();
        bench.command(ElectionCommand::Campaign).unwrap();
        bench.timeout();
        bench.kept();
        let Role::Candidate(token) = bench.election.elector.role() else {
            panic!("it does not ask");
        };
        (bench, token)
    }

    fn connect(&mut self) {
        self.timeout();
        for seat in [1, 2] {
            let stream = self.dialled(seat);
            self.greeted(seat, Kin::Ours);
            self.answered(seat, stream, &says_free());
        }
    }

    fn leader() -> (Self, Token) {
        let (mut bench, token) = Self::candidate();
        let stream = bench.dialled(1);
        bench.answered(1, stream, &votes(token.to_wire()));
        assert!(bench.election.leads(bench.now));
        (bench, token)
    }
}

/// What the frames of a stream of ours grant or tell.
fn answers(bench: &mut Bench, stream: StreamId) -> Vec<String> {
    let frames = bench.io.take_frames(stream);
    frames
        .iter()
        .map(|bytes| std::format!("{:?}", Ack::parse(bytes).unwrap().method))
        .collect()
}

fn requests(bench: &mut Bench, stream: StreamId) -> usize {
    said_on(bench, stream, "LeaderReq(")
}

fn switches(bench: &mut Bench, stream: StreamId) -> usize {
    said_on(bench, stream, "LeaderSwitchPriority(")
}

/// How many of the frames of a stream that this voter opened say it.
fn said_on(bench: &mut Bench, stream: StreamId, what: &str) -> usize {
    let frames = bench.io.take_frames(stream);
    let says_it =
        |bytes: &&Vec<u8>| std::format!("{:?}", CacheRequest::parse(bytes).unwrap()).contains(what);
    frames.iter().filter(says_it).count()
}
