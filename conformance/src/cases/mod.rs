//! The cases, by theme. Each is a plain function over a [`Subject`](crate::Subject), and fails by
//! panicking.

pub mod crowd;
pub mod ending;
pub mod flow;
pub mod half;
pub mod links;
pub mod metadata;
pub mod order;
pub mod size;
pub mod slots;
pub mod walk;
