//! `trefoil certs`: certificates from an authority made for development.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use trefoil_runtime::clock;
use trefoil_tls::{Authority, ClientAuth, Issued, Tls, TlsError, TlsFiles};

use crate::cli::Certs;
use crate::say;

/// The authority's own key. Whoever has it can make certificates for anybody.
const AUTHORITY_KEY: &str = "ca-key.pem";
const AUTHORITY: &str = "ca.pem";

/// A certificate that has less left is warned of, and made anew where we may.
pub const SOON: Duration = Duration::from_secs(30 * 86_400);

/// How long the certificate of a cluster on this machine is valid.
const OWN_VALID: Duration = Duration::from_secs(365 * 86_400);

/// The certificate of those that call nodes and are none.
const OPERATOR: &str = "operator";

/// Makes the authority if there is none, and a certificate for each host.
///
/// # Errors
/// A file cannot be written, or the authority's cannot be used.
pub fn run(args: &Certs) -> Result<()> {
    let mut names: Vec<&str> = vec![OPERATOR];
    for hosts in &args.hosts {
        let first = hosts.split(',').next().unwrap_or_default().trim();
        if names.contains(&first) {
            bail!("TF-N12: there would be two certificates in the directory {first}");
        }
        names.push(first);
    }
    let authority = authority(&args.dir)?;
    let valid = Duration::from_secs(u64::from(args.days) * 86_400);
    for hosts in &args.hosts {
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        let dir = args.dir.join(hosts[0].replace(['/', '*'], "_"));
        write(&dir, &authority, &authority.issue(&hosts, valid)?)?;
        say(&format!("{}  for {}", dir.display(), hosts.join(", ")));
    }
    let dir = args.dir.join(OPERATOR);
    write(&dir, &authority, &authority.issue(&[], valid)?)?;
    say(&format!(
        "{}  for those that call nodes and are none",
        dir.display()
    ));
    say(&format!(
        "try: trefoil serve --certs {0}/HOST ...   trefoil status --certs {0}/{OPERATOR} ...",
        args.dir.display()
    ));
    Ok(())
}

/// The certificates of a cluster on this machine, made when they are not there or expire soon: one for
/// all its nodes.
///
/// # Errors
/// A file cannot be read or written.
pub fn of_this_machine(dir: &Path) -> Result<()> {
    if dir.join("key.pem").exists() && (lasts(dir)? || !dir.join(AUTHORITY_KEY).exists()) {
        return Ok(());
    }
    let authority = authority(dir)?;
    let issued = authority.issue(&["127.0.0.1", "::1", "localhost"], OWN_VALID)?;
    write(dir, &authority, &issued)
}

/// Whether the certificate of a directory does not expire soon.
fn lasts(dir: &Path) -> Result<bool> {
    match Tls::from_files(TlsFiles::in_dir(dir), ClientAuth::Required) {
        Ok(tls) => Ok(tls.expires_in().is_none_or(|left| left >= SOON)),
        Err(TlsError::Expired { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn authority(dir: &Path) -> Result<Authority> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (cert, key) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    match (cert.exists(), key.exists()) {
        (true, true) => return Ok(Authority::from_pem(&read(&cert)?, &read(&key)?)?),
        (false, false) => {}
        // Another authority in its place would part those that trust this one from all that are new.
        (there, _) => {
            let (there, missing) = if there { (&cert, &key) } else { (&key, &cert) };
            bail!(
                "TF-N12: {} is there and {} is not: put it back, or begin in another directory",
                there.display(),
                missing.display()
            );
        }
    }
    let name = format!(
        "trefoil development authority {:08x}",
        clock::entropy()? as u32
    );
    let authority = Authority::new(&name)?;
    put(&key, &authority.key_pem(), true)?;
    put(&cert, &authority.cert_pem(), false)?;
    Ok(authority)
}

fn write(dir: &Path, authority: &Authority, issued: &Issued) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    put(&dir.join(AUTHORITY), &authority.cert_pem(), false)?;
    put(&dir.join("cert.pem"), &issued.cert_pem, false)?;
    put(&dir.join("key.pem"), &issued.key_pem, true)
}

/// Writes a file as a whole: who reads it meanwhile sees the old one or the new one.
fn put(path: &Path, text: &str, secret: bool) -> Result<()> {
    let beside = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        // What an earlier try left is not written to: it may be anybody's to read.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if secret {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = secret;
        let mut file = options.open(&beside)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no node runs on this thread")]
    fn a_certificate_of_this_machine_is_made_anew_before_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        of_this_machine(dir).unwrap();
        let (ca, first) = (read(AUTHORITY), read("cert.pem"));
        of_this_machine(dir).unwrap();
        assert_eq!(read("cert.pem"), first, "it has a year");
        for left in [SOON - Duration::from_secs(60), Duration::ZERO] {
            let authority = authority(dir).unwrap();
            let short = authority.issue(&["127.0.0.1"], left).unwrap();
            write(dir, &authority, &short).unwrap();
            // One that is over is over by the second.
            std::thread::sleep(Duration::from_millis(if left.is_zero() {
                1_100
            } else {
                0
            }));
            of_this_machine(dir).unwrap();
            assert_ne!(read("cert.pem"), short.cert_pem);
            assert!(lasts(dir).unwrap());
            assert_eq!(read(AUTHORITY), ca, "those that trust it go on");
        }
        // A certificate whose authority is elsewhere is not ours to replace.
        let authority = authority(dir).unwrap();
        let short = authority.issue(&["127.0.0.1"], SOON / 2).unwrap();
        write(dir, &authority, &short).unwrap();
        fs::remove_file(dir.join(AUTHORITY_KEY)).unwrap();
        of_this_machine(dir).unwrap();
        assert_eq!(read("cert.pem"), short.cert_pem);
    }
}
