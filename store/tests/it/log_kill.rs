//! A process that is killed under load, again and again: what it said was acknowledged is there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId, Records, Storage};
use trefoil_store::{Store, StoreOptions};

use crate::disk::Dice;
use crate::wait;

const DATA: &str = "TREFOIL_KILL_DATA";
/// How long to go on; a few seconds if nothing is said.
const SECONDS: &str = "TREFOIL_KILL_SECONDS";
const OWNER: OwnerId = OwnerId(1);
const LOGS: u8 = 5;

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes_max: 32 << 10,
        ..StoreOptions::default()
    }
}

fn payload(log: u8, sequence: u64) -> Vec<u8> {
    let mut dice = Dice(sequence ^ (u64::from(log) << 40));
    let len = dice.below(400);
    (0..len).map(|_| dice.next() as u8).collect()
}

/// The process that is killed. It says what was acknowledged, and never ends by itself.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Some(data) = std::env::var_os(DATA) else {
        return;
    };
    let store = Store::open(data, options()).unwrap();
    let mut session = store.session("a");
    let term = store.begin_incarnation("a").unwrap();
    let mut next = [0; LOGS as usize];
    for log in 0..LOGS {
        let (name, owner) = (&[log][..], OWNER);
        let fence = Op::Fence {
            log: name,
            term,
            owner,
        };
        let Completion::Tail { next: found, .. } = session.run(fence) else {
            panic!("no fence");
        };
        next[usize::from(log)] = found;
    }
    let mut under_way = BTreeMap::new();
    let mut out = std::io::stdout().lock();
    for number in 0_u64.. {
        let log = (number % u64::from(LOGS)) as u8;
        let sequence = next[usize::from(log)];
        let (name, owner) = (&[log][..], OWNER);
        if number % 97 == 0 && sequence > 100 {
            let trim = Op::Trim {
                log: name,
                term,
                owner,
                before: sequence - 100,
            };
            session.submit(trim, Tag(number)).unwrap();
        } else {
            let append = Op::Append {
                log: name,
                term,
                owner,
                expected: sequence,
                payload: &payload(log, sequence),
            };
            session.submit(append, Tag(number)).unwrap();
            under_way.insert(Tag(number), (log, sequence));
            next[usize::from(log)] += 1;
        }
        while under_way.len() >= 64 {
            let (tag, done) = wait::next(&mut session);
            assert!(matches!(done, Completion::Durable { .. }), "{done:?}");
            if let Some((log, sequence)) = under_way.remove(&tag) {
                writeln!(out, "ack {log} {sequence}").unwrap();
            }
        }
    }
}

/// How long a child may take to get to work.
const SOON: Duration = Duration::from_secs(60);

/// Lets a child work for a while, once it works or at once, and kills it; returns what it acknowledged.
#[expect(clippy::disallowed_methods, reason = "no node runs on this thread")]
fn killed_after(data: &Path, time: Duration, at_work: bool) -> BTreeMap<u8, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log_kill::child", "--ignored", "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (first, works) = mpsc::channel();
    let listening = std::thread::spawn(move || {
        let mut acknowledged = BTreeMap::new();
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8(line).unwrap();
            let mut words = line.split(' ');
            // The last line may be cut; a number that is cut is smaller.
            if let (Some("ack"), Some(Ok(log)), Some(Ok(sequence))) = (
                words.next(),
                words.next().map(str::parse::<u8>),
                words.next().map(str::parse::<u64>),
            ) {
                let last: &mut u64 = acknowledged.entry(log).or_default();
                *last = sequence.max(*last);
                let _ = first.send(());
            }
        }
        acknowledged
    });
    if at_work {
        works.recv_timeout(SOON).expect("the child gets to work");
    }
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    listening.join().unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let seconds = std::env::var(SECONDS)
        .ok()
        .and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(u64::from(std::process::id()));
    let mut known = BTreeMap::<u8, u64>::new();
    let mut kills = 0;
    while Instant::now() < until || kills < 3 {
        let time = Duration::from_millis(dice.below(200) as u64);
        let at_work = kills % 4 != 3;
        for (log, sequence) in killed_after(folder.path(), time, at_work) {
            let last = known.entry(log).or_default();
            *last = sequence.max(*last);
        }
        kills += 1;
        let store = Store::open(folder.path(), options()).unwrap();
        let mut session = store.session("a");
        for (log, last) in &known {
            let read = Op::Read {
                log: &[*log],
                from: 0,
                bytes_max: u32::MAX,
            };
            let Completion::Records(run) = session.run(read) else {
                panic!("after {kills} kills log {log} cannot be read");
            };
            let mut next = None;
            for (sequence, bytes) in Records(&run).iter() {
                assert_eq!(next.unwrap_or(sequence), sequence);
                assert_eq!(bytes, payload(*log, sequence));
                next = Some(sequence + 1);
            }
            assert!(next > Some(*last), "after {kills} kills: {next:?}, {last}");
        }
        drop((session, store));
        if kills % 5 == 0 {
            let report = Store::check(folder.path()).unwrap();
            assert!(report.is_whole(), "{report}");
        }
    }
}
