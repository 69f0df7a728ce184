//! How nodes are reached: the transport, the certificates and the token that flags, environment and
//! file amount to.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_lite::future;
use tokio::sync::mpsc;
use trefoil_core::time::Instant;
use trefoil_runtime::{
    ClientOptions, NodeOptions, Platform, Security, StartError, Tls, Token, TransportKind, clock,
    task,
};
use trefoil_tls::{ClientAuth, TlsFiles};

use crate::certs;
use crate::cli::{Transport, Way};
use crate::config::File;
use crate::signals;

/// How often certificates are read again.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// How often a certificate that expires soon is warned of.
pub const DAY: Duration = Duration::from_secs(86_400);

/// How nodes are reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    pub transport: Option<TransportKind>,
    pub accepts_both: bool,
    pub security: Security,
    pub token: Option<Token>,
}

const fn kind(transport: Transport) -> TransportKind {
    match transport {
        Transport::Tonic => TransportKind::Tonic,
        Transport::Quic => TransportKind::Quic,
    }
}

/// Certificates as `trefoil certs` writes them.
///
/// # Errors
/// What is wrong with them.
pub fn certificates(dir: &Path) -> Result<Tls> {
    Tls::from_files(TlsFiles::in_dir(dir), ClientAuth::Required).map_err(|error| {
        anyhow!(
            "{error}; no certificates can be used from {}: `trefoil certs` makes some",
            dir.display()
        )
    })
}

/// The first line of a file.
fn token(path: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("TF-N11: cannot read the token in {}", path.display()))?;
    Ok(Token::new(text.lines().next().unwrap_or_default().trim()))
}

/// What one place, the flags or the file, says of security.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Nothing,
    Plaintext,
    Certificates(&'a Path),
}

fn wanted(certs: Option<&Path>, plaintext: bool) -> Result<Wanted<'_>> {
    match (certs, plaintext) {
        (Some(dir), true) => bail!(
            "TF-N13: certificates ({}) and plaintext are asked for at once; leave one of them out",
            dir.display()
        ),
        (Some(dir), false) => Ok(Wanted::Certificates(dir)),
        (None, true) => Ok(Wanted::Plaintext),
        (None, false) => Ok(Wanted::Nothing),
    }
}

/// What is to be said of certificates in use.
fn worries(tls: &Tls) -> Vec<String> {
    let mut worries = tls.warnings();
    if let Some(left) = tls.expires_in().filter(|left| *left < certs::SOON) {
        let days = left.as_secs() / 86_400;
        worries.push(format!(
            "the certificate of this side expires in {days} days; have it issued again"
        ));
    }
    worries
}

/// Says it, and when it did.
fn warn(tls: &Tls) -> Instant {
    for worry in worries(tls) {
        tracing::warn!("{worry}");
    }
    clock::now()
}

impl Reach {
    /// What the flags and the environment say.
    ///
    /// # Errors
    /// Certificates or token cannot be used.
    pub fn new(way: &Way) -> Result<Self> {
        Self::above(way, &File::default(), false)
    }

    /// What the flags and the environment say, above what a file says.
    ///
    /// # Errors
    /// Certificates or token cannot be used.
    pub fn above(way: &Way, file: &File, accepts_both: bool) -> Result<Self> {
        let below = wanted(file.certs.as_deref(), file.plaintext)?;
        let security = match (wanted(way.certs.as_deref(), way.plaintext)?, below) {
            (Wanted::Certificates(dir), _) | (Wanted::Nothing, Wanted::Certificates(dir)) => {
                Security::Tls(certificates(dir)?)
            }
            (Wanted::Plaintext, _) | (Wanted::Nothing, Wanted::Plaintext) => Security::Plaintext,
            (Wanted::Nothing, Wanted::Nothing) => Security::Loopback,
        };
        let token_file = way.token_file.as_ref().or(file.token_file.as_ref());
        Ok(Self {
            transport: way.transport.or(file.transport).map(kind),
            accepts_both: accepts_both || file.accept_both,
            security,
            token: token_file.map(|path| token(path)).transpose()?,
        })
    }

