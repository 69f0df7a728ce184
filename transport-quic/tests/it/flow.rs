//! Who may send how much, and what happens to what is too large.

use std::collections::HashSet;
use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use trefoil_transport_quic::{QuicOptions, Server};

use crate::harness::script::both;
use crate::harness::{BIDI, Side, UNARY, listen, options, pair};

async fn pair_of(client: &Limits, server: &Limits) -> (Side, Side, Server) {
    let (mut client, server) = (Side::new(client), Side::new(server));
    let (address, keep) = listen(&server);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, server, keep)
}

#[tokio::test]
async fn a_full_stream_says_so_and_then_that_there_is_room() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    both::a_full_stream_says_so(&mut client, &mut server).await;
}

/// QUIC may take at once all that stood in the way, and has nobody to wake then.
#[tokio::test]
async fn a_full_stream_has_room_when_all_of_it_leaves_at_once() {
    for (len, calls) in [(1_000, true), (100_000, true), (100_000, false)] {
        let (mut client, mut server, _keep) = pair(&Limits::default()).await;
        let stream = client.open(BIDI);
        client.transport.flush();
        let call = server.accept().await;
        server.transport.flush();
        client.expect_header(stream).await;
        let (side, stream) = if calls {
            (&mut client, stream)
        } else {
            (&mut server, call.stream)
        };
        // Nothing else is to be looked at on it.
        side.silence().await;
        let mut sent = 0;
        while side.try_send(stream, &vec![7; len]) {
            sent += len;
        }
        assert!(sent > 900_000, "{sent} bytes fill it");
        match side.next().await {
            Arrival::Writable { stream: of } => assert_eq!(of, stream),
            other => panic!("{other:?} instead of room"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    both::a_peer_that_does_not_read(&mut client, &mut server).await;
}

#[tokio::test]
async fn streams_above_the_peers_limit_wait_for_their_turn() {
    let limits = Limits::default();
    let few = QuicOptions {
        concurrent_streams_max: 4,
        ..options()
    };
    let (mut client, server) = (Side::new(&limits), Side::with(&limits, few));
    let (address, _keep) = listen(&server);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    tokio::spawn(server.echo());
    let mut open: HashSet<_> = (0..100_u8)
        .map(|n| {
            let stream = client.open(UNARY);
            client.ask(stream, &[n]);
            stream
        })
        .collect();
    // One that waits can be abandoned.
    let last = client.open(UNARY);
    client.transport.flush();
    client.end(last, Code::Cancelled, "");
    while !open.is_empty() {
        match client.next().await {
            Arrival::Ended { stream, code, .. } => {
                assert_eq!(code, Code::Ok);
                assert!(open.remove(&stream));
            }
            Arrival::Header { .. } | Arrival::Frame { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_answer_leaves_although_its_stream_is_forgotten() {
    let limits = Limits {
        stream_send_bytes_max: 8 << 20,
        ..both::small()
    };
    let limits = Limits {
        frame_bytes_max: 4 << 20,
        ..limits
    };
    let (mut client, mut server, _keep) = pair_of(&limits, &limits).await;
    let stream = client.open(BIDI);
    client.transport.flush();
    let call = server.accept().await;
    let answer: Vec<u8> = (0..4 << 20).map(|n: u32| (n >> 8) as u8).collect();
    server.send(call.stream, &answer);
    // The client's window is 64 KiB: nearly all of it is still here when the stream ends.
    server.end(call.stream, Code::Aborted, "all of it");
    assert!(server.sizes().contains("streams: 0"), "{}", server.sizes());
    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, answer);
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::Aborted, "all of it")
    );
    server.silence().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let limits = Limits {
        silence_max: Duration::from_millis(300),
        ..both::small()
    };
    let (mut client, mut server, listening) = pair_of(&limits, &limits).await;
    let stream = client.open(BIDI);
    client.transport.flush();
    let call = server.accept().await;
    client.credits = false;
    for _ in 0..3 {
        server.send(call.stream, &[7; 80_000]);
    }
    server.end(call.stream, Code::Ok, "");
    client.expect_header(stream).await;
    client.expect_frame(stream).await;
    // Not read any further for longer than a connection may be silent. The connection stands.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(listening.connections(), 1);
    client.credits = true;
    client.transport.credit(stream, 80_000);
    let end = loop {
        match client.next().await {
            Arrival::Frame { .. } => {}
            Arrival::Ended { code, cause, .. } => break (code, cause),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, (Code::Cancelled, Cause::Peer));
}

#[tokio::test]
async fn an_answer_ends_a_call_that_is_still_being_asked() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    let stream = client.open(BIDI);
    client.transport.flush();
    let call = server.accept().await;
    server.credits = false;
    // Everything between the two is full.
    loop {
        while client.try_send(stream, &[7; 10_000]) {}
        match client.next_within(Duration::from_millis(100)).await {
            Some(Arrival::Writable { .. } | Arrival::Header { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    server.end(call.stream, Code::OutOfRange, "enough");
    server.transport.flush();
    let end = loop {
        match client.next().await {
            Arrival::Writable { .. } | Arrival::Header { .. } => {
                client.try_send(stream, b"for nobody");
            }
            Arrival::Ended { code, cause, .. } => break (code, cause),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, (Code::OutOfRange, Cause::Peer));
    assert!(!client.try_send(stream, b"late"));
    client.silence().await;
    server.silence().await;
    assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
    // What was under way is no burden to the next.
    for _ in 0..20 {
        let stream = client.open(UNARY);
        client.ask(stream, &[1; 50_000]);
        client.transport.flush();
        let call = server.accept().await;
        server.credits = true;
        let Arrival::Frame { frame, .. } = server.next_while(&mut client).await else {
            panic!("no frame")
        };
        assert_eq!(frame.len(), 50_000);
        server.end(call.stream, Code::Ok, "");
        client.expect_header(stream).await;
        client.expect_end(stream).await;
    }
}

#[tokio::test]
async fn metadata_above_the_limit_is_not_sent() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let value = vec![b'x'; 8_000];
    let fits = client.open_with(UNARY, &[("a", &value), ("b", &value)], None);
    let value = vec![b'x'; 8_190];
    let over = client.open_with(UNARY, &[("a", &value), ("b", &value)], None);
    let end = client.expect_end(over).await;
    assert_eq!(end.code, Code::ResourceExhausted);
    assert!(end.message.starts_with("TF-Q11"), "{}", end.message);
    assert!(server.accept().await.stream.slot() == 0);
    client.end(fits, Code::Cancelled, "");
}
