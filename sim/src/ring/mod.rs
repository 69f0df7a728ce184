//! Rings in the world: clients that keep books, faults, and invariants that are looked at on the way
//! and in the end.

pub mod ask;
pub mod batch;
pub mod clients;
pub mod convergence;
pub mod counter;
pub mod coverage;
pub mod faults;
pub mod invariants;
pub mod ledger;
pub mod plan;
pub mod plant;
pub mod run;
pub mod subject;
