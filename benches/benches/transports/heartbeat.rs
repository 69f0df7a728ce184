//! A heartbeat beside bulk to the same peer: a ping every 5 ms on a control stream, while another
//! stream takes all the room it gets. gRPC has a connection for each, QUIC one with priorities. The same
//! pings without bulk, in turn with those beside it, say what the machine itself adds.

use std::future::poll_fn;
use std::time::Duration;

use trefoil_benches::is_test;
use trefoil_core::driver::Driver;
use trefoil_core::header::Header;
use trefoil_core::id::{StreamId, Tag};
use trefoil_core::machine::{Events, Io, Machine};
use trefoil_core::storage::Done;
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::Instant;
use trefoil_runtime_async_std::AsyncStd;
use trefoil_runtime_tokio::{Platform, Tokio};

use crate::measure::{ID_BYTES, Load, Request, percentile, say, verdict};
use crate::mux::{self, Answers, Ears, Nothing, PING, SINK};
use crate::ours::{GrpcOn, QuicOn, Stack, on_threads};

const EVERY: Duration = Duration::from_millis(5);
const BULK_BYTES: usize = 64 << 10;
/// Of a hundred pings, 99 are to be answered within this.
const P99_MAX_MS: f64 = 5.0;

const BULK_TAG: Tag = Tag(1);
const PING_TAG: Tag = Tag(2);

/// Sends pings when they are due and bulk whenever there is room, until so many pings were answered.
#[derive(Debug)]
struct Heartbeat {
    host: String,
    streams: Option<(StreamId, StreamId)>,
    has_bulk: bool,
    wanted: usize,
    /// When the next ping is due; none is while one is under way, so that a late one is not hidden by
    /// those behind it.
    due: Option<Instant>,
    due_was: Instant,
    bulk: u64,
    begun: Instant,
    trips: Vec<u32>,
}

impl Heartbeat {
    fn fill(&mut self, io: &mut dyn Io) {
        let Some((bulk, _)) = self.streams.filter(|_| self.has_bulk && self.wanted > 0) else {
            return;
        };
        while let Ok(room) = io.frame(bulk, BULK_BYTES) {
            let (id, len) = (self.bulk, BULK_BYTES);
            Request { id, len }.write(room);
            self.bulk += 1;
        }
    }

    fn answered(&mut self, now: Instant, up: &mut dyn Events<Self>) {
        self.trips.push(now.since(self.due_was).as_nanos() as u32);
        // At the pace, whatever this one took.
        let mut next = self.due_was + EVERY;
        while next <= now {
            // Those that fell due meanwhile waited as well.
            self.trips.push(now.since(next).as_nanos() as u32);
            next += EVERY;
        }
        if self.trips.len() < self.wanted {
            self.due = Some(next);
            return;
        }
        self.wanted = 0;
        let seconds = now.since(self.begun).as_secs_f64();
        let rate = (self.bulk * BULK_BYTES as u64) as f64 / seconds / f64::from(1 << 20);
        // Behind them all.
        self.trips.push(rate as u32);
        up.event(std::mem::take(&mut self.trips));
    }
}

impl Machine for Heartbeat {
    type Command<'a> = Load;
    type Event<'a> = Vec<u32>;
    type Refused = ();

    fn handle_stream(
        &mut self,
        now: Instant,
        _: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        match event {
            StreamIn::Frame(_) => self.answered(now, up),
            StreamIn::Writable => self.fill(io),
            StreamIn::Ended(status) => panic!("stream {tag:?} ended: {status:?}"),
            StreamIn::Accepted { .. } | StreamIn::Header(_) | StreamIn::HalfClosed => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        now: Instant,
        load: Load,
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), ()> {
        if self.streams.is_none() {
            let to = io.node(&self.host).map_err(drop)?;
            let bulk = io.open(to, SINK, Class::Bulk, Header::EMPTY, None, BULK_TAG);
            let ping = io.open(to, PING, Class::Control, Header::EMPTY, None, PING_TAG);
            self.streams = Some((bulk.map_err(drop)?, ping.map_err(drop)?));
        }
        self.wanted = load.operations as usize;
        self.has_bulk = load.bytes > 0;
        (self.bulk, self.begun) = (0, now);
        self.due = Some(now + EVERY);
        self.fill(io);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut dyn Io, _: &mut dyn Events<Self>) {
        let (Some((_, ping)), Some(due)) = (self.streams, self.due) else {
            return;
        };
        if due > now {
            return;
        }
        self.due = None;
        self.due_was = due;
        let request = Request {
            id: 0,
            len: 2 * ID_BYTES,
        };
        let room = io.frame(ping, request.len).expect("room for a ping");
        request.write(room);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

fn measure<S: Stack>(name: &'static str) {
    let contender = on_threads::<S::Platform, _, _>(
        name,
        async |tell| {
            let (transport, address) = S::serve().await;
            let engine = mux::engine(&address.to_string(), Answers);
            let ears = Ears::<S::Platform>::new(None);
            let mut driver = Driver::new(engine, transport, Nothing, ears);
            S::Platform::here().spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
            tell.send(address).expect("a caller");
        },
        async |address, work| {
            let machine = Heartbeat {
                host: address.to_string(),
                streams: None,
                has_bulk: false,
                wanted: 0,
                due: None,
                due_was: Instant::ZERO,
                bulk: 0,
                begun: Instant::ZERO,
                trips: Vec::new(),
            };
            let engine = mux::engine("127.0.0.1:1", machine);
            let ears = Ears::<S::Platform>::new(Some(work));
            let mut driver = Driver::new(engine, S::call(), Nothing, ears);
            S::Platform::here().spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
        },
    );
    let load = |bytes, operations| Load {
        in_flight: 0,
        bytes,
        acks: false,
        operations,
    };
    let (rounds, pings) = if is_test() { (1, 10) } else { (6, 300) };
    contender.work(load(BULK_BYTES, 10));
    let (mut beside, mut alone, mut rate) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let mut trips = contender.work(load(BULK_BYTES, pings));
        rate += trips.pop().unwrap_or_default() / rounds;
        beside.append(&mut trips);
        // What is left of the bulk is gone by then.
        contender.work(load(0, 10));
        trips = contender.work(load(0, pings));
        trips.pop();
        alone.append(&mut trips);
    }
    beside.sort_unstable();
    alone.sort_unstable();
    let at = |part| percentile(&beside, part) / 1e6;
    say(&format!(
        "heartbeat, {name}: since it was due, p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms, beside \
         {rate} MiB/s of bulk; p99 at most {P99_MAX_MS} ms: {}; without bulk p50 {:.2} ms, p99 {:.2} ms, \
         most {:.2} ms",
        at(0.5),
        at(0.99),
        at(1.0),
        verdict(at(0.99) <= P99_MAX_MS),
        percentile(&alone, 0.5) / 1e6,
        percentile(&alone, 0.99) / 1e6,
        percentile(&alone, 1.0) / 1e6,
    ));
}

pub(crate) fn all() {
    measure::<GrpcOn<Tokio>>("gRPC, tokio");
    measure::<QuicOn<Tokio>>("QUIC, tokio");
    measure::<GrpcOn<AsyncStd>>("gRPC, async-io");
    measure::<QuicOn<AsyncStd>>("QUIC, async-io");
}
