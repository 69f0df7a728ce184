//! What of a call is gRPC's own; the rest is in the suite that every transport runs.

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::Code;
use trefoil_core::transport::{Arrival, LinkEvent, Transport};

use crate::harness::{BIDI, Side, UNARY, listen};

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let limits = Limits::default();
    let mut client = Side::new(&limits);
    let options = trefoil_transport_tonic::GrpcOptions::default();
    let bare = trefoil_transport_tonic::Grpc::new(
        crate::harness::Tokio,
        trefoil_core::method::Methods::new(),
        &limits,
        options.clone(),
    )
    .unwrap();
    let server =
        trefoil_transport_tonic::Server::new(crate::harness::Tokio, bare.service(), options)
            .unwrap();
    client.dial(&crate::harness::listen_with(&server).await);
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
async fn a_transport_that_is_dropped_ends_its_calls() {
    let limits = Limits::default();
    let (mut client, mut server) = (Side::new(&limits), Side::new(&limits));
    let (address, keep) = listen(&server).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let accepted = client.open(BIDI);
    client.grpc.flush();
    server.accept().await;
    server.grpc.flush();
    client.expect_header(accepted).await;
    let offered = client.open(BIDI);
    client.grpc.flush();
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
