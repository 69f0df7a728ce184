//! A Trefoil node and its clients on any async runtime.
//!
//! This crate is what `trefoil-runtime-tokio` and `trefoil-runtime-async-std` share: depend on one of
//! them, not on this. What is left to each of them is the trait [`Platform`] and, for each transport,
//! its sockets: [`TonicPlatform`] and [`QuicPlatform`].
//!
//! The channels are those of tokio, which need no runtime of tokio and are in every tree that holds
//! hyper or quinn.
//!
//! # Stable codes of this crate's errors
//!
//! | code | meaning |
//! |---|---|
//! | `TF-U01` | a limit does not hold |
//! | `TF-U02` | a setting of the ring or of the election does not hold |
//! | `TF-U03` | the listening address cannot be used |
//! | `TF-U04` | the system refused something |
//! | `TF-U05` | the program was built without a feature that is asked for |
//! | `TF-U06` | listening beyond this machine without certificates, and plaintext was not asked for |
//! | `TF-U07` | QUIC without certificates |
//! | `TF-U08` | a certificate that does not name the node |
//! | `TF-U09` | a setting of a client of channels does not hold |
//!
//! Errors of calls begin with the codes of [`trefoil_core::codes`].

#![forbid(unsafe_code)]

mod actors;
mod alarm;
mod calls;
mod carrier;
pub mod channels;
mod client;
pub mod clock;
mod election;
mod error;
mod handle;
mod muffler;
mod node;
mod nostore;
mod platform;
mod published;
mod reply;
mod ring;
mod security;
mod start;
pub mod task;

pub use actors::ActorThreads;
#[cfg(all(feature = "tonic", feature = "quic"))]
pub use carrier::Both;
pub use carrier::{Carrier, Door, TransportKind};
#[cfg(feature = "quic")]
pub use carrier::{Quic, QuicPlatform};
#[cfg(feature = "tonic")]
pub use carrier::{Tonic, TonicPlatform};
pub use client::{Client, ClientOptions};
pub use election::{Election, ElectionError, Leadership, Lock};
pub use error::{CallError, Remedy};
pub use handle::{CallOptions, Handle, Stats};
pub use node::{Node, NodeOptions};
pub use platform::{Alarm, Platform};
pub use published::{Member, MemberState, Mismatch, View};
pub use reply::{Applied, Got};
pub use security::{Security, Tls};
pub use start::StartError;
pub use trefoil_core::channels::client::ClientConfig as ChannelClientConfig;
pub use trefoil_core::election::token::Token as FencingToken;
pub use trefoil_core::identity::Token;
pub use trefoil_core::node::ChannelsConfig;
#[cfg(feature = "tls")]
pub use trefoil_tls as tls;
#[cfg(feature = "quic")]
pub use trefoil_transport_quic::QuicOptions;
#[cfg(feature = "tonic")]
pub use trefoil_transport_tonic::GrpcOptions;
