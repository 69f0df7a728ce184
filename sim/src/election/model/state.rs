//! One state of the model, packed into few words, and what may happen in it.

use std::hash::Hasher;

use trefoil_core::election::elector::Role;
use trefoil_core::election::token::Token;
use trefoil_core::hash::IdHasher;

use super::judge::{self, Broken};
use super::table::{Change, Code, Table};
use super::voter::Event;
use super::world::Budget;

/// Voters a world may have.
pub(super) const SEATS: usize = 5;

/// One state.
#[derive(Default)]
pub(super) struct State {
    pub(super) now: u8,
    left: Budget,
    /// Token of the newest leadership.
    pub(super) newest: Token,
    /// How many there were.
    pub(super) leaderships: u8,
    /// A leadership began by a hand-over.
    pub(super) handed: bool,
    /// Epochs that had a leader, one bit each.
    pub(super) settled: u8,
    seats: u8,
    voters: [u32; SEATS],
    /// In the order of their numbers, so that states that differ only in when messages were sent are one.
    net: Vec<u16>,
    /// Sum of the hashes of voters and messages.
    sum: u64,
}

fn mixed(kind: u64, number: u64) -> u64 {
    let mut hasher = IdHasher::default();
    hasher.write_u64((kind << 56 | number) + 1);
    hasher.finish()
}

impl State {
    /// Where it begins: nobody ever voted.
    pub(super) fn start(table: &mut Table<'_>) -> Self {
        let mut state = Self {
            left: table.world.budget,
            seats: table.world.seats().end,
            ..Self::default()
        };
        for seat in table.world.seats() {
            let voter = table.world.fresh(seat);
            state.voters[usize::from(seat)] = table.voter(voter);
        }
        state.sum = state.total();
        state
    }

    pub(super) fn voters(&self) -> &[u32] {
        &self.voters[..usize::from(self.seats)]
    }

    fn total(&self) -> u64 {
        let voters = (0..)
            .zip(self.voters())
            .map(|(seat, voter)| mixed(seat, u64::from(*voter)));
        let net = self.net.iter().map(|message| Self::message_hash(*message));
        voters.chain(net).fold(0, u64::wrapping_add)
    }

    fn message_hash(message: u16) -> u64 {
        mixed(SEATS as u64, u64::from(message))
    }

    /// Everything but voters and messages. The low ten bits of a token's time are zero, and a small
    /// world is over before there are more than six.
    fn head(&self) -> u64 {
        let left = &self.left;
        let counts = [
            left.campaigns,
            left.hand_overs,
            left.crashes,
            left.withdrawals,
            left.renewals,
            self.leaderships,
            u8::from(self.handed),
            self.settled,
        ];
        let head = counts.iter().fold(0, |head, count| {
            debug_assert!(*count < 16, "a count of four bits");
            head << 4 | u64::from(*count)
        });
        let newest = self.newest.fence();
        debug_assert!(newest < 1 << 24 && self.now < 16, "a small world");
        head << 28 | u64::from(self.now) << 24 | newest
    }

    fn turn_into(&mut self, other: &Self) {
        let mut net = std::mem::take(&mut self.net);
        net.clone_from(&other.net);
        *self = Self { net, ..*other };
    }

