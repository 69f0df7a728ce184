//! `trefoil produce`: lines become records.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures_lite::future::block_on;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use trefoil_core::time::Duration;
use trefoil_runtime::Platform;
use trefoil_runtime::channels::{
    ChannelError, Connection, DedupeOptions, Producer, ProducerOptions, Sending,
};

use super::client;
use super::progress::Progress;
use crate::cli::{ProduceArgs, Way};
use crate::say;

/// Lines that were read and not sent, at most.
const AHEAD: usize = 1_024;
/// Bytes of them; one line is always read.
const AHEAD_BYTES: u32 = 64 << 20;

/// A line that is to be a record.
struct Line {
    payload: Vec<u8>,
    /// Where it ends in the input.
    end: u64,
    /// Its part of what may be read ahead.
    _room: OwnedSemaphorePermit,
}

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
    let (input, bytes) = input(args.file.as_deref())?;
    let lines = lines(input)?;
    let progress = Progress::new(bytes)?;
    let began = Instant::now();
    let in_flight = args.in_flight.into();
    let (sent, result) = send(&producer, lines, &properties, in_flight, &progress).await;
    let rate = sent as f64 / began.elapsed().as_secs_f64().max(1e-9);
    progress.clear();
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

/// A file, or standard input, and how many bytes it has, where that is known before they are read.
fn input(file: Option<&Path>) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return Ok((Box::new(std::io::stdin()), None));
    };
    let opened = || {
        let file = std::fs::File::open(path)?;
        let about = file.metadata()?;
        Ok::<_, std::io::Error>((file, about))
    };
    let (file, about) =
        opened().with_context(|| format!("TF-N06: cannot read {}", path.display()))?;
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// The lines of an input, read on a thread of their own. Empty ones are passed over: no record is empty.
fn lines(input: Box<dyn Read + Send>) -> Result<mpsc::Receiver<Result<Line>>> {
    let (give, lines) = mpsc::channel(AHEAD);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES as usize));
    let read = move || {
        let (mut input, mut end) = (BufReader::new(input), 0);
        loop {
            let mut payload = Vec::new();
            match input.read_until(b'\n', &mut payload) {
                Ok(0) => return,
                Ok(len) => end += len as u64,
                Err(error) => {
                    let error = anyhow::Error::new(error).context("TF-N06: cannot read the input");
                    // Nobody may listen any more.
                    return drop(give.blocking_send(Err(error)));
                }
            }
            for mark in *b"\n\r" {
                if payload.last() == Some(&mark) {
                    payload.pop();
                }
            }
            if payload.is_empty() {
                continue;
            }
            let bytes =
                u32::try_from(payload.len()).map_or(AHEAD_BYTES, |len| len.min(AHEAD_BYTES));
            let Ok(room) = block_on(Arc::clone(&room).acquire_many_owned(bytes)) else {
                return;
            };
            let line = Line {
                payload,
                end,
                _room: room,
            };
            if give.blocking_send(Ok(line)).is_err() {
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
    mut lines: mpsc::Receiver<Result<Line>>,
    properties: &[(&str, &str)],
    in_flight: usize,
    progress: &Progress,
) -> (u64, Result<(), Ended>) {
    let mut sent = 0;
    let mut underway = std::collections::VecDeque::<(Sending, u64)>::with_capacity(in_flight);
    let result = async {
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|error| Ended {
                is_certain: true,
                why: format!("{error:#}"),
            })?;
            if underway.len() >= in_flight
                && let Some((first, end)) = underway.pop_front()
            {
                first.await?;
                sent += 1;
                progress.appended(end);
            }
            let sending = producer.enqueue(line.payload, properties).await?;
            underway.push_back((sending, line.end));
        }
        while let Some((first, end)) = underway.pop_front() {
            first.await?;
            sent += 1;
            progress.appended(end);
        }
        Ok(())
    };
    let result = result.await;
    (sent, result)
}
