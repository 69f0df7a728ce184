//! The transport over loopback, both ends of it, and against plain tonic.

mod calls;
mod flow;
mod harness;
mod interop;
mod links;
mod serving;
