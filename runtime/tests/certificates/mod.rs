//! Certificates for nodes under test, and what happens where they do not hold.

mod refusals;

use std::sync::LazyLock;
use std::time::Duration;

use crate::runtime::Security;
use crate::runtime::tls::{Authority, ClientAuth, Tls, TlsPem};

/// Who issues them.
pub(crate) static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::new("tests").unwrap());

/// A certificate for these hosts.
pub(crate) fn certificate(hosts: &[&str]) -> Tls {
    let issued = AUTHORITY.issue(hosts, Duration::from_secs(3_600)).unwrap();
    let pem = TlsPem {
        ca: AUTHORITY.cert_pem(),
        identity: Some((issued.cert_pem, issued.key_pem)),
    };
    Tls::from_pem(pem, ClientAuth::Required).unwrap()
}

/// The token of the nodes of most tests.
pub(crate) const fn shown() -> Option<&'static str> {
    crate::subject::TOKEN
}

/// Certificates for the nodes of most tests.
pub(crate) fn security() -> Security {
    static TLS: LazyLock<Tls> = LazyLock::new(|| certificate(&["127.0.0.1"]));
    Security::Tls(TLS.clone())
}