    /// All of it in words.
    pub fn told(&self) -> String {
        let transport = self.transport.map_or("tonic", TransportKind::as_str);
        let both = if self.accepts_both {
            ", called by both transports"
        } else {
            ""
        };
        let security = match self.security {
            Security::Loopback => "without TLS, on this machine only",
            Security::Plaintext => "without TLS, to any machine",
            Security::Tls(_) => "with certificates",
        };
        let token = if self.token.is_some() {
            ", with a token"
        } else {
            ""
        };
        format!("{transport}{both}, {security}{token}")
    }

    /// Whether QUIC is part of it.
    pub fn needs_certificates(&self) -> bool {
        self.accepts_both || self.transport == Some(TransportKind::Quic)
    }

    /// Fails where certificates are missing.
    ///
    /// # Errors
    /// QUIC is part of it, and there are none.
    pub fn check(self) -> Result<Self> {
        if self.needs_certificates() && self.security.tls().is_none() {
            bail!(
                "{}; `trefoil certs DIR` makes some for --certs",
                StartError::NoCertificates
            );
        }
        Ok(self)
    }

    /// Tells a node.
    pub fn node(&self, options: &mut NodeOptions) {
        options.transport = self.transport;
        options.accepts_both = self.accepts_both;
        options.security = self.security.clone();
        options.token.clone_from(&self.token);
    }

    /// Tells a client.
    pub fn client(&self, options: &mut ClientOptions) {
        options.transport = self.transport;
        options.security = self.security.clone();
        options.token.clone_from(&self.token);
    }

    /// Reads the certificates again from time to time, and on SIGHUP, as long as the program runs:
    /// connections made from then on show and ask for what the files hold. Without certificates SIGHUP
    /// changes nothing, and does not end the program as it would if nobody heard it.
    ///
    /// # Errors
    /// Signals cannot be heard.
    pub fn keep_fresh<P: Platform>(&self) -> Result<()> {
        let mut asked = signals::heard(signals::RELOADS)?;
        let tls = self.security.tls().cloned();
        P::here().spawn(async move {
            if let Some(tls) = tls {
                return keep_fresh::<P>(tls, asked).await;
            }
            while asked.recv().await.is_some() {
                tracing::info!("asked to read again; there are no certificates");
            }
        });
        Ok(())
    }
}

async fn keep_fresh<P: Platform>(tls: Tls, mut asked: mpsc::UnboundedReceiver<()>) {
    let mut warned = warn(&tls);
    loop {
        let due = task::sleep::<P>(RELOAD_INTERVAL);
        let asked = async {
            if asked.recv().await.is_none() {
                // Nobody asks any more; the time goes on.
                std::future::pending().await
            }
        };
        future::or(due, asked).await;
        let again = tls.clone();
        let is_new = match P::unblock(move || again.reload()).await {
            Ok(is_new) => is_new,
            // Those that were read before go on.
            Err(error) => {
                tracing::error!("certificates cannot be read again: {error}");
                false
            }
        };
        if is_new {
            tracing::info!("certificates were read again");
        }
        if is_new || clock::now().since(warned) >= DAY {
            warned = warn(&tls);
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_tls::{Authority, TlsPem};

    use super::*;

    #[test]
    fn a_certificate_that_expires_soon_is_warned_of() {
        let authority = Authority::new("tests").unwrap();
        let lasting = |days: u32| {
            let issued = authority.issue(&["127.0.0.1"], DAY * days).unwrap();
            let pem = TlsPem {
                ca: authority.cert_pem(),
                identity: Some((issued.cert_pem, issued.key_pem)),
            };
            Tls::from_pem(pem, ClientAuth::Required).unwrap()
        };
        assert!(worries(&lasting(40)).is_empty());
        let [worry] = &worries(&lasting(12))[..] else {
            panic!("one thing is to be said")
        };
        assert!(worry.contains("expires in 11 days"), "{worry}");
    }
}
