//! The engine between a machine and the seams: a toy machine in the real world.

mod credit;

use std::task::{Context, Poll, Waker};

use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{CallId, MethodId, NodeId, StreamId, Tag};
use trefoil_core::identity::{Identity, Token};
use trefoil_core::limits::Limits;
use trefoil_core::link::{LinkConfig, Links};
use trefoil_core::machine::{Events, Full, Io, Machine, RefusedCaller};
use trefoil_core::memory::{Memory, Switch};
use trefoil_core::status::{Code, Status};
use trefoil_core::storage::{Completion, Done, Op, Storage};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};
use trefoil_core::transport::{Arrival, Caller, LinkEvent, Transport};

const ECHO: MethodId = MethodId(100);
// A unary method of the knots, so that its one message is waited for.
const SILENT: MethodId = MethodId(1);

/// Echoes what it is called with; tells everything it hears.
#[derive(Debug, Default)]
struct Toy {
    heard: Vec<(StreamId, String)>,
    held: u32,
    /// Given back before a frame is held.
    released: u32,
}

enum Ask<'a> {
    Call {
        to: &'a str,
        method: MethodId,
        payload: &'a [u8],
        deadline: Option<Instant>,
    },
    /// Opens a stream and sends nothing.
    Nothing {
        to: &'a str,
    },
    End(StreamId),
}

impl Machine for Toy {
    type Command<'a> = Ask<'a>;
    type Event<'a> = StreamId;
    type Refused = Full;

