//! The views against the rules of the format, against prost, and against recorded bytes.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

#[path = "../corpus/mod.rs"]
mod corpus;

mod bounds;
mod conformance;
mod dialects;
mod differential;
mod encoding;
mod golden;
mod merging;
mod pairs;
