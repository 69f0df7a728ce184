//! The client against a scripted world.

extern crate std;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use trefoil_proto::admin::{Owner, OwnerReply};
use trefoil_proto::wire::Encode;

use super::*;
use crate::testing::{FakeIo, Opened};

#[derive(Debug, PartialEq, Eq)]
struct Heard {
    call: u64,
    attempts: u32,
    result: Result<Vec<u8>, (Code, String)>,
}

struct World {
    client: Client,
    io: FakeIo,
    now: Instant,
    heard: Vec<Heard>,
}

const DEADLINE: Instant = Instant::from_millis(10_000);

impl World {
    fn new(ask_owners: bool) -> Self {
        let contacts = vec!["a:1".into(), "b:2".into()];
        let config = ClientConfig {
            contacts,
            ask_owners,
            calls_max: 2,
            ..ClientConfig::default()
        };
        Self {
            client: Client::new(config),
            io: FakeIo::default(),
            now: Instant::from_millis(1),
            heard: Vec::new(),
        }
    }

    fn command(&mut self, command: ClientCommand<'_>) -> Result<(), Full> {
        let Self {
            client,
            io,
            now,
            heard,
        } = self;
        client.handle_command(*now, command, io, &mut |event: ClientEvent<'_>| {
            hear(heard, event)
        })
    }

    fn apply(&mut self, call: u64) -> Opened {
        self.command(ClientCommand::Apply {
            call,
            id: 7,
            request: b"req",
            request_id: Some(5),
            deadline: DEADLINE,
        })
        .unwrap();
        self.opened()
    }

    fn opened(&mut self) -> Opened {
        let mut opened = self.io.take_opened();
        assert_eq!(opened.len(), 1, "{opened:?}");
        opened.remove(0)
    }

    fn event(&mut self, to: &Opened, event: StreamIn<'_>) {
        let Self {
            client,
            io,
            now,
            heard,
        } = self;
        client.handle_stream(
            *now,
            to.stream,
            to.tag,
            event,
            io,
            &mut |event: ClientEvent<'_>| hear(heard, event),
        );
    }

    fn sleep(&mut self) {
        self.now = self.client.poll_timeout().unwrap();
        let Self {
            client,
            io,
            now,
            heard,
        } = self;
        client.handle_timeout(*now, io, &mut |event: ClientEvent<'_>| hear(heard, event));
    }
}

fn hear(heard: &mut Vec<Heard>, event: ClientEvent<'_>) {
    let ClientEvent::Answer {
        call,
        attempts,
        result,
    } = event;
    let result = result
        .map(<[u8]>::to_vec)
        .map_err(|status| (status.code, String::from(status.message)));
    heard.push(Heard {
        call,
        attempts,
        result,
    });
}

fn ended(code: Code, message: &str, cause: Cause) -> StreamIn<'_> {
    StreamIn::Ended(Status::new(code, message).caused_by(cause))
}

