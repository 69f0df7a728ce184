//! Each consumer is given what the log holds: every record, once, in order, with its time tick, and nothing that is
//! not there. What was forgotten before it was given is passed over.
//!
//! Planted against it: `delivers-again`.

use std::collections::BTreeMap;

use super::books::Books;
use super::{Court, Invariant};
use crate::disk::Store;

/// Client, and its number for the consumer.
pub type ConsumerKey = (usize, u64);

#[derive(Clone, Copy, Debug)]
struct Consumer {
    channel: usize,
    /// Messages it was given, or that were forgotten before.
    given: usize,
}

/// All consumers.
#[derive(Debug, Default)]
pub struct Delivery {
    consumers: BTreeMap<ConsumerKey, Consumer>,
}

impl Delivery {
    /// A consumer of everything is opened.
    pub fn open(&mut self, key: ConsumerKey, channel: usize) {
        self.consumers.insert(key, Consumer { channel, given: 0 });
    }

    /// A record is delivered.
    pub fn given(
        &mut self,
        key: ConsumerKey,
        (tick, payload): (u64, &[u8]),
        books: &mut Books,
        store: &Store,
        court: &mut Court<'_>,
    ) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        let channel = consumer.channel;
        let first = books.first(channel, store);
        let book = books.read(channel, store, court);
        let mut due = None;
        while let Some(place) = book.messages.get(consumer.given) {
            let next = &book.records[*place];
            if (next.tick, next.payload.as_deref()) == (tick, Some(payload)) {
                consumer.given += 1;
                return;
            }
            if *place >= first {
                due = Some(next);
                break;
            }
            consumer.given += 1;
        }
        let text = String::from_utf8_lossy(payload);
        let due = due
            .and_then(|due| due.payload.as_deref())
            .unwrap_or(b"nothing");
        let due = String::from_utf8_lossy(due);
        let text =
            format!("c{channel}: {key:?} was given {text} at tick {tick}, and {due} was due");
        court.broken(Invariant::Delivery, text);
    }

    /// A consumer that has not been given everything, if there is one.
    pub fn behind(
        &self,
        books: &mut Books,
        store: &Store,
        court: &mut Court<'_>,
    ) -> Option<ConsumerKey> {
        let mut all = self.consumers.iter();
        let behind = all.find(|(_, consumer)| {
            let first = books.first(consumer.channel, store);
            let book = books.read(consumer.channel, store, court);
            let last = book.messages.last();
            consumer.given < book.messages.len() && last.is_some_and(|last| *last >= first)
        });
        behind.map(|(key, _)| *key)
    }
}
