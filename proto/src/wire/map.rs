//! Maps: lists of entries with a key and a value.

use core::fmt;
use core::marker::PhantomData;

use super::codec::{Item, Value, prefixed_len};
use super::error::{DecodeError, Full};
use super::list::{Bodies, Each, Span, Start};
use super::reader::Reader;
use super::varint::varint_len;
use super::writer::Writer;

/// A map as it was received: its entries are decoded when they are iterated.
///
/// If a key comes more than once, [`get`](Map::get) takes the last as the format demands, while
/// [`len`](Map::len), iteration and re-encoding show every entry.
#[derive(Clone, Copy)]
pub struct Map<'a, K, V> {
    span: Span<'a>,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Default for Map<'_, K, V> {
    #[inline]
    fn default() -> Self {
        Self {
            span: Span::default(),
            entry: PhantomData,
        }
    }
}

impl<'a, K, V> Map<'a, K, V> {
    /// The number of entries; known since the message was decoded.
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

    /// The entries in the order they came in.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> MapIter<'a, K, V> {
        MapIter {
            bodies: self.span.bodies(),
            entry: PhantomData,
        }
    }

    /// Takes in the entry whose tag `r` has just read; for generated code.
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

impl<'a, K: Value<'a>, V: Value<'a>> Map<'a, K, V> {
    /// The value of `key`, the last if there are several. Linear in the length of the map; to
    /// look up many keys, iterate once.
    pub fn get(&self, key: &K) -> Result<Option<V>, DecodeError>
    where
        K: PartialEq,
    {
        let mut found = None;
        for entry in self {
            let (k, v) = entry?;
            if k == *key {
                found = Some(v);
            }
        }
        Ok(found)
    }

    /// Decodes every entry once, and what is lazy inside of each.
    pub fn check(&self) -> Result<(), DecodeError> {
        for entry in self {
            entry?.1.check_value()?;
        }
        Ok(())
    }
}

impl<'a, K: Value<'a>, V: Value<'a>> IntoIterator for Map<'a, K, V> {
    type Item = Result<(K, V), DecodeError>;
    type IntoIter = MapIter<'a, K, V>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K: Value<'a>, V: Value<'a>> IntoIterator for &Map<'a, K, V> {
    type Item = Result<(K, V), DecodeError>;
    type IntoIter = MapIter<'a, K, V>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K: Value<'a> + PartialEq, V: Value<'a> + PartialEq> PartialEq for Map<'a, K, V> {
    /// Equal entries in equal order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, K: Value<'a> + fmt::Debug, V: Value<'a> + fmt::Debug> fmt::Debug for Map<'a, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The entries of a [`Map`].
pub struct MapIter<'a, K, V> {
    bodies: Bodies<'a>,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for MapIter<'_, K, V> {
    fn clone(&self) -> Self {
        Self {
            bodies: self.bodies,
            entry: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for MapIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIter")
            .field("left", &self.bodies.size_hint().0)
            .finish()
    }
}

impl<'a, K: Value<'a>, V: Value<'a>> Iterator for MapIter<'a, K, V> {
    type Item = Result<(K, V), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.bodies.next().map(entry)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.bodies.size_hint()
    }
}

impl<'a, K: Value<'a>, V: Value<'a>> ExactSizeIterator for MapIter<'a, K, V> {}

/// One entry: key and value in any order, each the default if it is missing.
#[inline]
fn entry<'a, K: Value<'a>, V: Value<'a>>(body: &'a [u8]) -> Result<(K, V), DecodeError> {
    let mut r = Reader::new(body);
    let (mut key, mut value) = (K::default(), V::default());
    while !r.is_empty() {
        let tag = r.tag()?;
        if tag == (1 << 3 | K::WIRE) {
            key.merge_value(&mut r)?;
        } else if tag == (2 << 3 | V::WIRE) {
            value.merge_value(&mut r)?;
        } else {
            r.skip(tag)?;
        }
    }
    Ok((key, value))
}

/// What a map can be encoded from: a slice or array of pairs, a map as it was received, or any
/// iterator of pairs in [`Each`]. Keys should differ; if they do not, receivers take the last.
///
/// `K` and `V` are the [`Item::Kind`]s of keys and values.
pub trait Entries<K, V> {
    /// The length of all entries with their tags.
    fn entries_len(&self, tag: u32) -> usize;

    /// Writes all entries with their tags.
    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full>;
}

/// The length of one entry without its tag and prefix. Defaults are left out, as prost does.
#[inline]
fn body_len(key: &impl Item, value: &impl Item) -> usize {
    let key = if key.is_default() {
        0
    } else {
        key.item_len().saturating_add(1)
    };
    let value = if value.is_default() {
        0
    } else {
        value.item_len().saturating_add(1)
    };
    key.saturating_add(value)
}

#[inline]
fn write_entry<K: Item, V: Item>(
    key: &K,
    value: &V,
    tag: u32,
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    let before = w.len();
    if !value.is_default() {
        value.write_item(w)?;
        w.tag(2 << 3 | V::WIRE)?;
    }
    if !key.is_default() {
        key.write_item(w)?;
        w.tag(1 << 3 | K::WIRE)?;
    }
    w.head(tag, w.len() - before)
}

impl<K, V, E: Entries<K, V> + ?Sized> Entries<K, V> for &E {
    #[inline]
    fn entries_len(&self, tag: u32) -> usize {
        E::entries_len(self, tag)
    }

    #[inline]
    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        E::write_entries(self, tag, w)
    }
}

impl<A: Item, B: Item> Entries<A::Kind, B::Kind> for [(A, B)] {
    fn entries_len(&self, tag: u32) -> usize {
        let head = varint_len(u64::from(tag));
        self.iter().fold(0, |n: usize, (k, v)| {
            n.saturating_add(head)
                .saturating_add(prefixed_len(body_len(k, v)))
        })
    }

    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.iter()
            .rev()
            .try_for_each(|(k, v)| write_entry(k, v, tag, w))
    }
}

impl<A: Item, B: Item, const N: usize> Entries<A::Kind, B::Kind> for [(A, B); N] {
    fn entries_len(&self, tag: u32) -> usize {
        self.as_slice().entries_len(tag)
    }

    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.as_slice().write_entries(tag, w)
    }
}

impl<A: Item, B: Item, I> Entries<A::Kind, B::Kind> for Each<I>
where
    I: Clone + DoubleEndedIterator<Item = (A, B)>,
{
    fn entries_len(&self, tag: u32) -> usize {
        let head = varint_len(u64::from(tag));
        self.0.clone().fold(0, |n: usize, (k, v)| {
            n.saturating_add(head)
                .saturating_add(prefixed_len(body_len(&k, &v)))
        })
    }

    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.0
            .clone()
            .rev()
            .try_for_each(|(k, v)| write_entry(&k, &v, tag, w))
    }
}

impl<A: Item, B: Item> Entries<A::Kind, B::Kind> for Map<'_, A, B> {
    #[inline]
    fn entries_len(&self, tag: u32) -> usize {
        self.span.encoded_len(tag)
    }

    #[inline]
    fn write_entries(&self, tag: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        self.span.write(tag, w)
    }
}
