//! The reader: a slice that gets shorter.

use super::error::DecodeError;
use super::utf8;
use super::varint;

/// How deep unknown groups may nest before the input is refused.
pub const GROUP_DEPTH_MAX: usize = 100;

/// Wire type of varints.
pub const WIRE_VARINT: u32 = 0;
/// Wire type of eight bytes.
pub const WIRE_FIXED64: u32 = 1;
/// Wire type of a length and that many bytes.
pub const WIRE_LEN: u32 = 2;
const WIRE_GROUP: u32 = 3;
const WIRE_END_GROUP: u32 = 4;
/// Wire type of four bytes.
pub const WIRE_FIXED32: u32 = 5;

/// Reads the fields of one message from a slice. Copying it is how a position is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of the whole of `bytes`.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all has been read.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A varint of up to ten bytes; its tenth byte must be 0 or 1.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest {
            [first @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            _ => self.varint_long(),
        }
    }

    #[inline(never)]
    fn varint_long(&mut self) -> Result<u64, DecodeError> {
        let (value, n) = varint::read(self.rest)?;
        self.rest = self.rest.get(n..).unwrap_or_default();
        Ok(value)
    }

    /// A varint without the guess that it has one byte, for lists where it mostly has not.
    #[inline]
    pub(crate) fn varint_wide(&mut self) -> Result<u64, DecodeError> {
        let (value, n) = varint::read(self.rest)?;
        self.rest = self.rest.get(n..).unwrap_or_default();
        Ok(value)
    }

    /// The tag of the next field: its number times 8 plus its wire type.
    #[inline]
    pub fn tag(&mut self) -> Result<u32, DecodeError> {
        let tag = self.varint()?;
        // One comparison for both rules: 8 ..= u32::MAX.
        if tag.wrapping_sub(8) > u64::from(u32::MAX - 8) {
            return Err(DecodeError::FieldNumber);
        }
        Ok(tag as u32)
    }

    /// A length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        // Compared in 64 bits before any cast: on a 32-bit target 2^32 + 1 must not become 1.
        if len > self.rest.len() as u64 {
            return Err(DecodeError::Length);
        }
        let Some((bytes, rest)) = self.rest.split_at_checked(len as usize) else {
            return Err(DecodeError::Length);
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// A length and that many bytes of UTF-8.
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        utf8::check(self.bytes()?)
    }

    /// A length and a message of that many bytes.
    #[inline]
    pub fn message(&mut self) -> Result<Self, DecodeError> {
        Ok(Self::new(self.bytes()?))
    }

    /// `uint64`.
    #[inline]
    pub fn uint64(&mut self) -> Result<u64, DecodeError> {
        self.varint()
    }

    /// `int64`.
    #[inline]
    pub fn int64(&mut self) -> Result<i64, DecodeError> {
        Ok(self.varint()? as i64)
    }

    /// `uint32`: the low 32 bits of the varint.
    #[inline]
    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.varint()? as u32)
    }

    /// `int32` and enums: the low 32 bits of the varint.
    #[inline]
    pub fn int32(&mut self) -> Result<i32, DecodeError> {
        Ok(self.varint()? as i32)
    }

    /// `bool`: any varint but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.varint()? != 0)
    }

    /// `sint32`.
    #[inline]
    pub fn sint32(&mut self) -> Result<i32, DecodeError> {
        let v = self.uint32()?;
        Ok((v >> 1) as i32 ^ -((v & 1) as i32))
    }

    /// `sint64`.
    #[inline]
    pub fn sint64(&mut self) -> Result<i64, DecodeError> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// `fixed32`.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    /// `fixed64`.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// `sfixed32`.
    #[inline]
    pub fn sfixed32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    /// `sfixed64`.
    #[inline]
    pub fn sfixed64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    /// `float`.
    #[inline]
    pub fn float(&mut self) -> Result<f32, DecodeError> {
        Ok(f32::from_le_bytes(self.take()?))
    }

    /// `double`.
    #[inline]
    pub fn double(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.take()?))
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(DecodeError::Truncated);
        };
        self.rest = rest;
        Ok(*bytes)
    }

    /// Whether the next byte is `byte`; if so it is read.
    #[inline]
    pub(crate) fn next_is(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Skips the value behind a tag that means nothing to the message: an unknown field, or a
    /// known one with a wire type it cannot have.
    #[inline(never)]
    pub fn skip(&mut self, tag: u32) -> Result<(), DecodeError> {
        match tag & 7 {
            WIRE_VARINT => {
                self.varint()?;
            }
            WIRE_FIXED64 => {
                self.take::<8>()?;
            }
            WIRE_LEN => {
                self.bytes()?;
            }
            WIRE_GROUP => self.skip_group(tag)?,
            WIRE_END_GROUP => return Err(DecodeError::EndGroup),
            WIRE_FIXED32 => {
                self.take::<4>()?;
            }
            _ => return Err(DecodeError::WireType),
        }
        Ok(())
    }

    /// Skips to the end of the group begun by `tag`. A stack of its own instead of recursion:
    /// the depth is the sender's to choose.
    #[cold]
    fn skip_group(&mut self, tag: u32) -> Result<(), DecodeError> {
        let mut ends = [0u32; GROUP_DEPTH_MAX];
        ends[0] = tag + 1;
        let mut depth = 1;
        while depth > 0 {
            let tag = self.tag()?;
            match tag & 7 {
                WIRE_GROUP => {
                    let Some(end) = ends.get_mut(depth) else {
                        return Err(DecodeError::GroupDepth);
                    };
                    *end = tag + 1;
                    depth += 1;
                }
                WIRE_END_GROUP => {
                    if ends[depth - 1] != tag {
                        return Err(DecodeError::EndGroup);
                    }
                    depth -= 1;
                }
                _ => self.skip(tag)?,
            }
        }
        Ok(())
    }
}
