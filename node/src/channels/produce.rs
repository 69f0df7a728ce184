//! `trefoil produce`: lines become records.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use trefoil_core::time::Duration;
use trefoil_runtime::Platform;
use trefoil_runtime::channels::{
    ChannelError, Connection, DedupeOptions, Producer, ProducerOptions, Sending,
};

use super::client;
use crate::cli::{ProduceArgs, Way};
use crate::say;

/// Lines that were read and not sent.
const AHEAD: usize = 1_024;

/// Appends every line, and says what became of them.
///
/// # Errors
/// The input cannot be read, or a record was given up.
pub async fn run<P: Platform>(args: ProduceArgs, way: &Way) -> Result<()> {
    let properties = properties(&args.properties)?;
    let client = client::<P>(&args.at, way, args.dialect, args.message_bytes_max)?;
    let options = ProducerOptions {
        timeout: Some(Duration::from_secs(args.at.timeout)),
        dedupe: args.producer.clone().map(|producer| DedupeOptions {
            producer,
            sequence: args.sequence,
        }),
    };
    let producer = client.producer(&args.channel, options).await?;
    let lines = lines(args.file.as_deref())?;
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
        "{spinner} {pos} records, {per_sec}",
    )?);
    let began = Instant::now();
    let (sent, result) = send(&producer, lines, &properties, args.in_flight.into(), &bar).await;
    let rate = sent as f64 / began.elapsed().as_secs_f64().max(1e-9);
    bar.finish_and_clear();
    let connection = producer.connection().borrow().clone();
    if let Err(error) = result {
        let uncertain = if error.is_certain {
            "it was not appended"
        } else {
            "it may have been appended"
        };
        let why = match connection {
            Connection::Waiting => "; the channel is nowhere, is it created?".to_owned(),
            Connection::Interrupted { why } => format!("; {why}"),
            Connection::Open { .. } => String::new(),
        };
        bail!(
            "TF-N18: {sent} records were appended, then record {} was given up ({uncertain}): {error}{why}",
            sent + 1
        );
    }
    producer.close().await?;
    say(&format!("{sent} records appended, {rate:.0} a second"));
    Ok(())
}

/// `key=value`, each.
fn properties(given: &[String]) -> Result<Vec<(&str, &str)>> {
    given
        .iter()
        .map(|property| {
            property
                .split_once('=')
                .with_context(|| format!("TF-N04: property = {property}: must be KEY=VALUE"))
        })
        .collect()
}

/// The lines of a file, or of standard input, read on a thread of their own. Empty ones are passed over: no record
/// is empty.
fn lines(file: Option<&Path>) -> Result<mpsc::Receiver<Result<Vec<u8>>>> {
    let input: Box<dyn Read + Send> = match file {
        None => Box::new(std::io::stdin()),
        Some(path) if path == Path::new("-") => Box::new(std::io::stdin()),
        Some(path) => {
            let file = std::fs::File::open(path);
            Box::new(file.with_context(|| format!("TF-N06: cannot read {}", path.display()))?)
        }
    };
    let (give, lines) = mpsc::channel(AHEAD);
    let read = move || {
        for line in BufReader::new(input).split(b'\n') {
            let line = line
                .context("TF-N06: cannot read the input")
                .map(|mut line| {
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    line
                });
            let is_last = line.is_err();
            let is_empty = line.as_ref().is_ok_and(Vec::is_empty);
            if !is_empty && (give.blocking_send(line).is_err() || is_last) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("input".into())
        .spawn(read)?;
    Ok(lines)
}

/// Why sending ended before the input did.
struct Ended {
    is_certain: bool,
    why: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<ChannelError> for Ended {
    fn from(error: ChannelError) -> Self {
        Self {
            is_certain: error.is_certain,
            why: error.to_string(),
        }
    }
}

/// Sends all lines, `in_flight` at once; how many were appended, in their order, and why no more.
async fn send(
    producer: &Producer,
    mut lines: mpsc::Receiver<Result<Vec<u8>>>,
    properties: &[(&str, &str)],
    in_flight: usize,
    bar: &ProgressBar,
) -> (u64, Result<(), Ended>) {
    let mut sent = 0;
    let mut underway = std::collections::VecDeque::<Sending>::with_capacity(in_flight);
    let result = async {
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|error| Ended {
                is_certain: true,
                why: error.to_string(),
            })?;
            if underway.len() >= in_flight
                && let Some(first) = underway.pop_front()
            {
                first.await?;
                sent += 1;
                bar.inc(1);
            }
            underway.push_back(producer.enqueue(line, properties).await?);
        }
        while let Some(first) = underway.pop_front() {
            first.await?;
            sent += 1;
            bar.inc(1);
        }
        Ok(())
    };
    let result = result.await;
    (sent, result)
}
