//! Certificates and key, parsed and checked: what is wrong is said at load, not at the first
//! connection.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use crate::error::TlsError;
use crate::name;
use crate::provider;
use crate::source::{self, Text, Texts};

/// Checked, and ready to be made configs of.
pub(crate) struct Material {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) identity: Option<Identity>,
    pub(crate) warnings: Vec<String>,
}

/// Who this side is.
pub(crate) struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) reset_key: [u8; 32],
    /// When the first certificate of the chain expires.
    pub(crate) expires: SystemTime,
}

impl Material {
    pub(crate) fn check(
        now: SystemTime,
        texts: Texts,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut warnings = texts.warnings;
        let roots = roots(now, &texts.ca, &mut warnings)?;
        let identity = match &texts.identity {
            None => None,
            Some((chain, key)) => {
                let identity = identity(now, chain, key, provider, &mut warnings)?;
                let chain = Chain {
                    place: &chain.place,
                    ca: &texts.ca.place,
                    certificates: &identity.certified.cert,
                };
                chain.leads_to(now, &roots, provider, &mut warnings)?;
                Some(identity)
            }
        };
        Ok(Self {
            roots,
            identity,
            warnings,
        })
    }
}

fn roots(
    now: SystemTime,
    ca: &Text,
    warnings: &mut Vec<String>,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in source::certificates(ca)? {
        // Roots are trusted as they are: rustls does not look at their dates, so neither do we more
        // than to say so.
        if let Ok(parsed) = name::parse(&certificate, &ca.place) {
            let end = parsed.tbs_certificate.validity.not_after;
            if end.to_system_time() < now {
                warnings.push(format!("a root of {} expired at {end}", ca.place));
            }
        }
        roots.add(certificate).map_err(|error| TlsError::Root {
            place: ca.place.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(Arc::new(roots))
}

fn identity(
    now: SystemTime,
    chain: &Text,
    key: &Text,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<Identity, TlsError> {
    let certificates = source::certificates(chain)?;
    let private = source::key(key)?;
    let mut expires = None;
    for (number, certificate) in certificates.iter().enumerate() {
        let parsed = name::parse(certificate, &chain.place)?;
        let validity = parsed.tbs_certificate.validity;
        if now < validity.not_before.to_system_time() {
            return Err(TlsError::NotYetValid {
                place: chain.place.clone(),
                at: validity.not_before.to_string(),
            });
        }
        let end = validity.not_after.to_system_time();
        if end < now {
            return Err(TlsError::Expired {
                place: chain.place.clone(),
                at: validity.not_after.to_string(),
            });
        }
        expires = Some(expires.map_or(end, |first: SystemTime| first.min(end)));
        if number == 0 {
            let names = name::names_of(&parsed).map_err(|reason| TlsError::BadCertificate {
                place: chain.place.clone(),
                reason,
            })?;
            if names.is_empty() {
                warnings.push(format!(
                    "the certificate of {} names no host: nobody can verify a server by it",
                    chain.place
                ));
            }
        }
    }
    let reset_key = provider::reset_key(private.secret_der());
    let certified = CertifiedKey::from_der(certificates, private, provider)
        .map_err(|error| no_pair(chain, key, &error))?;
    Ok(Identity {
        certified: Arc::new(certified),
        reset_key,
        expires: expires.unwrap_or(now),
    })
}

fn no_pair(chain: &Text, key: &Text, error: &Error) -> TlsError {
    if matches!(error, Error::InconsistentKeys(_)) {
        return TlsError::Mismatch {
            certificate: chain.place.clone(),
            key: key.place.clone(),
        };
    }
    let reason = error.to_string();
    if matches!(error, Error::InvalidCertificate(_)) {
        let place = chain.place.clone();
        return TlsError::BadCertificate { place, reason };
    }
    let place = key.place.clone();
    TlsError::BadKey { place, reason }
}

/// A chain, and the names of what is compared.
struct Chain<'a> {
    place: &'a str,
    ca: &'a str,
    certificates: &'a [CertificateDer<'static>],
}

impl Chain<'_> {
    /// Verifies the chain as a peer would, in both roles. One role is enough, the other is warned of.
    fn leads_to(
        &self,
        now: SystemTime,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        warnings: &mut Vec<String>,
    ) -> Result<(), TlsError> {
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let as_server = self.as_server(now, roots, provider);
        let as_client = self.as_client(now, roots, provider);
        let unfit = |role: &str, error: &Error| {
            format!(
                "the certificate of {} cannot be shown as a {role}'s: {error}",
                self.place
            )
        };
        match (as_server, as_client) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), Ok(())) => {
                warnings.push(unfit("server", &error));
                Ok(())
            }
            (Ok(()), Err(error)) => {
                warnings.push(unfit("client", &error));
                Ok(())
            }
            (Err(error), Err(_)) => Err(TlsError::NotSigned {
                place: self.place.to_owned(),
                ca: self.ca.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    fn as_server(
        &self,
        now: UnixTime,
        roots: &RootCertStore,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let (own, between) = self.split()?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(own)?,
            roots,
            between,
            now,
            provider.signature_verification_algorithms.all,
        )
    }

    fn as_client(
        &self,
        now: UnixTime,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), Error> {
        let (own, between) = self.split()?;
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_client_cert(own, between, now)
            .map(|_| ())
    }

    fn split(&self) -> Result<(&CertificateDer<'static>, &[CertificateDer<'static>]), Error> {
        self.certificates
            .split_first()
            .ok_or(Error::NoCertificatesPresented)
    }
}