    fn handle_stream(
        &mut self,
        _: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
        let text = match event {
            StreamIn::Accepted { from, method, .. } => {
                match method {
                    ECHO => io.adopt(stream, Tag(2)),
                    SILENT => io.adopt(stream, Tag(3)),
                    _ => {}
                }
                format!(
                    "accepted from {}",
                    from.map_or("nobody", |node| io.name(node))
                )
            }
            StreamIn::Header(header) => {
                format!("header {}", header.text("trefoil-node").unwrap_or("-"))
            }
            StreamIn::Frame(bytes) => {
                if tag == Tag(2) {
                    io.frame(stream, bytes.len())
                        .unwrap()
                        .copy_from_slice(bytes);
                    io.end(stream, Status::OK);
                }
                io.release(stream, self.released);
                io.hold(stream, self.held);
                format!("frame {}", String::from_utf8_lossy(bytes))
            }
            StreamIn::HalfClosed => "half closed".into(),
            StreamIn::Writable => "writable".into(),
            StreamIn::Ended(status) => format!("ended {:?} {:?}", status.code, status.cause),
        };
        self.heard.push((stream, text));
    }

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
        _: Instant,
        command: Ask<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), Full> {
        match command {
            Ask::Call {
                to,
                method,
                payload,
                deadline,
            } => {
                let to = io.node(to)?;
                let stream =
                    io.open(to, method, Class::Control, Header::EMPTY, deadline, Tag(1))?;
                io.frame(stream, payload.len())?.copy_from_slice(payload);
                io.half_close(stream);
                up.event(stream);
            }
            Ask::Nothing { to } => {
                let to = io.node(to)?;
                up.event(io.open(to, SILENT, Class::Control, Header::EMPTY, None, Tag(1))?);
            }
            Ask::End(stream) => io.end(stream, Status::new(Code::Cancelled, "enough")),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut dyn Io, _: &mut dyn Events<Self>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A store nobody asks.
struct NoStore;

impl Storage for NoStore {
    type Buf = Vec<u8>;
    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        Poll::Pending
    }
}

struct World {
    engines: Vec<Engine<Toy>>,
    sides: Vec<Memory>,
    switch: Switch,
    now: Instant,
}

fn config(node: &str, cluster: &str) -> EngineConfig {
    EngineConfig {
        node: node.into(),
        boot: node.bytes().map(u64::from).sum(),
        incarnation: 1,
        cluster: cluster.into(),
        placement: 1,
        store: 0,
        electorate: 0,
        features: 0,
        anonymous: false,
        token: None,
        certified: false,
        limits: Limits {
            streams_max: 8,
            nodes_max: 8,
            ..Limits::default()
        },
        links: LinkConfig::default(),
        seed: 1,
    }
}

impl World {
    fn new(nodes: &[EngineConfig]) -> Self {
        let names: Vec<&str> = nodes.iter().map(|config| config.node.as_str()).collect();
        let (switch, sides) = Switch::new(&names, 8, 8);
        let engines = nodes
            .iter()
            .map(|config| Engine::new(config.clone(), Toy::default()).unwrap())
            .collect();
        Self {
            engines,
            sides,
            switch,
            now: Instant::from_millis(1),
        }
    }

    fn pair() -> Self {
        Self::new(&[config("a", "c"), config("b", "c")])
    }

    fn ask(&mut self, node: usize, ask: Ask<'_>) -> Option<StreamId> {
        let mut opened = None;
        let mut up = |stream: StreamId| opened = Some(stream);
        self.engines[node]
            .command(self.now, ask, &mut self.sides[node], &mut NoStore, &mut up)
            .unwrap();
        opened
    }

    fn call(&mut self, to: &str, method: MethodId, deadline: Option<Instant>) -> StreamId {
        self.ask(
            0,
            Ask::Call {
                to,
                method,
                payload: b"hi",
                deadline,
            },
        )
        .unwrap()
    }

    fn settle(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.switch.carry(&mut self.sides) {
            for (engine, side) in self.engines.iter_mut().zip(&mut self.sides) {
                while let Poll::Ready(arrival) = side.poll(&mut cx) {
                    engine.arrive(
                        self.now,
                        &arrival,
                        side,
                        &mut NoStore,
                        &mut |_: StreamId| {},
                    );
                    arrival.spend(|spent| side.recycle(spent));
                }
            }
        }
    }

    fn sleep(&mut self, node: usize) {
        self.now = self.engines[node].poll_timeout().unwrap();
        self.engines[node].tick(
            self.now,
            &mut self.sides[node],
            &mut NoStore,
            &mut |_: StreamId| {},
        );
        self.settle();
    }

    fn heard(&mut self, node: usize) -> Vec<String> {
        let heard = std::mem::take(&mut self.engines[node].machine_mut().heard);
        heard.into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn a_call_goes_there_and_back_and_both_sides_know_each_other() {
    let mut world = World::pair();
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["header b", "frame hi", "ended Ok Peer"]);
    // To call is not enough to be given a number.
    assert_eq!(world.heard(1), ["accepted from nobody", "frame hi"]);
    let back = Ask::Call {
        to: "a",
        method: ECHO,
        payload: b"hi",
        deadline: None,
    };
    world.ask(1, back).unwrap();
    world.settle();
    world.heard(1);
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(1), ["accepted from a", "frame hi"]);
    assert_eq!(
        (world.engines[0].streams(), world.engines[1].streams()),
        (0, 0)
    );
}

#[test]
fn nobody_listens() {
    let mut world = World::pair();
    world.call("nowhere", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["ended Unavailable Refused"]);
    // While the link backs off nobody waits for an attempt that is not made.
    world.call("nowhere", ECHO, None);
    assert_eq!(world.heard(0), ["ended Unavailable Refused"]);
    assert_eq!(world.engines[0].streams(), 0);
}

#[test]
fn what_no_machine_takes_is_refused() {
    let mut world = World::pair();
    world.call("b", MethodId(7), None);
    world.settle();
    assert_eq!(world.heard(0), ["header b", "ended Unimplemented Peer"]);
    assert_eq!(world.engines[1].streams(), 0);
}

#[test]
fn a_deadline_ends_both_sides_once() {
    let mut world = World::pair();
    world.call("b", SILENT, Some(Instant::from_millis(50)));
    world.settle();
    world.heard(1);
    world.sleep(0);
    assert_eq!(world.now, Instant::from_millis(50));
    assert_eq!(
        world.heard(0),
        ["header b", "ended DeadlineExceeded Deadline"]
    );
    let far = world.heard(1);
    assert_eq!(far.len(), 1, "{far:?}");
    assert!(far[0].starts_with("ended"), "{far:?}");
    assert_eq!(
        (world.engines[0].streams(), world.engines[1].streams()),
        (0, 0)
    );
}

#[test]
fn who_ends_a_stream_hears_no_more_of_it() {
    let mut world = World::pair();
    let stream = world.call("b", SILENT, None);
    world.settle();
    world.heard(0);
    world.heard(1);
    world.ask(0, Ask::End(stream));
    world.ask(0, Ask::End(stream));
    world.settle();
    assert!(world.heard(0).is_empty());
    assert_eq!(world.heard(1), ["ended Cancelled Peer"]);
}

#[test]
fn clusters_of_different_names_never_speak() {
    let mut world = World::new(&[config("a", "one"), config("b", "two")]);
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["ended FailedPrecondition Peer"]);
    assert!(world.heard(1).is_empty());
    assert_eq!(world.engines[1].mismatches(), 1);
}

