//! What a worker is told, tells and shows.

use super::Worker;
use super::lifetime::Phase;
use crate::storage::OwnerId;
use crate::time::WallClock;

/// What the layer above may ask of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCommand<'a> {
    /// What the clock on the wall says. Time ticks are close to it from then on, and never go back.
    Wall(WallClock),
    /// The node is stopping: it takes no more channels, producers and consumers, and still gives channels up.
    Stop,
    /// Forgets the records of an open channel below a number, whoever has not been given them.
    Trim {
        /// The channel's name.
        channel: &'a str,
        /// First record to keep.
        before: u64,
    },
}

/// Why a worker refused a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerRefused {
    /// The channel is not open here.
    NotOpen,
    /// A record that is to be forgotten is not there yet.
    NotThere,
    /// Something is under way; ask again.
    Busy,
}

/// What a worker tells the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEvent<'a> {
    /// A channel serves.
    ChannelOpened {
        /// Its name.
        channel: &'a str,
        /// At which term.
        term: u64,
    },
    /// A channel is gone.
    ChannelClosed {
        /// Its name.
        channel: &'a str,
        /// At which term.
        term: u64,
        /// Whether something was still under way.
        by_force: bool,
    },
    /// A later term has the log of a channel that this node had, or was to have.
    ChannelFenced {
        /// Its name.
        channel: &'a str,
        /// The term that is over.
        term: u64,
    },
    /// A channel cannot be opened.
    ChannelUnreadable {
        /// Its name.
        channel: &'a str,
        /// At which term.
        term: u64,
    },
    /// Records were forgotten.
    ChannelTrimmed {
        /// The channel.
        channel: &'a str,
        /// First record that is kept.
        first: u64,
    },
}

/// Where a channel stands on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It was here, or was to be.
    Closed,
    /// Its log is being taken over.
    Opening,
    /// It serves.
    Open,
    /// It serves; what the store has done is being looked up, and appends wait.
    Recovering,
    /// It finishes what is under way.
    Closing,
}

/// One channel of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView<'a> {
    /// Its name.
    pub name: &'a str,
    /// The term that counts, whatever the state.
    pub term: u64,
    /// Where it stands.
    pub state: ChannelState,
    /// Producers that are connected.
    pub producers: usize,
    /// Consumers that are connected.
    pub consumers: usize,
    /// Messages on their way to the log.
    pub in_flight: usize,
    /// Number of the first record kept, as far as is known.
    pub first: u64,
    /// Number of the next record.
    pub next: u64,
    /// Records below it survive a crash.
    pub durable: u64,
    /// Time tick of the last record.
    pub last_tick: u64,
}

/// What happened since a worker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Channels opened.
    pub opened: u64,
    /// Terms that ended because a later one had the log.
    pub fenced: u64,
    /// Channels closed by force.
    pub forced: u64,
    /// Messages appended.
    pub appended: u64,
    /// Messages that were not appended, for they had been.
    pub duplicates: u64,
    /// Messages refused.
    pub refused: u64,
    /// Records delivered.
    pub delivered: u64,
    /// Looks at a log after something had gone wrong.
    pub recoveries: u64,
    /// Times records were forgotten.
    pub trims: u64,
    /// Requests of a kind that is not known here.
    pub skipped: u64,
}

/// A bug that is planted to see it caught.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPlant {
    /// All nodes write to a log as one owner at one term.
    NoFence,
    /// What has no outcome is taken for not written, and nobody looks.
    UnknownIsLost,
    /// A message is acknowledged when it is handed to the store.
    AckEarly,
    /// A term is opened without a look at the records before it.
    TailUnread,
    /// An opening is given up, and its term with it, when its caller is gone.
    CallerCancels,
    /// All but the last record is forgotten where something is to be.
    ForgetsEarly,
}

impl Worker {
    /// Plants a bug.
    #[doc(hidden)]
    pub const fn plant(&mut self, plant: WorkerPlant) {
        self.plant = Some(plant);
    }

    pub(super) fn has(&self, plant: WorkerPlant) -> bool {
        self.plant == Some(plant)
    }

    /// As whom this node writes to a log at a term.
    pub(super) fn writes_as(&self, term: u64) -> (u64, OwnerId) {
        if self.has(WorkerPlant::NoFence) {
            (1, OwnerId(0))
        } else {
            (term, self.config.owner)
        }
    }

    /// The channels known here, in the order they were first heard of.
    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> + '_ {
        self.channels.iter().map(|channel| ChannelView {
            name: &channel.name,
            term: channel.lifetime.expected().term,
            state: match channel.lifetime.phase() {
                Phase::Closed => ChannelState::Closed,
                Phase::Opening(_) => ChannelState::Opening,
                Phase::Closing(_) => ChannelState::Closing,
                Phase::Open(_) if channel.is_troubled() => ChannelState::Recovering,
                Phase::Open(_) => ChannelState::Open,
            },
            producers: channel.producers.len(),
            consumers: channel.consumers.len(),
            in_flight: channel.pending.len(),
            first: channel.extent.first(),
            next: channel.next,
            durable: channel.durable,
            last_tick: channel.last_tick,
        })
    }

    /// A channel by its name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelView<'_>> {
        let slot = self.find(name)?;
        self.channels().nth(slot as usize)
    }

    /// What happened since it was made.
    #[must_use]
    pub const fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// Whether it takes no more channels.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }
}
