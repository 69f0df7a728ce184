//! Health, reflection, draining, and requests that are no gRPC.

use std::time::Duration;

use bytes::Bytes;
use tonic::Request;
use tonic::codegen::http;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use trefoil_core::codes;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_transport_tonic::{GrpcError, GrpcOptions, Server};

use crate::harness::{BIDI, SOON, Side, Tokio, UNARY, listen, listen_with, pair};
use crate::interop::{Raw, channel};

async fn transport(address: &str) -> tonic::transport::Channel {
    tonic::transport::Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn health_is_what_was_set_last() {
    let side = Side::new(&Limits::default());
    let (address, server) = listen(&side).await;
    let mut client = HealthClient::new(transport(&address).await);
    let mut check = async |service: &str| {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        client
            .check(request)
            .await
            .map(|answer| answer.into_inner().status())
    };
    assert_eq!(check("").await.unwrap(), ServingStatus::Serving);
    assert_eq!(
        check("test.Test").await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    server.health().set("test.Test", true).await;
    assert_eq!(check("test.Test").await.unwrap(), ServingStatus::Serving);
    side.transport.service().health().set("", false).await;
    assert_eq!(check("").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(check("test.Test").await.unwrap(), ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let side = Side::new(&Limits::default());
    let sets = [
        trefoil_proto::control_plane::FILE_DESCRIPTOR_SET,
        trefoil_proto::admin::FILE_DESCRIPTOR_SET,
    ];
    let service = side.transport.service().with_reflection(&sets).unwrap();
    let server = Server::new(Tokio, service, GrpcOptions::default()).unwrap();
    let address = listen_with(&server).await;
    let expected = [
        "control_plane_messages.ControlPlane",
        "grpc.health.v1.Health",
        "trefoil.admin.v1.Admin",
    ]
    .map(str::to_owned);

    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(transport(&address).await);
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("no list");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in &expected {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }

    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(transport(&address).await);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "control_plane_messages.ControlPlane".to_owned(),
            ),
        ),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(matches!(
        answer.message_response,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
}

#[tokio::test]
async fn descriptors_that_are_none_are_refused() {
    let side = Side::new(&Limits::default());
    let refused = side
        .transport
        .service()
        .with_reflection(&[&[0xff, 0xff]])
        .unwrap_err();
    assert!(matches!(&refused, GrpcError::Descriptors(_)));
    assert!(refused.to_string().starts_with("TF-T05"));
}

#[tokio::test]
async fn without_reflection_it_is_unimplemented() {
    let side = Side::new(&Limits::default());
    let (address, _keep) = listen(&side).await;
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(transport(&address).await);
    let error = client
        .server_reflection_info(tokio_stream::pending())
        .await
        .unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn draining_lets_calls_end_and_takes_no_more() {
    let (mut client, mut server, listening) = pair(&Limits::default()).await;
    let stream = client.open(UNARY);
    client.ask(stream, b"slow");
    client.transport.flush();
    let call = server.accept().await;
    server.expect_frame(call.stream).await;
    server.expect_half_close(call.stream).await;
    let draining = tokio::spawn({
        let listening = listening.clone();
        async move { listening.drain(SOON).await }
    });
    client.expect_header(stream).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // New calls need another connection, and nothing of them was sent; the old one goes on.
    let late = client.open(BIDI);
    let mut seen = (false, false);
    while seen != (true, true) {
        match client.next().await {
            Arrival::Link {
                event: LinkEvent::Lost,
                ..
            } => seen.0 = true,
            Arrival::Ended {
                stream,
                code,
                cause,
                message,
                ..
            } => {
                assert_eq!(
                    (stream, code, cause),
                    (late, Code::Unavailable, Cause::Lost)
                );
                assert_eq!(message, codes::UNREACHABLE);
                seen.1 = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!draining.is_finished());
    server.send(call.stream, b"done");
    server.end(call.stream, Code::Ok, "");
    server.transport.flush();
    assert_eq!(client.expect_frame(stream).await, "done");
    assert_eq!(client.expect_end(stream).await.code, Code::Ok);
    assert!(
        tokio::time::timeout(SOON, draining).await.unwrap().unwrap(),
        "nothing was left"
    );
    assert_eq!(listening.connections(), 0);
}

#[tokio::test]
async fn draining_is_bounded_and_the_listener_is_gone() {
    let limits = Limits::default();
    let (mut client, mut server) = (Side::new(&limits), Side::new(&limits));
    let (address, listening) = listen(&server).await;
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    let stream = client.open(BIDI);
    client.transport.flush();
    let call = server.accept().await;
    client.next_within(Duration::from_millis(10)).await;
    assert!(
        !listening.drain(Duration::from_millis(100)).await,
        "a call was left"
    );
    let mut ended = false;
    while !ended {
        match client.next().await {
            Arrival::Ended {
                stream: of,
                code,
                cause,
                ..
            } => {
                assert_eq!((of, code, cause), (stream, Code::Unavailable, Cause::Lost));
                ended = true;
            }
            Arrival::Link {
                event: LinkEvent::Lost,
                ..
            }
            | Arrival::Header { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let Arrival::Ended { stream: of, .. } = server.next().await else {
        panic!("no end")
    };
    assert_eq!(of, call.stream);
    let mut other = Side::new(&limits);
    other.dial(&address);
    other.expect_link(LinkEvent::Refused).await;
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so() {
    let side = Side::new(&Limits::default());
    let mut service = side.transport.service();
    for path in ["/test.Test/Unary", "/"] {
        let request = http::Request::builder()
            .uri(path)
            .body(tonic::body::Body::empty())
            .unwrap();
        let answer = tonic::codegen::Service::call(&mut service, request)
            .await
            .unwrap();
        assert_eq!(answer.status(), http::StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[tokio::test]
async fn calls_that_nobody_takes_are_bounded() {
    let side = Side::new(&Limits {
        streams_max: 2,
        ..Limits::default()
    });
    let (address, _keep) = listen(&side).await;
    let call = |grpc: tonic::client::Grpc<tonic::transport::Channel>| async move {
        let mut grpc = grpc;
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Test/Unary");
        grpc.unary::<Bytes, Bytes, _>(Request::new(Bytes::new()), path, Raw)
            .await
    };
    let grpc = channel(&address).await;
    let waiting = [
        tokio::spawn(call(grpc.clone())),
        tokio::spawn(call(grpc.clone())),
    ];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = call(grpc).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::ResourceExhausted);
    drop(side);
    for call in waiting {
        assert_eq!(
            call.await.unwrap().unwrap_err().code(),
            tonic::Code::Unavailable
        );
    }
}
