//! One voter of the model: what an event makes of it, and what it says.

use std::fmt;

use trefoil_core::election::Seat;
use trefoil_core::election::elector::{Act, Elector, HandOn, Info, Role, Vote};
use trefoil_core::election::token::Token;

use super::world::{World, at};

/// A message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who sent it.
    pub from: u8,
    /// To whom.
    pub to: u8,
    /// In which epoch: a stream carries votes within one alone.
    pub epoch: u8,
    /// Its token.
    pub token: i64,
    /// What it says.
    pub says: Says,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Says {
    /// Promise me, sent at this tick.
    Request(u8),
    /// I promised, for a request of this tick.
    Grant(u8),
    /// I am bound to this voter, or to none.
    Info(Option<u8>),
    /// My promises are this voter's now. I was a candidate that gave way, or a leader.
    Switch {
        /// Whose they are.
        to: u8,
        /// Whether the sender was a candidate.
        ceding: bool,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A tick passed.
    Tick,
    /// A message came.
    Delivered(Message),
    /// A voter asks for the leadership.
    Campaign(u8),
    /// A leader hands over.
    HandOver(u8, u8),
    /// A voter crashed and is back.
    Crash(u8),
    /// A voter was restarted with the next electorate.
    Move(u8),
    /// A voter gives up.
    Withdrawal(u8),
    /// A voter asks all again.
    Renewal(u8),
    /// The oldest vote that the store of a voter writes is durable.
    Kept(u8),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => write!(f, "a tick"),
            Self::Delivered(message) => message.fmt(f),
            Self::Campaign(seat) => write!(f, "{seat} campaigns"),
            Self::HandOver(seat, to) => write!(f, "{seat} hands over to {to}"),
            Self::Crash(seat) => write!(f, "{seat} is restarted"),
            Self::Move(seat) => write!(f, "{seat} is restarted into the next epoch"),
            Self::Withdrawal(seat) => write!(f, "{seat} gives up"),
            Self::Renewal(seat) => write!(f, "{seat} asks all again"),
            Self::Kept(seat) => write!(f, "a vote of {seat} is durable"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from, to, token, ..
        } = self;
        // Time, voter, hand-overs.
        let token = format!("{}/{}/{}", token >> 10, token >> 4 & 63, token & 15);
        match self.says {
            Says::Request(sent) => write!(f, "{from} asks {to} at {token}, sent at tick {sent}"),
            Says::Grant(sent) => write!(f, "{from} promises {to} at {token}, asked at tick {sent}"),
            Says::Info(None) => write!(f, "{from} tells {to}: bound to none, {token}"),
            Says::Info(Some(leader)) => write!(f, "{from} tells {to}: bound to {leader}, {token}"),
            Says::Switch { to: next, ceding } => {
                let role = if ceding { "a candidate" } else { "a leader" };
                write!(
                    f,
                    "{from}, {role}, tells {to}: its promises are {next}'s at {token}"
                )
            }
        }
    }
}

/// A voter, and its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Voter {
    /// The shipping type.
    pub(super) elector: Elector,
    /// Of which electorate it is.
    pub(super) epoch: u8,
    /// What is durable.
    pub(super) kept: Vote,
    /// What the store is still writing, oldest first. Empty where votes are durable at once.
    pub(super) writing: Vec<Vote>,
    /// When the request was sent whose grant waits for the store.
    pub(super) owes: u8,
}

/// What an event made of a voter.
pub(super) struct Step {
    /// The voter.
    pub(super) voter: Voter,
    /// What it said.
    pub(super) said: Vec<Message>,
    /// What it took of the budget, besides the event itself.
    pub(super) cost: Cost,
}

/// What comes by itself when a message is delivered, and is counted so that it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Candidates that gave way.
    pub(super) ceded: bool,
    /// Campaigns: a hand-over that comes too late makes its addressee ask with a fresh token, each time.
    pub(super) campaigned: bool,
}

impl World {
    /// What `event` makes of `voter`; `None` if it cannot happen to it, or means nothing to it.
    pub(super) fn step(&self, voter: &Voter, now: u8, event: Event) -> Option<Step> {
        let me = voter.elector.rules().me.0;
        if matches!(event, Event::Delivered(message) if message.epoch != voter.epoch) {
            return None;
        }
        if let Some(redhac) = self.redhac {
            if redhac.seat == me {
                return grant_anything(voter, event);
            }
            let granted = matches!(event, Event::Delivered(Message { from, says: Says::Grant(_), .. })
                if from == redhac.seat);
            if granted && !redhac.counts {
                return None;
            }
        }
        let mut talk = Talk {
            world: self,
            me,
            epoch: voter.epoch,
            now,
            answers: now,
            said: Vec::new(),
            ceded: false,
        };
        let after = match event {
            Event::Crash(_) => self.restarted(me, voter, now),
            Event::Move(_) => self.moved(me, voter, now),
            Event::Renewal(_) => {
                let token = asking(&voter.elector, now)?;
                for to in voter.elector.rules().others() {
                    talk.hear(Act::Request { to, token });
                }
                voter.clone()
            }
            Event::Tick
            | Event::Delivered(_)
            | Event::Campaign(_)
            | Event::HandOver(..)
            | Event::Withdrawal(_)
            | Event::Kept(_) => talk.give(voter, event)?,
        };
        let mut said = talk.said;
        if !self.answers && !matches!(event, Event::Withdrawal(_)) {
            said.retain(|message| !matches!(message.says, Says::Info(_)));
        }
        let cost = Cost {
            ceded: talk.ceded,
            campaigned: campaigned(voter, &after, event),
        };
        Some(Step {
            voter: after,
            said,
            cost,
        })
    }
}

