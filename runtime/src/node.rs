//! A node: the ring's driver, its transport and its door, on a thread of its own or on the caller's
//! runtime.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::channels::worker::GROWTH_BYTES_MAX;
use trefoil_core::driver::Driver;
use trefoil_core::election::config::dialled;
use trefoil_core::election::{ElectionConfig, FollowerConfig, Seat};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::identity::Token;
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::node::{ChannelsConfig, Node as Machine, NodeConfig, PartConfig};
use trefoil_core::ring::RingConfig;
use trefoil_core::ring::actor::ActorKind;
use trefoil_core::ring::actors::ActorsConfig;
use trefoil_core::ring::directory::DirectoryConfig;
use trefoil_core::ring::membership::MembershipConfig;
use trefoil_core::ring::placement::{PlacementConfig, Weight};
use trefoil_core::storage::{OwnerId, Storage};
use trefoil_core::time::Duration;
use trefoil_core::transport::Transport;
#[cfg(feature = "quic")]
use trefoil_transport_quic::QuicOptions;
#[cfg(feature = "tonic")]
use trefoil_transport_tonic::GrpcOptions;

use crate::actors::{ActorThreads, Performer};
use crate::calls::Waiting;
use crate::carrier::{Carrier, Door, TransportKind};
use crate::clock;
use crate::election::OwnedCommand;
use crate::handle::Handle;
use crate::platform::Platform;
use crate::published::Published;
use crate::ring::NodeRuntime;
use crate::security::Security;
use crate::start::StartError;
use crate::task::timeout;

/// How a node is made.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// What it is called on the wire, and where peers dial it: `name:port`.
    pub host: String,
    /// Where it listens; its host if absent.
    pub listen: Option<String>,
    /// The cluster it belongs to. Clusters of different names never merge.
    pub cluster: String,
    /// Hosts to ask for the cluster. None: it is the first. Listing itself among them lets it begin
    /// alone when none of the others answers.
    pub join: Vec<String>,
    /// Counts its starts; from the store's local state.
    pub incarnation: u64,
    /// Failure detection. Host, incarnation, seeds and randomness are filled in.
    pub membership: MembershipConfig,
    /// Claims. The host and randomness are filled in.
    pub directory: DirectoryConfig,
    /// Actors. The owner and randomness are filled in.
    pub actors: ActorsConfig,
    /// The election it takes part in, if any: it votes if its host is in the list, and follows otherwise. Its
    /// seat, the origin of the clock and randomness are filled in.
    pub election: Option<ElectionConfig>,
    /// Its part in the log channels, if it has one; whoever leads the election coordinates them. Owner, cluster,
    /// randomness and numbers are filled in.
    pub channels: Option<ChannelsConfig>,
    /// Where ids belong; equal on all nodes.
    pub placement: PlacementConfig,
    /// Hosts that should own more than others; equal on all nodes.
    pub weights: Vec<(String, Weight)>,
    /// Bounds.
    pub limits: Limits,
    /// How links are dialled.
    pub links: LinkConfig,
    /// By what it dials and is called; by gRPC if the build has both and nothing is said.
    pub transport: Option<TransportKind>,
    /// Whether it is called by the other transport as well, at the same port.
    pub accepts_both: bool,
    /// How strangers are kept out.
    pub security: Security,
    /// Shown to every peer that is called, and asked of every caller; nobody is asked if absent.
    pub token: Option<Token>,
    /// How connections of gRPC behave.
    #[cfg(feature = "tonic")]
    pub grpc: GrpcOptions,
    /// How connections of QUIC behave.
    #[cfg(feature = "quic")]
    pub quic: QuicOptions,
    /// Where actors run.
    pub threads: ActorThreads,
    /// The local address outgoing connections are bound to.
    pub source: Option<IpAddr>,
    /// How long calls in flight may take to end when the node is shut down.
    pub drain_timeout: Duration,
}

