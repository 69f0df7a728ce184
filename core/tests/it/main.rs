//! Integration tests of the core: one binary.

#![allow(clippy::unwrap_used)]

mod engine;
#[path = "../placement/mod.rs"]
mod placement;
