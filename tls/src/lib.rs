//! Certificates for Trefoil's transports: gRPC over TCP, and QUIC.
//!
//! Both ends show a certificate of one authority, over TLS 1.3 and nothing older. [`Tls`] loads them
//! from files ([`TlsFiles`]) or memory ([`TlsPem`]), checks them at once, hands out what
//! [rustls](https://docs.rs/rustls) connects and accepts with, and exchanges them while the program
//! runs. [`names`] says who a peer is, [`server_name`] whom an address asks for.
//!
//! ```no_run
//! use trefoil_tls::{ClientAuth, Tls, TlsFiles, server_name};
//!
//! # fn main() -> Result<(), trefoil_tls::TlsError> {
//! let tls = Tls::from_files(TlsFiles::in_dir("/etc/trefoil"), ClientAuth::Required)?;
//! for warning in tls.warnings() {
//!     eprintln!("{warning}");
//! }
//! // For every connection, so that a reload counts from the next one on.
//! let accept_with = tls.server_config(b"h2")?;
//! let connect_with = tls.client_config(b"h2");
//! let peer = server_name("ring-2.example.org:50051")?;
//! // When told to, or now and then:
//! tls.reload()?;
//! # let _ = (accept_with, connect_with, peer);
//! # Ok(())
//! # }
//! ```
//!
//! # What a peer may rely on
//! - Nothing is resumed and no data is sent early: both sides verify each other on every connection.
//! - The authority given is the only one trusted. The system's own are not looked at.
//! - A connection that stands is not cut by a reload or an expiry: that is the transport's to decide.
//! - There are no revocation lists. Issue for short times and reload.
//!
//! # Features
//! - `ring` (default) and `aws-lc-rs`: the library that does the cryptography. With both, the latter.
//! - `generate`: `Authority`, which issues certificates for development and tests.
//!
//! # Codes
#![doc = include_str!("codes.md")]

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!(
    "TLS needs its cryptography: enable the feature `ring` (the default) or `aws-lc-rs`, of this crate or of the one that brought it here"
);

mod clock;
mod config;
mod error;
#[cfg(feature = "generate")]
mod generate;
mod material;
mod name;
mod provider;
mod source;
mod tls;
pub mod words;

pub use error::TlsError;
#[cfg(feature = "generate")]
pub use generate::{Authority, Issued};
pub use name::{names, server_name};
pub use rustls;
pub use source::{TlsFiles, TlsPem};
pub use tls::{ClientAuth, Tls};
