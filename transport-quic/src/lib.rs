//! QUIC as a carrier of Trefoil's streams.
//!
//! One bidirectional stream for each call, with the semantics of gRPC, over quinn and mutual TLS, and
//! no runtime of its own: sockets, timers and tasks come through [`quinn::Runtime`]. Under tokio that
//! is `quinn::TokioRuntime`; for another executor it is a hundred lines.
//!
//! - [`Quic`] is a [`Transport`](trefoil_core::transport::Transport): a driver polls it. It dials
//!   links, opens streams on them, and takes the calls that its servers accepted.
//! - [`Server`] listens on UDP sockets, drains and closes.
//!
//! # How a runtime uses it
//!
//! ```no_run
//! use std::net::UdpSocket;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use trefoil_core::limits::Limits;
//! use trefoil_core::method::Methods;
//! use trefoil_tls::{ClientAuth, Tls, TlsFiles};
//! use trefoil_transport_quic::quinn::TokioRuntime;
//! use trefoil_transport_quic::{Quic, QuicOptions};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = Tls::from_files(TlsFiles::in_dir("/etc/trefoil"), ClientAuth::Required)?;
//! let options = QuicOptions {
//!     resolve: Some(Arc::new(|address: String| {
//!         Box::pin(async move { Ok(tokio::net::lookup_host(address).await?.collect()) })
//!     })),
//!     ..QuicOptions::default()
//! };
//! let limits = Limits::default();
//! let quic = Quic::new(Arc::new(TokioRuntime), tls, Methods::ring(), &limits, options)?;
//! let server = quic.server();
//! let address = server.bind(UdpSocket::bind("[::]:50051")?)?;
//! // `quic` goes to the driver. To stop: no new calls, then those in flight, then the rest.
//! server.drain(Duration::from_secs(5)).await;
//! # drop((quic, address));
//! # Ok(())
//! # }
//! ```
//!
//! # What is on the wire
//!
//! `PROTOCOL.md` in this crate's sources says it byte by byte. In short: each frame has a word of 4
//! bytes before it, of which 3 bits are its kind and 29 its length; a call begins with its path,
//! timeout and metadata, an answer with metadata, and it ends with a status. Half-close is FIN, to
//! abandon is RESET_STREAM and STOP_SENDING. Versions are negotiated by ALPN: this one is `trefoil/1`.
//!
//! # Links and connections
//!
//! All links to one address share one connection, which is closed when the last of them is hung up.
//! Streams of [`Class::Control`](trefoil_core::stream::Class::Control) are sent before others, and
//! bulk may use two thirds of what a connection may have under way: a heartbeat does not wait behind
//! it. Answers travel in the class of their method.
//!
//! UDP knows no refusal: a peer that is not there is
//! [`Lost`](trefoil_core::transport::LinkEvent::Lost) after the timeout of the dial, never `Refused`.
//! A peer that was started again with the same key says so itself, and its old connections are lost
//! within a round trip (nodes must not share a private key: one could then be asked for another's
//! goodbye); one that vanished, after
//! [`silence_max`](trefoil_core::limits::Limits::silence_max) and up to a third more. A link is up when
//! the peer has looked at this side's certificate and allows the first stream, so that nothing is ever
//! sent to somebody who does not trust this side: that is
//! [`Untrusted`](trefoil_core::transport::LinkEvent::Untrusted), and its reason is in words.
//!
//! Certificates that were reloaded count for connections made from then on; those that stand are not
//! cut.
//!
//! # Memory
//!
//! Of each stream: what [`Limits`](trefoil_core::limits::Limits) grants to send
//! (`stream_send_bytes_max`), one message that is being put together, and as much again as
//! `stream_receive_bytes_max` (64 KiB at least) that the peer has sent and nobody has read. A stream
//! whose frames are not taken is not read, so that its sender stops.
//!
//! Of each connection: up to four windows of a stream of what has arrived and was not read, and one
//! more for each stream that is left unread on purpose; up to two (three with control) of what was sent
//! and not acknowledged; about 50 bytes for each of
//! [`concurrent_streams_max`](QuicOptions::concurrent_streams_max). Of each socket: 13 MiB of address
//! space to receive into, of which bursts touch a part.
//!
//! A message that lies in one packet is not copied by us; one that does not is copied once, into memory
//! that grows as it arrives. Outgoing frames are written into blocks of 64 KiB that quinn sends from
//! and that are used again when acknowledged: up to 2 MiB are kept for that. An answer that is complete
//! but has not left is sent by a task, and given up when its reader does nothing for `silence_max`.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `ring` | yes | the cryptography of ring |
//! | `aws-lc-rs` | no | that of AWS-LC; with both, TLS uses this one |
//!
//! # Stable codes of errors
#![doc = include_str!("codes.md")]
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!(
    "trefoil-transport-quic needs a library for its cryptography: enable its feature `ring` (the default) or `aws-lc-rs`"
);

mod accept;
mod clock;
mod decode;
mod dial;
mod error;
mod frame;
mod goodbye;
mod inbox;
mod linger;
mod options;
mod peers;
mod queue;
mod quic;
mod reset;
mod server;
mod setup;
mod source;
mod stage;
mod stream;
mod trust;
mod wire;

pub use error::QuicError;
pub use options::{QuicOptions, Resolve};
pub use quic::Quic;
pub use quinn;
pub use server::Server;
