//! The wall clock: what a certificate's dates are compared with.

use std::time::SystemTime;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "certificates are dated by the wall clock, and this is the one place that reads it"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
