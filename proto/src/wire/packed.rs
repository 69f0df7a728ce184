//! Lists of numbers.

use core::borrow::Borrow;
use core::fmt;
use core::marker::PhantomData;

use super::codec::Scalar;
use super::error::{DecodeError, Full};
use super::list::{Each, Start, read_part};
use super::reader::{Reader, WIRE_LEN, WIRE_VARINT};
use super::varint::{VARINT_BYTES_MAX, read_wide, varint_len};
use super::writer::{Writer, put_varint};

/// A list of `uint64` as it was received.
pub type U64s<'a> = Packed<'a, u64>;

/// A list of numbers as it was received: they are decoded when they are iterated.
///
/// Numbers may have come packed, one by one, or both in turn; the usual single packed run is
/// kept as the bytes it is.
#[derive(Clone, Copy)]
pub struct Packed<'a, T> {
    /// The packed run, or the fields of the message from the first element to the last.
    bytes: &'a [u8],
    /// 0 for a packed run, otherwise the number of the field to look for.
    field: u32,
    element: PhantomData<fn() -> T>,
}

impl<T> Default for Packed<'_, T> {
    #[inline]
    fn default() -> Self {
        Self {
            bytes: &[],
            field: 0,
            element: PhantomData,
        }
    }
}

impl<'a, T> Packed<'a, T> {
    /// Whether there are no elements. Quick, unless they came in several runs.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        if self.field == 0 {
            self.bytes.is_empty()
        } else {
            self.len() == 0
        }
    }

    /// The number of elements: the bytes without a continuation bit. Linear in the encoded
    /// length, at some 16 bytes a cycle.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.field == 0 {
            return count_stops(self.bytes);
        }
        let mut runs = Runs {
            rest: Reader::new(self.bytes),
            field: self.field,
        };
        core::iter::from_fn(|| runs.next_run())
            .map(|run| count_stops(run.rest()))
            .sum()
    }

    /// The packed run, to be forwarded unread; `None` if the list came in several runs or
    /// unpacked.
    #[inline]
    #[must_use]
    pub const fn raw(&self) -> Option<&'a [u8]> {
        if self.field == 0 {
            Some(self.bytes)
        } else {
            None
        }
    }

    /// A list over a packed run, as [`raw`](Packed::raw) returned it. What is wrong with it is
    /// found by [`check`](Packed::check) or by iterating.
    #[inline]
    #[must_use]
    pub const fn from_raw(run: &'a [u8]) -> Self {
        Self {
            bytes: run,
            field: 0,
            element: PhantomData,
        }
    }

    /// Takes in a packed run; for generated code.
    #[doc(hidden)]
    #[inline]
    pub fn merge_packed(
        &mut self,
        start: &mut Start<'a>,
        before: Reader<'a>,
        r: &mut Reader<'a>,
        tag: u32,
    ) -> Result<(), DecodeError> {
        let run = r.bytes()?;
        if run.last().is_some_and(|last| *last >= 0x80) {
            return Err(DecodeError::Truncated);
        }
        if start.is_begun() {
            return self.merge_more(start, before, r, tag);
        }
        start.or_begin(before, self.bytes.is_empty())?;
        *self = Self::from_raw(run);
        Ok(())
    }

    /// Takes in a number that came by itself; for generated code.
    #[doc(hidden)]
    pub fn merge_unpacked(
        &mut self,
        start: &mut Start<'a>,
        before: Reader<'a>,
        r: &mut Reader<'a>,
        tag: u32,
    ) -> Result<(), DecodeError> {
        r.varint()?;
        self.merge_more(start, before, r, tag)
    }

    #[cold]
    fn merge_more(
        &mut self,
        start: &mut Start<'a>,
        before: Reader<'a>,
        r: &Reader<'a>,
        tag: u32,
    ) -> Result<(), DecodeError> {
        let from = start.or_begin(before, self.bytes.is_empty())?;
        self.bytes = read_part(from, r.rest());
        self.field = tag >> 3;
        Ok(())
    }
}

