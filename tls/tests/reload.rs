//! Certificates exchanged while they are in use.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{ALPN, HOUR, connect, nobody, node, pem};
use trefoil_tls::{Authority, ClientAuth, Issued, Tls, TlsError, TlsFiles, names};

fn write(dir: &Path, authority: &Authority, issued: &Issued) {
    fs::write(dir.join("ca.pem"), authority.cert_pem()).unwrap();
    fs::write(dir.join("cert.pem"), &issued.cert_pem).unwrap();
    fs::write(dir.join("key.pem"), &issued.key_pem).unwrap();
}

fn load(dir: &Path) -> Tls {
    Tls::from_files(TlsFiles::in_dir(dir), ClientAuth::Required).unwrap()
}

#[test]
fn new_files_count_from_the_next_connection_on() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    let client = node(&authority, "a.example");
    let shown = |server: &Tls, address| {
        let pair = connect(&client, server, address).unwrap();
        names(&pair.server_certificate()).unwrap()
    };
    write(
        dir.path(),
        &authority,
        &authority.issue(&["b.example"], HOUR).unwrap(),
    );
    let server = load(dir.path());
    let seen_by_all = server.clone();
    assert_eq!(shown(&server, "b.example"), "b.example");
    assert!(!server.reload().unwrap());
    assert_eq!(server.version(), 0);

    write(
        dir.path(),
        &authority,
        &authority.issue(&["b.example", "c.example"], HOUR).unwrap(),
    );
    assert_eq!(shown(&server, "b.example"), "b.example");
    assert!(server.reload().unwrap());
    assert_eq!(seen_by_all.version(), 1);
    assert_eq!(shown(&seen_by_all, "c.example"), "b.example\nc.example");
    assert!(!server.reload().unwrap());
    assert_eq!(server.version(), 1);
}

#[test]
fn what_was_in_use_survives_files_that_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    let client = node(&authority, "a.example");
    let first = authority.issue(&["b.example"], HOUR).unwrap();
    write(dir.path(), &authority, &first);
    let server = load(dir.path());
    let before = server.server_config(ALPN).unwrap();
    let still_there = |error: &TlsError| {
        assert_eq!(server.version(), 0, "{error}");
        assert!(Arc::ptr_eq(&before, &server.server_config(ALPN).unwrap()));
        connect(&client, &server, "b.example").unwrap();
    };

    // A certificate is written before its key.
    let second = authority.issue(&["b.example"], HOUR).unwrap();
    fs::write(dir.path().join("cert.pem"), &second.cert_pem).unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    still_there(&error);

    fs::write(dir.path().join("cert.pem"), "").unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    still_there(&error);

    fs::remove_file(dir.path().join("cert.pem")).unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(error, TlsError::Read { .. }), "{error}");
    still_there(&error);

    write(dir.path(), &authority, &second);
    assert!(server.reload().unwrap());
    assert_eq!(server.version(), 1);
}

#[test]
fn a_new_authority_is_trusted_after_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (
        Authority::new("old").unwrap(),
        Authority::new("new").unwrap(),
    );
    write(dir.path(), &old, &old.issue(&["b.example"], HOUR).unwrap());
    let server = load(dir.path());
    let client = |shown: &Authority| {
        let mut pem = pem(shown, Some(shown.issue(&["a.example"], HOUR).unwrap()));
        pem.ca = old.cert_pem() + &new.cert_pem();
        Tls::from_pem(pem, ClientAuth::Required).unwrap()
    };
    assert!(connect(&client(&new), &server, "b.example").is_err());
    // Both for a while, then the new one alone.
    fs::write(dir.path().join("ca.pem"), old.cert_pem() + &new.cert_pem()).unwrap();
    assert!(server.reload().unwrap());
    connect(&client(&old), &server, "b.example").unwrap();
    connect(&client(&new), &server, "b.example").unwrap();
    write(dir.path(), &new, &new.issue(&["b.example"], HOUR).unwrap());
    assert!(server.reload().unwrap());
    assert!(connect(&client(&old), &server, "b.example").is_err());
    connect(&client(&new), &server, "b.example").unwrap();
    assert_eq!(server.version(), 2);
}

#[test]
fn configs_are_kept_per_version_and_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    write(
        dir.path(),
        &authority,
        &authority.issue(&["b.example"], HOUR).unwrap(),
    );
    let tls = load(dir.path());
    let (client, server) = (tls.client_config(ALPN), tls.server_config(ALPN).unwrap());
    assert!(Arc::ptr_eq(&client, &tls.client_config(ALPN)));
    assert!(Arc::ptr_eq(&server, &tls.server_config(ALPN).unwrap()));
    let other = tls.client_config(b"h2");
    assert_eq!(other.alpn_protocols, [b"h2".to_vec()]);
    assert_eq!(client.alpn_protocols, [ALPN.to_vec()]);
    assert!(Arc::ptr_eq(&client, &tls.client_config(ALPN)));

    write(
        dir.path(),
        &authority,
        &authority.issue(&["b.example"], HOUR).unwrap(),
    );
    assert!(tls.reload().unwrap());
    assert!(!Arc::ptr_eq(&client, &tls.client_config(ALPN)));
    assert!(!Arc::ptr_eq(&server, &tls.server_config(ALPN).unwrap()));
}

#[test]
fn the_reset_key_follows_from_the_private_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    let issue = || authority.issue(&["b.example"], HOUR).unwrap();
    write(dir.path(), &authority, &issue());
    let tls = load(dir.path());
    let first = tls.reset_key().unwrap();
    assert_eq!(load(dir.path()).reset_key(), Some(first));
    write(dir.path(), &authority, &issue());
    tls.reload().unwrap();
    assert_ne!(tls.reset_key(), Some(first));
    assert_eq!(nobody(&authority).reset_key(), None);
}

#[test]
fn what_came_from_memory_has_nothing_to_reload() {
    let tls = node(&Authority::new("test").unwrap(), "b.example");
    assert!(!tls.reload().unwrap());
    assert_eq!(tls.version(), 0);
}
