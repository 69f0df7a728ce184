//! Random worlds of voters: the shipping [`Election`](trefoil_core::election::Election) fed with encoded
//! frames over ordered streams, with clocks of its own, a store that takes its time, and faults.
//!
//! It is another world than that of the ring, and a smaller one: hundreds of thousands of seeds have to
//! fit into a minute, because the rarest of the known mistakes is seen once in a hundred thousand.

pub mod batch;
#[cfg(test)]
mod counterexamples;
mod electorates;
pub mod faults;
pub mod figures;
mod hostile;
pub mod invariants;
pub mod plants;
pub mod regime;
#[cfg(test)]
mod rollout;
pub mod run;
mod streams;
mod voter;
pub mod world;
