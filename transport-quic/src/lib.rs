//! QUIC as a carrier of Trefoil's streams.

#![forbid(unsafe_code)]

mod accept;
mod calls;
mod clock;
mod decode;
mod dial;
mod error;
mod frame;
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
mod stop;
mod stream;
mod table;
mod trust;
mod wire;

pub use error::QuicError;
pub use options::{QuicOptions, Resolve};
pub use quic::Quic;
pub use quinn;
pub use server::Server;
