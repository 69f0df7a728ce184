//! The key of stateless resets: by it a process that was started again tells the peers of the one
//! before that their connections are gone.

use std::net::SocketAddr;

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use aws_lc_rs::hmac;
use quinn::crypto::{CryptoError, HmacKey};
#[cfg(feature = "ring")]
use ring::hmac;

/// HMAC with SHA-256. quinn's own exists for one library at a time, and which one may depend on other
/// crates of a program.
struct ResetKey(hmac::Key);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

/// The secret of one address. Sockets must not share one: whoever sees a connection id of one could ask
/// another for the packet that ends that connection.
pub(crate) fn secret(node: &[u8; 32], place: SocketAddr) -> [u8; 32] {
    derive(node, place.to_string().as_bytes())
}

/// By what a socket tells connection ids of its own, before and after a restart.
pub(crate) fn seed(secret: &[u8; 32]) -> u64 {
    derive(secret, b"connection ids")
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

fn derive(key: &[u8; 32], label: &[u8]) -> [u8; 32] {
    let mut derived = [0; 32];
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    derived.copy_from_slice(hmac::sign(&key, label).as_ref());
    derived
}

/// The key of these bytes. Without any it is random, and nobody is told of a restart.
pub(crate) fn key(bytes: Option<[u8; 32]>) -> impl HmacKey {
    let bytes = bytes.unwrap_or_else(random);
    ResetKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(feature = "ring")]
fn random() -> [u8; 32] {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 32];
    // A system without randomness has no TLS either.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // A system without randomness has no TLS either.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_secret() {
        let of = |place: &str| secret(&[7; 32], place.parse().unwrap());
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:1"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_ne!(
            of("10.0.0.1:1"),
            secret(&[8; 32], "10.0.0.1:1".parse().unwrap())
        );
        assert_ne!(seed(&of("10.0.0.1:1")), seed(&of("10.0.0.1:2")));
    }

    #[test]
    fn equal_bytes_sign_equally_and_no_bytes_never_do() {
        let sign = |bytes| {
            let mut out = [0; 32];
            let key = key(bytes);
            key.sign(b"a connection id", &mut out);
            assert!(key.verify(b"a connection id", &out).is_ok());
            assert!(key.verify(b"another", &out).is_err());
            assert_eq!(key.signature_len(), out.len());
            out
        };
        assert_eq!(sign(Some([7; 32])), sign(Some([7; 32])));
        assert_ne!(sign(Some([7; 32])), sign(Some([8; 32])));
        assert_ne!(sign(None), sign(None));
    }
}
