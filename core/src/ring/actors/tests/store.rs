//! A store that keeps to its contract, in memory, and remembers who did what.

extern crate std;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::storage::{Completion, Op, OwnerId, record_head};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnedOp {
    Fence {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
    },
    Tail {
        log: Vec<u8>,
    },
    Append {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
        expected: u64,
        payload: Vec<u8>,
    },
    Read {
        log: Vec<u8>,
        from: u64,
        bytes_max: u32,
    },
    Trim {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
        before: u64,
    },
}

impl OwnedOp {
    pub(super) fn from(op: Op<'_>) -> Self {
        match op {
            Op::Fence { log, term, owner } => Self::Fence {
                log: log.to_vec(),
                term,
                owner,
            },
            Op::Tail { log } => Self::Tail { log: log.to_vec() },
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => Self::Append {
                log: log.to_vec(),
                term,
                owner,
                expected,
                payload: payload.to_vec(),
            },
            Op::Read {
                log,
                from,
                bytes_max,
            } => Self::Read {
                log: log.to_vec(),
                from,
                bytes_max,
            },
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => Self::Trim {
                log: log.to_vec(),
                term,
                owner,
                before,
            },
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Seal { .. }
            | Op::Keep { .. }
            | Op::Recall { .. } => {
                panic!("actors do not use {op:?}")
            }
        }
    }

    pub(super) fn log(&self) -> &[u8] {
        match self {
            Self::Fence { log, .. }
            | Self::Tail { log }
            | Self::Append { log, .. }
            | Self::Read { log, .. }
            | Self::Trim { log, .. } => log,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Fence { .. } => "fence",
            Self::Tail { .. } => "tail",
            Self::Append { .. } => "append",
            Self::Read { .. } => "read",
            Self::Trim { .. } => "trim",
        }
    }
}

/// What happened to a log, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Fence { writer: usize },
    Append { writer: usize },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) term: u64,
    pub(super) owner: OwnerId,
    pub(super) first: u64,
    /// All records ever, those that were trimmed too.
    pub(super) records: Vec<Vec<u8>>,
    pub(super) deeds: Vec<Deed>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) logs: BTreeMap<Vec<u8>, Log>,
}

impl Store {
    pub(super) fn log(&mut self, id: u64) -> &mut Log {
        self.logs
            .entry(super::super::journal::log(id).to_vec())
            .or_default()
    }

    pub(super) fn perform(&mut self, writer: usize, op: &OwnedOp) -> Completion<Vec<u8>> {
        if matches!(op, OwnedOp::Tail { .. } | OwnedOp::Read { .. })
            && !self.logs.contains_key(op.log())
        {
            if matches!(op, OwnedOp::Read { .. }) {
                return Completion::Records(Vec::new());
            }
            return Completion::Tail {
                term: 0,
                owner: OwnerId(0),
                first: 0,
                next: 0,
            };
        }
        let log = self.logs.entry(op.log().to_vec()).or_default();
        let next = log.records.len() as u64;
        let fenced = Completion::Fenced { term: log.term };
        let own = |term: u64, owner: OwnerId| (term, owner) == (log.term, log.owner);
        match *op {
            OwnedOp::Fence { term, owner, .. } => {
                if term < log.term || (term == log.term && owner != log.owner) {
                    return fenced;
                }
                (log.term, log.owner) = (term, owner);
                log.deeds.push(Deed::Fence { writer });
                Completion::Tail {
                    term,
                    owner,
                    first: log.first,
                    next,
                }
            }
            OwnedOp::Tail { .. } => Completion::Tail {
                term: log.term,
                owner: log.owner,
                first: log.first,
                next,
            },
            OwnedOp::Append { term, owner, .. } | OwnedOp::Trim { term, owner, .. }
                if !own(term, owner) =>
            {
                fenced
            }
            OwnedOp::Append { expected, .. } if expected != next => {
                Completion::Conflict { current: next }
            }
            OwnedOp::Append { ref payload, .. } => {
                log.records.push(payload.clone());
                log.deeds.push(Deed::Append { writer });
                Completion::Durable { sequence: next }
            }
            OwnedOp::Trim { before, .. } => {
                log.first = log.first.max(before.min(next));
                Completion::Durable {
                    sequence: log.first,
                }
            }
            OwnedOp::Read {
                from, bytes_max, ..
            } => {
                let mut bytes = Vec::new();
                for sequence in from.max(log.first)..next {
                    let record = &log.records[sequence as usize];
                    if !bytes.is_empty() && bytes.len() + record.len() > bytes_max as usize {
                        break;
                    }
                    bytes.extend_from_slice(&record_head(sequence, record.len() as u32));
                    bytes.extend_from_slice(record);
                }
                Completion::Records(bytes)
            }
        }
    }
}
