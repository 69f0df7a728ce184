//! Connections: dialled, refused, lost, hung up.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use trefoil_core::codes;
use trefoil_core::header::Header;
use trefoil_core::id::LinkId;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_quic::QuicOptions;

use crate::harness::{BIDI, LINK, Side, UNARY, listen, options, pair};

fn hasty() -> QuicOptions {
    QuicOptions {
        connect_timeout: Duration::from_millis(100),
        ..options()
    }
}

#[tokio::test]
async fn nobody_listening_is_no_evidence() {
    let mut client = Side::with(&Limits::default(), hasty());
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for _ in 0..2 {
        client.dial(&address);
        let streams = [client.open(UNARY), client.open(BIDI)];
        client.ask(streams[0], b"x");
        client.expect_link(LinkEvent::Lost).await;
        let mut ended = Vec::new();
        while ended.len() < 2 {
            let Arrival::Ended {
                stream,
                code,
                cause,
                message,
                ..
            } = client.next().await
            else {
                panic!("no end")
            };
            assert_eq!((code, cause), (Code::Unavailable, Cause::Lost));
            assert_eq!(message, codes::UNREACHABLE);
            ended.push(stream);
        }
        assert!(streams.iter().all(|stream| ended.contains(stream)));
        client.silence().await;
    }
}

#[tokio::test]
async fn a_dial_that_takes_too_long_is_lost() {
    let mut client = Side::with(&Limits::default(), hasty());
    client.dial("nowhere:1");
    let stream = client.open(UNARY);
    client.expect_link(LinkEvent::Lost).await;
    let end = client.expect_end(stream).await;
    assert_eq!((end.code, end.cause), (Code::Unavailable, Cause::Lost));
    // So is a name that nobody knows: no evidence of anything.
    client.dial("no such host");
    client.expect_link(LinkEvent::Lost).await;
}

