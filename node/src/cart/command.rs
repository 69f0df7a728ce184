//! `trefoil cart`: carts through any node.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_lite::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use trefoil_runtime::{Applied, CallError, CallOptions, Client, ClientOptions, Platform};

use super::actor::{Item, add_item, clear, items, remove_item};
use crate::cli::{At, CartArgs, CartCommand, Way};
use crate::reach::Reach;
use crate::say;

/// Does what was asked.
///
/// # Errors
/// What the cluster answered, or what is wrong with the input.
pub async fn run<P: Platform>(args: CartArgs, way: &Way) -> Result<()> {
    match args.command {
        CartCommand::Add {
            at,
            id,
            sku,
            quantity,
        } => change::<P>(&at, way, id, add_item(&sku, quantity)).await,
        CartCommand::Remove {
            at,
            id,
            sku,
            quantity,
        } => change::<P>(&at, way, id, remove_item(&sku, quantity)).await,
        CartCommand::Clear { at, id } => change::<P>(&at, way, id, clear()).await,
        CartCommand::Show { at, id, json } => show::<P>(&at, way, id, json).await,
        CartCommand::Load {
            at,
            file,
            in_flight,
        } => load::<P>(&at, way, &file, in_flight as usize).await,
    }
}

/// A client of the nodes that were named.
///
/// # Errors
/// The system has no randomness, or no timers.
pub fn client<P: Platform>(at: &At, way: &Way) -> Result<Client<P>> {
    let mut options = ClientOptions::to(at.at.iter().cloned());
    Reach::new(way)?.check()?.client(&mut options);
    Ok(Client::start(options)?)
}

fn options(at: &At) -> CallOptions {
    CallOptions {
        timeout: Duration::from_secs(at.timeout),
        ..CallOptions::default()
    }
}

/// An error of a call with what to do about it.
pub fn explain(error: CallError, at: &At) -> anyhow::Error {
    let hint = match error.stable_code() {
        Some("TF-C07" | "TF-C06") => format!(
            "; is a node running at {}? (`trefoil up` starts three)",
            at.at.join(", ")
        ),
        // What a node that asks for TLS does to those who speak none.
        Some("TF-T06") => "; does the node ask for certificates (--certs)?".to_owned(),
        _ => String::new(),
    };
    anyhow::anyhow!("{error}{hint}")
}

async fn change<P: Platform>(at: &At, way: &Way, id: u64, message: Item) -> Result<()> {
    let applied = client::<P>(at, way)?
        .apply_with(id, &[message.any()], options(at))
        .await
        .map_err(|e| explain(e, at))?;
    if let Some(reason) = rejection(&applied) {
        bail!("the cart refused: {reason}");
    }
    print(id, items(applied.view().state));
    Ok(())
}

fn rejection(applied: &Applied) -> Option<String> {
    applied
        .view()
        .mutations
        .iter()
        .flatten()
        .find_map(|result| result.error.map(str::to_owned))
}

async fn show<P: Platform>(at: &At, way: &Way, id: u64, json: bool) -> Result<()> {
    let got = match client::<P>(at, way)?.get_with(id, options(at)).await {
        Err(error) if error.stable_code() == Some("TF-R04") => {
            bail!("{error}; `trefoil cart add {id} SKU QTY` makes it")
        }
        other => other.map_err(|error| explain(error, at))?,
    };
    let cart = items(got.view().grain);
    if !json {
        print(id, cart);
        return Ok(());
    }
    let (items, version) = cart.context("the actor is no cart")?;
    say(&serde_json::to_string(
        &serde_json::json!({ "id": id, "version": version, "items": items }),
    )?);
    Ok(())
}

fn print(id: u64, cart: Option<(BTreeMap<String, u32>, u64)>) {
    let Some((items, version)) = cart else {
        return say(&format!("{id} is no cart"));
    };
    say(&format!(
        "cart {id}, {} articles, version {version}",
        items.len()
    ));
    for (sku, quantity) in items {
        say(&format!("{quantity:>10}  {sku}"));
    }
}

/// One line of a file of additions.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// Where it stands in the file, from 1.
    number: usize,
    id: u64,
    sku: String,
    quantity: u32,
}

/// Reads `id,sku,quantity` lines; a first line of names is passed over. All lines are checked before
/// the first is sent.
fn parse(text: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty()
            || (number == 0 && line.split(',').next().is_some_and(|id| id.trim() == "id"))
        {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [id, sku, quantity] = fields[..] else {
            bail!(
                "TF-N05: line {}: three fields were expected (id,sku,quantity), there are {}",
                number + 1,
                fields.len()
            );
        };
        lines.push(Line {
            number: number + 1,
            id: id.parse().with_context(|| {
                format!("TF-N05: line {}: the id {id:?} is no number", number + 1)
            })?,
            sku: sku.to_owned(),
            quantity: quantity.parse().with_context(|| {
                format!(
                    "TF-N05: line {}: the quantity {quantity:?} is no number",
                    number + 1
                )
            })?,
        });
    }
    Ok(lines)
}

