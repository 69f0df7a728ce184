//! Whether anybody on the way can read and change what nodes say to each other.

#[cfg(feature = "tls")]
pub use trefoil_tls::Tls;

/// Certificates, which this build knows nothing of: the feature `tls` is off.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub enum Tls {}

use crate::start::StartError;

/// How a node or a client keeps strangers out.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Not at all, and therefore on this machine only.
    #[default]
    Loopback,
    /// Not at all, and with other machines, too: anybody on the way can read and change everything.
    Plaintext,
    /// By certificates.
    Tls(Tls),
}

impl Security {
    /// The certificates, if there are any.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Loopback | Self::Plaintext => None,
            Self::Tls(tls) => Some(tls),
        }
    }

    /// Fails if there is a certificate, and it does not name the node.
    pub(crate) fn check_name(&self, host: &str) -> Result<(), StartError> {
        #[cfg(feature = "tls")]
        if let Some(names) = self
            .tls()
            .filter(|_| self.is_certified())
            .and_then(Tls::names)
            && !trefoil_core::identity::names_host(names.as_bytes(), host)
        {
            return Err(StartError::NotNamed(host.to_owned()));
        }
        #[cfg(not(feature = "tls"))]
        let _ = host;
        Ok(())
    }

    /// Whether a caller that says it is a node must show a certificate that names it.
    pub(crate) fn is_certified(&self) -> bool {
        #[cfg(feature = "tls")]
        return self
            .tls()
            .is_some_and(|tls| tls.client_auth() != trefoil_tls::ClientAuth::Off);
        #[cfg(not(feature = "tls"))]
        false
    }
}
