//! Programs that share no code with this one, against a running cluster: a client that drives all eight calls,
//! and a peer that knows none of our metadata. Both are Python's grpcio on stubs generated from our schemas.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const NODES: u16 = 3;
/// Longest start of a cluster, on a busy machine.
const START: Duration = Duration::from_secs(40);
/// Longest run of one of the scripts: several times what it takes.
const RUN: Duration = Duration::from_secs(180);

/// On what the nodes of a test run, and how strangers are kept out.
#[derive(Clone, Copy)]
struct Way {
    runtime: &'static str,
    is_secure: bool,
}

const TOKIO: Way = Way {
    runtime: "tokio",
    is_secure: false,
};
const ASYNC_STD: Way = Way {
    runtime: "async-std",
    is_secure: false,
};

/// Where certificates are asked for, this token is, too.
const TOKEN: &str = "s3cret";

fn serves_a_foreign_client(way: Way) {
    let Some(python) = python() else { return };
    let cluster = Cluster::start(way);
    let mut client = python.script("client.py");
    client.arg(cluster.hosts.join(","));
    if way.runtime != "tokio" {
        client.env("FOREIGN_REFLECTION", "none");
    }
    if way.is_secure {
        client.env(
            "FOREIGN_CERTS",
            cluster.folder.path().join("certs/operator"),
        );
        client.env("FOREIGN_TOKEN", TOKEN);
    }
    cluster.passes(client);
}

#[test]
fn a_foreign_client_is_served() {
    serves_a_foreign_client(TOKIO);
}

#[test]
fn a_foreign_client_is_served_on_async_std() {
    serves_a_foreign_client(ASYNC_STD);
}

#[test]
fn a_foreign_client_with_a_certificate_and_a_token_is_served() {
    for runtime in ["tokio", "async-std"] {
        let is_secure = true;
        serves_a_foreign_client(Way { runtime, is_secure });
    }
}

#[test]
fn a_peer_without_our_metadata_is_a_member() {
    for way in [TOKIO, ASYNC_STD] {
        let Some(python) = python() else { return };
        let cluster = Cluster::start(way);
        let mut peer = python.script("legacy.py");
        peer.arg(&cluster.spare).arg(cluster.hosts.join(","));
        cluster.passes(peer);
    }
}

/// An interpreter that has what the scripts import.
struct Python(String);

impl Python {
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        // -B: nothing is written next to the sources. -u: what was said before a kill is seen.
        command
            .arg("-B")
            .arg("-u")
            .arg(here("tests/foreign").join(name));
        command
    }
}

/// The interpreter, or nothing where the absence is a line in the output and not a failure.
fn python() -> Option<Python> {
    static TOLD: Once = Once::new();
    let python = std::env::var("TREFOIL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let modules = "import grpc, grpc_tools.protoc, grpc_health.v1, grpc_reflection.v1alpha";
    let mut command = Command::new(&python);
    command.args(["-B", "-c", modules]);
    let why = match Running::start(command).map(|running| running.finish(START)) {
        Ok((Some(code), _)) if code.success() => return Some(Python(python)),
        Ok((_, said)) => said.lines().last().unwrap_or("it failed").to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(
        std::env::var_os("TREFOIL_DEMAND_FOREIGN").is_none(),
        "the foreign tests are demanded, but {python} cannot run them: {why}"
    );
    TOLD.call_once(|| {
        // The macros would be captured, as this test passes; a line that nobody sees tells nothing.
        let _ = writeln!(
            std::io::stderr(),
            "foreign: skipped, {python} cannot run it: {why}"
        );
    });
    None
}

/// A path of this package.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `trefoil up`, until it is dropped.
struct Cluster {
    way: Way,
    hosts: Vec<String>,
    /// An address next to the hosts that nobody uses.
    spare: String,
    program: Running,
    folder: TempDir,
}

impl Cluster {
    fn start(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = ports(NODES + 1);
        if way.is_secure {
            let mut certs = trefoil();
            certs.arg("certs").arg(folder.path().join("certs"));
            let (code, said) = Running::start(certs).unwrap().finish(START);
            assert!(code.is_some_and(|code| code.success()), "{said}");
            std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        }
        let mut up = trefoil();
        way.tell(&mut up, folder.path(), "127.0.0.1");
        up.args(["up", "--nodes", &NODES.to_string()])
            .args(["--port", &first.to_string()])
            .arg("--data")
            .arg(folder.path().join("data"));
        let address = |port| format!("127.0.0.1:{port}");
        let mut cluster = Self {
            way,
            hosts: (first..first + NODES).map(address).collect(),
            spare: address(first + NODES),
            program: Running::start(up).unwrap(),
            folder,
        };
        cluster.wait();
        cluster
    }

    /// Waits until every node serves and counts every other as alive.
    fn wait(&mut self) {
        let end = Instant::now() + START;
        for host in self.hosts.clone() {
            while !whole(self.way, self.folder.path(), &host) {
                let output = self.program.output();
                if let Some(code) = self.program.ended() {
                    panic!("the cluster ended, {code}:\n{output}");
                }
                assert!(Instant::now() < end, "{host} is not up:\n{output}");
                nap();
            }
        }
    }

    /// Runs a script to its end; it must say that all it looked at holds, and the cluster must outlive it.
    fn passes(mut self, mut script: Command) {
        script
            .arg(here("../proto/proto/control_plane.proto"))
            .arg(here("proto/cart.proto"))
            // What it generates goes when the folder goes.
            .env("TMPDIR", self.folder.path());
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
fn whole(way: Way, folder: &Path, host: &str) -> bool {
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
    status["state"] == "ready" && alive == usize::from(NODES)
}

/// The program under test, with nothing of the caller's environment but what is logged.
fn trefoil() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command
        .env_remove("TREFOIL_METRICS")
        .env_remove("TREFOIL_CERTS")
        .env_remove("TREFOIL_TRANSPORT")
        .env_remove("TREFOIL_RUNTIME")
        .env_remove("TREFOIL_TOKEN_FILE")
        .env_remove("TREFOIL_CLUSTER");
    command
}

/// The first of some ports in a row that are free. They lie below those the system hands out by itself, so that no
/// outgoing connection takes one meanwhile.
fn ports(count: u16) -> u16 {
    const FIRST: u16 = 20_000;
    const RANGE: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that test at the same time begin at different ports, tests of one process take different blocks.
    let base = u16::try_from(std::process::id() % u32::from(RANGE)).unwrap();
    for _ in 0..RANGE / count {
        let block = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + base.wrapping_add(block) % (RANGE - count);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

/// A process whose output is collected as it comes, killed when dropped.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            read(child.stdout.take().unwrap(), &said),
            read(child.stderr.take().unwrap(), &said),
        ];
        Ok(Self {
            child,
            said,
            readers,
        })
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end. How it ended, if it did in time, and what it said.
    fn finish(mut self, within: Duration) -> (Option<ExitStatus>, String) {
        let end = Instant::now() + within;
        let mut code = self.ended();
        while code.is_none() && Instant::now() < end {
            nap();
            code = self.ended();
        }
        if code.is_some() {
            // It leaves no children behind, so its pipes end with it.
            for reader in self.readers.drain(..) {
                reader.join().unwrap();
            }
        }
        (code, self.output())
    }

    fn output(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl Read + Send + 'static, said: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            said.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

#[allow(clippy::disallowed_methods, reason = "no node runs on this thread")]
fn nap() {
    std::thread::sleep(Duration::from_millis(50));
}
