//! What the demo found out, as people read it and as programs do.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::leadership::Succession;
use super::ledger::Verdict;
use super::records::Channels;

/// A change of what a node sees.
#[derive(Clone, Debug, Serialize)]
pub struct Sighting {
    /// Seconds since the load began.
    pub at_s: f64,
    /// The node that looks.
    pub node: String,
    /// The members it counts as alive.
    pub alive: usize,
}

/// Latencies of one kind of call, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Calls that succeeded.
    pub calls: u64,
    /// Half of them were faster.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One part of the run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// Its length.
    pub seconds: f64,
    /// Successful calls a second, callers of the cut node left out.
    pub per_second: f64,
    /// Their latencies, retries included.
    pub latency: Latency,
    /// Calls that failed for good, by stable code; callers of the cut node left out.
    pub errors: BTreeMap<String, u64>,
    /// Calls of the cut node's callers: succeeded and failed.
    pub cut_side: (u64, u64),
}

/// One thing the demo demands of itself.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What must hold.
    pub what: String,
    /// Whether it does.
    pub holds: bool,
    /// The figure behind it.
    pub found: String,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed it can be repeated with.
    pub seed: u64,
    /// By what and on what the nodes ran.
    pub way: String,
    /// The bug that was planted.
    pub plant: Option<String>,
    /// How appends were made durable.
    pub durability: String,
    /// Views over time.
    pub members: Vec<Sighting>,
    /// Ids per owner: before the cut, healed without the cut node, and at the end.
    pub owners: Vec<(String, BTreeMap<String, u64>)>,
    /// Ids whose owner changed because of the cut, and the least that had to.
    pub moved: (u64, u64),
    /// Before, during and after the cut.
    pub phases: Vec<Phase>,
    /// Seconds from the cut to the first success for every id the cut node owned.
    pub heal_ids_s: Option<f64>,
    /// Seconds from the cut to equal views of those that remained.
    pub heal_views_s: Option<f64>,
    /// Seconds from the end of the cut to equal views of all.
    pub rejoin_s: Option<f64>,
    /// Who led when the leader was cut off.
    pub leader: Succession,
    /// What came of the channels.
    pub channels: Channels,
    /// The ledger against the carts, read from the survivors.
    pub survivors: Verdict,
    /// The same after all nodes were restarted.
    pub restarted: Verdict,
    /// What was demanded.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether everything that was demanded holds.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.holds)
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "never".to_owned(), |value| format!("{value:.2} s"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Members over time (who counts how many)")?;
        for sighting in &self.members {
            writeln!(
                f,
                "  {:>6.2} s  {}  {}",
                sighting.at_s,
                sighting.node,
                "●".repeat(sighting.alive)
            )?;
        }
        writeln!(f, "\nIds per owner")?;
        for (when, owners) in &self.owners {
            let list: Vec<String> = owners
                .iter()
                .map(|(host, count)| format!("{host} {count}"))
                .collect();
            writeln!(f, "  {when:<22} {}", list.join("   "))?;
        }
        let (moved, ideal) = self.moved;
        writeln!(
            f,
            "  moved by the cut       {moved} (the cut node owned {ideal}: no fewer can move)"
        )?;
        writeln!(
            f,
            "\n  phase          calls/s     p50       p99       max       errors"
        )?;
        for phase in &self.phases {
            let Latency {
                p50_us,
                p99_us,
                max_us,
                ..
            } = phase.latency;
            let ms = |us: u64| format!("{:.2} ms", us as f64 / 1_000.0);
            let errors = if phase.errors.is_empty() {
                "none".to_owned()
            } else {
                phase
                    .errors
                    .iter()
                    .map(|(code, n)| format!("{code} {n}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            writeln!(
                f,
                "  {:<12} {:>9.0}   {:<9} {:<9} {:<9} {errors}",
                phase.name,
                phase.per_second,
                ms(p50_us),
                ms(p99_us),
                ms(max_us)
            )?;
        }
        for phase in self.phases.iter().filter(|phase| phase.cut_side != (0, 0)) {
            let (good, bad) = phase.cut_side;
            writeln!(
                f,
                "  {:<12} callers of the node to be cut: {good} answered, {bad} refused or failed",
                phase.name
            )?;
        }
        writeln!(f, "  durability: {}", self.durability)?;
        writeln!(f, "\nTime to heal")?;
        writeln!(
            f,
            "  every id of the cut node answered elsewhere after  {}",
            seconds(self.heal_ids_s)
        )?;
        writeln!(
            f,
            "  the remaining nodes had equal views after          {}",
            seconds(self.heal_views_s)
        )?;
        writeln!(
            f,
            "  all nodes had equal views, once healed, after      {}",
            seconds(self.rejoin_s)
        )?;
        let leader = &self.leader;
        writeln!(
            f,
            "\nLeader\n  {} led, was cut off, and led no more after         {:.2} s",
            leader.from, leader.ended_s
        )?;
        writeln!(
            f,
            "  {} led after                             {}",
            leader.to.as_deref().unwrap_or("nobody"),
            seconds(leader.began_s)
        )?;
        let Channels {
            channels: (channels, consumers),
            acknowledged,
            uncertain,
            missing,
            repeated,
            disordered,
            longest_wait_s,
            longest_gap_s,
            ..
        } = &self.channels;
        writeln!(
            f,
            "\nChannels ({channels}, a producer and {consumers} consumers each)"
        )?;
        writeln!(
            f,
            "  {acknowledged} records acknowledged, {uncertain} of unknown outcome: {missing} deliveries missing, {repeated} repeated, {disordered} out of order"
        )?;
        writeln!(
            f,
            "  longest time without an acknowledgement {longest_wait_s:.2} s, without a delivery {longest_gap_s:.2} s"
        )?;
        writeln!(f, "\nLedger of the callers against the carts")?;
        for (when, v) in [
            ("from the survivors", &self.survivors),
            ("after a restart", &self.restarted),
        ] {
            writeln!(
                f,
                "  {when:<20} {} acknowledged in {} carts: {} lost, {} surplus, {} unreadable ({} of unknown outcome)",
                v.acknowledged, v.carts, v.lost, v.surplus, v.unreadable, v.uncertain
            )?;
        }
        writeln!(f)?;
        self.verdict(f)
    }
}

impl Report {
    fn verdict(&self, f: &mut impl fmt::Write) -> fmt::Result {
        for check in &self.checks {
            let mark = if check.holds { "ok  " } else { "FAIL" };
            writeln!(f, "{mark} {} ({})", check.what, check.found)?;
        }
        let verdict = if self.passed() { "PASSED" } else { "FAILED" };
        write!(f, "{verdict}, seed {}, {}", self.seed, self.way)
    }

    /// The checks and the verdict alone.
    pub fn short(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.verdict(&mut text);
        text
    }
}
