//! What is moved for the sake of balance is few at a time, and not moved again soon. It is judged where nothing goes
//! wrong, for channels that no operator moved or drained.
//!
//! Planted against it: `no-throttle`.

use std::time::Duration;

use trefoil_core::channels::coordinator::meta::{Meta, State};

use super::{Court, Invariant};
use crate::moment::Moment;

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    /// An operator moved it.
    handled: bool,
    moving: bool,
    moved_at: Option<Moment>,
}

/// The moves of a run.
#[derive(Debug)]
pub struct Throttle {
    channels: Vec<Channel>,
    /// Where the node is that an operator drains.
    drained: Option<String>,
    moves_max: usize,
    interval: Duration,
}

/// A coordinator counts from when it decides; here it is seen when it is written.
const WRITE: Duration = Duration::from_millis(300);

impl Throttle {
    /// At most `moves_max` at once, each channel once in `interval`.
    #[must_use]
    pub fn new(channels: usize, moves_max: u32, interval: Duration) -> Self {
        Self {
            channels: vec![Channel::default(); channels],
            drained: None,
            moves_max: moves_max as usize,
            interval,
        }
    }

    /// An operator moves a channel.
    pub fn moves(&mut self, channel: usize) {
        self.channels[channel].handled = true;
    }

    /// An operator drains a node.
    pub fn drains(&mut self, address: &str) {
        self.drained = Some(address.to_owned());
    }

    /// A value is written to the catalog behind another, where nothing goes wrong.
    pub fn judge(&mut self, channel: usize, last: &Meta, meta: &Meta, court: &mut Court<'_>) {
        let known = &mut self.channels[channel];
        known.moving &= meta.state != State::Assigned;
        let begins = last.state == State::Assigned && meta.state == State::Assigning;
        let from = last.node.as_ref().map(|node| &*node.address);
        let is_drained = self.drained.is_some() && from == self.drained.as_deref();
        if !begins || known.handled || is_drained {
            return;
        }
        let rested = known
            .moved_at
            .is_none_or(|at| at + self.interval <= court.at + WRITE);
        known.moved_at = Some(court.at);
        known.moving = true;
        if !rested {
            let text = format!("c{channel} is moved again too soon");
            court.broken(Invariant::Throttle, text);
        }
        let moving = self
            .channels
            .iter()
            .filter(|channel| channel.moving)
            .count();
        if moving > self.moves_max {
            let text = format!("{moving} channels move, and {} may", self.moves_max);
            court.broken(Invariant::Throttle, text);
        }
    }
}
