//! The three wire protocols of Trefoil, and its operator's interface.
//!
//! Every message is a plain struct that borrows: decoding allocates nothing, copies no payload
//! and leaves lists and maps encoded until they are iterated. The same structs encode, into a
//! slice that the caller lends. The crate needs `core` alone.
//!
//! # Decoding
//!
//! ```
//! use trefoil_proto::cache::{CacheRequest, CacheRequestMethod};
//! use trefoil_proto::{Decode, DecodeError};
//!
//! fn key(frame: &[u8]) -> Result<Option<&str>, DecodeError> {
//!     // In place is the fast way; `CacheRequest::parse(frame)` returns the view instead.
//!     let mut request = CacheRequest::default();
//!     request.decode(frame)?;
//!     Ok(match request.method {
//!         Some(CacheRequestMethod::Put(put)) => Some(put.entry),
//!         Some(CacheRequestMethod::Get(get)) => Some(get.entry),
//!         _ => None,
//!     })
//! }
//!
//! let frame = [0x0a, 0x07, 0x0a, 0x01, b'c', 0x12, 0x02, b'i', b'd'];
//! assert_eq!(key(&frame), Ok(Some("id")));
//! ```
//!
//! Lists and maps yield `Result`s, because their elements are decoded only then; after a
//! [`check`](Decode::check) of the message none of them is an `Err`.
//!
//! # Encoding
//!
//! Fields of lists and maps are generic. What a decoder returns is the default; to encode, put in
//! a slice, an array, a list that was received, or an iterator inside of [`Each`].
//!
//! ```
//! use trefoil_proto::control_plane::OwnershipAnnounce;
//! use trefoil_proto::{Decode, Each, Encode};
//!
//! let announce = OwnershipAnnounce { host: "a", ids: Each((1..4u64).map(|n| n * n)) };
//! let mut frame = [0; 32];
//! let frame = &mut frame[..announce.encoded_len()];
//! announce.encode_to_slice(frame)?;
//!
//! let view = OwnershipAnnounce::parse(frame).unwrap();
//! assert_eq!(view.ids.iter().collect::<Result<Vec<_>, _>>(), Ok(vec![1, 4, 9]));
//! # Ok::<(), trefoil_proto::Full>(())
//! ```
//!
//! Where nothing tells the compiler what a list is encoded from, as in a `ProduceRequest` that
//! closes, name the default: `let request: ProduceRequest<'_> = ..`.
//!
//! # Names
//!
//! - A message has the name it has in protobuf; fields are in snake case, keywords escaped.
//! - The members of a oneof `method` of `CacheRequest` are the enum `CacheRequestMethod`.
//! - Sub-messages and `optional` fields are `Option`s, everything else is the default if missing.
//! - Enums are open: a struct around the number, with constants.
//! - A message with a list parameter and no borrowed field has no lifetime of its own; what a
//!   decoder returns for `ApplyRequest` is called `ApplyRequestView<'a>` where a type is needed.
//!
//! # Features
//!
//! - `prost`: owned types and their codec in the module `owned`. Needs an allocator.
//! - `descriptors`: `FILE_DESCRIPTOR_SET` in each module with services, for gRPC reflection.
//!
//! What decoders accept, and the codes of errors, are listed in [`wire`].

#![no_std]

pub mod wire;

mod generated;
#[cfg(feature = "prost")]
pub mod owned;

pub use generated::{
    admin, cache, channels, common, control_plane, google, milvus, rpc, streaming, v2024_08,
};
pub use wire::{
    Decode, DecodeError, Each, Encode, Full, Map, Named, Packed, Reader, Repeated, U64s, Writer,
};

/// A remote procedure: what a transport needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodDescriptor {
    /// As in the request line of gRPC: `/control_plane_messages.ControlPlane/Ping`.
    pub path: &'static str,
    /// Whether the client may send more than one message.
    pub client_streaming: bool,
    /// Whether the server may send more than one message.
    pub server_streaming: bool,
}
