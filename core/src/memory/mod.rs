//! A transport and a store inside one process: for tests, for proofs, and for nodes that share a
//! thread. Both keep to the contracts of their seams; neither loses anything, and neither allocates
//! once its buffers have grown.

mod store;
mod switch;

pub use store::{MemorySession, MemoryStore};
pub use switch::{Memory, Switch};
