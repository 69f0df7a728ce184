//! Names: those a certificate holds, and the one an address asks for.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::error::TlsError;

/// The DNS names and IP addresses of a certificate's subject alternative names, in its order, each on
/// a line of its own: lower case, addresses as std displays them. Empty if there are none.
///
/// What is no proper DNS name or address is left out. No peer could be verified by it, and a name
/// with a line end or a DNS name that spells an address must not pass for another.
///
/// # Errors
/// [`TlsError::BadCertificate`].
pub fn names(certificate: &CertificateDer<'_>) -> Result<String, TlsError> {
    let parsed = parse(certificate, "the peer's certificate")?;
    names_of(&parsed).map_err(|reason| TlsError::BadCertificate {
        place: "the peer's certificate".to_owned(),
        reason,
    })
}

/// The certificate as fields.
pub(crate) fn parse(
    certificate: &CertificateDer<'_>,
    place: &str,
) -> Result<Certificate, TlsError> {
    Certificate::from_der(certificate).map_err(|error| TlsError::BadCertificate {
        place: place.to_owned(),
        reason: error.to_string(),
    })
}

/// As [`names`].
pub(crate) fn names_of(certificate: &Certificate) -> Result<String, String> {
    let alternatives = certificate
        .tbs_certificate
        .get::<SubjectAltName>()
        .map_err(|error| error.to_string())?;
    let mut names = String::new();
    for name in alternatives.iter().flat_map(|(_, names)| &names.0) {
        let Some(name) = spelled(name) else {
            continue;
        };
        if !names.is_empty() {
            names.push('\n');
        }
        names.push_str(&name);
    }
    Ok(names)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "mail addresses, URIs and what else there may be name no host"
)]
fn spelled(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => {
            let name = name.as_str();
            let host = name.strip_prefix("*.").unwrap_or(name);
            DnsName::try_from(host).ok()?;
            Some(name.to_ascii_lowercase())
        }
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let address = if let Ok(v4) = <[u8; 4]>::try_from(octets) {
                IpAddr::from(v4)
            } else {
                IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)
            };
            let mut spelled = String::new();
            write!(spelled, "{address}").ok()?;
            Some(spelled)
        }
        _ => None,
    }
}

/// The name that the peer behind an address must prove: the host of `host:port`, `[v6]:port` or of a
/// bare host. The scope of an IPv6 address (`%eth0`) is left out: certificates have none.
///
/// # Errors
/// [`TlsError::ServerName`].
pub fn server_name(address: &str) -> Result<ServerName<'static>, TlsError> {
    host(address)
        .and_then(|host| ServerName::try_from(host).ok())
        .ok_or_else(|| TlsError::ServerName {
            address: address.to_owned(),
        })
}

fn host(address: &str) -> Option<String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        if !port.is_empty() {
            port.strip_prefix(':')?.parse::<u16>().ok()?;
        }
        let host = host.split_once('%').map_or(host, |(host, _)| host);
        return Some(host.parse::<Ipv6Addr>().ok()?.to_string());
    }
    if let Ok(bare) = address.parse::<IpAddr>() {
        return Some(bare.to_string());
    }
    let host = match address.rsplit_once(':') {
        Some((host, port)) => {
            port.parse::<u16>().ok()?;
            host
        }
        None => address,
    };
    Some(host.to_ascii_lowercase())
}
