//! What is wrong with files is said when they are loaded.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use common::{HOUR, nobody, pem};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsError, TlsFiles, TlsPem};

fn load(pem: TlsPem) -> Result<Tls, TlsError> {
    Tls::from_pem(pem, ClientAuth::Required)
}

/// A good one, to be made bad.
fn good() -> (Authority, TlsPem) {
    let authority = Authority::new("test").unwrap();
    let issued = authority.issue(&["a.example"], HOUR).unwrap();
    let pem = pem(&authority, Some(issued));
    (authority, pem)
}

fn refused(change: impl FnOnce(&Authority, &mut TlsPem)) -> TlsError {
    let (authority, mut pem) = good();
    load(pem.clone()).unwrap();
    change(&authority, &mut pem);
    load(pem).unwrap_err()
}

fn chain(pem: &mut TlsPem) -> &mut String {
    &mut pem.identity.as_mut().unwrap().0
}

fn key(pem: &mut TlsPem) -> &mut String {
    &mut pem.identity.as_mut().unwrap().1
}

/// Right PEM around what is nothing.
fn rubbish(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAQIDBAUG\n-----END {label}-----\n")
}

fn begins(error: &TlsError, code: &str) {
    assert!(error.to_string().starts_with(code), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Off).unwrap_err();
    begins(&error, "TF-X01");
    let path = dir.path().join("ca.pem").display().to_string();
    assert!(error.to_string().contains(&path), "{error}");

    fs::write(dir.path().join("ca.pem"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    let error = Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Off).unwrap_err();
    begins(&error, "TF-X01");
    assert!(error.to_string().contains("larger"), "{error}");
}

#[test]
fn half_an_identity_is_not_taken_for_none() {
    let (authority, pem) = good();
    let (chain, key) = pem.identity.unwrap();
    for (file, text, missing) in [
        ("cert.pem", &chain, "key.pem"),
        ("key.pem", &key, "cert.pem"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), authority.cert_pem()).unwrap();
        let client = TlsFiles::in_dir(dir.path());
        assert_eq!(client.identity, None);
        let tls = Tls::from_files(client, ClientAuth::Required).unwrap();
        assert!(!tls.has_identity());

        fs::write(dir.path().join(file), text).unwrap();
        let error = Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Off).unwrap_err();
        begins(&error, "TF-X01");
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn texts_without_what_is_looked_for() {
    begins(&refused(|_, pem| pem.ca.clear()), "TF-X02");
    begins(&refused(|_, pem| *chain(pem) = key(pem).clone()), "TF-X02");
    begins(&refused(|_, pem| *key(pem) = chain(pem).clone()), "TF-X03");
    let encrypted = rubbish("ENCRYPTED PRIVATE KEY");
    begins(&refused(|_, pem| *key(pem) = encrypted), "TF-X03");
}

#[test]
fn broken_pem_is_said_without_showing_it() {
    for broken in [
        |text: &str| text[..text.len() - 40].to_owned(),
        |text: &str| text.replacen("-----\n", "\n", 1),
        |text: &str| text.replacen("\nM", "\n!", 1),
    ] {
        begins(&refused(|_, pem| pem.ca = broken(&pem.ca)), "TF-X04");
        begins(
            &refused(|_, pem| *chain(pem) = broken(chain(pem))),
            "TF-X04",
        );
        let mut secret = String::new();
        let error = refused(|_, pem| {
            secret = key(pem).lines().nth(1).unwrap()[1..9].to_owned();
            *key(pem) = broken(key(pem));
        });
        begins(&error, "TF-X04");
        assert!(!format!("{error} {error:?}").contains(&secret), "{error}");
    }
}

#[test]
fn contents_that_are_no_certificate_or_key() {
    begins(&refused(|_, pem| pem.ca = rubbish("CERTIFICATE")), "TF-X05");
    begins(
        &refused(|_, pem| *chain(pem) = rubbish("CERTIFICATE")),
        "TF-X06",
    );
    begins(
        &refused(|_, pem| *key(pem) = rubbish("PRIVATE KEY")),
        "TF-X07",
    );
}

#[test]
fn a_key_of_another_certificate() {
    let error = refused(|authority, pem| {
        *key(pem) = authority.issue(&["a.example"], HOUR).unwrap().key_pem;
    });
    begins(&error, "TF-X08");
}

fn between(from: u64, to: u64) -> TlsError {
    refused(|authority, pem| {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let issued = authority.issue_between(&["a.example"], at(from), at(to));
        let issued = issued.unwrap();
        pem.identity = Some((issued.cert_pem, issued.key_pem));
    })
}

#[test]
fn certificates_of_another_time() {
    let error = between(0, 1_000_000_000);
    begins(&error, "TF-X09");
    assert!(
        error.to_string().contains("2001-09-09T01:46:40Z"),
        "{error}"
    );
    let error = between(7_258_118_400, 7_258_118_401);
    begins(&error, "TF-X10");
    assert!(
        error.to_string().contains("2200-01-01T00:00:00Z"),
        "{error}"
    );
}

#[test]
fn a_certificate_of_another_authority() {
    let other = Authority::new("test").unwrap();
    begins(&refused(|_, pem| pem.ca = other.cert_pem()), "TF-X11");
    // The authority's own certificate is not shown by a node.
    let error = refused(|authority, pem| {
        pem.identity = Some((authority.cert_pem(), authority.key_pem()));
    });
    begins(&error, "TF-X11");
}

#[test]
fn a_chain_is_followed_and_must_be_whole() {
    let params = |own: &str| {
        let mut params = CertificateParams::new([own.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, own);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let (mut root, mut between) = (params("root"), params("between"));
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    between.not_after = rcgen::date_time_ymd(2200, 1, 1);
    let (root_key, between_key, own_key) = (key(), key(), key());
    let ca = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let middle = between.signed_by(&between_key, &root).unwrap().pem();
    let between = Issuer::new(between, between_key);
    let own = params("a.example").signed_by(&own_key, &between).unwrap();
    let load = |chain: String| {
        let identity = Some((chain, own_key.serialize_pem()));
        load(TlsPem {
            ca: ca.clone(),
            identity,
        })
    };
    let whole = load(own.pem() + &middle).unwrap();
    assert_eq!(whole.warnings(), Vec::<String>::new());
    // The first to expire counts.
    let end = UNIX_EPOCH + Duration::from_secs(7_258_118_400);
    assert_eq!(whole.expires(), Some(end));
    begins(&load(own.pem()).unwrap_err(), "TF-X11");
    begins(&load(middle + &own.pem()).unwrap_err(), "TF-X08");
}

#[test]
fn a_server_without_a_certificate() {
    let error = nobody(&good().0).server_config(b"h2").unwrap_err();
    begins(&error, "TF-X12");
    assert_eq!(error, TlsError::NoIdentity);
}

#[test]
fn no_key_is_shown() {
    let (authority, mut pem) = good();
    let secret = key(&mut pem).lines().nth(1).unwrap().to_owned();
    let tls = load(pem.clone()).unwrap();
    assert!(!format!("{pem:?}{tls:?}").contains(&secret));
    let issued = authority.issue(&["a.example"], HOUR).unwrap();
    let secret = issued.key_pem.lines().nth(1).unwrap();
    assert!(!format!("{issued:?}").contains(secret));
    let secret = authority.key_pem();
    assert!(!format!("{authority:?}").contains(secret.lines().nth(1).unwrap()));
}

#[test]
fn the_end_of_a_certificate_is_known() {
    let end = UNIX_EPOCH + Duration::from_secs(7_258_118_400);
    let authority = Authority::new("test").unwrap();
    let issued = authority
        .issue_between(&["a.example"], UNIX_EPOCH, end)
        .unwrap();
    let tls = load(pem(&authority, Some(issued))).unwrap();
    assert_eq!(tls.expires(), Some(end));
    assert_eq!(nobody(&authority).expires(), None);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let (authority, pem) = good();
    let (chain, key) = pem.identity.unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), authority.cert_pem()).unwrap();
    fs::write(dir.path().join("cert.pem"), chain).unwrap();
    let path = dir.path().join("key.pem");
    fs::write(&path, key).unwrap();
    let warnings = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Required)
            .unwrap()
            .warnings()
    };
    assert_eq!(warnings(0o600), Vec::<String>::new());
    for mode in [0o640, 0o604] {
        let warnings = warnings(mode);
        assert!(warnings[0].contains("key.pem"), "{warnings:?}");
        assert_eq!(warnings.len(), 1);
    }
}

