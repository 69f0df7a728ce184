//! What a call carries, and how it ends.

use std::time::Duration;

use trefoil_core::codes;
use trefoil_core::header::Header;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use trefoil_core::method::Methods;
use trefoil_transport_quic::Quic;

use crate::harness::{
    BIDI, LINK, SOON, Side, UNARY, header, listen, listen_with, options, pair, papers,
};

#[tokio::test]
async fn a_unary_call_goes_there_and_back() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open_with(UNARY, &[], Some(Duration::from_secs(5)));
    client.ask(stream, b"ping");
    client.quic.flush();

    let call = server.accept().await;
    assert_eq!(call.method, UNARY);
    assert_eq!(call.timeout, Some(Duration::from_secs(5)));
    assert_eq!(server.expect_frame(call.stream).await, "ping");
    server.expect_half_close(call.stream).await;
    server.send(call.stream, b"pong");
    server.end(call.stream, Code::Ok, "");
    server.quic.flush();

    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, "pong");
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.cause, end.message.as_str()),
        (Code::Ok, Cause::Peer, "")
    );
    client.silence().await;
    server.silence().await;
}

#[tokio::test]
async fn a_call_without_a_deadline_says_none() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"");
    client.quic.flush();
    let call = server.accept().await;
    assert_eq!(call.timeout, None);
    assert_eq!(
        server.expect_frame(call.stream).await,
        "",
        "an empty message is a message"
    );
}

#[tokio::test]
async fn metadata_travels_both_ways() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let pairs: [(&str, &[u8]); 4] = [
        ("trefoil-node", b"a:1"),
        ("raw-bin", &[0, 1, 254, 255]),
        ("twice", b"one"),
        ("twice", b"two"),
    ];
    let stream = client.open_with(BIDI, &pairs, None);
    client.quic.flush();
    let Arrival::Accepted {
        call, header: got, ..
    } = server.next().await
    else {
        panic!("no call")
    };
    let mut got: Vec<_> = Header(&got)
        .iter()
        .map(|(k, v)| (k.to_owned(), v.to_vec()))
        .collect();
    let mut sent: Vec<_> = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.to_vec()))
        .collect();
    got.sort();
    sent.sort();
    assert_eq!(
        got, sent,
        "nothing of gRPC's own passes, and all of ours does"
    );

    let answer = server.id();
    server.quic.bind(
        call,
        answer,
        Header(&header(&[("owner-bin", &[7, 0]), ("trefoil-node", b"b:2")])),
    );
    server.quic.flush();
    let got = client.expect_header(stream).await;
    assert_eq!(Header(&got).value("owner-bin"), Some(&[7, 0][..]));
    assert_eq!(Header(&got).text("trefoil-node"), Some("b:2"));
    assert_eq!(Header(&got).iter().count(), 2);
}

#[tokio::test]
async fn a_status_keeps_its_message_and_its_details() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(BIDI);
    client.quic.flush();
    let call = server.accept().await;
    server.send(call.stream, b"first");
    let status = Status {
        details: &[0, 8, 255],
        ..Status::new(Code::Aborted, "TF-R03: während – 移動 100%\n")
    };
    server.quic.end(call.stream, status);
    server.quic.flush();
    client.expect_header(stream).await;
    assert_eq!(
        client.expect_frame(stream).await,
        "first",
        "what was sent before the end comes before it"
    );
    let end = client.expect_end(stream).await;
    assert_eq!((end.code, end.cause), (Code::Aborted, Cause::Peer));
    assert_eq!(end.message, "TF-R03: während – 移動 100%\n");
    assert_eq!(end.details, &[0, 8, 255][..]);
    server.silence().await;
}

#[tokio::test]
async fn every_code_survives() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    for number in 0..=16 {
        let code = Code::from_wire(number);
        let stream = client.open(BIDI);
        client.quic.flush();
        let call = server.accept().await;
        server.end(call.stream, code, "");
        server.quic.flush();
        client.expect_header(stream).await;
        assert_eq!(client.expect_end(stream).await.code, code);
    }
}

#[tokio::test]
async fn a_refused_call_ends_with_the_status_alone() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"x");
    client.quic.flush();
    let Arrival::Accepted { call, .. } = server.next().await else {
        panic!("no call")
    };
    server.quic.refuse(
        call,
        Status {
            details: b"why",
            ..Status::new(Code::ResourceExhausted, codes::BUSY)
        },
    );
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.cause, end.message.as_str()),
        (Code::ResourceExhausted, Cause::Peer, codes::BUSY)
    );
    assert_eq!(end.details, "why");
    server.silence().await;
    // Answers to a call that has been answered do nothing.
    server.quic.refuse(call, Status::OK);
    let late = server.id();
    server.quic.bind(call, late, Header::EMPTY);
    server.silence().await;
}

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

#[tokio::test]
async fn frames_of_both_directions_keep_their_order() {
    in_order().await;
}

