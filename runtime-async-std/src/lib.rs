//! A Trefoil node, or a client of one, on async-io: the engine of async-std and of smol.
//!
//! Sockets, timers and tasks are those of `async-io`, `async-executor` and `blocking`. They work inside
//! of any executor, so a node can be started from an `async_std::task`, from `smol::block_on`, or from an
//! executor of one's own. The discontinued crate `async-std` is in the tree only where its feature asks
//! for it. No tokio runtime is started; a test asserts it.
//!
//! ```no_run
//! use trefoil_core::ring::actor::ActorKind;
//! use trefoil_core::storage::Storage;
//! use trefoil_runtime_async_std::{Node, NodeOptions, StartError};
//!
//! # async fn run<K>(kind: K, session: impl Storage<Buf = Vec<u8>> + Send + 'static) -> Result<(), StartError>
//! # where K: ActorKind + Clone + Send + 'static, K::Actor: Send {
//! // `kind` makes the actors, `session` comes from `trefoil_store::Store::session`.
//! let mut options = NodeOptions::new("127.0.0.1:7001", "counters");
//! options.join = vec!["127.0.0.1:7001".into(), "127.0.0.1:7002".into()];
//! let node = Node::spawn(options, kind, session).await?;
//! println!("{} listens on {}", node.handle().host(), node.address());
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where tasks run
//!
//! [`Node::spawn`] gives a node a thread with an executor of its own. What is started elsewhere,
//! [`Node::start`] and [`Client::start`], runs on one thread that all of them share; with the feature
//! `async-std` it runs on async-std's executor instead.
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
//! | `async-std` | | tasks run on async-std's executor, for programs that are still there |
//! | `smol` | | the same runtime under the name `smol` |
//!
//! All add up. With `tonic` and `quic` a node dials by the one that [`NodeOptions::transport`] says, and
//! may be called by both. gRPC server reflection is offered on tokio only: its services are tasks of
//! tokio.
//!
//! Errors begin with a stable code: those of a start are listed in `trefoil_runtime`, those of calls in
//! [`trefoil_core::codes`].

#![deny(unsafe_code)]

#[cfg(not(any(feature = "tonic", feature = "quic")))]
compile_error!(
    "a node needs a transport: enable the feature `tonic` (gRPC, the default) or `quic` of trefoil-runtime-async-std"
);
#[cfg(all(
    any(feature = "tls", feature = "quic"),
    not(any(feature = "ring", feature = "aws-lc-rs"))
))]
compile_error!(
    "TLS needs its cryptography: enable the feature `ring` (the default) or `aws-lc-rs` of trefoil-runtime-async-std"
);

#[cfg(feature = "tonic")]
mod io;
#[cfg(feature = "tonic")]
mod net;
mod platform;
#[cfg(feature = "quic")]
mod udp;

pub use platform::{AsyncStd, AsyncStdAlarm};
pub use trefoil_runtime::*;

/// A running node.
pub type Node = trefoil_runtime::Node<AsyncStd>;
/// A client of a cluster.
pub type Client = trefoil_runtime::Client<AsyncStd>;
/// Producers and consumers of a program.
pub type ChannelClient = channels::ChannelClient<AsyncStd>;
/// Asks the coordinator about channels.
pub type ChannelOperator = channels::ChannelOperator<AsyncStd>;

/// What carries streams in this build.
#[cfg(all(feature = "tonic", feature = "quic"))]
type Carried = Both;
#[cfg(all(feature = "tonic", not(feature = "quic")))]
type Carried = Tonic;
#[cfg(all(feature = "quic", not(feature = "tonic")))]
type Carried = Quic;

/// The same runtime under the name people look for.
#[cfg(feature = "smol")]
pub mod smol {
    pub use crate::{AsyncStd as Smol, AsyncStdAlarm as SmolAlarm};
    pub use crate::{Client, Node};
    pub use trefoil_runtime::*;
}
