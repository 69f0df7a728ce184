//! Which library does the cryptography. It is always given to rustls by name: what a process has set
//! as its default does not count.

use std::sync::Arc;

use rustls::Tls13CipherSuite;
use rustls::crypto::CryptoProvider;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as library;

/// Separates the reset key from whatever else may be derived from a private key.
const RESET_LABEL: &[u8] = b"trefoil stateless reset key 1";

/// The library in use.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(library::default_provider())
}

fn sha256() -> &'static Tls13CipherSuite {
    match library::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        rustls::SupportedCipherSuite::Tls13(suite) => suite,
        #[allow(
            unreachable_patterns,
            reason = "another crate may switch on TLS 1.2, which adds a variant"
        )]
        _ => unreachable!("the suite is one of TLS 1.3"),
    }
}

/// A digest to compare contents by, so that no key has to be kept as text.
pub(crate) fn digest(bytes: &[u8]) -> Vec<u8> {
    sha256().common.hash_provider.hash(bytes).as_ref().to_vec()
}

/// 32 bytes from a secret, by HMAC-SHA256 under a label (HKDF, RFC 5869).
pub(crate) fn reset_key(secret: &[u8]) -> [u8; 32] {
    let expander = sha256()
        .hkdf_provider
        .extract_from_secret(Some(RESET_LABEL), secret);
    rustls::crypto::tls13::expand(&*expander, &[b"key"])
}

#[cfg(test)]
mod tests {
    use super::reset_key;

    #[test]
    fn a_reset_key_is_the_same_with_every_library_and_release() {
        // HKDF-SHA256, computed by another program.
        let expected = "d36653078892fe50fc225ab0b1a8dfd0093ac411b6916ebe5038f614f19be33d";
        let derived: String = reset_key(b"a private key")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(derived, expected);
    }
}
