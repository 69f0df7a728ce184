//! Draining, closing, and callers that keep no rules.

use std::time::{Duration, Instant};

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use crate::harness::{BIDI, LINK, SOON, Side, UNARY, listen, options, pair};

#[tokio::test]
async fn draining_lets_calls_end_and_takes_no_more() {
    let (mut client, mut server, listening) = pair(&Limits::default()).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"slow");
    client.transport.flush();
    let call = server.accept().await;
    server.expect_frame(call.stream).await;
    server.expect_half_close(call.stream).await;
    let draining = tokio::spawn({
        let listening = listening.clone();
        async move { listening.drain(SOON).await }
    });
    server.transport.flush();
    client.expect_header(stream).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // New calls are refused, and nothing of them is looked at; the old one goes on.
    let late = client.open(BIDI);
    client.send(late, b"too late");
    let end = client.expect_end(late).await;
    assert_eq!((end.code, end.cause), (Code::Unavailable, Cause::Peer));
    assert_eq!(end.message, codes::STOPPING);
    server.silence().await;
    assert!(!draining.is_finished());
    // So is a new connection.
    let mut other = Side::with(
        &Limits::default(),
        trefoil_transport_quic::QuicOptions {
            connect_timeout: Duration::from_millis(300),
            ..options()
        },
    );
    other.dial(&listening.local_addr().unwrap().to_string());
    other.expect_link(LinkEvent::Lost).await;

    let answer = vec![7; 700_000];
    server.send(call.stream, &answer);
    server.end(call.stream, Code::Ok, "");
    server.transport.flush();
    assert_eq!(client.expect_frame(stream).await, answer);
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
    client.expect_link(LinkEvent::Lost).await;
    assert!(
        tokio::time::timeout(SOON, draining).await.unwrap().unwrap(),
        "nothing was left"
    );
    assert_eq!(listening.connections(), 0);
    // The socket is free, and the transport can serve on it again.
    let socket = std::net::UdpSocket::bind(listening.local_addr().unwrap()).unwrap();
    assert!(listening.bind(socket).is_err(), "a closed server stays so");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_has_ended() {
    let limits = Limits::default();
    let one = trefoil_transport_quic::QuicOptions {
        connections_max: 1,
        ..options()
    };
    let server = Side::with(&limits, one);
    let (address, listening) = listen(&server);
    let mut first = Side::new(&limits);
    first.dial(&address);
    first.expect_link(LinkEvent::Up).await;
    let mut second = Side::new(&limits);
    second.dial(&address);
    // It is told, and does not wait until it gives up.
    let begun = Instant::now();
    second.expect_link(LinkEvent::Lost).await;
    assert!(begun.elapsed() < options().connect_timeout / 2);
    assert_eq!(listening.connections(), 1);
    first.transport.hang_up(LINK);
    while listening.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    second.dial(&address);
    second.expect_link(LinkEvent::Up).await;
}

#[tokio::test]
async fn draining_is_bounded() {
    let (mut client, mut server, listening) = pair(&Limits::default()).await;
    let stream = client.open(BIDI);
    client.transport.flush();
    let call = server.accept().await;
    server.transport.flush();
    client.expect_header(stream).await;
    assert!(
        !listening.drain(Duration::from_millis(100)).await,
        "a call was left"
    );
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
                link: LINK,
                event: LinkEvent::Lost,
                ..
            } => seen.1 = true,
            other => panic!("{other:?}"),
        }
    }
    let end = server.expect_end(call.stream).await;
    assert_eq!((end.code, end.cause), (Code::Unavailable, Cause::Lost));
}

#[tokio::test]
async fn calls_that_nobody_takes_are_bounded() {
    let limits = Limits {
        streams_max: 2,
        ..Limits::default()
    };
    let mut client = Side::new(&Limits::default());
    let side = Side::new(&limits);
    let (address, _keep) = listen(&side);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let waiting = [client.open(UNARY), client.open(UNARY)];
    client.silence().await;
    let refused = client.open(UNARY);
    let end = client.expect_end(refused).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::ResourceExhausted, codes::BUSY)
    );
    drop(side);
    for _ in waiting {
        let Arrival::Ended { stream, code, .. } = client.next().await else {
            panic!("no end")
        };
        assert!(waiting.contains(&stream));
        assert_eq!(code, Code::Unavailable);
    }
}

#[tokio::test]
async fn an_idle_server_drains_at_once() {
    let (mut client, _server, listening) = pair(&Limits::default()).await;
    assert!(listening.drain(SOON).await);
    client.expect_link(LinkEvent::Lost).await;
    client.silence().await;
}

/// Rounds of goodbyes: with a handshake, an answer, a probe of the path or a window full of messages
/// on their way.
const GOODBYES: u32 = 60;
/// Long before the silence of a connection counts as a loss.
const TOLD: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_is_heard_however_full_the_path() {
    let (mut client, mut server) = (Side::new(&Limits::default()), Side::new(&Limits::default()));
    for round in 0..GOODBYES {
        let (address, listening) = listen(&server);
        client.dial(&address);
        client.expect_link(LinkEvent::Up).await;
        let stream = client.open(BIDI);
        client.transport.flush();
        let call = server.accept().await;
        if round % 3 == 0 {
            server.send(call.stream, &vec![7; 900_000]);
        }
        if round % 2 == 0 {
            server.transport.flush();
            tokio::task::yield_now().await;
        }
        listening.close();
        let closed = Instant::now();
        assert_eq!(server.expect_end(call.stream).await.cause, Cause::Lost);
        let (mut ended, mut lost) = (false, false);
        while !ended || !lost {
            match client.next().await {
                Arrival::Ended { stream: of, .. } if of == stream => ended = true,
                Arrival::Link { event, .. } => lost = event == LinkEvent::Lost,
                Arrival::Header { .. } | Arrival::Frame { .. } => {}
                other => panic!("{round}: {other:?}"),
            }
        }
        assert!(closed.elapsed() < TOLD, "{round}: {:?}", closed.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_is_heard_however_full_the_path() {
    let (mut client, mut server) = (Side::new(&Limits::default()), Side::new(&Limits::default()));
    let (address, listening) = listen(&server);
    for round in 0..GOODBYES {
        client.dial(&address);
        client.expect_link(LinkEvent::Up).await;
        let stream = client.open(BIDI);
        client.transport.flush();
        let call = server.accept().await;
        if round % 3 == 0 {
            client.send(stream, &vec![7; 900_000]);
        }
        if round % 2 == 0 {
            client.transport.flush();
            tokio::task::yield_now().await;
        }
        client.transport.hang_up(LINK);
        client.free(stream);
        let closed = Instant::now();
        loop {
            match server.next().await {
                Arrival::Ended { stream: of, .. } if of == call.stream => break,
                Arrival::Frame { .. } => {}
                other => panic!("{round}: {other:?}"),
            }
        }
        while listening.connections() > 0 && closed.elapsed() < TOLD {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(closed.elapsed() < TOLD, "{round}: {:?}", closed.elapsed());
    }
}
