//! What a message can do, and what can stand in a list.

use super::error::{DecodeError, Full, MESSAGE_BYTES_MAX};
use super::reader::{Reader, WIRE_LEN, WIRE_VARINT};
use super::utf8;
use super::varint::varint_len;
use super::writer::Writer;

/// A view that borrows from the bytes it was decoded from.
///
/// Decoding allocates nothing and copies no payload. Lists and maps stay encoded until they are
/// iterated; [`check`](Decode::check) walks them once for those who want all errors at once.
pub trait Decode<'a>: Default {
    /// Reads fields into the view, by protobuf's rules of merging: the last scalar wins,
    /// sub-messages merge, lists grow. After an error the view is half filled.
    fn merge(&mut self, r: Reader<'a>) -> Result<(), DecodeError>;

    /// Resets the view and reads `buf` into it, in place: the fast way. After an error the view
    /// is the default message.
    #[inline]
    fn decode(&mut self, buf: &'a [u8]) -> Result<(), DecodeError> {
        *self = Self::default();
        if buf.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        let done = self.merge(Reader::new(buf));
        if done.is_err() {
            *self = Self::default();
        }
        done
    }

    /// Reads `buf` into a new view. Some 10 ns dearer than [`decode`](Decode::decode), because
    /// the view is moved.
    #[inline]
    fn parse(buf: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        view.decode(buf)?;
        Ok(view)
    }

    /// Walks every list and map inside; afterwards none of their iterators can fail. Linear in
    /// the length of the message.
    #[inline]
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// A message that can be written.
///
/// Encoders write fields in the order of their numbers, leave out what proto3 leaves out
/// (scalars, strings and bytes at their default without `optional`), and never panic.
pub trait Encode {
    /// The exact length of what [`encode`](Encode::encode) writes.
    ///
    /// A transport needs it to reserve room; encoding itself does not.
    fn encoded_len(&self) -> usize;

    /// Writes the message in front of what the writer holds.
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full>;

    /// Writes the message to the front of `buf` and returns its length.
    ///
    /// A `buf` of exactly [`encoded_len`](Encode::encoded_len) bytes is filled in one pass; in a
    /// longer one the message is moved once to the front.
    fn encode_to_slice(&self, buf: &mut [u8]) -> Result<usize, Full> {
        let mut w = Writer::new(buf);
        self.encode(&mut w)?;
        let written = w.len();
        let at = buf.len() - written;
        if at > 0 {
            buf.copy_within(at.., 0);
        }
        Ok(written)
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encoded_len(&self) -> usize {
        T::encoded_len(self)
    }

    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        T::encode(self, w)
    }
}

/// The identity of a message, whatever its lists are encoded from.
pub trait Named {
    /// The full name, such as `control_plane_messages.ApplyRequest`. A type URL is
    /// `type.googleapis.com/` followed by it.
    const NAME: &'static str;

    /// The form a decoder returns. It stands for the message in the bounds of [`List`] and
    /// [`Entries`], so that a list of one message cannot be encoded as a list of another.
    ///
    /// [`List`]: super::List
    /// [`Entries`]: super::Entries
    type View;
}

impl<T: Named + ?Sized> Named for &T {
    const NAME: &'static str = T::NAME;
    type View = T::View;
}

/// The kinds of list elements that are neither messages nor scalars.
pub mod kind {
    /// `string`.
    #[derive(Debug)]
    pub enum Text {}
    /// `bytes`.
    #[derive(Debug)]
    pub enum Blob {}
}

/// What can be read as an element of a list, or as key or value of a map.
pub trait Value<'a>: Default {
    /// The wire type it has.
    const WIRE: u32;

    /// Reads one value; messages merge into what is there.
    fn merge_value(&mut self, r: &mut Reader<'a>) -> Result<(), DecodeError>;

    /// Reads the value from all of `body`, its length prefix being gone.
    fn merge_body(&mut self, body: &'a [u8]) -> Result<(), DecodeError>;

    /// Walks what is lazy inside.
    #[inline]
    fn check_value(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl<'a> Value<'a> for &'a str {
    const WIRE: u32 = WIRE_LEN;

    #[inline]
    fn merge_value(&mut self, r: &mut Reader<'a>) -> Result<(), DecodeError> {
        *self = r.string()?;
        Ok(())
    }

    #[inline]
    fn merge_body(&mut self, body: &'a [u8]) -> Result<(), DecodeError> {
        *self = utf8::check(body)?;
        Ok(())
    }
}

impl<'a> Value<'a> for &'a [u8] {
    const WIRE: u32 = WIRE_LEN;

    #[inline]
    fn merge_value(&mut self, r: &mut Reader<'a>) -> Result<(), DecodeError> {
        *self = r.bytes()?;
        Ok(())
    }

    #[inline]
    fn merge_body(&mut self, body: &'a [u8]) -> Result<(), DecodeError> {
        *self = body;
        Ok(())
    }
}

impl<'a, T: Decode<'a>> Value<'a> for T {
    const WIRE: u32 = WIRE_LEN;

    #[inline]
    fn merge_value(&mut self, r: &mut Reader<'a>) -> Result<(), DecodeError> {
        self.merge(r.message()?)
    }

    #[inline]
    fn merge_body(&mut self, body: &'a [u8]) -> Result<(), DecodeError> {
        self.merge(Reader::new(body))
    }

    #[inline]
    fn check_value(&self) -> Result<(), DecodeError> {
        self.check()
    }
}

/// What can be written as an element of a list, or as key or value of a map.
///
/// Strings, byte slices, scalars, all messages, and references to them.
pub trait Item {
    /// What it is: a scalar itself, [`kind::Text`], [`kind::Blob`], or a message's
    /// [`Named::View`].
    type Kind;

    /// The wire type it has.
    const WIRE: u32;

    /// The length of the value, with its length prefix if it has one.
    fn item_len(&self) -> usize;

    /// Writes the value, with its length prefix if it has one, without a tag.
    fn write_item(&self, w: &mut Writer<'_>) -> Result<(), Full>;

    /// Whether it is the default, which map entries leave out.
    fn is_default(&self) -> bool;
}

/// The length of a length prefix and what follows it.
#[inline]
#[must_use]
pub const fn prefixed_len(len: usize) -> usize {
    len.saturating_add(varint_len(len as u64))
}

macro_rules! text_items {
    ($($type:ty => $kind:ty, $bytes:expr;)*) => {$(
        impl Item for $type {
            type Kind = $kind;
            const WIRE: u32 = WIRE_LEN;

            #[inline]
            fn item_len(&self) -> usize {
                prefixed_len(self.len())
            }

            #[inline]
            fn write_item(&self, w: &mut Writer<'_>) -> Result<(), Full> {
                w.raw($bytes(self))?;
                w.varint(self.len() as u64)
            }

            #[inline]
            fn is_default(&self) -> bool {
                self.is_empty()
            }
        }
    )*};
}

text_items! {
    &str => kind::Text, str::as_bytes;
    &&str => kind::Text, str::as_bytes;
    &[u8] => kind::Blob, core::convert::identity;
    &&[u8] => kind::Blob, core::convert::identity;
}

impl<T: Encode + Named> Item for T {
    type Kind = T::View;
    const WIRE: u32 = WIRE_LEN;

    #[inline]
    fn item_len(&self) -> usize {
        prefixed_len(self.encoded_len())
    }

    #[inline]
    fn write_item(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        let before = w.len();
        self.encode(w)?;
        w.varint((w.len() - before) as u64)
    }

    #[inline]
    fn is_default(&self) -> bool {
        self.encoded_len() == 0
    }
}

/// A number that travels as a varint: what packed lists are made of.
pub trait Scalar: Copy + Default + PartialEq {
    /// From the 64 bits of the varint; what does not fit is cut off.
    fn from_wire(v: u64) -> Self;

    /// To the 64 bits of the varint; negative numbers are extended.
    fn to_wire(self) -> u64;
}

macro_rules! scalars {
    ($($type:ty: $from:expr, $to:expr;)*) => {$(
        impl Scalar for $type {
            #[inline]
            fn from_wire(v: u64) -> Self {
                $from(v)
            }

            #[inline]
            fn to_wire(self) -> u64 {
                $to(self)
            }
        }

        impl Value<'_> for $type {
            const WIRE: u32 = WIRE_VARINT;

            #[inline]
            fn merge_value(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
                *self = Self::from_wire(r.varint()?);
                Ok(())
            }

            #[inline]
            fn merge_body(&mut self, body: &[u8]) -> Result<(), DecodeError> {
                self.merge_value(&mut Reader::new(body))
            }
        }

        impl Item for $type {
            type Kind = Self;
            const WIRE: u32 = WIRE_VARINT;

            #[inline]
            fn item_len(&self) -> usize {
                varint_len(self.to_wire())
            }

            #[inline]
            fn write_item(&self, w: &mut Writer<'_>) -> Result<(), Full> {
                w.varint(self.to_wire())
            }

            #[inline]
            fn is_default(&self) -> bool {
                self.to_wire() == 0
            }
        }
    )*};
}

scalars! {
    u64: |v| v, |v| v;
    i64: |v| v as i64, |v| v as u64;
    u32: |v| v as u32, u64::from;
    i32: |v| v as i32, |v| i64::from(v) as u64;
    bool: |v| v != 0, u64::from;
}
