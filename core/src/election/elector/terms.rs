//! What the elector speaks of.

use crate::election::Seat;
use crate::election::token::Token;
use crate::time::{Duration, Instant};

/// What all voters of an electorate have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// This voter.
    pub me: Seat,
    /// Places in all.
    pub voters: u8,
    /// Places whose voter is none any more, one bit each.
    pub retired: u64,
    /// How long a promise binds, by the clock of the voter.
    pub promise: Duration,
    /// How long a granted request counts, by the clock of the candidate, from when it was sent.
    pub lease: Duration,
    /// Unix time at the origin of this voter's clock, in nanoseconds.
    pub unix_origin: i64,
    /// Whether votes survive a restart. Otherwise a voter that starts says nothing for one promise, and a
    /// withdrawal releases nobody: a token that was forgotten might come again.
    pub votes_are_kept: bool,
}

impl Rules {
    /// Voters that make a majority.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        (self.voters as usize - self.retired.count_ones() as usize) / 2 + 1
    }

    /// Whether a seat is a voter's.
    #[must_use]
    pub const fn is_voter(&self, seat: Seat) -> bool {
        seat.0 < self.voters && self.retired >> seat.0 & 1 == 0
    }

    /// All voters but this one.
    pub fn others(&self) -> impl Iterator<Item = Seat> + use<> {
        let (me, retired) = (self.me, self.retired);
        let is_other = move |seat: &Seat| *seat != me && retired >> seat.0 & 1 == 0;
        (0..self.voters).map(Seat).filter(is_other)
    }
}

/// A vote: whom this voter promised to acknowledge alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// Who asked.
    pub to: Seat,
    /// With which token.
    pub token: Token,
    /// Its owner may ask with an earlier token, too, as long as it is above this one. Below `token` only
    /// while nothing was acknowledged: the promise was handed on by a candidate that gave way, and its owner
    /// may not know of the token.
    pub above: Token,
    /// Until when, if it is not renewed.
    pub until: Instant,
}

impl Promise {
    /// A promise that covers one token alone.
    pub(super) const fn of(to: Seat, token: Token, until: Instant) -> Self {
        Self {
            to,
            token,
            above: token,
            until,
        }
    }

    /// Whether nothing was acknowledged under it yet, and earlier tokens are covered.
    pub(super) fn is_open(&self) -> bool {
        self.above < self.token
    }

    /// Whether its owner may ask with `token`.
    pub(super) fn covers(&self, token: Token) -> bool {
        token == self.token || (self.above < token && token < self.token)
    }
}

/// What must survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The greatest token that was promised, made or heard of.
    pub max: Token,
    /// The promise, without its time: after a restart it binds anew for all of it.
    pub promise: Option<(Seat, Token)>,
}

/// What this voter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It follows, or waits.
    Follower,
    /// It asks for votes.
    Candidate(Token),
    /// It leads, as long as its lease holds.
    Leader(Token),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Keep [`Elector::vote`](super::Elector::vote), and call [`Elector::kept`](super::Elector::kept) when it is durable.
    Keep,
    /// Ask a voter for its promise, or to renew it.
    Request {
        /// Whom.
        to: Seat,
        /// The token of the candidacy or leadership.
        token: Token,
    },
    /// Acknowledge the last request of a voter.
    Grant {
        /// Whose.
        to: Seat,
        /// Its token.
        token: Token,
    },
    /// Tell a voter, in answer to a request, who has the promise.
    Refuse {
        /// Whom.
        to: Seat,
        /// What it asked with.
        token: Token,
        /// Who has it, and the token.
        info: Info,
    },
    /// Tell all that this node leads.
    Announce(Token),
    /// Tell all that this node asks no more.
    Withdraw(Info),
    /// Tell all whose the votes are now.
    Switch(HandOn),
}

/// Votes that are handed on: whoever promised the predecessor of `token` to this voter promises `token` to
/// `to` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandOn {
    /// The next candidate.
    pub to: Seat,
    /// Its token.
    pub token: Token,
    /// Whether this voter was a candidate that gave way, and no leader.
    pub ceding: bool,
    /// What `to` had asked for with a token of its own and is granted: it needs no other, and is not told.
    pub grants: Option<Token>,
}

/// What a voter says about the leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Info {
    /// Whom its promise binds it to.
    pub leader: Option<Seat>,
    /// The token of that leadership if it is its own, otherwise the greatest it knows.
    pub token: Token,
}

/// Bugs to be planted, one at a time, for checkers that must find them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plant {
    /// A withdrawal releases whatever was promised to its sender, however old it is.
    ReleaseUntested,
    /// Leadership is handed over and not given up.
    HandOverFirst,
    /// An earlier token breaks a promise: redhac's rule.
    EarlierWins,
    /// The lease is counted from when the acknowledgement came.
    LeaseFromAck,
    /// A token below one that was promised before is promised.
    NoFloor,
    /// A hand-over below the greatest token is taken.
    LowToken,
    /// The greatest token of a refusal is used as one's own.
    Steal,
    /// A withdrawal releases promises though votes are not kept.
    ReleaseUnkept,
    /// A restarted voter that kept nothing votes at once.
    NoGuard,
    /// A leader's hand-over is taken for that of a candidate that gave way.
    OpenHandOver,
}
