//! What operators are answered.

use super::*;
use crate::channels::worker::WorkerConfig;
use crate::header::Header;
use crate::machine::Machine;
use crate::node::channels::{ChannelsConfig, ChannelsEvent};
use crate::storage::{Done, OwnerId, Values};
use crate::testing::{FakeIo, OwnedStatus};
use trefoil_proto::channels::{CreateReply, CreateRequest};

fn ignore(_: ChannelsEvent<'_>) {}

struct World {
    channels: Channels,
    io: FakeIo,
}

impl World {
    fn new() -> Self {
        let config = ChannelsConfig {
            worker: WorkerConfig::new(1, OwnerId(1)),
            ..ChannelsConfig::default()
        };
        Self {
            channels: Channels::new(config, "a:1", 1).unwrap(),
            io: FakeIo::default(),
        }
    }

    /// One that coordinates two nodes.
    fn serving() -> Self {
        let mut world = Self::new();
        for (server_id, address) in [(1, "a:1"), (2, "b:1")] {
            let up = CoordinatorCommand::NodeUp {
                server_id,
                address,
                weight: 1,
            };
            world.command(up).unwrap();
        }
        world
            .command(CoordinatorCommand::Lead { token: 1 })
            .unwrap();
        let value = Done::Value {
            revision: 0,
            value: &[],
        };
        // The fence as the catalog has it: its version, and the token.
        let fence = Done::Value {
            revision: 1,
            value: &[1, 0, 0, 0, 0, 0, 0, 0, 1],
        };
        for done in [
            value,
            Done::Durable { sequence: 1 },
            Done::Values(Values(&[])),
            fence,
        ] {
            let (tag, _) = world.io.submitted.pop().unwrap();
            let io = &mut world.io;
            world
                .channels
                .handle_done(Instant::ZERO, tag, done, io, &mut ignore);
        }
        assert!(world.channels.coordinator().is_serving());
        world
    }

    fn command(&mut self, command: CoordinatorCommand<'_>) -> Result<(), CoordinatorRefused> {
        self.channels
            .command(Instant::ZERO, command, &mut self.io, &mut ignore)
    }

    /// What a call is answered, and how it ended.
    fn call(
        &mut self,
        method: MethodId,
        request: &impl Encode,
        trusted: bool,
    ) -> (Vec<u8>, OwnedStatus) {
        let mut bytes = alloc::vec![0; request.encoded_len()];
        request.encode_to_slice(&mut bytes).unwrap();
        let stream = self.io.accept();
        let accepted = StreamIn::Accepted {
            from: None,
            method,
            header: Header::EMPTY,
            deadline: None,
            trusted,
        };
        let (channels, io) = (&mut self.channels, &mut self.io);
        handle_stream(
            Instant::ZERO,
            stream,
            Tag::NEW,
            accepted,
            channels,
            io,
            &mut ignore,
        );
        if let Some((adopted, tag)) = io.adopted.pop() {
            let event = StreamIn::Frame(&bytes);
            handle_stream(
                Instant::ZERO,
                adopted,
                tag,
                event,
                channels,
                io,
                &mut ignore,
            );
        }
        let end = io.take_end(stream).unwrap();
        let answer = io.frames.pop().map(|(_, bytes)| bytes);
        (answer.unwrap_or_default(), end)
    }

    /// The stream on which channels are asked for.
    fn ask_for(&mut self, names: &CreateRequest<&[&str]>) -> StreamId {
        let mut bytes = alloc::vec![0; names.encoded_len()];
        names.encode_to_slice(&mut bytes).unwrap();
        let stream = self.io.accept();
        let tag = Tag::new(MACHINE, u64::from(channels::CREATE.0));
        let (channels, io) = (&mut self.channels, &mut self.io);
        let frame = StreamIn::Frame(&bytes);
        handle_stream(Instant::ZERO, stream, tag, frame, channels, io, &mut ignore);
        stream
    }

    fn drains(&self) -> Vec<bool> {
        let nodes = self.channels.coordinator().nodes();
        nodes.map(|node| node.drains).collect()
    }
}

#[test]
fn a_node_is_drained_and_taken_back() {
    let mut world = World::serving();
    let drain = DrainRequest {
        host: "b:1",
        timeout_ms: 0,
    };
    let (answer, _) = world.call(channels::DRAIN, &drain, true);
    assert!(DrainReply::parse(&answer).unwrap().accepted);
    assert_eq!(world.drains(), [false, true]);
    let undrain = UndrainRequest { host: "b:1" };
    let (answer, end) = world.call(channels::UNDRAIN, &undrain, true);
    assert_eq!(end.code, Code::Ok);
    assert!(UndrainReply::parse(&answer).unwrap().accepted);
    assert_eq!(world.drains(), [false, false]);
    let nowhere = UndrainRequest { host: "c:1" };
    let (answer, _) = world.call(channels::UNDRAIN, &nowhere, true);
    let reply = UndrainReply::parse(&answer).unwrap();
    assert_eq!(
        (reply.accepted, reply.message),
        (false, codes::NO_SUCH_NODE)
    );
}

#[test]
fn only_callers_that_are_trusted_change_anything_and_only_the_leader_does() {
    let mut world = World::serving();
    for method in [
        channels::CREATE,
        channels::MOVE,
        channels::DRAIN,
        channels::UNDRAIN,
    ] {
        let undrain = UndrainRequest { host: "b:1" };
        let (_, end) = world.call(method, &undrain, false);
        assert_eq!(end.code, Code::PermissionDenied);
        let (_, end) = World::new().call(method, &undrain, true);
        assert_eq!(end.code, Code::FailedPrecondition);
        assert!(end.message.starts_with("TF-L20"), "{}", end.message);
    }
}

#[test]
fn who_asks_for_a_channel_is_answered_when_the_catalog_has_it() {
    let mut world = World::serving();
    let ask = CreateRequest { names: &["c"][..] };
    let mut bytes = alloc::vec![0; ask.encoded_len()];
    ask.encode_to_slice(&mut bytes).unwrap();
    let streams = [0; 2].map(|_| {
        let stream = world.io.accept();
        for event in [
            StreamIn::Accepted {
                from: None,
                method: channels::CREATE,
                header: Header::EMPTY,
                deadline: None,
                trusted: true,
            },
            StreamIn::Frame(&bytes),
            StreamIn::HalfClosed,
        ] {
            let tag = Tag::new(MACHINE, u64::from(channels::CREATE.0));
            let (channels, io) = (&mut world.channels, &mut world.io);
            handle_stream(Instant::ZERO, stream, tag, event, channels, io, &mut ignore);
        }
        world.channels.answer_creations(&mut world.io);
        assert!(world.io.take_end(stream).is_none(), "it is not written yet");
        stream
    });
    let (tag, _) = world.io.submitted.pop().unwrap();
    let (channels, io) = (&mut world.channels, &mut world.io);
    let done = Done::Durable { sequence: 1 };
    channels.handle_done(Instant::ZERO, tag, done, io, &mut ignore);
    channels.answer_creations(io);
    // It is counted where it was asked for first.
    for (stream, created) in streams.into_iter().zip([1, 0]) {
        assert_eq!(io.take_end(stream).unwrap().code, Code::Ok);
        let answer = io.take_frames(stream).pop().unwrap();
        assert_eq!(CreateReply::parse(&answer).unwrap().created, created);
    }
}

#[test]
fn who_asks_for_a_channel_that_the_catalog_cannot_have_is_told_why() {
    let mut world = World::serving();
    let names = CreateRequest {
        names: &["bad", "good", "good"][..],
    };
    let stream = world.ask_for(&names);
    let (channels, io) = (&mut world.channels, &mut world.io);
    // One key holds something already; what it is, is no meta of a channel.
    channels.answer_creations(io);
    let writes = core::mem::take(&mut io.submitted);
    assert_eq!(writes.len(), 2);
    let conflict = Done::Conflict { current: 7 };
    for (done, (tag, _)) in [conflict, Done::Durable { sequence: 1 }].iter().zip(writes) {
        channels.handle_done(Instant::ZERO, tag, *done, io, &mut ignore);
    }
    let (tag, _) = io.submitted.pop().unwrap();
    let found = Done::Value {
        revision: 7,
        value: b"\xff\xff",
    };
    channels.handle_done(Instant::ZERO, tag, found, io, &mut ignore);
    channels.answer_creations(io);
    assert_eq!(io.take_end(stream).unwrap().code, Code::Ok);
    let (_, answer) = io.frames.pop().unwrap();
    let CreateReply { created, message } = CreateReply::parse(&answer).unwrap();
    assert_eq!(created, 1);
    assert!(message.starts_with("TF-L32"), "{message}");
    // And whoever asks again, at once.
    let (answer, end) = world.call(channels::CREATE, &names, true);
    assert_eq!(end.code, Code::Ok);
    let reply = CreateReply::parse(&answer).unwrap();
    assert_eq!((reply.created, reply.message), (0, message));
}

#[test]
fn who_asked_for_a_channel_of_a_leader_that_leads_no_more_is_told_to_ask_another() {
    let mut world = World::serving();
    let names = CreateRequest { names: &["c"][..] };
    let stream = world.ask_for(&names);
    let (channels, io) = (&mut world.channels, &mut world.io);
    channels.answer_creations(io);
    world.command(CoordinatorCommand::StepDown).unwrap();
    world.channels.answer_creations(&mut world.io);
    let end = world.io.take_end(stream).unwrap();
    assert!(end.message.starts_with("TF-L20"), "{}", end.message);
}
