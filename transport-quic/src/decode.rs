//! Frames out of a stream of chunks. A payload that lies in one chunk is a slice of it; one that does
//! not is put together, once, and grows as its bytes arrive, whatever length was claimed.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{Kind, UnknownKind, WORD_BYTES, Word};

/// A payload up to this length leaves its memory to the next that has to be put together.
const KEPT_BYTES: usize = 64 << 10;

/// First room of a payload that has to be put together.
const FIRST_BYTES: usize = 4 << 10;

/// What was read of a stream and not yet given away.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    chunk: Bytes,
    /// The beginning of a word that was cut.
    cut: [u8; WORD_BYTES],
    cut_len: usize,
    /// The word whose payload is awaited.
    word: Option<Word>,
    /// The beginning of that payload, if it was cut.
    partial: BytesMut,
}

impl Decoder {
    /// Adds what was read next. Only when everything before it has been taken.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "a chunk would be lost");
        self.chunk = chunk;
    }

    /// The word of the next frame, until its payload has been taken; `None` if more must be read.
    pub(crate) fn word(&mut self) -> Result<Option<Word>, UnknownKind> {
        if self.word.is_some() {
            return Ok(self.word);
        }
        let bytes = if self.cut_len == 0 && self.chunk.len() >= WORD_BYTES {
            let mut bytes = [0; WORD_BYTES];
            self.chunk.copy_to_slice(&mut bytes);
            bytes
        } else {
            let take = self.chunk.len().min(WORD_BYTES - self.cut_len);
            self.chunk
                .copy_to_slice(&mut self.cut[self.cut_len..self.cut_len + take]);
            self.cut_len += take;
            if self.cut_len < WORD_BYTES {
                return Ok(None);
            }
            self.cut_len = 0;
            self.cut
        };
        self.word = Some(Word::decode(bytes)?);
        Ok(self.word)
    }

    /// The next message, if it is the next frame, of at most `most` bytes, and lies before us whole:
    /// what is most often so costs one look.
    pub(crate) fn whole_message(&mut self, most: usize) -> Option<Bytes> {
        if self.word.is_some() || self.cut_len > 0 {
            return None;
        }
        let (word, rest) = self.chunk.split_first_chunk()?;
        let Word { kind, len } = Word::decode(*word).ok()?;
        if kind != Kind::Message || len > most || len > rest.len() {
            return None;
        }
        self.chunk.advance(WORD_BYTES);
        Some(self.chunk.split_to(len))
    }

    /// The payload of the word that was seen; `None` if more must be read.
    pub(crate) fn payload(&mut self) -> Option<Bytes> {
        let len = self.word?.len;
        if self.partial.is_empty() && self.chunk.len() >= len {
            self.word = None;
            return Some(self.chunk.split_to(len));
        }
        let take = self.chunk.len().min(len - self.partial.len());
        if self.partial.is_empty() {
            self.partial.reserve(len.min(FIRST_BYTES));
        }
        self.partial.extend_from_slice(&self.chunk[..take]);
        self.chunk.advance(take);
        if self.partial.len() < len {
            return None;
        }
        self.word = None;
        let whole = self.partial.split().freeze();
        if len > KEPT_BYTES {
            self.partial = BytesMut::new();
        }
        Some(whole)
    }

    /// Whether the stream may end here: between two frames.
    pub(crate) fn is_between(&self) -> bool {
        self.cut_len == 0 && self.word.is_none() && self.chunk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for payload in payloads {
            let word = Word {
                kind: Kind::Message,
                len: payload.len(),
            };
            bytes.extend_from_slice(&word.encode());
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    fn take(decoder: &mut Decoder) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while let Ok(Some(_)) = decoder.word() {
            let Some(payload) = decoder.payload() else {
                break;
            };
            taken.push(payload.to_vec());
        }
        taken
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let bytes = Bytes::from(frames(&[vec![1; 100], vec![2; 50]]));
        let at = bytes.as_ptr() as usize;
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        for offset in [4, 108] {
            decoder.word().unwrap();
            assert_eq!(decoder.payload().unwrap().as_ptr() as usize, at + offset);
        }
        assert!(decoder.is_between());
    }

    #[test]
    fn only_a_message_that_is_whole_and_not_too_long_is_taken_at_once() {
        let mut bytes = frames(&[vec![1; 9], vec![2; 10]]);
        let status = Word {
            kind: Kind::Status,
            len: 0,
        };
        bytes.extend_from_slice(&status.encode());
        let at = bytes.len() - 2;
        let mut decoder = Decoder::default();
        decoder.feed(Bytes::copy_from_slice(&bytes[..at]));
        assert_eq!(decoder.whole_message(9).unwrap(), [1; 9][..]);
        assert_eq!(decoder.whole_message(9), None, "longer than wanted");
        assert_eq!(decoder.whole_message(10).unwrap(), [2; 10][..]);
        assert_eq!(decoder.whole_message(10), None, "a word that is cut");
        assert_eq!(decoder.word(), Ok(None));
        decoder.feed(Bytes::copy_from_slice(&bytes[at..]));
        assert_eq!(decoder.whole_message(10), None, "the rest of a word");
        assert_eq!(decoder.word(), Ok(Some(status)));
        assert_eq!(decoder.whole_message(10), None, "a word that was seen");
    }

    #[test]
    fn a_claim_takes_no_memory() {
        let word = Word {
            kind: Kind::Message,
            len: crate::frame::LENGTH_MAX,
        };
        let mut decoder = Decoder::default();
        decoder.feed(Bytes::copy_from_slice(&word.encode()));
        decoder.word().unwrap();
        assert_eq!(decoder.payload(), None);
        assert!(decoder.partial.capacity() <= 2 * FIRST_BYTES);
        assert!(!decoder.is_between());
    }

    #[test]
    fn the_memory_of_cut_messages_is_used_again_and_of_large_ones_given_back() {
        let mut decoder = Decoder::default();
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let bytes = frames(&[vec![3; 1_000]]);
            decoder.feed(Bytes::copy_from_slice(&bytes[..500]));
            decoder.word().unwrap();
            assert_eq!(decoder.payload(), None);
            decoder.feed(Bytes::copy_from_slice(&bytes[500..]));
            places.insert(decoder.payload().unwrap().as_ptr() as usize);
        }
        assert!(places.len() <= 8, "{} places", places.len());
        let bytes = frames(&[vec![3; KEPT_BYTES + 1]]);
        decoder.feed(Bytes::copy_from_slice(&bytes[..500]));
        decoder.word().unwrap();
        decoder.payload();
        decoder.feed(Bytes::copy_from_slice(&bytes[500..]));
        assert!(decoder.payload().is_some());
        assert_eq!(decoder.partial.capacity(), 0);
    }

    #[test]
    fn every_cut_is_seen() {
        let whole = frames(&[vec![5; 3], vec![], vec![6; 2]]);
        for cut in 0..whole.len() {
            let mut decoder = Decoder::default();
            decoder.feed(Bytes::copy_from_slice(&whole[..cut]));
            take(&mut decoder);
            assert_eq!(
                decoder.is_between(),
                [0, 7, 11].contains(&cut),
                "cut at {cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_give_the_same_frames(
            payloads in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..12),
            cuts in proptest::collection::vec(1_usize..200, 1..40),
            most in 0_usize..300,
        ) {
            let whole = frames(&payloads);
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            let mut rest = &whole[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = rest.len().min(*cuts.next().unwrap());
                decoder.feed(Bytes::copy_from_slice(&rest[..cut]));
                rest = &rest[cut..];
                while let Some(whole) = decoder.whole_message(most) {
                    got.push(whole.to_vec());
                }
                got.extend(take(&mut decoder));
            }
            prop_assert_eq!(got, payloads);
            prop_assert!(decoder.is_between());
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(
            chunks in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        ) {
            let mut decoder = Decoder::default();
            for chunk in chunks {
                decoder.feed(Bytes::from(chunk));
                loop {
                    match decoder.word() {
                        Err(UnknownKind) => return Ok(()),
                        Ok(None) => break,
                        Ok(Some(_)) if decoder.payload().is_none() => break,
                        Ok(Some(_)) => {}
                    }
                }
            }
        }
    }
}
