//! Metadata of a stream: keys and values in one flat run of bytes, so that a header can be lent,
//! recorded and replayed as it is.
//!
//! Layout: for each pair `u16` key length, `u16` value length (both little endian), key, value. Keys
//! are lower-case ASCII. Values under keys that end in `-bin` are raw bytes, all others visible ASCII.

use crate::machine::Full;

/// A borrowed header. Any bytes are accepted; a pair that does not fit ends the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a>(pub &'a [u8]);

impl<'a> Header<'a> {
    /// A header without pairs.
    pub const EMPTY: Header<'static> = Header(&[]);

    /// Key and value of each pair, in order.
    #[must_use]
    pub const fn iter(&self) -> Pairs<'a> {
        Pairs(self.0)
    }

    /// The first value under `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.raw()
            .find(|(k, _)| *k == key.as_bytes())
            .map(|(_, v)| v)
    }

    /// The pairs with their keys as bytes: what is only compared need not be looked through first.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (pair, tail) = split_pair(rest)?;
            rest = tail;
            Some(pair)
        })
    }

    /// The first value under `key`, if it is text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key).and_then(|v| core::str::from_utf8(v).ok())
    }
}

impl<'a> IntoIterator for &Header<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Pairs<'a>;
    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// Iterator over the pairs of a [`Header`].
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ((key, value), rest) = split_pair(self.0)?;
        self.0 = rest;
        Some((core::str::from_utf8(key).ok()?, value))
    }
}

/// Key and value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first pair and what follows it.
fn split_pair(run: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (lengths, rest) = run.split_at_checked(4)?;
    let key_len = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
    let value_len = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
    let (key, rest) = rest.split_at_checked(key_len)?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some(((key, value), rest))
}

/// Writes a header into a lent buffer.
#[derive(Debug)]
pub struct HeaderWriter<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> HeaderWriter<'b> {
    /// An empty header in `buf`.
    #[must_use]
    pub const fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Adds a pair, or nothing at all if it does not fit.
    ///
    /// # Errors
    /// [`Full`] if the buffer has no room or a length exceeds 65,535.
    pub fn push(&mut self, key: &str, value: &[u8]) -> Result<(), Full> {
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(key.len()), u16::try_from(value.len()))
        else {
            return Err(Full);
        };
        let room = &mut self.buf[self.len..];
        let need = 4 + key.len() + value.len();
        if room.len() < need {
            return Err(Full);
        }
        room[..2].copy_from_slice(&key_len.to_le_bytes());
        room[2..4].copy_from_slice(&value_len.to_le_bytes());
        room[4..4 + key.len()].copy_from_slice(key.as_bytes());
        room[4 + key.len()..need].copy_from_slice(value);
        self.len += need;
        Ok(())
    }

    /// Adds the pairs of another header.
    ///
    /// # Errors
    /// [`Full`] if they do not fit; then nothing was added.
    pub fn extend(&mut self, header: Header<'_>) -> Result<(), Full> {
        let Some(room) = self.buf.get_mut(self.len..self.len + header.0.len()) else {
            return Err(Full);
        };
        room.copy_from_slice(header.0);
        self.len += header.0.len();
        Ok(())
    }

    /// What has been written.
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        Header(&self.buf[..self.len])
    }

    /// What has been written, for as long as the buffer was lent.
    #[must_use]
    pub fn finish(self) -> Header<'b> {
        Header(&self.buf[..self.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_in_order_and_the_first_of_a_key_wins() {
        let mut buf = [0; 64];
        let mut w = HeaderWriter::new(&mut buf);
        w.push("a", b"1").unwrap();
        w.push("b-bin", &[0, 255]).unwrap();
        w.push("a", b"2").unwrap();
        let h = w.finish();
        assert_eq!(h.text("a"), Some("1"));
        assert_eq!(h.value("b-bin"), Some(&[0, 255][..]));
        assert_eq!(h.iter().count(), 3);
        assert_eq!(h.value("c"), None);
    }

    #[test]
    fn a_pair_that_does_not_fit_changes_nothing() {
        let mut buf = [0; 10];
        let mut w = HeaderWriter::new(&mut buf);
        w.push("key", b"abc").unwrap();
        assert_eq!(w.push("", b""), Err(Full));
        assert_eq!(w.finish().iter().count(), 1);
    }

    #[test]
    fn any_bytes_are_a_header_and_cuts_end_it() {
        let mut buf = [0; 32];
        let mut w = HeaderWriter::new(&mut buf);
        w.push("key", b"value").unwrap();
        let whole = w.finish().0;
        for cut in 0..whole.len() {
            assert_eq!(Header(&whole[..cut]).iter().count(), 0);
        }
        assert_eq!(Header(&[255; 100]).iter().count(), 0);
    }
}
