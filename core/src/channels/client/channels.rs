//! The channels that producers and consumers are open on: where each is, and what of it is to be reported.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::assignment::{Assignment, Place};
use crate::channels::dialect::ErrorCode;

/// Bytes of a cause that are reported.
const CAUSE_BYTES_MAX: usize = 128;

/// One channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) name: String,
    /// Producers and consumers on it.
    users: u32,
    /// Zero if it has no place now.
    term: i64,
    server_id: i64,
    address: String,
    /// The last term at which an error was reported on the present stream to a coordinator.
    reported: i64,
    /// A report that has not been sent: the term, zero if none, and why.
    report: i64,
    code: Option<ErrorCode>,
    cause: String,
}

/// A report that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    pub(super) channel: &'a str,
    pub(super) term: i64,
    pub(super) code: ErrorCode,
    pub(super) cause: &'a str,
}

/// Channels by number and by name.
#[derive(Debug, Default)]
pub(super) struct Channels {
    slots: Vec<Channel>,
    free: Vec<u32>,
    by_name: BTreeMap<String, u32>,
}

impl Channels {
    /// Another user of a channel.
    pub(super) fn enter(&mut self, name: &str, assignment: &Assignment) -> u32 {
        if let Some(slot) = self.by_name.get(name) {
            self.slots[*slot as usize].users += 1;
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Channel::default());
            self.slots.len() as u32 - 1
        });
        let channel = &mut self.slots[slot as usize];
        *channel = Channel {
            name: name.into(),
            users: 1,
            ..Channel::default()
        };
        if let Some(place) = assignment.place(name) {
            channel.move_to(&place);
        }
        self.by_name.insert(name.into(), slot);
        slot
    }

    /// A user less.
    pub(super) fn leave(&mut self, slot: u32) {
        let channel = &mut self.slots[slot as usize];
        channel.users -= 1;
        if channel.users == 0 {
            self.by_name.remove(&channel.name);
            *channel = Channel::default();
            self.free.push(slot);
        }
    }

    /// Where a channel is; nowhere if no assignment says.
    pub(super) fn place(&self, slot: u32) -> Option<Place<'_>> {
        let channel = &self.slots[slot as usize];
        (channel.term > 0).then_some(Place {
            channel: &channel.name,
            term: channel.term,
            server_id: channel.server_id,
            address: &channel.address,
        })
    }

    /// The term at which a channel is somewhere; zero if it is nowhere.
    pub(super) fn term(&self, slot: u32) -> i64 {
        self.slots[slot as usize].term
    }

    /// Everything is where `assignment` says.
    pub(super) fn assign(&mut self, assignment: &Assignment) {
        for channel in &mut self.slots {
            channel.term = 0;
        }
        for place in assignment.places() {
            if let Some(slot) = self.by_name.get(place.channel) {
                let channel = &mut self.slots[*slot as usize];
                if place.term > channel.term {
                    channel.move_to(&place);
                }
            }
        }
    }

    /// An error at a term is to be reported: once on each stream, and not if the coordinator has a later term.
    pub(super) fn report(&mut self, slot: u32, term: i64, code: ErrorCode, cause: &str) {
        let channel = &mut self.slots[slot as usize];
        if term <= channel.reported.max(channel.report) || channel.term > term {
            return;
        }
        channel.report = term;
        channel.code = Some(code);
        channel.cause.clear();
        let kept = cause.char_indices();
        let kept = kept.take_while(|(at, char)| at + char.len_utf8() <= CAUSE_BYTES_MAX);
        channel.cause.extend(kept.map(|(_, char)| char));
    }

    /// A report that has not been sent. Those that a later term has overtaken are dropped.
    pub(super) fn next_report(&mut self) -> Option<(u32, Report<'_>)> {
        for channel in &mut self.slots {
            if channel.term > channel.report {
                channel.report = 0;
            }
        }
        let found = self.slots.iter().position(|channel| channel.report > 0)?;
        let channel = &self.slots[found];
        let report = Report {
            channel: &channel.name,
            term: channel.report,
            code: channel.code?,
            cause: &channel.cause,
        };
        Some((found as u32, report))
    }

    /// The report of a channel was sent.
    pub(super) fn sent(&mut self, slot: u32) {
        let channel = &mut self.slots[slot as usize];
        channel.reported = channel.report;
        channel.report = 0;
    }

    /// Another coordinator may know nothing of what was reported.
    pub(super) fn forget_reported(&mut self) {
        for channel in &mut self.slots {
            channel.reported = 0;
        }
    }
}

impl Channel {
    fn move_to(&mut self, place: &Place<'_>) {
        self.term = place.term;
        self.server_id = place.server_id;
        if self.address != place.address {
            self.address.clear();
            self.address.push_str(place.address);
        }
    }
}
