//! Callers: each adds one of its own article to carts drawn by popularity, over and over, and keeps
//! the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use trefoil_core::rng::Rng;
use trefoil_runtime::{CallError, CallOptions, Client, Platform, task};

use super::ledger::Ledger;
use super::report::Latency;
use super::zipf::Zipf;
use crate::cart::add_item;

/// Parts of the run.
pub const PHASES: [&str; 3] = ["whole", "cut", "healed"];

/// What all callers share.
#[derive(Debug)]
pub struct Course {
    pub zipf: Zipf,
    /// Index into [`PHASES`].
    pub phase: AtomicU8,
    pub stop: AtomicBool,
    /// Successful calls so far, for the progress bar.
    pub good: AtomicU64,
}

impl Course {
    /// A course over `ids` carts.
    pub fn new(ids: usize) -> Arc<Self> {
        Arc::new(Self {
            zipf: Zipf::new(ids, 1.0),
            phase: AtomicU8::new(0),
            stop: AtomicBool::new(false),
            good: AtomicU64::new(0),
        })
    }
}

/// What one part of the run amounted to.
#[derive(Clone, Debug)]
pub struct Tally {
    pub latency: Histogram<u64>,
    pub good: u64,
    pub errors: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latency: histogram(),
            good: 0,
            errors: BTreeMap::new(),
        }
    }
}

fn histogram() -> Histogram<u64> {
    // From one microsecond to a minute, within a hundredth: bounds that always hold.
    Histogram::new_with_bounds(1, 60_000_000, 2)
        .unwrap_or_else(|_| unreachable!("the bounds are constants"))
}

impl Tally {
    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.good += other.good;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }

    /// Its latencies in figures.
    pub fn figures(&self) -> Latency {
        Latency {
            calls: self.good,
            p50_us: self.latency.value_at_quantile(0.5),
            p99_us: self.latency.value_at_quantile(0.99),
            max_us: self.latency.max(),
        }
    }

    /// Calls that failed.
    pub fn bad(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// What a caller knows in the end.
#[derive(Debug, Default)]
pub struct Books {
    pub ledger: Ledger,
    pub phases: [Tally; 3],
}

/// The cart of a rank: ranks are spread over all 64 bits, as real ids are.
pub fn cart_of(rank: usize) -> u64 {
    trefoil_core::ring::placement::hash::splitmix64(rank as u64)
}

/// One caller, until it is told to stop. Nine of ten calls add, one reads.
pub async fn call<P: Platform>(
    course: Arc<Course>,
    client: Client<P>,
    name: String,
    seed: u64,
    timeout: Duration,
) -> Books {
    let mut rng = Rng::new(seed);
    let mut books = Books::default();
    let message = add_item(&name, 1);
    let mut written = BTreeSet::new();
    while !course.stop.load(Ordering::Relaxed) {
        let cart = cart_of(course.zipf.draw(&mut rng));
        let options = CallOptions {
            timeout,
            ..CallOptions::default()
        };
        let began = Instant::now();
        let reads = rng.below(10) == 0 && written.contains(&cart);
        let result = if reads {
            client.get_with(cart, options).await.map(drop)
        } else {
            client
                .apply_with(cart, &[message.any()], options)
                .await
                .map(drop)
        };
        let took = began.elapsed();
        let tally = &mut books.phases[usize::from(course.phase.load(Ordering::Relaxed))];
        match result {
            Ok(()) => {
                course.good.fetch_add(1, Ordering::Relaxed);
                tally.good += 1;
                tally.latency.saturating_record(took.as_micros() as u64);
                if !reads {
                    written.insert(cart);
                    books.ledger.acknowledge(cart, &name);
                }
            }
            Err(error) => {
                *tally.errors.entry(code_of(&error)).or_default() += 1;
                if !reads {
                    // Whatever the last attempt says, an earlier one may have been applied.
                    books.ledger.doubt(cart, &name);
                }
                // A refusal comes back at once; a caller that is turned away does not hammer.
                task::sleep::<P>(Duration::from_millis(20)).await;
            }
        }
    }
    books
}

fn code_of(error: &CallError) -> String {
    error
        .stable_code()
        .map_or_else(|| format!("{:?}", error.code), str::to_owned)
}
