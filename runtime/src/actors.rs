//! Where the users' code runs: on the node's own thread, or on threads beside it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use trefoil_core::ring::actor::{ActorKind, Job, Outcome, Output, Ran, Stage};
use trefoil_core::ring::actors::Ticket;
use trefoil_core::ring::placement::hash::fmix64;

/// Where actors run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActorThreads {
    /// On the node's own thread, between two of its inputs: fastest, for code that computes a little
    /// and never waits.
    #[default]
    Inline,
    /// On so many threads beside it, each actor always on the same: for code that waits or computes
    /// much. Costs two hand-overs between threads a call.
    Beside(usize),
}

/// A stage whose actors may panic: one that does is forgotten, and its call fails.
pub(crate) struct Guarded<K: ActorKind> {
    stage: Stage<K>,
    output: Output,
}

impl<K: ActorKind> Guarded<K> {
    fn new(kind: K, seed: u64) -> Self {
        Self {
            stage: Stage::new(kind, seed),
            output: Output::default(),
        }
    }

    fn perform(&mut self, id: u64, job: Job<'_>, ran: &mut Ran) {
        let Self { stage, output } = self;
        // What a panic may have left half changed is the actor, and it is forgotten below.
        let result = catch_unwind(AssertUnwindSafe(|| {
            ran.keep(stage.perform(id, job, output))
        }));
        if result.is_err() {
            tracing::error!(
                id,
                "an actor panicked; it is forgotten and will be loaded anew"
            );
            // Its destructor may panic too, over the same half-changed state.
            let _ = catch_unwind(AssertUnwindSafe(|| stage.poison(id)));
            ran.keep(Outcome::Failed);
        }
    }
}

struct OwnedJob {
    ticket: Ticket,
    id: u64,
    kind: JobKind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum JobKind {
    LoadNew,
    Load,
    Replay,
    Apply,
    Get,
    Snapshot,
    Drop,
}

impl OwnedJob {
    fn new(ticket: Ticket, id: u64, job: Job<'_>) -> Self {
        let (kind, bytes) = match job {
            Job::Load { snapshot: None } => (JobKind::LoadNew, &[][..]),
            Job::Load {
                snapshot: Some(bytes),
            } => (JobKind::Load, bytes),
            Job::Replay { request } => (JobKind::Replay, request),
            Job::Apply { request } => (JobKind::Apply, request),
            Job::Get => (JobKind::Get, &[][..]),
            Job::Snapshot => (JobKind::Snapshot, &[][..]),
            Job::Drop => (JobKind::Drop, &[][..]),
        };
        Self {
            ticket,
            id,
            kind,
            bytes: bytes.to_vec(),
        }
    }

    fn job(&self) -> Job<'_> {
        match self.kind {
            JobKind::LoadNew => Job::Load { snapshot: None },
            JobKind::Load => Job::Load {
                snapshot: Some(&self.bytes),
            },
            JobKind::Replay => Job::Replay {
                request: &self.bytes,
            },
            JobKind::Apply => Job::Apply {
                request: &self.bytes,
            },
            JobKind::Get => Job::Get,
            JobKind::Snapshot => Job::Snapshot,
            JobKind::Drop => Job::Drop,
        }
    }
}

/// Runs jobs and hands back what came of them.
pub(crate) enum Performer<K: ActorKind> {
    Inline {
        guarded: Box<Guarded<K>>,
        done: VecDeque<(Ticket, Ran)>,
        spare: Vec<Ran>,
    },
    Beside {
        threads: Vec<Thread>,
        done: mpsc::UnboundedReceiver<(Ticket, Ran)>,
    },
}

pub(crate) struct Thread {
    jobs: std_mpsc::Sender<OwnedJob>,
    /// Kept so that the thread ends with the node: dropping the sender ends its loop.
    _handle: JoinHandle<()>,
}

impl<K: ActorKind> std::fmt::Debug for Performer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inline { .. } => "Performer::Inline",
            Self::Beside { .. } => "Performer::Beside",
        })
    }
}

impl<K: ActorKind + Clone + Send + 'static> Performer<K> {
    pub(crate) fn new(kind: K, threads: ActorThreads, seed: u64) -> std::io::Result<Self> {
        let ActorThreads::Beside(count) = threads else {
            let guarded = Box::new(Guarded::new(kind, seed));
            return Ok(Self::Inline {
                guarded,
                done: VecDeque::new(),
                spare: Vec::new(),
            });
        };
        let (tell, done) = mpsc::unbounded_channel();
        let threads = (0..count.max(1))
            .map(|number| {
                let (jobs, todo) = std_mpsc::channel::<OwnedJob>();
                let (kind, tell) = (kind.clone(), tell.clone());
                let work = move || {
                    let mut guarded = Guarded::new(kind, seed);
                    while let Ok(job) = todo.recv() {
                        let mut ran = Ran::default();
                        guarded.perform(job.id, job.job(), &mut ran);
                        if tell.send((job.ticket, ran)).is_err() {
                            return;
                        }
                    }
                };
                let handle = std::thread::Builder::new()
                    .name(format!("actors-{number}"))
                    .spawn(work)?;
                Ok(Thread {
                    jobs,
                    _handle: handle,
                })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self::Beside { threads, done })
    }

    /// Takes a job. Inline it is done when this returns.
    pub(crate) fn run(&mut self, ticket: Ticket, id: u64, job: Job<'_>) {
        match self {
            Self::Inline {
                guarded,
                done,
                spare,
            } => {
                let mut ran = spare.pop().unwrap_or_default();
                guarded.perform(id, job, &mut ran);
                done.push_back((ticket, ran));
            }
            Self::Beside { threads, .. } => {
                let at = (fmix64(id) % threads.len() as u64) as usize;
                // The thread ends only with this performer.
                let _ = threads[at].jobs.send(OwnedJob::new(ticket, id, job));
            }
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Ticket, Ran)> {
        match self {
            Self::Inline { done, .. } => done.pop_front().map_or(Poll::Pending, Poll::Ready),
            Self::Beside { done, .. } => match done.poll_recv(cx) {
                Poll::Ready(Some(ran)) => Poll::Ready(ran),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Takes buffers back for the next job.
    pub(crate) fn recycle(&mut self, ran: Ran) {
        if let Self::Inline { spare, .. } = self
            && spare.len() < 64
            && ran.capacity() < 1 << 20
        {
            spare.push(ran);
        }
    }
}
