//! What must hold in every state.

use trefoil_core::election::Seat;
use trefoil_core::election::elector::Role;
use trefoil_core::election::electorate::NOBODY;
use trefoil_core::election::token::Token;

use super::state::State;
use super::table::{Facts, Table};
use super::world::at;

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Two lead at one time.
    TwoLeaders,
    /// A leadership has a token that is not above the one before.
    TokenWentBack,
    /// A vote is counted that is not backed by a promise.
    UnbackedVote,
}

/// Notes that a voter became another, and with it a leadership that began.
pub(super) fn note(
    table: &Table<'_>,
    state: &mut State,
    before: u32,
    after: u32,
) -> Option<Broken> {
    let Role::Leader(token) = table.facts(after).role else {
        return None;
    };
    if table.facts(before).role == Role::Leader(token) {
        return None;
    }
    let back = token <= state.newest;
    state.newest = token;
    state.leaderships += 1;
    state.settled |= 1 << table.facts(after).voter.epoch;
    state.handed |= token.to_wire() & 15 != 0;
    back.then_some(Broken::TokenWentBack)
}

/// Looks for what does not hold in a state.
pub(super) fn judge(table: &Table<'_>, state: &State) -> Option<Broken> {
    let now = state.now;
    let mut leaders = state
        .voters()
        .iter()
        .map(|voter| table.facts(*voter))
        .filter(|facts| now < facts.leads_until);
    let leader = leaders.next()?;
    if leaders.next().is_some() {
        return Some(Broken::TwoLeaders);
    }
    let Role::Leader(token) = leader.role else {
        return None;
    };
    let me = leader.voter.elector.rules().me;
    let voters = (0..).zip(state.voters());
    voters
        .filter(|(seat, _)| counted(leader, *seat, now))
        .any(|(_, voter)| !backed(table.facts(*voter), me, token, now))
        .then_some(Broken::UnbackedVote)
}

fn counted(leader: &Facts, seat: u8, now: u8) -> bool {
    let elector = &leader.voter.elector;
    let sent = elector.granted_at(Seat(seat));
    sent.is_some_and(|sent| at(now) < sent + elector.rules().lease)
}

fn backed(voter: &Facts, leader: Seat, token: Token, now: u8) -> bool {
    // One that forgot its promise says nothing for as long as that would have lasted.
    let silent = now < voter.silent_until;
    // A greater token of the same voter is one it asked with before it was restarted and forgot it: the
    // promise binds to it all the same.
    silent
        || voter.promise.is_some_and(|promise| {
            // One that was removed is bound to by whoever knew it.
            let to_it = promise.to == leader || promise.to == NOBODY;
            to_it && promise.token >= token && at(now) < promise.until
        })
}
