//! The core of Trefoil: coordination without IO.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addresses;
pub mod codes;
pub mod driver;
pub mod engine;
pub mod hash;
pub mod header;
pub mod id;
pub mod identity;
pub mod limits;
pub mod link;
pub mod machine;
pub mod memory;
pub mod method;
#[cfg(feature = "ring")]
pub mod ring;
pub mod rng;
pub mod status;
pub mod storage;
pub mod stream;
mod table;
pub mod time;
pub mod timers;
pub mod transport;
pub mod wire;

#[cfg(test)]
pub(crate) mod testing;
