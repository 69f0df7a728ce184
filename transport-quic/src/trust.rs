//! Why a connection is no more: lost, or never trusted.

use quinn::{ConnectionError, TransportErrorCode};
use trefoil_tls::words::{found_here, found_there};

use crate::error::UNTRUSTED;

/// TLS alerts are errors of QUIC from here on (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// In words, why `host` and this side do not trust one another; `None` if that is not what happened.
pub(crate) fn why(host: &str, error: &ConnectionError) -> Option<String> {
    match error {
        // Found here.
        ConnectionError::TransportError(error) => {
            let alert = alert(error.code)?;
            let reason = if error.reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", error.reason)
            };
            Some(said(host, &format!("{}{reason}", found_here(alert))))
        }
        // Found there. What the peer writes beside its code is its own and not repeated.
        ConnectionError::ConnectionClosed(close) => {
            Some(said(host, &found_there(alert(close.error_code)?)))
        }
        ConnectionError::VersionMismatch
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => None,
    }
}

/// What is said of a host that is not trusted.
pub(crate) fn said(host: &str, reason: &str) -> String {
    format!("{UNTRUSTED} {host}: {reason}")
}

/// The two sides speak no common version of the protocol.
pub(crate) const NO_COMMON_VERSION: &str = "no common version of the protocol";

fn alert(code: TransportErrorCode) -> Option<u8> {
    let code = u64::from(code).checked_sub(CRYPTO_ERROR)?;
    u8::try_from(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_from_other_errors() {
        for number in 0..=255 {
            assert_eq!(alert(TransportErrorCode::crypto(number)), Some(number));
        }
        assert_eq!(alert(TransportErrorCode::CONNECTION_REFUSED), None);
        assert_eq!(alert(TransportErrorCode::PROTOCOL_VIOLATION), None);
        assert_eq!(why("a:1", &ConnectionError::TimedOut), None);
    }
}
