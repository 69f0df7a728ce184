//! Who is kept out by certificates and tokens, and what he is told.

use std::time::{Duration, SystemTime};

use trefoil_core::status::Code;

use super::{AUTHORITY, certificate, security, shown};
use crate::nodes::{Cluster, Sums, add, calling, free_host, named, soon, store, sum_after};
use crate::runtime::tls::{Authority, ClientAuth, Tls, TlsFiles, TlsPem};
use crate::runtime::{
    CallError, CallOptions, Client, Node, NodeOptions, Remedy, Security, StartError, Token, run,
    sleep,
};

async fn start(options: NodeOptions) -> Result<Node, StartError> {
    let session = store().session(&options.host);
    soon(Node::spawn(options, Sums::default(), session)).await
}

/// What a client of these certificates and this token hears.
async fn heard(host: &str, security: Security, token: Option<&str>) -> Result<u64, CallError> {
    let mut options = calling([host]);
    options.security = security;
    options.token = token.map(Token::new);
    let client = Client::start(options).unwrap();
    let options = CallOptions {
        timeout: Duration::from_secs(3),
        ..CallOptions::default()
    };
    soon(client.apply_with(7, &[add(&[1])], options))
        .await
        .map(|applied| sum_after(&applied))
}

fn assert_untrusted(error: &CallError, why: &str) {
    assert_eq!(
        (error.code, error.remedy),
        (Code::Unauthenticated, Remedy::Final),
        "{error}"
    );
    // An attempt that came while the link was backing off is told so, and no more.
    if error.stable_code() == Some("TF-C16") {
        return;
    }
    assert_eq!(
        error.stable_code(),
        Some(crate::subject::UNTRUSTED),
        "{error}"
    );
    assert!(error.message.contains(why), "{error}");
}

#[test]
fn a_client_of_another_authority_is_told_so() {
    run(async {
        let cluster = Cluster::of(1).await;
        let host = &cluster.hosts()[0];
        let others = Authority::new("others").unwrap();
        let issued = others
            .issue(&["127.0.0.1"], Duration::from_secs(3_600))
            .unwrap();
        // It knows neither their authority nor they its own; then it knows theirs.
        for (ca, who) in [(others.cert_pem(), "here"), (AUTHORITY.cert_pem(), "there")] {
            let pem = TlsPem {
                ca,
                identity: Some((issued.cert_pem.clone(), issued.key_pem.clone())),
            };
            // A certificate that is not of the authority is noticed before it is shown to anybody.
            let tls = Tls::from_pem(pem, ClientAuth::Required);
            if who == "there" {
                assert!(tls.unwrap_err().to_string().starts_with("TF-X11"));
                continue;
            }
            let error = heard(host, Security::Tls(tls.unwrap()), shown()).await;
            assert_untrusted(&error.unwrap_err(), "an authority this side does not know");
        }
        // It shows a certificate of its own authority, and would trust theirs.
        let pem = TlsPem {
            ca: others.cert_pem() + &AUTHORITY.cert_pem(),
            identity: Some((issued.cert_pem, issued.key_pem)),
        };
        let tls = Tls::from_pem(pem, ClientAuth::Required).unwrap();
        let error = heard(host, Security::Tls(tls), shown()).await;
        let why = "does not trust this side's certificate";
        assert_untrusted(&error.unwrap_err(), why);
        cluster.end().await;
    });
}

#[test]
fn a_client_without_a_certificate_is_told_so() {
    run(async {
        let cluster = Cluster::of(1).await;
        let host = &cluster.hosts()[0];
        let pem = TlsPem {
            ca: AUTHORITY.cert_pem(),
            identity: None,
        };
        let tls = Tls::from_pem(pem, ClientAuth::Required).unwrap();
        let error = heard(host, Security::Tls(tls), shown()).await.unwrap_err();
        assert_untrusted(&error, "ertificate");
        cluster.end().await;
    });
}

#[test]
fn a_certificate_that_expired_while_it_was_in_use_is_refused() {
    run(async {
        let cluster = Cluster::of(1).await;
        let host = &cluster.hosts()[0];
        #[expect(
            clippy::disallowed_methods,
            reason = "certificates live by the wall clock"
        )]
        let now = SystemTime::now();
        let issued = AUTHORITY
            .issue_between(
                &["127.0.0.1"],
                now - Duration::from_secs(60),
                now + Duration::from_secs(3),
            )
            .unwrap();
        let pem = TlsPem {
            ca: AUTHORITY.cert_pem(),
            identity: Some((issued.cert_pem, issued.key_pem)),
        };
        let security = Security::Tls(Tls::from_pem(pem, ClientAuth::Required).unwrap());
        assert_eq!(heard(host, security.clone(), shown()).await, Ok(1));
        sleep(Duration::from_secs(4)).await;
        let error = heard(host, security, shown()).await.unwrap_err();
        assert_untrusted(&error, "xpired");
        cluster.end().await;
    });
}

