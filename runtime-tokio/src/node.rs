//! A node: the ring's driver, its transport and its listener, on a thread of its own or on the
//! caller's runtime.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::driver::Driver;
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::limits::Limits;
use trefoil_core::link::LinkConfig;
use trefoil_core::method::Methods;
use trefoil_core::ring::actor::ActorKind;
use trefoil_core::ring::actors::ActorsConfig;
use trefoil_core::ring::directory::DirectoryConfig;
use trefoil_core::ring::membership::MembershipConfig;
use trefoil_core::ring::node::{Ring, RingConfig};
use trefoil_core::ring::placement::{PlacementConfig, Weight};
use trefoil_core::storage::{OwnerId, Storage};
use trefoil_core::time::Duration;
use trefoil_transport_tonic::{Grpc, GrpcOptions, Server};

use crate::actors::{ActorThreads, Performer};
use crate::alarm::Alarm;
use crate::calls::Waiting;
use crate::clock;
use crate::handle::Handle;
use crate::net::{Tcp, Tokio};
use crate::published::Published;
use crate::runtime::NodeRuntime;
use crate::start::StartError;

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
    /// Where ids belong; equal on all nodes.
    pub placement: PlacementConfig,
    /// Hosts that should own more than others; equal on all nodes.
    pub weights: Vec<(String, Weight)>,
    /// Bounds.
    pub limits: Limits,
    /// How links are dialled.
    pub links: LinkConfig,
    /// How connections behave.
    pub grpc: GrpcOptions,
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
            placement: PlacementConfig::default(),
            weights: Vec::new(),
            limits: Limits::default(),
            links: LinkConfig::default(),
            grpc: GrpcOptions::default(),
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
        self.grpc.check()?;
        Ring::new(self.ring(1, 1))?;
        Ok(())
    }

    fn ring(&self, boot: u64, seed: u64) -> RingConfig {
        let mut membership = self.membership.clone();
        membership.host = self.host.clone();
        membership.incarnation = self.incarnation;
        membership.seeds = self.join.clone();
        membership.seed = seed;
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

    fn engine(&self, boot: u64, seed: u64, placement: u64, store: u64) -> EngineConfig {
        EngineConfig {
            node: self.host.clone(),
            boot,
            incarnation: self.incarnation,
            cluster: self.cluster.clone(),
            placement,
            store,
            electorate: 0,
            features: 0,
            anonymous: false,
            token: None,
            certified: false,
            limits: self.limits.clone(),
            links: self.links.clone(),
            seed,
        }
    }
}

/// A running node. Dropping it stops the node at once, without a word to the others; use
/// [`shutdown`](Self::shutdown) to leave in good order.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    address: SocketAddr,
    server: Server<Tokio>,
    drain_timeout: Duration,
    /// The driver stops when this is dropped, whatever handles are left and however much they ask.
    running: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
    /// `None` where the node runs on the caller's runtime.
    thread: Option<JoinHandle<()>>,
}

/// A node that was built and does not run yet.
struct Built<K: ActorKind, S> {
    driver: Driver<Ring, Grpc<Tokio>, S, NodeRuntime<K>>,
    server: Server<Tokio>,
    handle: Handle,
}

impl Node {
    /// Starts a node on the present tokio runtime, beside whatever else runs there.
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
        let listener = listen(&options).await?;
        let address = listener.local_addr()?;
        let drain_timeout = options.drain_timeout;
        let Built {
            mut driver,
            server,
            handle,
        } = build(options, kind, storage)?;
        let (tell, stopped) = oneshot::channel();
        let (running, mut dropped) = oneshot::channel();
        let accepting = server.clone();
        tokio::spawn(async move { accepting.listen(Tcp(listener)).await });
        let closing = server.clone();
        tokio::spawn(async move {
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
            address,
            server,
            drain_timeout,
            running: Some(running),
            stopped,
            thread: None,
        })
    }

    /// Starts a node on a thread of its own, with a current-thread runtime of its own.
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
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = tell.send(Err(StartError::System(error)));
                    return;
                }
            };
            runtime.block_on(async move {
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
            .map_err(|_| std::io::Error::other("the node's thread ended"))??;
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
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leaves in good order: health says so, calls in flight end, actors are put to rest, the others
    /// are told; then the node stops. Takes at most twice the drain timeout.
    pub async fn shutdown(mut self) {
        self.server.health().set("", false).await;
        // A node that has stopped already has nothing to leave.
        let _ = tokio::time::timeout(self.drain_timeout, self.handle.leave()).await;
        self.server.drain(self.drain_timeout).await;
        self.stop().await;
    }

    /// Stops at once, as a crash would: nobody is told, nothing is finished.
    pub async fn kill(mut self) {
        self.server.close();
        self.stop().await;
    }

    async fn stop(&mut self) {
        drop(self.running.take());
        let _ = (&mut self.stopped).await;
        if let Some(thread) = self.thread.take() {
            // The thread has nothing left to do but to drop its runtime.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

async fn listen(options: &NodeOptions) -> Result<TcpListener, StartError> {
    let address = options
        .listen
        .clone()
        .unwrap_or_else(|| options.host.clone());
    TcpListener::bind(&address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

fn build<K, S>(options: NodeOptions, kind: K, storage: S) -> Result<Built<K, S>, StartError>
where
    K: ActorKind + Clone + Send + 'static,
    K::Actor: Send,
    S: Storage,
{
    let (boot, seed) = (clock::entropy()?, clock::entropy()?);
    let ring = options.ring(boot, seed);
    let engine = options.engine(boot, seed, ring.placement().fingerprint(), storage.id());
    let engine = Engine::new(engine, Ring::new(ring)?)?;
    let tokio = Tokio {
        source: options.source,
    };
    let grpc = Grpc::new(
        tokio,
        Methods::ring(),
        &options.limits,
        options.grpc.clone(),
    )?;
    let service = grpc.service();
    #[cfg(feature = "reflection")]
    let service = service.with_reflection(&[
        trefoil_proto::control_plane::FILE_DESCRIPTOR_SET,
        trefoil_proto::admin::FILE_DESCRIPTOR_SET,
    ])?;
    let server = Server::new(tokio, service, options.grpc.clone())?;
    let published = Arc::new(Published::new(&options.host));
    let (asks, heard) = mpsc::channel(1_024);
    let runtime = NodeRuntime::new(
        heard,
        Arc::clone(&published),
        Performer::new(kind, options.threads, seed)?,
        Waiting::default(),
        Alarm::default(),
    );
    let driver = Driver::new(engine, grpc, storage, runtime);
    Ok(Built {
        driver,
        server,
        handle: Handle { asks, published },
    })
}
