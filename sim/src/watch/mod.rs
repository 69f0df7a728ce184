//! Machines around a machine: one that checks what every machine must keep, one that breaks it.

mod checked;
mod planted;

pub use checked::{Broken, Watched};
pub use planted::{MachinePlant, Planted};
