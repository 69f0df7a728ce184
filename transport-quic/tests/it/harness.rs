//! Certificates for tests, and both sides of a connection.

#[path = "../../../transport/tests/script/mod.rs"]
pub(crate) mod script;

pub(crate) use script::{BIDI, LINK, SOON, UNARY, methods};

use std::net::UdpSocket;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::transport::LinkEvent;
use trefoil_tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_transport_quic::quinn::{Runtime, TokioRuntime};
use trefoil_transport_quic::{Quic, QuicOptions, Resolve, Server};

/// The authority of all tests, and what it issued for loopback.
pub(crate) struct Papers {
    pub(crate) authority: Authority,
    pub(crate) tls: Tls,
}

pub(crate) fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| {
        let authority = Authority::new("test").unwrap();
        let tls = issued_by(&authority, &authority, &["localhost", "127.0.0.1", "::1"]);
        Papers { authority, tls }
    })
}

/// Certificates for `hosts` by one authority, for somebody who trusts another.
pub(crate) fn issued_by(authority: &Authority, trusted: &Authority, hosts: &[&str]) -> Tls {
    let issued = authority.issue(hosts, Duration::from_secs(3_600)).unwrap();
    with_identity(trusted, Some((issued.cert_pem, issued.key_pem)))
}

pub(crate) fn with_identity(trusted: &Authority, identity: Option<(String, String)>) -> Tls {
    let ca = trusted.cert_pem();
    Tls::from_pem(TlsPem { ca, identity }, ClientAuth::Required).unwrap()
}

/// The name `nowhere` is looked up for ever.
fn resolve() -> Resolve {
    Arc::new(|address: String| {
        Box::pin(async move {
            if address.starts_with("nowhere") {
                std::future::pending::<()>().await;
            }
            Ok(tokio::net::lookup_host(address).await?.collect())
        })
    })
}

pub(crate) fn options() -> QuicOptions {
    QuicOptions {
        resolve: Some(resolve()),
        ..QuicOptions::default()
    }
}

pub(crate) fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

pub(crate) type Side = script::Side<Quic>;

impl Side {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with(limits, options())
    }

    pub(crate) fn with(limits: &Limits, options: QuicOptions) -> Self {
        Self::trusting(papers().tls.clone(), limits, options)
    }

    pub(crate) fn trusting(tls: Tls, limits: &Limits, options: QuicOptions) -> Self {
        Self::over(Quic::new(runtime(), tls, methods(), limits, options).unwrap())
    }
}

/// Listens for a side; returns its address.
pub(crate) fn listen(side: &Side) -> (String, Server) {
    let server = side.transport.server();
    (listen_with(&server), server)
}

pub(crate) fn listen_with(server: &Server) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.bind(socket).unwrap().to_string()
}

/// Two sides with a link that stands, and the server of the second.
pub(crate) async fn pair(limits: &Limits) -> (Side, Side, Server) {
    let (mut client, serving) = (Side::new(limits), Side::new(limits));
    let (address, server) = listen(&serving);
    client.dial(&address);
    client.expect_link(LinkEvent::Up).await;
    (client, serving, server)
}
