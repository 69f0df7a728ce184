//! The configuration of one node: a TOML file, above it the environment and the flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trefoil_core::election::config::dialled;
use trefoil_core::election::electorate::RETIRED;

use crate::cli::{Serve, Spoken, Transport};

/// What a configuration file may say. Every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What this node is called and where peers dial it.
    pub host: Option<String>,
    /// Where to listen, if it differs.
    pub listen: Option<String>,
    /// Name of the cluster.
    pub cluster: Option<String>,
    /// Hosts of the cluster to join.
    #[serde(default)]
    pub join: Vec<String>,
    /// Where the journals are kept.
    pub data: Option<PathBuf>,
    /// The socket of a store that another process of this machine serves.
    pub store: Option<PathBuf>,
    /// Where to serve Prometheus metrics.
    pub metrics: Option<SocketAddr>,
    /// `tonic` (default) or `quic`.
    pub transport: Option<Transport>,
    /// Whether it is called by the other transport as well.
    #[serde(default)]
    pub accept_both: bool,
    /// A directory with ca.pem, cert.pem and key.pem.
    pub certs: Option<PathBuf>,
    /// A file whose first line is the token of the cluster.
    pub token_file: Option<PathBuf>,
    /// Whether it speaks to other machines without TLS.
    #[serde(default)]
    pub plaintext: bool,
    /// All voters of the election, in order of priority; the same on every node. None: no election.
    #[serde(default)]
    pub voters: Vec<String>,
    /// The election.
    #[serde(default)]
    pub election: Election,
    /// Log channels, which nodes have that vote alone, or have voters and a store that all share.
    #[serde(default)]
    pub channels: Channels,
    /// Failure detection.
    #[serde(default)]
    pub membership: Membership,
    /// Actors.
    #[serde(default)]
    pub actors: Actors,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// Log channels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// `seed` (default) or `v2024-08`; equal on all nodes.
    #[serde(default)]
    pub dialect: Spoken,
    /// Shares of nodes, by their hosts: one of weight 2 has twice as many channels as one of weight 1, which all have
    /// that are not named, and one of weight 0 none. Equal on all voters, as each of them may lead.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
    /// Nodes that are waited for, up to 5 s, before the first channel is assigned; as many as vote if nothing is
    /// said.
    pub expected_nodes: Option<u32>,
    /// Channels that are moved at once for balance; 3 if nothing is said.
    pub moves_max: Option<u32>,
    /// Records older than this are forgotten, in seconds; kept for ever if nothing is said.
    pub retain_s: Option<u64>,
    /// The oldest records are forgotten where a channel has more bytes than this.
    pub retain_bytes: Option<u64>,
    /// `true`: what a connected consumer was not given yet is kept all the same.
    #[serde(default)]
    pub retain_for_consumers: bool,
    /// Nodes of another make.
    #[serde(default)]
    pub foreign: Foreign,
}

/// Streaming nodes of another make, which may have channels though they are no members. Equal on all voters. Their logs
/// are their own: neither make reads what the other wrote, so one of the two should have weight 0.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// Where they are dialled. Each is asked how it is, and by which number it is called, once a second.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// How long one may be silent before it is gone, in milliseconds; 5,000 if nothing is said.
    pub silence_ms: Option<u64>,
    /// How long it may write after it is gone, in milliseconds: longer than its lease; 15,000 if nothing is said. So
    /// long its channels wait to be opened elsewhere, since nothing of ours fences its log.
    pub grace_ms: Option<u64>,
}

/// Failure detection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// How long a silent host is probed before it is removed, in milliseconds. 2,000 notices a crash
    /// in about 5 s; 6,000 tolerates pauses of 5 s.
    pub hold_ms: Option<u64>,
    /// `keep-majority` (default), `keep-both`, or `keep-quorum`, which follows the voters.
    pub partition: Option<Partition>,
}

/// What the smaller side of a partition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Partition {
    /// Owns nothing until it is whole again.
    #[serde(rename = "keep-majority")]
    Majority,
    /// Goes on; the journals' fences decide who may write.
    #[serde(rename = "keep-both")]
    Both,
    /// Goes on only if it hears a quorum of voters.
    #[serde(rename = "keep-quorum")]
    Quorum,
}

/// The election.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Election {
    /// How long a vote binds, in milliseconds; 1,000 if nothing is said, 3,000 between sites far apart. A
    /// leader that falls silent is replaced after this time.
    pub promise_ms: Option<u64>,
    /// Counts the changes of `voters`; 1 if nothing is said. Raised by one for each voter that comes or
    /// goes; in the place of one that goes stands `-`.
    pub epoch: Option<u64>,
    /// `true`: votes of redhac's nodes in the list are counted by redhac's own rules. Two nodes may lead at
    /// once then, and tokens may go back.
    #[serde(default)]
    pub count_redhac_two_may_lead: bool,
    /// `none` (default): a lease must run out. `refused`: the leader's stream has ended and a new dial to
    /// it is refused; for voters on one machine. `refused-anywhere`: the same on any network, where a
    /// firewall refuses, too, and two may lead then. Over QUIC no dial is refused.
    pub evidence: Option<Evidence>,
}

/// When a voter need not wait for the end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Never.
    None,
    /// When a dial is refused on this machine.
    Refused,
    /// When a dial is refused anywhere.
    RefusedAnywhere,
}

/// Actors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actors {
    /// An actor without calls for this long is put to rest, in seconds.
    pub idle_s: Option<u64>,
    /// Actors active at once on this node.
    pub active_max: Option<u32>,
    /// Records between two snapshots: bounds the time a recovery takes.
    pub snapshot_every: Option<u32>,
}

