//! Voters in processes of their own, each with a data directory of its own, as operators run them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "no node runs on this thread")]

mod processes;

use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use processes::{Program, free_hosts, trefoil};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

struct Voters {
    dir: tempfile::TempDir,
    hosts: Vec<String>,
    running: Vec<Option<Program>>,
}

impl Voters {
    fn start(&mut self, at: usize, is_new: bool) {
        let data = self.dir.path().join(at.to_string());
        let config = self.dir.path().join("node.toml");
        let mut serve = trefoil(&["serve", "--host", &self.hosts[at]]);
        serve
            .args(["--voters", &self.hosts.join(",")])
            .arg("--data")
            .arg(data)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null());
        if is_new {
            serve.arg("--init");
        }
        self.running[at] = Some(Program(serve.spawn().unwrap()));
    }

    /// What a voter says of the election; nothing if it cannot be asked.
    fn shown(&self, at: usize) -> Option<Value> {
        let args = ["leader", "show", "--json", "--timeout", "2", "--at"];
        let output = trefoil(&args).arg(&self.hosts[at]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Leader and token, once all that run say the same of one that runs.
    fn agreed(&self) -> (usize, i64) {
        let began = Instant::now();
        while began.elapsed() < SOON {
            let up = (0..self.hosts.len()).filter(|at| self.running[*at].is_some());
            let mut said: Vec<_> = up
                .map(|at| {
                    let shown = self.shown(at)?;
                    let leader = self
                        .hosts
                        .iter()
                        .position(|host| shown["leader"] == **host)?;
                    let token = shown["token"].as_str()?.parse::<i64>().ok()?;
                    Some((leader, token))
                })
                .collect();
            said.dedup();
            // For a moment the others still follow one that is gone.
            if let [Some((leader, token))] = said[..]
                && self.running[leader].is_some()
            {
                return (leader, token);
            }
            sleep(Duration::from_millis(50));
        }
        panic!("the voters did not agree on a leader within {SOON:?}");
    }
}

fn voters(config: &str) -> Voters {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("node.toml"), config);
    let mut voters = Voters {
        dir,
        hosts: free_hosts(3),
        running: (0..3).map(|_| None).collect(),
    };
    for at in 0..3 {
        voters.start(at, true);
    }
    voters
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_leader_that_is_killed_is_replaced_and_comes_back_as_a_follower() {
    let mut voters = voters("[election]\nevidence = 'refused'\n");
    let (leader, token) = voters.agreed();
    drop(voters.running[leader].take());
    let (second, greater) = voters.agreed();
    assert!(second != leader && greater > token);
    // It finds its vote, and disturbs nobody.
    voters.start(leader, false);
    assert_eq!(voters.agreed(), (second, greater));

    let to = voters.hosts[leader].clone();
    let args = ["leader", "handover", &to, "--at"];
    let output = trefoil(&args).arg(&voters.hosts[second]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("leads"),
        "{said} {output:?}"
    );
    let (third, greatest) = voters.agreed();
    assert_eq!(third, leader);
    assert!(greatest > greater);
    let nobody = trefoil(&["leader", "handover", "127.0.0.1:1", "--at", &to]).output();
    let why = String::from_utf8_lossy(&nobody.unwrap().stderr).into_owned();
    assert!(why.contains("TF-E02"), "{why}");
}
