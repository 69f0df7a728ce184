//! The processes of a cluster.

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use trefoil_core::election::{Evidence, RedhacVotes};
use trefoil_core::time::Instant;
use trefoil_runtime::{Tls, clock};

use crate::TOKEN;
use crate::certificates::{environment, issue, load};
use crate::node::Options;
use crate::probe::Probe;
use crate::proxy::Proxy;
use crate::told::{Lease, Told};

/// Returns when whoever started this process is gone: its end of our input is closed then.
pub async fn orphaned() {
    let mut input = tokio::io::stdin();
    let mut bytes = [0; 64];
    while matches!(input.read(&mut bytes).await, Ok(len) if len > 0) {}
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of ours.
    Ours,
    /// One of redhac's.
    Redhac,
}

/// What lies between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing: a dial of a node that is not there is refused.
    Nothing,
    /// A proxy on each way that begins or ends at a node of ours.
    Proxies,
}

/// What all nodes of a cluster are told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What votes of redhac's are worth to ours.
    pub votes: RedhacVotes,
    /// What a refused dial proves to ours.
    pub evidence: Evidence,
    /// What lies between them.
    pub between: Between,
    /// Whether streams are encrypted, and both ends show a certificate.
    pub tls: bool,
    /// How much redhac's write, as its `RUST_LOG` says it. Ours write what becomes of them.
    pub redhac_log: &'static str,
}

impl Settings {
    /// Votes of that worth, nothing proved, nothing between, and all that redhac's have to tell.
    #[must_use]
    pub const fn new(votes: RedhacVotes) -> Self {
        Self {
            votes,
            evidence: Evidence::None,
            between: Between::Nothing,
            tls: false,
            redhac_log: "redhac=debug",
        }
    }
}

struct Node {
    kind: Kind,
    listen: SocketAddr,
    starts: u32,
    running: Option<(Child, ChildStdin)>,
}

/// A cluster. Its processes end with it.
pub struct Cluster {
    hosts: Vec<String>,
    nodes: Vec<Node>,
    settings: Settings,
    detours: Vec<HashMap<SocketAddr, SocketAddr>>,
    /// By who dials, `None` for all of redhac's, and who is dialled.
    proxies: Vec<(Option<usize>, usize, Proxy)>,
    directory: TempDir,
    /// What every node says.
    pub probe: Probe,
}

/// Errors of the harness itself.
pub type Failed = Box<dyn std::error::Error>;

/// Not one of those that the system gives to outgoing connections: it would be taken while its owner is dead,
/// or even be met by its own dial.
fn free_address() -> Result<SocketAddr, Failed> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = (std::process::id() % 10_000) as u16;
    for _ in 0..10_000 {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (process.wrapping_mul(50) + next) % 15_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Redhac's listen on every address.
        let anywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        if anywhere.is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free".into())
}

impl Cluster {
    /// A cluster of which nobody runs yet.
    ///
    /// # Errors
    /// The system refuses a port or a directory.
    pub async fn new(kinds: &[Kind], settings: Settings) -> Result<Self, Failed> {
        let between = settings.between;
        let addresses = kinds.iter().map(|_| free_address());
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let scheme = if settings.tls { "https" } else { "http" };
        let hosts = addresses.iter().map(|at| format!("{scheme}://{at}"));
        let hosts: Vec<String> = hosts.collect();
        let mut nodes = Vec::new();
        let mut detours = vec![HashMap::new(); kinds.len()];
        let mut proxies = Vec::new();
        for (kind, address) in kinds.iter().zip(&addresses) {
            let listen = match (kind, between) {
                (Kind::Ours, Between::Proxies) => free_address()?,
                _ => *address,
            };
            nodes.push(Node {
                kind: *kind,
                listen,
                starts: 0,
                running: None,
            });
        }
        if between == Between::Proxies {
            let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            for (to, node) in nodes.iter().enumerate() {
                if node.kind == Kind::Ours {
                    let proxy = Proxy::start(addresses[to], node.listen).await?;
                    proxies.push((None, to, proxy));
                }
                for from in (0..kinds.len()).filter(|from| *from != to) {
                    if kinds[from] == Kind::Ours {
                        let proxy = Proxy::start(anywhere, node.listen).await?;
                        detours[from].insert(addresses[to], proxy.address());
                        proxies.push((Some(from), to, proxy));
                    }
                }
            }
        }
        let listens = nodes.iter().map(|node| node.listen);
        let detour = addresses.iter().copied().zip(listens).collect();
        let directory = TempDir::new()?;
        let tls = certificates(&directory, kinds.len(), settings)?;
        let probe = Probe::start(&hosts, detour, tls.as_ref())?;
        Ok(Self {
            hosts,
            nodes,
            settings,
            detours,
            proxies,
            directory,
            probe,
        })
    }

