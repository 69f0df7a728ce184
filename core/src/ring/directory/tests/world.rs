//! One directory and a peer that says what the test wants.

extern crate std;

use std::string::String;
use std::vec;
use std::vec::Vec;

use trefoil_proto::control_plane::{
    ActorIdsReply, ExpiryAnnounce, OwnerChangeAck, OwnershipAnnounce,
};
use trefoil_proto::wire::{Decode, Encode};

use super::super::*;
use crate::id::MethodId;
use crate::ring::placement::PlacementConfig;
use crate::status::Cause;
use crate::testing::{FakeIo, Opened, OwnedStatus};
use crate::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Changed(u64, Option<NodeId>),
    Lost(u64, NodeId),
    Kept(u64),
    Ready(bool),
    Candidate(String),
    Misbehaved(Option<NodeId>),
}

pub(super) struct World {
    pub(super) directory: Directory,
    pub(super) io: FakeIo,
    pub(super) now: Instant,
    pub(super) heard: Vec<Heard>,
}

pub(super) fn bytes(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode_to_slice(&mut bytes).unwrap();
    bytes
}

pub(super) fn config(host: &str) -> DirectoryConfig {
    DirectoryConfig {
        host: host.into(),
        seed: 7,
        ..DirectoryConfig::lan()
    }
}

pub(super) fn placement() -> Placement {
    Placement::new(PlacementConfig {
        slots_log2: 10,
        ..PlacementConfig::default()
    })
    .unwrap()
}

pub(super) fn hear(heard: &mut Vec<Heard>, event: DirectoryEvent<'_>) {
    heard.push(match event {
        DirectoryEvent::Changed { id, owner } => Heard::Changed(id, owner),
        DirectoryEvent::Lost { id, winner } => Heard::Lost(id, winner),
        DirectoryEvent::Kept { id } => Heard::Kept(id),
        DirectoryEvent::Ready(ready) => Heard::Ready(ready),
        DirectoryEvent::Candidate { host } => Heard::Candidate(host.into()),
        DirectoryEvent::Misbehaved { node, .. } => Heard::Misbehaved(node),
    });
}

pub(super) const ME: NodeId = NodeId(0);
pub(super) const B: NodeId = NodeId(1);
pub(super) const C: NodeId = NodeId(2);

impl World {
    /// A node "a" that knows the names "b" and "c".
    pub(super) fn new() -> Self {
        Self::with(config("a"))
    }

    pub(super) fn with(config: DirectoryConfig) -> Self {
        let mut io = FakeIo::default();
        for name in ["a", "b", "c"] {
            io.node(name).unwrap();
        }
        let directory = Directory::new(config, placement()).unwrap();
        Self {
            directory,
            io,
            now: Instant::from_millis(1_000),
            heard: Vec::new(),
        }
    }

    /// The same, with `b` and `c` admitted and their empty lists fetched.
    pub(super) fn of_three() -> Self {
        let mut world = Self::new();
        for node in [B, C] {
            let fetch = world.up(node, false);
            world.list(&fetch, &[]);
        }
        world.heard.clear();
        world
    }

