//! Log channels as programs see them: producers, consumers, and where the channels are.
//!
//! The client finds the channels, opens what is asked for, and opens it again whenever a node, a coordinator or a
//! connection is lost; nobody who produces or consumes has to do anything about that.

mod consumer;
mod driving;
mod error;
mod map;
mod node;
mod operate;
mod producer;
mod record;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use trefoil_core::channels::client::{Client as Machine, ClientCounters, ClientRefused, Key};
use trefoil_core::driver::Driver;
use trefoil_core::engine::Engine;

pub use self::consumer::{Acknowledge, Consumer, ConsumerOptions, From, RecordFilter};
use self::driving::{Ask, ChannelRuntime};
pub use self::error::ChannelError;
pub use self::map::{ChannelMap, Placed};
pub(crate) use self::node::tell;
pub use self::operate::{ChannelInfo, ChannelOperator, Listed, NodeInfo, Planned};
pub use self::producer::{Appended, DedupeOptions, Producer, ProducerOptions, Sending};
pub use self::record::Record;
use crate::carrier::Carrier;
use crate::client::ClientOptions;
use crate::clock;
use crate::nostore::NoStore;
use crate::platform::Platform;
use crate::start::StartError;

/// Whether a producer or a consumer is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Not yet.
    #[default]
    Waiting,
    /// It is.
    Open {
        /// At this term of the channel.
        term: i64,
    },
    /// It was, or was to be; it is tried again.
    Interrupted {
        /// Why.
        why: Arc<ChannelError>,
    },
}

/// Producers and consumers of a program: cheap to clone. Its task ends with the last clone and the last of them.
pub struct ChannelClient<P> {
    shared: Shared,
    map: watch::Receiver<Arc<ChannelMap>>,
    platform: PhantomData<fn() -> P>,
}

impl<P> Clone for ChannelClient<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            map: self.map.clone(),
            platform: PhantomData,
        }
    }
}

impl<P> fmt::Debug for ChannelClient<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelClient").finish_non_exhaustive()
    }
}

/// What a client, its producers and its consumers have in common.
#[derive(Clone, Debug)]
struct Shared {
    asks: mpsc::Sender<Ask>,
    /// Of those that were dropped: nobody waits for them.
    dropped: mpsc::UnboundedSender<Key>,
    keys: Arc<AtomicU64>,
    records_max: u32,
    record_bytes_max: u32,
}

impl Shared {
    fn key(&self) -> Key {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    async fn ask(&self, ask: Ask) -> Result<(), ChannelError> {
        let asked = self.asks.send(ask).await;
        asked.map_err(|_| ChannelError::stopped())
    }

    /// Asks for what is answered at once.
    async fn answered<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, ClientRefused>>) -> Ask,
    ) -> Result<T, ChannelError> {
        let (tell, told) = oneshot::channel();
        self.ask(ask(tell)).await?;
        let answer = told.await.map_err(|_| ChannelError::stopped())?;
        answer.map_err(ChannelError::refused)
    }
}

impl<P: Platform> ChannelClient<P> {
    /// Starts a client on the present runtime. Its contacts are where the coordinators are, if
    /// [`channels`](ClientOptions::channels) names none; nothing is dialled until something is opened.
    ///
    /// # Errors
    /// A setting that does not hold, or a system without randomness.
    pub fn start(options: ClientOptions) -> Result<Self, StartError> {
        let seed = clock::entropy()?;
        options.limits.check()?;
        let mut config = options.channels.clone();
        if config.coordinators.is_empty() {
            config.coordinators.clone_from(&options.calls.contacts);
        }
        config.seed = seed;
        config.request_bytes_max = config.request_bytes_max.min(options.limits.frame_bytes_max);
        let (records_max, record_bytes_max) = (config.records_max, config.record_bytes_max);
        let platform = P::here();
        let transport = P::Carrier::call(&platform, &options)?;
        let engine = Engine::new(options.engine(seed), Machine::new(config)?)?;
        let (asks, asked) = mpsc::channel(1_024);
        let (dropped, gone) = mpsc::unbounded_channel();
        let publish = watch::Sender::new(Arc::default());
        let map = publish.subscribe();
        let runtime = ChannelRuntime::<P>::new(asked, gone, publish);
        let mut driver = Driver::new(engine, transport, NoStore, runtime);
        platform.spawn(std::future::poll_fn(move |cx| driver.poll(cx)));
        let shared = Shared {
            asks,
            dropped,
            keys: Arc::default(),
            records_max,
            record_bytes_max,
        };
        Ok(Self {
            shared,
            map,
            platform: PhantomData,
        })
    }

    /// A producer of a channel. It is there at once; records wait until it is connected, and whenever it is not.
    ///
    /// # Errors
    /// Too many are open, or the name or an option cannot be.
    pub async fn producer(
        &self,
        channel: &str,
        options: ProducerOptions,
    ) -> Result<Producer, ChannelError> {
        Producer::open(self.shared.clone(), channel, options).await
    }

    /// A consumer of a channel.
    ///
    /// # Errors
    /// Too many are open, or the name or an option cannot be.
    pub async fn consumer(
        &self,
        channel: &str,
        options: ConsumerOptions,
    ) -> Result<Consumer, ChannelError> {
        Consumer::open(self.shared.clone(), channel, options).await
    }

    /// Where the channels are, as coordinators say: the last that was heard, and every later one. Asks for it, if
    /// nothing is open yet.
    ///
    /// # Errors
    /// The client has stopped.
    pub async fn watch(&self) -> Result<watch::Receiver<Arc<ChannelMap>>, ChannelError> {
        self.shared.ask(Ask::Watch).await?;
        Ok(self.map.clone())
    }

    /// What has been counted.
    ///
    /// # Errors
    /// The client has stopped.
    pub async fn counters(&self) -> Result<ClientCounters, ChannelError> {
        let (tell, told) = oneshot::channel();
        self.shared.ask(Ask::Counters(tell)).await?;
        told.await.map_err(|_| ChannelError::stopped())
    }
}
