//! Clusters of the program under test.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Running, START, nap, ports, trefoil};

/// Nodes of a cluster.
const NODES: u16 = 3;
/// Longest run of one of the scripts: several times what it takes.
const RUN: Duration = Duration::from_secs(300);

/// On what the nodes of a test run, and how strangers are kept out.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) runtime: &'static str,
    pub(crate) is_secure: bool,
}

pub(crate) const TOKIO: Way = Way {
    runtime: "tokio",
    is_secure: false,
};
pub(crate) const ASYNC_STD: Way = Way {
    runtime: "async-std",
    is_secure: false,
};

/// Where certificates are asked for, this token is, too.
const TOKEN: &str = "s3cret";

/// A cluster, until it is dropped.
pub(crate) struct Cluster {
    way: Way,
    pub(crate) hosts: Vec<String>,
    /// An address next to the hosts that nobody uses.
    pub(crate) spare: String,
    program: Running,
    folder: TempDir,
}

impl Cluster {
    /// Three nodes, by `trefoil up`.
    pub(crate) fn up(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if way.is_secure {
            let mut certs = trefoil();
            certs.arg("certs").arg(folder.path().join("certs"));
            let (code, said) = Running::start(certs).unwrap().finish(START);
            assert!(code.is_some_and(|code| code.success()), "{said}");
            std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        }
        let first = ports(NODES + 1);
        let mut up = trefoil();
        way.tell(&mut up, folder.path(), "127.0.0.1");
        up.args(["up", "--nodes", &NODES.to_string()])
            .args(["--port", &first.to_string()])
            .arg("--data")
            .arg(folder.path().join("data"));
        Self::start(way, up, first, NODES, folder)
    }

    /// One node that votes for itself, by `trefoil serve` and a file. What `config` makes is told the spare address.
    pub(crate) fn serve(way: Way, config: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = ports(2);
        let host = address(first);
        let file = folder.path().join("node.toml");
        std::fs::write(&file, config(&address(first + 1))).unwrap();
        let mut serve = trefoil();
        way.tell(&mut serve, folder.path(), "127.0.0.1");
        serve
            .args(["serve", "--init", "--host", &host, "--voters", &host])
            .arg("--config")
            .arg(file)
            .arg("--data")
            .arg(folder.path().join("data"));
        Self::start(way, serve, first, 1, folder)
    }

    fn start(way: Way, program: Command, first: u16, nodes: u16, folder: TempDir) -> Self {
        let mut cluster = Self {
            way,
            hosts: (first..first + nodes).map(address).collect(),
            spare: address(first + nodes),
            program: Running::start(program).unwrap(),
            folder,
        };
        cluster.wait();
        cluster
    }

    /// Waits until every node serves and counts every other as alive.
    fn wait(&mut self) {
        let end = Instant::now() + START;
        for host in self.hosts.clone() {
            while !whole(self.way, self.folder.path(), &host, self.hosts.len()) {
                let output = self.program.output();
                if let Some(code) = self.program.ended() {
                    panic!("the cluster ended, {code}:\n{output}");
                }
                assert!(Instant::now() < end, "{host} is not up:\n{output}");
                nap();
            }
        }
    }

    /// Gives a script what this cluster asks of its callers, and the program that the script runs, too.
    pub(crate) fn admits(&self, script: &mut Command) {
        if self.way.is_secure {
            let certs = self.folder.path().join("certs/operator");
            script
                .env("FOREIGN_CERTS", &certs)
                .env("TREFOIL_CERTS", certs);
            let token = self.folder.path().join("token");
            script
                .env("FOREIGN_TOKEN", TOKEN)
                .env("TREFOIL_TOKEN_FILE", token);
        }
    }

    /// Runs a script to its end; it must say that all it looked at holds, and the cluster must outlive it.
    pub(crate) fn passes(mut self, mut script: Command) {
        // What it generates goes when the folder goes.
        script.env("TMPDIR", self.folder.path());
        let (code, said) = Running::start(script).unwrap().finish(RUN);
        let passed =
            code.is_some_and(|code| code.success()) && said.lines().any(|line| line == "PASSED");
        let ended = self.program.ended();
        if passed && ended.is_none() {
            return;
        }
        let code = code.map_or_else(|| format!("not within {RUN:?}"), |code| code.to_string());
        let ended = ended.map_or_else(|| "running".to_owned(), |code| code.to_string());
        let output = self.program.output();
        panic!("the script ended: {code}\n{said}\nthe cluster: {ended}\n{output}");
    }
}

impl Way {
    /// Tells the program, which shows the certificate of this name.
    fn tell(self, program: &mut Command, folder: &Path, certificate: &str) {
        program.args(["--runtime", self.runtime]);
        if self.is_secure {
            let certs = folder.join("certs").join(certificate);
            program.arg("--certs").arg(certs);
            program.arg("--token-file").arg(folder.join("token"));
        }
    }
}

/// Whether a host answers and sees the whole cluster.
fn whole(way: Way, folder: &Path, host: &str, nodes: usize) -> bool {
    let mut ask = trefoil();
    way.tell(&mut ask, folder, "operator");
    ask.args(["status", "--json", "--timeout", "2", "--at", host]);
    let (code, said) = Running::start(ask).unwrap().finish(START);
    if !code.is_some_and(|code| code.success()) {
        return false;
    }
    // Among what it logs there is one line of JSON.
    let json = said.lines().find(|line| line.starts_with('{')).unwrap();
    let status: Value = serde_json::from_str(json).unwrap();
    let members = status["members"].as_array().unwrap().iter();
    let alive = members.filter(|member| member["state"] == "alive").count();
    status["state"] == "ready" && alive == nodes
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
