//! A consumer: what it was given, what of it was handled, and so where it goes on after a loss.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use super::config::ClientConfig;
use super::interface::ClientRefused;
use crate::channels::dialect::Dialect;
use crate::channels::messages::properties::Reserved;
use crate::channels::open::{Filter, Open, OpenConsumer, Policy};

/// Bytes of the longest id that can be gone on from.
const ID_BYTES_MAX: usize = 128;
/// Filters of one consumer.
const FILTERS_MAX: usize = 16;
/// Bytes of what opens a consumer, before base64: the metadata of a stream has 2 KiB, others' included.
const REQUEST_BYTES_MAX: usize = 900;

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    All,
    Latest,
    /// From the id on.
    From,
    /// From behind the id.
    After,
}

/// Where to begin: with an id of a record, and with a time tick.
#[derive(Debug)]
struct Position {
    start: Start,
    id: Vec<u8>,
    /// In the place of the caller's own, once anything was delivered.
    tick: Option<Filter<'static>>,
}

/// A filter that owns its text.
#[derive(Debug)]
enum OwnedFilter {
    Gt(u64),
    Gte(u64),
    VChannel(String),
}

/// A record that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Unacknowledged {
    bytes: u32,
    /// Bytes of its id in `ids`; none if it cannot be gone on from.
    id_len: u16,
    tick: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Consumer {
    position: Position,
    filters: Vec<OwnedFilter>,
    unacknowledged: VecDeque<Unacknowledged>,
    ids: VecDeque<u8>,
    bytes: u64,
    /// Records delivered so far.
    delivered: u64,
    last_tick: Option<u64>,
    /// What was delivered before may come again.
    is_catching_up: bool,
    /// Credit kept back on the present stream.
    held: u32,
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver,
    /// It was delivered before.
    Skip,
    /// It stands before one that was delivered on the same stream.
    Misplaced,
}

impl Consumer {
    pub(super) fn new(
        dialect: Dialect,
        channel: &str,
        policy: Policy<'_>,
        filters: &[Filter<'_>],
    ) -> Result<Self, ClientRefused> {
        let (start, id) = match policy {
            Policy::All => (Start::All, &[][..]),
            Policy::Latest => (Start::Latest, &[][..]),
            Policy::StartFrom(id) => (Start::From, id),
            Policy::StartAfter(id) => (Start::After, id),
        };
        if !is_id(dialect, id) {
            return Err(ClientRefused::Invalid);
        }
        let consumer = Self {
            position: Position {
                start,
                id: id.into(),
                tick: None,
            },
            filters: filters.iter().map(OwnedFilter::new).collect(),
            unacknowledged: VecDeque::new(),
            ids: VecDeque::new(),
            bytes: 0,
            delivered: 0,
            last_tick: None,
            is_catching_up: false,
            held: 0,
        };
        let longest = [0; ID_BYTES_MAX];
        let largest = OpenConsumer {
            open: Open::new(channel, i64::MAX),
            policy: Policy::StartAfter(&longest),
            filters: filters
                .iter()
                .copied()
                .chain([Filter::TimeTickGt(u64::MAX)]),
        };
        if filters.len() > FILTERS_MAX || largest.request_len() > REQUEST_BYTES_MAX {
            return Err(ClientRefused::TooLarge);
        }
        Ok(consumer)
    }

    /// From where the next stream reads.
    pub(super) fn policy(&self) -> Policy<'_> {
        let id = &self.position.id;
        match self.position.start {
            Start::All => Policy::All,
            Start::Latest => Policy::Latest,
            Start::From => Policy::StartFrom(id),
            Start::After => Policy::StartAfter(id),
        }
    }

