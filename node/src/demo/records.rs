//! Producers and consumers of channels, through all that happens: what was acknowledged, what was delivered, and the
//! longest time without either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use trefoil_runtime::channels::{
    ChannelClient, ChannelOperator, Consumer, ConsumerOptions, DedupeOptions, From, Producer,
    ProducerOptions, Record, Sending,
};
use trefoil_runtime::task::{self, Task};
use trefoil_runtime::{Client, ClientOptions, Platform};

use super::load::Course;

/// Channels: two for each node.
const CHANNELS: usize = 6;
/// Consumers of each.
const CONSUMERS: usize = 2;
/// Records of one producer on their way at once.
const IN_FLIGHT: usize = 8;
/// A producer's pause between two records.
const PACE: Duration = Duration::from_millis(5);
/// How long a consumer waits for what was acknowledged, when nothing more is produced.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of all channels.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Channels {
    /// Channels, and consumers of each.
    pub channels: (usize, usize),
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Records whose outcome nobody told the producer.
    pub uncertain: u64,
    /// Deliveries of acknowledged records that never came.
    pub missing: u64,
    /// Deliveries that came again.
    pub repeated: u64,
    /// Deliveries whose time tick was not above the one before, or that two consumers had in different orders.
    pub disordered: u64,
    /// Deliveries of records that nobody had sent.
    pub strange: u64,
    /// The longest time from one acknowledgement to the next, of any channel.
    pub longest_wait_s: f64,
    /// The longest time from one delivery to the next, of any consumer.
    pub longest_gap_s: f64,
    /// Why a producer or a consumer could not go on.
    pub failed: Vec<String>,
}

impl Channels {
    /// Whether every acknowledged record was delivered once per consumer, in order.
    pub fn holds(&self) -> bool {
        let amiss = self.missing + self.repeated + self.disordered + self.strange;
        amiss == 0 && self.acknowledged > 0 && self.failed.is_empty()
    }
}

/// What one producer knows.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<u64>,
    /// Numbers that were sent: all below.
    count: u64,
    longest: Duration,
    failed: Option<String>,
}

/// What one consumer knows.
#[derive(Default)]
struct Got {
    /// Numbers, in the order they came.
    numbers: Vec<u64>,
    disordered: u64,
    strange: u64,
    last_tick: u64,
    longest: Duration,
    failed: Option<String>,
}

/// Producers and consumers that run.
pub struct Traffic {
    producing: Vec<Task<Sent>>,
    consuming: Vec<Vec<Task<Got>>>,
    /// How many numbers were sent, and which of them were acknowledged, once that is known.
    finished: Vec<tokio::sync::watch::Sender<Option<Arc<BTreeSet<u64>>>>>,
}

fn name_of(channel: usize) -> String {
    format!("demo-{channel}")
}

impl Traffic {
    /// Creates the channels and starts everybody.
    ///
    /// # Errors
    /// The channels cannot be created.
    pub async fn start<P: Platform>(options: ClientOptions, course: &Arc<Course>) -> Result<Self> {
        let operator = ChannelOperator::new(Client::<P>::start(options.clone())?, PATIENCE);
        let names: Vec<String> = (0..CHANNELS).map(name_of).collect();
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let created = operator.create(&wanted).await;
        created.context("the channels of the demo cannot be created")?;
        let client = ChannelClient::<P>::start(options)?;
        let mut traffic = Self {
            producing: Vec::new(),
            consuming: Vec::new(),
            finished: Vec::new(),
        };
        for name in &names {
            let (finished, known) = tokio::sync::watch::channel(None);
            traffic.finished.push(finished);
            let mut consumers = Vec::new();
            for _ in 0..CONSUMERS {
                let options = ConsumerOptions {
                    from: From::All,
                    ..ConsumerOptions::default()
                };
                let consumer = client.consumer(name, options).await?;
                consumers.push(task::spawn::<P, _>(consume::<P>(consumer, known.clone())));
            }
            traffic.consuming.push(consumers);
            let options = ProducerOptions {
                timeout: Some(Duration::from_secs(60)),
                dedupe: Some(DedupeOptions {
                    producer: name.clone(),
                    sequence: 1,
                }),
            };
            let producer = client.producer(name, options).await?;
            let produce = produce::<P>(producer, Arc::clone(course));
            traffic.producing.push(task::spawn::<P, _>(produce));
        }
        Ok(traffic)
    }

    /// Waits for all answers and all deliveries, and compares them. The course has been stopped.
    ///
    /// # Errors
    /// A producer or a consumer panicked.
    pub async fn stop(self) -> Result<Channels> {
        let mut report = Channels {
            channels: (CHANNELS, CONSUMERS),
            ..Channels::default()
        };
        let mut channels = Vec::new();
        for (producing, finished) in self.producing.into_iter().zip(self.finished) {
            let sent = producing.await.context("a producer panicked")?;
            finished.send_replace(Some(Arc::new(sent.acknowledged.clone())));
            channels.push(sent);
        }
        // They wait all at once.
        for (sent, consuming) in channels.into_iter().zip(self.consuming) {
            let mut got = Vec::new();
            for consumer in consuming {
                got.push(consumer.await.context("a consumer panicked")?);
            }
            report.add(&sent, &got);
        }
        Ok(report)
    }
}

