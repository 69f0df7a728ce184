//! A transport of your own: channels between the threads of one process.
//!
//! Two nodes, each on a thread of its own, find each other over it. Then one thread ends without a
//! word, and the other node notices. The transport is in `transport.rs`; here is all that it takes to
//! run an engine by hand. The example `custom_executor` runs the same transport under the driver.
//!
//! `cargo run -p trefoil-core --example custom_transport`

#![allow(clippy::print_stdout, reason = "an example talks")]

#[path = "transport.rs"]
pub mod transport;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use transport::Channels;
use trefoil_core::engine::Engine;
use trefoil_core::memory::{Carried, MemoryStore};
use trefoil_core::ring::membership::MembershipEvent;
use trefoil_core::ring::{Ring, RingConfig, RingEvent};
use trefoil_core::time::Instant;
use trefoil_core::transport::Transport;

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
fn run(at: usize, carrier: Channels, seen: &Seen, stop: impl Fn() -> bool) -> Fallible<()> {
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
    let mut transport = Carried::new(carrier, engine.limits().streams_max);
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
    let mut nodes = Channels::between(&HOSTS).into_iter();
    let (a, b) = nodes.next().zip(nodes.next()).ok_or("two hosts")?;
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
