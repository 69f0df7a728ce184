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
//! # Stable codes of this crate's errors
//!
//! | code | meaning |
//! |---|---|
//! | `TF-U01` | a limit does not hold |
//! | `TF-U02` | a setting of the ring does not hold |
//! | `TF-U03` | the listening address cannot be used |
//! | `TF-U04` | the system refused something |
//!
//! Errors of calls begin with the codes of [`trefoil_core::codes`].

#![forbid(unsafe_code)]

mod actors;
mod alarm;
mod calls;
mod client;
pub mod clock;
mod error;
mod handle;
mod net;
mod node;
mod nostore;
mod published;
mod reply;
mod runtime;
mod start;

pub use actors::ActorThreads;
pub use client::{Client, ClientOptions};
pub use error::{CallError, Remedy};
pub use handle::{CallOptions, Handle, Stats};
pub use net::{GrpcOptions, Tokio};
pub use node::{Node, NodeOptions};
pub use published::{Member, MemberState, Mismatch, View};
pub use reply::{Applied, Got};
pub use start::StartError;

/// The examples of the README are compiled, and those without a network are run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
