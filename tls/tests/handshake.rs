//! Who is let in, and who is not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{ALPN, Refused, connect, nobody, node, pem, shake, with};
use trefoil_tls::rustls::client::Resumption;
use trefoil_tls::rustls::pki_types::UnixTime;
use trefoil_tls::rustls::server::ServerSessionMemoryCache;
use trefoil_tls::rustls::time_provider::TimeProvider;
use trefoil_tls::rustls::version::TLS12;
use trefoil_tls::rustls::{
    CertificateError, ClientConfig, Error, HandshakeKind, ProtocolVersion, RootCertStore,
    ServerConfig,
};
use trefoil_tls::{Authority, ClientAuth, Tls, names};

#[test]
fn both_sides_know_each_other() {
    let authority = Authority::new("test").unwrap();
    let (client, server) = (node(&authority, "a.example"), node(&authority, "B.example"));
    let pair = connect(&client, &server, "b.example:50051").unwrap();
    let seen = pair.client_certificate().unwrap();
    assert_eq!(names(&seen).unwrap(), "a.example");
    assert_eq!(names(&pair.server_certificate()).unwrap(), "b.example");
    assert_eq!(pair.server.alpn_protocol(), Some(ALPN));
    assert_eq!(
        pair.client.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[test]
fn addresses_are_verified_like_names() {
    let authority = Authority::new("test").unwrap();
    let client = nobody(&authority);
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1:1"),
        ("::1", "[::1]:1"),
        ("::1", "[0:0:0:0:0:0:0:1]:1"),
        ("0:0:0:0:0:0:0:1", "[::0001%lo]:1"),
    ] {
        let server = with(&authority, host, ClientAuth::Off);
        connect(&client, &server, address).unwrap();
        assert!(connect(&client, &server, "10.0.0.1:1").is_err());
    }
}

#[test]
fn a_caller_without_a_certificate_is_refused_where_one_is_required() {
    let authority = Authority::new("test").unwrap();
    let client = nobody(&authority);
    let server = |auth| with(&authority, "b.example", auth);
    let refused = connect(&client, &server(ClientAuth::Required), "b.example").unwrap_err();
    assert!(
        matches!(refused, Refused::ByServer(Error::NoCertificatesPresented)),
        "{refused:?}"
    );
    let pair = connect(&client, &server(ClientAuth::Optional), "b.example").unwrap();
    assert_eq!(pair.client_certificate(), None);
    let pair = connect(&client, &server(ClientAuth::Off), "b.example").unwrap();
    assert_eq!(pair.client_certificate(), None);
}

#[test]
fn a_certificate_is_looked_at_where_it_is_optional_and_not_asked_for_where_off() {
    let authority = Authority::new("test").unwrap();
    let client = node(&authority, "a.example");
    let server = |auth| with(&authority, "b.example", auth);
    let pair = connect(&client, &server(ClientAuth::Optional), "b.example").unwrap();
    let seen = pair.client_certificate().unwrap();
    assert_eq!(names(&seen).unwrap(), "a.example");
    let pair = connect(&client, &server(ClientAuth::Off), "b.example").unwrap();
    assert_eq!(pair.client_certificate(), None);
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_both() {
    let ours = Authority::new("test").unwrap();
    // The same name, another key.
    let theirs = Authority::new("test").unwrap();
    // Trusts the server's authority, shows a certificate of another one.
    let mut mixed = pem(
        &theirs,
        Some(theirs.issue(&["a.example"], common::HOUR).unwrap()),
    );
    let stranger = Tls::from_pem(mixed.clone(), ClientAuth::Required).unwrap();
    mixed.ca.push_str(&ours.cert_pem());
    let intruder = Tls::from_pem(mixed, ClientAuth::Required).unwrap();

    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let server = with(&ours, "b.example", auth);
        let refused = connect(&intruder, &server, "b.example").unwrap_err();
        assert!(
            matches!(
                refused,
                Refused::ByServer(Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature
                ))
            ),
            "{refused:?}"
        );
    }
    let refused = connect(&stranger, &node(&ours, "b.example"), "b.example").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::ByClient(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            ))
        ),
        "{refused:?}"
    );
}

#[test]
fn a_server_of_another_name_is_refused() {
    let authority = Authority::new("test").unwrap();
    let (client, server) = (node(&authority, "a.example"), node(&authority, "b.example"));
    let refused = connect(&client, &server, "c.example:50051").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::ByClient(Error::InvalidCertificate(
                CertificateError::NotValidForNameContext { .. }
            ))
        ),
        "{refused:?}"
    );
}

