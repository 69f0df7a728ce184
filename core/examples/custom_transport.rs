//! A transport of your own: channels between the threads of one process.
//!
//! Two nodes, each on a thread of its own, find each other over it. Then one thread ends without a
//! word, and the other node notices. Below the transport is all that it takes to run an engine by
//! hand; the example `custom_executor` runs the same transport under the driver.
//!
//! `cargo run -p trefoil-core --example custom_transport`

#![allow(clippy::print_stdout, reason = "an example talks")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use trefoil_core::engine::Engine;
use trefoil_core::header::Header;
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::machine::Full;
use trefoil_core::memory::MemoryStore;
use trefoil_core::ring::membership::MembershipEvent;
use trefoil_core::ring::{Ring, RingConfig, RingEvent};
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::time::Instant;
use trefoil_core::transport::{Arrival, Caller, LinkEvent, Transport};

/// What is sent becomes an arrival on the far side, which alone knows its number of the stream.
type Part = Box<dyn FnOnce(StreamId) -> Arrival<Vec<u8>> + Send>;

/// One side of a call. To drop it is to close it.
struct Call {
    to: Sender<Part>,
    from: Receiver<Part>,
    /// Where it was opened, if it was opened here.
    link: Option<LinkId>,
    /// What it means that the far side is gone.
    closed: Cause,
}

impl Call {
    /// Both sides of a call: of who opens it, and of who is called.
    fn pair(link: LinkId) -> (Self, Self) {
        let side = |to, from, link| Self {
            to,
            from,
            link,
            closed: Cause::Lost,
        };
        let ((to, theirs), (back, from)) = (channel(), channel());
        (side(to, from, Some(link)), side(back, theirs, None))
    }

    fn take(&self, stream: StreamId) -> Option<Arrival<Vec<u8>>> {
        match self.from.try_recv() {
            Ok(part) => Some(part(stream)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                let gone = Status::new(Code::Unavailable, "the peer is gone");
                Some(ended(gone.caused_by(self.closed))(stream))
            }
        }
    }
}

fn ended(status: Status<'_>) -> Part {
    let (code, cause) = (status.code, status.cause);
    let (message, details) = (status.message.into(), status.details.to_vec());
    Box::new(move |stream| Arrival::Ended {
        stream,
        code,
        cause,
        message,
        details,
    })
}

/// A call on its way, and the far side of it.
type Offer = (Arrival<Vec<u8>>, Call);

/// Nodes by address: where they take calls, and what wakes them.
type Nodes = BTreeMap<String, (Sender<Offer>, Waker)>;

/// What the nodes of the process are connected by.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<Nodes>>);

impl Network {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all nodes, to look whether something came for them: simple, and good enough for a few.
    fn ring(&self) {
        for (_, waker) in self.nodes().values() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ring();
    }
}

/// One node's side of a [`Network`]. The order of the fields matters when it is dropped: the others
/// are woken last, and see that the channels are closed.
pub struct Channels {
    address: String,
    offers: Receiver<Offer>,
    /// The call that was told of last: the engine answers it before it asks for more.
    offered: Option<Call>,
    links: BTreeMap<LinkId, Sender<Offer>>,
    /// A stream leaves when its end is told or it is ended from here: so none ends twice.
    calls: BTreeMap<StreamId, Call>,
    /// The frame that is being written: it goes out when the next call is made.
    lent: Option<(StreamId, Vec<u8>)>,
    news: VecDeque<Arrival<Vec<u8>>>,
    network: Network,
}

impl Channels {
    /// The side of the node that is dialled at `address`.
    pub fn new(network: &Network, address: &str) -> Self {
        let (door, offers) = channel();
        let node = (door, Waker::noop().clone());
        network.nodes().insert(address.to_owned(), node);
        Self {
            address: address.to_owned(),
            offers,
            offered: None,
            links: BTreeMap::new(),
            calls: BTreeMap::new(),
            lent: None,
            news: VecDeque::new(),
            network: network.clone(),
        }
    }

    fn send(&mut self, stream: StreamId, part: Part) {
        self.flush();
        if let Some(call) = self.calls.get(&stream) {
            // Whether anybody takes it is seen when the next part is taken.
            let _ = call.to.send(part);
            self.network.ring();
        }
    }

    fn report(&mut self, link: LinkId, event: LinkEvent) {
        let why = None;
        self.news.push_back(Arrival::Link { link, event, why });
        self.network.ring();
    }
}