/// Bounds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest message, in bytes: 67,108,864 if nothing is said, 268,435,456 at most; equal on all nodes. A record
    /// has a kibibyte less. `trefoil produce` is told by `--message-bytes-max`.
    pub message_bytes_max: Option<u32>,
    /// Calls open at once.
    pub calls_max: Option<u32>,
}

/// A node's configuration, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// What this node is called and where peers dial it.
    pub host: String,
    /// Where it listens.
    pub listen: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Hosts of the cluster to join.
    pub join: Vec<String>,
    /// All voters of the election.
    pub voters: Vec<String>,
    /// Whether this voter has never voted.
    pub first: bool,
    /// Where the journals are kept, or the node's own state if it uses the store of another process.
    pub data: PathBuf,
    /// The socket of a store that another process of this machine serves.
    pub store: Option<PathBuf>,
    /// Where to serve Prometheus metrics.
    pub metrics: Option<SocketAddr>,
    /// The rest of the file.
    pub file: File,
}

/// Why a configuration cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("TF-N01: cannot read the configuration {path}: {reason}; give its path with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The file is no TOML, or says something unknown.
    #[error("TF-N02: {path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why, with the line.
        reason: Box<toml::de::Error>,
    },
    /// Something is missing.
    #[error(
        "TF-N03: no {what}; set `{key}` in the file, {variable} in the environment, or --{key}"
    )]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Its key.
        key: &'static str,
        /// Its environment variable.
        variable: &'static str,
    },
    /// A value does not hold.
    #[error("TF-N04: {key} = {value}: {why}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says something unknown.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        })?;
        toml::from_str(&text).map_err(|reason| ConfigError::Malformed {
            path: path.to_owned(),
            reason: Box::new(reason),
        })
    }
}

impl Config {
    /// The file that is named, if one is, under the flags and the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_args(args: &Serve) -> Result<Self, ConfigError> {
        let file = args
            .config
            .as_deref()
            .map(File::read)
            .transpose()?
            .unwrap_or_default();
        Self::merge(args, file)
    }

    fn merge(args: &Serve, file: File) -> Result<Self, ConfigError> {
        let host = args
            .host
            .clone()
            .or_else(|| file.host.clone())
            .ok_or(ConfigError::Missing {
                what: "name of this node",
                key: "host",
                variable: "TREFOIL_HOST",
            })?;
        check_host("host", &host)?;
        let join = if args.join.is_empty() {
            file.join.clone()
        } else {
            args.join.clone()
        };
        for peer in &join {
            check_host("join", peer)?;
        }
        let voters = if args.voters.is_empty() {
            file.voters.clone()
        } else {
            args.voters.clone()
        };
        for voter in voters.iter().filter(|voter| *voter != RETIRED) {
            check_host("voters", dialled(voter))?;
        }
        for foreign in &file.channels.foreign.nodes {
            check_host("channels.foreign.nodes", foreign)?;
        }
        Ok(Self {
            listen: args
                .listen
                .clone()
                .or_else(|| file.listen.clone())
                .unwrap_or_else(|| host.clone()),
            cluster: args
                .cluster
                .clone()
                .or_else(|| file.cluster.clone())
                .unwrap_or_else(|| "local".to_owned()),
            data: args
                .data
                .clone()
                .or_else(|| file.data.clone())
                .unwrap_or_else(|| "trefoil-data".into()),
            store: args.store.clone().or_else(|| file.store.clone()),
            metrics: args.metrics.or(file.metrics),
            host,
            join,
            voters,
            first: args.init,
            file,
        })
    }
}

/// A host must be `name:port`, since peers dial it.
fn check_host(key: &'static str, value: &str) -> Result<(), ConfigError> {
    let port = value
        .rsplit_once(':')
        .filter(|(name, _)| !name.is_empty())
        .map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Ok(());
    }
    let why = "must be a name or an address with a port, such as 10.0.0.7:7001";
    Err(ConfigError::Invalid {
        key,
        value: value.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Serve {
        Serve {
            config: None,
            host: None,
            listen: None,
            join: Vec::new(),
            voters: Vec::new(),
            init: false,
            cluster: None,
            data: None,
            store: None,
            accept_both: false,
            metrics: None,
        }
    }

    #[test]
    fn flags_stand_above_the_file() {
        let file: File = toml::from_str("host = 'a:1'\ncluster = 'c'\njoin = ['b:2']").unwrap();
        let config = Config::merge(
            &Serve {
                host: Some("x:9".into()),
                ..args()
            },
            file,
        )
        .unwrap();
        assert_eq!(
            (
                config.host.as_str(),
                config.listen.as_str(),
                config.cluster.as_str()
            ),
            ("x:9", "x:9", "c")
        );
        assert_eq!(config.join, ["b:2"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_a_code_and_a_remedy() {
        let missing = Config::merge(&args(), File::default())
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("TF-N03") && missing.contains("--host"),
            "{missing}"
        );
        for host in ["", "a", ":7", "a:", "a:0", "a:70000", "a:x"] {
            let error = Config::merge(
                &Serve {
                    host: Some(host.into()),
                    ..args()
                },
                File::default(),
            )
            .unwrap_err();
            assert!(error.to_string().starts_with("TF-N04"), "{error}");
        }
        let foreign = "host = 'a:1'\n[channels.foreign]\nnodes = ['b']";
        let error = Config::merge(&args(), toml::from_str(foreign).unwrap()).unwrap_err();
        assert!(
            error.to_string().contains("channels.foreign.nodes = b"),
            "{error}"
        );
        let unknown = toml::from_str::<File>("hots = 'a:1'")
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("hots"), "{unknown}");
    }
}
