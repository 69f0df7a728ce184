//! Addresses of the loopback.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that is free: not one of those the system gives to outgoing connections, which would take it before
/// its owner does.
#[must_use]
pub fn free_host() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (std::process::id().wrapping_mul(251) + next) % 15_000;
        let host = format!("127.0.0.1:{port}");
        if TcpListener::bind(&host).is_ok() {
            return host;
        }
    }
}
