//! Who may send how much, and what happens to what is too large.

use std::time::Duration;

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use trefoil_transport_tonic::Server;

use crate::harness::{BIDI, Side, Tokio, listen, pair};

fn small() -> Limits {
    Limits {
        frame_bytes_max: 2 << 20,
        stream_send_bytes_max: 256 << 10,
        stream_receive_bytes_max: 64 << 10,
        reply_reserve: 64 << 10,
        ..Limits::default()
    }
}

async fn pair_of(client: &Limits, server: &Limits) -> (Side, Side, Server<Tokio>) {
    let (mut client, server) = (Side::new(client), Side::new(server));
    let (address, keep) = listen(&server).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, server, keep)
}

#[tokio::test]
async fn a_request_that_is_too_large_ends_the_call_on_both_sides() {
    let (mut client, mut server, _keep) = pair_of(
        &small(),
        &Limits {
            frame_bytes_max: 100_000,
            ..small()
        },
    )
    .await;
    let stream = client.open(BIDI);
    client.send(stream, b"fits");
    client.send(stream, &vec![1; 100_001]);
    client.grpc.flush();
    let call = server.accept().await;
    assert_eq!(server.expect_frame(call.stream).await, "fits");
    let end = server.expect_end(call.stream).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::ResourceExhausted, codes::TOO_LARGE)
    );
    client.expect_header(stream).await;
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.cause, end.message.as_str()),
        (Code::ResourceExhausted, Cause::Peer, codes::TOO_LARGE)
    );
    server.silence().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_ends_the_call_on_both_sides() {
    let (mut client, mut server, _keep) = pair_of(
        &Limits {
            frame_bytes_max: 100_000,
            ..small()
        },
        &small(),
    )
    .await;
    let stream = client.open(BIDI);
    client.grpc.flush();
    let call = server.accept().await;
    server.send(call.stream, &vec![1; 100_001]);
    server.grpc.flush();
    client.expect_header(stream).await;
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::ResourceExhausted, codes::TOO_LARGE)
    );
    let end = server.expect_end(call.stream).await;
    assert_eq!((end.code, end.cause), (Code::Cancelled, Cause::Peer));
}

#[tokio::test]
async fn the_largest_message_passes_and_a_larger_one_is_not_taken() {
    let (mut client, server, _keep) = pair(&small()).await;
    tokio::spawn(server.echo());
    let stream = client.open(BIDI);
    let large: Vec<u8> = (0..2 << 20)
        .map(|n: u32| n as u8 ^ (n >> 8) as u8)
        .collect();
    client.send(stream, &large);
    client.expect_header(stream).await;
    assert_eq!(
        client.expect_frame(stream).await.as_ref(),
        large,
        "more than every budget, but alone"
    );
    assert!(!client.try_send(stream, &vec![0; (2 << 20) + 1]));
    client.silence().await;
}

