//! Frames that wait for their turn, in the order they came. Their credit is held back, so a peer fills it by
//! no more than the transport lets him send.

use alloc::vec::Vec;

/// Whole frames in one run of bytes, each behind its length. The memory stays for the next.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    run: Vec<u8>,
    /// Where the first frame begins.
    at: usize,
}

/// Bytes before each frame.
const HEAD_BYTES: usize = 4;

impl Backlog {
    pub(super) fn push(&mut self, frame: &[u8]) {
        // What was taken makes room once it is at least half: each byte moves once on average.
        if self.at > self.run.len() / 2 {
            self.run.drain(..self.at);
            self.at = 0;
        }
        // The bound of a message is far below.
        self.run
            .extend_from_slice(&(frame.len() as u32).to_le_bytes());
        self.run.extend_from_slice(frame);
    }

    /// The first frame.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let (head, rest) = self.run.get(self.at..)?.split_first_chunk::<HEAD_BYTES>()?;
        rest.get(..u32::from_le_bytes(*head) as usize)
    }

    /// Takes the first frame away.
    pub(super) fn pop(&mut self) {
        if let Some(len) = self.first().map(<[u8]>::len) {
            self.at += HEAD_BYTES + len;
        }
        if self.at == self.run.len() {
            self.clear();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.run.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.run.len() - self.at
    }

    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let mut backlog = Backlog::default();
        let (mut put, mut taken) = (0_u32, 0_u32);
        for round in 0..200_u32 {
            for _ in 0..round % 7 {
                backlog.push(&vec![put as u8; put as usize % 40]);
                put += 1;
            }
            for _ in 0..round % 6 {
                let Some(frame) = backlog.first() else { break };
                assert_eq!(frame, vec![taken as u8; taken as usize % 40]);
                backlog.pop();
                taken += 1;
            }
        }
        assert!(taken > 300 && !backlog.is_empty());
        assert!(backlog.bytes() < 8_000);
        while backlog.first().is_some() {
            backlog.pop();
            taken += 1;
        }
        assert_eq!((put, backlog.bytes()), (taken, 0));
    }
}
