//! What both transports are held to more strictly than the conformance suite holds every transport.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use trefoil_core::codes;
use trefoil_core::header::Header;
use trefoil_core::limits::Limits;
use trefoil_core::status::Code;
use trefoil_core::transport::{Arrival, Transport};

use super::{BIDI, Side};

/// Limits for the two that follow.
pub(crate) fn small() -> Limits {
    Limits {
        frame_bytes_max: 2 << 20,
        stream_send_bytes_max: 256 << 10,
        stream_receive_bytes_max: 64 << 10,
        reply_reserve: 64 << 10,
        ..Limits::default()
    }
}

/// A sender is stopped as soon as the windows are full, and told when there is room.
pub(crate) async fn a_full_stream_says_so<T: Transport<Buf = Bytes> + Debug>(
    client: &mut Side<T>,
    server: &mut Side<T>,
) {
    let stream = client.open(BIDI);
    client.transport.flush();
    server.accept().await;
    server.transport.flush();
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
        let Arrival::Frame { frame, .. } = server.next_while(client).await else {
            panic!("no frame")
        };
        assert_eq!(frame.len(), 10_000);
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

/// As much is answered as the windows of a caller take that does not read.
pub(crate) async fn a_peer_that_does_not_read<T: Transport<Buf = Bytes> + Debug>(
    client: &mut Side<T>,
    server: &mut Side<T>,
) {
    let stream = client.open(BIDI);
    // The client takes nothing from now on; the server answers every frame with as much.
    client.credits = false;
    let mut delivered = 0_u64;
    let mut call = None;
    let mut idle = 0;
    while idle < 5 {
        while client.try_send(stream, &[5; 32 << 10]) {}
        client.transport.flush();
        match server.next_within(Duration::from_millis(60)).await {
            Some(Arrival::Accepted { call: number, .. }) => {
                let id = server.id();
                server.transport.bind(number, id, Header::EMPTY);
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
    // A window of the client's, its own queue, and what the wire holds between.
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

/// Calls of a transport that is dropped are told so, decided or not, and later ones as well.
pub(crate) async fn a_dropped_transport<T: Transport<Buf = Bytes> + Debug>(
    client: &mut Side<T>,
    mut server: Side<T>,
) {
    let accepted = client.open(BIDI);
    client.transport.flush();
    server.accept().await;
    server.transport.flush();
    client.expect_header(accepted).await;
    let offered = client.open(BIDI);
    client.transport.flush();
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
}
