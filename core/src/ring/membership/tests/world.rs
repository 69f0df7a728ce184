//! One membership, the streams it sees, and what it does.

extern crate std;

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

use trefoil_proto::control_plane::{ClosingNotice, NegotiateReply, NegotiateRequest, PingReply};
use trefoil_proto::wire::{Decode, Encode};

use crate::header::{Header, HeaderWriter};
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity::Identity;
use crate::machine::{Io, Machine};
use crate::method::control_plane::{CLOSING, NEGOTIATE, PING};
use crate::ring::membership::{
    DownReason, Membership, MembershipCommand, MembershipConfig, MembershipEvent, MembershipRefused,
};
use crate::status::{Cause, Code, Status};
use crate::stream::StreamIn;
use crate::testing::{FakeIo, Opened, OwnedStatus};
use crate::time::{Duration, Instant};

/// What was told, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Up(String, u64, bool),
    Suspected(String),
    Cleared(String),
    Draining(String),
    Down(String, DownReason),
    Majority(bool),
    Left,
    Misbehaved(Option<NodeId>),
}

pub(super) struct World {
    pub(super) machine: Membership,
    pub(super) io: FakeIo,
    pub(super) now: Instant,
    pub(super) told: Vec<Told>,
    /// Calls the machine made that have not been answered.
    pub(super) calls: Vec<Opened>,
}

pub(super) fn encoded(message: &impl Encode) -> Vec<u8> {
    let mut bytes = std::vec![0; message.encoded_len()];
    message.encode_to_slice(&mut bytes).unwrap();
    bytes
}

/// The metadata of one of ours, and a mark.
pub(super) fn ours(name: &str, incarnation: u64, mark: Option<&str>) -> Vec<u8> {
    let mut buf = [0; 512];
    let mut writer = HeaderWriter::new(&mut buf);
    let (boot, placement, store, electorate, features) = (1, 0, 0, 0, 0);
    let identity = Identity {
        node: name,
        boot,
        incarnation,
        cluster: "c",
        placement,
        store,
        electorate,
        features,
    };
    identity.write(&mut writer).unwrap();
    if let Some(mark) = mark {
        writer.push(mark, b"1").unwrap();
    }
    writer.finish().0.to_vec()
}

