//! What can be wrong with certificates, keys and names, before a connection is made.

/// A certificate, key or name that cannot be used. The messages begin with a stable code; the crate's
/// front page lists them. `place` is the path of a file, or which of the PEM texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("TF-X01: {place} cannot be read: {reason}")]
    Read {
        /// Where.
        place: String,
        /// What the operating system says.
        reason: String,
    },
    /// There is no certificate.
    #[error("TF-X02: {place} holds no certificate; a PEM file with BEGIN CERTIFICATE is needed")]
    NoCertificate {
        /// Where.
        place: String,
    },
    /// There is no private key.
    #[error(
        "TF-X03: {place} holds no private key; a PEM file with an unencrypted BEGIN PRIVATE KEY is needed"
    )]
    NoKey {
        /// Where.
        place: String,
    },
    /// The text is broken PEM.
    #[error("TF-X04: {place} is not right PEM: {reason}")]
    Pem {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate of the authority cannot be trusted as a root.
    #[error("TF-X05: {place} holds a certificate that cannot be a root: {reason}")]
    Root {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate is broken.
    #[error("TF-X06: {place} holds a certificate that cannot be read: {reason}")]
    BadCertificate {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A private key is broken, or of a kind that is not known.
    #[error("TF-X07: {place} holds a private key that cannot be used: {reason}")]
    BadKey {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are of two pairs.
    #[error("TF-X08: the key of {key} does not belong to the certificate of {certificate}")]
    Mismatch {
        /// Where the certificate is.
        certificate: String,
        /// Where the key is.
        key: String,
    },
    /// A certificate is too old.
    #[error("TF-X09: a certificate of {place} expired at {at}; have it issued again")]
    Expired {
        /// Where.
        place: String,
        /// When, in UTC.
        at: String,
    },
    /// A certificate is too young, or the clock is wrong.
    #[error("TF-X10: a certificate of {place} is not valid before {at}; is the clock right?")]
    NotYetValid {
        /// Where.
        place: String,
        /// When it begins, in UTC.
        at: String,
    },
    /// The certificate does not lead to the authority.
    #[error("TF-X11: the certificate of {place} is not one of the authority of {ca}: {reason}")]
    NotSigned {
        /// Where the certificate is.
        place: String,
        /// Where the authority is.
        ca: String,
        /// What is wrong.
        reason: String,
    },
    /// A server must show a certificate.
    #[error("TF-X12: a server needs a certificate and its key, and neither was given")]
    NoIdentity,
    /// There is no name in an address.
    #[error(
        "TF-X13: `{address}` holds no name to verify; write host:port, [v6]:port or a bare host"
    )]
    ServerName {
        /// The address.
        address: String,
    },
    /// A certificate cannot be made as asked.
    #[cfg(feature = "generate")]
    #[error("TF-X14: the certificate cannot be issued: {reason}")]
    Issue {
        /// What is wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_table_lists_every_code_once() {
        let used: BTreeSet<&str> = include_str!("error.rs")
            .split("\"TF-X")
            .skip(1)
            .filter_map(|rest| rest.split(':').next())
            .filter(|number| number.len() == 2)
            .collect();
        let listed: Vec<&str> = include_str!("codes.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `TF-X")?.split('`').next())
            .collect();
        assert_eq!(used, listed.iter().copied().collect());
        assert_eq!(used.len(), listed.len());
        assert_eq!(used.len(), 14);
    }
}
