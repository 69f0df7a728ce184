//! The work that all contenders are given, and what is measured of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Records that producers append to one log, each with so many unanswered at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) producers: usize,
    /// Of each.
    pub(crate) in_flight: usize,
    /// Of the payload of a record.
    pub(crate) bytes: usize,
    /// Of all producers together: it ends with this, or
    pub(crate) records_max: usize,
    /// with this.
    pub(crate) time_max: Duration,
}

impl Load {
    /// The part of one of the producers.
    pub(crate) const fn of_one(self) -> Self {
        Self {
            producers: 1,
            records_max: self.records_max.div_ceil(self.producers),
            ..self
        }
    }

    /// The same work for those whose producers share a connection, and whose answers come in order.
    pub(crate) const fn shared(self) -> Self {
        Self {
            producers: 1,
            in_flight: self.producers * self.in_flight,
            ..self
        }
    }
}

/// What payloads are taken from.
pub(crate) static PATTERN: [u8; 64 << 10] = [0x5a; 64 << 10];

/// One producer's side of a load: whether it is to send, and how long answers took.
#[derive(Debug)]
pub(crate) struct Window {
    load: Load,
    begun: Instant,
    sent: usize,
    waiting: VecDeque<Instant>,
    trips: Vec<u32>,
}

impl Window {
    pub(crate) fn new(load: Load) -> Self {
        Self {
            load,
            begun: Instant::now(),
            sent: 0,
            waiting: VecDeque::with_capacity(load.in_flight),
            trips: Vec::with_capacity(load.records_max),
        }
    }

    /// Whether a record is to be sent now; then it counts as sent.
    pub(crate) fn sends(&mut self) -> bool {
        if self.waiting.len() == self.load.in_flight || self.sent == self.load.records_max {
            return false;
        }
        let now = Instant::now();
        if now - self.begun > self.load.time_max {
            return false;
        }
        self.sent += 1;
        self.waiting.push_back(now);
        true
    }

    /// The answer of the oldest record came.
    pub(crate) fn heard(&mut self) {
        let sent = self.waiting.pop_front().expect("an answer to something");
        self.trips.push(sent.elapsed().as_nanos() as u32);
    }

    /// Records that wait for their answers.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How long each record took, in nanoseconds.
    pub(crate) fn trips(self) -> Vec<u32> {
        self.trips
    }
}

/// Appends records to a log of a server that is a process of its own.
pub(crate) trait Contender {
    /// With its durability.
    fn name(&self) -> &str;
    /// Does the work, and says how long each record took, in nanoseconds.
    fn run(&mut self, load: Load) -> Vec<u32>;
    /// Seconds its server has had of the processors.
    fn server_cpu(&self) -> f64;
    /// Has the server count allocations from now on, and says how many it has counted; if it can.
    fn server_allocations(&mut self, _count: bool) -> Option<u64> {
        None
    }
}

/// What one round took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Records a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of the processors a record: of this process, and of the server.
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
}

/// Seconds this process has had of the processors.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Sample {
    pub(crate) fn of(contender: &mut dyn Contender, load: Load) -> Self {
        let (client, server, begun) = (cpu(), contender.server_cpu(), Instant::now());
        let mut trips = contender.run(load);
        let took = begun.elapsed().as_secs_f64();
        let (client, server) = (cpu() - client, contender.server_cpu() - server);
        assert!(!trips.is_empty(), "{} did nothing", contender.name());
        trips.sort_unstable();
        let records = trips.len() as f64;
        let at = |part: f64| f64::from(trips[(part * (records - 1.0)) as usize]) / 1e3;
        Self {
            rate: records / took,
            p50: at(0.5),
            p99: at(0.99),
            client_cpu: client * 1e6 / records,
            server_cpu: server * 1e6 / records,
        }
    }
}

/// The middle of what rounds gave.
pub(crate) fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
