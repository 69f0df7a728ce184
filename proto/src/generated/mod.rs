//! One module for each package. All but this file is written by `cargo xtask codegen`.

pub mod admin;
pub mod cache;
pub mod channels;
pub mod common;
pub mod control_plane;
pub mod google;
pub mod milvus;
pub mod rpc;
pub mod streaming;

/// The packages that were spoken with other numbers from August 2024 on.
pub mod v2024_08 {
    pub mod streaming;
}
