//! How long a cluster is without a leader: voters in processes of their own on the loopback, each with a
//! store of its own on the disk, and signals, hand-overs and slow links from the process that measures.
//!
//! `-- --only NAME` measures one part: `kill`, `stop`, `handover`, `cold` or `idle`; `-- --runs N` so often. `-- --test` runs each once. A time is judged, and may be missed; what must hold whatever the machine does, such
//! as tokens that grow and an old leader that is out, ends the bench with a panic if it does not.

#![allow(missing_docs)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "who waits for one thing a voter says picks it from all others"
)]

mod cluster;
mod cold;
mod figure;
mod handover;
mod idle;
mod kill;
mod proxy;
mod stop;
mod voter;

use std::io::Write;

use trefoil_benches::is_test;

/// What follows `name` on the command line.
fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

/// How often each part is run.
fn runs() -> usize {
    let asked = argument("--runs").and_then(|runs| runs.parse().ok());
    asked.unwrap_or(if is_test() { 1 } else { 20 })
}

/// Prints one line.
fn say(text: &str) {
    // A closed pipe ends the reader's interest, not the bench.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn main() {
    if voter::is_child() {
        return;
    }
    let only = argument("--only");
    let parts: [(&str, fn()); 5] = [
        ("kill", kill::all),
        ("stop", stop::all),
        ("handover", handover::all),
        ("cold", cold::all),
        ("idle", idle::all),
    ];
    for (name, part) in parts {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
}
