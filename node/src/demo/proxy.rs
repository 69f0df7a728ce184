//! Proxies in front of the demo's nodes, so that one node can be cut off from the others in both
//! directions while its process, and its clients, stay alive.
//!
//! A cut swallows bytes: connections stay open, new ones are accepted, nothing arrives. That is how a
//! broken network looks from inside, and what a killed process never shows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The loopback address node `index` dials from: by it a proxy tells nodes from clients.
pub fn source_of(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, index as u8 + 1))
}

fn node_at(source: IpAddr) -> Option<usize> {
    match source {
        IpAddr::V4(v4) if v4.octets()[..3] == [127, 0, 1] => Some(usize::from(v4.octets()[3]) - 1),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Which nodes are cut off, shared by all proxies.
#[derive(Debug)]
pub struct Network {
    cut: AtomicU32,
    /// Counts changes, so that connections that lost bytes are closed when the cut ends.
    changes: watch::Sender<u32>,
}

impl Network {
    /// A whole network.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { cut: AtomicU32::new(0), changes: watch::Sender::new(0) })
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

    fn swallows(&self, from: Option<usize>, to: usize) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        from.is_some_and(|from| cut & (1 << from) != 0 || cut & (1 << to) != 0)
    }
}

/// Listens on `listener` for node `index` and carries what comes to `target`.
pub async fn serve(network: Arc<Network>, index: usize, listener: TcpListener, target: SocketAddr) -> io::Result<()> {
    loop {
        let (inbound, peer) = listener.accept().await?;
        let network = Arc::clone(&network);
        tokio::spawn(async move {
            let from = node_at(peer.ip());
            // An end of either side, or of the cut, ends the connection; there is nobody to tell.
            let _ = carry(&network, from, index, inbound, target).await;
        });
    }
}

async fn carry(
    network: &Arc<Network>,
    from: Option<usize>,
    to: usize,
    inbound: TcpStream,
    target: SocketAddr,
) -> io::Result<()> {
    let outbound = TcpStream::connect(target).await?;
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
    from: Option<usize>,
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
