//! Nodes and clients over real sockets of the loopback, with the embedded store behind them: written
//! once, run on every runtime and by every transport.

mod actors;
mod alarms;
mod alone;
mod channels;
mod client;
mod deadlines;
mod departures;
mod doubt;
mod harness;
mod leaders;
mod lifecycle;
mod together;

#[allow(unused_imports, reason = "not every subject has certificates")]
pub(crate) use self::harness::{
    Cluster, Sums, add, calling, free_host, named, soon, store, sum_after,
};