    /// The filters of the next stream. One of ticks replaces the caller's.
    pub(super) fn filters(&self) -> impl Clone + DoubleEndedIterator<Item = Filter<'_>> {
        let tick = self.position.tick;
        let own = self.filters.iter().map(OwnedFilter::lend);
        let is_kept =
            move |filter: &Filter<'_>| tick.is_none() || matches!(filter, Filter::VChannel(_));
        own.filter(is_kept).chain(tick)
    }

    /// What becomes of a record of this tick.
    pub(super) fn fate(&mut self, tick: Option<u64>) -> Fate {
        let (Some(tick), Some(last)) = (tick, self.last_tick) else {
            return Fate::Deliver;
        };
        if tick > last {
            self.is_catching_up = false;
            return Fate::Deliver;
        }
        match (self.is_catching_up, tick == last) {
            (true, _) => Fate::Skip,
            (false, true) => Fate::Deliver,
            (false, false) => Fate::Misplaced,
        }
    }

    /// The number of the next record.
    pub(super) const fn next_delivery(&self) -> u64 {
        self.delivered + 1
    }

    /// A record was delivered in a frame of `bytes`. Returns the credit to keep back.
    pub(super) fn delivered(
        &mut self,
        config: &ClientConfig,
        id: &[u8],
        reserved: &Reserved<'_>,
        bytes: u32,
    ) -> u32 {
        let is_first = self.delivered == 0;
        self.delivered += 1;
        let tick = reserved.time_tick;
        self.last_tick = tick.max(self.last_tick);
        let confirmed = reserved.last_confirmed.filter(|_| tick.is_some());
        let confirmed = confirmed.filter(|id| is_usable(config.dialect, id));
        let resume = confirmed.or(Some(id).filter(|id| is_usable(config.dialect, id)));
        if let (true, Some(resume)) = (is_first, resume) {
            // Until something is acknowledged, what was delivered first is where to begin: `Latest` would
            // leave out what was written since.
            let start = if confirmed.is_some() {
                Start::After
            } else {
                Start::From
            };
            self.position.go(start, resume.iter().copied());
            self.position.tick = tick.map(Filter::TimeTickGte);
        }
        let resume = resume.unwrap_or_default();
        self.ids.extend(resume);
        self.bytes += u64::from(bytes);
        self.unacknowledged.push_back(Unacknowledged {
            bytes,
            id_len: resume.len() as u16,
            tick,
        });
        if self.is_over(config) {
            self.held = self.held.saturating_add(bytes);
            bytes
        } else {
            0
        }
    }

    /// All records up to one were handled. Returns the credit to give back.
    pub(super) fn acknowledge(
        &mut self,
        config: &ClientConfig,
        delivery: u64,
    ) -> Result<u32, ClientRefused> {
        if delivery > self.delivered {
            return Err(ClientRefused::Invalid);
        }
        let left = (self.delivered - delivery) as usize;
        while self.unacknowledged.len() > left {
            let Some(handled) = self.unacknowledged.pop_front() else {
                break;
            };
            self.bytes -= u64::from(handled.bytes);
            let id = self.ids.drain(..usize::from(handled.id_len));
            if handled.id_len > 0 {
                self.position.go(Start::After, id);
            }
            if let Some(tick) = handled.tick {
                self.position.tick = Some(Filter::TimeTickGt(tick));
            }
        }
        if self.is_over(config) {
            return Ok(0);
        }
        Ok(core::mem::take(&mut self.held))
    }

    /// Another stream may bring again what was delivered on this.
    pub(super) const fn forget_stream(&mut self) {
        self.held = 0;
        self.is_catching_up = self.last_tick.is_some();
    }

    fn is_over(&self, config: &ClientConfig) -> bool {
        self.bytes > u64::from(config.unacknowledged_bytes_max)
            || self.unacknowledged.len() > config.unacknowledged_records_max as usize
    }
}

impl Position {
    fn go(&mut self, start: Start, id: impl Iterator<Item = u8>) {
        self.start = start;
        self.id.clear();
        self.id.extend(id);
    }
}

impl OwnedFilter {
    fn new(filter: &Filter<'_>) -> Self {
        match *filter {
            Filter::TimeTickGt(tick) => Self::Gt(tick),
            Filter::TimeTickGte(tick) => Self::Gte(tick),
            Filter::VChannel(name) => Self::VChannel(name.into()),
        }
    }

    fn lend(&self) -> Filter<'_> {
        match self {
            Self::Gt(tick) => Filter::TimeTickGt(*tick),
            Self::Gte(tick) => Filter::TimeTickGte(*tick),
            Self::VChannel(name) => Filter::VChannel(name),
        }
    }
}

/// Whether an id can be said in a dialect, and in the metadata of a stream.
fn is_id(dialect: Dialect, id: &[u8]) -> bool {
    let is_said = match dialect {
        Dialect::Seed => true,
        Dialect::V2024_08 => core::str::from_utf8(id).is_ok(),
    };
    is_said && id.len() <= ID_BYTES_MAX
}

/// Whether a record's id can be gone on from.
fn is_usable(dialect: Dialect, id: &[u8]) -> bool {
    !id.is_empty() && is_id(dialect, id)
}
