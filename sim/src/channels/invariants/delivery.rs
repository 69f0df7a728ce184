//! Each consumer is given what the log holds: every record, once, in order, with its time tick, and nothing that is
//! not there.
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
    /// Messages it was given.
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
        let book = books.read(channel, store, court);
        let due = book.messages.get(consumer.given);
        let due = due.map(|place| &book.records[*place]);
        let fits =
            due.is_some_and(|due| (due.tick, due.payload.as_deref()) == (tick, Some(payload)));
        if fits {
            consumer.given += 1;
            return;
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
            let book = books.read(consumer.channel, store, court);
            consumer.given < book.messages.len()
        });
        behind.map(|(key, _)| *key)
    }
}
