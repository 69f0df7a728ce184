//! Election: one leader at a time, with a fencing token, on the wire of `cache.Cache`.
//!
//! Every voter keeps one stream to every other. On it requests go out and answers come back; so a pair of
//! voters has two streams, and a vote is counted only where it answers a request of this node.
//!
//! | part | what it decides |
//! |---|---|
//! | [`elector`] | what is promised, and who leads: the part that must never be wrong |
//! | `timing` | when to campaign, to renew, to give up: costs time at worst |
//! | `speech` | what is said to whom |
//! | `hearing` | what a message means |
//! | [`electorate`] | who votes, and how that changes |
//! | `start` | with what a voter begins |
//! | [`follower`] | who leads, for a node that is no voter |
//! | [`ballot`] | the bytes of a vote that is kept |
//! | `redhac` | what is said to voters that are redhac's nodes, and what they are believed |
//!
//! # What is promised
//! - At most one node leads within its lease at any time, if no clock's rate is off by more than
//!   `drift_ppm`. [`Election::leads`] is a hint all the same: between it and a write anything may happen.
//!   The token, compared where the write lands, decides.
//! - Tokens of successive leaderships grow.
//! - A leader whose quorum hears it is never replaced because another node restarts, returns from a cut or
//!   has another idea of the time.
//! - A quorum that hears each other has a leader within the promise, the delay of the election and two
//!   round trips; when the old leader hands over or stops, within two round trips.
//! - Whoever is no voter can say what he likes: nothing of this changes. The voters trust each other not to
//!   lie. One that lies can vote twice; but it makes nobody panic, takes no place of others, and when it is
//!   gone the rest have a leader as above, later by what their wall clocks are apart if it named tokens as
//!   far ahead as they are believed.
//!
//! # Where some voters are redhac's nodes
//! | votes of redhac's | what holds | what does not |
//! |---|---|---|
//! | [`RedhacVotes::Ignored`] | all of the above; redhac's nodes follow the leader | a quorum is one of all voters, and only ours make it up: of two of ours and one of redhac's, both must be up |
//! | [`RedhacVotes::CountedTwoMayLead`] | that there is a leader, of ours or of redhac's | **that there is only one, and that tokens grow** |
//!
//! What the electorate is, as far as this node sees: [`Election::neighbours`].

pub mod ballot;
mod callers;
pub mod config;
pub mod elector;
pub mod electorate;
pub mod follower;
mod hearing;
mod interface;
mod peers;
mod redhac;
mod speech;
mod start;
#[cfg(test)]
mod tests;
mod timing;
pub mod token;

use alloc::vec::Vec;

use smallvec::SmallVec;

use self::callers::Callers;
pub use self::config::{ElectionConfig, ElectionConfigError, Evidence, Memory, RedhacVotes};
use self::elector::{Act, Elector, Role, Vote};
use self::electorate::{Electorate, ElectorateRefused};
pub use self::follower::{Follower, FollowerConfig};
pub use self::interface::{
    ElectionCommand, ElectionCounters, ElectionEvent, ElectionPlant, ElectionRefused, Kin,
    Neighbour, Standing,
};
use self::peers::Peers;
use self::redhac::Counted;
use self::timing::Timing;
use self::token::Token;
use crate::id::{StreamId, Tag};
use crate::machine::{Events, Full, Io, Machine};
use crate::storage::{Done, Op};
use crate::stream::StreamIn;
use crate::time::{Instant, earliest};

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 5;

/// A voter's place in the electorate, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub u8);

/// What is lent for the length of one call.
struct Lent<'a> {
    now: Instant,
    io: &'a mut dyn Io,
    up: &'a mut dyn Events<Election>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The vote of an earlier start has not been asked for.
    New,
    /// It has been asked for.
    Recalling,
    /// The electorate is another than before, and is being kept with the vote.
    Adopting(Vote),
    /// The electorate does not follow the one that was kept.
    Refused(ElectorateRefused),
    Running,
    /// It takes part no more, and owes its heir a word that waits for the store. A promise later no word of it
    /// is needed.
    Stopping {
        until: Instant,
    },
    /// All is said. It waits for those it spoke to, who end the streams once they have heard the last of it.
    Leaving {
        until: Instant,
    },
    Stopped,
}

/// Whom this node follows, as its leader has said.
#[derive(Clone, Copy, Debug)]
struct Following {
    leader: Seat,
    token: Token,
    until: Instant,
}

