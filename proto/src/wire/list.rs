//! Lists of strings, bytes and messages: read lazily, written from whatever holds the elements.

use core::fmt;
use core::marker::PhantomData;

use super::codec::{Item, Value};
use super::error::{DecodeError, Full};
use super::reader::{Reader, WIRE_LEN};
use super::varint::varint_len;
use super::writer::{Writer, put_varint};

/// Where in the message being merged a list began. Generated code keeps one for each list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start<'a>(Option<&'a [u8]>);

impl<'a> Start<'a> {
    /// Whether an element was seen in this piece of the message.
    #[inline]
    pub(crate) const fn is_begun(&self) -> bool {
        self.0.is_some()
    }

    /// The start, set to `before` if the list begins here. `Split` if an earlier piece of the
    /// same sub-message had elements already, for a span cannot reach over two messages.
    #[inline]
    pub(crate) fn or_begin(
        &mut self,
        before: Reader<'a>,
        blank: bool,
    ) -> Result<&'a [u8], DecodeError> {
        match self.0 {
            Some(start) => Ok(start),
            None if blank => {
                self.0 = Some(before.rest());
                Ok(before.rest())
            }
            None => Err(DecodeError::Split),
        }
    }
}

/// The part of `start` that was read when `rest` is left of it.
#[inline]
pub(crate) fn read_part<'a>(start: &'a [u8], rest: &[u8]) -> &'a [u8] {
    start
        .len()
        .checked_sub(rest.len())
        .and_then(|n| start.get(..n))
        .unwrap_or_default()
}

/// Set in `field` when other fields stand between the elements.
const SCATTERED: u32 = 1 << 31;

/// The bytes from the first element's tag to the end of the last one, well-formed when merged.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span<'a> {
    bytes: &'a [u8],
    /// The field number of the elements (at most 29 bits), and perhaps [`SCATTERED`].
    field: u32,
    count: u32,
}

impl<'a> Span<'a> {
    /// Takes in the element whose tag was just read, and those that follow it directly.
    #[inline]
    pub(crate) fn extend(
        &mut self,
        start: &mut Start<'a>,
        before: Reader<'a>,
        r: &mut Reader<'a>,
        tag: u32,
    ) -> Result<(), DecodeError> {
        let from = start.or_begin(before, self.count == 0)?;
        let joined = self.count == 0 || from.len() - self.bytes.len() == before.rest().len();
        r.bytes()?;
        let mut count = self.count + 1;
        if let Ok(byte @ 0..0x80) = u8::try_from(tag) {
            while r.next_is(byte) {
                r.bytes()?;
                count += 1;
            }
        }
        let scattered = if joined {
            self.field & SCATTERED
        } else {
            SCATTERED
        };
        *self = Self {
            bytes: read_part(from, r.rest()),
            field: (tag >> 3) | scattered,
            count,
        };
        Ok(())
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub(crate) fn bodies(&self) -> Bodies<'a> {
        Bodies {
            r: Reader::new(self.bytes),
            tag: ((self.field & !SCATTERED) << 3) | WIRE_LEN,
            left: self.count,
        }
    }

    /// The whole span, if it holds nothing but elements that already carry `tag`.
    #[inline]
    fn whole(&self, tag: u32) -> Option<&'a [u8]> {
        (self.field == tag >> 3 || self.count == 0).then_some(self.bytes)
    }

    pub(crate) fn encoded_len(&self, tag: u32) -> usize {
        if let Some(bytes) = self.whole(tag) {
            return bytes.len();
        }
        let head = varint_len(u64::from(tag));
        self.bodies()
            .map(|body| head + varint_len(body.len() as u64) + body.len())
            .sum()
    }

    /// Copies the elements as they are. A span with other things in it is measured and written
    /// forward, since nothing but a walk from its front finds the elements.
    #[inline]
    pub(crate) fn write(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        match self.whole(tag) {
            Some(bytes) => w.raw(bytes),
            None => self.write_forward(tag, w),
        }
    }

    #[cold]
    fn write_forward(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        let mut room = w.reserve(self.encoded_len(tag))?;
        for body in self.bodies() {
            room = put_varint(room, u64::from(tag));
            room = put_varint(room, body.len() as u64);
            let Some((place, rest)) = room.split_at_mut_checked(body.len()) else {
                return Err(Full);
            };
            place.copy_from_slice(body);
            room = rest;
        }
        Ok(())
    }
}

/// The encoded elements of a span. The span was walked when it was merged, so this cannot fail.
#[derive(Clone, Copy)]
pub(crate) struct Bodies<'a> {
    r: Reader<'a>,
    tag: u32,
    left: u32,
}

impl<'a> Iterator for Bodies<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        loop {
            let tag = self.r.tag().ok()?;
            if tag == self.tag {
                self.left -= 1;
                return self.r.bytes().ok();
            }
            self.r.skip(tag).ok()?;
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// A list as it was received: the elements are decoded when they are iterated.
#[derive(Clone, Copy)]
pub struct Repeated<'a, T> {
    span: Span<'a>,
    element: PhantomData<fn() -> T>,
}

