//! Why a connection is no more: lost, or never trusted.

use quinn::{ConnectionError, TransportErrorCode};

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
            Some(said(host, &format!("{}{reason}", here(alert))))
        }
        // Found there. What the peer writes beside its code is its own and not repeated.
        ConnectionError::ConnectionClosed(close) => {
            Some(said(host, &there(alert(close.error_code)?)))
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

/// What this side has against the other's certificate.
fn here(alert: u8) -> String {
    match alert {
        // rustls gives a wrong name and a broken certificate one alert; its reason follows.
        42 => "its certificate is broken or of another name".to_owned(),
        44 => "its certificate was revoked".to_owned(),
        45 => "its certificate has expired or is not valid yet".to_owned(),
        48 => "its certificate is of an authority this side does not know".to_owned(),
        120 => NO_COMMON_VERSION.to_owned(),
        _ => format!("the handshake failed here, TLS alert {alert}"),
    }
}

/// What the other side has against this one.
fn there(alert: u8) -> String {
    match alert {
        42 => "it finds this side's certificate broken or of another name".to_owned(),
        44 => "it says this side's certificate was revoked".to_owned(),
        45 => "it says this side's certificate has expired or is not valid yet".to_owned(),
        46 | 49 | 51 => format!("it does not accept this side's certificate, TLS alert {alert}"),
        48 => "it does not know the authority of this side's certificate".to_owned(),
        116 => "it asks for a certificate and this side has none".to_owned(),
        120 => NO_COMMON_VERSION.to_owned(),
        _ => format!("it refused the handshake, TLS alert {alert}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_from_other_errors() {
        for number in 0..=255 {
            assert_eq!(alert(TransportErrorCode::crypto(number)), Some(number));
            assert!(!here(number).is_empty() && !there(number).is_empty());
        }
        assert_eq!(alert(TransportErrorCode::CONNECTION_REFUSED), None);
        assert_eq!(alert(TransportErrorCode::PROTOCOL_VIOLATION), None);
        assert_eq!(why("a:1", &ConnectionError::TimedOut), None);
    }
}