impl NodeOptions {
    /// A node of this name in a cluster of this name, with defaults for a local network.
    #[must_use]
    pub fn new(host: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            listen: None,
            cluster: cluster.into(),
            join: Vec::new(),
            incarnation: 1,
            membership: MembershipConfig::lan(),
            directory: DirectoryConfig::lan(),
            actors: ActorsConfig::default(),
            election: None,
            channels: None,
            placement: PlacementConfig::default(),
            weights: Vec::new(),
            limits: Limits::default(),
            links: LinkConfig::default(),
            transport: None,
            accepts_both: false,
            security: Security::default(),
            token: None,
            #[cfg(feature = "tonic")]
            grpc: GrpcOptions::default(),
            #[cfg(feature = "quic")]
            quic: QuicOptions::default(),
            threads: ActorThreads::default(),
            source: None,
            drain_timeout: Duration::from_secs(5),
        }
    }

    /// Checks every setting, as a start would, without listening or taking memory for long.
    ///
    /// # Errors
    /// The first setting that does not hold.
    pub fn check(&self) -> Result<(), StartError> {
        self.limits.check()?;
        #[cfg(feature = "tonic")]
        self.grpc.check()?;
        #[cfg(feature = "quic")]
        self.quic.check()?;
        Machine::new(self.machine(1, 1))?;
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn listens_on(&self) -> &str {
        self.listen.as_deref().unwrap_or(&self.host)
    }

    fn ring(&self, boot: u64, seed: u64) -> RingConfig {
        let mut membership = self.membership.clone();
        membership.host = self.host.clone();
        membership.incarnation = self.incarnation;
        membership.seeds = self.join.clone();
        membership.seed = seed;
        membership.believes_strangers &= !self.security.is_certified();
        let mut directory = self.directory.clone();
        directory.host = self.host.clone();
        directory.reply_bytes_max = self.limits.frame_bytes_max;
        directory.seed = seed.rotate_left(16);
        let mut actors = self.actors.clone();
        actors.owner = OwnerId(boot);
        actors.seed = seed.rotate_left(32);
        let (placement, weights) = (self.placement, self.weights.clone());
        RingConfig {
            cluster: self.cluster.clone(),
            membership,
            directory,
            actors,
            placement,
            weights,
        }
    }

    /// This node's seat is where its host stands in the list.
    fn election(&self, seed: u64) -> Option<PartConfig> {
        let mut election = self.election.clone()?;
        election.unix_origin = clock::unix_origin();
        election.seed = seed.rotate_left(48);
        let seat = election.voters.iter().position(|v| dialled(v) == self.host);
        Some(match seat {
            Some(at) => {
                election.me = Seat(u8::try_from(at).unwrap_or(u8::MAX));
                PartConfig::Voter(election)
            }
            None => PartConfig::Follower(FollowerConfig::of(&election)),
        })
    }

    fn machine(&self, boot: u64, seed: u64) -> NodeConfig {
        NodeConfig {
            ring: self.ring(boot, seed),
            election: self.election(seed),
            channels: self.channels(boot, seed),
        }
    }

    /// What no frame could carry is refused where it is produced.
    fn channels(&self, boot: u64, seed: u64) -> Option<ChannelsConfig> {
        let mut channels = self.channels.clone()?;
        channels.coordinator.seed = seed.rotate_left(8);
        let worker = &mut channels.worker;
        worker.owner = OwnerId(boot);
        worker.cluster.clone_from(&self.cluster);
        worker.seed = seed.rotate_left(24);
        worker.believes_strangers &= !self.security.is_certified();
        let fits = self.limits.frame_bytes_max.saturating_sub(GROWTH_BYTES_MAX);
        worker.message_bytes_max = worker.message_bytes_max.min(fits);
        Some(channels)
    }

    fn engine(&self, boot: u64, seed: u64, node: &NodeConfig, store: u64) -> EngineConfig {
        EngineConfig {
            node: self.host.clone(),
            boot,
            incarnation: self.incarnation,
            cluster: self.cluster.clone(),
            placement: node.ring.placement().fingerprint(),
            store,
            electorate: node
                .election
                .as_ref()
                .map_or(0, PartConfig::electorate_hash),
            features: 0,
            anonymous: false,
            token: self.token.clone(),
            certified: self.security.is_certified(),
            limits: self.limits.clone(),
            links: self.links.clone(),
            seed,
        }
    }
}

/// The door of a runtime's nodes.
type DoorOf<P> = <<P as Platform>::Carrier as Carrier<P>>::Door;

/// A running node. Dropping it stops the node at once, without a word to the others; use
/// [`shutdown`](Self::shutdown) to leave in good order.
pub struct Node<P: Platform> {
    handle: Handle,
    door: DoorOf<P>,
    drain_timeout: Duration,
    /// How long the channels it has may take to go.
    departure_timeout: Duration,
    /// The driver stops when this is dropped, whatever handles are left and however much they ask.
    running: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
    /// `None` where the node runs on the caller's runtime.
    thread: Option<JoinHandle<()>>,
}

impl<P: Platform> std::fmt::Debug for Node<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("host", &self.handle.host())
            .field("address", &self.door.address())
            .finish_non_exhaustive()
    }
}