/// Whether a message made a voter ask with a token that is not the message's.
fn campaigned(before: &Voter, after: &Voter, event: Event) -> bool {
    let (Event::Delivered(message), Role::Candidate(token)) = (event, after.elector.role()) else {
        return false;
    };
    before.elector.role() != after.elector.role() && token.to_wire() != message.token
}

/// The token that a voter asks with.
fn asking(elector: &Elector, now: u8) -> Option<Token> {
    match elector.role() {
        Role::Candidate(token) => Some(token),
        Role::Leader(token) if elector.leads(at(now)) => Some(token),
        Role::Leader(_) | Role::Follower => None,
    }
}

fn grant_anything(voter: &Voter, event: Event) -> Option<Step> {
    let Event::Delivered(message) = event else {
        return None;
    };
    let Says::Request(sent) = message.says else {
        return None;
    };
    Some(Step {
        voter: voter.clone(),
        said: vec![Message {
            from: message.to,
            to: message.from,
            epoch: message.epoch,
            token: message.token,
            says: Says::Grant(sent),
        }],
        cost: Cost::default(),
    })
}

/// What a voter says while it takes one event.
struct Talk<'a> {
    world: &'a World,
    me: u8,
    epoch: u8,
    now: u8,
    /// When the request was sent that is being answered.
    answers: u8,
    said: Vec<Message>,
    ceded: bool,
}

impl Talk<'_> {
    /// Gives an elector its event, and keeps its votes.
    fn give(&mut self, voter: &Voter, event: Event) -> Option<Voter> {
        let mut voter = voter.clone();
        let elector = &mut voter.elector;
        let now = at(self.now);
        let mut acts = Vec::new();
        let mut note = |act| acts.push(act);
        match event {
            Event::Tick => elector.pass(now, &mut note),
            Event::Campaign(_) => {
                if !elector.campaign(now, &mut note) {
                    return None;
                }
            }
            Event::HandOver(_, to) => {
                elector.hand_over(now, Seat(to), &mut note);
            }
            Event::Withdrawal(_) => elector.stop(now, &mut note),
            Event::Kept(_) => {
                self.answers = voter.owes;
                voter.kept = voter.writing.remove(0);
                elector.kept(now, &mut note);
            }
            Event::Delivered(message) => {
                if let Says::Request(sent) = message.says {
                    self.answers = sent;
                }
                deliver(elector, self.now, message, &mut note);
            }
            Event::Crash(_) | Event::Move(_) | Event::Renewal(_) => return None,
        }
        while !acts.is_empty() {
            let keeps = acts.iter().filter(|act| **act == Act::Keep).count();
            acts.drain(..).for_each(|act| self.hear(act));
            if self.world.slow_store {
                voter
                    .writing
                    .extend((0..keeps).map(|_| voter.elector.vote()));
                break;
            }
            if keeps > 0 {
                voter.kept = voter.elector.vote();
            }
            for _ in 0..keeps {
                voter.elector.kept(now, &mut |act| acts.push(act));
            }
        }
        voter.owes = self.owes(&voter, event);
        Some(voter)
    }

    /// A grant that waits answers the newest request of whom it is for.
    fn owes(&self, voter: &Voter, event: Event) -> u8 {
        if !voter.elector.owes() {
            return 0;
        }
        let bound = voter.elector.vote().promise.map(|(to, _)| to);
        if let Event::Delivered(message) = event
            && matches!(message.says, Says::Request(_))
            && bound == Some(Seat(message.from))
        {
            return self.answers;
        }
        voter.owes
    }

    fn say(&mut self, to: u8, token: Token, says: Says) {
        self.said.push(Message {
            from: self.me,
            to,
            epoch: self.epoch,
            token: token.to_wire(),
            says,
        });
    }

    fn say_to_all(&mut self, token: Token, says: Says) {
        let me = self.me;
        for to in self.world.seats().filter(|to| *to != me) {
            self.say(to, token, says);
        }
    }

    fn hear(&mut self, act: Act) {
        let bound = |info: Info| Says::Info(info.leader.map(|seat| seat.0));
        match act {
            Act::Keep | Act::Announce(_) => {}
            Act::Request { to, token } => self.say(to.0, token, Says::Request(self.now)),
            Act::Grant { to, token } => self.say(to.0, token, Says::Grant(self.answers)),
            Act::Refuse { to, info, .. } => self.say(to.0, info.token, bound(info)),
            Act::Withdraw(info) => self.say_to_all(info.token, bound(info)),
            Act::Switch(HandOn {
                to,
                token,
                ceding,
                grants,
            }) => {
                self.ceded |= ceding;
                let me = self.me;
                let knows = |seat: &u8| *seat == me || (*seat == to.0 && grants.is_some());
                for seat in self.world.seats().filter(|seat| !knows(seat)) {
                    self.say(seat, token, Says::Switch { to: to.0, ceding });
                }
            }
        }
    }
}

fn deliver(elector: &mut Elector, now: u8, message: Message, acts: &mut dyn FnMut(Act)) {
    let now = at(now);
    let from = Seat(message.from);
    let token = Token::from_wire(message.token);
    match message.says {
        Says::Request(_) => elector.requested(now, from, token, acts),
        Says::Grant(sent) => elector.granted(now, from, token, at(sent), acts),
        Says::Info(leader) => {
            let leader = leader.map(Seat);
            elector.informed(now, from, Info { leader, token }, acts);
        }
        Says::Switch { to, ceding } => {
            elector.switched(now, from, Seat(to), token, ceding, acts);
        }
    }
}
