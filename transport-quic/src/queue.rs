//! What a stream has to send and QUIC has not taken yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A piece below this that has to wait is copied together with its neighbours, so that it does not
/// hold a block of its own.
const SMALL_BYTES: usize = 4 << 10;

/// Neighbours are put together up to this.
const JOINED_BYTES: usize = 32 << 10;

/// Pieces in their order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    head: Bytes,
    rest: VecDeque<Bytes>,
    /// Small pieces, put together.
    joined: BytesMut,
    len: usize,
}

impl Queue {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        let was_empty = self.is_empty();
        self.len += piece.len();
        if was_empty {
            self.head = piece;
        } else if piece.len() < SMALL_BYTES {
            self.joined.extend_from_slice(&piece);
            if self.joined.len() >= JOINED_BYTES {
                self.seal();
            }
        } else {
            self.seal();
            self.rest.push_back(piece);
        }
    }

    fn seal(&mut self) {
        if !self.joined.is_empty() {
            self.rest.push_back(self.joined.split().freeze());
        }
    }

    /// What is to be sent next.
    pub(crate) const fn head(&mut self) -> Option<&mut Bytes> {
        if self.len == 0 {
            return None;
        }
        Some(&mut self.head)
    }

    /// `count` bytes of the head were sent, and are gone from it.
    pub(crate) fn sent(&mut self, count: usize) {
        self.len -= count;
        if !self.head.is_empty() {
            return;
        }
        self.head = match self.rest.pop_front() {
            Some(next) => next,
            None => std::mem::take(&mut self.joined).freeze(),
        };
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            steps in proptest::collection::vec((0_usize..9_000, 0_usize..12_000), 1..60),
        ) {
            let (mut queue, mut expected, mut got) = (Queue::default(), Vec::new(), Vec::new());
            let mut next = 0_u8;
            for (push, take) in steps {
                if push > 0 {
                    let piece: Vec<u8> = (0..push)
                        .map(|_| {
                            next = next.wrapping_add(1);
                            next
                        })
                        .collect();
                    expected.extend_from_slice(&piece);
                    queue.push(Bytes::from(piece));
                }
                if let Some(head) = queue.head() {
                    prop_assert!(!head.is_empty());
                    let take = take.min(head.len());
                    got.extend_from_slice(&head[..take]);
                    head.advance(take);
                    queue.sent(take);
                }
                prop_assert_eq!(queue.len(), expected.len() - got.len());
            }
            while let Some(head) = queue.head() {
                got.extend_from_slice(head);
                let count = head.len();
                head.clear();
                queue.sent(count);
            }
            prop_assert!(queue.is_empty());
            prop_assert_eq!(got, expected);
        }
    }
}
