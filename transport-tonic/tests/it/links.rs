//! Connections: dialled, refused, lost, hung up.

use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_tonic::GrpcOptions;

use crate::harness::{BIDI, LINK, Side, UNARY, listen, pair};

#[tokio::test]
async fn nobody_listening_is_a_refusal() {
    let mut client = Side::new(&Limits::default());
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for _ in 0..2 {
        client.dial(&address);
        let streams = [client.open(UNARY), client.open(BIDI)];
        client.ask(streams[0], b"x");
        client.expect_link(LinkEvent::Refused).await;
        let mut ended = Vec::new();
        while ended.len() < 2 {
            let Arrival::Ended {
                stream,
                code,
                cause,
                ..
            } = client.next().await
            else {
                panic!("no end")
            };
            assert_eq!((code, cause), (Code::Unavailable, Cause::Refused));
            ended.push(stream);
        }
        assert!(streams.iter().all(|stream| ended.contains(stream)));
        client.silence().await;
    }
}

#[tokio::test]
async fn a_dial_that_takes_too_long_is_lost() {
    let options = GrpcOptions {
        connect_timeout: Duration::from_millis(50),
        ..GrpcOptions::default()
    };
    let mut client = Side::with(&Limits::default(), options);
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
    let (address, _keep) = listen(&server).await;
    tokio::spawn(server.echo());
    // By name, so that the runtime resolves it.
    client.dial(&address.replace("127.0.0.1", "localhost"));
    let streams: Vec<_> = (0..50_u8)
        .map(|n| {
            let stream = client.open(BIDI);
            client.send(stream, &[n]);
            client.send(stream, &[n, n]);
            client.grpc.half_close(stream);
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
    client.grpc.flush();
    let calls = [server.accept().await.stream, server.accept().await.stream];
    server.expect_frame(calls[1]).await;
    server.send(calls[1], b"y");
    server.grpc.flush();
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
    client.grpc.half_close(late);
    let end = client.expect_end(late).await;
    assert_eq!((end.code, end.cause), (Code::Unavailable, Cause::Lost));
}

#[tokio::test]
async fn a_caller_that_vanishes_ends_its_calls() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    client.open(BIDI);
    let done = client.open(UNARY);
    client.ask(done, b"x");
    client.grpc.flush();
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
    client.grpc.flush();
    let calls = [server.accept().await.stream, server.accept().await.stream];
    server.send(calls[0], b"late");
    server.grpc.flush();
    client.expect_header(streams[0]).await;
    client.grpc.hang_up(LINK);
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
    client.grpc.flush();
    tokio::task::yield_now().await;
    client.grpc.hang_up(LINK);
    client.silence().await;
    assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
}

#[tokio::test]
async fn a_link_is_dialled_again_after_it_was_lost() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (first, listening) = listen(&server).await;
    let (second, _keep) = listen(&server).await;
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
async fn a_peer_that_says_nothing_at_all_is_noticed() {
    // It accepts and never speaks: only the question whether it stands finds out.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let limits = Limits {
        silence_max: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut client = Side::new(&limits);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"anyone?");
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
}
