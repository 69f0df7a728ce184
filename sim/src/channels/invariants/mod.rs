//! What must hold in every run. One file for each idea; each has a bug planted against it that a batch of runs must
//! see.

pub mod books;
pub mod burnt;
pub mod delivery;
pub mod forgetting;
pub mod handover;
pub mod records;
pub mod settled;
pub mod terms;
pub mod throttle;
pub mod versions;

use std::fmt;

use crate::moment::Moment;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// See [`books`].
    OneWriter,
    /// See [`books`].
    Ticks,
    /// See [`records`].
    Acknowledged,
    /// See [`records`].
    Once,
    /// See [`delivery`].
    Delivery,
    /// See [`forgetting`].
    Forgetting,
    /// See [`terms`].
    Terms,
    /// See [`handover`].
    Handover,
    /// See [`burnt`].
    Burnt,
    /// See [`throttle`].
    Throttle,
    /// See [`versions`].
    Versions,
    /// See [`settled`].
    Settled,
    /// See [`settled`].
    Balance,
    /// See [`watch`](crate::watch): streams end once, due times are kept.
    Contract,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::OneWriter,
        Self::Ticks,
        Self::Acknowledged,
        Self::Once,
        Self::Delivery,
        Self::Forgetting,
        Self::Terms,
        Self::Handover,
        Self::Burnt,
        Self::Throttle,
        Self::Versions,
        Self::Settled,
        Self::Balance,
        Self::Contract,
    ];

    /// What it says, in a line.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::OneWriter => {
                "nothing of a term is written once a later one is open, and each has one writer"
            }
            Self::Ticks => {
                "time ticks grow within a channel, over all terms and whatever the clocks say"
            }
            Self::Acknowledged => {
                "what is acknowledged is where it is said to be, and what failed for certain is nowhere"
            }
            Self::Once => "what a producer with a name sends is written once",
            Self::Delivery => "each consumer is given each record that is kept once, in order",
            Self::Forgetting => "no more is forgotten than may be",
            Self::Terms => {
                "terms grow, each has one node, and none is named before it is in the catalog"
            }
            Self::Handover => {
                "no node opens what another still has, where nothing goes wrong or leases are relied on"
            }
            Self::Burnt => "no term is burnt by waiting",
            Self::Throttle => {
                "no more is moved for the sake of balance at once than may be, and not soon again"
            }
            Self::Versions => {
                "versions grow for each watcher, and a later one tells of no earlier term"
            }
            Self::Settled => {
                "everything is assigned, open, known and delivered soon after all faults end"
            }
            Self::Balance => "no node has two channels more than another soon after all faults end",
            Self::Contract => "every stream ends once, and due times are kept",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneWriter => "one-writer",
            Self::Ticks => "ticks",
            Self::Acknowledged => "acknowledged",
            Self::Once => "once",
            Self::Delivery => "delivery",
            Self::Forgetting => "forgetting",
            Self::Terms => "terms",
            Self::Handover => "handover",
            Self::Burnt => "burnt",
            Self::Throttle => "throttle",
            Self::Versions => "versions",
            Self::Settled => "settled",
            Self::Balance => "balance",
            Self::Contract => "contract",
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

/// Verdicts of one moment.
#[derive(Debug)]
pub struct Court<'a> {
    /// When.
    pub at: Moment,
    /// All so far.
    pub verdicts: &'a mut Vec<Verdict>,
}

impl Court<'_> {
    /// Something does not hold.
    pub fn broken(&mut self, invariant: Invariant, text: String) {
        self.verdicts.push(Verdict {
            at: self.at,
            invariant,
            text,
        });
    }
}
