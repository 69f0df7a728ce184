//! The program in processes of its own, as operators run it.
#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Killed when dropped, as by a power cut.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn trefoil(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command.args(args);
    command
}

/// A store that is served.
pub(crate) fn store(data: &Path) -> Program {
    let mut command = trefoil(&["store", "--data"]);
    let mut child = command.arg(data).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert!(said.contains("is served at"), "{said}");
    Program(child)
}

/// Addresses where nobody listens, all different.
pub(crate) fn free_hosts(count: usize) -> Vec<String> {
    let free: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let address = |free: &TcpListener| free.local_addr().unwrap().to_string();
    free.iter().map(address).collect()
}

/// A node that votes alone, under a configuration.
pub(crate) struct Alone {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) host: String,
    _program: Program,
}

impl Alone {
    /// What `config` makes is told the host.
    pub(crate) fn start(config: impl FnOnce(&str) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = free_hosts(1).remove(0);
        let file = dir.path().join("node.toml");
        std::fs::write(&file, config(&host)).unwrap();
        let mut serve = trefoil(&["serve", "--init", "--host", &host, "--voters", &host]);
        serve
            .arg("--config")
            .arg(file)
            .arg("--data")
            .arg(dir.path().join("data"))
            .stdout(Stdio::null());
        Self {
            _program: Program(serve.spawn().unwrap()),
            dir,
            host,
        }
    }

    /// A command at the node: what it said, or why it went wrong.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Vec<u8>, String> {
        let output = trefoil(args).args(["--at", &self.host]).output().unwrap();
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(String::from_utf8(output.stderr).unwrap())
    }
}
