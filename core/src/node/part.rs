//! A node's part in an election: it votes, or it follows those who do.

use alloc::boxed::Box;
use alloc::string::String;

use crate::election::electorate::RETIRED;
use crate::election::{
    Election, ElectionCommand, ElectionConfig, ElectionConfigError, ElectionCounters,
    ElectionEvent, ElectionRefused, Follower, FollowerConfig, Kin, Neighbour, Seat, Standing,
};
use crate::id::{StreamId, Tag};
use crate::machine::{Events, Io, Machine};
use crate::storage::Done;
use crate::stream::StreamIn;
use crate::time::{Duration, Instant};

/// Settings of a part.
#[derive(Clone, Debug)]
pub enum PartConfig {
    /// It votes.
    Voter(ElectionConfig),
    /// It follows.
    Follower(FollowerConfig),
}

impl PartConfig {
    /// How long a vote binds.
    #[must_use]
    pub const fn promise(&self) -> Duration {
        match self {
            Self::Voter(config) => config.promise,
            Self::Follower(config) => config.promise,
        }
    }

    /// What this node says of its electorate: nothing, if it only follows.
    #[must_use]
    pub fn electorate_hash(&self) -> u64 {
        match self {
            Self::Voter(config) => config.electorate_hash(),
            Self::Follower(_) => 0,
        }
    }
}

/// A part.
#[derive(Debug)]
pub enum Part {
    /// It votes.
    Voter(Box<Election>),
    /// It follows.
    Follower(Box<Follower>),
}

/// Does `$what` with the machine inside.
macro_rules! with {
    ($part:expr, $inner:ident => $what:expr) => {
        match $part {
            Part::Voter($inner) => $what,
            Part::Follower($inner) => $what,
        }
    };
}

impl Part {
    pub(super) fn new(config: PartConfig) -> Result<Self, ElectionConfigError> {
        Ok(match config {
            PartConfig::Voter(config) => Self::Voter(Box::new(Election::new(config)?)),
            PartConfig::Follower(config) => Self::Follower(Box::new(Follower::new(config)?)),
        })
    }

    /// Whether this node leads at `now`: a hint, as [`Election::leads`].
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        match self {
            Self::Voter(election) => election.leads(now),
            Self::Follower(_) => false,
        }
    }

    /// Who leads, as this node knows.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        with!(self, part => part.standing(now))
    }

    /// Until when that holds, if nothing renews it.
    #[must_use]
    pub fn holds_until(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Voter(election) => election.holds_until(now),
            Self::Follower(follower) => follower.believes_until(now),
        }
    }

    /// Whether it takes part now: a voter that lost its memory is silent for a while.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        match self {
            Self::Voter(election) => {
                !election.is_running() || election.elector().silent_until(now).is_some()
            }
            Self::Follower(_) => false,
        }
    }

    /// The seat it votes from.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        match self {
            Self::Voter(election) => Some(election.config().me),
            Self::Follower(_) => None,
        }
    }

    /// All places of the list of voters.
    #[must_use]
    pub fn places(&self) -> &[String] {
        with!(self, part => &part.config().voters)
    }

    /// Whether a quorum of voters is heard, this node counted if it votes.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        match self {
            Self::Voter(election) => election.has_quorum(),
            Self::Follower(follower) => {
                let voters = self.places().iter().filter(|place| *place != RETIRED);
                let heard = follower.neighbours().filter(|voter| voter.connected);
                2 * heard.count() > voters.count()
            }
        }
    }

    /// Calls `see` with each other voter, in the order of the list.
    pub fn neighbours<'a>(&'a self, see: &mut dyn FnMut(Neighbour<'a>)) {
        with!(self, part => part.neighbours().for_each(see));
    }

    /// The first voter that would take a leadership over.
    pub(super) fn heir(&self) -> Option<String> {
        let mut heir = None;
        self.neighbours(&mut |voter| {
            if heir.is_none() && voter.connected && voter.kin == Kin::Ours {
                heir = Some(String::from(voter.addr));
            }
        });
        heir
    }

    /// What happened since it was made.
    #[must_use]
    pub const fn counters(&self) -> &ElectionCounters {
        with!(self, part => part.counters())
    }
}

impl Machine for Part {
    type Command<'a> = ElectionCommand<'a>;
    type Event<'a> = ElectionEvent<'a>;
    type Refused = ElectionRefused;

    fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let mut up = |event: ElectionEvent<'_>| up.event(event);
        with!(self, part => part.handle_stream(now, stream, tag, event, io, &mut up));
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let mut up = |event: ElectionEvent<'_>| up.event(event);
        with!(self, part => part.handle_done(now, tag, done, io, &mut up));
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: ElectionCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), ElectionRefused> {
        let mut up = |event: ElectionEvent<'_>| up.event(event);
        with!(self, part => part.handle_command(now, command, io, &mut up))
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let mut up = |event: ElectionEvent<'_>| up.event(event);
        with!(self, part => part.handle_timeout(now, io, &mut up));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        with!(self, part => part.poll_timeout())
    }
}