impl<P: Platform> Node<P> {
    /// Starts a node on the present runtime, beside whatever else runs there.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start<K, S>(options: NodeOptions, kind: K, storage: S) -> Result<Self, StartError>
    where
        K: ActorKind + Clone + Send + 'static,
        K::Actor: Send,
        S: Storage + Send + 'static,
        S::Buf: Send,
    {
        options.check()?;
        options.security.check_name(&options.host)?;
        let platform = P::here();
        let drain_timeout = options.drain_timeout;
        let departure_timeout = options
            .channels
            .as_ref()
            .map_or(Duration::ZERO, |channels| channels.departure_timeout);
        let (transport, door) = P::Carrier::serve(&platform, &options).await?;
        let (mut driver, handle) = match build::<P, _, _, _>(options, kind, storage, transport) {
            Ok(built) => built,
            Err(error) => {
                door.close();
                return Err(error);
            }
        };
        let (tell, stopped) = oneshot::channel();
        let (running, mut dropped) = oneshot::channel();
        let closing = door.clone();
        platform.spawn(async move {
            std::future::poll_fn(|cx| match Pin::new(&mut dropped).poll(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => driver.poll(cx),
            })
            .await;
            closing.close();
            drop(driver);
            // Nobody may be waiting.
            let _ = tell.send(());
        });
        Ok(Self {
            handle,
            door,
            drain_timeout,
            departure_timeout,
            running: Some(running),
            stopped,
            thread: None,
        })
    }

    /// Starts a node on a thread of its own, with a runtime of its own that uses no other thread.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn spawn<K, S>(options: NodeOptions, kind: K, storage: S) -> Result<Self, StartError>
    where
        K: ActorKind + Clone + Send + 'static,
        K::Actor: Send,
        S: Storage + Send + 'static,
        S::Buf: Send,
    {
        let (tell, started) = oneshot::channel();
        // The system refuses a NUL in the name of a thread; whether the host may hold one is decided later.
        let name = options.host.replace('\0', "?");
        let run = move || {
            // A runtime that cannot be had drops `tell`, and by that says so.
            let _ = P::run(async move {
                match Self::start(options, kind, storage).await {
                    Err(error) => drop(tell.send(Err(error))),
                    Ok(mut node) => {
                        let (done, stopped) = oneshot::channel();
                        let running = std::mem::replace(&mut node.stopped, stopped);
                        drop(tell.send(Ok(node)));
                        drop(running.await);
                        // Nobody may be waiting.
                        let _ = done.send(());
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        let mut node = started
            .await
            .map_err(|_| std::io::Error::other("the system refused the node a runtime"))??;
        node.thread = Some(thread);
        Ok(node)
    }

    /// The node's handle.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// Leaves in good order: health says so, channels go to other nodes, calls in flight end, actors are put to
    /// rest, the others are told; then the node stops. Takes at most three times the drain timeout, and as long as
    /// its channels may take to go.
    pub async fn shutdown(mut self) {
        self.door.clone().say_leaving().await;
        // A node that has stopped already has nothing to leave.
        let leave = self.drain_timeout + self.departure_timeout;
        let _ = timeout::<P, _>(leave, self.handle.leave()).await;
        if let Some(election) = self.handle.election() {
            // Before the door is closed: a voter that is refused there may hold this node for dead.
            let stop = election.command(OwnedCommand::Stop);
            let _ = timeout::<P, _>(self.drain_timeout, stop).await;
        }
        self.door.clone().drain(self.drain_timeout).await;
        self.stop().await;
    }

    /// Stops at once, as a crash would: nobody is told, nothing is finished.
    pub async fn kill(mut self) {
        self.door.close();
        self.stop().await;
    }

    async fn stop(&mut self) {
        drop(self.running.take());
        let _ = (&mut self.stopped).await;
        if let Some(thread) = self.thread.take() {
            // The thread has nothing left to do but to drop its runtime.
            P::unblock(move || drop(thread.join())).await;
        }
    }
}

/// A driver that was not polled yet, and the handle of what it will run.
type Built<P, K, S, T> = (Driver<Machine, T, S, NodeRuntime<P, K>>, Handle);

fn build<P, K, S, T>(
    options: NodeOptions,
    kind: K,
    storage: S,
    transport: T,
) -> Result<Built<P, K, S, T>, StartError>
where
    P: Platform,
    K: ActorKind + Clone + Send + 'static,
    K::Actor: Send,
    S: Storage,
    T: Transport<Buf = Bytes>,
{
    let (boot, seed) = (clock::entropy()?, clock::entropy()?);
    let config = options.machine(boot, seed);
    let engine = options.engine(boot, seed, &config, storage.id());
    let has_part = config.election.is_some();
    let engine = Engine::new(engine, Machine::new(config)?)?;
    let published = Arc::new(Published::new(&options.host, has_part));
    let (asks, heard) = mpsc::channel(1_024);
    let runtime = NodeRuntime::new(
        heard,
        Arc::clone(&published),
        Performer::new(kind, options.threads, seed)?,
        Waiting::default(),
    );
    let driver = Driver::new(engine, transport, storage, runtime);
    Ok((driver, Handle { asks, published }))
}
