//! The store all nodes share, as a model: what the seam's documentation says, and nothing else.

use std::collections::BTreeMap;

use trefoil_core::storage::{Completion, NamedValue, OwnerId, push_value, record_head};

use super::op::{OwnedOp, Verb};
use crate::net::Process;

/// A bug planted in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorePlant {
    /// None.
    #[default]
    None,
    /// Appends, trims and seals are not checked against the fence.
    NoFence,
    /// An append is answered before it is durable, and lost if its node crashes meanwhile.
    AnswerBeforeDurable,
}

/// A record, and who wrote it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The appender's term.
    pub term: u64,
    /// The appender.
    pub owner: OwnerId,
    /// The fence that stood when it was written.
    pub fence: (u64, OwnerId),
    /// The process that really wrote it.
    pub writer: Process,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// A log. Records that were trimmed are kept for the invariants; machines do not see them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    term: u64,
    owner: OwnerId,
    first: u64,
    /// All records ever written, by number.
    records: Vec<Record>,
}

impl Log {
    /// All records ever written, those that were trimmed too.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The number of the first record machines see.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    const fn next(&self) -> u64 {
        self.records.len() as u64
    }

    fn tail(&self) -> Completion<Vec<u8>> {
        Completion::Tail {
            term: self.term,
            owner: self.owner,
            first: self.first,
            next: self.next(),
        }
    }

    /// Whether somebody else has taken over.
    fn fenced(&self, term: u64, owner: OwnerId) -> bool {
        self.term > term || (self.term == term && self.owner != owner)
    }

    fn read(&self, from: u64, bytes_max: u32) -> Vec<u8> {
        let mut run = Vec::new();
        let mut payload_bytes = 0;
        let from = from.max(self.first);
        for (number, record) in self.records.iter().enumerate().skip(from as usize) {
            payload_bytes += record.payload.len();
            if !run.is_empty() && payload_bytes > bytes_max as usize {
                break;
            }
            run.extend_from_slice(&record_head(number as u64, record.payload.len() as u32));
            run.extend_from_slice(&record.payload);
        }
        run
    }
}

/// The shared store.
#[derive(Debug, Default)]
pub struct Store {
    logs: BTreeMap<Vec<u8>, Log>,
    catalog: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    catalog_fence: u64,
    local: BTreeMap<(usize, Vec<u8>), (u64, Vec<u8>)>,
    /// Values that were written to the catalog and not looked at yet, if anybody looks.
    written: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    plant: StorePlant,
}

impl Store {
    /// An empty store with a bug, or none.
    #[must_use]
    pub fn new(plant: StorePlant) -> Self {
        Self {
            plant,
            ..Self::default()
        }
    }

    /// The bug.
    #[must_use]
    pub const fn plant(&self) -> StorePlant {
        self.plant
    }

    /// What was written to the catalog since the last call: keys and values, in order. What was written before the
    /// first call is not kept.
    pub fn take_written(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.written.replace(Vec::new()).unwrap_or_default()
    }

    /// The logs, by name.
    pub fn logs(&self) -> impl Iterator<Item = (&[u8], &Log)> {
        self.logs.iter().map(|(name, log)| (name.as_slice(), log))
    }

    /// The log of a name.
    #[must_use]
    pub fn log(&self, name: &[u8]) -> Option<&Log> {
        self.logs.get(name)
    }