/// One voter of an election.
#[derive(Debug)]
pub struct Election {
    config: ElectionConfig,
    electorate: Electorate,
    /// By which peers know that they mean the same electorate.
    electorate_hash: u64,
    /// A leader of this epoch was heard of; whether that has still to be kept.
    settled: bool,
    owes_settled: bool,
    /// This voter does not know that it may take part, and says nothing until one that does asks it.
    waits: bool,
    /// Until then a voter that kept nothing does not go on, whatever it hears.
    forgetful_until: Instant,
    phase: Phase,
    elector: Elector,
    peers: Peers,
    callers: Callers,
    timing: Timing,
    following: Option<Following>,
    counted: Counted,
    /// Until then a redhac node may follow another than it was told.
    redhac_moves_until: Instant,
    /// The newest announcement that was not taken back: its leader's next request renews it even after
    /// it has run out.
    announced: Option<(Seat, Token)>,
    told: Option<Standing>,
    /// A vote could not be handed to the store.
    unsubmitted: u32,
    started: Instant,
    /// When it begins: later if the store could not be asked.
    begin_at: Instant,
    ballot: Vec<u8>,
    counters: ElectionCounters,
    plant: Option<ElectionPlant>,
}

type Acts = SmallVec<[Act; 8]>;

/// What an operation of this machine was for.
const RECALL: u64 = 1;
const KEEP: u64 = 2;
const ADOPT: u64 = 3;
const SETTLE: u64 = 4;

impl Election {
    /// A voter that has not begun.
    ///
    /// # Errors
    /// The first rule of the configuration that does not hold.
    pub fn new(config: ElectionConfig) -> Result<Self, ElectionConfigError> {
        config.check()?;
        let electorate = config.electorate();
        Ok(Self {
            electorate_hash: electorate.hash(),
            electorate,
            settled: false,
            owes_settled: false,
            waits: false,
            forgetful_until: Instant::ZERO,
            phase: Phase::New,
            elector: Elector::new(config.rules(), None, Instant::ZERO),
            peers: Peers::new(&config.voters),
            callers: Callers::new(config.voters.len(), config.followers_max),
            timing: Timing::new(&config),
            following: None,
            counted: Counted::default(),
            redhac_moves_until: Instant::ZERO,
            announced: None,
            told: None,
            unsubmitted: 0,
            started: Instant::ZERO,
            begin_at: Instant::ZERO,
            ballot: Vec::new(),
            counters: ElectionCounters::default(),
            plant: None,
            config,
        })
    }

    /// Plants a bug.
    #[doc(hidden)]
    pub fn plant(&mut self, plant: ElectionPlant) {
        self.plant = Some(plant);
        if let ElectionPlant::Elector(plant) = plant {
            self.elector.plant(plant);
        }
    }

    fn has(&self, plant: ElectionPlant) -> bool {
        self.plant == Some(plant)
    }

