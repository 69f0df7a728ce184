//! How connections behave: set once, checked before anything is built.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::QuicError;

/// The addresses of `host:port`, where `host` is a name. Literal addresses are not asked for.
pub type Resolve = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
        + Send
        + Sync,
>;

/// Options of the transport and of its servers. How long a connection may be silent, and how much a
/// stream may hold, the core's [`Limits`](trefoil_core::limits::Limits) say.
#[derive(Clone)]
pub struct QuicOptions {
    /// Looks names up. Without it only literal addresses can be dialled.
    pub resolve: Option<Resolve>,
    /// The local address outgoing connections leave from; the system chooses where it is absent or of
    /// the other family.
    pub source: Option<IpAddr>,
    /// Streams a peer may have open at once on one connection. More are held back by the peer until
    /// others end. Each costs the connection about 50 bytes, open or not.
    pub concurrent_streams_max: u32,
    /// Bytes of the frame a call begins with: path and metadata; and of the metadata of an answer.
    pub request_bytes_max: u32,
    /// Largest UDP payload to be looked for on a path, 1,200 to 6,550. Larger packets cost less per
    /// byte. Ten of them leave in one system call, and together they must stay below 65,507 bytes,
    /// what one call may carry: above, every burst fails.
    pub mtu_max: u16,
    /// Connections served at once, those included whose handshake has not ended. More are refused as they
    /// come, and their callers told so.
    pub connections_max: u32,
    /// Bytes asked for each socket's buffers; the system may grant less.
    pub socket_buffer_bytes: u32,
    /// A dial that has not succeeded by then is lost; a handshake that was not finished by then is
    /// dropped.
    pub connect_timeout: Duration,
}

impl std::fmt::Debug for QuicOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicOptions")
            .field("resolve", &self.resolve.is_some())
            .field("source", &self.source)
            .field("concurrent_streams_max", &self.concurrent_streams_max)
            .field("request_bytes_max", &self.request_bytes_max)
            .field("mtu_max", &self.mtu_max)
            .field("connections_max", &self.connections_max)
            .field("socket_buffer_bytes", &self.socket_buffer_bytes)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            resolve: None,
            source: None,
            concurrent_streams_max: 1_024,
            request_bytes_max: 16 << 10,
            mtu_max: 6_500,
            connections_max: 8_192,
            socket_buffer_bytes: 4 << 20,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl QuicOptions {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), QuicError> {
        for (name, value, min, max) in [
            (
                "concurrent_streams_max",
                u64::from(self.concurrent_streams_max),
                1,
                1 << 20,
            ),
            (
                "request_bytes_max",
                u64::from(self.request_bytes_max),
                4_096,
                1 << 20,
            ),
            ("mtu_max", u64::from(self.mtu_max), 1_200, 6_550),
            (
                "connections_max",
                u64::from(self.connections_max),
                1,
                u64::from(u32::MAX),
            ),
            (
                "socket_buffer_bytes",
                u64::from(self.socket_buffer_bytes),
                65_536,
                1 << 30,
            ),
        ] {
            if value < min || value > max {
                return Err(QuicError::OutOfRange { name, min, max });
            }
        }
        if self.connect_timeout.is_zero() {
            return Err(QuicError::Zero("connect_timeout"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_and_each_rule_can_fail() {
        assert_eq!(QuicOptions::default().check(), Ok(()));
        let broken = |change: fn(&mut QuicOptions)| {
            let mut options = QuicOptions::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(
            broken(|o| o.concurrent_streams_max = 0).starts_with("TF-Q02: concurrent_streams_max")
        );
        assert!(broken(|o| o.request_bytes_max = 100).starts_with("TF-Q02: request_bytes_max"));
        assert!(broken(|o| o.connections_max = 0).starts_with("TF-Q02: connections_max"));
        assert!(broken(|o| o.mtu_max = 9_000).starts_with("TF-Q02: mtu_max"));
        assert!(broken(|o| o.socket_buffer_bytes = 1).starts_with("TF-Q02: socket_buffer_bytes"));
        assert!(
            broken(|o| o.connect_timeout = Duration::ZERO).starts_with("TF-Q01: connect_timeout")
        );
    }
}