#[test]
fn a_peer_that_answers_as_another_host_is_not_heard() {
    // Whoever listens where `b` was looked for is a node of the cluster, and says that it is `x`.
    let mut world = World::pair();
    world.engines[1] = Engine::new(config("x", "c"), Toy::default()).unwrap();
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["ended FailedPrecondition Lost"]);
    let (host, why) = world.engines[0].last_mismatch().unwrap();
    assert!(host == "b" && why.starts_with("TF-C17"), "{why}");
}

#[test]
fn nodes_with_journals_in_different_stores_never_speak() {
    let of_store = |node, store| EngineConfig {
        store,
        ..config(node, "c")
    };
    for (ours, theirs, speaks) in [(1, 1, true), (0, 2, true), (1, 0, true), (1, 2, false)] {
        let mut world = World::new(&[of_store("a", ours), of_store("b", theirs)]);
        world.call("b", ECHO, None);
        world.settle();
        assert_eq!(!world.heard(1).is_empty(), speaks, "{ours} {theirs}");
        let told = world.engines[0].last_mismatch();
        let refused = |(host, why): (&str, &str)| host == "b" && why.starts_with("TF-C12");
        assert_eq!(told.is_some_and(refused), !speaks);
        // Whoever is called does not name its callers: they may say what they like.
        assert_eq!(world.engines[1].last_mismatch(), None);
        assert_eq!(world.engines[1].mismatches(), u64::from(!speaks));
    }
}

#[test]
fn a_second_node_of_the_same_name_is_refused() {
    let mut world = World::new(&[
        EngineConfig {
            boot: 5,
            ..config("a", "c")
        },
        config("b", "c"),
    ]);
    world.engines[1] = Engine::new(
        EngineConfig {
            node: "a".into(),
            boot: 6,
            ..config("b", "c")
        },
        Toy::default(),
    )
    .unwrap();
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["ended FailedPrecondition Peer"]);
}

#[test]
fn a_client_that_says_nothing_is_nobody() {
    let mut world = World::new(&[
        EngineConfig {
            anonymous: true,
            ..config("a", "c")
        },
        config("b", "other"),
    ]);
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(world.heard(0), ["header -", "frame hi", "ended Ok Peer"]);
    assert_eq!(world.heard(1)[0], "accepted from nobody");
}

