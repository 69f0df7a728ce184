//! What a party is ordered to do, and what it has to say.

use trefoil_core::channels::client::{ClientCommand, ClientEvent, ClientRefused, Dedupe};
use trefoil_core::channels::coordinator::CoordinatorRefused;
use trefoil_core::channels::messages::properties::{TYPE, VERSION, VERSION_1};
use trefoil_core::channels::open::Policy;
use trefoil_core::node::{ChannelsEvent, News};
use trefoil_core::time::{Duration, WallClock};

/// A call that gives or takes a channel, as a node got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which node got it, by host string.
    pub to: String,
    /// Which of its starts was meant.
    pub server_id: String,
    /// Whether the channel is taken.
    pub removal: bool,
    /// The message.
    pub frame: Vec<u8>,
}

/// An order.
#[derive(Clone, Debug)]
pub enum Order {
    /// A node hears of members or leaders.
    Hear(News),
    /// A node hears what the clock on the wall says.
    Wall(WallClock),
    /// A channel is to be there.
    Create(String),
    /// A channel is to be on a node.
    Move(String, String),
    /// A node is to give up its channels.
    Drain(String, Option<Duration>),
    /// A client watches where the channels are.
    Watch,
    /// A client opens a producer.
    OpenProducer {
        /// Its number.
        key: u64,
        /// The channel.
        channel: String,
        /// Its name, if duplicates are to be kept out.
        name: Option<String>,
        /// How long a record may wait for its answer.
        timeout: Option<Duration>,
    },
    /// A client appends a record.
    Produce(u64, Vec<u8>),
    /// A client opens a consumer of everything.
    OpenConsumer(u64, String),
    /// A client has handled records.
    Acknowledge(u64, u64),
    /// A call is made that was made before.
    Echo(Call),
}

/// What a party says.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// A node.
    Channels(ChannelsEvent<'a>),
    /// A client.
    Client(ClientEvent<'a>),
}

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By a coordinator.
    Coordinator(CoordinatorRefused),
    /// By a client.
    Client(ClientRefused),
    /// It was meant for another kind of party.
    Misplaced,
}

/// What every record says of itself.
const PROPERTIES: &[(&str, &[u8])] = &[(VERSION, VERSION_1), (TYPE, b"2")];

impl Order {
    /// The order as a client takes it, if it is for one.
    pub(super) fn for_client(&self) -> Option<ClientCommand<'_>> {
        Some(match self {
            Self::Watch => ClientCommand::Watch,
            Self::OpenProducer {
                key,
                channel,
                name,
                timeout,
            } => ClientCommand::OpenProducer {
                key: *key,
                channel,
                timeout: *timeout,
                dedupe: name.as_deref().map(|producer| Dedupe {
                    producer,
                    sequence: 1,
                }),
            },
            Self::Produce(key, payload) => ClientCommand::Produce {
                key: *key,
                payload,
                properties: PROPERTIES,
            },
            Self::OpenConsumer(key, channel) => ClientCommand::OpenConsumer {
                key: *key,
                channel,
                policy: Policy::All,
                filters: &[],
            },
            Self::Acknowledge(key, delivery) => ClientCommand::Acknowledge {
                key: *key,
                delivery: *delivery,
            },
            Self::Hear(_)
            | Self::Wall(_)
            | Self::Create(_)
            | Self::Move(..)
            | Self::Drain(..)
            | Self::Echo(_) => return None,
        })
    }
}