impl World {
    /// The node `me:1`, alone, started.
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut MembershipConfig)) -> Self {
        let mut config = MembershipConfig {
            host: "me:1".into(),
            ..MembershipConfig::lan()
        };
        change(&mut config);
        let mut io = FakeIo::default();
        io.node("me:1").unwrap();
        let machine = Membership::new(config).unwrap();
        let now = Instant::from_millis(1_000);
        let mut world = Self {
            machine,
            io,
            now,
            told: Vec::new(),
            calls: Vec::new(),
        };
        world.tick();
        world
    }

    pub(super) fn node(&mut self, name: &str) -> NodeId {
        self.io.node(name).unwrap()
    }

    fn enter<R>(
        &mut self,
        run: impl FnOnce(
            &mut Membership,
            Instant,
            &mut FakeIo,
            &mut dyn crate::machine::Events<Membership>,
        ) -> R,
    ) -> R {
        let mut raw = Vec::new();
        let mut up = |event: MembershipEvent<'_>| {
            raw.push(match event {
                MembershipEvent::Up {
                    node,
                    host,
                    incarnation,
                    legacy,
                } => (node, Told::Up(host.to_owned(), incarnation, legacy)),
                MembershipEvent::Suspected { node } => (node, Told::Suspected(String::new())),
                MembershipEvent::Cleared { node } => (node, Told::Cleared(String::new())),
                MembershipEvent::Draining { node } => (node, Told::Draining(String::new())),
                MembershipEvent::Down { node, reason } => (node, Told::Down(String::new(), reason)),
                MembershipEvent::Majority(majority) => (NodeId(0), Told::Majority(majority)),
                MembershipEvent::Left => (NodeId(0), Told::Left),
                MembershipEvent::Misbehaved { node, .. } => (NodeId(0), Told::Misbehaved(node)),
            });
        };
        let result = run(&mut self.machine, self.now, &mut self.io, &mut up);
        for (node, mut told) in raw {
            if let Told::Suspected(name)
            | Told::Cleared(name)
            | Told::Draining(name)
            | Told::Down(name, _) = &mut told
            {
                *name = self.io.name(node).to_owned();
            }
            self.told.push(told);
        }
        self.calls.extend(self.io.take_opened());
        result
    }

    pub(super) fn tick(&mut self) {
        self.enter(|machine, now, io, up| machine.handle_timeout(now, io, up));
    }

    /// Lets time pass, each due time taken when it comes.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.tick();
            assert!(
                self.machine.poll_timeout().is_none_or(|next| next > due),
                "nothing was done at a due time"
            );
        }
        self.now = until;
    }

    /// Lets time pass while nobody answers: calls end at their deadlines.
    pub(super) fn silence(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let deadlines = self.calls.iter().filter_map(|call| call.deadline);
            let next = deadlines.chain(self.machine.poll_timeout()).min();
            let next = next.map_or(until, |due| due.min(until));
            self.pass(next.since(self.now));
            let (over, rest) = core::mem::take(&mut self.calls)
                .into_iter()
                .partition::<Vec<Opened>, _>(|call| {
                    call.deadline.is_some_and(|due| due <= self.now)
                });
            self.calls = rest;
            for call in over {
                self.fail(&call, Cause::Deadline);
            }
        }
    }

    pub(super) fn command(
        &mut self,
        command: MembershipCommand<'_>,
    ) -> Result<(), MembershipRefused> {
        self.enter(|machine, now, io, up| machine.handle_command(now, command, io, up))
    }

    /// Some event of a stream.
    pub(super) fn event(&mut self, stream: StreamId, tag: Tag, event: StreamIn<'_>) {
        self.enter(|machine, now, io, up| machine.handle_stream(now, stream, tag, event, io, up));
    }

    /// A call arrives and has sent its message; its stream and tag.
    pub(super) fn call(
        &mut self,
        from: Option<&str>,
        method: MethodId,
        header: &[u8],
        frame: &[u8],
    ) -> (StreamId, Tag) {
        let stream = self.io.accept();
        let from = from.map(|name| self.node(name));
        let accepted = StreamIn::Accepted {
            from,
            method,
            header: Header(header),
            deadline: None,
            trusted: true,
        };
        self.event(stream, Tag::NEW, accepted);
        let tag = self
            .io
            .adopted
            .iter()
            .rev()
            .find(|(s, _)| *s == stream)
            .map_or(Tag::NEW, |(_, tag)| *tag);
        self.event(stream, tag, StreamIn::Frame(frame));
        (stream, tag)
    }

    /// A call of one of ours; what it is answered.
    pub(super) fn called_by(
        &mut self,
        name: &str,
        incarnation: u64,
        method: MethodId,
        frame: &[u8],
    ) -> OwnedStatus {
        let (stream, _) = self.call(Some(name), method, &ours(name, incarnation, None), frame);
        self.io.take_end(stream).unwrap()
    }

    pub(super) fn negotiate(
        &mut self,
        from: Option<&str>,
        known: &[&str],
    ) -> Result<Vec<String>, OwnedStatus> {
        let header = from.map_or(Vec::new(), |name| ours(name, 1, None));
        let (stream, _) = self.call(
            from,
            NEGOTIATE,
            &header,
            &encoded(&NegotiateRequest { known_hosts: known }),
        );
        self.hosts_of(stream)
    }

    /// The hosts an accepted Negotiate was answered.
    pub(super) fn hosts_of(&mut self, stream: StreamId) -> Result<Vec<String>, OwnedStatus> {
        let end = self.io.take_end(stream).unwrap();
        let frames = self.io.take_frames(stream);
        let Some(frame) = frames.first() else {
            return Err(end);
        };
        assert_eq!(end.code, Code::Ok);
        let reply = NegotiateReply::parse(frame).unwrap();
        Ok(reply
            .hosts
            .iter()
            .map(|host| host.unwrap().to_owned())
            .collect())
    }

    pub(super) fn closing(
        &mut self,
        from: Option<(&str, u64)>,
        mark: Option<&str>,
        host: &str,
    ) -> OwnedStatus {
        let header = from.map_or(Vec::new(), |(name, incarnation)| {
            ours(name, incarnation, mark)
        });
        let from = from.map(|(name, _)| name);
        let (stream, _) = self.call(from, CLOSING, &header, &encoded(&ClosingNotice { host }));
        self.io.take_end(stream).unwrap()
    }

    /// Takes the open calls of `method` to `name`.
    pub(super) fn take(&mut self, name: &str, method: MethodId) -> Vec<Opened> {
        let node = self.node(name);
        let (mine, rest) = core::mem::take(&mut self.calls)
            .into_iter()
            .partition(|call| call.to == node && call.method == method);
        self.calls = rest;
        mine
    }

    /// What a call of this node said.
    pub(super) fn said(&mut self, call: &Opened) -> Vec<u8> {
        self.io.take_frames(call.stream).remove(0)
    }

    pub(super) fn asked_about(&mut self, call: &Opened) -> Vec<String> {
        let frame = self.said(call);
        let request = NegotiateRequest::parse(&frame).unwrap();
        request
            .known_hosts
            .iter()
            .map(|host| host.unwrap().to_owned())
            .collect()
    }

    /// Answers a call: `incarnation` if the peer is one of ours.
    pub(super) fn answer(&mut self, call: &Opened, incarnation: Option<u64>, frame: &[u8]) {
        if let Some(incarnation) = incarnation {
            let name = self.io.name(call.to).to_owned();
            let header = ours(&name, incarnation, None);
            self.event(call.stream, call.tag, StreamIn::Header(Header(&header)));
        }
        self.event(call.stream, call.tag, StreamIn::Frame(frame));
        self.event(call.stream, call.tag, StreamIn::Ended(Status::OK));
    }

    /// Answers every open ping of a host.
    pub(super) fn pong(&mut self, name: &str, incarnation: Option<u64>) -> usize {
        let pings = self.take(name, PING);
        for ping in &pings {
            self.answer(
                ping,
                incarnation,
                &encoded(&PingReply {
                    host: name,
                    unix_time: 7,
                }),
            );
        }
        pings.len()
    }

    pub(super) fn fail(&mut self, call: &Opened, cause: Cause) {
        let status = Status::new(Code::Unavailable, "").caused_by(cause);
        self.event(call.stream, call.tag, StreamIn::Ended(status));
    }

    /// Fails every open ping of a host; how many there were.
    pub(super) fn no_pong(&mut self, name: &str) -> usize {
        let pings = self.take(name, PING);
        for ping in &pings {
            self.fail(ping, Cause::Deadline);
        }
        pings.len()
    }

    /// Answers the open questions to `name` that are marked as such; how many there were.
    pub(super) fn vote(&mut self, name: &str, hosts: &[&str]) -> usize {
        let asks: Vec<Opened> = self.take(name, NEGOTIATE);
        let (asks, exchanges): (Vec<Opened>, Vec<Opened>) = asks
            .into_iter()
            .partition(|call| Header(&call.header).value(crate::identity::PROBE).is_some());
        self.calls.extend(exchanges);
        for ask in &asks {
            self.answer(ask, Some(1), &encoded(&NegotiateReply { hosts }));
        }
        asks.len()
    }

    /// Makes `names` members, with nothing open.
    pub(super) fn members(names: &[&str]) -> Self {
        let mut world = Self::new();
        world.admit(names);
        world
    }

    pub(super) fn admit(&mut self, names: &[&str]) {
        for name in names {
            self.called_by(name, 1, PING, &[]);
            assert_eq!(self.pong(name, Some(1)), 1, "one that called is measured");
        }
        self.settle();
    }

    /// Forgets what happened so far.
    pub(super) fn settle(&mut self) {
        for call in core::mem::take(&mut self.calls) {
            let hosts: Vec<String> = self
                .machine
                .members()
                .map(|member| member.host.to_owned())
                .collect();
            let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
            if call.method == NEGOTIATE {
                self.answer(
                    &call,
                    Some(1),
                    &encoded(&NegotiateReply { hosts: &hosts[..] }),
                );
            }
        }
        self.calls.clear();
        self.told.clear();
        self.io.frames.clear();
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.machine.members().any(|member| member.host == name)
    }
}
