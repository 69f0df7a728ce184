//! Log channels under faults: coordinators that are overtaken, owners that sleep through their successors, calls
//! that come twice and late, stores whose outcome nobody learns.
//!
//! Nodes run the part that ships, [`Channels`](trefoil_core::node::Channels), clients the client that ships. Who
//! lives and who leads is told by an [`oracle`], which is late, and wrong at times.

pub mod batch;
pub mod clients;
pub mod coverage;
pub mod faults;
pub mod invariants;
pub mod model;
pub mod oracle;
pub mod order;
pub mod party;
pub mod plan;
pub mod plants;
pub mod run;
pub mod subject;
