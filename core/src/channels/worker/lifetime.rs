//! What a node has been told about a channel, and how far it has come: the part that must never be wrong.
//!
//! Both are marks, a term and whether the channel is there at it, and marks only move forward:
//! `(t, there) < (t, gone) < (t + 1, there)`. So whatever comes late or twice changes nothing, and a term that
//! was given up is never opened again. One term at a time is opened, open or closing.

/// A term, and whether the channel is there at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub term: u64,
    /// False sorts first: a channel is there before it is gone.
    pub gone: bool,
}

impl Mark {
    const fn there(term: u64) -> Self {
        Self { term, gone: false }
    }

    const fn gone(term: u64) -> Self {
        Self { term, gone: true }
    }
}

/// What the node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Closed,
    Opening(u64),
    Open(u64),
    Closing(u64),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered later: [`Lifetime::assigned`] and [`Lifetime::removed`] say when.
    Waits,
    /// The channel is open at this very term.
    IsOpen,
    /// What was asked before is further on.
    Stale,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To open the channel.
    Open(u64),
    /// To go no further with opening it. Nobody has been told that it is open.
    Abandon(u64),
    /// To close it.
    Close(u64),
}

/// How the wait for an Assign ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    Open,
    Failed,
    /// Something further on was asked for.
    Overtaken,
}

/// One channel on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// What was asked for.
    expected: Mark,
    /// What has been reached.
    current: Mark,
    phase: Phase,
    /// The last term that could not be opened.
    failed: u64,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            expected: Mark::gone(0),
            current: Mark::gone(0),
            phase: Phase::Closed,
            failed: 0,
        }
    }
}

impl Lifetime {
    pub const fn expected(&self) -> Mark {
        self.expected
    }

    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The term at which the channel serves.
    pub const fn open_at(&self) -> Option<u64> {
        match self.phase {
            Phase::Open(term) => Some(term),
            Phase::Closed | Phase::Opening(_) | Phase::Closing(_) => None,
        }
    }

    /// Whether nothing is going on and nothing is to be done.
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Closed && self.current == self.expected
    }

    /// The channel is given to this node.
    pub fn assign(&mut self, term: u64) -> Verdict {
        let wanted = Mark::there(term);
        if wanted < self.expected {
            return Verdict::Stale;
        }
        if wanted == self.current {
            return Verdict::IsOpen;
        }
        self.expected = wanted;
        Verdict::Waits
    }

    /// The channel is taken from this node.
    ///
    /// A removal that is overtaken waits for the close as well: whoever hears that the term is gone opens the
    /// channel elsewhere.
    pub fn remove(&mut self, term: u64) -> Verdict {
        if self.removed(term) {
            return Verdict::Stale;
        }
        self.expected = self.expected.max(Mark::gone(term));
        Verdict::Waits
    }

    /// What is to be done now; to be asked until there is nothing.
    pub fn step(&mut self) -> Option<Step> {
        match self.phase {
            Phase::Closed if self.expected.gone => {
                self.current = self.expected;
                None
            }
            Phase::Closed => {
                let term = self.expected.term;
                self.phase = Phase::Opening(term);
                // Whoever waits for an earlier term to be gone need not wait for this one to be there.
                self.current = self.current.max(Mark::gone(term - 1));
                Some(Step::Open(term))
            }
            Phase::Opening(term) if self.expected > Mark::there(term) => {
                self.rest_at(term);
                Some(Step::Abandon(term))
            }
            Phase::Open(term) if self.expected > Mark::there(term) => {
                self.phase = Phase::Closing(term);
                Some(Step::Close(term))
            }
            Phase::Opening(_) | Phase::Open(_) | Phase::Closing(_) => None,
        }
    }

    /// The channel is open. Whoever opened it does not matter any more if this says that it is not wanted.
    pub fn opened(&mut self, term: u64) {
        if self.phase == Phase::Opening(term) {
            self.phase = Phase::Open(term);
            self.current = Mark::there(term);
        }
    }

    /// The channel cannot be opened at this term, ever.
    pub fn failed(&mut self, term: u64) {
        if self.phase == Phase::Opening(term) {
            self.failed = term;
            self.rest_at(term);
            self.expected = self.expected.max(Mark::gone(term));
        }
    }

    /// A later term has the log: the channel is gone at this one for good.
    pub fn fenced(&mut self, term: u64) {
        if matches!(self.phase, Phase::Open(at) | Phase::Closing(at) if at == term) {
            self.expected = self.expected.max(Mark::gone(term));
        }
    }

    /// Nothing of the channel is left at this term.
    pub fn closed(&mut self, term: u64) {
        if self.phase == Phase::Closing(term) {
            self.rest_at(term);
        }
    }

    fn rest_at(&mut self, term: u64) {
        self.phase = Phase::Closed;
        self.current = Mark::gone(term);
    }

    /// How an Assign that waits is answered, if it can be.
    pub fn assigned(&self, term: u64) -> Option<Assigned> {
        if self.phase == Phase::Open(term) {
            return Some(Assigned::Open);
        }
        if self.expected <= Mark::there(term) {
            return None;
        }
        let failed = self.failed == term;
        Some(if failed {
            Assigned::Failed
        } else {
            Assigned::Overtaken
        })
    }

    /// Whether a Remove that waits is answered.
    pub fn removed(&self, term: u64) -> bool {
        self.current >= Mark::gone(term)
    }
}

#[cfg(test)]
mod tests;
