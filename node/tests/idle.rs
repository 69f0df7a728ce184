//! A program that has nothing to do does nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "no node runs on this thread")]

mod processes;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use processes::{Program, free_hosts, trefoil};

/// Hundredths of a second of a processor that a process has used, by all its threads.
fn used(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program may hold anything but ends with the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_cluster_without_calls_hardly_runs() {
    for (runtime, transport) in [("tokio", "tonic"), ("async-std", "quic")] {
        let data = tempfile::tempdir().unwrap();
        let host = free_hosts(1).remove(0);
        let port = host.rsplit_once(':').unwrap().1;
        let mut up = trefoil(&["--runtime", runtime, "--transport", transport]);
        up.args(["up", "--nodes", "1", "--port", port])
            .arg("--data")
            .arg(data.path())
            .stdout(Stdio::piped());
        let mut program = Program(up.spawn().unwrap());
        let mut said = BufReader::new(program.0.stdout.take().unwrap()).lines();
        assert!(said.next().unwrap().unwrap().contains("nodes are up"));
        sleep(Duration::from_secs(1));
        let before = used(program.0.id());
        sleep(Duration::from_secs(3));
        let ticks = used(program.0.id()) - before;
        // A twentieth of one processor; a loop that spins uses all of one.
        assert!(ticks <= 15, "{runtime}, {transport}: {ticks} of 300");
    }
}
