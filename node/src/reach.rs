//! How nodes are reached: the transport, the certificates and the token that flags, environment and
//! file amount to.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_lite::{StreamExt, future};
use trefoil_runtime::{
    ClientOptions, NodeOptions, Platform, Security, StartError, Tls, TransportKind, task,
};
use trefoil_tls::{ClientAuth, TlsFiles};

use crate::cli::{Transport, Way};
use crate::config::File;

/// How often certificates are read again.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// How nodes are reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    pub transport: Option<TransportKind>,
    pub accepts_both: bool,
    pub security: Security,
    pub token: Option<String>,
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
    Tls::from_files(TlsFiles::in_dir(dir), ClientAuth::Required).with_context(|| {
        format!(
            "cannot use the certificates in {}; `trefoil certs` makes some",
            dir.display()
        )
    })
}

/// The first line of a file.
fn token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("TF-N11: cannot read the token in {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
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
        let certs = way.certs.as_ref().or(file.certs.as_ref());
        let security = match certs {
            Some(dir) if !way.plaintext => Security::Tls(certificates(dir)?),
            _ if way.plaintext || file.plaintext => Security::Plaintext,
            _ => Security::Loopback,
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
            return Err(StartError::NoCertificates)
                .context("`trefoil certs DIR` makes some for --certs");
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
    /// connections made from then on show and ask for what the files hold.
    ///
    /// # Errors
    /// Signals cannot be heard.
    pub fn keep_fresh<P: Platform>(&self) -> Result<()> {
        let Some(tls) = self.security.tls().cloned() else {
            return Ok(());
        };
        for warning in tls.warnings() {
            tracing::warn!("{warning}");
        }
        let mut asked = hangups()?;
        P::here().spawn(async move {
            loop {
                let due = task::sleep::<P>(RELOAD_INTERVAL);
                future::or(due, async { asked.next().await.unwrap_or_default() }).await;
                let again = tls.clone();
                match P::unblock(move || again.reload()).await {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("certificates were read again"),
                    // Those that were read before go on.
                    Err(error) => tracing::error!("certificates cannot be read again: {error}"),
                }
            }
        });
        Ok(())
    }
}

/// SIGHUPs, where the system knows such a thing.
fn hangups() -> Result<impl futures_lite::Stream<Item = ()> + Send + Unpin> {
    #[cfg(unix)]
    return Ok(async_signal::Signals::new([async_signal::Signal::Hup])?.map(drop));
    #[cfg(not(unix))]
    Ok(futures_lite::stream::pending())
}
