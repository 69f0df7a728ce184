//! What the program is asked for: commands, flags, their environment variables.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The most that nodes can be asked to take as one message.
pub const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// A cluster that owns actors: run it, watch it, use it.
#[derive(Debug, Parser)]
#[command(name = "trefoil", version, about, propagate_version = true)]
pub struct Cli {
    /// What is logged, in the syntax of tracing's filters, such as `info` or `trefoil=debug`.
    #[arg(long, global = true, env = "TREFOIL_LOG", default_value = "warn")]
    pub log: String,

    /// How nodes and clients run and reach each other.
    #[command(flatten)]
    pub way: Way,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How nodes and clients run and reach each other.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How nodes reach each other")]
pub struct Way {
    /// By what nodes and clients call; gRPC if nothing is said.
    #[arg(long, global = true, value_enum, env = "TREFOIL_TRANSPORT")]
    pub transport: Option<Transport>,
    /// The async runtime that everything runs on; tokio if nothing is said.
    #[arg(long, global = true, value_enum, env = "TREFOIL_RUNTIME")]
    pub runtime: Option<Runtime>,
    /// A directory with ca.pem, cert.pem and key.pem, as `trefoil certs` writes it: TLS, with both sides
    /// certified. The files are read again every half minute, and on SIGHUP.
    #[arg(long, global = true, env = "TREFOIL_CERTS")]
    pub certs: Option<PathBuf>,
    /// A file whose first line is shown to every node that is called, and asked of every caller. It is
    /// read once: another token needs a restart.
    #[arg(long, global = true, env = "TREFOIL_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Speaks to other machines without TLS: anybody on the way can read and change everything. Not
    /// together with `--certs`.
    #[arg(
        long,
        global = true,
        value_parser = BoolishValueParser::new(),
        env = "TREFOIL_PLAINTEXT"
    )]
    pub plaintext: bool,
}

/// What carries calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// gRPC over TCP.
    Tonic,
    /// QUIC over UDP, always with certificates.
    Quic,
}

/// Async runtimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// tokio.
    #[default]
    Tokio,
    /// async-io, the engine of async-std and smol.
    AsyncStd,
}

impl Runtime {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::AsyncStd => "async-std",
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Three nodes, real load, one node cut off: shows what happens and checks it.
    Demo(Demo),
    /// A lasting local cluster in one process.
    Up(Up),
    /// One node, from a configuration file.
    Serve(Serve),
    /// A node's view of its cluster.
    Status(StatusArgs),
    /// Who leads, and giving the leadership to another.
    Leader(LeaderArgs),
    /// Carts: the built-in actor, through any node.
    Cart(CartArgs),
    /// Log channels: which there are, where they are, and where they should be.
    Channels(ChannelsArgs),
    /// A node, as its channels go.
    Node(NodeArgs),
    /// Appends lines to a channel, a record each.
    Produce(ProduceArgs),
    /// Prints the records of a channel, a line each.
    Consume(ConsumeArgs),
    /// Checks a configuration file and prints what it amounts to.
    CheckConfig(CheckConfig),
    /// The store of a data directory.
    Store(StoreArgs),
    /// Certificates for nodes and operators, from an authority made for development.
    Certs(Certs),
}

/// Arguments of `certs`.
#[derive(Clone, Debug, Args)]
pub struct Certs {
    /// Where the authority is kept, and one directory for each certificate.
    pub dir: PathBuf,
    /// What nodes are called: a name or an address each, or several separated by commas for one
    /// certificate. `operator` is made besides, for `--certs` of commands that call nodes.
    #[arg(default_values_t = ["127.0.0.1,::1,localhost".to_owned()])]
    pub hosts: Vec<String>,
    /// For how many days they hold.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long the load runs, in seconds; the cut begins after a quarter and heals after three.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(16..=600))]
    pub seconds: u64,
    /// Carts that are written to.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(16..=1_000_000))]
    pub ids: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(3..=4_096))]
    pub callers: u32,
    /// Keeps the journal here instead of a temporary directory.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Prints the report as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Prints the verdict only.
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Plants a bug, to show that the demo's checks notice it: the exit code must not be 0.
    #[arg(long, value_enum)]
    pub plant: Option<Plant>,
}

