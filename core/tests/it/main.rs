//! Integration tests of the core: one binary.

#![allow(clippy::unwrap_used, reason = "tests")]

mod engine;
#[path = "../placement/mod.rs"]
mod placement;
