//! Voters in processes of their own, from the side of who starts, signals and listens to them.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread that measures runs no node"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trefoil_benches::free_host;
use trefoil_runtime_tokio::clock;

use crate::voter::Part;

/// Longest wait for anything that must come. Only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A moment, in nanoseconds of the clock that all processes of a machine share.
pub(crate) type Nanos = u64;

pub(crate) fn now() -> Nanos {
    clock::now().as_nanos()
}

/// Time between two moments; none if they are the other way round.
pub(crate) const fn between(from: Nanos, to: Nanos) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}

/// What a voter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It leads.
    Leading {
        at: Nanos,
        token: i64,
        is_leader: bool,
    },
    /// It leads no more; the lease ended then.
    Out { at: Nanos, token: i64, until: Nanos },
    /// Whether it leads, as asked.
    Leads { is_leader: bool },
    /// It hears all others.
    Mesh { at: Nanos },
    /// It hands over, since then.
    Handed { at: Nanos, done: bool },
    Counters {
        streams: u64,
        timeouts: u64,
        campaigns: u64,
        leaderships: u64,
    },
}

impl Said {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let verb = words.next()?;
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        let flag = |at: usize| numbers.get(at).map(|flag| *flag == 1);
        let token = || i64::try_from(*numbers.get(1)?).ok();
        let at = *numbers.first()?;
        Some(match verb {
            "leading" => Self::Leading {
                at,
                token: token()?,
                is_leader: flag(2)?,
            },
            "out" => Self::Out {
                at,
                token: token()?,
                until: *numbers.get(2)?,
            },
            "leads" => Self::Leads {
                is_leader: flag(1)?,
            },
            "mesh" => Self::Mesh { at },
            "handed" => Self::Handed { at, done: flag(1)? },
            "counters" => Self::Counters {
                streams: at,
                timeouts: *numbers.get(1)?,
                campaigns: *numbers.get(2)?,
                leaderships: *numbers.get(3)?,
            },
            _ => return None,
        })
    }
}

/// A leadership as its owner announced it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Led {
    pub(crate) by: usize,
    pub(crate) token: i64,
    pub(crate) at: Nanos,
}

/// Three voters.
pub(crate) struct Cluster {
    parts: Vec<Part>,
    processes: Vec<Option<Child>>,
    said: Receiver<(usize, Said)>,
    tell: Sender<(usize, Said)>,
    /// What was said and not asked for yet.
    kept: Vec<(usize, Said)>,
    newest: Option<Led>,
}

/// Of each cluster.
pub(crate) const VOTERS: usize = 3;

impl Cluster {
    /// Voters that are not started yet, with directories of their own.
    pub(crate) fn new(name: &str, evidence: bool) -> Self {
        let hosts: Vec<String> = (0..VOTERS).map(|_| free_host()).collect();
        let listens = hosts.clone();
        Self::behind(name, evidence, hosts, listens)
    }

    /// The same, called at `hosts` by each other and listening elsewhere.
    pub(crate) fn behind(
        name: &str,
        evidence: bool,
        hosts: Vec<String>,
        listens: Vec<String>,
    ) -> Self {
        let root = directory(name);
        let parts = listens.into_iter().enumerate().map(|(seat, listen)| Part {
            seat,
            hosts: hosts.clone(),
            listen,
            source: format!("127.0.1.{}", seat + 1),
            directory: root.join(seat.to_string()),
            evidence,
        });
        let (tell, said) = channel();
        Self {
            parts: parts.collect(),
            processes: (0..VOTERS).map(|_| None).collect(),
            said,
            tell,
            kept: Vec::new(),
            newest: None,
        }
    }

    pub(crate) fn host(&self, at: usize) -> &str {
        &self.parts[at].hosts[at]
    }

    /// Starts the processes that do not run.
    pub(crate) fn start(&mut self) {
        for at in 0..VOTERS {
            if self.processes[at].is_none() {
                self.start_one(at);
            }
        }
    }