#[tokio::test]
async fn streams_wait_for_the_link() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, _keep) = listen(&server);
    tokio::spawn(server.echo());
    // By name, so that the runtime resolves it.
    client.dial(&address.replace("127.0.0.1", "localhost"));
    let streams: Vec<_> = (0..50_u8)
        .map(|n| {
            let stream = client.open(BIDI);
            client.send(stream, &[n]);
            client.send(stream, &[n, n]);
            client.quic.half_close(stream);
            stream
        })
        .collect();
    let abandoned = client.open(BIDI);
    client.end(abandoned, Code::Cancelled, "");
    client.expect_link(LinkEvent::Up).await;
    let mut ended = 0;
    let mut frames = vec![Vec::new(); streams.len()];
    while ended < streams.len() {
        match client.next().await {
            Arrival::Frame { stream, frame } => frames[stream.slot() as usize].push(frame),
            Arrival::Ended { code, .. } => {
                assert_eq!(code, Code::Ok);
                ended += 1;
            }
            Arrival::Header { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    for (n, frames) in (0..50_u8).zip(&frames) {
        assert_eq!(
            frames.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>(),
            [&[n][..], &[n, n]]
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_ends_its_streams_once() {
    let (mut client, mut server, listening) = pair(&Limits::default()).await;
    let quiet = client.open(BIDI);
    let answered = client.open(BIDI);
    client.send(answered, b"x");
    client.quic.flush();
    let calls = [server.accept().await.stream, server.accept().await.stream];
    server.expect_frame(calls[1]).await;
    server.send(calls[1], b"y");
    server.quic.flush();
    client.expect_header(quiet).await;
    client.expect_header(answered).await;
    assert_eq!(client.expect_frame(answered).await, "y");
    listening.close();

    let mut ends = Vec::new();
    let mut lost = 0;
    while ends.len() < 2 || lost < 1 {
        match client.next().await {
            Arrival::Ended {
                stream,
                code,
                cause,
                ..
            } => {
                assert_eq!((code, cause), (Code::Unavailable, Cause::Lost));
                ends.push(stream);
            }
            Arrival::Link {
                link: LINK,
                event: LinkEvent::Lost,
                ..
            } => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    client.silence().await;
    for _ in 0..2 {
        let Arrival::Ended { stream, code, .. } = server.next().await else {
            panic!("no end")
        };
        assert!(calls.contains(&stream));
        assert!(matches!(code, Code::Cancelled | Code::Unavailable));
    }
    server.silence().await;
    // A stream opened now has no link. Whoever opened it does not know yet, and must not take it for
    // one that has no room.
    let late = client.open(BIDI);
    client.send(late, b"x");
    client.quic.half_close(late);
    let end = client.expect_end(late).await;
    assert_eq!((end.code, end.cause), (Code::Unavailable, Cause::Lost));
}

#[tokio::test]
async fn a_caller_that_vanishes_ends_its_calls() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    client.open(BIDI);
    let done = client.open(UNARY);
    client.ask(done, b"x");
    client.quic.flush();
    let calls = [server.accept().await.stream, server.accept().await.stream];
    server.expect_frame(calls[1]).await;
    server.expect_half_close(calls[1]).await;
    drop(client);
    for _ in 0..2 {
        let Arrival::Ended { stream, .. } = server.next().await else {
            panic!("no end")
        };
        assert!(calls.contains(&stream));
    }
    server.silence().await;
}

#[tokio::test]
async fn hanging_up_is_silent() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let streams = [client.open(BIDI), client.open(BIDI)];
    client.quic.flush();
    let calls = [server.accept().await.stream, server.accept().await.stream];
    server.send(calls[0], b"late");
    server.quic.flush();
    client.expect_header(streams[0]).await;
    client.quic.hang_up(LINK);
    client.silence().await;
    assert!(
        client.sizes().contains("streams: 0") && client.sizes().contains("links: 0"),
        "{}",
        client.sizes()
    );
    for _ in 0..2 {
        let Arrival::Ended { stream, .. } = server.next().await else {
            panic!("no end")
        };
        assert!(calls.contains(&stream));
    }
    // While it dials, too.
    client.dial("nowhere:1");
    client.open(BIDI);
    client.quic.flush();
    tokio::task::yield_now().await;
    client.quic.hang_up(LINK);
    client.silence().await;
    assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
}

#[tokio::test]
async fn a_link_is_dialled_again_after_it_was_lost() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (first, listening) = listen(&server);
    let (second, _keep) = listen(&server);
    tokio::spawn(server.echo());
    client.dial(&first);
    client.expect_link(LinkEvent::Up).await;
    listening.close();
    client.expect_link(LinkEvent::Lost).await;
    client.dial(&second);
    client.expect_link(LinkEvent::Up).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"again");
    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, "again");
    client.expect_end(stream).await;
}

#[tokio::test]
async fn both_classes_share_a_connection_until_the_last_link_is_hung_up() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, listening) = listen(&server);
    tokio::spawn(server.echo());
    let bulk = LinkId(LINK.0 + 1);
    client.dial(&address);
    client.quic.dial(bulk, &address, Class::Bulk);
    for link in [LINK, bulk] {
        let Arrival::Link {
            link: of, event, ..
        } = client.next().await
        else {
            panic!("no news of a link")
        };
        assert_eq!((of, event), (link, LinkEvent::Up));
    }
    assert_eq!(listening.connections(), 1);
    assert!(client.sizes().contains("links: 2, connections: 1"));
    client.quic.hang_up(LINK);
    let stream = client.id();
    client.quic.open(stream, bulk, UNARY, Header::EMPTY, None);
    client.ask(stream, b"still there");
    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, "still there");
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
    // A link to an address that stands already is up at once.
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    client.quic.hang_up(LINK);
    client.quic.hang_up(bulk);
    client.silence().await;
    assert!(client.sizes().contains("links: 0, connections: 0"));
    assert_eq!(listening.connections(), 0);
}

#[tokio::test]
async fn a_lost_connection_is_lost_to_both_classes() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, listening) = listen(&server);
    let bulk = LinkId(LINK.0 + 1);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    client.quic.dial(bulk, &address, Class::Bulk);
    client.next().await;
    listening.close();
    for link in [LINK, bulk] {
        let Arrival::Link {
            link: of, event, ..
        } = client.next().await
        else {
            panic!("no news of a link")
        };
        assert_eq!((of, event), (link, LinkEvent::Lost));
    }
    client.silence().await;
}

