//! The clock of the process: monotonic, and counting suspend where the system offers it.

use trefoil_core::time::{Instant, WallClock};

/// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`). A lease that slept with the
/// machine would outlive its promise.
#[cfg(target_os = "linux")]
pub fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Instant::from_nanos(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

/// Nanoseconds since the first call. Whether suspend counts depends on the system: untested.
#[cfg(not(target_os = "linux"))]
pub fn now() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = *START.get_or_init(std::time::Instant::now);
    Instant::from_nanos(start.elapsed().as_nanos() as u64)
}

/// What the clock on the wall says now.
pub fn wall() -> WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    WallClock {
        at: now(),
        unix_millis: unix.map_or(0, |d| d.as_millis() as i64),
    }
}

/// What the clock on the wall said when [`now`] was zero, in nanoseconds since 1970.
pub fn unix_origin() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unix = unix.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    unix.saturating_sub(i64::try_from(now().as_nanos()).unwrap_or(i64::MAX))
}

/// 64 bits from the system's source of randomness, for seeds and boot ids.
///
/// # Errors
/// The system has none to give.
pub fn entropy() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}