    /// Does an operation of `writer`. What it answers is durable.
    pub fn apply(&mut self, writer: Process, op: OwnedOp) -> Completion<Vec<u8>> {
        let OwnedOp {
            verb,
            name,
            payload,
        } = op;
        match verb {
            Verb::Load => {
                let (revision, value) = self.catalog.get(&name).cloned().unwrap_or_default();
                Completion::Value { revision, value }
            }
            Verb::Scan { bytes_max } => Completion::Values(self.scan(&name, &payload, bytes_max)),
            Verb::Cas { fence, revision } => self.cas(name, fence, revision, payload),
            Verb::Fence { term, owner } => {
                let log = self.logs.entry(name).or_default();
                if log.fenced(term, owner) {
                    return Completion::Fenced { term: log.term };
                }
                (log.term, log.owner) = (term, owner);
                log.tail()
            }
            Verb::Tail => self
                .logs
                .get(&name)
                .map_or_else(|| Log::default().tail(), Log::tail),
            Verb::Append {
                term,
                owner,
                expected,
            } => self.append(writer, name, (term, owner), expected, payload),
            Verb::Read { from, bytes_max } => Completion::Records(
                self.logs
                    .get(&name)
                    .map(|log| log.read(from, bytes_max))
                    .unwrap_or_default(),
            ),
            Verb::Trim {
                term,
                owner,
                before,
            } => {
                let checked = self.plant != StorePlant::NoFence;
                let log = self.logs.entry(name).or_default();
                if checked && (log.fenced(term, owner) || log.term < term) {
                    return Completion::Fenced { term: log.term };
                }
                log.first = log.first.max(before.min(log.next()));
                Completion::Durable {
                    sequence: log.first,
                }
            }
            Verb::Seal { term, owner } => {
                let log = self.logs.entry(name).or_default();
                if log.fenced(term, owner) || log.term < term {
                    return Completion::Fenced { term: log.term };
                }
                log.term = u64::MAX;
                Completion::Durable {
                    sequence: log.next(),
                }
            }
            Verb::Keep => {
                let entry = self.local.entry((writer.node, name)).or_default();
                *entry = (entry.0 + 1, payload);
                Completion::Durable { sequence: entry.0 }
            }
            Verb::Recall => {
                let (revision, value) = self
                    .local
                    .get(&(writer.node, name))
                    .cloned()
                    .unwrap_or_default();
                Completion::Value { revision, value }
            }
        }
    }

