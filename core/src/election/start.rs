//! How a voter begins: with what it kept, and an electorate that may follow the one it kept.

use super::ballot::{self, Kept};
use super::elector::{Elector, Vote};
use super::electorate::ElectorateRefused;
use super::{
    ADOPT, Election, ElectionEvent, ElectionPlant, Lent, MACHINE, Memory, Phase, RECALL, Seat,
    config, timing,
};
use crate::id::Tag;
use crate::machine::Full;
use crate::storage::{Done, Op};
use crate::time::Instant;

impl Election {
    pub(super) fn begin(&mut self, lent: &mut Lent<'_>) {
        self.started = lent.now;
        let mut header = None;
        for seat in self.elector.rules().others() {
            let name = config::dialled(self.peers.addr(seat));
            match lent.io.node(name) {
                Ok(node) => self.peers.at_mut(seat).node = Some(node),
                Err(Full) => header = Some("the address book is full"),
            }
        }
        if let Some(what) = header {
            (lent.up).event(ElectionEvent::Misbehaved { voter: None, what });
        }
        match self.config.memory {
            Memory::Lost => self.run(None, lent),
            Memory::Kept { .. } => self.recall(lent),
        }
    }

    fn recall(&mut self, lent: &mut Lent<'_>) {
        let tag = Tag::new(MACHINE, RECALL);
        let sent = lent.io.submit(Op::Recall { key: ballot::KEY }, tag);
        match sent {
            Ok(()) => self.phase = Phase::Recalling,
            Err(Full) => self.begin_later(lent),
        }
    }

    /// Asks the store again a little later.
    pub(super) fn begin_later(&mut self, lent: &Lent<'_>) {
        self.phase = Phase::New;
        self.begin_at = lent.now + timing::STORE_RETRY;
    }

    /// Takes part from now on.
    pub(super) fn run(&mut self, kept: Option<Vote>, lent: &mut Lent<'_>) {
        self.elector = Elector::new(self.config.rules(), kept, lent.now);
        if let Some(ElectionPlant::Elector(plant)) = self.plant {
            self.elector.plant(plant);
        }
        if self.waits {
            self.elector.be_silent(Instant::FAR_FUTURE);
        }
        self.phase = Phase::Running;
        self.timing.start(lent.now);
        let silent = self.elector.silent_until(lent.now);
        if let Some(until) = silent.filter(|_| !self.waits) {
            lent.up.event(ElectionEvent::Forgetful { until });
        }
    }

    /// What was kept is here.
    pub(super) fn recalled(&mut self, done: Done<'_>, lent: &mut Lent<'_>) {
        match done {
            Done::Value { value: [], .. } => {
                let first = self.config.memory == Memory::Kept { first: true };
                self.begin_new(first.then(Vote::default), lent);
            }
            Done::Value { value, .. } => match ballot::read(value, &self.electorate) {
                Some(kept) => self.go_on_from(&kept, lent),
                None => self.begin_new(None, lent),
            },
            Done::Durable { .. }
            | Done::Records(_)
            | Done::Tail { .. }
            | Done::Conflict { .. }
            | Done::Fenced { .. }
            | Done::Values(_)
            | Done::Unknown => self.begin_later(lent),
        }
    }

    /// Begins in an electorate without knowing that of an earlier start.
    fn begin_new(&mut self, kept: Option<Vote>, lent: &mut Lent<'_>) {
        let free = self.takes_any_electorate() || self.has(ElectionPlant::Unsettled);
        if self.config.epoch > 1 && !free {
            self.wait(kept, ElectorateRefused::Unsettled, lent);
        } else {
            self.run(kept, lent);
        }
    }

    /// Only hears, until one that takes part asks something.
    fn wait(&mut self, kept: Option<Vote>, why: ElectorateRefused, lent: &mut Lent<'_>) {
        self.waits = true;
        self.forgetful_until = match kept {
            Some(_) => Instant::ZERO,
            None => lent.now + self.config.promise,
        };
        self.run(kept, lent);
        let why = why.message();
        lent.up.event(ElectionEvent::ElectorateRefused { why });
    }

    /// A voter has asked something that only voters ask that take part.
    pub(super) fn takes_part(&mut self, seat: Seat, lent: &mut Lent<'_>) {
        let proved = self.waits && self.peers.at(seat).is_ours;
        if proved && self.phase == Phase::Running && self.forgetful_until <= lent.now {
            self.adopt(self.elector.vote(), lent);
        }
    }

    fn go_on_from(&mut self, kept: &Kept, lent: &mut Lent<'_>) {
        if let Err(why) = self.may_go_on_from(kept) {
            if why.is_a_wait() {
                return self.wait(Some(kept.vote), why, lent);
            }
            self.phase = Phase::Refused(why);
            let why = why.message();
            return lent.up.event(ElectionEvent::ElectorateRefused { why });
        }
        match &kept.electorate {
            Some((electorate, settled)) if *electorate == self.electorate => {
                self.settled = *settled;
                self.run(Some(kept.vote), lent);
            }
            Some(_) | None => self.adopt(kept.vote, lent),
        }
    }

    fn may_go_on_from(&self, kept: &Kept) -> Result<(), ElectorateRefused> {
        if self.takes_any_electorate() {
            return Ok(());
        }
        match &kept.electorate {
            Some((before, settled)) => {
                let settled = *settled || self.has(ElectionPlant::Unsettled);
                self.electorate.follows(before, settled)
            }
            None if self.config.epoch > 1 => Err(ElectorateRefused::Unsettled),
            None => Ok(()),
        }
    }

    fn takes_any_electorate(&self) -> bool {
        self.config.replace_electorate || self.has(ElectionPlant::AnyElectorate)
    }

    /// Keeps the new electorate before anybody hears of it: from then on this voter never votes in the
    /// one before.
    fn adopt(&mut self, vote: Vote, lent: &mut Lent<'_>) {
        self.settled = false;
        ballot::write(vote, &self.electorate, false, &mut self.ballot);
        let op = Op::Keep {
            key: ballot::KEY,
            value: &self.ballot,
        };
        match lent.io.submit(op, Tag::new(MACHINE, ADOPT)) {
            Ok(()) => self.phase = Phase::Adopting(vote),
            Err(Full) => self.begin_later(lent),
        }
    }

    /// A leader of this epoch is known, from itself: an electorate may follow this one.
    pub(super) fn settle_epoch(&mut self, lent: &mut Lent<'_>) {
        if !self.settled && !self.waits && self.config.memory != Memory::Lost {
            self.settled = true;
            self.owes_settled = true;
            self.submit_vote(lent);
        }
    }

    /// The new electorate is kept, or is not.
    pub(super) fn adopted(&mut self, vote: Vote, done: Done<'_>, lent: &mut Lent<'_>) {
        match done {
            Done::Durable { .. } => {
                self.waits = false;
                self.run(Some(vote), lent);
            }
            Done::Value { .. }
            | Done::Values(_)
            | Done::Records(_)
            | Done::Tail { .. }
            | Done::Conflict { .. }
            | Done::Fenced { .. }
            | Done::Unknown => self.begin_later(lent),
        }
    }
}
