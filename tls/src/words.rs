//! Why two sides do not trust each other, in words for people.

use std::io;

use rustls::{CertificateError, Error};

/// What this side has against the other: the alert of TLS that it sends.
#[must_use]
pub fn found_here(alert: u8) -> String {
    match alert {
        // rustls gives a wrong name and a broken certificate one alert; its reason follows.
        42 => "its certificate is broken or of another name".to_owned(),
        44 => "its certificate was revoked".to_owned(),
        45 => "its certificate has expired or is not valid yet".to_owned(),
        48 => "its certificate is of an authority this side does not know".to_owned(),
        51 => "its certificate is not signed by the authority that this side knows by its name"
            .to_owned(),
        120 => "no common version of the protocol".to_owned(),
        _ => format!("the handshake failed here, TLS alert {alert}"),
    }
}

/// What the other side has against this one: the alert of TLS that it sent.
#[must_use]
pub fn found_there(alert: u8) -> String {
    match alert {
        42 => "it finds this side's certificate broken or of another name".to_owned(),
        44 => "it says this side's certificate was revoked".to_owned(),
        45 => "it says this side's certificate has expired or is not valid yet".to_owned(),
        46 | 49 => format!("it does not accept this side's certificate, TLS alert {alert}"),
        48 => "it does not trust this side's certificate: it does not know the authority of it"
            .to_owned(),
        // The name of the authority is known there, its key is another.
        51 => "it does not trust this side's certificate: was it made by another authority?"
            .to_owned(),
        116 => "it asks for a certificate and this side has none".to_owned(),
        120 => "no common version of the protocol".to_owned(),
        _ => format!("it refused the handshake, TLS alert {alert}"),
    }
}

/// An error of a connection with TLS's reason in words, if it has one. Its kind stays.
#[must_use]
pub fn explained(error: io::Error) -> io::Error {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref());
    match reason.and_then(words) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls says the rest well enough"
)]
fn words(error: &Error) -> Option<String> {
    let alert = match error {
        Error::AlertReceived(alert) => return Some(found_there(u8::from(*alert))),
        Error::InvalidMessage(_) => {
            return Some(format!(
                "it does not speak TLS: does it run without certificates? ({error})"
            ));
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => 48,
        Error::InvalidCertificate(CertificateError::BadSignature) => 51,
        _ => return None,
    };
    Some(format!("{} ({error})", found_here(alert)))
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    fn said(error: Error) -> String {
        let error = explained(io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        error.to_string()
    }

    #[test]
    fn what_tls_says_is_told_in_words() {
        for (alert, words) in [
            (AlertDescription::UnknownCA, "does not trust this side's"),
            (AlertDescription::DecryptError, "by another authority?"),
            (AlertDescription::BadCertificate, "broken or of another"),
            (AlertDescription::CertificateExpired, "has expired"),
            (AlertDescription::CertificateRequired, "asks for a cert"),
        ] {
            let said = said(Error::AlertReceived(alert));
            assert!(said.starts_with("it ") && said.contains(words), "{said}");
        }
        let authority = said(CertificateError::UnknownIssuer.into());
        assert!(authority.contains("authority this side does not know"));
        let message = said(InvalidMessage::InvalidContentType.into());
        assert!(message.contains("does not speak TLS"), "{message}");
        // What there are no better words for is left as it is.
        let other = Error::General("so".to_owned());
        assert_eq!(said(other.clone()), other.to_string());
        let lost = explained(io::ErrorKind::ConnectionReset.into());
        assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn every_alert_has_words() {
        for alert in 0..=255 {
            assert!(!found_here(alert).is_empty() && !found_there(alert).is_empty());
        }
    }
}
