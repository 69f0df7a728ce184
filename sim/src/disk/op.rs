//! Storage operations that own what they hold.

use trefoil_core::storage::{Op, OwnerId};

/// An [`Op`] with its bytes.
#[derive(Clone, Debug)]
pub struct OwnedOp {
    /// What is done.
    pub verb: Verb,
    /// The log or key it is done to.
    pub name: Vec<u8>,
    /// The record or value; of a scan the name that it goes on after.
    pub payload: Vec<u8>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and fields are those of `Op`")]
pub enum Verb {
    Load,
    Scan {
        bytes_max: u32,
    },
    Cas {
        fence: u64,
        revision: u64,
    },
    Fence {
        term: u64,
        owner: OwnerId,
    },
    Tail,
    Append {
        term: u64,
        owner: OwnerId,
        expected: u64,
    },
    Read {
        from: u64,
        bytes_max: u32,
    },
    Trim {
        term: u64,
        owner: OwnerId,
        before: u64,
    },
    Seal {
        term: u64,
        owner: OwnerId,
    },
    Keep,
    Recall,
}

/// Where an operation is ordered: operations of one lane are done in the order of their submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The catalog, by key.
    Catalog,
    /// The logs, by name.
    Log,
    /// The node's own state, by key.
    Local,
}

impl OwnedOp {
    /// A copy of `op`.
    #[must_use]
    pub fn new(op: Op<'_>) -> Self {
        let (verb, name, payload): (Verb, &[u8], &[u8]) = match op {
            Op::Load { key } => (Verb::Load, key, &[]),
            Op::Scan {
                prefix,
                after,
                bytes_max,
            } => (Verb::Scan { bytes_max }, prefix, after),
            Op::Cas {
                key,
                fence,
                revision,
                value,
            } => (Verb::Cas { fence, revision }, key, value),
            Op::Fence { log, term, owner } => (Verb::Fence { term, owner }, log, &[]),
            Op::Tail { log } => (Verb::Tail, log, &[]),
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => (
                Verb::Append {
                    term,
                    owner,
                    expected,
                },
                log,
                payload,
            ),
            Op::Read {
                log,
                from,
                bytes_max,
            } => (Verb::Read { from, bytes_max }, log, &[]),
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => (
                Verb::Trim {
                    term,
                    owner,
                    before,
                },
                log,
                &[],
            ),
            Op::Seal { log, term, owner } => (Verb::Seal { term, owner }, log, &[]),
            Op::Keep { key, value } => (Verb::Keep, key, value),
            Op::Recall { key } => (Verb::Recall, key, &[]),
        };
        Self {
            verb,
            name: name.to_vec(),
            payload: payload.to_vec(),
        }
    }

    /// Where it is ordered.
    #[must_use]
    pub const fn space(&self) -> Space {
        match self.verb {
            Verb::Load | Verb::Scan { .. } | Verb::Cas { .. } => Space::Catalog,
            Verb::Fence { .. }
            | Verb::Tail
            | Verb::Append { .. }
            | Verb::Read { .. }
            | Verb::Trim { .. }
            | Verb::Seal { .. } => Space::Log,
            Verb::Keep | Verb::Recall => Space::Local,
        }
    }
}