impl<'a, T: Scalar> Packed<'a, T> {
    /// The elements in order. The first error ends the iteration.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> PackedIter<'a, T> {
        let all = Reader::new(self.bytes);
        let none = Reader::new(&[]);
        let (run, rest) = if self.field == 0 {
            (all, none)
        } else {
            (none, all)
        };
        PackedIter {
            run,
            runs: Runs {
                rest,
                field: self.field,
            },
            element: PhantomData,
        }
    }

    /// Decodes into `out` until the list ends or `out` is full; returns how many were written.
    pub fn fill(&self, out: &mut [T]) -> Result<usize, DecodeError> {
        let mut all = self.iter();
        let mut n = 0;
        // The bulk of a packed run: no element can reach past ten bytes.
        while let (Some(place), Some(wide)) = (
            out.get_mut(n),
            all.run.rest().first_chunk::<VARINT_BYTES_MAX>(),
        ) {
            let (value, len) = read_wide(wide)?;
            *place = T::from_wire(value);
            n += 1;
            all.run = Reader::new(all.run.rest().get(len..).unwrap_or_default());
        }
        for place in out.iter_mut().skip(n) {
            let Some(value) = all.next() else {
                break;
            };
            *place = value?;
            n += 1;
        }
        Ok(n)
    }

    /// Makes sure that every element can be decoded. Short numbers are not decoded for it: only
    /// an element of ten bytes or more can be wrong, and its nine continuation bits in a row fill
    /// four aligned bytes, wherever it begins.
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.field == 0 && self.bytes.last().is_none_or(|last| *last < 0x80) {
            let chunks = self.bytes.chunks_exact(4);
            let long = chunks.clone().any(|chunk| {
                chunk
                    .first_chunk()
                    .is_none_or(|c| !u32::from_ne_bytes(*c) & 0x8080_8080 == 0)
            });
            if !long {
                return Ok(());
            }
        }
        self.iter().try_for_each(|element| element.map(drop))
    }
}

fn count_stops(run: &[u8]) -> usize {
    let chunks = run.chunks_exact(8);
    let tail = chunks.remainder().iter().filter(|b| **b < 0x80).count();
    let body: u32 = chunks
        .map(|chunk| {
            let word = chunk
                .first_chunk()
                .map_or(u64::MAX, |c| u64::from_ne_bytes(*c));
            (!word & 0x8080_8080_8080_8080).count_ones()
        })
        .sum();
    tail + body as usize
}

/// The runs of numbers among the fields of a message that was walked when it was merged.
#[derive(Clone, Copy)]
struct Runs<'a> {
    rest: Reader<'a>,
    field: u32,
}

impl<'a> Runs<'a> {
    fn next_run(&mut self) -> Option<Reader<'a>> {
        while !self.rest.is_empty() {
            let tag = self.rest.tag().ok()?;
            if tag == (self.field << 3 | WIRE_LEN) {
                return self.rest.message().ok();
            }
            if tag == (self.field << 3 | WIRE_VARINT) {
                let single = self.rest.rest();
                self.rest.varint().ok()?;
                return Some(Reader::new(read_part(single, self.rest.rest())));
            }
            self.rest.skip(tag).ok()?;
        }
        None
    }
}

/// The elements of a [`Packed`].
#[derive(Clone, Copy)]
pub struct PackedIter<'a, T> {
    run: Reader<'a>,
    runs: Runs<'a>,
    element: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for PackedIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedIter")
            .field("run_bytes_left", &self.run.rest().len())
            .finish()
    }
}

impl<T: Scalar> Iterator for PackedIter<'_, T> {
    type Item = Result<T, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.run.is_empty() {
            self.run = self.runs.next_run()?;
        }
        match self.run.varint_wide() {
            Ok(value) => Some(Ok(T::from_wire(value))),
            Err(error) => {
                self.run = Reader::new(&[]);
                self.runs.rest = Reader::new(&[]);
                Some(Err(error))
            }
        }
    }
}

