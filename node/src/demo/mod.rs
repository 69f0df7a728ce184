//! `trefoil demo`: three nodes under real load, one cut off and healed; what happened, and whether it
//! was right.

mod cluster;
mod datagrams;
mod leadership;
mod ledger;
mod load;
mod proxy;
mod records;
mod report;
mod watch;
mod zipf;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_lite::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trefoil_core::rng::Rng;
use trefoil_runtime::{CallOptions, Client, Handle, Platform, Security, clock, task};
use trefoil_tls::{Authority, ClientAuth, Tls, TlsPem};

use self::cluster::{Cluster, NODES};
use self::ledger::{Ledger, Verdict};
use self::load::{Books, Course, PHASES, Tally, cart_of};
use self::records::{Channels, Traffic};
use self::report::{Check, Phase, Report};
use crate::cart::items;
use crate::cli::{Demo, Way};
use crate::reach::Reach;
use crate::{say, serve};

/// Most seconds until every id of the cut node is answered elsewhere, and until views are equal.
const HEAL_S: f64 = 15.0;

/// Most seconds from the cut of a leader until another leads: three promises, on a machine under load.
const LEADER_S: f64 = 3.0;

/// Runs the demo; the exit code is 0 only if its own checks hold.
///
/// # Errors
/// It cannot be run at all.
pub async fn run<P: Platform>(args: Demo, way: &Way) -> Result<ExitCode> {
    let temporary =
        tempfile::tempdir().context("cannot make a temporary directory; give one with --data")?;
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    if std::fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "TF-N09: {} is not empty; the demo's ledger begins with empty carts: give an empty directory",
            data.display()
        );
    }
    // Whoever is interrupted still tidies up.
    let report = tokio::select! {
        report = play::<P>(&args, way, &data) => report?,
        heard = serve::interrupted() => {
            heard?;
            bail!("interrupted: nothing was shown");
        }
    };
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else if args.quiet {
        say(&report.short());
    } else {
        say(&report.to_string());
    }
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How the nodes are reached; with certificates made for this run where QUIC asks for some.
fn reach(way: &Way) -> Result<Reach> {
    let mut reach = Reach::new(way)?;
    if reach.needs_certificates() && reach.security.tls().is_none() {
        let authority = Authority::new("demo")?;
        let issued = authority.issue(&["127.0.0.1"], Duration::from_secs(86_400))?;
        let pem = TlsPem {
            ca: authority.cert_pem(),
            identity: Some((issued.cert_pem, issued.key_pem)),
        };
        reach.security = Security::Tls(Tls::from_pem(pem, ClientAuth::Required)?);
    }
    Ok(reach)
}

/// What was seen of the nodes while the load ran.
struct Seen {
    members: Vec<report::Sighting>,
    owners: Vec<(String, BTreeMap<String, u64>)>,
    moved: (u64, u64),
    strays: u64,
    heal_ids_s: Option<f64>,
    heal_views_s: Option<f64>,
    rejoin_s: Option<f64>,
    leader: leadership::Succession,
}

async fn play<P: Platform>(args: &Demo, way: &Way, data: &Path) -> Result<Report> {
    let reached = reach(way)?;
    let mut cluster = Cluster::<P>::start(data, args.plant, reached.clone()).await?;
    let cut = (Rng::new(args.seed).below(NODES as u64)) as usize;
    let course = Course::new(args.ids as usize);
    let traffic = Traffic::start::<P>(cluster.options_beside_majority(), &course).await?;
    let mut callers = FuturesUnordered::new();
    let shared = cluster.client_beside_majority(cut, true)?;
    let alone = cluster.client_of(cut)?;
    for caller in 0..args.callers {
        // One in three calls the node that will be cut, and goes on calling it.
        let on_cut_side = caller as usize % NODES == cut;
        let client = if on_cut_side {
            alone.clone()
        } else {
            shared.clone()
        };
        let timeout = Duration::from_secs(if on_cut_side { 2 } else { 20 });
        let seed = args
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(u64::from(caller));
        let (course, name) = (Arc::clone(&course), format!("caller-{caller}"));
        callers.push(task::spawn::<P, _>(async move {
            (
                on_cut_side,
                load::call(course, client, name, seed, timeout).await,
            )
        }));
    }
    let bar = progress(args);
    let began = Instant::now();
    let seen = observe(args, &cluster, cut, &course, began, &bar).await?;
    course.stop.store(true, Ordering::Relaxed);
    bar.set_message("comparing the ledger with the carts");
    let (mut ledger, mut beside, mut on_cut) =
        (Ledger::default(), Phases::default(), Phases::default());
    while let Some(done) = callers.next().await {
        let (
            on_cut_side,
            Books {
                ledger: theirs,
                phases,
            },
        ) = done.context("a caller panicked")?;
        ledger.merge(theirs);
        let tallies = if on_cut_side {
            &mut on_cut
        } else {
            &mut beside
        };
        for (mine, other) in tallies.iter_mut().zip(&phases) {
            mine.merge(other);
        }
    }
    bar.set_message("waiting for what was produced");
    let channels = traffic.stop().await?;
    let survivors = compare(&ledger, &cluster.client_beside_majority(cut, false)?).await?;
    bar.set_message("restarting all nodes");
    cluster.restart().await?;
    let restarted = compare(&ledger, &cluster.client_beside_majority(cut, false)?).await?;
    cluster.stop().await;
    bar.finish_and_clear();
    let phases = phases(args, &beside, &on_cut);
    let mut checks = checks(&seen, &phases, &survivors, &restarted);
    checks.extend(checks_of(&channels));
    Ok(Report {
        seed: args.seed,
        way: format!(
            "{} on {}",
            reached.told(),
            way.runtime.unwrap_or_default().as_str()
        ),
        plant: args.plant.map(|plant| format!("{plant:?}")),
        durability: "every acknowledged change was written by fdatasync first".into(),
        members: seen.members,
        owners: seen.owners,
        moved: seen.moved,
        phases,
        heal_ids_s: seen.heal_ids_s,
        heal_views_s: seen.heal_views_s,
        rejoin_s: seen.rejoin_s,
        leader: seen.leader,
        channels,
        survivors,
        restarted,
        checks,
    })
}

