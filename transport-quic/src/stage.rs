//! Where frames are written: blocks that are used again. A run of frames of one stream becomes one
//! piece of a block, without a copy; streams that take turns have pieces of the same block.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use trefoil_core::id::StreamId;

use crate::frame::{WORD_BYTES, Word};

const BLOCK_BYTES: usize = 64 << 10;

/// A frame above this has memory of its own, which is gone when it has been sent.
const LARGE_BYTES: usize = 16 << 10;

/// Blocks that wait for their last bytes to be acknowledged, to be used again then. As many as a
/// connection may have under way, by its default.
const RETIRED_MAX: usize = 32;

/// Frames that were lent for writing and belong to nobody yet.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    block: BytesMut,
    retired: VecDeque<BytesMut>,
    large: BytesMut,
    /// The stream whose frames were written last.
    of: Option<StreamId>,
}

impl Stage {
    /// Whether a frame of `len` bytes can follow what was written last. If not, that must be taken
    /// first.
    pub(crate) fn follows(&self, stream: StreamId, len: usize) -> bool {
        match self.of {
            None => true,
            Some(of) => {
                of == stream
                    && self.large.is_empty()
                    && len <= LARGE_BYTES
                    && self.block.capacity() - self.block.len() >= WORD_BYTES + len
            }
        }
    }

    /// Lends the payload of a frame.
    pub(crate) fn lend(&mut self, stream: StreamId, word: Word) -> &mut [u8] {
        debug_assert!(self.follows(stream, word.len), "a piece would be lost");
        self.of = Some(stream);
        let need = WORD_BYTES + word.len;
        let place = if word.len > LARGE_BYTES {
            self.large.reserve(need);
            &mut self.large
        } else {
            if self.block.capacity() - self.block.len() < need {
                self.next_block();
            }
            &mut self.block
        };
        let at = place.len();
        place.resize(at + need, 0);
        let (before, payload) = place[at..].split_at_mut(WORD_BYTES);
        before.copy_from_slice(&word.encode());
        payload
    }

    /// Takes what was written last, and says whose it is.
    pub(crate) fn take(&mut self) -> Option<(StreamId, Bytes)> {
        let of = self.of.take()?;
        let piece = if self.large.is_empty() {
            self.block.split()
        } else {
            std::mem::take(&mut self.large)
        };
        Some((of, piece.freeze()))
    }

    /// Changes to a block nobody reads any more, or to a new one.
    fn next_block(&mut self) {
        let full = std::mem::take(&mut self.block);
        if self.retired.len() < RETIRED_MAX && full.capacity() > 0 {
            self.retired.push_back(full);
        }
        if let Some(oldest) = self.retired.front_mut()
            && oldest.try_reclaim(BLOCK_BYTES)
        {
            self.block = self.retired.pop_front().unwrap_or_default();
            return;
        }
        // The oldest is still under way; do not let one that stays so keep all others waiting.
        self.retired
            .rotate_left(usize::from(self.retired.len() > 1));
        self.block = BytesMut::with_capacity(BLOCK_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Kind;

    const A: StreamId = StreamId::new(1, 1);
    const B: StreamId = StreamId::new(2, 1);

    fn word(len: usize) -> Word {
        Word {
            kind: Kind::Message,
            len,
        }
    }

    #[test]
    fn a_run_is_one_piece_and_another_stream_begins_another() {
        let mut stage = Stage::default();
        stage.lend(A, word(3)).copy_from_slice(b"abc");
        assert!(stage.follows(A, 2) && !stage.follows(B, 2));
        stage.lend(A, word(2)).copy_from_slice(b"de");
        assert_eq!(
            stage.take(),
            Some((A, Bytes::from_static(b"\x03\0\0\0abc\x02\0\0\0de")))
        );
        stage.lend(B, word(0));
        assert_eq!(stage.take(), Some((B, Bytes::from_static(b"\0\0\0\0"))));
        assert_eq!(stage.take(), None);
    }

    #[test]
    fn what_is_lent_is_zero_although_the_block_was_used() {
        let mut stage = Stage::default();
        for _ in 0..100 {
            let room = stage.lend(A, word(10_000));
            assert!(room.iter().all(|byte| *byte == 0));
            room.fill(7);
            drop(stage.take());
        }
    }

    #[test]
    fn blocks_are_used_again_when_their_pieces_are_gone() {
        let mut stage = Stage::default();
        let mut under_way = VecDeque::new();
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            if !stage.follows(A, 1_000) {
                under_way.extend(stage.take());
            }
            let at = stage.lend(A, word(1_000)).as_ptr() as usize;
            places.insert(at);
            if under_way.len() > 3 {
                under_way.pop_front();
            }
        }
        assert!(places.len() < 65 * 10, "{} places", places.len());
    }

    #[test]
    fn a_large_frame_has_its_own_memory() {
        let mut stage = Stage::default();
        stage.lend(A, word(1));
        assert!(!stage.follows(A, LARGE_BYTES + 1));
        stage.take();
        stage.lend(A, word(1 << 20));
        assert!(!stage.follows(A, 1));
        let (_, piece) = stage.take().unwrap();
        assert_eq!(piece.len(), (1 << 20) + 4);
        assert_eq!(stage.large.capacity(), 0);
    }
}
