//! What the authority issues, and what it does not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{HOUR, node};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyPair,
};
use trefoil_tls::{Authority, TlsError};

const RUBBISH: &str = "-----BEGIN PRIVATE KEY-----\nAQIDBAUG\n-----END PRIVATE KEY-----\n";

fn begins(error: &TlsError, code: &str) {
    assert!(error.to_string().starts_with(code), "{error}");
}

#[test]
fn an_authority_is_written_and_read_again() {
    let first = Authority::new("test").unwrap();
    let again = Authority::from_pem(&first.cert_pem(), &first.key_pem()).unwrap();
    assert_eq!(again.cert_pem(), first.cert_pem());
    let (a, b) = (node(&first, "a.example"), node(&again, "b.example"));
    common::connect(&a, &b, "b.example").unwrap();
    common::connect(&b, &a, "a.example").unwrap();
}

#[test]
fn an_authority_of_another_program_with_a_longer_name() {
    let mut name = DistinguishedName::new();
    let country = DnValue::PrintableString("AT".try_into().unwrap());
    name.push(DnType::CountryName, country);
    name.push(DnType::OrganizationName, "Elsewhere Ä");
    name.push(DnType::CommonName, "Root");
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let authority = Authority::from_pem(&ca, &key.serialize_pem()).unwrap();
    let (a, b) = (node(&authority, "a.example"), node(&authority, "b.example"));
    common::connect(&a, &b, "b.example").unwrap();
}

#[test]
fn an_authority_that_is_none_issues_nothing() {
    let authority = Authority::new("test").unwrap();
    let own = authority.issue(&["a.example"], HOUR).unwrap();
    let wrong = |cert: &str, key: &str| Authority::from_pem(cert, key).unwrap_err();
    begins(&wrong(&own.cert_pem, &own.key_pem), "TF-X14");
    begins(&wrong(&authority.cert_pem(), &own.key_pem), "TF-X08");
    begins(&wrong("", &own.key_pem), "TF-X02");
    begins(&wrong(&authority.cert_pem(), ""), "TF-X03");
    begins(&wrong(&authority.cert_pem(), RUBBISH), "TF-X07");
    begins(&Authority::new("").unwrap_err(), "TF-X14");
    begins(&Authority::new(&"x".repeat(65)).unwrap_err(), "TF-X14");
}

#[test]
fn what_cannot_be_issued() {
    let authority = Authority::new("test").unwrap();
    for host in ["", "two words", "a.example:1", "10.0.0.256", "*", "a\nb"] {
        begins(&authority.issue(&[host], HOUR).unwrap_err(), "TF-X14");
    }
    begins(
        &authority.issue(&["a"], Duration::MAX).unwrap_err(),
        "TF-X14",
    );
    let centuries = Duration::from_secs(9_000 * 366 * 24 * 60 * 60);
    begins(&authority.issue(&["a"], centuries).unwrap_err(), "TF-X14");
    let order = |from: SystemTime, to| authority.issue_between(&["a"], from, to);
    let error = order(UNIX_EPOCH + HOUR, UNIX_EPOCH).unwrap_err();
    begins(&error, "TF-X14");
    begins(&order(UNIX_EPOCH - HOUR, UNIX_EPOCH).unwrap_err(), "TF-X14");
}