#[test]
fn a_token_is_asked_of_everybody_and_never_told() {
    let with = |node, token: Option<&str>| EngineConfig {
        token: token.map(Token::new),
        ..config(node, "c")
    };
    let speaks = ["header b", "frame hi", "ended Ok Peer"];
    for (shown, asked, heard) in [
        (Some("s3cret"), Some("s3cret"), &speaks[..]),
        (
            Some("other!"),
            Some("s3cret"),
            &["ended Unauthenticated Peer"],
        ),
        (None, Some("s3cret"), &["ended Unauthenticated Peer"]),
        (Some("s3cret"), None, &speaks),
    ] {
        for anonymous in [false, true] {
            let caller = EngineConfig {
                anonymous,
                ..with("a", shown)
            };
            let mut world = World::new(&[caller, with("b", asked)]);
            world.call("b", ECHO, None);
            world.settle();
            let mut expected: Vec<String> = heard.iter().map(ToString::to_string).collect();
            if anonymous && expected.len() == 3 {
                expected[0] = "header -".into();
            }
            assert_eq!(world.heard(0), expected, "{shown:?} {asked:?} {anonymous}");
            if expected.len() == 1 {
                let (host, why) = world.engines[0].last_mismatch().unwrap();
                assert!(host == "b" && why.starts_with("TF-C15"), "{why}");
                assert_eq!(world.engines[1].mismatches(), 1);
            }
        }
    }
    for token in ["", "two words", "\u{fc}"] {
        assert!(Engine::new(with("a", Some(token)), Toy::default()).is_err());
    }
}

#[test]
fn a_certificate_must_name_the_node_its_bearer_says_it_is() {
    let mut buf = [0; 512];
    let mut header = HeaderWriter::new(&mut buf);
    let caller = Identity {
        node: "10.0.0.7:7001",
        boot: 9,
        incarnation: 1,
        cluster: "c",
        placement: 1,
        store: 0,
        electorate: 0,
        features: 0,
    };
    caller.write(&mut header).unwrap();
    let header = header.finish();
    for (certified, names, header, answered) in [
        (true, Some("10.0.0.7"), header, true),
        (true, Some("10.0.0.8"), header, false),
        (false, Some("10.0.0.8"), header, false),
        (true, None, header, false),
        (false, None, header, true),
        // Whoever claims no name needs none.
        (true, Some("operator"), Header::EMPTY, true),
        (true, None, Header::EMPTY, true),
    ] {
        let callee = EngineConfig {
            certified,
            ..config("b", "c")
        };
        let mut world = World::new(&[callee]);
        let arrival = Arrival::Accepted {
            call: CallId(1),
            method: ECHO,
            header: header.0.to_vec(),
            timeout: None,
            caller: Caller {
                loopback: false,
                names: names.map(|names| names.as_bytes().to_vec()),
            },
        };
        let (now, side) = (world.now, &mut world.sides[0]);
        world.engines[0].arrive(now, &arrival, side, &mut NoStore, &mut |_: StreamId| {});
        assert_eq!(
            !world.heard(0).is_empty(),
            answered,
            "{certified} {names:?}"
        );
        assert_eq!(world.engines[0].mismatches(), u64::from(!answered));
    }
}

/// Keeps what it is told of callers.
#[derive(Default)]
struct Ears(Vec<String>);

impl Events<Toy> for Ears {
    fn event(&mut self, _: StreamId) {}

    fn refused_caller(&mut self, caller: RefusedCaller<'_>) {
        self.0.push(format!("{caller:?}"));
    }
}

#[test]
fn the_layer_above_is_told_of_callers_that_are_refused() {
    let asked = EngineConfig {
        token: Some(Token::new("s3cret")),
        ..config("b", "c")
    };
    let mut world = World::new(&[asked]);
    let arrival = Arrival::Accepted {
        call: CallId(1),
        method: ECHO,
        header: Vec::new(),
        timeout: None,
        caller: Caller {
            loopback: false,
            names: Some(b"operator".to_vec()),
        },
    };
    let (now, mut ears) = (world.now, Ears::default());
    let side = &mut world.sides[0];
    world.engines[0].arrive(now, &arrival, side, &mut NoStore, &mut ears);
    let [told] = &ears.0[..] else {
        panic!("{:?}", ears.0)
    };
    let expected = ["host: None", "names: Some(\"operator\")", "TF-C15"];
    assert!(expected.iter().all(|part| told.contains(part)), "{told}");
}

