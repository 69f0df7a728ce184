//! The rules that hold for every arrival of every case: what may come on which stream, and when.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_core::id::{CallId, LinkId, StreamId};
use trefoil_core::status::Cause;
use trefoil_core::transport::{Arrival, LinkEvent};

use crate::subject::At;

/// What is known of a stream that is not over.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Of those this side opened.
    link: Option<LinkId>,
    has_header: bool,
    has_frame: bool,
    half_closed_there: bool,
    half_closed_here: bool,
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Dialled,
    Up,
    /// Refused or lost: its streams must end.
    Down,
}

/// One side's streams, calls and links. Numbers streams as the core does: a slot that was freed last
/// is used first, by its next generation.
#[derive(Debug)]
pub(crate) struct Ledger {
    at: At,
    streams: BTreeMap<StreamId, Known>,
    calls: BTreeSet<u64>,
    links: BTreeMap<LinkId, Link>,
    free: Vec<u32>,
    generations: Vec<u32>,
}

impl Ledger {
    pub(crate) const fn new(at: At) -> Self {
        Self {
            at,
            streams: BTreeMap::new(),
            calls: BTreeSet::new(),
            links: BTreeMap::new(),
            free: Vec::new(),
            generations: Vec::new(),
        }
    }

    /// A stream of this side, opened on `link` or accepted.
    pub(crate) fn begin(&mut self, link: Option<LinkId>) -> StreamId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        let generation = &mut self.generations[slot as usize];
        *generation += 1;
        let stream = StreamId::new(slot, *generation);
        self.streams.insert(
            stream,
            Known {
                link,
                ..Known::default()
            },
        );
        stream
    }

    /// A stream was ended from here.
    pub(crate) fn over(&mut self, stream: StreamId) {
        if self.streams.remove(&stream).is_some() {
            self.free.push(stream.slot());
        }
    }

    pub(crate) fn decided(&mut self, call: CallId) {
        self.calls.remove(&call.0);
    }

    pub(crate) fn dialled(&mut self, link: LinkId) {
        self.links.insert(link, Link::Dialled);
    }

    /// A link was hung up. Returns its streams, which are over.
    pub(crate) fn hung_up(&mut self, link: LinkId) -> Vec<StreamId> {
        self.links.remove(&link);
        let of_it =
            |(stream, known): (&StreamId, &Known)| (known.link == Some(link)).then_some(*stream);
        let streams: Vec<_> = self.streams.iter().filter_map(of_it).collect();
        for stream in &streams {
            self.over(*stream);
        }
        streams
    }

    pub(crate) fn refused(&mut self, stream: StreamId) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.refused = true;
        }
    }

    pub(crate) fn half_closed(&mut self, stream: StreamId) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.half_closed_here = true;
        }
    }

    /// Whether a frame was refused, and no room has been announced since.
    pub(crate) fn is_refused(&self, stream: StreamId) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|known| known.refused && !known.half_closed_here)
    }

    pub(crate) fn is_live(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    pub(crate) fn live(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn undecided(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn slots(&self) -> usize {
        self.generations.len()
    }

    /// A stream whose link is down and whose end has not been told.
    pub(crate) fn stranded(&self) -> Option<StreamId> {
        let is_down = |known: &Known| {
            known
                .link
                .is_some_and(|link| self.links.get(&link) == Some(&Link::Down))
        };
        let mut stranded = self.streams.iter().filter(|(_, known)| is_down(known));
        stranded.next().map(|(stream, _)| *stream)
    }

    fn known(&mut self, stream: StreamId, what: &str) -> &mut Known {
        let at = self.at;
        match self.streams.get_mut(&stream) {
            Some(known) => known,
            None => panic!("{at:?}: {what} on stream {stream}, which is over or never was"),
        }
    }

    /// Takes note of an arrival, and fails if it may not come.
    pub(crate) fn note(&mut self, arrival: &Arrival<Vec<u8>>) {
        let at = self.at;
        match arrival {
            Arrival::Link { link, event, .. } => {
                let next = match (self.links.get(link), event) {
                    (Some(Link::Dialled), LinkEvent::Up) => Link::Up,
                    (
                        Some(Link::Dialled | Link::Up),
                        LinkEvent::Refused | LinkEvent::Lost | LinkEvent::Untrusted,
                    ) => Link::Down,
                    (state, event) => panic!("{at:?}: {event:?} of {link:?}, which is {state:?}"),
                };
                self.links.insert(*link, next);
            }
            Arrival::Accepted { call, .. } => {
                assert!(
                    self.calls.insert(call.0),
                    "{at:?}: {call:?} was offered twice"
                );
            }
            Arrival::Header { stream, .. } => {
                let known = self.known(*stream, "a header");
                assert!(
                    known.link.is_some(),
                    "{at:?}: a header on an accepted stream"
                );
                assert!(!known.has_header, "{at:?}: two headers on {stream}");
                assert!(
                    !known.has_frame,
                    "{at:?}: a header after a frame on {stream}"
                );
                known.has_header = true;
            }
            Arrival::Frame { stream, .. } => {
                let known = self.known(*stream, "a frame");
                assert!(
                    !known.half_closed_there,
                    "{at:?}: a frame after the half-close of {stream}"
                );
                known.has_frame = true;
            }
            Arrival::HalfClosed { stream } => {
                let known = self.known(*stream, "a half-close");
                assert!(
                    !known.half_closed_there,
                    "{at:?}: {stream} half-closed twice"
                );
                known.half_closed_there = true;
            }
            Arrival::Writable { stream } => {
                let known = self.known(*stream, "room");
                assert!(
                    std::mem::take(&mut known.refused),
                    "{at:?}: room on {stream}, where no frame was refused"
                );
            }
            Arrival::Ended { stream, cause, .. } => {
                self.known(*stream, "an end");
                assert!(
                    !matches!(cause, Cause::Deadline | Cause::Local),
                    "{at:?}: a transport cannot know of {cause:?}"
                );
                self.over(*stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_core::status::Code;

    use super::*;

    const LINK: LinkId = LinkId(1);

    fn end(stream: StreamId) -> Arrival<Vec<u8>> {
        Arrival::Ended {
            stream,
            code: Code::Ok,
            cause: Cause::Peer,
            message: Vec::new(),
            details: Vec::new(),
        }
    }

    /// Whether a ledger with a link that stands and a stream on it lets these through.
    fn passes(arrivals: impl Fn(StreamId) -> Vec<Arrival<Vec<u8>>>) -> bool {
        let mut ledger = Ledger::new(At::Caller);
        ledger.dialled(LINK);
        let (event, why) = (LinkEvent::Up, None);
        let link = LINK;
        ledger.note(&Arrival::Link { link, event, why });
        let stream = ledger.begin(Some(LINK));
        let noted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for arrival in arrivals(stream) {
                ledger.note(&arrival);
            }
        }));
        noted.is_ok()
    }

    #[test]
    fn each_rule_can_be_broken() {
        let header = |stream| Arrival::Header {
            stream,
            header: Vec::new(),
        };
        let frame = |stream| Arrival::Frame {
            stream,
            frame: Vec::new(),
        };
        let half_closed = |stream| Arrival::HalfClosed { stream };
        let link = |event| Arrival::Link {
            link: LINK,
            event,
            why: None,
        };
        assert!(passes(|s| vec![
            header(s),
            frame(s),
            half_closed(s),
            end(s),
            link(LinkEvent::Lost)
        ]));
        assert!(passes(|s| vec![end(s)]));
        assert!(!passes(|s| vec![end(s), end(s)]));
        assert!(!passes(|s| vec![end(s), frame(s)]));
        assert!(!passes(|s| vec![header(s), header(s)]));
        assert!(!passes(|s| vec![frame(s), header(s)]));
        assert!(!passes(|s| vec![half_closed(s), frame(s)]));
        assert!(!passes(|s| vec![half_closed(s), half_closed(s)]));
        assert!(!passes(|s| vec![Arrival::Writable { stream: s }]));
        assert!(!passes(|s| vec![frame(StreamId::new(s.slot(), 7))]));
        assert!(!passes(|_| vec![link(LinkEvent::Up)]));
        assert!(!passes(|_| vec![
            link(LinkEvent::Lost),
            link(LinkEvent::Lost)
        ]));
    }

    #[test]
    fn a_stream_of_a_link_that_is_down_is_stranded_until_it_ends() {
        let mut ledger = Ledger::new(At::Caller);
        ledger.dialled(LINK);
        let stream = ledger.begin(Some(LINK));
        assert_eq!(ledger.stranded(), None);
        ledger.note(&Arrival::Link {
            link: LINK,
            event: LinkEvent::Refused,
            why: None,
        });
        assert_eq!(ledger.stranded(), Some(stream));
        ledger.note(&end(stream));
        assert_eq!(ledger.stranded(), None);
        assert_eq!(ledger.begin(None), StreamId::new(stream.slot(), 2));
    }
}
