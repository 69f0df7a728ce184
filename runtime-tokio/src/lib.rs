//! A Trefoil node, or a client of one, on tokio.
//!
//! ```no_run
//! use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
//! use trefoil_proto::google::Any;
//! use trefoil_runtime_tokio::{Node, NodeOptions};
//! # use trefoil_core::storage::Storage;
//!
//! #[derive(Clone)]
//! struct Counters;
//! struct Counter(u64);
//!
//! impl ActorKind for Counters {
//!     type Actor = Counter;
//!     fn load(&self, _id: u64, snapshot: Option<&[u8]>) -> Result<Counter, Failed> {
//!         let Some(bytes) = snapshot else { return Ok(Counter(0)) };
//!         Ok(Counter(u64::from_le_bytes(bytes.try_into().map_err(|_| Failed)?)))
//!     }
//! }
//!
//! impl Actor for Counter {
//!     fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
//!         self.0 += message.value.len() as u64;
//!         Ok(())
//!     }
//!     fn snapshot(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(&self.0.to_le_bytes());
//!     }
//!     fn type_url(&self) -> &str {
//!         "type.googleapis.com/example.Counter"
//!     }
//! }
//!
//! # async fn run(session: impl Storage<Buf = Vec<u8>> + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
//! // `session` comes from `trefoil_store::Store::session`.
//! let mut options = NodeOptions::new("127.0.0.1:7001", "counters");
//! options.join = vec!["127.0.0.1:7001".into(), "127.0.0.1:7002".into()];
//! let node = Node::spawn(options, Counters, session).await?;
//! let message = Any { type_url: "type.googleapis.com/example.Add", value: b"abc" };
//! let applied = node.handle().apply(7, &[message]).await?;
//! assert_eq!(applied.view().mutations.len(), 1);
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `tonic` | yes | gRPC |
//! | `quic` | | QUIC, always with certificates |
//! | `tls` | | certificates for gRPC, too |
//! | `ring` | yes | where there is TLS: the cryptography of ring |
//! | `aws-lc-rs` | | where there is TLS: that of AWS-LC, also where both are there |
//! | `reflection` | | gRPC server reflection, v1 and v1alpha |
//!
//! All add up. With `tonic` and `quic` a node dials by the one that
//! [`NodeOptions::transport`] says, and may be called by both.
//!
//! Errors begin with a stable code: those of a start are listed in `trefoil_runtime`, those of calls in
//! [`trefoil_core::codes`].

#![forbid(unsafe_code)]

#[cfg(not(any(feature = "tonic", feature = "quic")))]
compile_error!(
    "a node needs a transport: enable the feature `tonic` (gRPC, the default) or `quic` of trefoil-runtime-tokio"
);
#[cfg(all(
    any(feature = "tls", feature = "quic"),
    not(any(feature = "ring", feature = "aws-lc-rs"))
))]
compile_error!(
    "TLS needs its cryptography: enable the feature `ring` (the default) or `aws-lc-rs` of trefoil-runtime-tokio"
);

#[cfg(feature = "tonic")]
mod io;
#[cfg(feature = "tonic")]
mod net;
mod platform;
#[cfg(feature = "quic")]
mod udp;

pub use platform::{Tokio, TokioAlarm};
pub use trefoil_runtime::*;

/// A running node.
pub type Node = trefoil_runtime::Node<Tokio>;
/// A client of a cluster.
pub type Client = trefoil_runtime::Client<Tokio>;
/// Producers and consumers of a program.
pub type ChannelClient = channels::ChannelClient<Tokio>;
/// Asks the coordinator about channels.
pub type ChannelOperator = channels::ChannelOperator<Tokio>;

/// What carries streams in this build.
#[cfg(all(feature = "tonic", feature = "quic"))]
type Carried = Both;
#[cfg(all(feature = "tonic", not(feature = "quic")))]
type Carried = Tonic;
#[cfg(all(feature = "quic", not(feature = "tonic")))]
type Carried = Quic;

/// The examples of the README are compiled, and those without a network are run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