    /// Whether this node leads at `now`: a hint, for between it and what follows the lease may end.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.elector.leads(now)
    }

    /// What this node is in the election at `now`.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        if let (Role::Leader(token), Some(until)) =
            (self.elector.role(), self.elector.lease_until())
        {
            if now < until {
                return Standing::Leading { token, until };
            }
        }
        match self.following.filter(|following| now < following.until) {
            Some(Following { leader, token, .. }) => Standing::Following { leader, token },
            None => Standing::Leaderless,
        }
    }

    /// Until when what [`standing`](Self::standing) says holds, if nothing renews it.
    #[must_use]
    pub fn holds_until(&self, now: Instant) -> Option<Instant> {
        match self.standing(now) {
            Standing::Leading { until, .. } => Some(until),
            Standing::Following { .. } => self.following.map(|following| following.until),
            Standing::Leaderless => None,
        }
    }

    /// Whether this node takes part: not before its vote was read, nor after it was stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The safety core, to look at.
    #[must_use]
    pub const fn elector(&self) -> &Elector {
        &self.elector
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ElectionConfig {
        &self.config
    }

    /// The other voters, in order.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour<'_>> + '_ {
        self.elector.rules().others().map(|seat| {
            let peer = self.peers.at(seat);
            Neighbour {
                addr: &peer.addr,
                connected: peer.connected(),
                kin: peer.kin,
                round_trip: peer.round_trip,
            }
        })
    }

    /// Whether this node hears a quorum of voters whose votes count.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        let heard = self.elector.rules().others();
        let heard = heard.filter(|seat| self.peers.at(*seat).connected() && self.counts(*seat));
        heard.count() + 1 >= self.elector.rules().quorum()
    }

    /// Whether leaderships exclude each other and tokens grow: not where redhac's votes are counted.
    #[must_use]
    pub const fn is_exclusive(&self) -> bool {
        !self.counts_redhac()
    }

    /// What happened since it was made.
    #[must_use]
    pub const fn counters(&self) -> &ElectionCounters {
        &self.counters
    }

    /// Gives the elector an input, and does what it says.
    fn with_elector(
        &mut self,
        lent: &mut Lent<'_>,
        input: impl FnOnce(&mut Elector, Instant, elector::Acts<'_>),
    ) {
        let mut acts = Acts::new();
        input(&mut self.elector, lent.now, &mut |act| acts.push(act));
        // What is kept at once may ask for more.
        let mut at = 0;
        while let Some(act) = acts.get(at).copied() {
            at += 1;
            if act != Act::Keep {
                self.perform(act, lent);
            } else if self.config.memory == Memory::Lost || self.has(ElectionPlant::SayBeforeKept) {
                self.elector.kept(lent.now, &mut |act| acts.push(act));
            } else {
                self.unsubmitted += 1;
                self.submit_vote(lent);
            }
        }
    }

    /// Keeps the vote. One that is newer than what is being kept may stand in its place, but each keeping
    /// ends once.
    fn submit_vote(&mut self, lent: &mut Lent<'_>) {
        while self.unsubmitted > 0 {
            if self.submit_ballot(KEEP, lent).is_err() {
                return self.timing.retry_store(lent.now);
            }
            self.unsubmitted -= 1;
            self.counters.votes += 1;
        }
        if self.owes_settled {
            match self.submit_ballot(SETTLE, lent) {
                Ok(()) => self.owes_settled = false,
                Err(Full) => self.timing.retry_store(lent.now),
            }
        }
    }

    fn submit_ballot(&mut self, what: u64, lent: &mut Lent<'_>) -> Result<(), Full> {
        let vote = self.elector.vote();
        ballot::write(vote, &self.electorate, self.settled, &mut self.ballot);
        let op = Op::Keep {
            key: ballot::KEY,
            value: &self.ballot,
        };
        lent.io.submit(op, Tag::new(MACHINE, what))
    }

    /// Tells the layer above what changed, and arms the timers. Every input ends here.
    fn settle(&mut self, lent: &mut Lent<'_>) {
        if self.phase == Phase::Running {
            let bound = self.redhac_binds(lent.now).map(|(_, until)| until);
            self.timing.follow(lent.now, &self.elector, bound);
        }
        let standing = self.standing(lent.now);
        if !self.settled && standing != Standing::Leaderless && self.phase == Phase::Running {
            self.settle_epoch(lent);
        }
        if self.told == Some(standing) {
            return;
        }
        let led = matches!(self.told, Some(Standing::Leading { token, .. })
            if matches!(standing, Standing::Leading { token: new, .. } if new == token));
        self.told = Some(standing);
        match standing {
            Standing::Leading { token, until } => {
                self.counters.leaderships += u64::from(!led);
                self.claim_from_now_on();
                lent.up.event(ElectionEvent::Leading { token, until });
            }
            Standing::Following { leader, token } => {
                let leader = self.peers.addr(leader);
                lent.up.event(ElectionEvent::Following { leader, token });
            }
            Standing::Leaderless => lent.up.event(ElectionEvent::Leaderless),
        }
    }

    fn misbehaved(&mut self, voter: Option<Seat>, what: &'static str, lent: &mut Lent<'_>) {
        self.counters.misbehaved += 1;
        let voter = voter.map(|seat| self.peers.addr(seat));
        lent.up.event(ElectionEvent::Misbehaved { voter, what });
    }

    fn command(
        &mut self,
        command: ElectionCommand<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), ElectionRefused> {
        if self.phase != Phase::Running && command != ElectionCommand::Stop {
            return Err(ElectionRefused::NotReady);
        }
        let other = |addr| {
            let seat = self.peers.find(addr).filter(|seat| *seat != self.config.me);
            seat.ok_or(ElectionRefused::NoSuchVoter)
        };
        match command {
            ElectionCommand::Campaign => {
                let bound = self.elector.bound_to(lent.now).is_some();
                if bound || self.elector.silent_until(lent.now).is_some() {
                    return Err(ElectionRefused::Bound);
                }
                self.timing.campaign_now(lent.now);
            }
            ElectionCommand::HandOver { to } => {
                let to = other(to)?;
                if !self.elector.leads(lent.now) {
                    return Err(ElectionRefused::NotLeading);
                }
                if self.is_redhac(to) {
                    return Err(ElectionRefused::RedhacVoter);
                }
                self.with_elector(lent, |elector, now, acts| {
                    elector.hand_over(now, to, acts);
                });
            }
            ElectionCommand::StepDown => {
                if !self.elector.leads(lent.now) {
                    return Err(ElectionRefused::NotLeading);
                }
                self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
            }
            ElectionCommand::Dead { voter } => {
                let seat = other(voter)?;
                self.is_dead(seat, None, lent);
            }
            ElectionCommand::Stop => self.stop(lent),
        }
        Ok(())
    }

    fn is_dead(&mut self, seat: Seat, since: Option<Instant>, lent: &mut Lent<'_>) {
        self.unfollow(seat, None);
        if self.elector.is_dead(seat, since) {
            self.timing.campaign_now(lent.now);
        }
    }

    /// What `leader` said of a leadership of its own is no more, if its token is at most `token`.
    fn unfollow(&mut self, leader: Seat, token: Option<Token>) {
        let stands = |of: Seat, led: Token| of != leader || token.is_some_and(|token| led > token);
        self.following = (self.following).filter(|known| stands(known.leader, known.token));
        self.announced = self.announced.filter(|(of, led)| stands(*of, *led));
    }

    fn stop(&mut self, lent: &mut Lent<'_>) {
        if self.is_stopping() || self.phase == Phase::Stopped {
            return;
        }
        self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
        self.following = None;
        self.phase = Phase::Stopping {
            until: lent.now + self.config.promise,
        };
        self.settle(lent);
        self.stop_if_done(lent);
    }

    const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Leaving { .. })
    }

    /// Hangs up when nothing is owed.
    fn stop_if_done(&mut self, lent: &mut Lent<'_>) {
        if !self.elector.owes() {
            self.leave(lent);
        }
    }
}

