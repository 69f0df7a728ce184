//! Integration tests of the store: one binary.

#![allow(clippy::unwrap_used, reason = "tests")]

mod crash;
mod rules;
