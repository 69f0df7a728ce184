//! The coordination core of Trefoil: who is a member of a cluster, who owns an id, and how a call
//! reaches its owner. It speaks real wire protocols and does no IO.
//!
//! A [machine] is a value. Four things enter it, each with a `now`: what happened on a
//! [stream], the outcome of a [storage] operation, a command from above, a due time.
//! It writes its effects into what the caller lends and tells events to whom the caller names. It
//! reads no clock, draws no random number, starts no task, writes no log line, and once it is
//! constructed and warm what it does for each message allocates nothing: tests count, and a binary without
//! std proves it with its allocator shut. What is rare may allocate: a channel that is opened, a plan, a push.
//!
//! | to | use |
//! |---|---|
//! | run a node or a client over gRPC on tokio | the crate `trefoil-runtime-tokio` |
//! | run the machines on a runtime or transport of your own | [`driver::Driver`], or [`engine::Engine`] by hand |
//! | bring a transport, a store | implement [`transport::Transport`], [`storage::Storage`] |
//! | know where ids belong, and nothing else | [`ring::placement::Placement`] |
//! | elect a leader, and nothing else | [`election::Election`] |
//! | run ring, election and channels on one node | [`node::Node`] |
//! | serve log channels on one node, under terms and fences | [`channels::worker::Worker`] |
//! | write to log channels and read from them | [`channels::client::Client`] |
//! | write actors | [`ring::actor::Actor`] |
//! | try all of it on one thread, without time | [`ring::local::LocalRing`] |
//!
//! # Three nodes
//!
//! ```
//! use std::time::Duration;
//!
//! use trefoil_core::limits::Limits;
//! use trefoil_core::ring::RingConfig;
//! use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
//! use trefoil_core::ring::local::LocalRing;
//! use trefoil_proto::control_plane::{ApplyRequest, ApplyResult};
//! use trefoil_proto::google::Any;
//! use trefoil_proto::{Decode, Encode};
//!
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
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let seeds = ["a:7001", "b:7001", "c:7001"];
//! let configs = [1, 2, 3].map(|boot| RingConfig::lan(seeds[boot as usize - 1], &seeds, boot));
//! let mut ring = LocalRing::new(&configs, &Limits::default(), || Counters)?;
//! ring.run_for(Duration::from_secs(5), &mut |_, _| {});
//! assert_eq!(ring.ring(2).membership().live(), 3);
//!
//! // The same counter, through each node: two of three calls are forwarded, one hop.
//! let add = [Any { type_url: "type.googleapis.com/example.Add", value: b"abc" }];
//! let request = ApplyRequest { id: 7, messages: &add[..] };
//! let mut bytes = vec![0; request.encoded_len()];
//! request.encode_to_slice(&mut bytes)?;
//! for node in 0..3 {
//!     let answer = ring.apply(node, &bytes).map_err(|error| error.message)?;
//!     let state = ApplyResult::parse(&answer)?.state.ok_or("no state")?;
//!     assert_eq!(state.value, (3 * (node as u64 + 1)).to_le_bytes());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where ids belong
//!
//! ```
//! use trefoil_core::ring::placement::{Placement, PlacementConfig, Weight};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut placement = Placement::new(PlacementConfig::default())?;
//! for (key, name) in (0..).zip(["a:7001", "b:7001", "c:7001"]) {
//!     placement.add(key, name, Weight::ONE)?;
//! }
//! let owner = placement.owner(7).ok_or("no hosts")?;
//! // A pure function of the set of hosts: only what a host that goes owned will move.
//! assert!(placement.remove((owner + 1) % 3));
//! assert_eq!(placement.owner(7), Some(owner));
//! # Ok(())
//! # }
//! ```
//!
//! # Examples
//!
//! | `cargo run -p trefoil-core --example ...` | shows |
//! |---|---|
//! | `three_nodes` | three nodes in memory, under a clock that is a number; the owner of an actor is stopped |
//! | `leader` | three voters elect a leader under fencing tokens; it hands over, stands still, and is replaced |
//! | `custom_transport` | a transport of your own in less than a hundred lines, and an engine that is run by hand on each of two threads |
//! | `custom_executor` | the driver under an executor of forty lines, called from another thread |
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `ring` | yes | [`ring`]: membership, placement, directory, actors, client |
//! | `election` | yes | [`election`]: one leader at a time, with a fencing token |
//! | `channels` | yes | [`channels`]: where log channels belong, who has them, how they are served, written to and read from |
//!
//! Stable codes of errors that go over the wire are listed in [`codes`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addresses;
mod admission;
#[cfg(feature = "channels")]
pub mod channels;
pub mod codes;
pub mod driver;
#[cfg(feature = "election")]
pub mod election;
pub mod engine;
pub mod hash;
pub mod header;
pub mod id;
pub mod identity;
pub mod limits;
pub mod link;
pub mod machine;
pub mod memory;
pub mod method;
#[cfg(all(feature = "ring", feature = "election", feature = "channels"))]
pub mod node;
pub mod pair;
#[cfg(feature = "ring")]
pub mod ring;
pub mod rng;
pub mod status;
pub mod storage;
pub mod stream;
mod table;
pub mod time;
pub mod timers;
pub mod transport;
pub mod wire;
#[cfg(any(feature = "ring", feature = "election", feature = "channels"))]
pub mod xxh3;

#[cfg(test)]
pub(crate) mod testing;
