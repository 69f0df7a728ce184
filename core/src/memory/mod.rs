//! Transports and a store inside one process: for tests, for proofs, and for nodes that share a
//! thread. All keep to the contracts of their seams, and none loses anything. Of nodes that are
//! connected by a [`Switch`], nothing allocates once their buffers have grown.
//!
//! A [`Carrier`] takes packets between nodes by means of its own, such as channels between threads,
//! and [`Carried`] makes a transport of it.

mod carried;
mod store;
mod streams;
mod switch;

pub use carried::{Carried, Carrier};
pub use store::{MemorySession, MemoryStore};
pub use streams::{Memory, Packet};
pub use switch::Switch;