async fn load<P: Platform>(at: &At, way: &Way, file: &Path, in_flight: usize) -> Result<()> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("TF-N06: cannot read the input")?;
        text
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("TF-N06: cannot read {}", file.display()))?
    };
    let lines = parse(&text)?;
    let bar = ProgressBar::new(lines.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} lines, {per_sec}, {eta} left",
    )?);
    let (client, options) = (client::<P>(at, way)?, options(at));
    let mut running = FuturesUnordered::new();
    let mut tally = Tally::default();
    for line in lines {
        if running.len() >= in_flight
            && let Some(done) = running.next().await
        {
            bar.inc(1);
            tally.count(done);
        }
        if tally.in_a_row >= in_flight.max(GIVE_UP_MIN) {
            break;
        }
        let client = client.clone();
        running.push(async move { (line.number, addition(&client, &line, options).await) });
    }
    while let Some(done) = running.next().await {
        bar.inc(1);
        tally.count(done);
    }
    bar.finish_and_clear();
    tally.tell(bar.length().unwrap_or(0))
}

/// Failures in a row after which the rest of a file is not sent, unless more are in flight.
const GIVE_UP_MIN: usize = 16;

async fn addition<P: Platform>(
    client: &Client<P>,
    line: &Line,
    options: CallOptions,
) -> Result<(), String> {
    let message = add_item(&line.sku, line.quantity);
    match client.apply_with(line.id, &[message.any()], options).await {
        Ok(applied) => rejection(&applied).map_or(Ok(()), Err),
        Err(error) => Err(error.to_string()),
    }
}

/// What came of the lines that were sent.
#[derive(Default)]
struct Tally {
    acknowledged: u64,
    failed: u64,
    /// Failures since the last that was acknowledged.
    in_a_row: usize,
    /// Number of the line and reason.
    first: Option<(usize, String)>,
}

impl Tally {
    fn count(&mut self, (number, outcome): (usize, Result<(), String>)) {
        let Err(why) = outcome else {
            (self.acknowledged, self.in_a_row) = (self.acknowledged + 1, 0);
            return;
        };
        self.failed += 1;
        self.in_a_row += 1;
        if self.first.as_ref().is_none_or(|(first, _)| number < *first) {
            self.first = Some((number, why));
        }
    }

    fn tell(self, lines: u64) -> Result<()> {
        let Self {
            acknowledged,
            failed,
            first,
            ..
        } = self;
        if let Some((number, why)) = first {
            let unsent = lines - acknowledged - failed;
            bail!(
                "{acknowledged} of {lines} additions acknowledged, {failed} failed, {unsent} not sent; the first \
                 failure, line {number}: {why}"
            );
        }
        say(&format!("{acknowledged} additions, all acknowledged"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_or_without_names() {
        let expected = [
            Line {
                number: 2,
                id: 7,
                sku: "apple".into(),
                quantity: 2,
            },
            Line {
                number: 4,
                id: 8,
                sku: "pear tart".into(),
                quantity: 1,
            },
        ];
        assert_eq!(
            parse("id,sku,quantity\n7, apple ,2\n\n8,pear tart,1\n").unwrap(),
            expected
        );
        let numbers = |text| {
            let lines = parse(text).unwrap();
            lines.iter().map(|line| line.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers("7,apple,2\n8,pear tart,1"), [1, 2]);
    }

    #[test]
    fn a_wrong_line_is_named_and_nothing_is_sent() {
        for (text, part) in [
            ("7,apple", "line 1: three fields"),
            ("7,apple,2\nx,apple,1", "line 2: the id \"x\""),
            ("7,apple,-1", "line 1: the quantity \"-1\""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("TF-N05") && error.contains(part),
                "{error}"
            );
        }
    }

    #[test]
    fn the_first_failure_is_the_one_that_stands_first_and_success_ends_a_row() {
        let mut tally = Tally::default();
        tally.count((7, Err("late".into())));
        tally.count((3, Err("early".into())));
        assert_eq!(tally.in_a_row, 2);
        tally.count((4, Ok(())));
        assert_eq!(
            (tally.in_a_row, tally.failed, tally.acknowledged),
            (0, 2, 1)
        );
        let told = tally.tell(10).unwrap_err().to_string();
        assert!(
            told.contains("7 not sent") && told.contains("line 3: early"),
            "{told}"
        );
    }
}