#[tokio::test]
async fn many_streams_at_once() {
    many().await;
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
    client.quic.half_close(stream);
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
    client.quic.half_close(stream);
    client.quic.flush();
    let call = server.accept().await;
    server.expect_half_close(call.stream).await;
    for n in 0..3 {
        server.send(call.stream, &[n]);
        server.quic.flush();
    }
    client.expect_header(stream).await;
    for n in 0..3 {
        assert_eq!(client.expect_frame(stream).await.as_ref(), [n]);
    }
    // The accepting side can only end; a half-close from it changes nothing on the wire.
    server.quic.half_close(call.stream);
    server.quic.flush();
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
async fn an_abandoned_call_is_cancelled_at_the_peer() {
    for half_closed in [false, true] {
        for answered in [false, true] {
            let (mut client, mut server, _keep) = pair(&Limits::default()).await;
            let stream = client.open(BIDI);
            client.send(stream, b"x");
            if half_closed {
                client.quic.half_close(stream);
            }
            client.quic.flush();
            let call = server.accept().await;
            assert_eq!(server.expect_frame(call.stream).await, "x");
            if half_closed {
                server.expect_half_close(call.stream).await;
            }
            if answered {
                server.send(call.stream, b"y");
                server.quic.flush();
                client.expect_header(stream).await;
                assert_eq!(client.expect_frame(stream).await, "y");
            }
            client.end(stream, Code::Cancelled, "");
            let end = server.expect_end(call.stream).await;
            assert_eq!(
                (end.code, end.cause),
                (Code::Cancelled, Cause::Peer),
                "half-closed {half_closed}, answered {answered}"
            );
            client.silence().await;
            server.silence().await;
            assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
            assert!(server.sizes().contains("streams: 0"), "{}", server.sizes());
        }
    }
}

#[tokio::test]
async fn effects_on_a_stream_that_is_over_do_nothing() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(BIDI);
    client.quic.flush();
    let call = server.accept().await;
    server.end(call.stream, Code::Ok, "");
    server.quic.flush();
    client.expect_header(stream).await;
    client.expect_end(stream).await;
    // The slot has a new user; the old id must not reach it.
    let other = client.open(BIDI);
    assert_eq!((other.slot(), stream.slot()), (0, 0));
    for (side, stream) in [(&mut client, stream), (&mut server, call.stream)] {
        assert!(side.quic.frame(stream, 1).is_err());
        side.quic.credit(stream, 1);
        side.quic.half_close(stream);
        side.quic.end(stream, Status::OK);
    }
    client.send(other, b"still there");
    client.quic.flush();
    let call = server.accept().await;
    assert_eq!(server.expect_frame(call.stream).await, "still there");
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
    let (mut client, mut server) = (Side::new(&limits), Side::new(&limits));
    let (address, keep) = listen(&server);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let accepted = client.open(BIDI);
    client.quic.flush();
    server.accept().await;
    client.expect_header_of(&mut server, accepted).await;
    let offered = client.open(BIDI);
    client.quic.flush();
    let Arrival::Accepted { .. } = server.next().await else {
        panic!("no call")
    };
    drop(server);
    let mut ends = 0;
    while ends < 2 {
        if let Arrival::Ended {
            stream,
            code,
            message,
            ..
        } = client.next().await
        {
            assert!(stream == accepted || stream == offered);
            assert_eq!(
                (code, message.as_ref()),
                (Code::Unavailable, codes::STOPPING.as_bytes())
            );
            ends += 1;
        }
    }
    let late = client.open(BIDI);
    assert_eq!(client.expect_end(late).await.message, codes::STOPPING);
    drop(keep);
}

impl Side {
    /// Lets `other` flush, then takes the header of its answer.
    async fn expect_header_of(&mut self, other: &mut Self, stream: trefoil_core::id::StreamId) {
        other.quic.flush();
        self.expect_header(stream).await;
    }
}

#[tokio::test]
async fn the_driver_sleeps_until_something_happens_and_is_then_woken() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let waiting = tokio::spawn(async move {
        let call = server.accept().await;
        server.expect_frame(call.stream).await;
        server
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stream = client.open(BIDI);
    client.send(stream, b"x");
    client.quic.flush();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    // A link of another class is a connection of its own.
    assert_ne!(LINK.0, 0);
    client
        .quic
        .dial(trefoil_core::id::LinkId(0), "127.0.0.1:1", Class::Bulk);
}

#[tokio::test]
async fn nothing_of_a_call_comes_before_it_was_decided() {
    let (mut client, mut server, _keep) = pair(&Limits::default()).await;
    let stream = client.open(BIDI);
    client.send(stream, b"early");
    client.quic.flush();
    let Arrival::Accepted { call, .. } = server.next().await else {
        panic!("no call")
    };
    client.end(stream, Code::Cancelled, "");
    server.silence().await;
    let id = server.id();
    server.quic.bind(call, id, Header::EMPTY);
    // What came first may still be told; then that it is over.
    let end = loop {
        match server.next().await {
            Arrival::Frame { stream, .. } => assert_eq!(stream, id),
            Arrival::Ended { stream, code, .. } => break (stream, code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, (id, Code::Cancelled));
    server.silence().await;
}
