//! The ring: who is a member, and who owns an actor id.

pub mod actor;
pub mod actors;
pub mod client;
mod counters;
pub mod directory;
mod job;
pub mod local;
pub mod membership;
pub mod node;
pub mod ownership;
pub mod placement;

pub use node::{Ring, RingCommand, RingConfig, RingConfigError, RingEvent, RingRefused};
