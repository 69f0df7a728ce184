//! What can go wrong on the wire, with codes that never change.

use core::fmt;

/// The longest message the format allows: 2 GiB − 1.
///
/// Longer inputs are refused, and no encoder produces one.
pub const MESSAGE_BYTES_MAX: usize = 0x7fff_ffff;

/// Why bytes are not a message. The fault is always the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a varint, a fixed-width number or a group.
    Truncated,
    /// A varint does not fit 64 bits: its tenth byte is above 1.
    VarintOverflow,
    /// A length reaches past the end of what encloses it.
    Length,
    /// Field number 0, or above 2^29 − 1.
    FieldNumber,
    /// Wire type 6 or 7.
    WireType,
    /// The end of a group that was never begun, or that is not the one begun last.
    EndGroup,
    /// Unknown groups nested deeper than [`GROUP_DEPTH_MAX`](crate::wire::GROUP_DEPTH_MAX).
    GroupDepth,
    /// A `string` that is not UTF-8.
    Utf8,
    /// A list inside a singular sub-message which itself came in several pieces, more than one of
    /// them with elements. The format allows it, no known encoder writes it, and a view that
    /// borrows cannot join the pieces; the owned types of the feature `prost` can.
    Split,
    /// The input is longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
}

impl DecodeError {
    /// A code for logs and counters that stays the same for ever.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "decode.truncated",
            Self::VarintOverflow => "decode.varint-overflow",
            Self::Length => "decode.length",
            Self::FieldNumber => "decode.field-number",
            Self::WireType => "decode.wire-type",
            Self::EndGroup => "decode.end-group",
            Self::GroupDepth => "decode.group-depth",
            Self::Utf8 => "decode.utf8",
            Self::Split => "decode.split",
            Self::TooLong => "decode.too-long",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the input ends inside a value",
            Self::VarintOverflow => "a varint does not fit 64 bits",
            Self::Length => "a length reaches past the end of the input",
            Self::FieldNumber => "a field number is 0 or above 2^29 - 1",
            Self::WireType => "wire types 6 and 7 do not exist",
            Self::EndGroup => "a group ends that was not begun",
            Self::GroupDepth => "unknown groups are nested too deep",
            Self::Utf8 => "a string is not UTF-8",
            Self::Split => "a list is spread over several pieces of one sub-message",
            Self::TooLong => "the message is longer than 2 GiB - 1",
        })
    }
}

impl core::error::Error for DecodeError {}

/// The buffer is too small for the message, or the message is longer than [`MESSAGE_BYTES_MAX`].
///
/// The buffer may hold rubbish afterwards; nothing else happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Full;

impl Full {
    /// A code for logs and counters that stays the same for ever.
    #[must_use]
    pub const fn code(self) -> &'static str {
        "encode.full"
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not fit the buffer")
    }
}

impl core::error::Error for Full {}