impl<'a, T: Scalar> IntoIterator for Packed<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = PackedIter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Scalar> IntoIterator for &Packed<'a, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = PackedIter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Scalar> PartialEq for Packed<'_, T> {
    /// Equal elements in equal order, however they were encoded.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Scalar + fmt::Debug> fmt::Debug for Packed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// What a packed list of numbers can be encoded from: a slice, an array, a list as it was
/// received, or any iterator in [`Each`].
pub trait PackedList<T> {
    /// The length of the field with its tag; 0 for an empty list.
    fn packed_len(&self, tag: u32) -> usize;

    /// Writes the field with its tag; nothing for an empty list.
    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full>;
}

/// The length of a packed field whose run has `run` bytes.
#[inline]
fn field_len(tag: u32, run: usize) -> usize {
    if run == 0 {
        return 0;
    }
    run.saturating_add(varint_len(run as u64))
        .saturating_add(varint_len(u64::from(tag)))
}

fn run_len<T: Scalar, B: Borrow<T>>(items: impl Iterator<Item = B>) -> usize {
    items.fold(0, |n: usize, item| {
        n.saturating_add(varint_len(item.borrow().to_wire()))
    })
}

fn write_backward<T: Scalar, B: Borrow<T>>(
    items: impl DoubleEndedIterator<Item = B>,
    tag: u32,
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    let before = w.len();
    for item in items.rev() {
        w.varint_wide(item.borrow().to_wire())?;
    }
    match w.len() - before {
        0 => Ok(()),
        run => w.head(tag, run),
    }
}

impl<T, L: PackedList<T> + ?Sized> PackedList<T> for &L {
    #[inline]
    fn packed_len(&self, tag: u32) -> usize {
        L::packed_len(self, tag)
    }

    #[inline]
    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        L::write_packed(self, tag, w)
    }
}

impl<T: Scalar> PackedList<T> for [T] {
    fn packed_len(&self, tag: u32) -> usize {
        field_len(tag, run_len::<T, _>(self.iter()))
    }

    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        write_backward::<T, _>(self.iter(), tag, w)
    }
}

impl<T: Scalar, const N: usize> PackedList<T> for [T; N] {
    fn packed_len(&self, tag: u32) -> usize {
        self.as_slice().packed_len(tag)
    }

    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.as_slice().write_packed(tag, w)
    }
}

impl<T: Scalar, I> PackedList<T> for Each<I>
where
    I: Clone + DoubleEndedIterator,
    I::Item: Borrow<T>,
{
    fn packed_len(&self, tag: u32) -> usize {
        field_len(tag, run_len::<T, _>(self.0.clone()))
    }

    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        write_backward::<T, _>(self.0.clone(), tag, w)
    }
}

impl<T: Scalar> Packed<'_, T> {
    /// The length of the elements in one run. An element that cannot be decoded ends the list.
    fn joined_len(&self) -> usize {
        run_len::<T, T>(self.iter().map_while(Result::ok))
    }

    #[cold]
    fn write_joined(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        let run = self.joined_len();
        if run == 0 {
            return Ok(());
        }
        let mut room = w.reserve(run)?;
        for element in self.iter().map_while(Result::ok) {
            room = put_varint(room, element.to_wire());
        }
        w.head(tag, run)
    }
}

impl<T: Scalar> PackedList<T> for Packed<'_, T> {
    fn packed_len(&self, tag: u32) -> usize {
        field_len(
            tag,
            self.raw().map_or_else(|| self.joined_len(), <[u8]>::len),
        )
    }

    fn write_packed(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        match self.raw() {
            Some([]) => Ok(()),
            Some(run) => w.bytes(tag, run),
            None => self.write_joined(tag, w),
        }
    }
}
