//! A store inside one process, shared by its nodes: the contract of [`Op`], in the fewest words.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll};

use crate::id::Tag;
use crate::machine::Full;
use crate::storage::{
    Completion, NamedValue, Op, OwnerId, RECORD_HEAD, Records, Storage, push_value, record_head,
};

/// Term of a sealed log: no writer has a higher one.
const SEALED: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Log {
    term: u64,
    owner: OwnerId,
    first: u64,
    next: u64,
    /// The records kept, as [`Records`] lays them out.
    run: Vec<u8>,
}

impl Log {
    fn admits(&self, term: u64, owner: OwnerId) -> bool {
        self.term != SEALED && (self.term, self.owner) == (term, owner)
    }

    const fn tail(&self) -> Completion<Vec<u8>> {
        Completion::Tail {
            term: self.term,
            owner: self.owner,
            first: self.first,
            next: self.next,
        }
    }

    const fn fenced(&self) -> Completion<Vec<u8>> {
        Completion::Fenced { term: self.term }
    }

    /// Where in the run the first record of at least this number begins.
    fn at(&self, number: u64) -> usize {
        let kept = Records(&self.run).iter();
        kept.take_while(|(sequence, _)| *sequence < number)
            .map(|(_, payload)| RECORD_HEAD + payload.len())
            .sum()
    }

    fn fence(&mut self, term: u64, owner: OwnerId) -> Completion<Vec<u8>> {
        let lower = self.term >= term && !self.admits(term, owner);
        if self.term == SEALED || lower {
            return self.fenced();
        }
        (self.term, self.owner) = (term, owner);
        self.tail()
    }

    fn append(&mut self, expected: u64, payload: &[u8]) -> Completion<Vec<u8>> {
        if self.next != expected {
            return Completion::Conflict { current: self.next };
        }
        let Ok(len) = u32::try_from(payload.len()) else {
            return Completion::Unknown;
        };
        self.run.extend_from_slice(&record_head(expected, len));
        self.run.extend_from_slice(payload);
        self.next += 1;
        Completion::Durable { sequence: expected }
    }

    fn read(&self, from: u64, bytes_max: u32) -> Vec<u8> {
        let wanted = &self.run[self.at(from)..];
        let (mut end, mut payload_bytes) = (0, 0);
        for (_, payload) in Records(wanted).iter() {
            payload_bytes += payload.len();
            if end > 0 && payload_bytes > bytes_max as usize {
                break;
            }
            end += RECORD_HEAD + payload.len();
        }
        wanted[..end].to_vec()
    }

    fn trim(&mut self, before: u64) -> Completion<Vec<u8>> {
        self.first = self.first.max(before.min(self.next));
        self.run.drain(..self.at(self.first));
        Completion::Durable {
            sequence: self.first,
        }
    }
}

#[derive(Debug, Default)]
struct Tables {
    logs: BTreeMap<Vec<u8>, Log>,
    catalog: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    catalog_fence: u64,
    catalog_revision: u64,
    local: BTreeMap<(String, Vec<u8>), Vec<u8>>,
}

impl Tables {
    /// A log that is to be written, made if it does not exist.
    fn log(&mut self, name: &[u8]) -> &mut Log {
        if !self.logs.contains_key(name) {
            self.logs.insert(name.to_vec(), Log::default());
        }
        // It was made above.
        self.logs.get_mut(name).unwrap_or_else(|| unreachable!())
    }

    fn written(
        &mut self,
        name: &[u8],
        term: u64,
        owner: OwnerId,
        write: impl FnOnce(&mut Log) -> Completion<Vec<u8>>,
    ) -> Completion<Vec<u8>> {
        let log = self.log(name);
        if log.admits(term, owner) {
            write(log)
        } else {
            log.fenced()
        }
    }

    fn apply(&mut self, node: &str, op: Op<'_>) -> Completion<Vec<u8>> {
        match op {
            Op::Load { key } => {
                let (revision, value) = self.catalog.get(key).cloned().unwrap_or_default();
                Completion::Value { revision, value }
            }
            Op::Scan {
                prefix,
                after,
                bytes_max,
            } => Completion::Values(self.scan(prefix, after, bytes_max)),
            Op::Cas {
                key,
                fence,
                revision,
                value,
            } => self.cas(key, fence, revision, value),
            Op::Fence { log, term, owner } => self.log(log).fence(term, owner),
            Op::Tail { log } => self
                .logs
                .get(log)
                .map_or_else(|| Log::default().tail(), Log::tail),
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => self.written(log, term, owner, |log| log.append(expected, payload)),
            Op::Read {
                log,
                from,
                bytes_max,
            } => {
                let log = self.logs.get(log);
                Completion::Records(log.map(|log| log.read(from, bytes_max)).unwrap_or_default())
            }
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => self.written(log, term, owner, |log| log.trim(before)),
            Op::Seal { log, term, owner } => self.written(log, term, owner, |log| {
                log.term = SEALED;
                Completion::Durable { sequence: log.next }
            }),
            Op::Keep { key, value } => {
                let key = (String::from(node), key.to_vec());
                self.local.insert(key, value.to_vec());
                Completion::Durable { sequence: 1 }
            }
            Op::Recall { key } => {
                let value = self.local.get(&(String::from(node), key.to_vec()));
                Completion::Value {
                    revision: value.is_some().into(),
                    value: value.cloned().unwrap_or_default(),
                }
            }
        }
    }

    fn scan(&self, prefix: &[u8], after: &[u8], bytes_max: u32) -> Vec<u8> {
        let mut run = Vec::new();
        let from = prefix.max(after);
        for (key, (revision, value)) in self.catalog.range(from.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            let named = NamedValue {
                key,
                revision: *revision,
                value,
            };
            if key.as_slice() > after && push_value(&mut run, named, bytes_max).is_err() {
                break;
            }
        }
        run
    }

    fn cas(&mut self, key: &[u8], fence: u64, revision: u64, value: &[u8]) -> Completion<Vec<u8>> {
        if fence < self.catalog_fence {
            return Completion::Fenced {
                term: self.catalog_fence,
            };
        }
        self.catalog_fence = fence;
        let current = self.catalog.get(key).map_or(0, |(revision, _)| *revision);
        if revision != current {
            return Completion::Conflict { current };
        }
        self.catalog_revision += 1;
        let sequence = self.catalog_revision;
        self.catalog
            .insert(key.to_vec(), (sequence, value.to_vec()));
        Completion::Durable { sequence }
    }
}

/// What the nodes of a process keep. It is gone with the last handle of it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Rc<RefCell<Tables>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A node's side of it. Up to `ops_max` outcomes wait to be taken.
    #[must_use]
    pub fn session(&self, node: &str, ops_max: u32) -> MemorySession {
        MemorySession {
            store: self.clone(),
            node: String::from(node),
            done: VecDeque::with_capacity(ops_max as usize),
        }
    }
}

/// One node's side of a [`MemoryStore`]. Operations are done as they are submitted.
#[derive(Debug)]
pub struct MemorySession {
    store: MemoryStore,
    node: String,
    done: VecDeque<(Tag, Completion<Vec<u8>>)>,
}

impl Storage for MemorySession {
    type Buf = Vec<u8>;

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.done.len() == self.done.capacity() {
            return Err(Full);
        }
        let outcome = self.store.tables.borrow_mut().apply(&self.node, op);
        self.done.push_back((tag, outcome));
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        self.done.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
