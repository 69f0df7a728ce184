//! Who may send how much, and what happens to what is too large.

use std::time::Duration;

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use trefoil_transport_tonic::Server;

use crate::harness::script::both;
use crate::harness::{BIDI, Side, Tokio, listen, pair};

async fn pair_of(client: &Limits, server: &Limits) -> (Side, Side, Server<Tokio>) {
    let (mut client, server) = (Side::new(client), Side::new(server));
    let (address, keep) = listen(&server).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, server, keep)
}

#[tokio::test]
async fn a_full_stream_says_so_and_then_that_there_is_room() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    both::a_full_stream_says_so(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    both::a_peer_that_does_not_read(&mut client, &mut server).await;
}

#[tokio::test]
async fn messages_that_came_together_are_pieces_of_one_buffer() {
    let (mut client, mut server, _keep) = pair(&both::small()).await;
    let stream = client.open(BIDI);
    for _ in 0..10 {
        client.send(stream, &[7; 100]);
    }
    client.transport.flush();
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