impl Transport for Channels {
    type Buf = Vec<u8>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        // Before the look: what comes after it wakes the task.
        if let Some((_, waker)) = self.network.nodes().get_mut(&self.address) {
            waker.clone_from(cx.waker());
        }
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(news);
        }
        if let Ok((arrival, call)) = self.offers.try_recv() {
            self.offered = Some(call);
            return Poll::Ready(arrival);
        }
        // With thousands of streams one keeps a list of those that have something.
        let mut calls = self.calls.iter();
        let Some(arrival) = calls.find_map(|(stream, call)| call.take(*stream)) else {
            return Poll::Pending;
        };
        if let Arrival::Ended { stream, .. } = arrival {
            self.calls.remove(&stream);
        }
        Poll::Ready(arrival)
    }

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        let door = self.network.nodes().get(address).map(|node| node.0.clone());
        let event = door.as_ref().map_or(LinkEvent::Refused, |_| LinkEvent::Up);
        self.links.extend(door.map(|door| (link, door)));
        self.report(link, event);
    }

    fn hang_up(&mut self, link: LinkId) {
        self.flush();
        self.links.remove(&link);
        self.calls.retain(|_, call| call.link != Some(link));
        self.network.ring();
    }

    fn bind(&mut self, _: CallId, stream: StreamId, header: Header<'_>) {
        let call = self.offered.take();
        self.calls.extend(call.map(|call| (stream, call)));
        let header = header.0.to_vec();
        self.send(
            stream,
            Box::new(|stream| Arrival::Header { stream, header }),
        );
    }

    fn refuse(&mut self, _: CallId, status: Status<'_>) {
        if let Some(call) = self.offered.take() {
            let _ = call.to.send(ended(status.caused_by(Cause::Peer)));
            self.network.ring();
        }
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        let (mut near, far) = Call::pair(link);
        let arrival = Arrival::Accepted {
            call: CallId(0),
            method,
            header: header.0.to_vec(),
            timeout,
            caller: Caller::LOCAL,
        };
        let door = self.links.get(&link);
        if door.is_none_or(|door| door.send((arrival, far)).is_err()) {
            // The far side went with the offer: `poll` finds the call closed, and tells why.
            near.closed = Cause::Refused;
            self.report(link, LinkEvent::Refused);
        }
        self.calls.insert(stream, near);
        self.network.ring();
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.flush();
        self.calls.get(&stream).ok_or(Full)?;
        // A channel has room for any number of frames, and so for every reply.
        Ok(&mut self.lent.insert((stream, vec![0; len])).1)
    }

    // Both sides share their memory: neither gains by filling the other's. Between hosts, this is the
    // window that keeps a peer from sending more than is taken.
    fn credit(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.send(stream, Box::new(|stream| Arrival::HalfClosed { stream }));
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.send(stream, ended(status.caused_by(Cause::Peer)));
        self.calls.remove(&stream);
    }

    fn flush(&mut self) {
        if let Some((stream, frame)) = self.lent.take() {
            self.send(stream, Box::new(|stream| Arrival::Frame { stream, frame }));
        }
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What may go wrong on a thread.
pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

const HOSTS: [&str; 2] = ["a:7001", "b:7001"];
/// Long enough for the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node has seen of the other.
#[derive(Default)]
struct Seen {
    found: AtomicBool,
    lost: AtomicBool,
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

/// Runs a node on this thread, by hand, until it is to stop.
fn run(at: usize, mut transport: Channels, seen: &Seen, stop: impl Fn() -> bool) -> Fallible<()> {
    let mut config = RingConfig::lan(HOSTS[at], &HOSTS, at as u64 + 1);
    // A fifth of the usual times: nobody likes to wait for an example.
    let times = &mut config.membership;
    for time in [
        &mut times.probe_interval,
        &mut times.probe_timeout,
        &mut times.hold,
        &mut times.hold_probe_interval,
        &mut times.lag_limit,
        &mut times.bootstrap_after,
    ] {
        *time /= 5;
    }
    let mut engine = Engine::new(config.engine(), Ring::new(config)?)?;
    // No actor is called here, so nothing is kept. Nodes that own actors share one store.
    let mut store = MemoryStore::new().session(HOSTS[at], 1);
    let mut above = |event: RingEvent<'_>| {
        if let RingEvent::Membership(event) = event {
            println!("{}: {event:?}", HOSTS[at]);
            let found = matches!(event, MembershipEvent::Up { .. });
            seen.found.fetch_or(found, Ordering::SeqCst);
            let lost = matches!(event, MembershipEvent::Down { .. });
            seen.lost.fetch_or(lost, Ordering::SeqCst);
        }
    };

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let cx = &mut Context::from_waker(&waker);
    let start = std::time::Instant::now();
    let now = || Instant::from_nanos(start.elapsed().as_nanos() as u64);
    while !stop() {
        if now() > Instant::ZERO + PATIENCE {
            return Err("this took too long".into());
        }
        // The time is read anew after an input was taken, or it might be from before its cause.
        let due = engine.poll_timeout().unwrap_or(Instant::FAR_FUTURE);
        if due <= now() {
            engine.tick(now(), &mut transport, &mut store, &mut above);
        } else if let Poll::Ready(arrival) = transport.poll(cx) {
            engine.arrive(now(), &arrival, &mut transport, &mut store, &mut above);
        } else {
            // Whatever came since the look at the transport ends the sleep before it begins.
            transport.flush();
            thread::park_timeout(due.since(now()).min(PATIENCE));
        }
    }
    Ok(())
}

/// Two nodes find each other. When they have, one ends, and the other loses it.
pub fn main() -> Fallible<()> {
    let network = Network::default();
    let [a, b] = HOSTS.map(|host| Channels::new(&network, host));
    let (seen_by_a, seen_by_b) = (Seen::default(), Seen::default());
    let both_found = || is(&seen_by_a.found) && is(&seen_by_b.found);
    thread::scope(|threads| {
        let second = threads.spawn(|| run(1, b, &seen_by_b, both_found));
        run(0, a, &seen_by_a, || is(&seen_by_a.lost))?;
        second.join().map_err(|_| "the second node panicked")?
    })?;
    assert!(is(&seen_by_b.found) && is(&seen_by_a.lost));
    println!("they found each other, and the end of one was noticed");
    Ok(())
}
