//! When: to campaign, to renew, to give up. Nothing here can make two leaders; it can only cost time.

use super::elector::{Elector, Promise, Role};
use super::{Election, ElectionConfig, ElectionPlant, Lent, Seat};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// What each place further down the list waits longer before it campaigns.
const RANK_DELAY: Duration = Duration::from_millis(30);
/// Between two looks whether a stream is alive.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Wait before a vote is handed to the store again.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(10);

/// A look around before a campaign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    until: Instant,
    /// Voters that have no leader, one bit each.
    free: u64,
}

/// What falls due.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    promise: Duration,
    heartbeat: Duration,
    rank: u32,
    rng: Rng,
    /// The promise this voter is bound by ends then, or ended early then.
    bound_until: Instant,
    was_bound: bool,
    delay: Duration,
    pub(super) poll: Option<Poll>,
    candidate_until: Instant,
    beat_at: Instant,
    store_at: Option<Instant>,
    role: Role,
}

impl Timing {
    pub(super) fn new(config: &ElectionConfig) -> Self {
        Self {
            promise: config.promise,
            heartbeat: config.heartbeat(),
            rank: u32::from(config.me.0),
            rng: Rng::new(config.seed ^ u64::from(config.me.0) << 56),
            bound_until: Instant::ZERO,
            was_bound: false,
            delay: Duration::ZERO,
            poll: None,
            candidate_until: Instant::FAR_FUTURE,
            beat_at: Instant::FAR_FUTURE,
            store_at: None,
            role: Role::Follower,
        }
    }

    /// Time-outs of streams: none while a stall of half a promise may still end well.
    pub(super) const fn patience(&self) -> Duration {
        self.promise
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.bound_until = now;
        self.draw();
    }

    fn draw(&mut self) {
        let spread = u64::try_from(self.promise.as_nanos() / 10).unwrap_or(u64::MAX);
        self.delay = Duration::from_nanos(self.rng.below(spread)) + RANK_DELAY * self.rank;
    }

    /// This voter's turn is now.
    pub(super) fn campaign_now(&mut self, now: Instant) {
        self.was_bound = false;
        self.bound_until = now;
        self.delay = Duration::ZERO;
    }

    pub(super) const fn retries_store(&self) -> Option<Instant> {
        self.store_at
    }

    pub(super) fn retry_store(&mut self, now: Instant) {
        self.store_at = Some(now + STORE_RETRY);
    }

    /// Looks at what the elector became. `other` is until when something besides its promise binds.
    pub(super) fn follow(&mut self, now: Instant, elector: &Elector, other: Option<Instant>) {
        let (before, role) = (self.role, elector.role());
        if before != role {
            self.role = role;
            self.poll = None;
            match role {
                Role::Candidate(_) => {
                    self.candidate_until = now + self.promise.mul_f32(0.4);
                    self.beat_at = now + self.heartbeat / 2;
                }
                Role::Leader(_) => self.beat_at = now + self.heartbeat,
                Role::Follower => {
                    self.was_bound = false;
                    self.bound_until = now;
                    self.draw();
                }
            }
        }
        let promised = elector.bound_to(now).map(|Promise { until, .. }| until);
        match promised.max(other).filter(|_| role == Role::Follower) {
            Some(until) => {
                self.was_bound = true;
                self.bound_until = until;
                self.poll = None;
            }
            // It was given back before its time.
            None if self.was_bound && now < self.bound_until => {
                self.was_bound = false;
                self.bound_until = now;
                self.draw();
            }
            None => {}
        }
    }

    /// When this voter campaigns, if nothing keeps it from doing so.
    fn campaign_at(&self, elector: &Elector) -> Instant {
        let silent = elector.silent_until(Instant::ZERO).unwrap_or_default();
        self.bound_until.max(silent) + self.delay
    }

    fn due(&self, elector: &Elector) -> Instant {
        let due = match elector.role() {
            Role::Follower => match self.poll {
                Some(poll) => poll.until,
                None => self.campaign_at(elector),
            },
            Role::Candidate(_) => self.candidate_until.min(self.beat_at),
            Role::Leader(_) => {
                let lease = elector.lease_until().unwrap_or(Instant::ZERO);
                self.beat_at.min(lease)
            }
        };
        due.min(self.store_at.unwrap_or(Instant::FAR_FUTURE))
    }
}