/// Bugs that can be planted in the demo's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Now and then an append is acknowledged and not written.
    LostAppend,
    /// Appends are taken from anybody, whatever the fence says.
    NoFence,
}

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: u16,
    /// Port of the first node; the others follow.
    #[arg(long, default_value_t = 7_001, env = "TREFOIL_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Where the journals are kept.
    #[arg(long, default_value = "trefoil-data", env = "TREFOIL_DATA")]
    pub data: PathBuf,
    /// Name of the cluster.
    #[arg(long, default_value = "local", env = "TREFOIL_CLUSTER")]
    pub cluster: String,
    /// Is called by the other transport as well, at the same ports.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "TREFOIL_ACCEPT_BOTH")]
    pub accept_both: bool,
    /// Serves Prometheus metrics of all nodes here, such as `127.0.0.1:9464`.
    #[arg(long, env = "TREFOIL_METRICS")]
    pub metrics: Option<std::net::SocketAddr>,
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// A TOML file; flags and environment variables stand above it.
    #[arg(long, env = "TREFOIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// What this node is called and where peers dial it, such as `10.0.0.7:7001`.
    #[arg(long, env = "TREFOIL_HOST")]
    pub host: Option<String>,
    /// Where to listen, if it differs from the host.
    #[arg(long, env = "TREFOIL_LISTEN")]
    pub listen: Option<String>,
    /// Hosts of the cluster to join; repeat it or separate by commas.
    #[arg(long, env = "TREFOIL_JOIN", value_delimiter = ',')]
    pub join: Vec<String>,
    /// All voters of the election, in order of priority; the same on every node. A node that is not among
    /// them follows. Repeat it or separate by commas. Without it there is no election.
    #[arg(long, env = "TREFOIL_VOTERS", value_delimiter = ',')]
    pub voters: Vec<String>,
    /// This voter has never voted: its data directory is new. Without it a voter that finds no vote has
    /// lost its memory, and is silent for one promise. Harmless where a vote is found.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "TREFOIL_INIT")]
    pub init: bool,
    /// Name of the cluster.
    #[arg(long, env = "TREFOIL_CLUSTER")]
    pub cluster: Option<String>,
    /// Where the journals are kept.
    #[arg(long, env = "TREFOIL_DATA")]
    pub data: Option<PathBuf>,
    /// The socket of a store that another process of this machine serves, by `trefoil store`: nodes in
    /// processes of their own form one cluster by it. The data directory then keeps the node's own state alone.
    #[arg(long, env = "TREFOIL_STORE")]
    pub store: Option<PathBuf>,
    /// Is called by the other transport as well, at the same port.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "TREFOIL_ACCEPT_BOTH")]
    pub accept_both: bool,
    /// Serves Prometheus metrics here.
    #[arg(long, env = "TREFOIL_METRICS")]
    pub metrics: Option<std::net::SocketAddr>,
}

/// Arguments of `check-config`.
#[derive(Clone, Debug, Args)]
pub struct CheckConfig {
    /// The file.
    pub file: PathBuf,
}

/// Where a node is asked.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// A node, or several separated by commas.
    #[arg(
        long,
        default_value = "127.0.0.1:7001",
        env = "TREFOIL_AT",
        value_delimiter = ','
    )]
    pub at: Vec<String>,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub at: At,
    /// As JSON, one object.
    #[arg(long)]
    pub json: bool,
    /// Again every second, until interrupted.
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `leader`.
#[derive(Clone, Debug, Args)]
pub struct LeaderArgs {
    /// What to do about the leadership.
    #[command(subcommand)]
    pub command: LeaderCommand,
}

/// What can be done about the leadership.
#[derive(Clone, Debug, Subcommand)]
pub enum LeaderCommand {
    /// Shows who leads, and how the voters hear each other.
    Show {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// As JSON, one object. Tokens are strings: they exceed what a floating point number holds.
        #[arg(long)]
        json: bool,
    },
    /// Makes another voter the leader, and waits until it leads.
    Handover {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The voter, by its address in the list.
        to: String,
    },
}

/// Arguments of `channels`.
#[derive(Clone, Debug, Args)]
pub struct ChannelsArgs {
    /// What to do about channels.
    #[command(subcommand)]
    pub command: ChannelsCommand,
}

/// What can be done about channels.
#[derive(Clone, Debug, Subcommand)]
pub enum ChannelsCommand {
    /// Makes channels, and waits until they are assigned. Those that are there already stay as they are.
    Create {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Shows all channels: node, term, state, since when, and why one is not assigned.
    List {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// As JSON, one object.
        #[arg(long)]
        json: bool,
    },
    /// Puts a channel on a node, and waits until it is there.
    Move {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The channel.
        channel: String,
        /// The node, as it is dialled.
        to: String,
    },
    /// Shows what would be moved now, without moving it.
    Plan {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
    },
}

/// Arguments of `node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// What to do about a node.
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What can be done about a node.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Has a node give up its channels, and waits until it has none. It goes on otherwise, and gets none anew until
    /// it is taken back, started again, or another node leads.
    Drain {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The node, as it is dialled.
        host: String,
        /// After how many seconds its channels are opened elsewhere whatever it does.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        within: u64,
    },
    /// Lets a node that was drained have channels again.
    Undrain {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The node, as it is dialled.
        host: String,
    },
}

