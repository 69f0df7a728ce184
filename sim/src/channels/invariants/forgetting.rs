//! What is forgotten of a log may be: the newest bytes that are to be kept are kept, and the last record always is.
//!
//! Ages are not judged: nodes whose clocks on the wall are half a minute wrong are told of ages of a second.
//!
//! Planted against it: `forgets-early`.

use trefoil_core::channels::worker::Retention;

use super::books::Books;
use super::{Court, Invariant};
use crate::disk::Store;

/// How far all logs are forgotten.
#[derive(Debug)]
pub struct Forgetting {
    retention: Retention,
    firsts: Vec<u64>,
}

impl Forgetting {
    /// Logs of which nothing is forgotten yet.
    #[must_use]
    pub fn new(channels: usize, retention: Retention) -> Self {
        Self {
            retention,
            firsts: vec![0; channels],
        }
    }

    /// Looks what has been forgotten since the last look. Returns how many records.
    pub fn judge(&mut self, books: &Books, store: &Store, court: &mut Court<'_>) -> u64 {
        if !self.retention.forgets() {
            return 0;
        }
        let mut forgotten = 0;
        for (channel, known) in self.firsts.iter_mut().enumerate() {
            let Some(log) = store.log(books.key(channel)) else {
                continue;
            };
            let first = log.first();
            if first == *known {
                continue;
            }
            let kept = log.records().get(first as usize..).unwrap_or_default();
            let bytes: u64 = kept.iter().map(|record| record.payload.len() as u64).sum();
            let by_age = self.retention.age.is_some();
            let least = self.retention.bytes.filter(|_| !by_age).unwrap_or(1);
            if bytes < least {
                let text = format!("c{channel}: {bytes} bytes are kept, and {least} are to be");
                court.broken(Invariant::Forgetting, text);
            }
            forgotten += first - *known;
            *known = first;
        }
        forgotten
    }
}
