//! Forwards bytes, holds them back, or breaks what it carries.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flow {
    /// Nothing moves, and nothing is lost.
    held: bool,
    /// Connections of an earlier one are broken.
    epoch: u64,
}

/// A proxy before one address.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    flow: Arc<watch::Sender<Flow>>,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens on `at` and forwards to `to`.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(at: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let flow = Arc::new(watch::Sender::new(Flow::default()));
        let told = Arc::clone(&flow);
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, told.subscribe(), Arc::clone(&counted)));
            }
        });
        Ok(Self {
            address,
            flow,
            bytes,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went through, both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Holds all bytes back from now on, or lets them go on.
    pub fn hold(&self, held: bool) {
        self.flow.send_modify(|flow| flow.held = held);
    }

    /// Breaks every connection. New ones are taken.
    pub fn break_all(&self) {
        self.flow.send_modify(|flow| flow.epoch += 1);
    }
}

async fn carry(
    mut near: TcpStream,
    to: SocketAddr,
    flow: watch::Receiver<Flow>,
    counted: Arc<AtomicU64>,
) {
    // Whoever dials a node that is not there is to be refused, or at least not to be kept waiting.
    let Ok(mut far) = TcpStream::connect(to).await else {
        return;
    };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let epoch = flow.borrow().epoch;
    let mut broken = flow.clone();
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    tokio::select! {
        _ = pump(&mut near_in, &mut far_out, flow.clone(), &counted) => {}
        _ = pump(&mut far_in, &mut near_out, flow.clone(), &counted) => {}
        _ = broken.wait_for(|flow| flow.epoch != epoch) => {}
    }
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut flow: watch::Receiver<Flow>,
    counted: &AtomicU64,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let len = from.read(&mut bytes).await?;
        if flow.wait_for(|flow| !flow.held).await.is_err() || len == 0 {
            return Ok(());
        }
        counted.fetch_add(len as u64, Ordering::Relaxed);
        to.write_all(&bytes[..len]).await?;
    }
}