fn owner_reply(host: &str) -> Vec<u8> {
    let owners = [Owner {
        id: 7,
        host,
        active: true,
    }];
    let reply = OwnerReply {
        owners: &owners[..],
    };
    let mut bytes = vec![0; reply.encoded_len()];
    reply.encode_to_slice(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_owner_is_asked_for_once_and_then_called_directly() {
    let mut world = World::new(true);
    let question = world.apply(1);
    assert_eq!(question.method, admin::OWNER);
    let reply = owner_reply("c:3");
    world.event(&question, StreamIn::Frame(&reply));
    world.event(&question, ended(Code::Ok, "", Cause::Peer));
    let call = world.opened();
    assert_eq!(
        (call.method, world.io.name(call.to)),
        (control_plane::APPLY, "c:3")
    );
    let request_id = Header(&call.header)
        .text(identity::REQUEST)
        .map(String::from);
    assert_eq!(
        request_id.as_deref(),
        Some("00000000000000000000000000000005")
    );
    assert_eq!(world.io.take_frames(call.stream), [b"req".to_vec()]);
    world.event(&call, StreamIn::Frame(b"answer"));
    world.event(&call, ended(Code::Ok, "", Cause::Peer));
    assert_eq!(
        world.heard,
        [Heard {
            call: 1,
            attempts: 1,
            result: Ok(b"answer".to_vec())
        }]
    );

    let again = world.apply(2);
    assert_eq!(
        (again.method, world.io.name(again.to)),
        (control_plane::APPLY, "c:3")
    );
}

#[test]
fn a_node_that_knows_no_such_question_is_called_as_it_is() {
    let mut world = World::new(true);
    let question = world.apply(1);
    world.event(&question, ended(Code::Unimplemented, "", Cause::Peer));
    assert_eq!(world.opened().method, control_plane::APPLY);
}

#[test]
fn an_unknown_outcome_is_repeated_under_the_same_request_id() {
    let mut world = World::new(false);
    let first = world.apply(1);
    world.event(&first, ended(Code::Aborted, codes::MOVED, Cause::Peer));
    assert!(world.heard.is_empty());
    world.sleep();
    let second = world.opened();
    assert_eq!(
        Header(&first.header).text(identity::REQUEST),
        Header(&second.header).text(identity::REQUEST)
    );
    world.event(&second, StreamIn::Frame(b""));
    world.event(&second, ended(Code::Ok, "", Cause::Peer));
    assert_eq!(
        world.heard,
        [Heard {
            call: 1,
            attempts: 2,
            result: Ok(vec![])
        }]
    );
}

#[test]
fn another_contact_is_tried_when_one_cannot_be_reached() {
    let mut world = World::new(false);
    let first = world.apply(1);
    world.event(
        &first,
        ended(Code::Unavailable, codes::UNREACHABLE, Cause::Refused),
    );
    world.sleep();
    assert_ne!(world.opened().to, first.to);
}

#[test]
fn what_cannot_get_better_is_told_at_once() {
    for code in [
        Code::InvalidArgument,
        Code::NotFound,
        Code::Internal,
        Code::AlreadyExists,
    ] {
        let mut world = World::new(false);
        let call = world.apply(1);
        world.event(&call, ended(code, "why", Cause::Peer));
        assert_eq!(
            world.heard,
            [Heard {
                call: 1,
                attempts: 1,
                result: Err((code, "why".into()))
            }]
        );
    }
}

#[test]
fn no_attempt_begins_after_the_deadline() {
    let mut world = World::new(false);
    let mut call = world.apply(1);
    while world.heard.is_empty() {
        assert!(world.now < DEADLINE);
        world.event(
            &call,
            ended(Code::Unavailable, codes::NOT_READY, Cause::Peer),
        );
        if world.heard.is_empty() {
            world.sleep();
            call = world.opened();
        }
    }
    assert_eq!(
        world.heard[0].result,
        Err((Code::Unavailable, codes::NOT_READY.into()))
    );
}

#[test]
fn an_attempt_in_doubt_is_not_made_harmless_by_those_after_it() {
    for ask_owners in [false, true] {
        let mut world = World::new(ask_owners);
        let mut call = world.apply(1);
        if ask_owners {
            world.event(&call, ended(Code::Unimplemented, "", Cause::Peer));
            call = world.opened();
        }
        world.event(
            &call,
            ended(Code::Unavailable, codes::UNREACHABLE, Cause::Lost),
        );
        while world.heard.is_empty() {
            world.sleep();
            let call = world.opened();
            world.event(
                &call,
                ended(Code::Unavailable, codes::UNREACHABLE, Cause::Refused),
            );
        }
        assert_eq!(
            world.heard[0].result,
            Err((Code::DeadlineExceeded, codes::DEADLINE.into()))
        );
        // The slot's next call is not in doubt.
        world.heard.clear();
        let call = world.apply(2);
        world.now = DEADLINE;
        world.event(
            &call,
            ended(Code::Unavailable, codes::UNREACHABLE, Cause::Refused),
        );
        assert_eq!(
            world.heard[0].result,
            Err((Code::Unavailable, codes::UNREACHABLE.into()))
        );
    }
}

#[test]
fn a_question_that_takes_all_the_time_there_is_ends_as_late() {
    let mut world = World::new(true);
    let question = world.apply(1);
    world.now = DEADLINE;
    world.event(
        &question,
        ended(Code::DeadlineExceeded, codes::DEADLINE, Cause::Deadline),
    );
    assert_eq!(
        world.heard[0].result,
        Err((Code::DeadlineExceeded, codes::DEADLINE.into()))
    );
}

#[test]
fn a_plain_call_that_was_sent_is_never_repeated() {
    let mut world = World::new(false);
    let command = ClientCommand::Call {
        call: 1,
        method: admin::LEAVE,
        host: Some("b:2"),
        request: b"",
        deadline: DEADLINE,
    };
    world.command(command).unwrap();
    let call = world.opened();
    assert_eq!(world.io.name(call.to), "b:2");
    world.event(&call, ended(Code::Unavailable, "busy", Cause::Peer));
    assert_eq!(world.heard.len(), 1);
}

#[test]
fn too_many_calls_are_refused_and_slots_are_reused() {
    let mut world = World::new(false);
    let first = world.apply(1);
    world.apply(2);
    let third = ClientCommand::Get {
        call: 3,
        id: 1,
        request: b"",
        deadline: DEADLINE,
    };
    assert_eq!(world.command(third), Err(Full));
    world.event(&first, ended(Code::NotFound, "", Cause::Peer));
    assert_eq!(world.command(third), Ok(()));
    world.event(&first, StreamIn::Frame(b"late"));
    assert_eq!(world.client.in_flight(), 2);
}

#[test]
fn a_client_serves_nothing() {
    let mut world = World::new(false);
    let stream = world.io.accept();
    let accepted = StreamIn::Accepted {
        from: None,
        method: control_plane::PING,
        header: Header::EMPTY,
        deadline: None,
        trusted: true,
    };
    let World {
        client,
        io,
        now,
        heard,
    } = &mut world;
    client.handle_stream(
        *now,
        stream,
        Tag::NEW,
        accepted,
        io,
        &mut |event: ClientEvent<'_>| hear(heard, event),
    );
    assert_eq!(
        world.io.take_end(stream).map(|status| status.code),
        Some(Code::Unimplemented)
    );
}