#[derive(Debug)]
struct At(SystemTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[test]
fn a_certificate_that_expires_in_use_is_refused_by_both() {
    let authority = Authority::new("test").unwrap();
    let (a, b) = (node(&authority, "a.example"), node(&authority, "b.example"));
    let at = |from_end: i64| {
        let end = a.expires().unwrap().max(b.expires().unwrap());
        let moved = Duration::from_secs(from_end.unsigned_abs());
        let time = if from_end < 0 {
            end - moved
        } else {
            end + moved
        };
        let mut client = ClientConfig::clone(&a.client_config(ALPN));
        client.time_provider = Arc::new(At(time));
        let mut server = ServerConfig::clone(&b.server_config(ALPN).unwrap());
        server.time_provider = Arc::new(At(time));
        (Arc::new(client), Arc::new(server))
    };
    let (early_client, early_server) = at(-60);
    shake(early_client.clone(), early_server.clone(), "b.example").unwrap();
    let (late_client, late_server) = at(60);
    let refused = shake(late_client, early_server, "b.example").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::ByClient(Error::InvalidCertificate(
                CertificateError::ExpiredContext { .. }
            ))
        ),
        "{refused:?}"
    );
    let refused = shake(early_client, late_server, "b.example").unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::ByServer(Error::InvalidCertificate(
                CertificateError::ExpiredContext { .. }
            ))
        ),
        "{refused:?}"
    );
}

#[test]
fn tls_1_2_is_refused_by_both() {
    let authority = Authority::new("test").unwrap();
    let server = with(&authority, "b.example", ClientAuth::Off);
    let client = nobody(&authority);
    let provider = client.client_config(ALPN).crypto_provider().clone();

    let old = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let ours = server.server_config(b"").unwrap();
    let refused = shake(Arc::new(old), ours.clone(), "b.example").unwrap_err();
    assert!(
        matches!(refused, Refused::ByServer(Error::PeerIncompatible(_))),
        "{refused:?}"
    );

    let old = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(ours.cert_resolver.clone());
    let refused = shake(client.client_config(b""), Arc::new(old), "b.example").unwrap_err();
    assert!(
        matches!(refused, Refused::ByServer(Error::PeerIncompatible(_))),
        "{refused:?}"
    );
}

#[test]
fn another_protocol_is_refused() {
    let authority = Authority::new("test").unwrap();
    let (client, server) = (node(&authority, "a.example"), node(&authority, "b.example"));
    let refused = shake(
        client.client_config(b"h2"),
        server.server_config(ALPN).unwrap(),
        "b.example",
    )
    .unwrap_err();
    assert!(
        matches!(refused, Refused::ByServer(Error::NoApplicationProtocol)),
        "{refused:?}"
    );
}

#[test]
fn a_caller_that_names_no_protocol_is_seen_by_that() {
    let authority = Authority::new("test").unwrap();
    let (client, server) = (node(&authority, "a.example"), node(&authority, "b.example"));
    let accept_with = server.server_config(ALPN).unwrap();
    let pair = shake(client.client_config(b""), accept_with, "b.example").unwrap();
    assert_eq!(pair.server.alpn_protocol(), None);
}

#[test]
fn nothing_is_resumed_whichever_side_would() {
    let authority = Authority::new("test").unwrap();
    let (a, b) = (node(&authority, "a.example"), node(&authority, "b.example"));
    let (client, server) = (a.client_config(ALPN), b.server_config(ALPN).unwrap());
    let mut resuming = ClientConfig::clone(&client);
    resuming.resumption = Resumption::in_memory_sessions(8);
    let resuming = Arc::new(resuming);
    let mut remembering = ServerConfig::clone(&server);
    remembering.session_storage = ServerSessionMemoryCache::new(8);
    remembering.send_tls13_tickets = 2;
    let remembering = Arc::new(remembering);

    let second = |client: &Arc<ClientConfig>, server: &Arc<ServerConfig>| {
        shake(client.clone(), server.clone(), "b.example").unwrap();
        let pair = shake(client.clone(), server.clone(), "b.example").unwrap();
        assert!(pair.client_certificate().is_some());
        pair.server.handshake_kind().unwrap()
    };
    assert_eq!(second(&client, &server), HandshakeKind::Full);
    assert_eq!(second(&resuming, &server), HandshakeKind::Full);
    assert_eq!(second(&client, &remembering), HandshakeKind::Full);
    // That is what it would be.
    assert_eq!(second(&resuming, &remembering), HandshakeKind::Resumed);
    assert_eq!(
        (server.send_tls13_tickets, server.max_tls13_tickets),
        (0, 0)
    );
    assert_eq!(server.max_early_data_size, 0);
    assert!(!client.enable_early_data);
}