#[tokio::test]
async fn a_full_stream_says_so_and_then_that_there_is_room() {
    let (mut client, mut server, _keep) = pair(&small()).await;
    let stream = client.open(BIDI);
    client.grpc.flush();
    let call = server.accept().await;
    server.credits = false;
    let mut sent = 0;
    // Until the server's windows are full as well.
    loop {
        while client.try_send(stream, &[7; 10_000]) {
            sent += 1;
        }
        assert!(sent < 1_000, "nothing holds the sender back");
        match client.next_within(Duration::from_millis(300)).await {
            Some(Arrival::Writable { stream: of }) => assert_eq!(of, stream),
            Some(Arrival::Header { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    assert!(
        sent * 10_000 < (1 << 20) + (256 << 10) + (512 << 10),
        "{sent} frames are under way"
    );
    // The server takes them all, and the sender is told.
    server.credits = true;
    for _ in 0..sent {
        assert_eq!(server.expect_frame(call.stream).await.len(), 10_000);
    }
    loop {
        match client.next().await {
            Arrival::Writable { .. } => break,
            Arrival::Header { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(client.try_send(stream, &[7; 10_000]));
    client.silence().await;
}

#[tokio::test]
async fn frames_that_are_not_credited_use_the_budget_up() {
    let (mut client, mut server, _keep) = pair(&small()).await;
    let stream = client.open(BIDI);
    for _ in 0..20 {
        client.send(stream, &[1; 10_000]);
    }
    client.grpc.flush();
    let call = server.accept().await;
    server.credits = false;
    for _ in 0..6 {
        server.expect_frame(call.stream).await;
    }
    server.silence().await;
    server.grpc.credit(call.stream, 5_000);
    server.expect_frame(call.stream).await;
    server.silence().await;
    server.grpc.credit(call.stream, 65_000);
    for _ in 0..6 {
        server.expect_frame(call.stream).await;
    }
    server.silence().await;
    // Another stream is not held back by this one.
    let other = client.open(BIDI);
    client.send(other, b"free");
    client.grpc.flush();
    let call = server.accept().await;
    assert_eq!(server.expect_frame(call.stream).await, "free");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read() {
    let limits = small();
    let (mut client, mut server, _keep) = pair(&limits).await;
    let stream = client.open(BIDI);
    // The client takes nothing from now on; the server answers every frame with as much.
    client.credits = false;
    let mut delivered = 0_u64;
    let mut call = None;
    let mut idle = 0;
    while idle < 5 {
        while client.try_send(stream, &[5; 32 << 10]) {}
        client.grpc.flush();
        match server.next_within(Duration::from_millis(60)).await {
            Some(Arrival::Accepted { call: number, .. }) => {
                let id = server.id();
                server
                    .grpc
                    .bind(number, id, trefoil_core::header::Header::EMPTY);
                call = Some(id);
            }
            Some(Arrival::Frame { stream, frame }) => {
                idle = 0;
                delivered += frame.len() as u64;
                // A reply to a frame that was delivered always has room.
                server.send(stream, &frame);
            }
            Some(other) => panic!("{other:?}"),
            None => idle += 1,
        }
        assert!(delivered < 64 << 20, "the server reads without end");
    }
    // A window of the client's, its own queue, and what HTTP/2 holds between.
    assert!(
        delivered < (1 << 20) + (256 << 10) + (512 << 10),
        "{delivered} bytes were answered"
    );
    // When the client reads again, all of it comes.
    client.credits = true;
    let mut got = 0_u64;
    while got < delivered {
        match client.next_within(Duration::from_millis(20)).await {
            Some(Arrival::Frame { frame, .. }) => got += frame.len() as u64,
            Some(Arrival::Header { .. } | Arrival::Writable { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => {
                if let Some(Arrival::Frame { stream, frame }) =
                    server.next_within(Duration::from_millis(20)).await
                {
                    server.send(stream, &frame);
                }
            }
        }
    }
    assert!(call.is_some());
}

#[tokio::test]
async fn a_caller_that_neither_reads_nor_is_read_can_still_go_away() {
    let (mut client, mut server, _keep) = pair(&small()).await;
    let stream = client.open(BIDI);
    client.grpc.flush();
    let call = server.accept().await;
    server.credits = false;
    loop {
        while client.try_send(stream, &[7; 10_000]) {}
        match client.next_within(Duration::from_millis(200)).await {
            Some(Arrival::Writable { .. } | Arrival::Header { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    client.end(stream, Code::Cancelled, "");
    loop {
        match server.next().await {
            Arrival::Frame { .. } => {}
            Arrival::Ended { stream, code, .. } => {
                assert_eq!((stream, code), (call.stream, Code::Cancelled));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn messages_that_came_together_are_pieces_of_one_buffer() {
    let (mut client, mut server, _keep) = pair(&small()).await;
    let stream = client.open(BIDI);
    for _ in 0..10 {
        client.send(stream, &[7; 100]);
    }
    client.grpc.flush();
    let call = server.accept().await;
    let mut places = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..10 {
        let frame = server.expect_frame(call.stream).await;
        places.push(frame.as_ptr() as usize);
        kept.push(frame);
    }
    // Five bytes stand before each: none was moved since they were read.
    assert!(
        places
            .windows(2)
            .all(|two| two[1].wrapping_sub(two[0]) == 105)
    );
}
