//! What a call carries, and how it ends.

use std::time::Duration;

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::Code;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use trefoil_core::method::Methods;
use trefoil_transport_quic::Quic;

use crate::harness::script::both;
use crate::harness::{BIDI, Side, UNARY, listen, listen_with, options, pair, papers};

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let limits = Limits::default();
    let mut client = Side::new(&limits);
    let bare = Quic::new(
        crate::harness::runtime(),
        papers().tls.clone(),
        Methods::new(),
        &limits,
        options(),
    )
    .unwrap();
    let server = bare.server();
    client.dial(&listen_with(&server));
    client.expect_link(LinkEvent::Up).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"x");
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.message.as_str()),
        (Code::Unimplemented, codes::NO_METHOD)
    );
    // A method that is not in our own table either.
    let stream = client.open(trefoil_core::id::MethodId(999));
    assert_eq!(client.expect_end(stream).await.code, Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_on_other_threads_make_no_difference() {
    tokio::join!(in_order(), many(), many());
}

async fn in_order() {
    let (mut client, server, _keep) = pair(&Limits::default()).await;
    tokio::spawn(server.echo());
    let stream = client.open(BIDI);
    let mut sent = 0_u32;
    let mut got = 0_u32;
    while got < 20_000 {
        while sent < 20_000
            && sent - got < 500
            && client.try_send(stream, &sent.to_le_bytes().repeat(1 + sent as usize % 50))
        {
            sent += 1;
        }
        match client.next().await {
            Arrival::Frame { frame, .. } => {
                assert_eq!(
                    frame.as_ref(),
                    got.to_le_bytes().repeat(1 + got as usize % 50)
                );
                got += 1;
            }
            Arrival::Header { .. } | Arrival::Writable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    client.transport.half_close(stream);
    assert!(
        !client.try_send(stream, b"more"),
        "nothing is sent after a half-close"
    );
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
}

#[tokio::test]
async fn a_caller_that_half_closed_still_hears() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(BIDI);
    client.transport.half_close(stream);
    client.transport.flush();
    let call = server.accept().await;
    server.expect_half_close(call.stream).await;
    for n in 0..3 {
        server.send(call.stream, &[n]);
        server.transport.flush();
    }
    client.expect_header(stream).await;
    for n in 0..3 {
        assert_eq!(client.expect_frame(stream).await.as_ref(), [n]);
    }
    // The accepting side can only end; a half-close from it changes nothing on the wire.
    server.transport.half_close(call.stream);
    server.transport.flush();
    client.silence().await;
    server.end(call.stream, Code::Ok, "");
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
}

async fn many() {
    let (mut client, server, _keep) = pair(&Limits::default()).await;
    tokio::spawn(server.echo());
    let mut open = std::collections::HashMap::new();
    for n in 0..2_000_u32 {
        let stream = client.open(UNARY);
        client.ask(stream, &n.to_le_bytes());
        open.insert(stream, (n, false));
    }
    while !open.is_empty() {
        match client.next().await {
            Arrival::Frame { stream, frame } => {
                let (n, answered) = open.get_mut(&stream).unwrap();
                assert_eq!(frame.as_ref(), n.to_le_bytes());
                assert!(!std::mem::replace(answered, true));
            }
            Arrival::Ended { stream, code, .. } => {
                assert_eq!(code, Code::Ok);
                assert!(open.remove(&stream).unwrap().1, "ended without an answer");
            }
            Arrival::Header { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn ten_thousand_calls_leave_nothing_behind() {
    let (mut client, server, _keep) = pair(&Limits::default()).await;
    tokio::spawn(server.echo());
    for n in 0..10_000_u32 {
        let stream = client.open(UNARY);
        client.ask(stream, &n.to_le_bytes());
        if n % 10 == 0 {
            // Abandoned at every stage.
            if n % 20 == 0 {
                client
                    .next_within(Duration::from_micros(u64::from(n % 700)))
                    .await;
            }
            client.end(stream, Code::Cancelled, "");
            continue;
        }
        loop {
            match client.next().await {
                Arrival::Ended {
                    stream: of, code, ..
                } if of == stream => {
                    assert_eq!(code, Code::Ok);
                    break;
                }
                Arrival::Frame { .. } | Arrival::Header { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(
        client.sizes().contains("slots: 1, streams: 0, calls: 0"),
        "{}",
        client.sizes()
    );
}

#[tokio::test]
async fn a_transport_that_is_dropped_ends_its_calls() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, _keep) = listen(&server);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    both::a_dropped_transport(&mut client, server).await;
}