impl Channels {
    fn add(&mut self, sent: &Sent, got: &[Got]) {
        self.acknowledged += sent.acknowledged.len() as u64;
        self.uncertain += sent.count - sent.acknowledged.len() as u64;
        self.longest_wait_s = self.longest_wait_s.max(sent.longest.as_secs_f64());
        self.failed.extend(sent.failed.clone());
        for got in got {
            let mut times = BTreeMap::<u64, u64>::new();
            for number in &got.numbers {
                *times.entry(*number).or_default() += 1;
            }
            let missing = |number: &&u64| !times.contains_key(*number);
            self.missing += sent.acknowledged.iter().filter(missing).count() as u64;
            self.repeated += times.values().map(|times| times - 1).sum::<u64>();
            let unsent = times.keys().filter(|number| **number >= sent.count);
            self.strange += got.strange + unsent.count() as u64;
            self.disordered += got.disordered;
            self.longest_gap_s = self.longest_gap_s.max(got.longest.as_secs_f64());
            self.failed.extend(got.failed.clone());
        }
        if let [first, others @ ..] = got {
            for other in others {
                // One may have had more of what was never acknowledged, at the end.
                let pairs = first.numbers.iter().zip(&other.numbers);
                self.disordered += pairs.filter(|(one, two)| one != two).count() as u64;
            }
        }
    }
}

/// Sends numbers until the course ends.
async fn produce<P: Platform>(producer: Producer, course: Arc<Course>) -> Sent {
    let mut sent = Sent::default();
    let mut underway = VecDeque::<(u64, Sending)>::new();
    let mut last = Instant::now();
    let stopped = || course.stop.load(Ordering::Relaxed);
    while !stopped() || !underway.is_empty() {
        if !stopped() && underway.len() < IN_FLIGHT {
            let number = sent.count;
            sent.count += 1;
            match producer.enqueue(number.to_be_bytes().to_vec(), &[]).await {
                Ok(sending) => underway.push_back((number, sending)),
                Err(error) => {
                    sent.failed = Some(error.to_string());
                    return sent;
                }
            }
            task::sleep::<P>(PACE).await;
            if underway.len() < IN_FLIGHT {
                continue;
            }
        }
        let Some((number, sending)) = underway.pop_front() else {
            continue;
        };
        if sending.await.is_ok() {
            sent.acknowledged.insert(number);
            sent.longest = sent.longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    sent
}

/// Reads until everything that was acknowledged has come.
async fn consume<P: Platform>(
    mut consumer: Consumer,
    mut finished: tokio::sync::watch::Receiver<Option<Arc<BTreeSet<u64>>>>,
) -> Got {
    let mut got = Got::default();
    let mut last = None::<Instant>;
    loop {
        let next = tokio::select! {
            next = consumer.next() => next,
            _ = finished.wait_for(Option::is_some) => break,
        };
        let Some(record) = got.take(next) else {
            return got;
        };
        let waited = last.replace(Instant::now()).map(|last| last.elapsed());
        got.longest = got.longest.max(waited.unwrap_or_default());
        got.note(&record);
    }
    let Some(acknowledged) = finished.borrow().clone() else {
        return got;
    };
    let seen: BTreeSet<u64> = got.numbers.iter().copied().collect();
    let mut left: BTreeSet<u64> = acknowledged.difference(&seen).copied().collect();
    let patience = Instant::now() + PATIENCE;
    while !left.is_empty() {
        let rest = patience.saturating_duration_since(Instant::now());
        let Some(next) = task::timeout::<P, _>(rest, consumer.next()).await else {
            return got;
        };
        let Some(record) = got.take(next) else {
            return got;
        };
        if let Some(number) = got.note(&record) {
            left.remove(&number);
        }
    }
    got
}

impl Got {
    fn take<E: std::fmt::Display>(&mut self, next: Result<Record, E>) -> Option<Record> {
        next.map_err(|error| self.failed = Some(error.to_string()))
            .ok()
    }

    fn note(&mut self, record: &Record) -> Option<u64> {
        let tick = record.time_tick.unwrap_or(0);
        self.disordered += u64::from(tick <= self.last_tick);
        self.last_tick = tick;
        let Ok(bytes) = record.payload().try_into() else {
            self.strange += 1;
            return None;
        };
        let number = u64::from_be_bytes(bytes);
        self.numbers.push(number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64, lost: &[u64]) -> Sent {
        Sent {
            acknowledged: (0..count).filter(|number| !lost.contains(number)).collect(),
            count,
            ..Sent::default()
        }
    }

    fn got(numbers: &[u64]) -> Got {
        Got {
            numbers: numbers.to_vec(),
            ..Got::default()
        }
    }

    fn verdict(sent: &Sent, first: &[u64], second: &[u64]) -> Channels {
        let mut report = Channels::default();
        report.add(sent, &[got(first), got(second)]);
        report
    }

    #[test]
    fn what_is_amiss_is_seen() {
        let all = sent(4, &[]);
        assert!(verdict(&all, &[0, 1, 2, 3], &[0, 1, 2, 3]).holds());
        assert_eq!(verdict(&all, &[0, 1, 3], &[0, 1, 3]).missing, 2);
        assert_eq!(
            verdict(&all, &[0, 1, 1, 2, 3], &[0, 1, 1, 2, 3]).repeated,
            2
        );
        assert!(!verdict(&all, &[0, 1, 2, 3], &[0, 2, 1, 3]).holds());
        assert_eq!(verdict(&all, &[0, 1, 2, 3, 4], &[0, 1, 2, 3]).strange, 1);
        // What nobody told the outcome of may be there, or not.
        let unsure = sent(4, &[3]);
        assert!(verdict(&unsure, &[0, 1, 2, 3], &[0, 1, 2]).holds());
        assert_eq!(verdict(&unsure, &[0, 1, 2], &[0, 1, 2]).uncertain, 1);
        assert!(
            !verdict(&sent(0, &[]), &[], &[]).holds(),
            "nothing is no proof"
        );
    }
}
