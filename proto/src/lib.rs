//! wire
#![no_std]
pub mod wire;
