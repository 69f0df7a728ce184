//! What the logs hold: terms never fall within a log, each has one writer, and time ticks grow.
//!
//! Every term begins with a record of its own. So an append of an old term behind the opening of a newer one, by a
//! zombie or out of a store that wakes late, shows as a term that falls.
//!
//! Planted against it: `no-fence` (one writer), `tail-unread` (ticks).

use trefoil_core::channels::worker::record;
use trefoil_proto::Decode;
use trefoil_proto::streaming::Message;

use super::{Court, Invariant};
use crate::channels::subject::name_of;
use crate::disk::Store;
use crate::net::Process;

/// A record.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its term.
    pub term: u64,
    /// Its time tick.
    pub tick: u64,
    /// What it says, if it is a message.
    pub payload: Option<Vec<u8>>,
    writer: Process,
}

/// One log, as far as it was read.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// All its records.
    pub records: Vec<Written>,
    /// Which of them are messages.
    pub messages: Vec<usize>,
}

/// All logs.
#[derive(Debug)]
pub struct Books {
    keys: Vec<Vec<u8>>,
    books: Vec<Book>,
}

impl Books {
    /// The logs of so many channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            keys: (0..channels)
                .map(|channel| format!("channel/{}", name_of(channel)).into_bytes())
                .collect(),
            books: vec![Book::default(); channels],
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// The name of a channel's log.
    #[must_use]
    pub fn key(&self, channel: usize) -> &[u8] {
        &self.keys[channel]
    }

    /// The first record of a channel that is not forgotten.
    #[must_use]
    pub fn first(&self, channel: usize, store: &Store) -> usize {
        let log = store.log(&self.keys[channel]);
        log.map_or(0, |log| log.first() as usize)
    }

    /// The log of a channel, read to its end. What is new is judged.
    pub fn read(&mut self, channel: usize, store: &Store, court: &mut Court<'_>) -> &Book {
        let book = &mut self.books[channel];
        let Some(log) = store.log(&self.keys[channel]) else {
            return book;
        };
        for found in &log.records()[book.records.len()..] {
            let place = book.records.len();
            let written = record::read(&found.payload).ok();
            let Some(read) = written else {
                court.broken(
                    Invariant::OneWriter,
                    format!("c{channel}: record {place} is none"),
                );
                return book;
            };
            let message = read.message.and_then(|bytes| Message::parse(bytes).ok());
            let written = Written {
                term: read.term,
                tick: read.tick,
                payload: message.map(|message| message.payload.to_vec()),
                writer: found.writer,
            };
            judge(channel, book, &written, court);
            if written.payload.is_some() {
                book.messages.push(place);
            }
            book.records.push(written);
        }
        book
    }
}

fn judge(channel: usize, book: &Book, written: &Written, court: &mut Court<'_>) {
    let Some(last) = book.records.last() else {
        return;
    };
    let place = book.records.len();
    if written.term < last.term {
        let (term, later) = (written.term, last.term);
        let text = format!("c{channel}: record {place} is of term {term}, behind one of {later}");
        court.broken(Invariant::OneWriter, text);
    }
    if written.term == last.term && written.writer != last.writer {
        let (term, one, other) = (written.term, last.writer, written.writer);
        let text = format!("c{channel}: {one:?} and {other:?} write at term {term}");
        court.broken(Invariant::OneWriter, text);
    }
    if written.tick <= last.tick {
        let (tick, last) = (written.tick, last.tick);
        let text = format!("c{channel}: record {place} has tick {tick}, behind one of {last}");
        court.broken(Invariant::Ticks, text);
    }
}