    /// What a node is called on the wire.
    #[must_use]
    pub fn host(&self, node: usize) -> &str {
        &self.hosts[node]
    }

    fn log_of(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("{node}.log"))
    }

    /// Gives a node that does not run, and has a certificate, one of an authority that nobody else knows.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn estrange(&self, node: usize) -> Result<(), Failed> {
        issue(std::iter::once(
            certificate_of(&self.directory, node).as_path(),
        ))
    }

    /// Starts a node's process.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn start(&mut self, node: usize) -> Result<(), Failed> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_of(node))?;
        let mut command = match self.nodes[node].kind {
            Kind::Ours => self.command_of_ours(node)?,
            Kind::Redhac => self.command_of_redhac(node)?,
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let this = &mut self.nodes[node];
        this.starts += 1;
        this.running = Some((child, input));
        Ok(())
    }

    fn command_of_ours(&self, node: usize) -> Result<Command, Failed> {
        let this = &self.nodes[node];
        let options = Options {
            hosts: self.hosts.clone(),
            me: node,
            listen: this.listen,
            detours: self.detours[node].clone(),
            votes: self.settings.votes,
            evidence: self.settings.evidence,
            certificate: self
                .settings
                .tls
                .then(|| certificate_of(&self.directory, node)),
            directory: self.directory.path().join(node.to_string()),
            first: this.starts == 0,
        };
        let mut command = Command::new(program("trefoil-node")?);
        command.args(options.to_args());
        Ok(command)
    }

    fn command_of_redhac(&self, node: usize) -> Result<Command, Failed> {
        let mut command = Command::new(program("redhac-node")?);
        command
            .current_dir(self.directory.path())
            .env("HA_MODE", "true")
            .env("HA_HOSTS", self.hosts.join(","))
            .env("HOSTNAME_OVERWRITE", self.nodes[node].listen.to_string())
            .env("CACHE_TLS", "false")
            .env("CACHE_AUTH_TOKEN", TOKEN)
            .env("RUST_LOG", self.settings.redhac_log)
            .env("NO_COLOR", "1");
        if self.settings.tls {
            command.envs(environment(&certificate_of(&self.directory, node)));
        }
        Ok(command)
    }

    /// Ends a process at once, and waits for it.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, node: usize) -> Result<(), Failed> {
        let (mut child, _) = self.nodes[node].running.take().ok_or("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks a process to end, and does not wait.
    ///
    /// # Errors
    /// It does not run.
    pub fn terminate(&self, node: usize) -> Result<(), Failed> {
        self.signal(node, Signal::TERM)
    }

    /// Stops a process from running, or lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self, node: usize, frozen: bool) -> Result<(), Failed> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        self.signal(node, signal)
    }

    fn signal(&self, node: usize, signal: Signal) -> Result<(), Failed> {
        let (child, _) = self.nodes[node].running.as_ref().ok_or("it does not run")?;
        kill_process(Pid::from_child(child), signal)?;
        Ok(())
    }

    /// The proxies on the ways between a node and all others, or one other.
    pub fn ways(&self, node: usize, other: Option<usize>) -> impl Iterator<Item = &Proxy> {
        let meets = move |a: Option<usize>, b: Option<usize>| other.is_none() || a == b;
        self.proxies.iter().filter_map(move |(from, to, proxy)| {
            let is_redhac = |at: usize| self.nodes[at].kind == Kind::Redhac;
            let from_other = match (from, other) {
                (None, Some(other)) => is_redhac(other),
                _ => meets(*from, other),
            };
            let out = *from == Some(node) && meets(Some(*to), other);
            let back = *to == node && from_other;
            let back_by_any = from.is_none() && is_redhac(node) && meets(Some(*to), other);
            (out || back || back_by_any).then_some(proxy)
        })
    }

    /// Waits until all of `nodes` agree on a leader that `is` right; how long that took, and who.
    ///
    /// # Errors
    /// They do not in time: what they said instead, and the ends of their logs.
    pub async fn agree(
        &self,
        nodes: &[usize],
        limit: Duration,
        is: impl Fn(usize) -> bool,
    ) -> Result<(Duration, usize), Failed> {
        let begin = clock::now();
        loop {
            let elapsed = clock::now().since(begin);
            let agreed = self.probe.agreed(nodes, begin);
            if let Some(leader) = agreed.filter(|leader| is(*leader)) {
                return Ok((elapsed, leader));
            }
            if elapsed > limit {
                return Err(format!(
                    "{nodes:?} do not agree within {limit:?}:\n{}\n{}",
                    self.probe.shown(),
                    self.logs()
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until everybody is connected to everybody: redhac's nodes wait several seconds before they dial
    /// again one that was not there.
    ///
    /// # Errors
    /// They are not within 20 s.
    pub async fn meshed(&self) -> Result<(), Failed> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let begin = clock::now();
        while !self.probe.meshed(&all) {
            if clock::now().since(begin) > Duration::from_secs(20) {
                return Err(
                    format!("no full mesh:\n{}\n{}", self.probe.shown(), self.logs()).into(),
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The ends of all logs, without what the probe brings about.
    #[must_use]
    pub fn logs(&self) -> String {
        let last = |node| {
            let all = std::fs::read_to_string(self.log_of(node)).unwrap_or_default();
            // Heartbeats, and a table that redhac writes for each.
            let is_noise = |line: &str| {
                let noise = [
                    "Health",
                    "loop iteration",
                    "Ping",
                    "Pong",
                    "LeaderAck",
                    "told: lease",
                ];
                line.trim().is_empty()
                    || line.starts_with("    ")
                    || line.ends_with("redhac::quorum: ")
                    || noise.iter().any(|noise| line.contains(noise))
            };
            let lines: Vec<&str> = all.lines().filter(|line| !is_noise(line)).collect();
            let from = lines.len().saturating_sub(80);
            format!("-- node {node}\n{}", lines[from..].join("\n"))
        };
        let all: Vec<String> = (0..self.nodes.len()).map(last).collect();
        all.join("\n")
    }

    /// What a node's process told of its leadership since a time.
    #[must_use]
    pub fn told(&self, node: usize, since: Instant) -> Vec<Told> {
        let all = std::fs::read_to_string(self.log_of(node)).unwrap_or_default();
        let told = all.lines().filter_map(Told::read);
        told.filter(|told| told.at >= since).collect()
    }

    /// All that a node of ours told of its leases.
    #[must_use]
    pub fn leases(&self, node: usize) -> Vec<Lease> {
        let all = std::fs::read_to_string(self.log_of(node)).unwrap_or_default();
        all.lines().filter_map(Lease::read).collect()
    }

    /// How often a text is in the log of a node.
    #[must_use]
    pub fn count(&self, node: usize, text: &str) -> usize {
        let all = std::fs::read_to_string(self.log_of(node)).unwrap_or_default();
        all.lines().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some((mut child, _)) = node.running.take() {
                // A process that is gone needs no killing.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn certificate_of(directory: &TempDir, node: usize) -> PathBuf {
    directory.path().join(format!("{node}.tls"))
}

/// Makes those of all nodes, if they have any, and one for who asks them.
fn certificates(
    directory: &TempDir,
    nodes: usize,
    settings: Settings,
) -> Result<Option<Tls>, Failed> {
    if !settings.tls {
        return Ok(None);
    }
    let all = (0..=nodes).map(|node| certificate_of(directory, node));
    let all: Vec<PathBuf> = all.collect();
    issue(all.iter().map(PathBuf::as_path))?;
    Ok(Some(load(&all[nodes])?))
}

/// A program of this package, which is built before its tests.
fn program(name: &str) -> Result<PathBuf, Failed> {
    let test = std::env::current_exe()?;
    let mut directory = test.parent().ok_or("no directory")?.to_path_buf();
    if directory.ends_with("deps") {
        directory.pop();
    }
    Ok(directory.join(name))
}
