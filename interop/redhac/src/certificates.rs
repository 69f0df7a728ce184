//! Certificates of a cluster, in files: one authority, and for everybody what both ends of a stream show.

use std::fs::{create_dir_all, write};
use std::path::Path;
use std::time::Duration;

use trefoil_tls::{Authority, ClientAuth, Tls, TlsFiles};

use crate::cluster::Failed;

/// Where nodes are dialled, which ours verify; and what redhac's verify, whomever they dial.
const NAMES: [&str; 2] = ["127.0.0.1", "redhac.local"];

const VALID: Duration = Duration::from_secs(24 * 60 * 60);

/// Issues for each directory. A node's own is shown by both ends of its streams.
///
/// # Errors
/// A file cannot be written.
pub fn issue<'a>(directories: impl Iterator<Item = &'a Path>) -> Result<(), Failed> {
    let authority = Authority::new("interop")?;
    for directory in directories {
        let issued = authority.issue(&NAMES, VALID)?;
        create_dir_all(directory)?;
        write(directory.join("ca.pem"), authority.cert_pem())?;
        write(directory.join("cert.pem"), issued.cert_pem)?;
        write(directory.join("key.pem"), issued.key_pem)?;
    }
    Ok(())
}

/// What was issued for a directory; both ends must show a certificate.
///
/// # Errors
/// Nothing was.
pub fn load(directory: &Path) -> Result<Tls, Failed> {
    let files = TlsFiles::in_dir(directory);
    Ok(Tls::from_files(files, ClientAuth::Required)?)
}

/// How redhac's nodes are told of them.
#[must_use]
pub fn environment(directory: &Path) -> Vec<(&'static str, String)> {
    let files = [
        ("CACHE_TLS_SERVER_CERT", "cert.pem"),
        ("CACHE_TLS_SERVER_KEY", "key.pem"),
        ("CACHE_TLS_CLIENT_CERT", "cert.pem"),
        ("CACHE_TLS_CLIENT_KEY", "key.pem"),
        ("CACHE_TLS_CA_SERVER", "ca.pem"),
        ("CACHE_TLS_CA_CLIENT", "ca.pem"),
    ];
    let file = |(name, file)| (name, directory.join(file).display().to_string());
    let switch = ("CACHE_TLS", "true".to_owned());
    files.into_iter().map(file).chain([switch]).collect()
}
