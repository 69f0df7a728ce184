//! The demo's cluster: three nodes, each with its own thread, runtime and listener, behind proxies.
//! They share the store's public interface and nothing else.

use std::net::{Ipv4Addr, TcpListener as StdListener, UdpSocket as StdSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UdpSocket};
use trefoil_core::election::{ElectionConfig, Memory};
use trefoil_core::ring::membership::PartitionPolicy;
use trefoil_runtime::{ChannelsConfig, Client, ClientOptions, Handle, Node, NodeOptions, Platform};
use trefoil_store::{Plant as StorePlant, Store, StoreOptions};

use super::datagrams;
use super::proxy::{self, BESIDE_MAJORITY, Network};
use crate::cart::Carts;
use crate::cli::Plant;
use crate::reach::Reach;

/// Nodes of the demo.
pub const NODES: usize = 3;

/// A running cluster.
pub struct Cluster<P: Platform> {
    pub network: Arc<Network>,
    pub hosts: Vec<String>,
    nodes: Vec<Node<P>>,
    reach: Reach,
    store: Store,
    plant: Option<Plant>,
}

impl<P: Platform> Cluster<P> {
    /// Starts the proxies and the nodes.
    ///
    /// # Errors
    /// The store or a port cannot be used.
    pub async fn start(data: &Path, plant: Option<Plant>, reach: Reach) -> Result<Self> {
        let network = Network::new(NODES);
        let fronts = (0..NODES)
            .map(|_| Front::bind())
            .collect::<Result<Vec<_>>>()?;
        let hosts = fronts.iter().map(|front| front.host.clone()).collect();
        carry(&network, fronts)?;
        let bug = plant.map(|plant| match plant {
            Plant::LostAppend => StorePlant::LostAppend,
            Plant::NoFence => StorePlant::NoFence,
        });
        let options = StoreOptions {
            plant: bug,
            ..StoreOptions::default()
        };
        let store = Store::open(data, options)
            .with_context(|| format!("cannot open the store in {}", data.display()))?;
        let mut cluster = Self {
            network,
            hosts,
            nodes: Vec::new(),
            reach,
            store,
            plant,
        };
        cluster.start_nodes().await?;
        Ok(cluster)
    }

    async fn start_nodes(&mut self) -> Result<()> {
        for (index, host) in self.hosts.iter().enumerate() {
            let mut options = NodeOptions::new(host.clone(), "demo");
            options.listen = Some("127.0.0.1:0".into());
            options.join = self.hosts.clone();
            options.source = Some(proxy::source_of(index));
            options.incarnation = self.store.begin_incarnation(host)?;
            // The votes of all are in the one store that was made here.
            options.election = Some(ElectionConfig {
                memory: Memory::Kept { first: true },
                ..ElectionConfig::lan(0, &self.hosts)
            });
            let mut channels = ChannelsConfig::default();
            channels.coordinator.expected_nodes = NODES as u32;
            options.channels = Some(channels);
            self.reach.node(&mut options);
            if self.plant == Some(Plant::NoFence) {
                // The cut node goes on believing, so that two owners do write.
                options.membership.partition = PartitionPolicy::KeepBoth;
            }
            let node = Node::spawn(options, Carts, self.store.session(host)).await?;
            self.network.set_target(index, node.address());
            self.nodes.push(node);
        }
        crate::up::together::<P>(&self.handles(), Duration::from_secs(20)).await
    }

    /// Handles of all nodes, in order.
    pub fn handles(&self) -> Vec<Handle> {
        self.nodes
            .iter()
            .map(|node| node.handle().clone())
            .collect()
    }

    /// Stops every node in good order and starts all of them again.
    ///
    /// # Errors
    /// They do not come up again.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.start_nodes().await
    }

    /// Stops every node in good order.
    pub async fn stop(&mut self) {
        for node in self.nodes.drain(..) {
            node.shutdown().await;
        }
    }

    /// A client that stands with the majority and knows every node but `without`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn client_beside_majority(&self, without: usize, ask_owners: bool) -> Result<Client<P>> {
        let contacts = self
            .hosts
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != without);
        let mut options = ClientOptions::to(contacts.map(|(_, host)| host.clone()));
        self.reach.client(&mut options);
        options.source = Some(BESIDE_MAJORITY);
        options.calls.ask_owners = ask_owners;
        options.calls.attempt_timeout = Duration::from_secs(1);
        options.calls.backoff_max = Duration::from_millis(200);
        Ok(Client::start(options)?)
    }

    /// Of a client that stands with the majority, and knows every node.
    pub fn options_beside_majority(&self) -> ClientOptions {
        let mut options = ClientOptions::to(self.hosts.clone());
        self.reach.client(&mut options);
        options.source = Some(BESIDE_MAJORITY);
        // A coordinator that is cut off says nothing, and so does one without news: by this they are told apart.
        options.limits.silence_max = Duration::from_secs(3);
        options
    }

    /// A client of one node alone.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn client_of(&self, index: usize) -> Result<Client<P>> {
        let mut options = ClientOptions::to([self.hosts[index].clone()]);
        self.reach.client(&mut options);
        options.calls.ask_owners = false;
        options.calls.attempt_timeout = Duration::from_secs(1);
        Ok(Client::start(options)?)
    }
}

/// What stands before a node: the same port for connections and for datagrams.
struct Front {
    host: String,
    connections: StdListener,
    datagrams: StdSocket,
}

impl Front {
    fn bind() -> Result<Self> {
        for _ in 0..64 {
            let connections = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = connections.local_addr()?;
            // The port may be taken for datagrams: then another.
            if let Ok(datagrams) = StdSocket::bind(address) {
                connections.set_nonblocking(true)?;
                datagrams.set_nonblocking(true)?;
                return Ok(Self {
                    host: address.to_string(),
                    connections,
                    datagrams,
                });
            }
        }
        bail!("no port is free for connections and for datagrams")
    }
}

/// Runs the proxies on a thread of their own, until the process ends. They are the network: they run on
/// tokio, whatever the nodes run on.
fn carry(network: &Arc<Network>, fronts: Vec<Front>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let network = Arc::clone(network);
    let run = move || {
        runtime.block_on(async move {
            let mut proxies = tokio::task::JoinSet::new();
            for (index, front) in fronts.into_iter().enumerate() {
                let of = Arc::clone(&network);
                proxies.spawn(async move {
                    proxy::serve(of, index, TcpListener::from_std(front.connections)?).await
                });
                let of = Arc::clone(&network);
                proxies.spawn(async move {
                    datagrams::serve(of, index, UdpSocket::from_std(front.datagrams)?).await
                });
            }
            while let Some(ended) = proxies.join_next().await {
                tracing::error!(?ended, "a proxy ended");
            }
        });
    };
    std::thread::Builder::new()
        .name("proxies".into())
        .spawn(run)?;
    Ok(())
}