/// The dialects of the streaming protocol. Nothing on the wire says which one is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
pub enum Spoken {
    /// That of the schema, of July 2024.
    #[default]
    #[serde(rename = "seed")]
    Seed,
    /// That of the first clients, of August 2024.
    #[value(name = "v2024-08")]
    #[serde(rename = "v2024-08")]
    V202408,
}

/// Arguments of `produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArgs {
    /// Whom to ask where the channel is. The time-out is for each record, over all attempts.
    #[command(flatten)]
    pub at: At,
    /// The channel.
    pub channel: String,
    /// Reads lines from here; `-` and nothing read standard input.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Largest message that is sent, in bytes: no more than `message_bytes_max` of the nodes. A record has a kibibyte
    /// less.
    #[arg(
        long,
        default_value_t = 64 << 20,
        env = "TREFOIL_MESSAGE_BYTES_MAX",
        value_parser = clap::value_parser!(u32).range(65_536..=i64::from(MESSAGE_BYTES_MAX))
    )]
    pub message_bytes_max: u32,
    /// Records on their way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub in_flight: u16,
    /// A property of every record, as KEY=VALUE; repeat it. `_vc=NAME` names a virtual channel.
    #[arg(long = "property")]
    pub properties: Vec<String>,
    /// A name, by which a record that is sent twice is kept once. No two that run at once may share it.
    #[arg(long)]
    pub producer: Option<String>,
    /// The number of the first record, where the name was used before.
    #[arg(long, default_value_t = 1, requires = "producer", value_parser = clap::value_parser!(u64).range(1..))]
    pub sequence: u64,
    /// What is spoken.
    #[arg(long, value_enum, default_value_t = Spoken::Seed)]
    pub dialect: Spoken,
}

/// Arguments of `consume`.
#[derive(Clone, Debug, Args)]
pub struct ConsumeArgs {
    /// Whom to ask where the channel is.
    #[command(flatten)]
    pub at: At,
    /// The channel.
    pub channel: String,
    /// `all`, `latest`, an id as `--json` prints it, or `after:` and an id.
    #[arg(long, default_value = "latest")]
    pub from: String,
    /// `vchannel=NAME`, `tick-above=TICK` or `tick-from=TICK`; of several all must agree.
    #[arg(long = "filter")]
    pub filters: Vec<String>,
    /// Waits for records that are appended later, until interrupted.
    #[arg(long)]
    pub follow: bool,
    /// Ends after so many records.
    #[arg(long)]
    pub limit: Option<u64>,
    /// Without --follow: ends when no record has come for so many milliseconds. Nothing on the wire tells the end
    /// of a log.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_ms: u64,
    /// As JSON, an object a line, with id, time tick and properties.
    #[arg(long)]
    pub json: bool,
    /// What is spoken.
    #[arg(long, value_enum, default_value_t = Spoken::Seed)]
    pub dialect: Spoken,
}

/// Arguments of `cart`.
#[derive(Clone, Debug, Args)]
pub struct CartArgs {
    /// What to do with carts.
    #[command(subcommand)]
    pub command: CartCommand,
}

/// What can be done with carts.
#[derive(Clone, Debug, Subcommand)]
pub enum CartCommand {
    /// Puts articles into a cart.
    Add {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The cart.
        id: u64,
        /// The article.
        sku: String,
        /// How many.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        quantity: u32,
    },
    /// Takes articles out of a cart.
    Remove {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The cart.
        id: u64,
        /// The article.
        sku: String,
        /// How many.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        quantity: u32,
    },
    /// Empties a cart.
    Clear {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The cart.
        id: u64,
    },
    /// Shows a cart.
    Show {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The cart.
        id: u64,
        /// As JSON, one object.
        #[arg(long)]
        json: bool,
    },
    /// Adds every line of a CSV file: `id,sku,quantity`, with or without a first line of names.
    Load {
        /// Whom to ask.
        #[command(flatten)]
        at: At,
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// Lines on their way at once.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
        in_flight: u32,
    },
}

/// Arguments of `store`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StoreArgs {
    /// What else to do with a store than to serve it.
    #[command(subcommand)]
    pub command: Option<StoreCommand>,
    /// Which store to serve.
    #[command(flatten)]
    pub served: Served,
}

/// A store that is served to the nodes of this machine.
#[derive(Clone, Debug, Args)]
pub struct Served {
    /// The data directory.
    #[arg(long, default_value = "trefoil-data", env = "TREFOIL_DATA")]
    pub data: PathBuf,
    /// The socket it is served at; `store.sock` in the data directory if nothing is said. Only the same user
    /// may use it.
    #[arg(long, env = "TREFOIL_STORE")]
    pub socket: Option<PathBuf>,
}

/// What can be done with a store.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Verifies every log and value; exit code 0 only if all are whole.
    Check {
        /// The data directory.
        #[arg(long, default_value = "trefoil-data", env = "TREFOIL_DATA")]
        data: PathBuf,
    },
}
