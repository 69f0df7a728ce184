//! The wire format itself: what the generated views and encoders are written with.
//!
//! Programs need the traits and lists, which the crate's root exports too; the rest is public
//! because code generated for other crates stands on it.
//!
//! # What a decoder accepts
//!
//! - Unknown fields of every wire type are skipped, groups too, if their ends match and they nest
//!   no deeper than [`GROUP_DEPTH_MAX`].
//! - A known field with a wire type it cannot have is an unknown field. (`prost` refuses it; C++
//!   and Go do as we do.) Lists of numbers may be packed, unpacked, or both in turn.
//! - Varints may be longer than need be, up to ten bytes; the tenth must be 0 or 1. Numbers of 32
//!   bits take the low bits. Any varint but 0 is `true`.
//! - `string` is UTF-8 or the message is refused. The one exemption is made by the generator:
//!   `milvus.proto.streaming.Message.properties` has `bytes` for values.
//! - Nothing is allocated, so no length that is claimed can make anything grow. Every length is
//!   compared with what is left, in 64 bits, before it is used.
//!
//! # Errors
//!
//! | code | meaning |
//! |---|---|
//! | `decode.truncated` | the input ends inside a value or group |
//! | `decode.varint-overflow` | a varint does not fit 64 bits |
//! | `decode.length` | a length reaches past the end |
//! | `decode.field-number` | field number 0 or above 2^29 − 1 |
//! | `decode.wire-type` | wire type 6 or 7 |
//! | `decode.end-group` | a group ends that was not begun, or in the wrong order |
//! | `decode.group-depth` | unknown groups nested too deep |
//! | `decode.utf8` | a string is not UTF-8 |
//! | `decode.split` | a list in several pieces of one sub-message |
//! | `decode.too-long` | more than 2 GiB − 1 |
//! | `encode.full` | the buffer is too small, or the message above 2 GiB − 1 |

mod codec;
mod error;
mod list;
mod map;
mod packed;
mod reader;
mod utf8;
mod varint;
mod writer;

pub use codec::{Decode, Encode, Item, Named, Scalar, Value, kind, prefixed_len};
pub use error::{DecodeError, Full, MESSAGE_BYTES_MAX};
pub use list::{Each, List, Repeated, RepeatedIter, Start};
pub use map::{Entries, Map, MapIter};
pub use packed::{Packed, PackedIter, PackedList, U64s};
pub use reader::{GROUP_DEPTH_MAX, Reader, WIRE_FIXED32, WIRE_FIXED64, WIRE_LEN, WIRE_VARINT};
pub use varint::{VARINT_BYTES_MAX, varint_len};
pub use writer::Writer;

/// The length of the varint of a `sint32`.
#[inline]
#[must_use]
pub const fn sint32_len(v: i32) -> usize {
    varint_len(writer::zigzag32(v) as u64)
}

/// The length of the varint of a `sint64`.
#[inline]
#[must_use]
pub const fn sint64_len(v: i64) -> usize {
    varint_len(writer::zigzag64(v))
}
