//! Reading from a channel.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use trefoil_core::channels::client::Key;
use trefoil_core::channels::open::{Filter, Policy};

use super::driving::Ask;
use super::record::Record;
use super::{ChannelError, Connection, Shared};

/// Records that may be handled before their acknowledgement leaves this task.
const ACKNOWLEDGE_EVERY: u64 = 64;

/// From where a consumer reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// From the first record kept.
    All,
    /// From what is appended from now on.
    #[default]
    Latest,
    /// From the record of this id on.
    At(Bytes),
    /// From the record behind this id.
    Behind(Bytes),
}

impl From {
    pub(super) fn lend(&self) -> Policy<'_> {
        match self {
            Self::All => Policy::All,
            Self::Latest => Policy::Latest,
            Self::At(id) => Policy::StartFrom(id),
            Self::Behind(id) => Policy::StartAfter(id),
        }
    }
}

/// Which records a consumer wants; all of them must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFilter {
    /// Those above a time tick.
    TimeTickAbove(u64),
    /// Those at or above a time tick.
    TimeTickFrom(u64),
    /// Those whose property `_vc` is this.
    VChannel(String),
}

impl RecordFilter {
    pub(super) fn lend(&self) -> Filter<'_> {
        match self {
            Self::TimeTickAbove(tick) => Filter::TimeTickGt(*tick),
            Self::TimeTickFrom(tick) => Filter::TimeTickGte(*tick),
            Self::VChannel(name) => Filter::VChannel(name),
        }
    }
}

/// When a record counts as handled. What is not is delivered again to nobody in this process, and bounds how many
/// more are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When the next one is asked for.
    #[default]
    OnNext,
    /// When [`Consumer::acknowledge`] says so.
    Explicitly,
}

/// How a consumer behaves.
#[derive(Clone, Debug, Default)]
pub struct ConsumerOptions {
    /// From where it reads at first.
    pub from: From,
    /// At most 16.
    pub filters: Vec<RecordFilter>,
    /// When a record counts as handled.
    pub acknowledge: Acknowledge,
}

/// Reads one channel: every record that its options take in, in order, each once, over every loss of a node.
#[derive(Debug)]
pub struct Consumer {
    key: Key,
    shared: Shared,
    records: mpsc::UnboundedReceiver<Result<Record, ChannelError>>,
    connection: watch::Receiver<Connection>,
    acknowledge: Acknowledge,
    given: u64,
    acknowledged: u64,
}

impl Consumer {
    pub(super) async fn open(
        shared: Shared,
        channel: &str,
        options: ConsumerOptions,
    ) -> Result<Self, ChannelError> {
        let key = shared.key();
        let acknowledge = options.acknowledge;
        // What is in it is bounded by what is not acknowledged, which the machine does.
        let (give, records) = mpsc::unbounded_channel();
        let opened = shared.answered(|told| Ask::OpenConsumer {
            key,
            channel: channel.to_owned(),
            options,
            give,
            told,
        });
        let connection = opened.await?;
        Ok(Self {
            key,
            shared,
            records,
            connection,
            acknowledge,
            given: 0,
            acknowledged: 0,
        })
    }

    /// The next record, as soon as there is one. Nothing is lost if the future is dropped before.
    ///
    /// # Errors
    /// The consumer cannot go on, or the client has stopped.
    pub async fn next(&mut self) -> Result<Record, ChannelError> {
        if self.acknowledge == Acknowledge::OnNext {
            let lag = self.given - self.acknowledged;
            if lag >= ACKNOWLEDGE_EVERY || (lag > 0 && self.records.is_empty()) {
                self.acknowledge(self.given).await?;
            }
        }
        match self.records.recv().await {
            Some(Ok(record)) => {
                self.given = record.delivery;
                Ok(record)
            }
            Some(Err(error)) => Err(error),
            None => Err(ChannelError::stopped()),
        }
    }

    /// All records up to this one were handled.
    ///
    /// # Errors
    /// The client has stopped.
    pub async fn acknowledge(&mut self, delivery: u64) -> Result<(), ChannelError> {
        let key = self.key;
        self.shared.ask(Ask::Acknowledge { key, delivery }).await?;
        self.acknowledged = self.acknowledged.max(delivery);
        Ok(())
    }

    /// Whether it is connected: now, and whenever that changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // If the client has stopped, nothing is left to close.
        let _ = self.shared.dropped.send(self.key);
    }
}
