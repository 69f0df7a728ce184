//! What is measured and how: the work all contenders do, the processor's time it takes, and rounds in
//! which they take turns.

use std::io::Write;
use std::sync::mpsc;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trefoil_benches::{allocations, count, is_test};

/// Bytes of the number each message begins with.
pub(crate) const ID_BYTES: usize = 8;

/// Bytes of an answer that is no echo.
pub(crate) const ACK_BYTES: usize = 16;

/// Says, in the number of a message, that it is to be answered by an acknowledgement.
const ACK: u64 = 1 << 63;

/// What payloads are copied from.
static PATTERN: [u8; 64 << 10] = [0x5a; 64 << 10];

/// Some messages and their answers, so many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) in_flight: u64,
    /// Of one message, its number included.
    pub(crate) bytes: usize,
    pub(crate) acks: bool,
    pub(crate) operations: u64,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) len: usize,
}

impl Request {
    pub(crate) fn write(self, into: &mut [u8]) {
        let (id, payload) = into.split_at_mut(ID_BYTES);
        id.copy_from_slice(&self.id.to_le_bytes());
        payload.copy_from_slice(&PATTERN[..payload.len()]);
    }

    /// Its parts, for those who write elsewhere.
    pub(crate) fn parts(self) -> ([u8; ID_BYTES], &'static [u8]) {
        (self.id.to_le_bytes(), &PATTERN[..self.len - ID_BYTES])
    }
}

fn id_of(message: &[u8]) -> u64 {
    let id = message.first_chunk().expect("a message with a number");
    u64::from_le_bytes(*id)
}

/// The part of a message that is sent back: all of it, or enough to acknowledge it.
pub(crate) fn answer(message: &[u8]) -> &[u8] {
    if id_of(message) & ACK == 0 {
        message
    } else {
        &message[..ACK_BYTES]
    }
}

/// The caller's side of a load: what is to be sent next, and whether the right thing came back.
#[derive(Debug)]
pub(crate) struct Window {
    load: Load,
    sent: u64,
    heard: u64,
    sent_at: Instant,
    trips: Vec<u32>,
}

impl Window {
    pub(crate) fn new(load: Load) -> Self {
        let timed = if load.in_flight == 1 {
            load.operations
        } else {
            0
        };
        Self {
            load,
            sent: 0,
            heard: 0,
            sent_at: Instant::now(),
            trips: Vec::with_capacity(timed as usize),
        }
    }

    /// A message to be sent now, if there is one.
    pub(crate) fn next(&mut self) -> Option<Request> {
        let Load {
            in_flight,
            bytes,
            acks,
            operations,
        } = self.load;
        if self.sent == operations || self.sent - self.heard == in_flight {
            return None;
        }
        if in_flight == 1 {
            self.sent_at = Instant::now();
        }
        let id = self.number(self.sent);
        self.sent += 1;
        debug_assert!(acks || bytes >= ID_BYTES, "a message has a number");
        Some(Request { id, len: bytes })
    }

    const fn number(&self, at: u64) -> u64 {
        if self.load.acks { at | ACK } else { at }
    }

    /// An answer came.
    pub(crate) fn heard(&mut self, answer: &[u8]) {
        assert_eq!(
            id_of(answer),
            self.number(self.heard),
            "answers come in order"
        );
        let expected = if self.load.acks {
            ACK_BYTES
        } else {
            self.load.bytes
        };
        assert_eq!(answer.len(), expected, "the answer is whole");
        self.heard += 1;
        if self.load.in_flight == 1 {
            self.trips.push(self.sent_at.elapsed().as_nanos() as u32);
        }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.heard == self.load.operations
    }

    /// How long each message took to be answered, if one was under way at a time.
    pub(crate) fn trips(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.trips)
    }
}

/// What a caller works on: loads that come, and where to say that they are done.
pub(crate) struct Work {
    pub(crate) loads: UnboundedReceiver<Load>,
    pub(crate) done: mpsc::Sender<Vec<u32>>,
}

