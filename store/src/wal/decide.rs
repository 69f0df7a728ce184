//! What becomes of each operation: decided in the order they came, before anything is written.

use trefoil_core::storage::{Completion, OwnerId};

use super::frame::{Kind, PAYLOAD_MAX, Position};
use super::index::Index;
use super::queue::{Ask, Job, Jobs};
use crate::Plant;
use crate::log::{SEALED, Verdict};
use crate::tables::LogState;

/// What one job comes to.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The log's number; of one that does not exist: any, and nothing is written.
    pub(crate) log: usize,
    /// The log did not exist: its name is written first.
    pub(crate) creates: bool,
    pub(crate) write: Option<Write>,
    pub(crate) answer: Answer,
}

/// What is written for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    pub(crate) sequence: u64,
    pub(crate) term: u64,
    pub(crate) owner: OwnerId,
    /// Where it was written.
    pub(crate) place: Position,
    /// A planted bug: it is acknowledged, and not written.
    pub(crate) lost: bool,
}

/// What is said of it when all that was written is durable.
#[derive(Debug)]
pub(crate) enum Answer {
    Said(Completion<Vec<u8>>),
    /// The records from `from` up to `until`.
    Read {
        from: u64,
        until: u64,
        bytes_max: u32,
    },
}

/// Fence and bounds, as they are told.
pub(crate) fn tail(state: LogState) -> Completion<Vec<u8>> {
    Completion::Tail {
        term: state.term,
        owner: state.owner,
        first: state.first,
        next: state.next,
    }
}

fn refusal(verdict: Verdict) -> Option<Completion<Vec<u8>>> {
    match verdict {
        Verdict::Granted => None,
        Verdict::Fenced { term } => Some(Completion::Fenced { term }),
        Verdict::Conflict { current } => Some(Completion::Conflict { current }),
    }
}

fn said(log: usize, completion: Completion<Vec<u8>>) -> Decision {
    Decision {
        log,
        creates: false,
        write: None,
        answer: Answer::Said(completion),
    }
}

/// Decides, and remembers it in the logs' `live` states.
#[derive(Debug)]
pub(crate) struct Judge {
    plant: Option<Plant>,
    appends: u64,
}

impl Judge {
    pub(crate) const fn new(plant: Option<Plant>) -> Self {
        Self { plant, appends: 0 }
    }

    pub(crate) fn decide(&mut self, index: &mut Index, jobs: &Jobs, job: &Job) -> Decision {
        let name = jobs.name(job);
        let found = index.find(name);
        let log = found.unwrap_or_default();
        let live = found.and_then(|found| index.log(found));
        let mut live = live.map(|log| log.live).unwrap_or_default();
        let sequence = match job.ask {
            Ask::Tail => return said(log, tail(live)),
            Ask::Read { from, bytes_max } => {
                return Decision {
                    answer: Answer::Read {
                        from: from.max(live.first),
                        until: live.next,
                        bytes_max,
                    },
                    ..said(log, Completion::Unknown)
                };
            }
            Ask::Move { sequence, place } => {
                return self.written_again(index, job, found, sequence, place);
            }
            // No place in a segment could point behind it; it is not written.
            Ask::Append { .. } if jobs.payload(job).len() > PAYLOAD_MAX => {
                return said(log, Completion::Unknown);
            }
            Ask::Append { expected } => {
                let verdict = live.append(job.term, job.owner, expected);
                let unfenced = self.plant == Some(Plant::NoFence);
                if let Some(refusal) = refusal(verdict).filter(|_| !unfenced) {
                    return said(log, refusal);
                }
                live.next += 1;
                live.next - 1
            }
            Ask::Fence => {
                if let Some(refusal) = refusal(live.fence(job.term, job.owner)) {
                    return said(log, refusal);
                }
                live.next
            }
            Ask::Trim { before } => {
                if let Some(refusal) = refusal(live.admits(job.term, job.owner)) {
                    return said(log, refusal);
                }
                live.first = before.clamp(live.first, live.next);
                live.first
            }
            Ask::Seal => {
                if let Some(refusal) = refusal(live.admits(job.term, job.owner)) {
                    return said(log, refusal);
                }
                live.term = SEALED;
                live.next
            }
        };
        self.granted(index, name, found, live, job, sequence)
    }

    /// What is written and said of an operation that was granted, after which the log is `live`.
    fn granted(
        &mut self,
        index: &mut Index,
        name: &[u8],
        found: Option<usize>,
        mut live: LogState,
        job: &Job,
        sequence: u64,
    ) -> Decision {
        let (kind, completion) = match job.ask {
            Ask::Fence => (Kind::Fence, tail(live)),
            Ask::Trim { .. } => (Kind::Trim, Completion::Durable { sequence }),
            Ask::Seal => (Kind::Seal, Completion::Durable { sequence }),
            Ask::Append { expected } => {
                // Without a fence, everybody is told what it hoped for.
                let unfenced = self.plant == Some(Plant::NoFence);
                let told = if unfenced { expected } else { sequence };
                (Kind::Append, Completion::Durable { sequence: told })
            }
            Ask::Tail | Ask::Read { .. } | Ask::Move { .. } => {
                return said(0, Completion::Unknown);
            }
        };
        let log = found.unwrap_or_else(|| index.create(name));
        live.number = log as u64;
        if let Some(log) = index.log_mut(log) {
            log.live = live;
        }
        Decision {
            log,
            creates: found.is_none(),
            write: Some(Write {
                kind,
                sequence,
                term: job.term,
                owner: job.owner,
                place: Position::NOWHERE,
                lost: kind == Kind::Append && self.loses(),
            }),
            answer: Answer::Said(completion),
        }
    }

    /// Whether this append is the one that the planted bug loses.
    fn loses(&mut self) -> bool {
        self.appends += 1;
        self.plant == Some(Plant::LostAppend) && self.appends.is_multiple_of(40)
    }

    /// A record is written again unless it was forgotten, or moved, meanwhile.
    fn written_again(
        &self,
        index: &Index,
        job: &Job,
        found: Option<usize>,
        sequence: u64,
        place: Position,
    ) -> Decision {
        let done = Completion::Durable { sequence };
        let Some(log) = found else {
            return said(0, done);
        };
        let is_there = index.place_of(log, sequence) == Some(place);
        let is_kept = index.log(log).is_some_and(|log| log.live.first <= sequence);
        let write = (is_there && is_kept).then_some(Write {
            kind: Kind::Move,
            sequence,
            term: job.term,
            owner: job.owner,
            place: Position::NOWHERE,
            lost: false,
        });
        Decision {
            write,
            ..said(log, done)
        }
    }
}

/// What was decided is durable: everybody may see it.
pub(crate) fn publish(index: &mut Index, decision: &Decision) {
    let Some(write) = decision.write else {
        return;
    };
    match write.kind {
        Kind::Append | Kind::Move => index.place(decision.log, write.sequence, write.place),
        Kind::Trim => index.trim(decision.log, write.sequence),
        Kind::Fence => {
            if let Some(log) = index.log_mut(decision.log) {
                log.state.term = write.term;
                log.state.owner = write.owner;
            }
        }
        Kind::Seal => {
            if let Some(log) = index.log_mut(decision.log) {
                log.state.term = SEALED;
            }
        }
        Kind::Create | Kind::Begin | Kind::Mark | Kind::End => {}
    }
}
