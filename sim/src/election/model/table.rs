//! Every voter and every message there ever was, by number, and what became of it. A world has millions
//! of states and only thousands of different voters: each elector is asked once.

use std::hash::{BuildHasherDefault, Hash};

use hashbrown::HashMap;
use trefoil_core::election::elector::{Promise, Role};
use trefoil_core::hash::IdHasher;
use trefoil_core::time::Instant;

use super::voter::{Cost, Event, Message, Voter};
use super::world::{World, tick};

/// What the explorer wants to know of a voter without asking its elector.
pub(super) struct Facts {
    pub(super) voter: Voter,
    pub(super) role: Role,
    /// The tick at which its lease ends.
    pub(super) leads_until: u8,
    pub(super) promise: Option<Promise>,
    pub(super) silent_until: u8,
}

impl Facts {
    fn of(voter: Voter) -> Self {
        let elector = &voter.elector;
        Self {
            role: elector.role(),
            leads_until: elector.lease_until().map_or(0, tick),
            promise: elector.bound_to(Instant::ZERO),
            silent_until: elector.silent_until(Instant::ZERO).map_or(0, tick),
            voter,
        }
    }
}

/// What an event makes of a voter.
#[derive(Clone, Copy)]
pub(super) struct Change {
    /// The voter.
    pub(super) voter: u32,
    /// Where in [`Table::said`] stands what it said.
    said: (u32, u16),
    pub(super) cost: Cost,
}

/// Numbers for things, in the order in which they were first seen.
struct Numbers<T>(HashMap<T, u32, BuildHasherDefault<std::hash::DefaultHasher>>);

impl<T: Eq + Hash> Numbers<T> {
    /// Its number, and whether it is new.
    fn of(&mut self, thing: T) -> (u32, bool) {
        let next = self.0.len() as u32;
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

/// All of one exploration.
pub(super) struct Table<'a> {
    pub(super) world: &'a World,
    facts: Vec<Facts>,
    voters: Numbers<Voter>,
    messages: Vec<Message>,
    numbers: Numbers<Message>,
    changes: HashMap<u64, Option<Change>, BuildHasherDefault<IdHasher>>,
    said: Vec<u16>,
    /// Who may go on from each epoch, one bit each: before it had a leader, and after.
    movers: Vec<[u8; 2]>,
}

impl<'a> Table<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let epochs = &world.epochs;
        let who = |epoch, settled| {
            let may = epochs.seats().map(|seat| seat.0);
            let may = may.filter(|seat| epochs.may_move(epoch, *seat, settled));
            may.fold(0, |mask, seat| mask | 1 << seat)
        };
        Self {
            movers: (0..epochs.count())
                .map(|epoch| [who(epoch, false), who(epoch, true)])
                .collect(),
            world,
            facts: Vec::new(),
            voters: Numbers(HashMap::default()),
            messages: Vec::new(),
            numbers: Numbers(HashMap::default()),
            changes: HashMap::default(),
            said: Vec::new(),
        }
    }

    /// The number of a voter.
    pub(super) fn voter(&mut self, voter: Voter) -> u32 {
        let (number, is_new) = self.voters.of(voter.clone());
        if is_new {
            self.facts.push(Facts::of(voter));
        }
        number
    }

    fn message(&mut self, message: Message) -> u16 {
        let (number, is_new) = self.numbers.of(message);
        if is_new {
            self.messages.push(message);
        }
        u16::try_from(number).expect("a small world has few messages")
    }

    /// The voter of a number.
    pub(super) fn facts(&self, voter: u32) -> &Facts {
        &self.facts[voter as usize]
    }

    /// Whether a voter may be restarted into the next epoch, if `settled` has a bit for each epoch that
    /// had a leader.
    pub(super) fn may_move(&self, seat: u8, voter: u32, settled: u8) -> bool {
        let epoch = self.facts(voter).voter.epoch;
        let movers = self.movers[usize::from(epoch)];
        movers[usize::from(settled >> epoch & 1)] >> seat & 1 == 1
    }

    /// The message of a number.
    pub(super) fn content(&self, message: u16) -> Message {
        self.messages[usize::from(message)]
    }

    /// What was said.
    pub(super) fn said(&self, change: Change) -> &[u16] {
        let (from, count) = change.said;
        &self.said[from as usize..][..usize::from(count)]
    }

    /// What an event at a tick makes of a voter; `None` if nothing changes and nothing is said.
    pub(super) fn change(&mut self, voter: u32, now: u8, code: Code) -> Option<Change> {
        let key = u64::from(voter) << 32 | u64::from(now) << 24 | u64::from(code.0);
        if let Some(known) = self.changes.get(&key) {
            return *known;
        }
        let event = self.event(code);
        let change = self.ask(voter, now, event);
        self.changes.insert(key, change);
        change
    }

    fn ask(&mut self, before: u32, now: u8, event: Event) -> Option<Change> {
        let step = self.world.step(&self.facts(before).voter, now, event)?;
        let voter = self.voter(step.voter);
        let from = self.said.len() as u32;
        for message in step.said {
            let number = self.message(message);
            self.said.push(number);
        }
        let count = (self.said.len() - from as usize) as u16;
        (voter != before || count > 0).then_some(Change {
            voter,
            said: (from, count),
            cost: step.cost,
        })
    }

    /// The event that a code stands for.
    pub(super) fn event(&self, code: Code) -> Event {
        let seat = code.0 as u8;
        match code.0 >> 16 {
            Code::TICK => Event::Tick,
            Code::DELIVERED => Event::Delivered(self.content(code.0 as u16)),
            Code::CAMPAIGN => Event::Campaign(seat),
            Code::HAND_OVER => Event::HandOver(seat, (code.0 >> 8) as u8),
            Code::CRASH => Event::Crash(seat),
            Code::WITHDRAWAL => Event::Withdrawal(seat),
            Code::MOVE => Event::Move(seat),
            Code::KEPT => Event::Kept(seat),
            _ => Event::Renewal(seat),
        }
    }
}

/// An event in 24 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(u32);

impl Code {
    const TICK: u32 = 0;
    const DELIVERED: u32 = 1;
    const CAMPAIGN: u32 = 2;
    const HAND_OVER: u32 = 3;
    const CRASH: u32 = 4;
    const WITHDRAWAL: u32 = 5;
    const RENEWAL: u32 = 6;
    const MOVE: u32 = 7;
    const KEPT: u32 = 8;

    pub(super) const fn tick() -> Self {
        Self(Self::TICK)
    }

    pub(super) fn delivered(message: u16) -> Self {
        Self(Self::DELIVERED << 16 | u32::from(message))
    }

    pub(super) fn campaign(seat: u8) -> Self {
        Self(Self::CAMPAIGN << 16 | u32::from(seat))
    }

    pub(super) fn hand_over(seat: u8, to: u8) -> Self {
        Self(Self::HAND_OVER << 16 | u32::from(to) << 8 | u32::from(seat))
    }

    pub(super) fn crash(seat: u8) -> Self {
        Self(Self::CRASH << 16 | u32::from(seat))
    }

    pub(super) fn moving(seat: u8) -> Self {
        Self(Self::MOVE << 16 | u32::from(seat))
    }

    pub(super) fn withdrawal(seat: u8) -> Self {
        Self(Self::WITHDRAWAL << 16 | u32::from(seat))
    }

    pub(super) fn kept(seat: u8) -> Self {
        Self(Self::KEPT << 16 | u32::from(seat))
    }

    pub(super) fn renewal(seat: u8) -> Self {
        Self(Self::RENEWAL << 16 | u32::from(seat))
    }
}
