//! Connections: dialled, refused, lost, hung up.

use std::net::UdpSocket;
use std::time::Duration;

use trefoil_core::header::Header;
use trefoil_core::id::LinkId;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_quic::QuicOptions;

use crate::harness::{BIDI, LINK, Side, UNARY, listen, options};

fn hasty() -> QuicOptions {
    QuicOptions {
        connect_timeout: Duration::from_millis(100),
        ..options()
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
            client.transport.half_close(stream);
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
async fn both_classes_share_a_connection_until_the_last_link_is_hung_up() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, listening) = listen(&server);
    tokio::spawn(server.echo());
    let bulk = LinkId(LINK.0 + 1);
    client.dial(&address);
    client.transport.dial(bulk, &address, Class::Bulk);
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
    client.transport.hang_up(LINK);
    let stream = client.id();
    client
        .transport
        .open(stream, bulk, UNARY, Header::EMPTY, None);
    client.ask(stream, b"still there");
    client.expect_header(stream).await;
    assert_eq!(client.expect_frame(stream).await, "still there");
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
    // A link to an address that stands already is up at once.
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    client.transport.hang_up(LINK);
    client.transport.hang_up(bulk);
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
    client.transport.dial(bulk, &address, Class::Bulk);
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
        let server = side.transport.server();
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
    let took = client.lost().await;
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
    let took = client.lost().await;
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
    let listening = server.transport.server();
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
        client.transport.hang_up(LINK);
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
    // A system that grants small socket buffers drops some of their packets, again and again: each
    // then waits twice as long as before, which may be longer than a dial does in earnest.
    let patient = QuicOptions {
        connect_timeout: Duration::from_secs(60),
        ..options()
    };
    let limits = Limits::default();
    let server = Side::with(&limits, patient.clone());
    let (address, listening) = listen(&server);
    tokio::spawn(server.echo());
    let mut clients: Vec<_> = (0..150)
        .map(|_| Side::with(&limits, patient.clone()))
        .collect();
    for client in &mut clients {
        client.dial(&address);
    }
    for client in &mut clients {
        let arrival = client.next_within(patient.connect_timeout).await;
        assert!(
            matches!(
                arrival,
                Some(Arrival::Link {
                    event: LinkEvent::Up,
                    ..
                })
            ),
            "{arrival:?}"
        );
    }
    assert_eq!(listening.connections(), 150);
}
