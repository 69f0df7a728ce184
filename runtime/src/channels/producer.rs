//! Appending to a channel.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use trefoil_core::channels::client::Key;
use trefoil_core::time::Duration;

use super::driving::{Ask, Produce};
use super::{ChannelError, Connection, Shared};

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// How long a record may wait for its answer, over all attempts; for ever if absent.
    pub timeout: Option<Duration>,
    /// Makes every record land once, however often it is sent.
    pub dedupe: Option<DedupeOptions>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(60)),
            dedupe: None,
        }
    }
}

/// How records that are sent twice are told apart. Our nodes keep the last 4,096 of a channel in mind, if nothing
/// else is configured; other servers keep none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupeOptions {
    /// Who the producer is, 1 to 64 bytes. No two that live at once may share it.
    pub producer: String,
    /// The number of the first record: 1 for a name that was never used before.
    pub sequence: u64,
}

/// A record that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Which record of this producer: they count from 1, or from [`DedupeOptions::sequence`].
    pub sequence: u64,
    /// Where it stands; opaque.
    pub id: Bytes,
}

/// What a record takes of a producer's room, given back with its answer.
#[derive(Debug)]
pub(super) struct Taken {
    _record: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// A record on its way. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Sending(oneshot::Receiver<Result<Appended, ChannelError>>);

impl Future for Sending {
    type Output = Result<Appended, ChannelError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = Pin::new(&mut self.0).poll(cx);
        told.map(|told| told.unwrap_or_else(|_| Err(ChannelError::stopped())))
    }
}

/// Appends to one channel. Dropped, it takes no more records; those on their way are still appended.
#[derive(Debug)]
pub struct Producer {
    key: Key,
    shared: Shared,
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    connection: watch::Receiver<Connection>,
}

impl Producer {
    pub(super) async fn open(
        shared: Shared,
        channel: &str,
        options: ProducerOptions,
    ) -> Result<Self, ChannelError> {
        let key = shared.key();
        let opened = shared.answered(|told| Ask::OpenProducer {
            key,
            channel: channel.to_owned(),
            options,
            told,
        });
        let connection = opened.await?;
        let room = |most: u32| Arc::new(Semaphore::new(most as usize));
        Ok(Self {
            key,
            records: room(shared.records_max),
            bytes: room(shared.record_bytes_max),
            shared,
            connection,
        })
    }

    /// Appends a record, and waits until it is in the log. Many may be on their way at once, by
    /// [`enqueue`](Self::enqueue) or from several tasks; they are in the log in the order they were given, as
    /// long as no connection is lost in between.
    ///
    /// Values of properties are text. `_t` and `_v`, type and version, are `2` and `1` if they are not among them.
    ///
    /// # Errors
    /// The record cannot be, or its time ran out; see [`ChannelError::is_certain`].
    pub async fn send(
        &self,
        payload: impl Into<Bytes>,
        properties: &[(&str, &str)],
    ) -> Result<Appended, ChannelError> {
        self.enqueue(payload, properties).await?.await
    }

    /// Takes a record, as soon as there is room for it, and gives what its answer will come by.
    ///
    /// # Errors
    /// The client has stopped.
    pub async fn enqueue(
        &self,
        payload: impl Into<Bytes>,
        properties: &[(&str, &str)],
    ) -> Result<Sending, ChannelError> {
        let payload = payload.into();
        let extra: usize = properties.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
        // The most of it, for one record: it is refused then, or alone under way.
        let bytes = (payload.len() + extra + 256).min(self.shared.record_bytes_max as usize);
        let taken = Taken {
            _record: acquire(&self.records, 1).await?,
            _bytes: acquire(&self.bytes, bytes as u32).await?,
        };
        let (answer, answered) = oneshot::channel();
        let produce = Produce {
            key: self.key,
            payload,
            properties: properties
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            answer,
            taken,
        };
        self.shared.ask(Ask::Produce(produce)).await?;
        Ok(Sending(answered))
    }

    /// Whether it is connected: now, and whenever that changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Waits for all answers, and says goodbye to the node.
    ///
    /// # Errors
    /// Records were still without an answer when `close_timeout` ended.
    pub async fn close(self) -> Result<(), ChannelError> {
        let (told, closed) = oneshot::channel();
        let key = self.key;
        self.shared.ask(Ask::CloseProducer { key, told }).await?;
        closed
            .await
            .unwrap_or_else(|_| Err(ChannelError::stopped()))
    }
}

async fn acquire(room: &Arc<Semaphore>, many: u32) -> Result<OwnedSemaphorePermit, ChannelError> {
    let taken = Arc::clone(room).acquire_many_owned(many).await;
    taken.map_err(|_| ChannelError::stopped())
}

impl Drop for Producer {
    fn drop(&mut self) {
        // If the client has stopped, nothing is left to close.
        let _ = self.shared.dropped.send(self.key);
    }
}
