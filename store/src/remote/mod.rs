//! One store for the processes of one machine: the process that has it serves it at a local socket, the others
//! use it as if it were theirs.
//!
//! A process that stands still and wakes up again is as harmless as anywhere: what it appends carries its
//! term, and the log's fence refuses it. A connection that is lost answers everything that was on its way by
//! `Unknown`, is made again, and is the same session to its machine, as long as it is the same store.

mod client;
mod server;
mod wire;

pub use client::{Fate, RemoteSession, RemoteStore, SplitSession};
pub use server::Server;