#[test]
fn a_node_that_its_certificate_does_not_name_does_not_start() {
    run(async {
        let mut options = named(free_host(), "tests");
        options.security = Security::Tls(certificate(&["127.0.0.2"]));
        let error = start(options).await.unwrap_err().to_string();
        assert!(error.starts_with("TF-U08"), "{error}");
    });
}

#[test]
fn a_host_whose_certificate_is_anothers_is_not_spoken_with() {
    run(async {
        // It is what it says it is, and is dialled by another of its names.
        let mut options = named("127.0.0.2:0", "tests");
        options.security = Security::Tls(certificate(&["127.0.0.2"]));
        options.listen = Some("127.0.0.1:0".to_owned());
        let node = start(options).await.unwrap();
        let address = node.address().to_string();
        let error = heard(&address, security(), shown()).await.unwrap_err();
        assert_untrusted(&error, "");
        node.kill().await;
    });
}

#[test]
fn a_caller_without_the_token_is_told_so() {
    run(async {
        let mut options = named(free_host(), "tests");
        options.token = Some(Token::new("the-right-one"));
        let host = options.host.clone();
        let node = start(options).await.unwrap();
        for token in [None, Some("a-wrong-one")] {
            let error = heard(&host, security(), token).await.unwrap_err();
            assert_eq!(
                (error.code, error.stable_code(), error.remedy),
                (Code::Unauthenticated, Some("TF-C15"), Remedy::Final)
            );
        }
        assert_eq!(heard(&host, security(), Some("the-right-one")).await, Ok(1));
        node.kill().await;
        let mut options = named(free_host(), "tests");
        options.token = Some(Token::new("two words"));
        let error = start(options).await.unwrap_err().to_string();
        assert!(error.starts_with("TF-U01"), "{error}");
    });
}

#[test]
fn certificates_that_were_read_again_count_from_then_on() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let write = |authority: &Authority| {
            let issued = authority
                .issue(&["127.0.0.1"], Duration::from_secs(3_600))
                .unwrap();
            for (name, text) in [
                ("ca.pem", authority.cert_pem()),
                ("cert.pem", issued.cert_pem),
                ("key.pem", issued.key_pem),
            ] {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
        };
        write(&AUTHORITY);
        let tls = Tls::from_files(TlsFiles::in_dir(dir.path()), ClientAuth::Required).unwrap();
        let mut options = named(free_host(), "tests");
        options.security = Security::Tls(tls.clone());
        let host = options.host.clone();
        let node = start(options).await.unwrap();
        assert_eq!(heard(&host, security(), shown()).await, Ok(1));
        let next = Authority::new("next").unwrap();
        write(&next);
        let issued = next.issue(&[], Duration::from_secs(3_600)).unwrap();
        let pem = TlsPem {
            ca: next.cert_pem(),
            identity: Some((issued.cert_pem, issued.key_pem)),
        };
        let newer = Security::Tls(Tls::from_pem(pem, ClientAuth::Required).unwrap());
        let error = heard(&host, newer.clone(), shown()).await.unwrap_err();
        assert_untrusted(&error, "");
        assert_eq!(tls.reload(), Ok(true));
        assert_eq!(heard(&host, newer, shown()).await, Ok(2));
        let error = heard(&host, security(), shown()).await.unwrap_err();
        assert_untrusted(&error, "");
        node.kill().await;
    });
}

#[test]
fn nobody_listens_to_other_machines_without_being_asked_to() {
    run(async {
        let mut options = named(free_host(), "tests");
        options.listen = Some("0.0.0.0:0".to_owned());
        options.security = Security::Loopback;
        let error = start(options.clone()).await.unwrap_err().to_string();
        // QUIC has no plaintext to ask for.
        let code = if crate::subject::IS_ALWAYS_SECURE {
            "TF-U07"
        } else {
            "TF-U06"
        };
        assert!(error.starts_with(code), "{error}");
        options.security = Security::Plaintext;
        let begun = start(options).await;
        assert_eq!(begun.is_ok(), !crate::subject::IS_ALWAYS_SECURE);
        if let Ok(node) = begun {
            node.kill().await;
            let mut options = calling(["203.0.113.7:7001"]);
            options.security = Security::Loopback;
            let client = Client::start(options).unwrap();
            let error = soon(client.get(7)).await.unwrap_err();
            assert_eq!(error.stable_code(), Some("TF-T10"), "{error}");
        }
    });
}

#[test]
fn a_side_without_tls_and_one_with_it_find_out() {
    run(async {
        if crate::subject::IS_ALWAYS_SECURE {
            return;
        }
        let cluster = Cluster::of(1).await;
        let error = heard(&cluster.hosts()[0], Security::Loopback, shown()).await;
        assert_untrusted(&error.unwrap_err(), "it asks for TLS");
        cluster.end().await;
        let mut options = named(free_host(), "tests");
        options.security = Security::Loopback;
        let host = options.host.clone();
        let bare = start(options).await.unwrap();
        let error = heard(&host, security(), shown()).await.unwrap_err();
        assert_untrusted(&error, "it does not speak TLS");
        bare.kill().await;
    });
}
