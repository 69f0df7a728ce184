//! Every schedule of a small world: coordinators with the shipping [`Ledger`], workers with the shipping [`Lifetime`],
//! a catalog and logs. A call that was sent may arrive at any time later, again and again, or never, so losses,
//! duplicates and reorderings need no events of their own. To close a channel takes as long as it takes.
//!
//! Two coordinators follow each other and the first may not know; a node may crash and come back; an outcome of the
//! store may not be heard; an append may be done long after its process is gone.
//!
//! [`Ledger`]: trefoil_core::channels::coordinator::ledger::Ledger
//! [`Lifetime`]: trefoil_core::channels::worker::lifetime::Lifetime

pub mod configs;
pub mod explore;
mod follow;
mod log;
pub mod state;
