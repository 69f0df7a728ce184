//! What of a call is gRPC's own; the rest is in the suite that every transport runs.

use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::Code;
use trefoil_core::transport::LinkEvent;

use crate::harness::script::both;
use crate::harness::{Side, UNARY, listen};

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
    let (mut client, server) = (Side::new(&limits), Side::new(&limits));
    let (address, _keep) = listen(&server).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    both::a_dropped_transport(&mut client, server).await;
}
