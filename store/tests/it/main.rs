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
#[cfg(unix)]
mod log_kill;
mod log_migration;
mod log_model;
mod log_order;
mod log_room;
#[cfg(unix)]
mod remote;
mod rules;
mod wait;
