//! `trefoil consume`: records become lines.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use trefoil_runtime::channels::{
    Connection, Consumer, ConsumerOptions, From, Record, RecordFilter,
};
use trefoil_runtime::{Platform, task};

use super::client;
use crate::cli::{ConsumeArgs, MESSAGE_BYTES_MAX, Way};
use crate::signals;

/// Prints records until there are no more, or the end is asked for.
///
/// # Errors
/// The channel is not there, or cannot be read.
pub async fn run<P: Platform>(args: ConsumeArgs, way: &Way) -> Result<()> {
    // What a node took must not be too much for those who read it.
    let client = client::<P>(&args.at, way, args.dialect, MESSAGE_BYTES_MAX)?;
    let options = ConsumerOptions {
        from: from(&args.from)?,
        filters: args
            .filters
            .iter()
            .map(|given| filter(given))
            .collect::<Result<_>>()?,
        ..ConsumerOptions::default()
    };
    let mut consumer = client.consumer(&args.channel, options).await?;
    connected::<P>(&consumer, &args).await?;
    let mut ends = signals::heard(signals::ENDS)?;
    let mut count = 0;
    while args.limit.is_none_or(|limit| count < limit) {
        let record = tokio::select! {
            _ = ends.recv() => break,
            record = next::<P>(&mut consumer, &args) => record?,
        };
        let Some(record) = record else {
            break;
        };
        count += 1;
        print(&record, args.json);
    }
    Ok(())
}

/// Waits until the consumer is connected for the first time.
async fn connected<P: Platform>(consumer: &Consumer, args: &ConsumeArgs) -> Result<()> {
    let mut connection = consumer.connection();
    let patience = Duration::from_secs(args.at.timeout);
    let open = connection.wait_for(|now| matches!(now, Connection::Open { .. }));
    if task::timeout::<P, _>(patience, open).await.is_some() {
        return Ok(());
    }
    let connection = consumer.connection().borrow().clone();
    match connection {
        Connection::Interrupted { why } => bail!("TF-N19: {} cannot be read: {why}", args.channel),
        Connection::Waiting | Connection::Open { .. } => bail!(
            "TF-N19: {} is nowhere after {patience:?}; is it created, and is a node running at {}?",
            args.channel,
            args.at.at.join(", ")
        ),
    }
}

/// The next record; none if none comes for a while and it is not to be waited for.
async fn next<P: Platform>(consumer: &mut Consumer, args: &ConsumeArgs) -> Result<Option<Record>> {
    let next = consumer.next();
    if args.follow {
        return Ok(Some(next.await?));
    }
    let idle = Duration::from_millis(args.idle_ms);
    Ok(task::timeout::<P, _>(idle, next).await.transpose()?)
}

fn from(text: &str) -> Result<From> {
    Ok(match text {
        "all" => From::All,
        "latest" => From::Latest,
        id => match id.split_once(':') {
            Some(("after", id)) => From::Behind(self::id(id)?),
            _ => From::At(self::id(id)?),
        },
    })
}

/// An id as it is printed: text, or `0x` and hexadecimal digits.
fn id(text: &str) -> Result<Bytes> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    };
    let byte = |at: usize| {
        let pair = digits.get(at..at + 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    let bytes = bytes.with_context(|| {
        format!("TF-N04: from = {text}: must be all, latest, an id as `consume` prints it, or after: and an id")
    })?;
    Ok(bytes.into())
}

fn filter(text: &str) -> Result<RecordFilter> {
    let tick = |value: &str| {
        value
            .parse()
            .with_context(|| format!("TF-N04: filter = {text}: {value:?} is no time tick"))
    };
    Ok(match text.split_once('=') {
        Some(("vchannel", name)) => RecordFilter::VChannel(name.to_owned()),
        Some(("tick-above", value)) => RecordFilter::TimeTickAbove(tick(value)?),
        Some(("tick-from", value)) => RecordFilter::TimeTickFrom(tick(value)?),
        _ => bail!(
            "TF-N04: filter = {text}: must be vchannel=NAME, tick-above=TICK or tick-from=TICK"
        ),
    })
}

/// An id as it is shown: as text if it is some, in hexadecimal digits otherwise.
fn shown(id: &[u8]) -> String {
    if !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric) {
        return String::from_utf8_lossy(id).into_owned();
    }
    let digits = id.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("0x".to_owned()).chain(digits).collect()
}

fn print(record: &Record, as_json: bool) {
    let mut out = std::io::stdout().lock();
    let written = if as_json {
        let properties: serde_json::Map<_, _> = record
            .properties()
            .map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into()))
            .collect();
        let line = serde_json::json!({
            "id": shown(record.id()),
            "time_tick": record.time_tick.map(|tick| tick.to_string()),
            "payload": String::from_utf8_lossy(record.payload()),
            "properties": properties,
        });
        writeln!(out, "{line}")
    } else {
        out.write_all(record.payload())
            .and_then(|()| out.write_all(b"\n"))
    };
    if written.is_err() {
        // Whoever read has gone.
        std::process::exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_as_an_id_is_read_as_one() {
        for bytes in [&[0, 0, 0, 0, 0, 0, 1, 255][..], b"0000000000abc", b"\xff"] {
            assert_eq!(id(&shown(bytes)).unwrap(), bytes);
        }
        for wrong in ["0x", "0x1", "0xzz", "0x123", "0x\u{e4}\u{e4}"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from("all").unwrap(), From::All);
        assert_eq!(
            from("after:0x01").unwrap(),
            From::Behind(Bytes::from_static(&[1]))
        );
        assert!(filter("vchannel").is_err() && filter("tick-from=x").is_err());
    }
}
