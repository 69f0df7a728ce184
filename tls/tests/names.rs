//! Names of certificates and of addresses.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SanType};
use trefoil_tls::rustls::pki_types::pem::PemObject;
use trefoil_tls::rustls::pki_types::{CertificateDer, ServerName};
use trefoil_tls::{Authority, TlsError, names, server_name};

#[test]
fn all_names_of_a_certificate_in_its_order() {
    let hosts = [
        "Ring-1.Example.org",
        "10.1.2.3",
        "2001:DB8:0::1",
        "*.example.org",
    ];
    let authority = Authority::new("test").unwrap();
    let issued = authority.issue(&hosts, Duration::from_secs(60)).unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
    assert_eq!(
        names(&certificate).unwrap(),
        "ring-1.example.org\n10.1.2.3\n2001:db8::1\n*.example.org"
    );
}

fn with_names(alternatives: Vec<SanType>) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = alternatives;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

#[test]
fn what_names_no_host_is_left_out() {
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let certificate = with_names(vec![
        dns("a.example\nadmin.example"),
        dns("10.0.0.1"),
        dns(""),
        dns("two words"),
        SanType::URI("spiffe://ring/node".try_into().unwrap()),
        SanType::Rfc822Name("someone@example.org".try_into().unwrap()),
        dns("B.Example"),
    ]);
    assert_eq!(names(&certificate).unwrap(), "b.example");
    assert_eq!(names(&with_names(Vec::new())).unwrap(), "");
}

#[test]
fn a_certificate_that_is_none_is_an_error() {
    let error = names(&CertificateDer::from(vec![1, 2, 3])).unwrap_err();
    assert!(matches!(error, TlsError::BadCertificate { .. }), "{error}");
}

#[test]
fn an_address_asks_for_its_host() {
    for (address, host) in [
        ("ring-1.example.org:50051", "ring-1.example.org"),
        ("Ring-1.example.org", "ring-1.example.org"),
        ("localhost:1", "localhost"),
        ("node_1:1", "node_1"),
    ] {
        assert_eq!(server_name(address).unwrap().to_str(), host, "{address}");
    }
    for (address, host) in [
        ("127.0.0.1:50051", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:50051", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:DB8::1]:1", "2001:db8::1"),
        ("[fe80::1%eth0]:1", "fe80::1"),
    ] {
        let address_of = ServerName::from(host.parse::<IpAddr>().unwrap());
        assert_eq!(server_name(address).unwrap(), address_of, "{address}");
    }
}

#[test]
fn an_address_without_a_host_is_an_error() {
    for address in [
        "",
        ":50051",
        "host:",
        "host:port",
        "host:70000",
        "two words:1",
        "http://host:1",
        "[::1",
        "[::1]50051",
        "[::1]:",
        "[host]:1",
        "1.2.3.256:1",
        "a:b:1",
        "-a:1",
    ] {
        let error = server_name(address).unwrap_err();
        let expected = TlsError::ServerName {
            address: address.to_owned(),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains(&format!("`{address}`")));
    }
}
