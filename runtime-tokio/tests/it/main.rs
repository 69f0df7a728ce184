//! Nodes and clients over real sockets of the loopback, with the embedded store behind them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod actors;
mod alone;
mod client;
mod deadlines;
mod departures;
mod doubt;
mod harness;
mod lifecycle;
mod together;