impl Machine for Election {
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
        let lent = &mut Lent { now, io, up };
        let is_heard = matches!(event, StreamIn::Ended(_) | StreamIn::Accepted { .. });
        if is_heard || !self.is_stopping() {
            self.hear(stream, tag, event, lent);
        }
        self.stopped_if_heard(lent);
        self.settle(lent);
    }

    fn handle_done(
        &mut self,
        now: Instant,
        tag: Tag,
        done: Done<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let lent = &mut Lent { now, io, up };
        match tag.rest() {
            RECALL if self.phase == Phase::Recalling => self.recalled(done, lent),
            ADOPT => {
                if let Phase::Adopting(vote) = self.phase {
                    self.adopted(vote, done, lent);
                }
            }
            SETTLE if !matches!(done, Done::Durable { .. }) => {
                self.owes_settled = true;
                self.timing.retry_store(now);
            }
            // What waited for it is not said any more.
            KEEP if matches!(self.phase, Phase::Leaving { .. } | Phase::Stopped) => {}
            KEEP if matches!(done, Done::Durable { .. }) => {
                self.with_elector(lent, |elector, now, acts| elector.kept(now, acts));
                self.stop_if_done(lent);
            }
            // The heir waits for the end of the lease instead.
            KEEP if self.is_stopping() => self.leave(lent),
            KEEP => {
                self.unsubmitted += 1;
                self.timing.retry_store(now);
            }
            _ => {}
        }
        self.settle(lent);
    }

    fn handle_command(
        &mut self,
        now: Instant,
        command: ElectionCommand<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), ElectionRefused> {
        let lent = &mut Lent { now, io, up };
        let done = self.command(command, lent);
        self.settle(lent);
        done
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, up: &mut dyn Events<Self>) {
        let lent = &mut Lent { now, io, up };
        match self.phase {
            Phase::New if self.begin_at <= now => self.begin(lent),
            Phase::Running => self.pass_time(lent),
            Phase::Stopping { until } if until <= now => self.leave(lent),
            Phase::Stopping { .. } => self.retry_keeping(lent),
            Phase::Leaving { until } if until <= now => self.wait_no_longer(lent),
            Phase::New
            | Phase::Recalling
            | Phase::Adopting(_)
            | Phase::Refused(_)
            | Phase::Leaving { .. }
            | Phase::Stopped => {}
        }
        self.settle(lent);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::New => Some(self.begin_at),
            Phase::Stopping { until } => earliest(Some(until), self.timing.retries_store()),
            Phase::Leaving { until } => Some(until),
            // A lone voter that waits waits for nothing that time brings.
            Phase::Running => Some(self.due()).filter(|due| *due < Instant::FAR_FUTURE),
            Phase::Recalling | Phase::Adopting(_) | Phase::Refused(_) | Phase::Stopped => None,
        }
    }
}
