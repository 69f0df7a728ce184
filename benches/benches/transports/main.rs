//! Our transports as the core drives them, against bare loops over the same sockets in the same
//! process: both ends of everything are threads of it, each a runtime of its own.
//!
//! `-- --only NAME` measures one part, and with `--load NAME` one load of it; `--at-once` starts
//! the many nodes of `idle` in one moment; `-- --test` runs everything once and small.

#![allow(missing_docs)]

mod bare_grpc;
mod bare_quic;
mod bare_tcp;
mod heartbeat;
mod idle;
mod measure;
mod mux;
mod ours;
mod streams;

use trefoil_benches::{CountingAllocator, count};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What follows `name` on the command line.
fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

fn main() {
    count(false);
    let only = argument("--only");
    if idle::is_child() {
        return;
    }
    let parts: [(&str, fn()); 5] = [
        ("grpc", streams::grpc),
        ("quic", streams::quic),
        ("runtimes", streams::runtimes),
        ("heartbeat", heartbeat::all),
        ("idle", idle::all),
    ];
    for (name, part) in parts {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
}
