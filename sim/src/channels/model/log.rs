//! The log of a channel, as far as its records matter: whose it is, of which term the last record is, and how often
//! the one message is there.

use super::state::Broken;

/// A log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    fence: (u64, i64),
    last_term: u64,
    /// How often the message is in it.
    pub copies: u8,
}

impl Log {
    /// An owner takes it over. `false` if a later term has it.
    pub fn raise(&mut self, term: u64, owner: i64) -> bool {
        let free = self.fence.0 < term || self.fence == (term, owner);
        if free {
            self.fence = (term, owner);
        }
        free
    }

    /// An owner appends. `false` if the log is another's; `fences` says whether that is looked at.
    ///
    /// # Errors
    /// The record is of an old term, or the message is there twice.
    pub fn append(
        &mut self,
        (term, owner): (u64, i64),
        message: bool,
        fences: bool,
    ) -> Result<bool, Broken> {
        if fences && self.fence != (term, owner) {
            return Ok(false);
        }
        if term < self.last_term {
            return Err(Broken::OldTerm);
        }
        self.last_term = term;
        self.copies += u8::from(message);
        if self.copies > 1 {
            return Err(Broken::Twice);
        }
        Ok(true)
    }
}
