//! The transport over loopback, both ends of it, and against plain tonic.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is surprised should fail"
)]

mod calls;
mod harness;
mod interop;
mod links;
mod serving;