type Phases = [Tally; 3];

fn progress(args: &Demo) -> ProgressBar {
    let bar = ProgressBar::new(args.seconds * 10);
    if args.quiet || args.json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Cuts, heals, and looks.
async fn observe<P: Platform>(
    args: &Demo,
    cluster: &Cluster<P>,
    cut: usize,
    course: &Arc<Course>,
    began: Instant,
    bar: &ProgressBar,
) -> Result<Seen> {
    let handles = cluster.handles();
    let lookout = watch::Lookout::start::<P>(&handles, began, Arc::clone(course), bar.clone());
    let survivors: Vec<Handle> = handles
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != cut)
        .map(|(_, handle)| handle.clone())
        .collect();
    let quarter = Duration::from_secs(args.seconds) / 4;
    task::sleep_until::<P>(began + quarter).await;

    let before = owners(&survivors[0], args.ids);
    let mut table = vec![("before the cut".to_owned(), counts(&before))];
    let orphans: BTreeSet<u64> = before
        .iter()
        .filter(|(_, host)| **host == cluster.hosts[cut])
        .map(|(id, _)| *id)
        .collect();
    // It is the leader that is cut off.
    leadership::make_leader::<P>(&handles, cut).await?;
    course.phase.store(1, Ordering::Relaxed);
    cluster.network.cut(cut);
    let (cut_at, cut_by_clock) = (Instant::now(), clock::now());
    let leader = leadership::succession::<P>(
        handles[cut].clone(),
        survivors.clone(),
        cut_by_clock,
        quarter * 2,
    );
    let leader = task::spawn::<P, _>(leader);
    let views = watch::equal_views::<P>(survivors.clone(), survivors.len(), cut_at);
    // As long as the cut lasts: afterwards they are to be equal in another way.
    let views = task::spawn::<P, _>(task::timeout::<P, _>(quarter * 2, views));
    let client = cluster.client_beside_majority(cut, true)?;
    let heal_ids_s = watch::first_answers(&client, &orphans, cut_at, quarter * 2).await;
    task::sleep_until::<P>(cut_at + quarter * 2).await;

    let during = owners(&survivors[0], args.ids);
    table.push(("without the cut node".to_owned(), counts(&during)));
    let moved = before
        .iter()
        .filter(|(id, host)| during.get(id).is_some_and(|now| now != *host));
    let (mut needed, mut strays) = (0, 0);
    for (id, _) in moved {
        if orphans.contains(id) {
            needed += 1;
        } else {
            strays += 1;
        }
    }
    course.phase.store(2, Ordering::Relaxed);
    cluster.network.heal();
    let rejoin = watch::equal_views::<P>(handles.clone(), handles.len(), Instant::now());
    let rejoin_s = task::timeout::<P, _>(Duration::from_secs(30), rejoin).await;
    task::sleep_until::<P>(began + Duration::from_secs(args.seconds)).await;
    table.push((
        "at the end".to_owned(),
        counts(&owners(&survivors[0], args.ids)),
    ));
    Ok(Seen {
        members: lookout.stop().await,
        owners: table,
        moved: (needed + strays, orphans.len() as u64),
        strays,
        heal_ids_s,
        heal_views_s: views.await.flatten(),
        rejoin_s,
        leader: leader
            .await
            .context("the look-out for leaders panicked")??,
    })
}

/// The owner of every cart that is claimed, as one node sees it.
fn owners(node: &Handle, ids: u64) -> BTreeMap<u64, String> {
    (0..ids as usize)
        .map(cart_of)
        .filter(|id| node.is_claimed(*id))
        .filter_map(|id| Some((id, node.owner_of(id)?.to_string())))
        .collect()
}

