//! What lies between the voters: a delay, stalls, and black holes, for bytes that otherwise pass as they are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// Half a second of every two.
const STALL: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_secs(2);

/// The links of a few voters, each of which is called at a proxy.
pub(crate) struct Network {
    state: Arc<State>,
}

struct State {
    begun: Instant,
    /// One way, in nanoseconds.
    delay: AtomicU64,
    stalls: AtomicBool,
    /// Voters that are cut off, one bit each.
    cut: AtomicU64,
    /// Connections that were ended.
    ended: AtomicU64,
    targets: Vec<SocketAddr>,
    /// Counts cuts that were healed.
    healed: watch::Sender<u32>,
}

impl Network {
    /// Proxies at `hosts` of voters that listen at `listens`, on a thread of their own.
    pub(crate) fn between(hosts: &[String], listens: &[String]) -> Self {
        let targets = listens
            .iter()
            .map(|listen| listen.parse().expect("an address"));
        let state = Arc::new(State {
            begun: Instant::now(),
            delay: AtomicU64::new(0),
            stalls: AtomicBool::new(false),
            cut: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            targets: targets.collect(),
            healed: watch::Sender::new(0),
        });
        let listeners: Vec<std::net::TcpListener> = hosts
            .iter()
            .map(|host| std::net::TcpListener::bind(host).expect("a port"))
            .collect();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                for (to, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).expect("a socket");
                    let listener = TcpListener::from_std(listener).expect("a socket");
                    tokio::spawn(serve(Arc::clone(&shared), to, listener));
                }
                std::future::pending::<()>().await;
            });
        });
        Self { state }
    }

    pub(crate) fn delay(&self, one_way: Duration) {
        let nanos = one_way.as_nanos() as u64;
        self.state.delay.store(nanos, Ordering::SeqCst);
    }

    pub(crate) fn stall(&self, stalls: bool) {
        self.state.stalls.store(stalls, Ordering::SeqCst);
    }

    /// Swallows what a voter says and what is said to it. Connections stay open.
    pub(crate) fn cut(&self, voter: usize) {
        self.state.cut.fetch_or(1 << voter, Ordering::SeqCst);
    }

    /// Nobody is cut off; connections that lost bytes end.
    pub(crate) fn heal(&self) {
        self.state.cut.store(0, Ordering::SeqCst);
        self.state.healed.send_modify(|times| *times += 1);
    }

    /// Connections that were ended by either side.
    pub(crate) fn ended(&self) -> u64 {
        self.state.ended.load(Ordering::SeqCst)
    }
}

impl State {
    fn swallows(&self, pair: [usize; 2]) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        pair.iter().any(|voter| cut & (1 << voter) != 0)
    }

    /// When bytes that come now go on.
    fn due(&self) -> Instant {
        let due = Instant::now() + Duration::from_nanos(self.delay.load(Ordering::SeqCst));
        if !self.stalls.load(Ordering::SeqCst) {
            return due;
        }
        let since = due.duration_since(self.begun).as_nanos() % EVERY.as_nanos();
        let since = Duration::from_nanos(since as u64);
        due + STALL.saturating_sub(since)
    }
}

async fn serve(state: Arc<State>, to: usize, listener: TcpListener) {
    while let Ok((inbound, peer)) = listener.accept().await {
        let state = Arc::clone(&state);
        // By the address it dials from a voter is told from others.
        let from = match peer.ip() {
            IpAddr::V4(v4) => usize::from(v4.octets()[3]) - 1,
            IpAddr::V6(_) => unreachable!("proxies listen on the loopback of IPv4"),
        };
        tokio::spawn(async move {
            // An end of either side ends the connection; there is nobody to tell.
            let _ = carry(&state, from, to, inbound).await;
            state.ended.fetch_add(1, Ordering::SeqCst);
        });
    }
}

async fn carry(state: &Arc<State>, from: usize, to: usize, inbound: TcpStream) -> io::Result<()> {
    let outbound = TcpStream::connect(state.targets[to]).await?;
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    let lost = Arc::new(AtomicBool::new(false));
    let (in_read, in_write) = inbound.into_split();
    let (out_read, out_write) = outbound.into_split();
    // Each says whether the connection is over.
    let mut tasks = JoinSet::new();
    for (read, write) in [(in_read, out_write), (out_read, in_write)] {
        let (queue, queued) = unbounded_channel();
        tasks.spawn(take(
            Arc::clone(state),
            Arc::clone(&lost),
            [from, to],
            read,
            queue,
        ));
        tasks.spawn(give(write, queued));
    }
    let healed = state.healed.subscribe();
    tasks.spawn(heal(Arc::clone(state), lost, [from, to], healed));
    while let Some(Ok(false)) = tasks.join_next().await {}
    Ok(())
}

/// Takes what one side says. What it said last is on its way still when this ends.
async fn take(
    state: Arc<State>,
    lost: Arc<AtomicBool>,
    pair: [usize; 2],
    mut read: OwnedReadHalf,
    queue: UnboundedSender<(Instant, Vec<u8>)>,
) -> bool {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = read.read(&mut buffer).await {
        if state.swallows(pair) {
            lost.store(true, Ordering::SeqCst);
        }
        // Once bytes are missing, what follows would be nonsense to the other side.
        if !lost.load(Ordering::SeqCst)
            && queue.send((state.due(), buffer[..length].into())).is_err()
        {
            break;
        }
    }
    false
}

/// Says it to the other side when its time has come.
async fn give(
    mut write: OwnedWriteHalf,
    mut queued: UnboundedReceiver<(Instant, Vec<u8>)>,
) -> bool {
    while let Some((due, bytes)) = queued.recv().await {
        sleep_until(due.into()).await;
        if write.write_all(&bytes).await.is_err() {
            break;
        }
    }
    true
}

/// Ends a connection that lost bytes when the cut is healed.
async fn heal(
    state: Arc<State>,
    lost: Arc<AtomicBool>,
    pair: [usize; 2],
    mut healed: watch::Receiver<u32>,
) -> bool {
    while healed.changed().await.is_ok() {
        if lost.load(Ordering::SeqCst) && !state.swallows(pair) {
            return true;
        }
    }
    false
}
