//! Owned message types by prost, for tools, tests, and transports that want them.
//!
//! Maps are `BTreeMap`s and `bytes` fields are [`Bytes`], which share the buffer they were decoded
//! from if that is a [`Bytes`] itself. All but this file is written by `cargo xtask codegen`.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::use_self,
    clippy::large_enum_variant
)]

pub mod admin;
pub mod cache;
pub mod channels;
pub mod common;
pub mod control_plane;
pub mod google;
pub mod milvus;
pub mod rpc;
pub mod streaming;

pub use prost::Message;
pub use prost::bytes::Bytes;
