//! How connections behave: set once, checked before anything is built.

use std::time::Duration;

use crate::error::GrpcError;

/// Options of the transport and of the server.
#[derive(Clone, Debug)]
pub struct GrpcOptions {
    /// Bytes a peer may send on one stream before it is read. Too small and a stream's rate is one
    /// window per round trip; too large and streams that nobody reads cost memory.
    pub stream_window: u32,
    /// The same for all streams of a connection together. Streams that are not read keep their part
    /// of it: it should be several times `stream_window`.
    pub connection_window: u32,
    /// Streams a peer may have open at once on one connection; 1,024 at least. More are held back by
    /// the peer until others end.
    pub concurrent_streams_max: u32,
    /// Bytes of one DATA frame a peer may send, 16 KiB to 16 MiB. Larger frames cost less per byte
    /// and let a message wait longer behind another.
    pub http_frame_bytes_max: u32,
    /// Bytes of all metadata of one request or answer.
    pub header_bytes_max: u32,
    /// Bytes of one stream that HTTP/2 takes for sending ahead of the peer's reading.
    pub send_buffer_bytes: u32,
    /// A dial that has not succeeded by then is lost; a connection that was accepted and is not ready by
    /// then is closed.
    pub connect_timeout: Duration,
    /// Connections served at once, those included that are not ready yet. More are closed as they come.
    pub connections_max: u32,
    /// Whether connections that anybody on the way can read and change may be made to other machines.
    pub plaintext: bool,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            concurrent_streams_max: 4_096,
            http_frame_bytes_max: 16 << 10,
            header_bytes_max: 16 << 10,
            send_buffer_bytes: 256 << 10,
            connect_timeout: Duration::from_secs(5),
            connections_max: 8_192,
            plaintext: false,
        }
    }
}

const WINDOW_MAX: u64 = (1 << 31) - 1;

impl GrpcOptions {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), GrpcError> {
        for (name, value, min, max) in [
            ("stream_window", self.stream_window, 65_535, WINDOW_MAX),
            (
                "connection_window",
                self.connection_window,
                65_535,
                WINDOW_MAX,
            ),
            (
                "concurrent_streams_max",
                self.concurrent_streams_max,
                1_024,
                u64::from(u32::MAX),
            ),
            (
                "http_frame_bytes_max",
                self.http_frame_bytes_max,
                16_384,
                (1 << 24) - 1,
            ),
            (
                "connections_max",
                self.connections_max,
                1,
                u64::from(u32::MAX),
            ),
            ("header_bytes_max", self.header_bytes_max, 4_096, 1 << 20),
            ("send_buffer_bytes", self.send_buffer_bytes, 16_384, 1 << 30),
        ] {
            if u64::from(value) < min || u64::from(value) > max {
                return Err(GrpcError::OutOfRange { name, min, max });
            }
        }
        if self.connection_window < self.stream_window {
            return Err(GrpcError::WindowOrder);
        }
        if self.connect_timeout.is_zero() {
            return Err(GrpcError::Zero("connect_timeout"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_and_each_rule_can_fail() {
        assert_eq!(GrpcOptions::default().check(), Ok(()));
        let broken = |change: fn(&mut GrpcOptions)| {
            let mut options = GrpcOptions::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(broken(|o| o.stream_window = 1).starts_with("TF-T02: stream_window"));
        assert!(
            broken(|o| o.concurrent_streams_max = 100)
                .starts_with("TF-T02: concurrent_streams_max")
        );
        assert!(
            broken(|o| o.http_frame_bytes_max = 1 << 24)
                .starts_with("TF-T02: http_frame_bytes_max")
        );
        assert!(broken(|o| o.connection_window = 1 << 19).starts_with("TF-T03"));
        assert!(
            broken(|o| o.connect_timeout = Duration::ZERO).starts_with("TF-T01: connect_timeout")
        );
    }
}