    fn scan(&self, prefix: &[u8], after: &[u8], bytes_max: u32) -> Vec<u8> {
        let mut run = Vec::new();
        let wanted = self
            .catalog
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && key.as_slice() > after);
        for (key, (revision, value)) in wanted {
            let named = NamedValue {
                key,
                revision: *revision,
                value,
            };
            if push_value(&mut run, named, bytes_max).is_err() {
                break;
            }
        }
        run
    }

    fn cas(
        &mut self,
        name: Vec<u8>,
        fence: u64,
        revision: u64,
        value: Vec<u8>,
    ) -> Completion<Vec<u8>> {
        if self.catalog_fence > fence {
            return Completion::Fenced {
                term: self.catalog_fence,
            };
        }
        if let Some(written) = &mut self.written
            && self.catalog.get(&name).map_or(0, |entry| entry.0) == revision
        {
            written.push((name.clone(), value.clone()));
        }
        let entry = self.catalog.entry(name).or_default();
        if entry.0 != revision {
            return Completion::Conflict { current: entry.0 };
        }
        self.catalog_fence = fence;
        *entry = (revision + 1, value);
        Completion::Durable {
            sequence: revision + 1,
        }
    }

    fn append(
        &mut self,
        writer: Process,
        name: Vec<u8>,
        (term, owner): (u64, OwnerId),
        expected: u64,
        payload: Vec<u8>,
    ) -> Completion<Vec<u8>> {
        let checked = self.plant != StorePlant::NoFence;
        let log = self.logs.entry(name).or_default();
        // Only who raised the present fence may append.
        if checked && (log.term, log.owner) != (term, owner) {
            return Completion::Fenced { term: log.term };
        }
        if log.next() != expected {
            return Completion::Conflict {
                current: log.next(),
            };
        }
        let fence = (log.term, log.owner);
        log.records.push(Record {
            term,
            owner,
            fence,
            writer,
            payload,
        });
        Completion::Durable { sequence: expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::storage::{Op, Records};

    const A: OwnerId = OwnerId(1);
    const B: OwnerId = OwnerId(2);

    fn apply(store: &mut Store, op: Op<'_>) -> Completion<Vec<u8>> {
        store.apply(
            Process {
                node: 0,
                session: 1,
            },
            OwnedOp::new(op),
        )
    }

    fn append(store: &mut Store, term: u64, owner: OwnerId, expected: u64) -> Completion<Vec<u8>> {
        apply(
            store,
            Op::Append {
                log: b"l",
                term,
                owner,
                expected,
                payload: b"p",
            },
        )
    }

    #[test]
    fn only_who_raised_the_fence_appends_and_only_at_the_end() {
        let mut store = Store::default();
        apply(
            &mut store,
            Op::Fence {
                log: b"l",
                term: 1,
                owner: A,
            },
        );
        assert_eq!(
            append(&mut store, 1, A, 0),
            Completion::Durable { sequence: 0 }
        );
        assert_eq!(append(&mut store, 1, B, 1), Completion::Fenced { term: 1 });
        assert_eq!(
            append(&mut store, 1, A, 0),
            Completion::Conflict { current: 1 }
        );
        assert_eq!(
            apply(
                &mut store,
                Op::Fence {
                    log: b"l",
                    term: 1,
                    owner: B
                }
            ),
            Completion::Fenced { term: 1 }
        );
        let tail = apply(
            &mut store,
            Op::Fence {
                log: b"l",
                term: 2,
                owner: B,
            },
        );
        assert_eq!(
            tail,
            Completion::Tail {
                term: 2,
                owner: B,
                first: 0,
                next: 1
            }
        );
        assert_eq!(append(&mut store, 1, A, 1), Completion::Fenced { term: 2 });
        assert_eq!(
            append(&mut store, 2, B, 1),
            Completion::Durable { sequence: 1 }
        );
    }

    #[test]
    fn trimmed_records_are_hidden_from_machines_alone() {
        let mut store = Store::default();
        apply(
            &mut store,
            Op::Fence {
                log: b"l",
                term: 1,
                owner: A,
            },
        );
        (0..4).for_each(|number| drop(append(&mut store, 1, A, number)));
        apply(
            &mut store,
            Op::Trim {
                log: b"l",
                term: 1,
                owner: A,
                before: 3,
            },
        );
        let Completion::Records(run) = apply(
            &mut store,
            Op::Read {
                log: b"l",
                from: 0,
                bytes_max: 100,
            },
        ) else {
            panic!()
        };
        assert!(Records(&run).iter().eq([(3, &b"p"[..])]));
        assert_eq!(store.log(b"l").map(|log| log.records().len()), Some(4));
    }

    #[test]
    fn a_sealed_log_takes_nothing_more() {
        let mut store = Store::default();
        apply(
            &mut store,
            Op::Fence {
                log: b"l",
                term: 1,
                owner: A,
            },
        );
        apply(
            &mut store,
            Op::Seal {
                log: b"l",
                term: 1,
                owner: A,
            },
        );
        assert_eq!(
            append(&mut store, 9, A, 0),
            Completion::Fenced { term: u64::MAX }
        );
    }

    #[test]
    fn a_value_is_replaced_at_its_revision_under_its_fence() {
        let mut store = Store::default();
        let mut cas = |fence, revision| {
            apply(
                &mut store,
                Op::Cas {
                    key: b"k",
                    fence,
                    revision,
                    value: b"v",
                },
            )
        };
        assert_eq!(cas(5, 0), Completion::Durable { sequence: 1 });
        assert_eq!(cas(5, 0), Completion::Conflict { current: 1 });
        assert_eq!(cas(4, 1), Completion::Fenced { term: 5 });
        assert_eq!(cas(6, 1), Completion::Durable { sequence: 2 });
        let own = store.apply(
            Process {
                node: 3,
                session: 1,
            },
            OwnedOp::new(Op::Recall { key: b"k" }),
        );
        assert_eq!(
            own,
            Completion::Value {
                revision: 0,
                value: Vec::new()
            }
        );
    }
}
