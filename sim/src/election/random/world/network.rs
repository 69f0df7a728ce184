//! What travels between voters: by stream, in order, late, held behind cuts, or not at all.

use std::time::Duration;

use trefoil_core::header::Header;
use trefoil_core::id::{NodeId, StreamId, Tag};
use trefoil_core::machine::Machine;
use trefoil_core::method::cache::STREAM_VALUES;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::StreamIn;

use super::{Event, World};
use crate::election::random::electorates::header;
use crate::election::random::plants::Bug;
use crate::election::random::streams::{End, Parcel, greeting};

impl World {
    /// A voter listens no more: what others opened to it ends, and they are refused from now on.
    pub(in crate::election::random) fn close_listener(&mut self, voter: usize) {
        self.voters[voter].listening = false;
        for at in 0..self.streams.len() {
            let end = self.streams[at].ends[1];
            if end.voter == voter && end.open && end.boot == self.voters[voter].boot {
                self.send(at, 0, Parcel::Ended(Cause::Lost));
                self.send(at, 1, Parcel::Ended(Cause::Lost));
            }
        }
    }

    /// All streams between two voters break.
    pub(in crate::election::random) fn reset(&mut self, a: usize, b: usize) {
        self.break_streams(|voters| voters == [a, b] || voters == [b, a]);
    }

    /// Streams break, chosen by who opened them to whom.
    pub(in crate::election::random) fn break_streams(
        &mut self,
        is_one: impl Fn([usize; 2]) -> bool,
    ) {
        for at in 0..self.streams.len() {
            if is_one(self.streams[at].ends.map(|end| end.voter)) {
                for to in 0..2 {
                    if self.streams[at].ends[to].open {
                        self.send(at, to, Parcel::Ended(Cause::Lost));
                    }
                }
            }
        }
    }

    /// What was held behind a cut that is healed travels on.
    pub(in crate::election::random) fn healed(&mut self, from: usize, to: usize) {
        for at in 0..self.streams.len() {
            for end in 0..2 {
                let stream = &mut self.streams[at];
                if stream.ends[1 - end].voter == from && stream.ends[end].voter == to {
                    for parcel in std::mem::take(&mut stream.held[end]) {
                        self.send(at, end, parcel);
                    }
                }
            }
        }
    }

    pub(in crate::election::random) fn send(&mut self, stream: usize, to: usize, parcel: Parcel) {
        let ways = self.streams[stream].ends;
        let (from, target) = (ways[1 - to].voter, ways[to].voter);
        if self.cut[from][target] {
            self.streams[stream].held[to].push(parcel);
            return;
        }
        let (low, high) = self.regime.delay;
        let mut delay = self.dice.between(low, high);
        if self.dice.chance(self.regime.stalls_ppm) {
            delay += Duration::from_millis(self.dice.below(4_000));
        }
        let arrives = (self.now + delay).max(self.streams[stream].arrives[to]);
        self.streams[stream].arrives[to] = arrives;
        self.queue
            .push(arrives, Event::Parcel { stream, to, parcel });
    }

    pub(super) fn arrive(&mut self, stream: usize, to: usize, parcel: Parcel) {
        let end = self.streams[stream].ends[to];
        if let (Parcel::Call, true) = (&parcel, to == 1) {
            return self.called(stream, end);
        }
        let voter = end.voter;
        if let (Some(hostile), Parcel::Frame(bytes)) = (&self.hostile, &parcel)
            && hostile.voter == voter
        {
            return self.hostile_hears(stream, to, bytes);
        }
        if !end.open || self.voters[voter].boot != end.boot {
            return;
        }
        if let Some(paused) = self.is_paused(voter) {
            let event = Event::Parcel { stream, to, parcel };
            return self.queue.push(paused, event);
        }
        let Some((_, tag)) = self.tags[voter]
            .iter()
            .find(|(known, _)| *known == end.stream)
            .copied()
        else {
            return;
        };
        match parcel {
            Parcel::Call => {}
            Parcel::Header(electorate) => {
                self.streams[stream].greeted = true;
                let bytes = header(electorate);
                self.input(voter, |election, now, hands, up| {
                    let header = StreamIn::Header(Header(&bytes));
                    election.handle_stream(now, end.stream, tag, header, hands, up);
                });
            }
            Parcel::Frame(bytes) => {
                let read = self.voters[voter].last_input;
                let stale =
                    (self.bug == Some(Bug::StaleNow)).then(|| self.voters[voter].clock.show(read));
                let first = to == 0 && !std::mem::replace(&mut self.streams[stream].greeted, true);
                let greeting = first.then(greeting);
                self.input(voter, |election, now, hands, up| {
                    let now = stale.unwrap_or(now);
                    if let Some(header) = &greeting {
                        let header = StreamIn::Header(Header(header));
                        election.handle_stream(now, end.stream, tag, header, hands, up);
                    }
                    election.handle_stream(
                        now,
                        end.stream,
                        tag,
                        StreamIn::Frame(&bytes),
                        hands,
                        up,
                    );
                });
            }
            Parcel::HalfClosed => self.input(voter, |election, now, hands, up| {
                election.handle_stream(now, end.stream, tag, StreamIn::HalfClosed, hands, up);
            }),
            Parcel::Ended(cause) => {
                self.streams[stream].ends[to].open = false;
                self.tags[voter].retain(|(known, _)| *known != end.stream);
                self.input(voter, |election, now, hands, up| {
                    let status = Status::new(Code::Unavailable, "").caused_by(cause);
                    election.handle_stream(
                        now,
                        end.stream,
                        tag,
                        StreamIn::Ended(status),
                        hands,
                        up,
                    );
                });
            }
        }
    }

    fn called(&mut self, stream: usize, end: End) {
        let voter = end.voter;
        if self.hostile_accepts(stream, voter) {
            return;
        }
        if self.voters[voter].election.is_none() || !self.voters[voter].listening {
            return self.send(stream, 0, Parcel::Ended(Cause::Refused));
        }
        if let Some(paused) = self.is_paused(voter) {
            let (to, parcel) = (1, Parcel::Call);
            return self
                .queue
                .push(paused, Event::Parcel { stream, to, parcel });
        }
        let caller = self.streams[stream].ends[0].voter;
        let process = &mut self.voters[voter];
        process.next_stream += 1;
        let id = StreamId::new(process.next_stream, 1);
        self.streams[stream].ends[1] = End {
            voter,
            boot: process.boot,
            stream: id,
            open: true,
        };
        self.slots[voter].push(stream);
        let bytes = self.says_electorate().then(|| {
            let mine = self.voters[voter].electorate_hash;
            self.send(stream, 0, Parcel::Header(mine));
            header(self.voters[caller].electorate_hash)
        });
        let named = (!self.streams[stream].is_anonymous).then_some(NodeId(caller as u32));
        self.input(voter, |election, now, hands, up| {
            let event = StreamIn::Accepted {
                from: named,
                method: STREAM_VALUES,
                header: Header(bytes.as_deref().unwrap_or_default()),
                deadline: None,
                trusted: true,
            };
            election.handle_stream(now, id, Tag::NEW, event, hands, up);
        });
    }
}
