//! Nodes in processes of their own over one store in another: as operators run a cluster on one machine.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "no node runs on this thread")]

mod processes;

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use processes::{Program, free_hosts, store, trefoil};

const SOON: Duration = Duration::from_secs(60);

struct Cluster {
    dir: tempfile::TempDir,
    hosts: Vec<String>,
    nodes: Vec<Option<Program>>,
}

impl Cluster {
    fn start(&mut self, at: usize) {
        let dir = self.dir.path();
        let node = trefoil(&[
            "serve",
            "--host",
            &self.hosts[at],
            "--join",
            &self.hosts.join(","),
        ])
        .arg("--data")
        .arg(dir.join(at.to_string()))
        .arg("--config")
        .arg(dir.join("node.toml"))
        .arg("--store")
        .arg(dir.join("shared/store.sock"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
        self.nodes[at] = Some(Program(node));
    }

    /// What a cart's command says, or why it failed.
    fn cart(&self, at: usize, args: &[&str]) -> Result<String, String> {
        let output = trefoil(&["cart"])
            .args(args)
            .args(["--at", &self.hosts[at]])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// Tries until it works.
    fn insist(&self, at: usize, args: &[&str]) -> String {
        let began = Instant::now();
        loop {
            match self.cart(at, args) {
                Ok(said) => return said,
                Err(why) => assert!(began.elapsed() < SOON, "{args:?} at node {at}: {why}"),
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a node shows as many members.
    fn members(&self, at: usize, count: usize) {
        let began = Instant::now();
        loop {
            let output = trefoil(&["status", "--at", &self.hosts[at]])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let alive = self.hosts.iter().filter(|host| {
                said.lines()
                    .any(|line| line.contains(host.as_str()) && line.contains("alive"))
            });
            if alive.count() == count {
                return;
            }
            assert!(began.elapsed() < SOON, "{said}");
            sleep(Duration::from_millis(100));
        }
    }
}

/// The tests of the program that stand still, wake up and are killed, over one store.
#[test]
fn what_is_acknowledged_outlives_nodes_a_zombie_and_the_store_process() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    // A side that is alone goes on: the fences of the journals alone say who may write.
    let config = "[membership]\npartition = 'keep-both'\n";
    std::fs::write(dir.path().join("node.toml"), config).unwrap();
    let mut kept = Some(store(&shared));
    let mut cluster = Cluster {
        dir,
        hosts: free_hosts(3),
        nodes: (0..3).map(|_| None).collect(),
    };
    for at in 0..3 {
        cluster.start(at);
    }
    for at in 0..3 {
        cluster.members(at, 3);
    }
    let ids: Vec<String> = (1..=12).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.insist(0, &["add", id, "apple", "1"]);
    }

    // One is killed. Another stands still until the last one owns everything, and wakes up.
    drop(cluster.nodes[2].take());
    cluster.nodes[1].as_ref().unwrap().signal("-STOP");
    cluster.members(0, 1);
    for id in &ids {
        cluster.insist(0, &["add", id, "pear", "1"]);
    }
    cluster.nodes[1].as_ref().unwrap().signal("-CONT");
    for id in &ids {
        cluster.insist(1, &["add", id, "plum", "1"]);
    }
    cluster.start(2);
    for at in 0..3 {
        cluster.members(at, 3);
    }
    let show = |cluster: &Cluster, at: usize| {
        for id in &ids {
            let cart = cluster.insist(at, &["show", id]);
            for item in ["apple", "pear", "plum"] {
                assert!(cart.contains(item), "{id} at {at}: {cart}");
            }
        }
    };
    (0..3).for_each(|at| show(&cluster, at));

    // The store's process is killed; the nodes wait for it to come back.
    drop(kept.take());
    assert!(cluster.cart(0, &["add", "1", "fig", "1"]).is_err());
    kept = Some(store(&shared));
    cluster.insist(0, &["add", "1", "date", "1"]);
    (0..3).for_each(|at| show(&cluster, at));
    drop(kept);
}
