//! The ring: who is a member, and who owns an actor id.

pub mod actor;
pub mod actors;
pub mod client;
pub mod directory;
pub mod ownership;
pub mod placement;
