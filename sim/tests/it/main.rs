//! The simulator under test: its world with a toy machine, its rings, and its checkers against planted
//! bugs. A checker that never failed proves nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod channels;
mod elections;
mod model;
mod plants;
mod rings;
mod toy;