impl Election {
    /// When something falls due. Linear in the voters.
    pub(super) fn due(&self) -> Instant {
        let patience = self.timing.patience();
        let peers = self.elector.rules().others();
        let streams = peers.map(|seat| self.peers.at(seat).due(patience)).min();
        let following = self
            .following
            .map_or(Instant::FAR_FUTURE, |following| following.until);
        let due = self.timing.due(&self.elector).min(following);
        let due = due.min(self.redhac_due());
        due.min(streams.unwrap_or(Instant::FAR_FUTURE))
    }

    /// Keeps what the store had no room for, or did not say that it has, once it is time to.
    pub(super) fn retry_keeping(&mut self, lent: &mut Lent<'_>) {
        if self.timing.store_at.is_some_and(|due| due <= lent.now) {
            self.timing.store_at = None;
            self.submit_vote(lent);
        }
    }

    pub(super) fn pass_time(&mut self, lent: &mut Lent<'_>) {
        let now = lent.now;
        self.with_elector(lent, |elector, now, acts| elector.pass(now, acts));
        if self
            .following
            .is_some_and(|following| following.until <= now)
        {
            self.following = None;
        }
        self.retry_keeping(lent);
        for seat in self.elector.rules().others() {
            self.tend(seat, lent);
        }
        self.check_redhac_leader(lent);
        let bound = self.redhac_binds(now).map(|(_, until)| until);
        self.timing.follow(now, &self.elector, bound);
        match self.elector.role() {
            Role::Follower => self.follower_due(lent),
            Role::Candidate(_) if self.timing.candidate_until <= now => {
                self.claim_from_now_on();
                self.with_elector(lent, |elector, now, acts| elector.stop(now, acts));
            }
            Role::Candidate(_) | Role::Leader(_) => self.beat(lent),
        }
    }

    fn follower_due(&mut self, lent: &mut Lent<'_>) {
        let now = lent.now;
        if let Some(poll) = self.timing.poll {
            if poll.until <= now {
                self.timing.poll = None;
                self.timing.bound_until = now;
                self.timing.draw();
            }
            return;
        }
        let bound = self.elector.bound_to(now).is_some() || self.redhac_binds(now).is_some();
        if bound || self.elector.silent_until(now).is_some() {
            return;
        }
        if self.timing.campaign_at(&self.elector) > now {
            return;
        }
        if !self.config.pre_vote || self.elector.rules().quorum() == 1 {
            return self.campaign(lent);
        }
        self.counters.polls += 1;
        let until = now + self.poll_patience();
        self.timing.poll = Some(Poll { until, free: 0 });
        for seat in self.elector.rules().others() {
            self.ask_health(seat, lent);
        }
    }

    /// How long a poll waits: where the voters are far apart, long enough for them to answer.
    fn poll_patience(&self) -> Duration {
        let trips = self.peers.connected().filter_map(|peer| peer.round_trip);
        let trip = trips.max().unwrap_or_default() * 2;
        let promise = self.timing.promise;
        trip.clamp(promise / 10, promise / 2)
    }

    /// A voter says whether it has a leader.
    pub(super) fn polled(&mut self, from: Seat, is_free: bool, lent: &mut Lent<'_>) {
        let Some(poll) = &mut self.timing.poll else {
            return;
        };
        poll.free |= u64::from(is_free) << from.0;
        if poll.free.count_ones() as usize + 1 >= self.elector.rules().quorum() {
            self.campaign(lent);
        }
    }

    pub(super) fn campaign(&mut self, lent: &mut Lent<'_>) {
        self.timing.poll = None;
        self.counters.campaigns += 1;
        let mut began = false;
        self.with_elector(lent, |elector, now, acts| {
            began = elector.campaign(now, acts)
        });
        if !began {
            self.timing.bound_until = lent.now;
            self.timing.draw();
        }
    }

    /// A leader renews with all, a candidate asks those again that have not answered.
    fn beat(&mut self, lent: &mut Lent<'_>) {
        if self.timing.beat_at > lent.now {
            return;
        }
        let (token, pause) = match self.elector.role() {
            Role::Leader(token) => (token, self.timing.heartbeat),
            Role::Candidate(token) => (token, self.timing.heartbeat / 2),
            Role::Follower => return,
        };
        self.timing.beat_at = lent.now + pause;
        let is_leader = matches!(self.elector.role(), Role::Leader(_));
        if is_leader && self.has(ElectionPlant::NeverRenews) {
            return;
        }
        for seat in self.elector.rules().others() {
            if self.is_redhac(seat) {
                self.beat_redhac(seat, lent);
            } else if is_leader || self.elector.granted_at(seat).is_none() {
                self.request(seat, token, lent);
            }
        }
    }
}
