//! What the clients know: every request, and what they were told about it.

use std::collections::BTreeMap;

use super::counter::State;
use crate::moment::Moment;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its client waits, or gave up: it may have been applied.
    Open,
    /// It was acknowledged, with the state it led to if the answer was still held.
    Acknowledged(Option<State>),
}

/// One mutation a client asked for.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The actor.
    pub id: u64,
    /// What is added to it; different in all requests of a run.
    pub nonce: u64,
    /// What became of it.
    pub fate: Fate,
    /// When it was first sent.
    pub asked: Moment,
}

/// What a Get showed.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The actor.
    pub id: u64,
    /// Its state; `None` if it was never written.
    pub state: Option<State>,
    /// When the answer came.
    pub at: Moment,
    /// Whether the world had settled when it was asked.
    pub settled: bool,
    /// The node it was asked at.
    pub node: usize,
}

/// The books of all clients. They live outside of every node.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<u128, Entry>,
    seen: Vec<Seen>,
}

impl Ledger {
    /// A request is about to be sent for the first time.
    pub fn open(&mut self, request_id: u128, entry: Entry) {
        self.entries.insert(request_id, entry);
    }

    /// A request was acknowledged.
    pub fn acknowledge(&mut self, request_id: u128, state: Option<State>) {
        if let Some(entry) = self.entries.get_mut(&request_id) {
            entry.fate = Fate::Acknowledged(state);
        }
    }

    /// A Get was answered.
    pub fn saw(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// All requests.
    pub fn entries(&self) -> impl Iterator<Item = (u128, &Entry)> {
        self.entries
            .iter()
            .map(|(request_id, entry)| (*request_id, entry))
    }

    /// A request.
    #[must_use]
    pub fn entry(&self, request_id: u128) -> Option<&Entry> {
        self.entries.get(&request_id)
    }

    /// All that Gets showed.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Requests that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.fate != Fate::Open)
            .count()
    }
}
