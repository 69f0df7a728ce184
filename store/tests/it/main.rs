//! Integration tests of the store: one binary.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests: any other outcome ends them"
)]

mod crash;
mod disk;
mod log_crash;
mod log_damage;
mod log_model;
#[cfg(unix)]
mod remote;
mod rules;