    fn start_one(&mut self, at: usize) {
        let part = &self.parts[at];
        std::fs::create_dir_all(&part.directory).expect("a directory");
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(part.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for said in lines.filter_map(|line| Said::read(&line)) {
                if tell.send((at, said)).is_err() {
                    return;
                }
            }
        });
        self.processes[at] = Some(child);
    }

    pub(crate) fn ask(&mut self, at: usize, line: &str) {
        let child = self.processes[at].as_mut().expect("a process");
        let stdin = child.stdin.as_mut().expect("its input");
        writeln!(stdin, "{line}").expect("a process that listens");
    }

    /// The first thing said, from what was kept on, that `pick` takes.
    pub(crate) fn wait<T>(&mut self, what: &str, pick: impl Fn(usize, &Said) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let kept = self.kept.iter().enumerate();
            let mut found = kept.filter_map(|(n, (at, said))| Some((n, pick(*at, said)?)));
            if let Some((n, found)) = found.next() {
                self.kept.remove(n);
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            let heard = self.said.recv_timeout(left);
            let (at, said) = heard.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
            self.hear(at, said);
        }
    }

    fn hear(&mut self, by: usize, said: Said) {
        if let Said::Leading { at, token, .. } = said
            && self.newest.is_none_or(|led| led.token < token)
        {
            self.newest = Some(Led { by, token, at });
        }
        self.kept.push((by, said));
    }

    /// The first leadership above a token.
    pub(crate) fn leader_above(&mut self, floor: i64) -> Led {
        loop {
            let (led, is_leader) = self.wait("a leader", |by, said| match *said {
                Said::Leading {
                    at,
                    token,
                    is_leader,
                } if token > floor => Some((Led { by, token, at }, is_leader)),
                _ => None,
            });
            // One that hears of it so late that its lease is over is none.
            if is_leader {
                return led;
            }
        }
    }

    /// Whether it leads, by its own word.
    pub(crate) fn leads(&mut self, at: usize) -> bool {
        self.ask(at, "leads?");
        self.leads_answered(at)
    }

    pub(crate) fn leads_answered(&mut self, at: usize) -> bool {
        self.wait("an answer", |from, said| match *said {
            Said::Leads { is_leader } if from == at => Some(is_leader),
            _ => None,
        })
    }

    /// Waits until every process hears all others, and says when the last one did.
    pub(crate) fn meshed(&mut self) -> Nanos {
        for at in 0..VOTERS {
            self.ask(at, "mesh");
        }
        let mut last = 0;
        for at in 0..VOTERS {
            let heard = self.wait("a full mesh", |from, said| match *said {
                Said::Mesh { at: heard } if from == at => Some(heard),
                _ => None,
            });
            last = last.max(heard);
        }
        last
    }

    /// The leader, when all run and have been well for a while, at any part of its heartbeat.
    pub(crate) fn settled(&mut self) -> Led {
        self.start();
        self.meshed();
        let patience = now() + PATIENCE.as_nanos() as Nanos;
        loop {
            let chance = now() % 400;
            std::thread::sleep(Duration::from_millis(600 + chance));
            while let Ok((at, said)) = self.said.try_recv() {
                self.hear(at, said);
            }
            // Voters that are far apart may hear each other and have no leader yet.
            if let Some(leader) = self.newest.filter(|leader| self.leads(leader.by)) {
                self.kept.clear();
                return leader;
            }
            assert!(now() < patience, "no leader for {PATIENCE:?}");
        }
    }

    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.processes[at].take() {
            child.kill().expect("a process");
            child.wait().expect("a process");
        }
    }

    /// Kills it, and says when.
    pub(crate) fn kill_now(&self, at: usize) -> Nanos {
        let when = now();
        self.signal(at, Signal::KILL);
        when
    }

    pub(crate) fn signal(&self, at: usize, signal: Signal) {
        let child = self.processes[at].as_ref().expect("a process");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("a process of ours");
    }

    /// Ends all processes and forgets all they said.
    pub(crate) fn end(&mut self) {
        for at in 0..VOTERS {
            self.kill(at);
        }
        let (tell, said) = channel();
        (self.tell, self.said) = (tell, said);
        self.kept.clear();
        self.newest = None;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(root) = self.parts[0].directory.parent() {
            let _ = std::fs::remove_dir_all(root);
        }
    }
}

/// An empty directory on the disk where programs are built.
fn directory(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = root.join(format!("failover-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}
