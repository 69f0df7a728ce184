//! Certificates, and a connection in memory.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use trefoil_tls::rustls::ConnectionCommon;
use trefoil_tls::rustls::pki_types::CertificateDer;
use trefoil_tls::rustls::{
    ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection, SideData,
};
use trefoil_tls::{Authority, ClientAuth, Issued, Tls, TlsPem, server_name};

pub(crate) const ALPN: &[u8] = b"trefoil/1";
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn pem(authority: &Authority, issued: Option<Issued>) -> TlsPem {
    TlsPem {
        ca: authority.cert_pem(),
        identity: issued.map(|issued| (issued.cert_pem, issued.key_pem)),
    }
}

pub(crate) fn node(authority: &Authority, host: &str) -> Tls {
    with(authority, host, ClientAuth::Required)
}

pub(crate) fn with(authority: &Authority, host: &str, auth: ClientAuth) -> Tls {
    let issued = authority.issue(&[host], HOUR).unwrap();
    Tls::from_pem(pem(authority, Some(issued)), auth).unwrap()
}

pub(crate) fn nobody(authority: &Authority) -> Tls {
    Tls::from_pem(pem(authority, None), ClientAuth::Required).unwrap()
}

/// Whose error ended a handshake.
#[derive(Debug)]
pub(crate) enum Refused {
    ByClient(Error),
    ByServer(Error),
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

impl Pair {
    pub(crate) fn client_certificate(&self) -> Option<CertificateDer<'static>> {
        Some(self.server.peer_certificates()?[0].clone())
    }

    pub(crate) fn server_certificate(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone()
    }
}

/// `client` connects to `server`, which it looks for under `address`.
pub(crate) fn connect(client: &Tls, server: &Tls, address: &str) -> Result<Pair, Refused> {
    shake(
        client.client_config(ALPN),
        server.server_config(ALPN).unwrap(),
        address,
    )
}

pub(crate) fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    address: &str,
) -> Result<Pair, Refused> {
    let name = server_name(address).unwrap();
    let mut client = ClientConnection::new(client, name).map_err(Refused::ByClient)?;
    let mut server = ServerConnection::new(server).map_err(Refused::ByServer)?;
    // Until both are silent: after the handshake a server may send tickets, or refuse.
    loop {
        let sent = pass(&mut client, &mut server).map_err(Refused::ByServer)?;
        let answered = pass(&mut server, &mut client).map_err(Refused::ByClient)?;
        if !sent && !answered {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Pair { client, server })
}

fn pass<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) -> Result<bool, Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(!bytes.is_empty())
}