/// Two ends of one stream on two threads, which work when they are told and wait otherwise.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    loads: UnboundedSender<Load>,
    done: mpsc::Receiver<Vec<u32>>,
}

/// What one round took.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Of both ends, in microseconds of the processor an operation.
    pub(crate) cpu: f64,
    /// Operations a second.
    pub(crate) rate: f64,
    pub(crate) allocations: f64,
    /// In nanoseconds.
    pub(crate) trips: Vec<u32>,
}

/// Seconds this process has had of the processor.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Contender {
    pub(crate) fn new(name: &'static str) -> (Self, Work) {
        let (loads, to_do) = unbounded_channel();
        let (tell, done) = mpsc::channel();
        let work = Work {
            loads: to_do,
            done: tell,
        };
        (Self { name, loads, done }, work)
    }

    /// Has it do something, and waits until it is done.
    pub(crate) fn work(&self, load: Load) -> Vec<u32> {
        self.loads.send(load).expect("a caller that waits");
        self.done.recv().expect("a caller that does its work")
    }

    pub(crate) fn run(&self, load: Load) -> Sample {
        let (allocated, used, begun) = (allocations(), cpu(), Instant::now());
        let mut trips = self.work(load);
        let (took, used) = (begun.elapsed().as_secs_f64(), cpu() - used);
        let operations = load.operations as f64;
        trips.sort_unstable();
        Sample {
            cpu: used * 1e6 / operations,
            rate: operations / took,
            allocations: (allocations() - allocated) as f64 / operations,
            trips,
        }
    }
}

/// Of a sorted list.
pub(crate) fn percentile(sorted: &[u32], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or(0.0, |value| f64::from(*value))
}

/// What all rounds of one contender took.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Of each round, in their order.
    pub(crate) cpu: Vec<f64>,
    pub(crate) rate: Vec<f64>,
    pub(crate) allocations: f64,
    /// Microseconds: the least of all rounds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

fn summary(samples: &[Sample], allocations: f64) -> Summary {
    let of = |what: fn(&Sample) -> f64| samples.iter().map(what).collect();
    let at = |part: f64| {
        let trips = samples.iter();
        let trips = trips.map(|sample| percentile(&sample.trips, part) / 1e3);
        trips.fold(f64::INFINITY, f64::min)
    };
    Summary {
        cpu: of(|s| s.cpu),
        rate: of(|s| s.rate),
        allocations,
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// The middle of some values, and the ends of the middle half.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Middle {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Middle {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 4];
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }

    /// Of the ratios of each round: a machine that is slow for a while is slow for both.
    pub(crate) fn of_ratios(mine: &[f64], theirs: &[f64]) -> Self {
        let both = mine.iter().zip(theirs);
        Self::of(both.map(|(mine, theirs)| mine / theirs).collect())
    }
}

impl std::fmt::Display for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} ({:.2} to {:.2})",
            self.median, self.low, self.high
        )
    }
}

/// Has the contenders do a load in turn, so that whatever slows the machine slows all. Allocations are
/// counted in rounds that are not timed.
pub(crate) fn contest(contenders: &[&Contender], load: Load, rounds: u32) -> Vec<Summary> {
    count(true);
    let allocated: Vec<f64> = contenders
        .iter()
        .map(|contender| {
            // The first makes connections, buffers and tables what they will be.
            contender.run(load);
            contender.run(load).allocations
        })
        .collect();
    count(false);
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            samples.push(contender.run(load));
        }
    }
    count(true);
    let each = samples.iter().zip(allocated);
    each.map(|(samples, allocations)| summary(samples, allocations))
        .collect()
}

/// Prints one line.
pub(crate) fn say(text: &str) {
    // A closed pipe ends the reader's interest, not the bench.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// What is said of a target. A test measures too little to say anything.
pub(crate) fn verdict(met: bool) -> &'static str {
    match met {
        _ if is_test() => "not judged",
        true => "met",
        false => "MISSED",
    }
}
