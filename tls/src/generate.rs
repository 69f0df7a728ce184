//! An authority for development and tests: it makes a root and issues certificates below it.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, DnsName};
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Encode, Tag, Tagged};
use x509_cert::ext::pkix;
use x509_cert::name::Name;

use crate::clock;
use crate::error::TlsError;
use crate::name;
use crate::source::{self, Text};

/// Clocks of other machines may be this much behind ours.
const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// How long a new authority is valid: ten years.
const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The last second of the year 9999, the last a certificate can name.
const LAST: Duration = Duration::from_secs(253_402_300_799);
/// Characters a common name may have.
const COMMON_NAME_MAX: usize = 64;

/// An authority that issues certificates for nodes and clients. Its key lies in memory and, where
/// [`key_pem`](Self::key_pem) is written, in a file: good for development, tests and small rings that
/// guard that file.
pub struct Authority {
    cert_pem: String,
    subject: Name,
    issuer: Issuer<'static, KeyPair>,
    /// Whether what is issued names the authority's key: only if its certificate does.
    key_named: bool,
}

/// A certificate and its private key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.subject.to_string())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one with a new key (ECDSA on P-256), valid for ten years.
    ///
    /// # Errors
    /// [`TlsError::Issue`]: the name is empty or longer than 64 characters.
    pub fn new(name: &str) -> Result<Self, TlsError> {
        if name.is_empty() || name.chars().count() > COMMON_NAME_MAX {
            return Err(refused(format_args!(
                "a name of 1 to {COMMON_NAME_MAX} characters is needed"
            )));
        }
        let now = clock::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(backdated(now))?;
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now + AUTHORITY_VALID)?;
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.self_signed(&key).map_err(refused)?;
        Self::with(certificate.pem(), certificate.der(), key)
    }

    /// One that was made before, or by another program. With the feature `ring` the key must be
    /// PKCS #8.
    ///
    /// # Errors
    /// What is wrong with the certificate or the key.
    pub fn from_pem(cert: &str, key: &str) -> Result<Self, TlsError> {
        let text = |place: &str, text: &str| Text {
            place: place.to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        let certificate = source::certificates(&text("the authority's PEM", cert))?.swap_remove(0);
        let place = "the authority's key PEM";
        let key = source::key(&text(place, key))?;
        let key = KeyPair::try_from(&key).map_err(|error| TlsError::BadKey {
            place: place.to_owned(),
            reason: error.to_string(),
        })?;
        Self::with(cert.to_owned(), &certificate, key)
    }

    fn with(
        cert_pem: String,
        certificate: &CertificateDer<'_>,
        key: KeyPair,
    ) -> Result<Self, TlsError> {
        let parsed = name::parse(certificate, "the authority's PEM")?.tbs_certificate;
        let public = parsed.subject_public_key_info.to_der().map_err(refused)?;
        if public != key.subject_public_key_info() {
            return Err(TlsError::Mismatch {
                certificate: "the authority's PEM".to_owned(),
                key: "the authority's key PEM".to_owned(),
            });
        }
        let constraints = parsed.get::<pkix::BasicConstraints>().map_err(refused)?;
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(refused("the certificate given is not one of an authority"));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = as_rcgen(&parsed.subject)?;
        let named = parsed
            .get::<pkix::SubjectKeyIdentifier>()
            .map_err(refused)?;
        let key_named = named.is_some();
        if let Some((_, id)) = named {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.0.as_bytes().to_vec());
        }
        Ok(Self {
            cert_pem,
            subject: parsed.subject,
            issuer: Issuer::new(params, key),
            key_named,
        })
    }

    /// Its certificate: what everybody trusts.
    pub fn cert_pem(&self) -> String {
        self.cert_pem.clone()
    }

    /// Its private key: whoever has it can be anybody.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a certificate for these DNS names (`*.example.org` too) and IP addresses, valid from
    /// now on (five minutes earlier, for clocks that are behind), with a key of its own. It serves
    /// both ends of a connection. Without a host it serves a client only.
    ///
    /// # Errors
    /// [`TlsError::Issue`]: a host is none, or the time is too long.
    pub fn issue(&self, hosts: &[&str], valid: Duration) -> Result<Issued, TlsError> {
        let now = clock::now();
        let end = now
            .checked_add(valid)
            .ok_or_else(|| refused("it would be valid for too long"))?;
        self.issue_between(hosts, backdated(now), end)
    }

    /// As [`issue`](Self::issue), between two times, to the second.
    ///
    /// # Errors
    /// [`TlsError::Issue`]: a host is none, or the times are out of order or out of range.
    pub fn issue_between(
        &self,
        hosts: &[&str],
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<Issued, TlsError> {
        if not_after < not_before {
            return Err(refused("it would end before it begins"));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(
            hosts
                .first()
                .filter(|host| host.len() <= COMMON_NAME_MAX)
                .unwrap_or(&"trefoil"),
        );
        params.subject_alt_names = hosts
            .iter()
            .map(|host| alternative(host))
            .collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = self.key_named;
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(not_before)?;
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after)?;
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        let parsed = name::parse(certificate.der(), "the certificate issued")?;
        if parsed.tbs_certificate.issuer != self.subject {
            return Err(refused(
                "the authority's name is spelled in a way that cannot be repeated",
            ));
        }
        Ok(Issued {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn refused(reason: impl ToString) -> TlsError {
    TlsError::Issue {
        reason: reason.to_string(),
    }
}

fn backdated(now: SystemTime) -> SystemTime {
    now.checked_sub(BACKDATED).unwrap_or(UNIX_EPOCH)
}

fn since_epoch(at: SystemTime) -> Result<Duration, TlsError> {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .filter(|since| *since <= LAST)
        .ok_or_else(|| refused("a date before 1970 or after 9999 cannot be written"))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn alternative(host: &str) -> Result<SanType, TlsError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let unfit = || {
        refused(format_args!(
            "`{host}` is neither a DNS name nor an address"
        ))
    };
    DnsName::try_from(host.strip_prefix("*.").unwrap_or(host)).map_err(|_| unfit())?;
    let host = host.to_ascii_lowercase();
    Ok(SanType::DnsName(host.try_into().map_err(|_| unfit())?))
}

/// The same name, as rcgen writes it. Whether it came out the same is seen when one is issued.
fn as_rcgen(subject: &Name) -> Result<DistinguishedName, TlsError> {
    let mut names = DistinguishedName::new();
    for part in subject.0.iter().flat_map(|set| set.0.iter()) {
        let oid: Vec<u64> = part.oid.arcs().map(u64::from).collect();
        let value = if part.value.tag() == Tag::PrintableString {
            let text = part.value.decode_as::<PrintableStringRef<'_>>();
            let text = text.map_err(refused)?.as_str().try_into();
            DnValue::PrintableString(text.map_err(refused)?)
        } else {
            let text = part.value.decode_as::<Utf8StringRef<'_>>();
            DnValue::Utf8String(text.map_err(refused)?.as_str().to_owned())
        };
        names.push(DnType::from_oid(&oid), value);
    }
    Ok(names)
}
