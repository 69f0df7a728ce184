//! Elections: every schedule of a small world, and random ones of large worlds.

pub mod model;
pub mod random;