/// A root of `usages` below it, and what one below that is warned of.
fn warnings_of(change: impl FnOnce(&mut CertificateParams, &mut CertificateParams)) -> Vec<String> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut own = CertificateParams::new(["a.example".to_owned()]).unwrap();
    change(&mut root, &mut own);
    let (root_key, own_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let ca = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let chain = own.signed_by(&own_key, &issuer).unwrap().pem();
    let identity = Some((chain, own_key.serialize_pem()));
    load(TlsPem { ca, identity }).unwrap().warnings()
}

#[test]
fn what_works_in_part_is_warned_of() {
    assert_eq!(warnings_of(|_, _| {}), Vec::<String>::new());
    for (usage, other) in [
        (ExtendedKeyUsagePurpose::ServerAuth, "client's"),
        (ExtendedKeyUsagePurpose::ClientAuth, "server's"),
    ] {
        let warnings = warnings_of(|_, own| own.extended_key_usages = vec![usage]);
        assert!(warnings[0].contains(other), "{warnings:?}");
        assert_eq!(warnings.len(), 1);
    }
    let warnings = warnings_of(|_, own| own.subject_alt_names.clear());
    assert!(warnings[0].contains("names no host"), "{warnings:?}");
    let warnings = warnings_of(|root, _| root.not_after = rcgen::date_time_ymd(2001, 1, 1));
    assert!(warnings[0].contains("2001-01-01T00:00:00Z"), "{warnings:?}");
}
