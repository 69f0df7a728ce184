//! Connections, where they are TCP's own; the rest is in the suite that every transport runs.

use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{LinkEvent, Transport};
use trefoil_transport_tonic::GrpcOptions;

use crate::harness::{BIDI, LINK, Side, UNARY, listen};

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
    client.lost().await;
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let limits = Limits::default();
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, _keep) = listen(&server).await;
    client.dial(&address.replace("127.0.0.1", "localhost"));
    client.expect_link(LinkEvent::Up).await;
}

#[tokio::test]
async fn a_dial_that_never_ends_can_be_hung_up() {
    let mut client = Side::new(&Limits::default());
    client.dial("nowhere:1");
    client.open(BIDI);
    client.transport.flush();
    tokio::task::yield_now().await;
    client.transport.hang_up(LINK);
    client.silence().await;
    assert!(client.sizes().contains("streams: 0"), "{}", client.sizes());
}
