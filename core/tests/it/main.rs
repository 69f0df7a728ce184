//! Integration tests of the core: one binary.

#![allow(clippy::unwrap_used, reason = "tests")]

mod channels;
mod engine;
mod followers;
mod nodes;
#[path = "../placement/mod.rs"]
mod placement;
