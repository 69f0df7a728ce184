//! Certificates that hold, and those that do not.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trefoil_core::header::Header;
use trefoil_core::limits::Limits;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::{Arrival, LinkEvent, Transport};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsFiles, TlsPem};

use crate::harness::{BIDI, LINK, Side, UNARY, issued_by, listen, options, papers, with_identity};
use crate::raw::Raw;

/// A client that dials a server is told that one of them does not trust the other; its streams are
/// told the same.
async fn untrusted(client: Tls, server: Tls, why: &str) {
    let limits = Limits::default();
    let mut server = Side::trusting(server, &limits, options());
    let (address, _keep) = listen(&server);
    let mut client = Side::trusting(client, &limits, options());
    client.dial(&address);
    let stream = client.open(UNARY);
    client.ask(stream, b"secret");
    let Arrival::Link {
        link: LINK,
        event,
        why: Some(said),
    } = client.next().await
    else {
        panic!("no news of the link")
    };
    let said = String::from_utf8(said.to_vec()).unwrap();
    println!("{said}");
    assert_eq!(event, LinkEvent::Untrusted, "{said}");
    assert!(said.starts_with(&format!("TF-Q10: {address}: ")), "{said}");
    assert!(said.contains(why), "{said}");
    let end = client.expect_end(stream).await;
    assert_eq!(
        (end.code, end.cause, end.message),
        (Code::Unauthenticated, Cause::Untrusted, said)
    );
    // Nothing of it was sent.
    server.silence().await;
    client.silence().await;
    assert!(client.sizes().contains("links: 0, connections: 0"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates name times of the wall"
)]
async fn expired() -> Tls {
    let authority = &papers().authority;
    let now = SystemTime::now();
    let hour = Duration::from_secs(3_600);
    // Loading refuses what has expired already: one second is waited for.
    let issued = authority
        .issue_between(&["127.0.0.1"], now - hour, now + Duration::from_secs(1))
        .unwrap();
    let tls = with_identity(authority, Some((issued.cert_pem, issued.key_pem)));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    tls
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired() {
    untrusted(papers().tls.clone(), expired().await, "expired").await;
}

#[tokio::test]
async fn a_client_whose_certificate_has_expired() {
    untrusted(expired().await, papers().tls.clone(), "expired").await;
}

#[tokio::test]
async fn a_server_of_another_authority() {
    let other = Authority::new("other").unwrap();
    let server = issued_by(&other, &other, &["127.0.0.1"]);
    let why = "its certificate is of an authority this side does not know";
    untrusted(papers().tls.clone(), server, why).await;
}

#[tokio::test]
async fn a_client_of_another_authority() {
    let ours = &papers().authority;
    let other = Authority::new("other").unwrap();
    let issued = other
        .issue(&["127.0.0.1"], Duration::from_secs(60))
        .unwrap();
    // It trusts both authorities, and is trusted by one.
    let client = Tls::from_pem(
        TlsPem {
            ca: ours.cert_pem() + &other.cert_pem(),
            identity: Some((issued.cert_pem, issued.key_pem)),
        },
        ClientAuth::Required,
    );
    let why = "it does not trust this side's certificate: it does not know the authority";
    untrusted(client.unwrap(), papers().tls.clone(), why).await;
}

#[tokio::test]
async fn a_server_of_another_name() {
    let ours = &papers().authority;
    let server = issued_by(ours, ours, &["elsewhere.example"]);
    untrusted(papers().tls.clone(), server, "of another name").await;
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let client = with_identity(&papers().authority, None);
    let why = "it asks for a certificate and this side has none";
    untrusted(client, papers().tls.clone(), why).await;
}

#[tokio::test]
async fn a_server_of_another_version() {
    use std::sync::Arc;
    use trefoil_transport_quic::quinn::crypto::rustls::QuicServerConfig;
    use trefoil_transport_quic::quinn::{Endpoint, EndpointConfig, ServerConfig};
    let crypto = papers().tls.server_config(b"trefoil/9").unwrap();
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto).unwrap()));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let runtime = crate::harness::runtime();
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let _ = incoming.await;
        }
    });
    let mut client = Side::new(&Limits::default());
    client.dial(&address);
    let Arrival::Link { event, why, .. } = client.next().await else {
        panic!("no news of the link")
    };
    assert_eq!(event, LinkEvent::Untrusted);
    let why = String::from_utf8(why.unwrap().to_vec()).unwrap();
    assert!(why.contains("no common version of the protocol"), "{why}");
}

