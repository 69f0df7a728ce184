//! Bytes that no honest peer sends.

use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_quic::quinn::{Connection, Endpoint, RecvStream, SendStream};

use crate::harness::{BIDI, LINK, Side, listen, papers, runtime};
use crate::raw::{Raw, frame, hear, request, status, word};

const PATH: &[u8] = b"/test.Test/Bidi";

async fn raw_and_side(limits: &Limits) -> (Raw, Side) {
    let side = Side::new(limits);
    let (address, _) = listen(&side);
    (Raw::dial(&address).await, side)
}

#[tokio::test]
async fn a_request_that_is_none_is_reset() {
    let (raw, mut side) = raw_and_side(&Limits::default()).await;
    let mut long_path = request(PATH);
    long_path[4] = 200;
    for (what, bytes) in [
        ("an unknown kind", word(7, 20)),
        ("a message before the request", frame(0, b"hello")),
        ("a header", frame(2, b"")),
        ("a status", frame(3, &[0, 0, 0])),
        ("an empty request", frame(1, b"")),
        ("a path that is longer than the frame", long_path),
        ("a path that is no text", request(&[0xff, 0xfe])),
    ] {
        let (_send, mut recv) = raw.say(&bytes).await;
        assert_eq!(hear(&mut recv).await, Err(2), "{what}");
    }
    for cut in 0..request(PATH).len() {
        let (mut send, mut recv) = raw.say(&request(PATH)[..cut]).await;
        send.finish().unwrap();
        assert_eq!(hear(&mut recv).await, Err(2), "cut at {cut}");
    }
    side.silence().await;
    // The connection has not suffered.
    let (_send, mut recv) = raw.say(&request(b"/no/Such")).await;
    let (code, message) = status(&hear(&mut recv).await.unwrap());
    assert_eq!((code, &message[..6]), (Code::Unimplemented as u8, "TF-C08"));
    let (_send, mut recv) = raw.say(&word(1, (16 << 10) + 1)).await;
    let (code, message) = status(&hear(&mut recv).await.unwrap());
    assert_eq!(
        (code, &message[..6]),
        (Code::ResourceExhausted as u8, "TF-Q11")
    );
    side.silence().await;
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        request_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let (raw, mut side) = raw_and_side(&limits).await;
    let bytes = request(PATH);
    for cut in [1, 3, 4, 10, bytes.len() - 1] {
        let (_send, mut recv) = raw.say(&bytes[..cut]).await;
        assert_eq!(hear(&mut recv).await, Err(3), "cut at {cut}");
    }
    side.silence().await;
    // One that comes in pieces, in time, is a request.
    let (mut send, _recv) = raw.say(&bytes[..7]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    send.write_all(&bytes[7..]).await.unwrap();
    side.accept().await;
}

#[tokio::test]
async fn what_follows_the_request_must_be_messages() {
    let (raw, mut side) = raw_and_side(&Limits::default()).await;
    for (what, bytes) in [
        ("an unknown kind", word(5, 0)),
        ("another request", request(PATH)),
        ("a header", frame(2, b"")),
        ("a status", frame(3, &[0, 0, 0])),
    ] {
        let mut all = request(PATH);
        all.extend_from_slice(&frame(0, b"fine"));
        all.extend_from_slice(&bytes);
        let (_send, mut recv) = raw.say(&all).await;
        let call = side.accept().await;
        assert_eq!(side.expect_frame(call.stream).await, "fine");
        let end = side.expect_end(call.stream).await;
        assert_eq!(
            (end.code, end.cause),
            (Code::Internal, Cause::Peer),
            "{what}"
        );
        assert!(end.message.starts_with("TF-Q08"), "{}", end.message);
        // The header of the answer has gone out before.
        let heard = hear(&mut recv).await.unwrap();
        assert_eq!(heard[..4], word(2, 0));
        let (code, message) = status(&heard[4..]);
        assert_eq!((code, &message[..6]), (Code::Internal as u8, "TF-Q08"));
    }
    side.silence().await;
    assert!(side.sizes().contains("streams: 0"), "{}", side.sizes());
}

#[tokio::test]
async fn a_stream_that_ends_within_a_frame_is_broken() {
    let (raw, mut side) = raw_and_side(&Limits::default()).await;
    let whole = frame(0, b"message");
    for cut in 1..whole.len() {
        let mut all = request(PATH);
        all.extend_from_slice(&whole[..cut]);
        let (mut send, _recv) = raw.say(&all).await;
        send.finish().unwrap();
        let call = side.accept().await;
        let end = side.expect_end(call.stream).await;
        assert_eq!(
            (end.code, end.cause),
            (Code::Internal, Cause::Peer),
            "{cut}"
        );
    }
}

#[tokio::test]
async fn a_claim_is_not_believed() {
    let (raw, mut side) = raw_and_side(&Limits::default()).await;
    let mut all = request(PATH);
    all.extend_from_slice(&word(0, (64 << 20) + 1));
    let (_send, _recv) = raw.say(&all).await;
    let call = side.accept().await;
    let end = side.expect_end(call.stream).await;
    assert_eq!(end.code, Code::ResourceExhausted);
    assert!(end.message.starts_with("TF-C05"), "{}", end.message);
    // As large as it may be, and never sent: a thousand of them would be 64 GB.
    let mut all = request(PATH);
    all.extend_from_slice(&word(0, 64 << 20));
    let mut kept = Vec::new();
    for _ in 0..1_000 {
        kept.push(raw.say(&all).await);
        side.accept().await;
    }
    side.silence().await;
    let resident = resident();
    assert!(resident < 1 << 30, "{resident} bytes are resident");
}

/// Memory of this process.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test]
async fn random_bytes_end_streams_and_nothing_else() {
    let (raw, mut side) = raw_and_side(&Limits::default()).await;
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8
    };
    for n in 0..300 {
        let mut bytes = if n % 2 == 0 {
            request(PATH)
        } else {
            Vec::new()
        };
        bytes.extend((0..n % 90).map(|_| random()));
        let (mut send, _recv) = raw.say(&bytes).await;
        send.finish().unwrap();
    }
    // Each call that was one is answered for or ends; the driver is told nothing else.
    let mut open = std::collections::HashSet::new();
    while let Some(arrival) = side.next_within(Duration::from_millis(300)).await {
        match arrival {
            Arrival::Accepted { call, .. } => {
                let id = side.id();
                side.transport
                    .bind(call, id, trefoil_core::header::Header::EMPTY);
                assert!(open.insert(id));
            }
            Arrival::Ended { stream, .. } => assert!(open.remove(&stream)),
            Arrival::HalfClosed { stream } | Arrival::Frame { stream, .. } => {
                assert!(open.contains(&stream));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A server that keeps the rules of QUIC, and what a client of ours has opened there.
async fn hostile_server(client: &mut Side) -> (Connection, Endpoint) {
    use trefoil_transport_quic::quinn::crypto::rustls::QuicServerConfig;
    use trefoil_transport_quic::quinn::{EndpointConfig, ServerConfig};
    let crypto = papers().tls.server_config(b"trefoil/1").unwrap();
    let config = ServerConfig::with_crypto(std::sync::Arc::new(
        QuicServerConfig::try_from(crypto).unwrap(),
    ));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint =
        Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime()).unwrap();
    client.dial(&endpoint.local_addr().unwrap().to_string());
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    client.expect_link(LinkEvent::Up).await;
    (connection, endpoint)
}

async fn called(client: &mut Side, server: &Connection) -> (SendStream, RecvStream) {
    client.transport.flush();
    let (send, mut recv) = server.accept_bi().await.unwrap();
    let mut asked = [0; 4];
    recv.read_exact(&mut asked).await.unwrap();
    assert_eq!(u32::from_le_bytes(asked) >> 29, 1);
    (send, recv)
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_call() {
    let mut client = Side::new(&Limits::default());
    let (server, _endpoint) = hostile_server(&mut client).await;
    for (what, bytes) in [
        ("a message before the header", frame(0, b"x")),
        ("an unknown kind", word(4, 1)),
        ("a request", frame(1, b"")),
        ("a status without a message", frame(3, &[0, 9, 0])),
        ("a status of many bytes", word(3, (64 << 10) + 1)),
        ("a header of many bytes", word(2, (16 << 10) + 1)),
        ("nothing", Vec::new()),
    ] {
        let stream = client.open(BIDI);
        let (mut send, _recv) = called(&mut client, &server).await;
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        let end = client.expect_end(stream).await;
        assert_eq!(
            (end.code, end.cause),
            (Code::Internal, Cause::Peer),
            "{what}"
        );
        assert!(end.message.starts_with("TF-Q08"), "{}", end.message);
    }
    for (what, bytes) in [
        ("two headers", frame(2, b"")),
        ("an end without a status", Vec::new()),
    ] {
        let stream = client.open(BIDI);
        let (mut send, _recv) = called(&mut client, &server).await;
        send.write_all(&frame(2, b"")).await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        client.expect_header(stream).await;
        let end = client.expect_end(stream).await;
        assert_eq!(end.code, Code::Internal, "{what}");
    }
    client.silence().await;
}

#[tokio::test]
async fn what_follows_a_status_is_not_looked_at() {
    let mut client = Side::new(&Limits::default());
    let (server, _endpoint) = hostile_server(&mut client).await;
    for after in [&b"rubbish"[..], &[0; 50_000], b""] {
        for finished in [false, true] {
            let stream = client.open(BIDI);
            let (mut send, _recv) = called(&mut client, &server).await;
            let mut bytes = frame(3, &[5, 2, 0, b'n', b'o', b'd']);
            bytes.extend_from_slice(after);
            send.write_all(&bytes).await.unwrap();
            if finished {
                send.finish().unwrap();
            }
            let end = client.expect_end(stream).await;
            assert_eq!((end.code, end.message.as_str()), (Code::NotFound, "no"));
            assert_eq!(end.details, "d");
        }
    }
    client.silence().await;
}

#[tokio::test]
async fn a_reset_says_what_became_of_the_call() {
    let mut client = Side::new(&Limits::default());
    let (server, _endpoint) = hostile_server(&mut client).await;
    for (reset, code, message) in [
        (0_u32, Code::Internal, "TF-Q08"),
        (1, Code::Cancelled, "TF-Q07"),
        (2, Code::Internal, "TF-Q08"),
        (3, Code::Unavailable, "TF-Q09"),
        (4, Code::ResourceExhausted, "TF-C05"),
        (5, Code::Unavailable, "TF-Q09"),
        (77, Code::Internal, "TF-Q08"),
    ] {
        let stream = client.open(BIDI);
        let (mut send, mut recv) = called(&mut client, &server).await;
        send.reset(reset.into()).unwrap();
        recv.stop(reset.into()).unwrap();
        let end = client.expect_end(stream).await;
        assert_eq!((end.code, end.cause), (code, Cause::Peer), "reset {reset}");
        assert!(end.message.starts_with(message), "{}", end.message);
    }
    // A peer may not open streams at one who dialled it.
    let open = tokio::time::timeout(Duration::from_millis(100), server.open_bi()).await;
    assert!(open.is_err(), "a stream was allowed");
    assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
    client.transport.hang_up(LINK);
}