/// A server in a runtime of its own, which can be stopped without a word.
struct Doomed(Option<tokio::runtime::Runtime>);

impl Doomed {
    fn new(socket: UdpSocket, limits: &Limits) -> (Self, String) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let side = {
            let _inside = runtime.enter();
            Side::new(limits)
        };
        let server = side.quic.server();
        let address = {
            let _inside = runtime.enter();
            server.bind(socket).unwrap().to_string()
        };
        runtime.spawn(side.echo());
        (Self(Some(runtime)), address)
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A link to a server that has vanished is lost, and its stream. Returns how long that took.
async fn lost(client: &mut Side) -> Duration {
    let stream = client.open(BIDI);
    client.send(stream, b"anyone?");
    let since = Instant::now();
    let mut seen = (false, false);
    while seen != (true, true) {
        match client.next().await {
            Arrival::Ended {
                stream: of,
                code,
                cause,
                ..
            } => {
                assert_eq!((of, code, cause), (stream, Code::Unavailable, Cause::Lost));
                seen.0 = true;
            }
            Arrival::Link {
                event: LinkEvent::Lost,
                ..
            } => seen.1 = true,
            other => panic!("{other:?}"),
        }
    }
    since.elapsed()
}

#[tokio::test]
async fn a_peer_that_vanishes_without_a_word_is_noticed() {
    let limits = Limits {
        silence_max: Duration::from_millis(600),
        ..Limits::default()
    };
    let mut client = Side::new(&limits);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (doomed, address) = Doomed::new(socket, &limits);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    // Signs of life keep a connection up on which nothing is sent.
    assert!(
        client
            .next_within(Duration::from_millis(1_500))
            .await
            .is_none()
    );
    drop(doomed);
    let took = lost(&mut client).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_was_started_again_says_that_it_knows_nothing() {
    let limits = Limits::default();
    let mut client = Side::new(&limits);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (doomed, address) = Doomed::new(socket, &limits);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    drop(doomed);
    let socket = loop {
        // The sockets of a runtime are closed by its threads.
        match UdpSocket::bind(&address) {
            Ok(socket) => break socket,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let (_keep, again) = Doomed::new(socket, &limits);
    assert_eq!(again, address);
    let took = lost(&mut client).await;
    println!("a restarted peer was noticed after {took:?}");
    assert!(took < limits.silence_max / 3, "{took:?}");
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"again");
    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, "again");
}

#[tokio::test]
async fn both_families_are_dialled_each_from_its_own_socket() {
    let limits = Limits::default();
    let from_loopback = QuicOptions {
        source: Some("127.0.0.1".parse().unwrap()),
        ..options()
    };
    let mut client = Side::with(&limits, from_loopback);
    let server = Side::new(&limits);
    let listening = server.quic.server();
    tokio::spawn(server.echo());
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(socket) = UdpSocket::bind(bind) else {
            // A machine without IPv6.
            continue;
        };
        let address = listening.bind(socket).unwrap().to_string();
        client.dial(&address);
        client.expect_link(LinkEvent::Up).await;
        let stream = client.open(UNARY);
        client.ask(stream, b"x");
        client.expect_header(stream).await;
        assert_eq!(client.expect_frame(stream).await, "x");
        client.expect_end(stream).await;
        client.quic.hang_up(LINK);
    }
}

#[tokio::test]
async fn a_name_needs_somebody_who_resolves_it() {
    let mut client = Side::with(&Limits::default(), QuicOptions::default());
    client.dial("localhost:1");
    client.expect_link(LinkEvent::Lost).await;
}

#[tokio::test]
async fn many_peers_may_dial_at_once() {
    // More than the server begins handshakes with unasked: the rest prove their address first.
    let limits = Limits::default();
    let server = Side::new(&limits);
    let (address, listening) = listen(&server);
    tokio::spawn(server.echo());
    let mut clients: Vec<_> = (0..150).map(|_| Side::new(&limits)).collect();
    for client in &mut clients {
        client.dial(&address);
    }
    for client in &mut clients {
        client.expect_link(LinkEvent::Up).await;
    }
    assert_eq!(listening.connections(), 150);
}