#[tokio::test]
async fn a_client_of_another_version_or_of_none() {
    let side = Side::new(&Limits::default());
    let (address, server) = listen(&side);
    for alpn in [&b"trefoil/9"[..], b"h3", b""] {
        // Refused in the handshake; where the caller named no protocol, right after it.
        if let Ok(raw) = Raw::dial_with(&address, &papers().tls, alpn).await {
            raw.connection.closed().await;
        }
    }
    assert_eq!(server.connections(), 0);
    Raw::dial(&address).await;
}

#[tokio::test]
async fn without_a_certificate_nothing_is_served() {
    let tls = with_identity(&papers().authority, None);
    let side = Side::trusting(tls, &Limits::default(), options());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = side
        .transport
        .server()
        .bind(socket)
        .unwrap_err()
        .to_string();
    assert!(refused.starts_with("TF-Q04"), "{refused}");
}

/// What a server knows of its next caller.
async fn caller_of(server: &mut Side) -> (bool, Option<Bytes>) {
    let Arrival::Accepted { caller, call, .. } = server.next().await else {
        panic!("no call")
    };
    let id = server.id();
    server.transport.bind(call, id, Header::EMPTY);
    (caller.loopback, caller.names)
}

#[tokio::test]
async fn callers_are_known_by_their_certificates() {
    let ours = &papers().authority;
    let limits = Limits::default();
    let mut server = Side::new(&limits);
    let (address, _keep) = listen(&server);
    let named = issued_by(ours, ours, &["a.example", "10.0.0.7"]);
    let mut client = Side::trusting(named, &limits, options());
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    for _ in 0..2 {
        client.open(BIDI);
        client.transport.flush();
        let (loopback, names) = caller_of(&mut server).await;
        assert!(loopback);
        let names = String::from_utf8(names.unwrap().to_vec()).unwrap();
        let names: Vec<_> = names.lines().collect();
        assert_eq!(names, ["a.example", "10.0.0.7"]);
    }
}

#[tokio::test]
async fn a_caller_that_need_not_show_a_certificate_has_no_names() {
    let ours = &papers().authority;
    let issued = ours.issue(&["127.0.0.1"], Duration::from_secs(60)).unwrap();
    let identity = Some((issued.cert_pem, issued.key_pem));
    let ca = ours.cert_pem();
    let lenient = Tls::from_pem(TlsPem { ca, identity }, ClientAuth::Optional).unwrap();
    let limits = Limits::default();
    let mut server = Side::trusting(lenient, &limits, options());
    let (address, _keep) = listen(&server);
    let mut client = Side::trusting(with_identity(ours, None), &limits, options());
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    client.open(BIDI);
    client.transport.flush();
    assert_eq!(caller_of(&mut server).await, (true, None));
}

#[tokio::test]
async fn certificates_that_were_reloaded_count_for_new_connections() {
    let dir = tempfile::tempdir().unwrap();
    let write = |authority: &Authority| {
        let hour = Duration::from_secs(3_600);
        let issued = authority.issue(&["127.0.0.1"], hour).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.cert_pem()).unwrap();
        std::fs::write(dir.path().join("cert.pem"), issued.cert_pem).unwrap();
        std::fs::write(dir.path().join("key.pem"), issued.key_pem).unwrap();
    };
    let (old, new) = (
        Authority::new("old").unwrap(),
        Authority::new("new").unwrap(),
    );
    write(&old);
    let tls = Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Required).unwrap();
    let limits = Limits::default();
    let server = Side::trusting(tls.clone(), &limits, options());
    let (address, _keep) = listen(&server);
    tokio::spawn(server.echo());
    let mut before = Side::trusting(issued_by(&old, &old, &["c"]), &limits, options());
    before.dial(&address);
    before.expect_link(LinkEvent::Up).await;

    write(&new);
    assert!(tls.reload().unwrap());
    let mut after = Side::trusting(issued_by(&new, &new, &["c"]), &limits, options());
    after.dial(&address);
    after.expect_link(LinkEvent::Up).await;
    let mut late = Side::trusting(issued_by(&old, &old, &["c"]), &limits, options());
    late.dial(&address);
    late.expect_link(LinkEvent::Untrusted).await;
    // A connection that stands is not cut.
    let stream = before.open(UNARY);
    before.ask(stream, b"still there");
    before.expect_header(stream).await;
    assert_eq!(before.expect_frame(stream).await, "still there");
}
