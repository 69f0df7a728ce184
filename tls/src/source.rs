//! Where certificates and keys come from, and how they are read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::TlsError;

/// Bytes a PEM file may have: some hundred certificates. A wrong path to something endless ends here.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authority: every certificate in it is trusted, so that an old and a new
    /// authority can stand side by side.
    pub ca: PathBuf,
    /// The chain of certificates, one's own first, and its private key. Without, this side shows no
    /// certificate: a client only.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// `ca.pem`, `cert.pem` and `key.pem` of a directory. There is an identity if one of the latter
    /// exists: the other one missing is then said when they are loaded, not taken for a client.
    pub fn in_dir(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        Self {
            ca: dir.join("ca.pem"),
            identity: (certificate.exists() || key.exists()).then_some((certificate, key)),
        }
    }
}

/// The same as PEM text in memory.
#[derive(Clone)]
pub struct TlsPem {
    /// Certificates of the authority.
    pub ca: String,
    /// The chain of certificates, one's own first, and its private key.
    pub identity: Option<(String, String)>,
}

impl fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPem")
            .field("ca", &self.ca)
            .field(
                "certificate",
                &self.identity.as_ref().map(|(chain, _)| chain),
            )
            .finish_non_exhaustive()
    }
}

/// A text, and what to call it in a message.
pub(crate) struct Text {
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
}

/// What was read, not looked into yet.
pub(crate) struct Texts {
    pub(crate) ca: Text,
    pub(crate) identity: Option<(Text, Text)>,
    pub(crate) warnings: Vec<String>,
}

impl Texts {
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let mut warnings = Vec::new();
        let ca = read(&files.ca)?.0;
        let identity = match &files.identity {
            None => None,
            Some((chain, key)) => {
                let chain = read(chain)?.0;
                let (key, open_to_all) = read(key)?;
                if open_to_all {
                    warnings.push(format!(
                        "{} can be read by other users; make its mode 600",
                        key.place
                    ));
                }
                Some((chain, key))
            }
        };
        Ok(Self {
            ca,
            identity,
            warnings,
        })
    }

    pub(crate) fn given(pem: TlsPem) -> Self {
        let text = |place: &str, text: String| Text {
            place: place.to_owned(),
            bytes: text.into_bytes(),
        };
        Self {
            ca: text("the authority's PEM", pem.ca),
            identity: pem.identity.map(|(chain, key)| {
                (
                    text("the certificate's PEM", chain),
                    text("the key's PEM", key),
                )
            }),
            warnings: Vec::new(),
        }
    }

    /// All bytes, told apart by their lengths.
    pub(crate) fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        for text in [&self.ca].into_iter().chain(identity) {
            joined.extend_from_slice(&(text.bytes.len() as u64).to_le_bytes());
            joined.extend_from_slice(&text.bytes);
        }
        joined
    }
}

/// A file's text, and whether others than its owner may read it.
fn read(path: &Path) -> Result<(Text, bool), TlsError> {
    let place = path.display().to_string();
    let failed = |reason: String| TlsError::Read {
        place: place.clone(),
        reason,
    };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let open_to_all = open_to_all(&file);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok((Text { place, bytes }, open_to_all))
}

#[cfg(unix)]
fn open_to_all(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_all(_file: &File) -> bool {
    false
}

/// The certificates of a text: at least one.
pub(crate) fn certificates(text: &Text) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text.bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| broken(text, &error))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate {
            place: text.place.clone(),
        });
    }
    Ok(found)
}

/// The first private key of a text.
pub(crate) fn key(text: &Text) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::pem_slice_iter(&text.bytes).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) => Err(broken(text, &error)),
        None => Err(TlsError::NoKey {
            place: text.place.clone(),
        }),
    }
}

/// Says what is wrong without a byte of the text: it may be a key's.
fn broken(text: &Text, error: &Error) -> TlsError {
    let reason = match error {
        Error::MissingSectionEnd { .. } => "a section has no END line",
        Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        Error::Base64Decode(_) => "a section is not base64",
        Error::SectionTooLarge => "a section is too large",
        Error::Io(_) | Error::NoItemsFound | _ => "it cannot be decoded",
    };
    TlsError::Pem {
        place: text.place.clone(),
        reason: reason.to_owned(),
    }
}
