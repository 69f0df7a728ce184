//! The trace of a run: a hash of everything that happened, and the text of it for those who ask.

use std::fmt;

use trefoil_core::rng::Rng;

use crate::moment::Moment;

/// Takes the text, line by line.
pub type Sink = Box<dyn FnMut(&str)>;

/// What happened, in order. Two runs of one seed have one hash.
pub struct Trace {
    hash: u64,
    events: u64,
    sink: Option<Sink>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x} after {} events)", self.hash, self.events)
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            sink: None,
        }
    }
}

impl Trace {
    /// A trace whose text goes to `sink`, line by line.
    #[must_use]
    pub fn to(sink: impl FnMut(&str) + 'static) -> Self {
        Self {
            sink: Some(Box::new(sink)),
            ..Self::default()
        }
    }

    /// Something happened. `words` and `bytes` say what; `text` says it to people, and is called only
    /// if somebody listens.
    pub fn record(
        &mut self,
        at: Moment,
        words: &[u64],
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        self.events += 1;
        self.fold(at.as_nanos());
        for word in words {
            self.fold(*word);
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word) ^ bytes.len() as u64);
        }
        if let Some(sink) = &mut self.sink {
            sink(&format!("{at} {}", text()));
        }
    }

    fn fold(&mut self, word: u64) {
        self.hash = Rng::new(self.hash ^ word).draw();
    }

    /// The hash of everything so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How much has happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}