    /// By which it is told from others.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = IdHasher::default();
        hasher.write_u64(self.head());
        hasher.write_u64(self.sum);
        hasher.finish()
    }

    /// Appends itself to a list of states.
    pub(super) fn pack(&self, out: &mut Vec<u16>) {
        out.push(self.net.len() as u16);
        let head = self.head();
        out.extend([
            head as u16,
            (head >> 16) as u16,
            (head >> 32) as u16,
            (head >> 48) as u16,
        ]);
        for voter in self.voters() {
            out.extend([*voter as u16, (*voter >> 16) as u16]);
        }
        out.extend_from_slice(&self.net);
    }

    /// Becomes the first state of a list that [`pack`](Self::pack) made for the same world, and says how
    /// long it was.
    pub(super) fn unpack(&mut self, list: &[u16]) -> usize {
        let net = usize::from(list[0]);
        let head = (0..4).fold(0, |head, i| head | u64::from(list[i + 1]) << (16 * i));
        let four = |place: u32| (head >> (28 + 4 * place) & 15) as u8;
        self.newest = Token::from_wire((head & 0xff_ffff) as i64);
        self.now = (head >> 24 & 15) as u8;
        self.settled = four(0);
        self.handed = four(1) != 0;
        self.leaderships = four(2);
        self.left = Budget {
            renewals: four(3),
            withdrawals: four(4),
            crashes: four(5),
            hand_overs: four(6),
            campaigns: four(7),
        };
        let seats = usize::from(self.seats);
        for (seat, voter) in self.voters[..seats].iter_mut().enumerate() {
            *voter = u32::from(list[5 + 2 * seat]) | u32::from(list[6 + 2 * seat]) << 16;
        }
        let end = 5 + 2 * seats + net;
        self.net.clear();
        self.net.extend_from_slice(&list[end - net..end]);
        self.sum = self.total();
        end
    }

    /// All that may happen next.
    pub(super) fn events(&self, table: &Table<'_>, out: &mut Vec<Code>) {
        out.clear();
        out.extend(self.net.iter().copied().map(Code::delivered));
        if self.now < table.world.ticks {
            out.push(Code::tick());
        }
        for (seat, voter) in (0..).zip(self.voters()) {
            let facts = table.facts(*voter);
            let leads = self.now < facts.leads_until;
            if !facts.voter.writing.is_empty() {
                out.push(Code::kept(seat));
            }
            let idle = facts.role == Role::Follower;
            if self.left.campaigns > 0 && !leads {
                out.push(Code::campaign(seat));
            }
            if self.left.crashes > 0 {
                // Whoever may go on does: without that a restart is one of a world of one epoch.
                let moves = table.may_move(seat, *voter, self.settled);
                out.push(if moves {
                    Code::moving(seat)
                } else {
                    Code::crash(seat)
                });
            }
            if self.left.withdrawals > 0 && !idle {
                out.push(Code::withdrawal(seat));
            }
            if self.left.renewals > 0 && !idle {
                out.push(Code::renewal(seat));
            }
            if self.left.hand_overs > 0 && leads {
                let others = table.world.seats().filter(|other| *other != seat);
                out.extend(others.map(|other| Code::hand_over(seat, other)));
            }
        }
    }

    /// Becomes what `event` makes of `before`; `false` if that changes nothing.
    ///
    /// # Errors
    /// What does not hold in it.
    pub(super) fn follow(
        &mut self,
        before: &Self,
        table: &mut Table<'_>,
        code: Code,
    ) -> Result<bool, Broken> {
        let event = table.event(code);
        let seat = match event {
            Event::Tick => return self.tick(before, table),
            Event::Delivered(message) => message.to,
            Event::Campaign(seat)
            | Event::HandOver(seat, _)
            | Event::Crash(seat)
            | Event::Move(seat)
            | Event::Withdrawal(seat)
            | Event::Renewal(seat)
            | Event::Kept(seat) => seat,
        };
        let voter = before.voters[usize::from(seat)];
        let Some(change) = table.change(voter, before.now, code) else {
            return Ok(false);
        };
        let silent = voter == change.voter;
        let heard = |message: &u16| before.net.binary_search(message).is_ok();
        let (cost, left) = (change.cost, &before.left);
        let lost = (cost.ceded && left.hand_overs == 0) || (cost.campaigned && left.campaigns == 0);
        if lost || (silent && table.said(change).iter().all(heard)) {
            return Ok(false);
        }
        self.turn_into(before);
        match event {
            Event::Tick | Event::Kept(_) => {}
            Event::Delivered(_) => {
                self.left.hand_overs -= u8::from(cost.ceded);
                self.left.campaigns -= u8::from(cost.campaigned);
            }
            Event::Campaign(_) => self.left.campaigns -= 1,
            Event::HandOver(..) => self.left.hand_overs -= 1,
            Event::Crash(_) | Event::Move(_) => self.left.crashes -= 1,
            Event::Withdrawal(_) => self.left.withdrawals -= 1,
            Event::Renewal(_) => self.left.renewals -= 1,
        }
        self.take(table, seat, change)?;
        if matches!(event, Event::Crash(_) | Event::Move(_)) && !table.world.votes_are_kept {
            self.lose(table, seat);
        }
        self.judged(table)
    }

    /// What was sent to a voter that is restarted is lost: its connections ended with it. Only voters that
    /// forget rely on it.
    fn lose(&mut self, table: &Table<'_>, seat: u8) {
        self.net
            .retain(|message| table.content(*message).to != seat);
        self.sum = self.total();
    }

    /// A tick passes. A leader's own timer is exact; that of a candidate is policy.
    fn tick(&mut self, before: &Self, table: &mut Table<'_>) -> Result<bool, Broken> {
        self.turn_into(before);
        self.now += 1;
        for seat in table.world.seats() {
            let voter = self.voters[usize::from(seat)];
            let is_leader = matches!(table.facts(voter).role, Role::Leader(_));
            if is_leader && let Some(change) = table.change(voter, self.now, Code::tick()) {
                self.take(table, seat, change)?;
            }
        }
        self.judged(table)
    }

    fn judged(&self, table: &Table<'_>) -> Result<bool, Broken> {
        let broken = judge::judge(table, self).filter(|broken| wanted(table, *broken));
        broken.map_or(Ok(true), Err)
    }

    fn take(&mut self, table: &Table<'_>, seat: u8, change: Change) -> Result<(), Broken> {
        let voter = &mut self.voters[usize::from(seat)];
        let before = std::mem::replace(voter, change.voter);
        let kind = u64::from(seat);
        self.sum = self
            .sum
            .wrapping_sub(mixed(kind, u64::from(before)))
            .wrapping_add(mixed(kind, u64::from(change.voter)));
        for message in table.said(change) {
            if let Err(place) = self.net.binary_search(message) {
                self.net.insert(place, *message);
                self.sum = self.sum.wrapping_add(Self::message_hash(*message));
            }
        }
        let broken = judge::note(table, self, before, change.voter);
        broken
            .filter(|broken| wanted(table, *broken))
            .map_or(Ok(()), Err)
    }
}

fn wanted(table: &Table<'_>, broken: Broken) -> bool {
    table.world.only.is_none_or(|only| only == broken)
}