fn counts(owners: &BTreeMap<u64, String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for host in owners.values() {
        *counts.entry(host.clone()).or_default() += 1;
    }
    counts
}

/// Reads every cart of the ledger over the wire.
async fn compare<P: Platform>(ledger: &Ledger, client: &Client<P>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut reading = FuturesUnordered::new();
    let mut left = ledger.carts();
    loop {
        while reading.len() < 64
            && let Some(cart) = left.next()
        {
            let client = client.clone();
            let options = CallOptions {
                timeout: Duration::from_secs(20),
                ..CallOptions::default()
            };
            reading.push(async move { (cart, client.get_with(cart, options).await) });
        }
        let Some(done) = reading.next().await else {
            return Ok(verdict);
        };
        let (cart, got) = done;
        let items = got
            .ok()
            .and_then(|got| items(got.view().grain))
            .map(|(items, _)| items);
        ledger.compare(cart, items.as_ref(), &mut verdict);
    }
}

fn phases(args: &Demo, beside: &Phases, on_cut: &Phases) -> Vec<Phase> {
    let quarter = args.seconds as f64 / 4.0;
    let lengths = [quarter, 2.0 * quarter, quarter];
    (0..PHASES.len())
        .map(|at| Phase {
            name: PHASES[at],
            seconds: lengths[at],
            per_second: beside[at].good as f64 / lengths[at],
            latency: beside[at].figures(),
            errors: beside[at].errors.clone(),
            cut_side: (on_cut[at].good, on_cut[at].bad()),
        })
        .collect()
}

fn checks_of(channels: &Channels) -> [Check; 2] {
    let Channels {
        acknowledged,
        missing,
        repeated,
        disordered,
        strange,
        failed,
        ..
    } = channels;
    let wait = channels.longest_wait_s.max(channels.longest_gap_s);
    let why = failed
        .first()
        .map_or_else(String::new, |why| format!("; {why}"));
    [
        Check {
            what: "every acknowledged record was delivered once per consumer, in order".to_owned(),
            holds: channels.holds(),
            found: format!(
                "{acknowledged} records, {missing} missing, {repeated} repeated, {disordered} out of order, {strange} strange{why}"
            ),
        },
        Check {
            what: "no channel stood still for long".to_owned(),
            holds: wait <= HEAL_S,
            found: format!("{wait:.2} s, at most {HEAL_S} s"),
        },
    ]
}

fn checks(seen: &Seen, phases: &[Phase], survivors: &Verdict, restarted: &Verdict) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what: &str, holds: bool, found: String| {
        checks.push(Check {
            what: what.to_owned(),
            holds,
            found,
        });
    };
    for (when, verdict) in [
        ("read from the survivors", survivors),
        ("read after a restart", restarted),
    ] {
        check(
            &format!("every acknowledged addition is in its cart exactly once, {when}"),
            verdict.holds(),
            format!(
                "{} of {}{}",
                verdict.acknowledged - verdict.lost,
                verdict.acknowledged,
                verdict
                    .amiss
                    .iter()
                    .fold(String::new(), |all, amiss| all + "; " + amiss)
            ),
        );
    }
    for (what, value) in [
        (
            "every id of the cut node was answered elsewhere",
            seen.heal_ids_s,
        ),
        ("the remaining nodes came to equal views", seen.heal_views_s),
        (
            "all nodes came to equal views when the cut was healed",
            seen.rejoin_s,
        ),
    ] {
        let found = value.map_or_else(
            || "never".to_owned(),
            |s| format!("{s:.2} s, at most {HEAL_S} s"),
        );
        check(what, value.is_some_and(|s| s <= HEAL_S), found);
    }
    let leader = &seen.leader;
    check(
        "another node led soon after the leader was cut off, and not before its lease had ended",
        leader.is_one_after_the_other() && leader.began_s.is_some_and(|s| s <= LEADER_S),
        leader.began_s.map_or_else(
            || "never".to_owned(),
            |began| {
                let ended = leader.ended_s;
                format!("ended after {ended:.3} s, led after {began:.3} s, at most {LEADER_S} s")
            },
        ),
    );
    let (moved, ideal) = seen.moved;
    check(
        "no id moved that need not",
        seen.strays == 0,
        format!("{moved} moved, {ideal} had to"),
    );
    let errors: u64 = phases.iter().flat_map(|phase| phase.errors.values()).sum();
    check(
        "no call of the majority's callers failed",
        errors == 0,
        format!("{errors} failed"),
    );
    let quiet = phases
        .iter()
        .filter(|phase| phase.latency.calls == 0)
        .count();
    check(
        "calls were answered in every part of the run",
        quiet == 0,
        format!("{quiet} parts without"),
    );
    checks
}