#[test]
fn a_peer_that_is_not_trusted_is_named_and_the_link_backs_off() {
    let mut world = World::pair();
    world.call("b", ECHO, None);
    let link = Links::id(NodeId(1), Class::Control);
    let arrival = Arrival::Link {
        link,
        event: LinkEvent::Untrusted,
        why: Some(b"TF-T09: the certificate has expired".to_vec()),
    };
    let (now, side) = (world.now, &mut world.sides[0]);
    world.engines[0].arrive(now, &arrival, side, &mut NoStore, &mut |_: StreamId| {});
    assert_eq!(
        world.engines[0].last_mismatch(),
        Some(("b", "TF-T09: the certificate has expired"))
    );
    world.heard(0);
    world.call("b", ECHO, None);
    assert_eq!(world.heard(0), ["ended Unauthenticated Untrusted"]);
}

#[test]
fn a_full_table_refuses_and_recovers() {
    let mut world = World::pair();
    let streams: Vec<StreamId> = (0..8).map(|_| world.call("b", SILENT, None)).collect();
    world.settle();
    assert_eq!(world.engines[1].streams(), 8);
    world.ask(0, Ask::End(streams[0]));
    // The far side still holds all eight: the ninth is refused there until it has heard of the end.
    world.call("b", ECHO, None);
    world.settle();
    let heard = world.heard(0);
    assert!(
        heard.last().is_some_and(|last| last.starts_with("ended")),
        "{heard:?}"
    );
    assert_eq!(world.engines[0].streams(), 7);
}

#[test]
fn a_caller_that_sends_nothing_is_not_waited_for_for_ever() {
    let mut world = World::pair();
    world.ask(0, Ask::Nothing { to: "b" });
    world.settle();
    assert_eq!(world.engines[1].streams(), 1);
    let limit = Limits::default().request_timeout;
    assert_eq!(world.engines[1].poll_timeout(), Some(world.now + limit));
    world.sleep(1);
    assert_eq!(world.engines[1].streams(), 0);
    assert_eq!(
        world.heard(1).last().unwrap(),
        "ended DeadlineExceeded Deadline"
    );
    // Once the message is there, the callee may take its time.
    world.call("b", SILENT, None);
    world.settle();
    assert_eq!(world.engines[1].streams(), 1);
    assert_eq!(world.engines[1].poll_timeout(), None);
}

#[test]
fn the_last_quarter_of_the_streams_is_kept_for_nodes() {
    let stranger = EngineConfig {
        anonymous: true,
        ..config("x", "c")
    };
    let mut world = World::new(&[stranger, config("b", "c"), config("a", "c")]);
    for _ in 0..8 {
        world.call("b", SILENT, None);
    }
    world.settle();
    assert_eq!(world.engines[1].streams(), 6, "of eight");
    let call = Ask::Call {
        to: "b",
        method: ECHO,
        payload: b"hi",
        deadline: None,
    };
    world.ask(2, call);
    world.settle();
    assert_eq!(world.heard(2), ["header b", "frame hi", "ended Ok Peer"]);
}

#[test]
fn an_unused_link_is_hung_up_after_its_time() {
    let mut world = World::pair();
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(
        world.engines[0].poll_timeout(),
        Some(world.now + Duration::from_secs(300))
    );
    world.sleep(0);
    assert_eq!(world.engines[0].poll_timeout(), None);
    world.heard(0);
    world.call("b", ECHO, None);
    world.settle();
    assert_eq!(
        world.heard(0).last().map(String::as_str),
        Some("ended Ok Peer")
    );
}

#[test]
fn this_node_is_number_zero() {
    let world = World::pair();
    assert_eq!(world.engines[1].name(NodeId(0)), "b");
}
