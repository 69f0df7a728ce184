//! Streams that others opened to this node.

use alloc::vec::Vec;

use super::Seat;
use crate::id::StreamId;

/// A stream that somebody opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) stream: StreamId,
    /// The voter that said it is this one; a follower, a redhac node and a client are none.
    pub(super) seat: Option<Seat>,
    /// The redhac node that it may be, by what it claimed. Proven by nothing.
    pub(super) claimed: Option<Seat>,
    /// What it must be told and had no room for.
    pub(super) owes_info: bool,
}

/// A voter that lost its stream opens the next before this side hears of the loss.
const STREAMS_OF_A_VOTER: usize = 4;

/// All of them, bounded: so many of each voter, and so many of all others.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers {
    /// In the order they came.
    voters: Vec<Caller>,
    /// In the order of their numbers.
    others: Vec<Caller>,
    others_max: usize,
    /// Where the newest request of each voter came: it is answered there and nowhere else, or its answer
    /// would be taken for that of another.
    asked_on: Vec<Option<StreamId>>,
}

impl Callers {
    pub(super) fn new(voters: usize, others_max: u32) -> Self {
        Self {
            voters: Vec::with_capacity(STREAMS_OF_A_VOTER * voters),
            others: Vec::with_capacity(others_max as usize),
            others_max: others_max as usize,
            asked_on: alloc::vec![None; voters],
        }
    }

    /// The stream that must be ended before another of `seat` is taken: its oldest, if it has all the
    /// places it may have. So no voter takes the places of another.
    pub(super) fn surplus(&self, seat: Seat) -> Option<StreamId> {
        let is_its = |caller: &&Caller| caller.seat == Some(seat);
        let mut its = self.voters.iter().filter(is_its);
        let oldest = its.next()?.stream;
        (its.count() + 1 >= STREAMS_OF_A_VOTER).then_some(oldest)
    }

    /// Takes a stream; `false` if there are too many of those that are no voters. A voter's surplus is
    /// taken away first.
    pub(super) fn insert(&mut self, stream: StreamId, seat: Option<Seat>) -> bool {
        let caller = Caller {
            stream,
            seat,
            claimed: None,
            owes_info: false,
        };
        if seat.is_some() {
            self.voters.push(caller);
            return true;
        }
        if self.others.len() >= self.others_max {
            return false;
        }
        let (Ok(at) | Err(at)) = self.place(stream);
        self.others.insert(at, caller);
        true
    }

    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        self.others
            .binary_search_by_key(&stream, |caller| caller.stream)
    }

    /// None is left.
    pub(super) fn clear(&mut self) {
        self.voters.clear();
        self.others.clear();
        self.asked_on.fill(None);
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        if let Ok(at) = self.place(stream) {
            self.others.remove(at);
            return;
        }
        self.voters.retain(|caller| caller.stream != stream);
        for asked_on in &mut self.asked_on {
            *asked_on = asked_on.filter(|other| *other != stream);
        }
    }

    /// A voter asked on a stream.
    pub(super) fn asked(&mut self, seat: Seat, stream: StreamId) {
        if let Some(asked_on) = self.asked_on.get_mut(usize::from(seat.0)) {
            *asked_on = Some(stream);
        }
    }

    /// Where the newest request of a voter came, if that stream still stands.
    pub(super) fn asked_on(&self, seat: Seat) -> Option<StreamId> {
        self.asked_on.get(usize::from(seat.0)).copied().flatten()
    }

    pub(super) fn find(&mut self, stream: StreamId) -> Option<&mut Caller> {
        match self.place(stream) {
            Ok(at) => self.others.get_mut(at),
            Err(_) => self
                .voters
                .iter_mut()
                .find(|caller| caller.stream == stream),
        }
    }

    /// Whether a stream is taken for that of a redhac node.
    pub(super) fn is_claimed(&self, seat: Seat) -> bool {
        self.others
            .iter()
            .any(|caller| caller.claimed == Some(seat))
    }

    pub(super) fn len(&self) -> usize {
        self.voters.len() + self.others.len()
    }

    /// Voters first: what is told to all is told to them first.
    pub(super) fn at(&self, at: usize) -> Caller {
        match at.checked_sub(self.voters.len()) {
            None => self.voters[at],
            Some(at) => self.others[at],
        }
    }
}
