//! The transport over loopback, both ends of it, and against raw streams.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test that is surprised should fail, and some figures are worth seeing"
)]

mod calls;
mod classes;
mod flow;
mod harness;
mod hostile;
mod links;
mod raw;
mod serving;
mod trust;
