//! The model checker: every order of events of a few voters within a few ticks, on the shipping
//! [`Elector`](trefoil_core::election::elector::Elector).
//!
//! The network keeps every message that was ever sent and may deliver each of them at any time and any
//! number of times, or never: loss, duplication, reordering and any delay at once. Clocks differ by
//! class: a fast one counts a promise of 2 ticks and a lease of 1, a slow one 3 and 2, which is the
//! worst drift that the lease was made for. Votes are durable at once, and only when an elector says so.

pub mod check;
pub mod configs;
pub mod controls;
pub mod epochs;
pub mod explore;
pub mod judge;
mod state;
mod table;
pub mod voter;
pub mod world;
