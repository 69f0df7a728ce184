//! What must hold in every run. One file for each; each has a bug planted against it that a batch of
//! runs must see.

pub mod counters;
pub mod frozen;
pub mod journal;
pub mod owners;
pub mod resurrection;
pub mod streams;
pub mod timers;
pub mod views;

use std::fmt;

use crate::moment::Moment;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// See [`journal`].
    Journal,
    /// See [`owners`].
    Owners,
    /// See [`resurrection`].
    Resurrection,
    /// See [`streams`].
    Streams,
    /// See [`timers`].
    Timers,
    /// See [`counters`].
    Counters,
    /// See [`views`].
    Views,
    /// See [`frozen`].
    Frozen,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Journal,
        Self::Owners,
        Self::Resurrection,
        Self::Streams,
        Self::Timers,
        Self::Counters,
        Self::Views,
        Self::Frozen,
    ];

    /// What it says, in a line.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Journal => "a journal has one writer at a time, and nothing acknowledged is lost",
            Self::Owners => "every id has one owner in all views soon after the views are equal",
            Self::Resurrection => "nobody who was removed comes back by hearsay",
            Self::Streams => "every accepted stream ends exactly once",
            Self::Timers => "due times are kept, and nothing happens before them",
            Self::Counters => "answers show one history, and a settled Get shows all of it",
            Self::Views => "views are right within 30 s of the end of all faults",
            Self::Frozen => "a frozen host removes nobody",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "journal",
            Self::Owners => "owners",
            Self::Resurrection => "resurrection",
            Self::Streams => "streams",
            Self::Timers => "timers",
            Self::Counters => "counters",
            Self::Views => "views",
            Self::Frozen => "frozen",
        })
    }
}

/// That an invariant was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// When.
    pub at: Moment,
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.invariant, self.at, self.text)
    }
}
