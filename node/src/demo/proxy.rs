//! Proxies in front of the demo's nodes, so that one node can be cut off from the others in both
//! directions while its process, and its clients, stay alive.
//!
//! A cut swallows bytes: connections stay open, new ones are accepted, nothing arrives. That is how a
//! broken network looks from inside, and what a killed process never shows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The loopback address node `index` dials from: by it a proxy tells nodes from clients.
pub fn source_of(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, index as u8 + 1))
}

/// The loopback address of clients that stand with the majority: a cut keeps them from the cut node.
pub const BESIDE_MAJORITY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A node.
    Node(usize),
    /// A client that stands with the majority.
    Majority,
    /// A client that reaches every node, whatever is cut: the cut node's own.
    Anywhere,
}

impl From {
    /// Who dials from this address.
    pub fn at(source: IpAddr) -> Self {
        match source {
            IpAddr::V4(v4) if v4.octets()[..3] == [127, 0, 1] => {
                Self::Node(usize::from(v4.octets()[3]) - 1)
            }
            source if source == BESIDE_MAJORITY => Self::Majority,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Anywhere,
        }
    }
}

/// Which nodes are cut off and where nodes listen, shared by all proxies.
#[derive(Debug)]
pub struct Network {
    cut: AtomicU32,
    /// Loopback ports of the nodes behind the proxies.
    ports: Vec<AtomicU16>,
    /// Counts changes, so that connections that lost bytes are closed when the cut ends.
    changes: watch::Sender<u32>,
}

impl Network {
    /// A whole network of so many nodes.
    pub fn new(nodes: usize) -> Arc<Self> {
        let ports = (0..nodes).map(|_| AtomicU16::new(0)).collect();
        Arc::new(Self {
            cut: AtomicU32::new(0),
            ports,
            changes: watch::Sender::new(0),
        })
    }

    /// Node `index` listens here from now on.
    pub fn set_target(&self, index: usize, address: SocketAddr) {
        self.ports[index].store(address.port(), Ordering::SeqCst);
    }

    /// Where node `index` listens.
    pub fn target(&self, index: usize) -> SocketAddr {
        SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            self.ports[index].load(Ordering::SeqCst),
        )
    }

    /// Cuts node `index` off from all other nodes, in both directions.
    pub fn cut(&self, index: usize) {
        self.cut.fetch_or(1 << index, Ordering::SeqCst);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Heals every cut.
    pub fn heal(&self) {
        self.cut.store(0, Ordering::SeqCst);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Whether a cut lies between the two.
    pub fn swallows(&self, from: From, to: usize) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        match from {
            From::Node(from) => cut & (1 << from) != 0 || cut & (1 << to) != 0,
            From::Majority => cut & (1 << to) != 0,
            From::Anywhere => false,
        }
    }
}

/// Listens on `listener` for node `index` and carries what comes to where it listens.
pub async fn serve(network: Arc<Network>, index: usize, listener: TcpListener) -> io::Result<()> {
    loop {
        let (inbound, peer) = listener.accept().await?;
        let network = Arc::clone(&network);
        tokio::spawn(async move {
            let from = From::at(peer.ip());
            // An end of either side, or of the cut, ends the connection; there is nobody to tell.
            let _ = carry(&network, from, index, inbound).await;
        });
    }
}

async fn carry(
    network: &Arc<Network>,
    from: From,
    to: usize,
    inbound: TcpStream,
) -> io::Result<()> {
    let outbound = TcpStream::connect(network.target(to)).await?;
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    let lost = AtomicBool::new(false);
    let mut changes = network.changes.subscribe();
    changes.mark_unchanged();
    let (in_read, in_write) = inbound.into_split();
    let (out_read, out_write) = outbound.into_split();
    let healed = async {
        loop {
            if changes.changed().await.is_err() {
                return;
            }
            if lost.load(Ordering::SeqCst) && !network.swallows(from, to) {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(network, from, to, &lost, in_read, out_write) => {}
        _ = copy(network, from, to, &lost, out_read, in_write) => {}
        () = healed => {}
    }
    Ok(())
}

async fn copy(
    network: &Network,
    from: From,
    to: usize,
    lost: &AtomicBool,
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
) -> io::Result<()> {
    let mut buf = vec![0; 64 << 10];
    loop {
        let n = read.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        if network.swallows(from, to) {
            lost.store(true, Ordering::SeqCst);
        }
        // Once bytes are missing, what follows would be nonsense to the other side.
        if !lost.load(Ordering::SeqCst) {
            write.write_all(&buf[..n]).await?;
        }
    }
}
