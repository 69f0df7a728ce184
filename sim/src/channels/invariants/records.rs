//! What became of the records that clients gave away: acknowledged ones are in the log where it was said, those that
//! failed for certain are not, and a producer with a name has each of its own there once: a record that comes again
//! is known by the one that was kept.
//!
//! Planted against it: `ack-early`, `lying-store` (acknowledged), `unknown-is-lost` (once).

use std::collections::{BTreeMap, BTreeSet};

use super::books::Books;
use super::{Court, Invariant};
use crate::disk::Store;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    Acknowledged(u64),
    Failed { certain: bool },
}

/// What one producer gave away, in the order of its numbers.
#[derive(Clone, Debug)]
struct Producer {
    channel: usize,
    named: bool,
    records: Vec<(Vec<u8>, Fate)>,
}

/// Client, and its number for the producer.
pub type ProducerKey = (usize, u64);

/// All producers.
#[derive(Debug, Default)]
pub struct Records {
    producers: BTreeMap<ProducerKey, Producer>,
}

impl Records {
    /// A producer is opened.
    pub fn open(&mut self, key: ProducerKey, channel: usize, named: bool) {
        let producer = Producer {
            channel,
            named,
            records: Vec::new(),
        };
        self.producers.insert(key, producer);
    }

    /// A record is given to a producer.
    pub fn give(&mut self, key: ProducerKey, payload: Vec<u8>) {
        if let Some(producer) = self.producers.get_mut(&key) {
            producer.records.push((payload, Fate::Waits));
        }
    }

    /// A record was not taken after all.
    pub fn take_back(&mut self, payload: &[u8]) {
        for producer in self.producers.values_mut() {
            producer.records.retain(|(known, _)| known != payload);
        }
    }

    /// A record is acknowledged at a place of the log.
    pub fn acknowledge(
        &mut self,
        key: ProducerKey,
        sequence: u64,
        place: u64,
        books: &mut Books,
        store: &Store,
        court: &mut Court<'_>,
    ) {
        let Some(channel) = self.producers.get(&key).map(|producer| producer.channel) else {
            return;
        };
        let book = books.read(channel, store, court);
        let there = book.records.get(place as usize);
        let there = there.and_then(|written| written.payload.clone());
        let Some((payload, fate)) = self.record(key, sequence) else {
            return;
        };
        *fate = Fate::Acknowledged(place);
        if there.as_ref() != Some(payload) {
            let text = format!("c{channel}: {key:?} has no record {sequence} at {place}");
            court.broken(Invariant::Acknowledged, text);
        }
    }

    /// A record is given up.
    pub fn fail(&mut self, key: ProducerKey, sequence: u64, certain: bool) {
        if let Some((_, fate)) = self.record(key, sequence) {
            *fate = Fate::Failed { certain };
        }
    }

    fn record(&mut self, key: ProducerKey, sequence: u64) -> Option<(&mut Vec<u8>, &mut Fate)> {
        let producer = self.producers.get_mut(&key)?;
        let at = usize::try_from(sequence.checked_sub(1)?).ok()?;
        let (payload, fate) = producer.records.get_mut(at)?;
        Some((payload, fate))
    }

    /// How many records wait for what becomes of them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let all = self
            .producers
            .values()
            .flat_map(|producer| &producer.records);
        all.filter(|(_, fate)| *fate == Fate::Waits).count()
    }

    /// All is over: the books are compared.
    pub fn finish(&self, books: &mut Books, store: &Store, court: &mut Court<'_>) {
        for channel in 0..books.len() {
            let first = books.first(channel, store);
            let book = books.read(channel, store, court);
            let mut counts: BTreeMap<&[u8], u32> = BTreeMap::new();
            let mut again = BTreeSet::new();
            let mut kept = BTreeSet::new();
            for place in &book.messages {
                if let Some(payload) = &book.records[*place].payload {
                    *counts.entry(payload).or_default() += 1;
                    let is_kept = *place >= first;
                    if is_kept && !kept.insert(payload.as_slice()) {
                        again.insert(payload.as_slice());
                    }
                }
            }
            let here = |producer: &&Producer| producer.channel == channel;
            let mut known = BTreeSet::new();
            for producer in self.producers.values().filter(here) {
                for (payload, fate) in &producer.records {
                    known.insert(payload.as_slice());
                    let count = counts.get(payload.as_slice()).copied().unwrap_or(0);
                    let text = String::from_utf8_lossy(payload);
                    let twice = count > 1 && (first == 0 || again.contains(payload.as_slice()));
                    if producer.named && twice {
                        let text = format!("c{channel}: {text} is there {count} times");
                        court.broken(Invariant::Once, text);
                    }
                    let (least, most) = match fate {
                        Fate::Acknowledged(_) => (1, u32::MAX),
                        Fate::Failed { certain: true } => (0, 0),
                        Fate::Waits | Fate::Failed { certain: false } => (0, u32::MAX),
                    };
                    if !(least..=most).contains(&count) {
                        let text = format!("c{channel}: {text}, {fate:?}, is there {count} times");
                        court.broken(Invariant::Acknowledged, text);
                    }
                }
            }
            if counts.keys().any(|payload| !known.contains(payload)) {
                let text = format!("c{channel}: a record that nobody sent");
                court.broken(Invariant::Acknowledged, text);
            }
        }
    }
}
