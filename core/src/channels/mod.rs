//! Channels: which node has which log, at which term, and what is written to it and read from it.
//!
//! | part | what it decides |
//! |---|---|
//! | [`balance`] | which channel belongs where: a pure function of nodes, channels and where they are |
//! | [`coordinator`] | which node has which channel, at which term, and who is told |
//! | [`worker`] | what a node does with the channels it is given |
//! | [`client`] | how a program finds channels, writes to them and reads from them, over every loss |
//! | [`dialect`] | what codes are called on the wire, in either dialect |
//! | [`failure`] | how failures travel |
//! | [`open`] | what a stream of records is opened with |
//! | [`messages`] | what is said on it, in either dialect |
//! | [`server`] | the number of a start of a node |
//! | [`backoff`] | how long to wait after a failure |

pub mod backoff;
pub mod balance;
mod base64;
pub mod client;
pub mod coordinator;
pub mod dialect;
pub mod failure;
#[cfg(test)]
mod golden;
pub mod messages;
pub mod open;
pub mod server;
pub mod worker;