    pub(super) fn command(
        &mut self,
        command: DirectoryCommand<'_>,
    ) -> Result<(), DirectoryRefused> {
        let Self {
            directory,
            io,
            now,
            heard,
        } = self;
        directory.handle_command(*now, command, io, &mut |event: DirectoryEvent<'_>| {
            hear(heard, event)
        })
    }

    pub(super) fn event(&mut self, stream: StreamId, tag: Tag, event: StreamIn<'_>) {
        let Self {
            directory,
            io,
            now,
            heard,
        } = self;
        directory.handle_stream(
            *now,
            stream,
            tag,
            event,
            io,
            &mut |event: DirectoryEvent<'_>| hear(heard, event),
        );
    }

    /// Admits a node; the request for its ids.
    pub(super) fn up(&mut self, node: NodeId, legacy: bool) -> Opened {
        let host = String::from(self.io.name(node));
        let command = DirectoryCommand::MemberUp {
            node,
            host: &host,
            weight: Weight::ONE,
            legacy,
        };
        self.command(command).unwrap();
        self.opened(node, control_plane::LOCAL_ACTOR_IDS)
    }

    pub(super) fn down(&mut self, node: NodeId) {
        self.command(DirectoryCommand::MemberDown { node }).unwrap();
    }

    pub(super) fn claim(&mut self, id: u64) {
        self.directory.claim(self.now, id, &mut self.io);
    }

    /// The one call of this kind that was opened to `node`.
    pub(super) fn opened(&mut self, node: NodeId, method: MethodId) -> Opened {
        let at = self
            .io
            .opened
            .iter()
            .position(|call| call.to == node && call.method == method);
        self.io.opened.remove(
            at.unwrap_or_else(|| panic!("no call {method:?} to {node:?}: {:?}", self.io.opened)),
        )
    }

    /// Advances to the next due time.
    pub(super) fn sleep(&mut self) {
        self.now = self.directory.poll_timeout().unwrap();
        self.tick();
    }

    pub(super) fn tick(&mut self) {
        let Self {
            directory,
            io,
            now,
            heard,
        } = self;
        directory.handle_timeout(*now, io, &mut |event: DirectoryEvent<'_>| {
            hear(heard, event)
        });
        assert!(
            directory.poll_timeout().is_none_or(|due| due > *now),
            "due again at once"
        );
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self
            .directory
            .poll_timeout()
            .is_some_and(|due| due <= until)
        {
            self.sleep();
        }
        self.now = until;
    }

    /// Lets time pass until this node calls.
    pub(super) fn sleep_until_called(&mut self, node: NodeId, method: MethodId) {
        for _ in 0..100 {
            if self
                .io
                .opened
                .iter()
                .any(|call| call.to == node && call.method == method)
            {
                return;
            }
            self.sleep();
        }
        panic!("{node:?} is never called");
    }

    /// A peer calls; what it is answered, and how the call ended.
    pub(super) fn serve(
        &mut self,
        from: Option<NodeId>,
        method: MethodId,
        request: &[u8],
    ) -> (Vec<Vec<u8>>, OwnedStatus) {
        let stream = self.io.accept();
        let header = crate::header::Header::EMPTY;
        self.event(
            stream,
            Tag::NEW,
            StreamIn::Accepted {
                from,
                method,
                header,
                deadline: None,
                trusted: true,
            },
        );
        let (adopted, tag) = self.io.adopted.pop().unwrap();
        assert_eq!((adopted, tag.machine()), (stream, MACHINE));
        self.event(stream, tag, StreamIn::Frame(request));
        (
            self.io.take_frames(stream),
            self.io.take_end(stream).unwrap(),
        )
    }

    fn acknowledged(
        &mut self,
        from: Option<NodeId>,
        method: MethodId,
        request: &[u8],
    ) -> (bool, String) {
        let (frames, status) = self.serve(from, method, request);
        assert_eq!((frames.len(), status.code), (1, Code::Ok));
        let ack = OwnerChangeAck::parse(&frames[0]).unwrap();
        (ack.accepted, ack.message.into())
    }

    fn node_of(host: &str) -> Option<NodeId> {
        let at = ["a", "b", "c"].iter().position(|name| *name == host)?;
        Some(NodeId(at as u32))
    }

    /// `host` claims ids by a call from the node of that name.
    pub(super) fn announced(&mut self, host: &str, ids: &[u64]) -> (bool, String) {
        let request = bytes(&OwnershipAnnounce { host, ids });
        self.acknowledged(
            Self::node_of(host),
            control_plane::ANNOUNCE_OWNERSHIP,
            &request,
        )
    }

    pub(super) fn expired(&mut self, host: &str, ids: &[u64]) -> (bool, String) {
        let request = bytes(&ExpiryAnnounce { host, ids });
        self.acknowledged(
            Self::node_of(host),
            control_plane::ANNOUNCE_EXPIRY,
            &request,
        )
    }

    /// Answers a call this node made.
    pub(super) fn answer(&mut self, call: &Opened, reply: &[u8]) {
        self.event(call.stream, call.tag, StreamIn::Frame(reply));
        self.event(call.stream, call.tag, StreamIn::Ended(Status::OK));
    }

    pub(super) fn acknowledge(&mut self, call: &Opened, accepted: bool, message: &str) {
        self.answer(call, &bytes(&OwnerChangeAck { accepted, message }));
    }

    /// Answers a request for ids.
    pub(super) fn list(&mut self, call: &Opened, ids: &[u64]) {
        self.answer(call, &bytes(&ActorIdsReply { ids }));
    }

    /// A call this node made fails.
    pub(super) fn fail(&mut self, call: &Opened) {
        let status = Status::new(Code::Unavailable, "").caused_by(Cause::Lost);
        self.event(call.stream, call.tag, StreamIn::Ended(status));
    }

    /// What an announcement of claims said.
    pub(super) fn claims_in(&mut self, call: &Opened) -> Vec<u64> {
        let frame = self.io.take_frames(call.stream).remove(0);
        let message = OwnershipAnnounce::parse(&frame).unwrap();
        assert_eq!(message.host, "a");
        message.ids.iter().map(Result::unwrap).collect()
    }

    pub(super) fn expiries_in(&mut self, call: &Opened) -> Vec<u64> {
        let frame = self.io.take_frames(call.stream).remove(0);
        let message = ExpiryAnnounce::parse(&frame).unwrap();
        assert_eq!(message.host, "a");
        message.ids.iter().map(Result::unwrap).collect()
    }

    /// Ids for which `winner` ranks above `loser`.
    pub(super) fn won_by(
        &self,
        winner: NodeId,
        loser: NodeId,
    ) -> impl Iterator<Item = u64> + use<> {
        let placement = self.directory.placement().clone();
        (1..).filter(move |id| placement.rank(winner.0, *id) > placement.rank(loser.0, *id))
    }

    /// An id that is placed on `node`.
    pub(super) fn placed_on(&self, node: NodeId) -> u64 {
        (1..)
            .find(|id| self.directory.placement().owner(*id) == Some(node.0))
            .unwrap()
    }

    pub(super) fn owner(&self, id: u64) -> Option<NodeId> {
        self.directory.claimant(id)
    }
}
