//! `trefoil certs`: certificates from an authority made for development.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use trefoil_tls::{Authority, Issued};

use crate::cli::Certs;
use crate::say;

/// The authority's own key. Whoever has it can make certificates for anybody.
const AUTHORITY_KEY: &str = "ca-key.pem";
const AUTHORITY: &str = "ca.pem";

/// The certificate of those that call nodes and are none.
const OPERATOR: &str = "operator";

/// Makes the authority if there is none, and a certificate for each host.
///
/// # Errors
/// A file cannot be written, or the authority's cannot be used.
pub fn run(args: &Certs) -> Result<()> {
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

/// The certificates of a cluster on this machine, made when they are not there: one for all its nodes.
///
/// # Errors
/// A file cannot be written.
pub fn of_this_machine(dir: &Path) -> Result<()> {
    if dir.join("key.pem").exists() {
        return Ok(());
    }
    let authority = authority(dir)?;
    let issued = authority.issue(
        &["127.0.0.1", "::1", "localhost"],
        Duration::from_secs(365 * 86_400),
    )?;
    write(dir, &authority, &issued)
}

fn authority(dir: &Path) -> Result<Authority> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (cert, key) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    if key.exists() {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        return Ok(Authority::from_pem(&read(&cert)?, &read(&key)?)?);
    }
    let authority = Authority::new("trefoil development authority")?;
    put(&cert, &authority.cert_pem(), false)?;
    put(&key, &authority.key_pem(), true)?;
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
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if secret {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = secret;
        std::io::Write::write_all(&mut options.open(&beside)?, text.as_bytes())?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
