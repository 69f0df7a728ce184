//! The log channels as operators use them: nodes in processes of their own over one store, and the program's commands.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "no node runs on this thread")]

mod processes;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use processes::{Alone, Program, free_hosts, store, trefoil};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);

/// Three voters over one store.
struct Cluster {
    dir: tempfile::TempDir,
    hosts: Vec<String>,
    nodes: Vec<Option<Program>>,
    _store: Program,
}

impl Cluster {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            hosts: free_hosts(3),
            nodes: vec![None, None, None],
            _store: store(&dir.path().join("shared")),
            dir,
        };
        (0..3).for_each(|at| cluster.begin(at));
        cluster
    }

    fn begin(&mut self, at: usize) {
        let hosts = self.all();
        let dir = self.dir.path();
        let mut serve = trefoil(&["serve", "--init", "--host", &self.hosts[at]]);
        serve
            .args(["--join", &hosts, "--voters", &hosts, "--data"])
            .arg(dir.join(at.to_string()))
            .arg("--store")
            .arg(dir.join("shared/store.sock"))
            .stdout(Stdio::null());
        self.nodes[at] = Some(Program(serve.spawn().unwrap()));
    }

    fn all(&self) -> String {
        self.hosts.join(",")
    }

    /// A command at all nodes: whether it went well, and what it said, or why not.
    fn run(&self, args: &[&str]) -> Result<String, String> {
        let output = trefoil(args).args(["--at", &self.all()]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        Err(text(&output.stderr))
    }

    /// Tries until it works.
    fn insist(&self, args: &[&str]) -> String {
        let began = Instant::now();
        loop {
            match self.run(args) {
                Ok(said) => return said,
                Err(why) => assert!(began.elapsed() < SOON, "{args:?}: {why}"),
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits until something holds of the list.
    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let said = self.insist(&["channels", "list", "--json"]);
            let listed: Value = serde_json::from_str(&said).unwrap();
            if holds(&listed) {
                return listed;
            }
            assert!(began.elapsed() < SOON, "{what}: {said}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Which node has a channel.
    fn host_of(&self, channel: &str) -> usize {
        let listed = self.until("it is assigned", |listed| {
            find(listed, channel)["state"] == "assigned"
        });
        let host = find(&listed, channel)["host"].as_str().unwrap().to_owned();
        self.hosts.iter().position(|known| *known == host).unwrap()
    }

    /// What a node has counted since it was started.
    fn counters(&self, at: usize) -> Value {
        let args = [
            "status",
            "--json",
            "--timeout",
            "60",
            "--at",
            &self.hosts[at],
        ];
        let output = trefoil(&args).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["counters"].clone()
    }

    /// All lines of a channel.
    fn lines(&self, channel: &str, limit: &str) -> Vec<String> {
        let said = self.insist(&[
            "consume",
            channel,
            "--from",
            "all",
            "--limit",
            limit,
            "--idle-ms",
            "10000",
        ]);
        said.lines().map(str::to_owned).collect()
    }
}

/// `trefoil produce`, which is told line by line what to produce.
struct Producer {
    program: Child,
    input: ChildStdin,
}

impl Producer {
    fn start(cluster: &Cluster, channel: &str) -> Self {
        let mut produce = trefoil(&["produce", channel, "--producer", "loader", "--file", "-"]);
        let piped = produce
            .args(["--timeout", "120", "--at", &cluster.all()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut program = piped.spawn().unwrap();
        let input = program.stdin.take().unwrap();
        Self { program, input }
    }

    fn say(&mut self, lines: &[String]) {
        writeln!(self.input, "{}", lines.join("\n")).unwrap();
    }

    /// Waits until all are acknowledged.
    fn finish(self, count: usize) {
        drop(self.input);
        let output = self.program.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.starts_with(&format!("{count} records appended")),
            "{output:?}"
        );
    }
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

fn find<'l>(listed: &'l Value, channel: &str) -> &'l Value {
    let mut all = listed["channels"].as_array().unwrap().iter();
    all.find(|known| known["name"] == channel).unwrap()
}

fn find_node<'l>(listed: &'l Value, host: &str) -> &'l Value {
    let mut all = listed["nodes"].as_array().unwrap().iter();
    all.find(|known| known["host"] == *host).unwrap()
}

/// How many channels of a list are on a host, and assigned.
fn count_on(listed: &Value, host: &str) -> usize {
    let all = listed["channels"].as_array().unwrap().iter();
    let on = all.filter(|known| known["host"] == host && known["state"] == "assigned");
    on.count()
}

fn are_alive(listed: &Value, nodes: usize) -> bool {
    let all = listed["nodes"].as_array().unwrap().iter();
    all.filter(|node| node["alive"] == true).count() == nodes
}

const NAMES: [&str; 6] = ["orders", "bills", "c", "d", "e", "f"];

fn create(cluster: &Cluster) {
    cluster.until("three nodes are there", |listed| are_alive(listed, 3));
    let mut args = vec!["channels", "create", "--timeout", "60"];
    args.extend(NAMES);
    let said = cluster.insist(&args);
    assert!(said.contains("all are assigned"), "{said}");
}

#[test]
fn every_line_is_kept_once_and_in_order_though_its_node_is_killed() {
    let mut cluster = Cluster::start();
    create(&cluster);
    let lines = lines(5_000);
    let (before, after) = lines.split_at(2_000);

    let mut producer = Producer::start(&cluster, "orders");
    producer.say(before);
    // Some are there, and others are on their way.
    assert_eq!(cluster.lines("orders", "1000"), before[..1_000]);
    let at = cluster.host_of("orders");
    drop(cluster.nodes[at].take());
    producer.say(after);
    producer.finish(5_000);
    assert_eq!(cluster.lines("orders", "5001"), lines);

    // Of the two that are left each has half, and each record is known by id and time.
    let killed = cluster.hosts[at].clone();
    let listed = cluster.until("two nodes have all", |listed| {
        let on = |host: &String| count_on(listed, host);
        on(&killed) == 0 && cluster.hosts.iter().map(on).sum::<usize>() == NAMES.len()
    });
    assert!(are_alive(&listed, 2), "{listed}");
    assert!(
        find(&listed, "orders")["term"].as_i64() > Some(2),
        "{listed}"
    );
    let args = [
        "consume", "orders", "--from", "all", "--limit", "100", "--json",
    ];
    let said = cluster.insist(&args);
    let records: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tick = |record: &Value| {
        record["time_tick"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(records.is_sorted_by(|a, b| tick(a) < tick(b)), "{said}");
    let behind = format!("after:{}", records[9]["id"].as_str().unwrap());
    let args = ["consume", "orders", "--from", &behind, "--limit", "1"];
    assert_eq!(cluster.insist(&args), "line 10\n");
    // What was sent once is not kept twice, whoever sends it again.
    let file = cluster.dir.path().join("again");
    std::fs::write(&file, before.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let again = [
        "produce",
        "orders",
        "--producer",
        "loader",
        "--sequence",
        "4001",
        "--file",
        file,
    ];
    let said = cluster.insist(&again);
    assert!(said.starts_with("2000 records"), "{said}");
    assert_eq!(cluster.lines("orders", "6001").len(), 6_000);
}

/// A node that stands still is succeeded, and wakes up with records in hand that were acknowledged to nobody.
#[test]
fn every_line_is_kept_once_and_in_order_though_a_zombie_wakes_up_and_another_is_killed() {
    let mut cluster = Cluster::start();
    create(&cluster);
    let lines = lines(6_000);
    let mut producer = Producer::start(&cluster, "orders");
    producer.say(&lines[..1_000]);
    assert_eq!(cluster.lines("orders", "1000"), lines[..1_000]);

    let zombie = cluster.host_of("orders");
    cluster.nodes[zombie].as_ref().unwrap().signal("-STOP");
    producer.say(&lines[1_000..3_000]);
    assert_eq!(cluster.lines("orders", "3000"), lines[..3_000]);
    let successor = cluster.host_of("orders");
    assert_ne!(successor, zombie);
    producer.say(&lines[3_000..4_000]);
    cluster.nodes[zombie].as_ref().unwrap().signal("-CONT");
    producer.say(&lines[4_000..5_000]);
    assert_eq!(cluster.lines("orders", "5000"), lines[..5_000]);
    cluster.until("the zombie is a node again", |listed| are_alive(listed, 3));
    // Nobody had told it that it was succeeded: it wrote what it had in hand, and the log refused that.
    let began = Instant::now();
    while cluster.counters(zombie)["channels_fenced"].as_u64() < Some(1) {
        assert!(began.elapsed() < SOON, "it never tried to write");
        sleep(Duration::from_millis(100));
    }

    let owner = cluster.host_of("orders");
    drop(cluster.nodes[owner].take());
    producer.say(&lines[5_000..]);
    producer.finish(6_000);
    assert_eq!(cluster.lines("orders", "6001"), lines);
}

/// What `status` says of channels: for programs, and for people, a row of words each.
fn status(run: impl Fn(&[&str]) -> String) -> (Value, Vec<Vec<String>>) {
    let began = Instant::now();
    loop {
        let told: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
        let shown = run(&["status"]);
        let mut rows = shown.lines();
        // It waits a second for the leader, and does without the channels then.
        if rows.any(|row| row.starts_with("channel ")) && told["channels"].is_object() {
            let words = |row: &str| row.split_whitespace().map(str::to_owned).collect();
            return (told["channels"].clone(), rows.map(words).collect());
        }
        assert!(began.elapsed() < SOON, "{shown}");
    }
}

fn status_shows_channels_by_node(cluster: &Cluster) {
    let (told, rows) = status(|args| cluster.insist(args));
    assert_eq!(rows.len(), NAMES.len(), "{rows:?}");
    assert!(rows.is_sorted_by_key(|row| &row[1]), "by node: {rows:?}");
    for name in NAMES {
        let known = find(&told, name);
        let row = rows.iter().find(|row| row[0] == name).unwrap();
        assert_eq!(known["host"], *row[1], "{known}");
        assert_eq!(row[3], "assigned", "{row:?}");
        assert_eq!(row[2], known["term"].to_string(), "{known}");
        assert_eq!(known["state"], "assigned", "{known}");
        assert!(known["waits"] == "" && known["reason"] == "", "{known}");
        // A number and its unit, and no reason behind them.
        assert!(row.len() == 6 && row[4].parse::<u64>().is_ok(), "{row:?}");
        assert!(known["age_ms"].is_u64(), "{known}");
    }
    for host in &cluster.hosts {
        let has = rows.iter().filter(|row| row[1] == *host).count();
        assert_eq!(has, 2, "two a node: {rows:?}");
        assert_eq!(find_node(&told, host)["channels"], 2, "{told}");
    }
}

#[test]
fn a_channel_that_no_node_takes_is_shown_with_why_and_since_when() {
    let node = Alone::start(|host| format!("[channels.weights]\n'{host}' = 0\n"));
    let create = ["channels", "create", "orders", "--timeout", "3"];
    let began = Instant::now();
    let mut why = node.run(&create).unwrap_err();
    while !why.contains("TF-N17") {
        assert!(began.elapsed() < SOON, "{why}");
        why = node.run(&create).unwrap_err();
    }
    let shown = || status(|args| String::from_utf8(node.run(args).unwrap()).unwrap());
    let age = |told: &Value| find(told, "orders")["age_ms"].as_u64().unwrap();
    let (mut told, mut rows) = shown();
    while age(&told) < 2_000 {
        assert!(began.elapsed() < SOON, "{told}");
        (told, rows) = shown();
    }
    let (age_shown, since) = (age(&told), began.elapsed());
    let known = find(&told, "orders");
    assert_eq!(known["state"], "uninitialized", "{known}");
    assert_eq!(known["waits"], "for a node", "{known}");
    assert_eq!(known["host"], Value::Null, "{known}");
    assert!(u128::from(age_shown) <= since.as_millis(), "{known}");
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(row[..4], ["orders", "-", "1", "uninitialized"], "{row:?}");
    assert!(row[4].parse::<u64>().unwrap() >= 2, "{row:?}");
    assert_eq!(row[5..].join(" "), "s waits for a node");
    sleep(Duration::from_millis(5));
    assert!(age(&shown().0) > age_shown, "it grows");
}

#[test]
fn channels_are_moved_and_nodes_drained_by_command() {
    let mut cluster = Cluster::start();
    create(&cluster);
    status_shows_channels_by_node(&cluster);
    let from = cluster.host_of("bills");
    let to = cluster.hosts[(from + 1) % 3].clone();
    let said = cluster.run(&["channels", "move", "bills", &to, "--timeout", "60"]);
    assert_eq!(said, Ok(format!("bills is on {to}\n")));
    assert_eq!(cluster.hosts[cluster.host_of("bills")], to);

    let said = cluster
        .run(&["node", "drain", &to, "--within", "60"])
        .unwrap();
    assert!(
        said.starts_with(&format!("{to} had ")) && said.contains("has none"),
        "{said}"
    );
    let listed = cluster.until("the others have all", |listed| {
        let on = |host: &String| count_on(listed, host);
        find_node(listed, &to)["channels"] == 0
            && cluster.hosts.iter().map(on).sum::<usize>() == NAMES.len()
    });
    let drained = find_node(&listed, &to);
    assert_eq!(
        (&drained["draining"], &drained["alive"]),
        (&true.into(), &true.into())
    );
    // What was told to a node that drains is what it does not get.
    let shown = cluster.run(&["channels", "list"]).unwrap();
    assert!(
        shown
            .lines()
            .any(|line| line.contains(&to) && line.contains("draining")),
        "{shown}"
    );
    assert_eq!(
        cluster
            .run(&["channels", "create", "more", "--timeout", "60"])
            .unwrap(),
        "created 1, all are assigned\n"
    );
    assert_ne!(cluster.hosts[cluster.host_of("more")], to);
    let said = cluster
        .run(&["channels", "create", "more", "bills"])
        .unwrap();
    assert_eq!(said, "created 0, 2 were there, all are assigned\n");
    assert_eq!(
        cluster.run(&["channels", "plan"]).unwrap(),
        "nothing would be moved\n"
    );

    // Started again, it is a node as any other.
    let at = cluster.hosts.iter().position(|host| *host == to).unwrap();
    drop(cluster.nodes[at].take());
    cluster.begin(at);
    cluster.until("it is back", |listed| {
        let mut nodes = listed["nodes"].as_array().unwrap().iter();
        nodes.any(|node| node["host"] == *to && node["alive"] == true && node["draining"] == false)
    });
    wrong_inputs_are_told(&cluster, &to);
}

/// What cannot be is said with its code, what it is about, and by the exit code 1.
fn wrong_inputs_are_told(cluster: &Cluster, host: &str) {
    let dir = cluster.dir.path();
    let nowhere = dir.join("nowhere");
    let file = dir.join("line");
    std::fs::write(&file, "one\n").unwrap();
    let (nowhere, file) = (nowhere.to_str().unwrap(), file.to_str().unwrap());
    let long = "x".repeat(257);
    let cases: &[(&[&str], &[&str])] = &[
        (&["channels", "move", "nothing", host], &["TF-L22"]),
        (&["channels", "move", "bills", "127.0.0.1:1"], &["TF-L23"]),
        (&["node", "drain", "127.0.0.1:1"], &["TF-L23"]),
        (&["channels", "create", ""], &["TF-L26"]),
        (&["channels", "create", &long], &["TF-L26"]),
        (
            &["produce", "nothing", "--file", file, "--timeout", "2"],
            &["TF-N18", "is it created"],
        ),
        (
            &["consume", "nothing", "--timeout", "2"],
            &["TF-N19", "is it created"],
        ),
        (
            &["produce", "bills", "--file", nowhere],
            &["TF-N06", nowhere],
        ),
        (
            &["produce", "bills", "--property", "x", "--file", file],
            &["TF-N04", "KEY=VALUE"],
        ),
        (
            &["consume", "bills", "--filter", "x"],
            &["TF-N04", "vchannel=NAME"],
        ),
        (
            &["consume", "bills", "--from", "0x0"],
            &["TF-N04", "after:"],
        ),
        (
            &["consume", "bills", "--from", "0x00", "--timeout", "3"],
            &["TF-N19", "TF-L03"],
        ),
        (
            &[
                "produce",
                "bills",
                "--file",
                file,
                "--dialect",
                "v2024-08",
                "--timeout",
                "3",
            ],
            &["TF-N18", "TF-L05"],
        ),
    ];
    for (args, said) in cases {
        let why = cluster.run(args).unwrap_err();
        for part in *said {
            assert!(why.contains(part), "{args:?} says, without {part}: {why}");
        }
        assert_eq!(why.lines().count(), 1, "{args:?}: {why}");
    }
    // Where nobody is, and where nobody has channels.
    let nobody = trefoil(&["channels", "list", "--timeout", "1", "--at", "127.0.0.1:1"]).output();
    let nobody = nobody.unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    let mut why = String::new();
    nobody.stderr.as_slice().read_to_string(&mut why).unwrap();
    assert!(why.contains("TF-"), "{why}");
}
