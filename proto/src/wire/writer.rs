//! The writer: it fills a slice from its end to its front.
//!
//! Writing backward, the length of a sub-message is known by the time its prefix is written, so
//! that no pass over the message has to measure it first.

use super::codec::Encode;
use super::error::{Full, MESSAGE_BYTES_MAX};
use super::varint::{spread, varint_len};

/// Writes one message, last field first, into the tail of a slice.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    /// Everything from here on is written.
    at: usize,
}

impl<'b> Writer<'b> {
    /// A writer that may use the whole of `buf`, or its last [`MESSAGE_BYTES_MAX`] bytes.
    #[inline]
    #[must_use]
    pub fn new(buf: &'b mut [u8]) -> Self {
        let buf = match buf.len().checked_sub(MESSAGE_BYTES_MAX) {
            Some(surplus) => buf.split_at_mut(surplus).1,
            None => buf,
        };
        let at = buf.len();
        Self { buf, at }
    }

    /// How many bytes are written.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Whether nothing is written.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at == self.buf.len()
    }

    /// How many bytes are free.
    #[inline]
    #[must_use]
    pub const fn free(&self) -> usize {
        self.at
    }

    /// What was written, at the tail of the buffer.
    #[inline]
    #[must_use]
    pub fn finish(self) -> &'b [u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }

    /// Puts a header, such as a transport's length prefix, in front of what was written.
    #[inline]
    pub fn prefix(&mut self, header: &[u8]) -> Result<(), Full> {
        self.raw(header)
    }

    /// The next `n` bytes toward the front, to be filled by the caller in any order.
    #[inline]
    pub fn reserve(&mut self, n: usize) -> Result<&mut [u8], Full> {
        let Some(at) = self.at.checked_sub(n) else {
            return Err(Full);
        };
        let Some(room) = self.buf.get_mut(at..self.at) else {
            return Err(Full);
        };
        self.at = at;
        Ok(room)
    }

    /// Copies `bytes` as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Full> {
        copy(self.reserve(bytes.len())?, bytes);
        Ok(())
    }

    /// One varint.
    #[inline]
    pub fn varint(&mut self, v: u64) -> Result<(), Full> {
        if v < 0x80 {
            return self.byte(v as u8);
        }
        self.varint_wide(v)
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), Full> {
        let Some(at) = self.at.checked_sub(1) else {
            return Err(Full);
        };
        let Some(place) = self.buf.get_mut(at) else {
            return Err(Full);
        };
        *place = byte;
        self.at = at;
        Ok(())
    }

    /// A varint of any length, eight bytes at once. The bytes in front of it are free, so it may
    /// scribble on them.
    #[inline]
    pub(crate) fn varint_wide(&mut self, v: u64) -> Result<(), Full> {
        let n = varint_len(v);
        if n > 8 {
            return self.varint_longest(v, n);
        }
        let Some(window) = self
            .buf
            .get_mut(..self.at)
            .and_then(<[u8]>::last_chunk_mut::<8>)
        else {
            return self.varint_narrow(v, n);
        };
        // The continuation bits of the first n - 1 bytes, then everything to the right end.
        let more = 0x8080_8080_8080_8080 & ((1u64 << (8 * (n - 1))) - 1);
        *window = ((spread(v) | more) << (64 - 8 * n)).to_le_bytes();
        self.at -= n;
        Ok(())
    }

    fn varint_longest(&mut self, v: u64, n: usize) -> Result<(), Full> {
        let room = self.reserve(n)?;
        if let Some((low, high)) = room.split_first_chunk_mut::<8>() {
            *low = (spread(v) | 0x8080_8080_8080_8080).to_le_bytes();
            match high {
                [ninth] => *ninth = (v >> 56) as u8,
                [ninth, tenth] => {
                    *ninth = (v >> 56) as u8 | 0x80;
                    *tenth = (v >> 63) as u8;
                }
                _ => {}
            }
        }
        Ok(())
    }

    #[cold]
    fn varint_narrow(&mut self, v: u64, n: usize) -> Result<(), Full> {
        put_varint(self.reserve(n)?, v);
        Ok(())
    }

    /// A tag.
    #[inline]
    pub fn tag(&mut self, tag: u32) -> Result<(), Full> {
        self.varint(u64::from(tag))
    }

    /// A tag and a length, in front of what is already written.
    #[inline]
    pub fn head(&mut self, tag: u32, len: usize) -> Result<(), Full> {
        if tag < 0x80 && len < 0x80 {
            copy(self.reserve(2)?, &[tag as u8, len as u8]);
            return Ok(());
        }
        self.varint(len as u64)?;
        self.tag(tag)
    }

    /// A field of bytes or of a string's bytes.
    #[inline]
    pub fn bytes(&mut self, tag: u32, bytes: &[u8]) -> Result<(), Full> {
        self.raw(bytes)?;
        self.head(tag, bytes.len())
    }

    /// A field of a string.
    #[inline]
    pub fn string(&mut self, tag: u32, text: &str) -> Result<(), Full> {
        self.bytes(tag, text.as_bytes())
    }

    /// A field of a message, written even if the message is empty.
    #[inline]
    pub fn message<M: Encode + ?Sized>(&mut self, tag: u32, message: &M) -> Result<(), Full> {
        let end = self.at;
        message.encode(self)?;
        self.head(tag, end - self.at)
    }

    /// `uint64`.
    #[inline]
    pub fn uint64(&mut self, tag: u32, v: u64) -> Result<(), Full> {
        self.varint(v)?;
        self.tag(tag)
    }

    /// `int64`: negative numbers take ten bytes.
    #[inline]
    pub fn int64(&mut self, tag: u32, v: i64) -> Result<(), Full> {
        self.uint64(tag, v as u64)
    }

    /// `uint32`.
    #[inline]
    pub fn uint32(&mut self, tag: u32, v: u32) -> Result<(), Full> {
        self.uint64(tag, u64::from(v))
    }

    /// `int32` and enums: negative numbers take ten bytes.
    #[inline]
    pub fn int32(&mut self, tag: u32, v: i32) -> Result<(), Full> {
        self.uint64(tag, i64::from(v) as u64)
    }

    /// `bool`.
    #[inline]
    pub fn bool(&mut self, tag: u32, v: bool) -> Result<(), Full> {
        self.uint64(tag, u64::from(v))
    }

    /// `sint32`.
    #[inline]
    pub fn sint32(&mut self, tag: u32, v: i32) -> Result<(), Full> {
        self.uint64(tag, u64::from(zigzag32(v)))
    }

    /// `sint64`.
    #[inline]
    pub fn sint64(&mut self, tag: u32, v: i64) -> Result<(), Full> {
        self.uint64(tag, zigzag64(v))
    }

    /// `fixed32`.
    #[inline]
    pub fn fixed32(&mut self, tag: u32, v: u32) -> Result<(), Full> {
        self.raw(&v.to_le_bytes())?;
        self.tag(tag)
    }

    /// `fixed64`.
    #[inline]
    pub fn fixed64(&mut self, tag: u32, v: u64) -> Result<(), Full> {
        self.raw(&v.to_le_bytes())?;
        self.tag(tag)
    }

    /// `sfixed32`.
    #[inline]
    pub fn sfixed32(&mut self, tag: u32, v: i32) -> Result<(), Full> {
        self.fixed32(tag, v as u32)
    }

    /// `sfixed64`.
    #[inline]
    pub fn sfixed64(&mut self, tag: u32, v: i64) -> Result<(), Full> {
        self.fixed64(tag, v as u64)
    }

    /// `float`.
    #[inline]
    pub fn float(&mut self, tag: u32, v: f32) -> Result<(), Full> {
        self.fixed32(tag, v.to_bits())
    }

    /// `double`.
    #[inline]
    pub fn double(&mut self, tag: u32, v: f64) -> Result<(), Full> {
        self.fixed64(tag, v.to_bits())
    }
}