impl<T> Default for Repeated<'_, T> {
    #[inline]
    fn default() -> Self {
        Self {
            span: Span::default(),
            element: PhantomData,
        }
    }
}

impl<'a, T> Repeated<'a, T> {
    /// The number of elements; known since the message was decoded.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.span.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in order.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> RepeatedIter<'a, T> {
        RepeatedIter {
            bodies: self.span.bodies(),
            element: PhantomData,
        }
    }

    /// Takes in the element whose tag `r` has just read; for generated code. `before` is the
    /// reader in front of the tag.
    #[doc(hidden)]
    #[inline]
    pub fn merge_run(
        &mut self,
        start: &mut Start<'a>,
        before: Reader<'a>,
        r: &mut Reader<'a>,
        tag: u32,
    ) -> Result<(), DecodeError> {
        self.span.extend(start, before, r, tag)
    }
}

impl<'a, T: Value<'a>> Repeated<'a, T> {
    /// Decodes every element once, and what is lazy inside of each.
    pub fn check(&self) -> Result<(), DecodeError> {
        for element in self {
            element?.check_value()?;
        }
        Ok(())
    }
}

impl<'a, T: Value<'a>> IntoIterator for Repeated<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = RepeatedIter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Value<'a>> IntoIterator for &Repeated<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = RepeatedIter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Value<'a> + PartialEq> PartialEq for Repeated<'a, T> {
    /// Equal elements in equal order, however they were encoded.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Value<'a> + fmt::Debug> fmt::Debug for Repeated<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The elements of a [`Repeated`]. An element that cannot be decoded is an `Err` in its place;
/// those behind it still follow.
pub struct RepeatedIter<'a, T> {
    bodies: Bodies<'a>,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for RepeatedIter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            bodies: self.bodies,
            element: PhantomData,
        }
    }
}

impl<T> fmt::Debug for RepeatedIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepeatedIter")
            .field("left", &self.bodies.left)
            .finish()
    }
}

impl<'a, T: Value<'a>> Iterator for RepeatedIter<'a, T> {
    type Item = Result<T, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let body = self.bodies.next()?;
        let mut element = T::default();
        Some(match element.merge_body(body) {
            Ok(()) => Ok(element),
            Err(error) => Err(error),
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.bodies.size_hint()
    }
}

impl<'a, T: Value<'a>> ExactSizeIterator for RepeatedIter<'a, T> {}

/// What a list of strings, bytes or messages can be encoded from: a slice, an array, a list as
/// it was received, or any iterator in [`Each`].
///
/// `K` is the [`Item::Kind`] of the elements.
pub trait List<K> {
    /// The length of all elements with their tags.
    fn list_len(&self, tag: u32) -> usize;

    /// Writes all elements with their tags.
    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full>;
}

impl<K, L: List<K> + ?Sized> List<K> for &L {
    #[inline]
    fn list_len(&self, tag: u32) -> usize {
        L::list_len(self, tag)
    }

    #[inline]
    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        L::write_list(self, tag, w)
    }
}

impl<K, T: Item<Kind = K>> List<K> for [T] {
    fn list_len(&self, tag: u32) -> usize {
        let head = varint_len(u64::from(tag));
        self.iter().fold(0, |n: usize, item| {
            n.saturating_add(head).saturating_add(item.item_len())
        })
    }

    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        for item in self.iter().rev() {
            item.write_item(w)?;
            w.tag(tag)?;
        }
        Ok(())
    }
}

impl<K, T: Item<Kind = K>, const N: usize> List<K> for [T; N] {
    fn list_len(&self, tag: u32) -> usize {
        self.as_slice().list_len(tag)
    }

    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.as_slice().write_list(tag, w)
    }
}

impl<K, T: Item<Kind = K>> List<K> for Repeated<'_, T> {
    #[inline]
    fn list_len(&self, tag: u32) -> usize {
        self.span.encoded_len(tag)
    }

    #[inline]
    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.span.write(tag, w)
    }
}

/// Encodes a list or map from an iterator: straight out of a table, with nothing collected.
///
/// The iterator is cloned and walked from its end for writing, and once more from its front when
/// the length is asked for, so that it must yield the same both times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Each<I>(pub I);

impl<K, I> List<K> for Each<I>
where
    I: Clone + DoubleEndedIterator,
    I::Item: Item<Kind = K>,
{
    fn list_len(&self, tag: u32) -> usize {
        let head = varint_len(u64::from(tag));
        let items = self.0.clone();
        items.fold(0, |n: usize, item| {
            n.saturating_add(head).saturating_add(item.item_len())
        })
    }

    fn write_list(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        for item in self.0.clone().rev() {
            item.write_item(w)?;
            w.tag(tag)?;
        }
        Ok(())
    }
}
