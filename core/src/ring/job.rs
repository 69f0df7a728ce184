//! What a stage is asked, and what came of it.

use alloc::vec::Vec;

/// What a stage is asked to do with one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job<'a> {
    /// Make it, from a snapshot or anew, replacing one that is there.
    Load {
        /// What [`Actor::snapshot`](super::actor::Actor::snapshot) wrote.
        snapshot: Option<&'a [u8]>,
    },
    /// Apply again what was accepted once.
    Replay {
        /// An encoded `ApplyRequest` of accepted messages.
        request: &'a [u8],
    },
    /// Apply what a caller sent.
    Apply {
        /// An encoded `ApplyRequest`.
        request: &'a [u8],
    },
    /// Show the state.
    Get,
    /// Write a snapshot.
    Snapshot,
    /// Forget it.
    Drop,
}

/// What came of a [`Job`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// `Load` and `Replay` went well.
    Loaded,
    /// `Apply` went well.
    Applied {
        /// An encoded `ApplyRequest` of the accepted messages; empty if there is none.
        record: &'a [u8],
        /// An encoded `ApplyResult`: a result for each message in order, and the state afterwards.
        reply: &'a [u8],
    },
    /// `Get` went well.
    Got {
        /// An encoded `GetReply`.
        reply: &'a [u8],
    },
    /// `Snapshot` went well.
    Snapshot {
        /// What the actor wrote.
        bytes: &'a [u8],
    },
    /// `Drop` went well.
    Dropped,
    /// The job could not be done; the actor is forgotten.
    Failed,
}

/// An [`Outcome`] that owns its bytes, to be carried to where the machine is. Its buffers may be used
/// again for another.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    kind: Kind,
    first: Vec<u8>,
    second: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Kind {
    Loaded,
    Applied,
    Got,
    Snapshot,
    Dropped,
    #[default]
    Failed,
}

impl Ran {
    /// Copies an outcome, in place of the one that is held.
    pub fn keep(&mut self, outcome: Outcome<'_>) {
        self.first.clear();
        self.second.clear();
        self.kind = match outcome {
            Outcome::Loaded => Kind::Loaded,
            Outcome::Applied { record, reply } => {
                self.first.extend_from_slice(record);
                self.second.extend_from_slice(reply);
                Kind::Applied
            }
            Outcome::Got { reply } => {
                self.first.extend_from_slice(reply);
                Kind::Got
            }
            Outcome::Snapshot { bytes } => {
                self.first.extend_from_slice(bytes);
                Kind::Snapshot
            }
            Outcome::Dropped => Kind::Dropped,
            Outcome::Failed => Kind::Failed,
        };
    }

    /// As the machine takes it.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'_> {
        match self.kind {
            Kind::Loaded => Outcome::Loaded,
            Kind::Applied => Outcome::Applied {
                record: &self.first,
                reply: &self.second,
            },
            Kind::Got => Outcome::Got { reply: &self.first },
            Kind::Snapshot => Outcome::Snapshot { bytes: &self.first },
            Kind::Dropped => Outcome::Dropped,
            Kind::Failed => Outcome::Failed,
        }
    }

    /// Bytes its buffers can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.first.capacity() + self.second.capacity()
    }
}

impl From<Outcome<'_>> for Ran {
    fn from(outcome: Outcome<'_>) -> Self {
        let mut ran = Self::default();
        ran.keep(outcome);
        ran
    }
}