/// The wire form of a `sint32`.
#[inline]
pub(crate) const fn zigzag32(v: i32) -> u32 {
    ((v << 1) ^ (v >> 31)) as u32
}

/// The wire form of a `sint64`.
#[inline]
pub(crate) const fn zigzag64(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// Writes a varint forward to the front of `room`; returns what is behind it. `room` must have
/// been measured; if it is too short the varint is cut, which no caller lets happen.
pub(crate) fn put_varint(mut room: &mut [u8], mut v: u64) -> &mut [u8] {
    loop {
        let Some((place, rest)) = room.split_first_mut() else {
            return &mut [];
        };
        room = rest;
        if v < 0x80 {
            *place = v as u8;
            return room;
        }
        *place = v as u8 | 0x80;
        v >>= 7;
    }
}

/// Copies slices of equal length, short ones by two overlapping moves instead of a call.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    let n = from.len();
    if n > 32 || to.len() != n {
        let n = n.min(to.len());
        to[..n].copy_from_slice(&from[..n]);
    } else if n >= 16 {
        to[..16].copy_from_slice(&from[..16]);
        to[n - 16..].copy_from_slice(&from[n - 16..]);
    } else if n >= 8 {
        to[..8].copy_from_slice(&from[..8]);
        to[n - 8..].copy_from_slice(&from[n - 8..]);
    } else if n >= 4 {
        to[..4].copy_from_slice(&from[..4]);
        to[n - 4..].copy_from_slice(&from[n - 4..]);
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;

    #[test]
    fn varints_of_every_width_with_and_without_room_in_front() {
        for bit in 0..64 {
            for v in [1u64 << bit, u64::MAX >> bit] {
                for room in 0..=24 {
                    let mut buf = [0xee; 24];
                    let mut w = Writer::new(&mut buf[..room]);
                    if w.varint(v).is_err() {
                        assert!(room < varint_len(v));
                        continue;
                    }
                    let mut r = Reader::new(w.finish());
                    assert_eq!(r.varint(), Ok(v));
                    assert!(r.is_empty());
                }
            }
        }
    }

    #[test]
    fn copies_of_every_length() {
        let from: [u8; 70] = core::array::from_fn(|i| i as u8);
        for n in 0..=70 {
            let mut to = [0xee; 70];
            copy(&mut to[..n], &from[..n]);
            assert_eq!(to[..n], from[..n]);
            assert!(to[n..].iter().all(|b| *b == 0xee));
        }
    }
}
