//! The clients: each has one errand at a time, and tries again at another node until it is told.

use std::time::Duration;

use trefoil_core::status::Code;

use super::counter;
use super::ledger::{Entry, Fate, Ledger, Seen};
use super::subject::Answer;
use crate::dice::{Dice, Zipf};
use crate::moment::Moment;

/// What a client wants.
#[derive(Clone, Copy, Debug)]
enum Want {
    Apply {
        request_id: u128,
        id: u64,
        nonce: u64,
        refused: bool,
    },
    Get {
        id: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Errand {
    want: Want,
    call: u64,
    tries: u32,
    node: usize,
    settled: bool,
}

/// What is to be sent for an errand.
#[derive(Debug)]
pub struct Sending {
    /// The call's number.
    pub call: u64,
    /// Where to.
    pub node: usize,
    /// The encoded request.
    pub request: Vec<u8>,
    /// The request id of an Apply; a Get has none.
    pub request_id: Option<u128>,
}

/// What a client does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The answer was for nobody.
    Nothing,
    /// It tries again after a while.
    Again(usize, Duration),
    /// Its errand is over.
    Over(usize),
}

/// Tries of one errand.
const TRIES_MAX: u32 = 8;

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    errands: Vec<Option<Errand>>,
    ids: Vec<u64>,
    zipf: Zipf,
    calls: u64,
    dice: Dice,
    /// The last reason an errand of a settled world failed for.
    pub last_failure: Option<String>,
}

impl Clients {
    /// `count` clients that care for `ids`, the first of them most.
    #[must_use]
    pub fn new(count: usize, ids: &[u64], seed: u64) -> Self {
        Self {
            errands: vec![None; count],
            ids: ids.to_vec(),
            zipf: Zipf::new(ids.len()),
            calls: 0,
            dice: Dice::new(seed, "clients"),
            last_failure: None,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.errands.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errands.is_empty()
    }

    /// A client gets a new errand and sends it to one of `nodes`.
    pub fn begin(
        &mut self,
        client: usize,
        at: Moment,
        nodes: &[usize],
        ledger: &mut Ledger,
    ) -> Option<Sending> {
        if self.errands[client].is_some() {
            return None;
        }
        let id = self.ids[self.zipf.draw(&mut self.dice)];
        let want = if self.dice.chance(700_000) {
            let (nonce, refused) = (self.dice.draw(), self.dice.chance(60_000));
            let request_id = u128::from(self.dice.draw()) << 64 | u128::from(self.dice.draw() | 1);
            ledger.open(
                request_id,
                Entry {
                    id,
                    nonce,
                    fate: Fate::Open,
                    asked: at,
                },
            );
            Want::Apply {
                request_id,
                id,
                nonce,
                refused,
            }
        } else {
            Want::Get { id }
        };
        self.errands[client] = Some(Errand {
            want,
            call: 0,
            tries: 0,
            node: 0,
            settled: false,
        });
        self.send(client, nodes)
    }

    /// A further client asks one node for the state of `id` in a settled world.
    pub fn read_settled(&mut self, id: u64, node: usize) -> Option<Sending> {
        self.errands.push(Some(Errand {
            want: Want::Get { id },
            call: 0,
            tries: 0,
            node,
            settled: true,
        }));
        self.send(self.errands.len() - 1, &[node])
    }

    /// A client sends its errand, for the first time or again.
    pub fn send(&mut self, client: usize, nodes: &[usize]) -> Option<Sending> {
        let errand = self.errands[client].as_mut()?;
        if nodes.is_empty() {
            self.errands[client] = None;
            return None;
        }
        self.calls += 1;
        errand.call = self.calls;
        errand.tries += 1;
        if !errand.settled {
            errand.node = nodes[self.dice.index(nodes.len())];
        }
        let (request, request_id) = match errand.want {
            Want::Apply {
                request_id,
                id,
                nonce,
                refused,
            } => (counter::apply_request(id, nonce, refused), Some(request_id)),
            Want::Get { id } => (counter::get_request(id), None),
        };
        Some(Sending {
            call: self.calls,
            node: errand.node,
            request,
            request_id,
        })
    }

    /// The client of a call that nobody has answered yet.
    #[must_use]
    pub fn waiting(&self, call: u64) -> Option<usize> {
        self.errands
            .iter()
            .position(|errand| errand.is_some_and(|errand| errand.call == call))
    }

    /// Errands of a settled world that are not done.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(u64, usize)> {
        let errands = self
            .errands
            .iter()
            .flatten()
            .filter(|errand| errand.settled);
        errands
            .map(|errand| match errand.want {
                Want::Apply { id, .. } | Want::Get { id } => (id, errand.node),
            })
            .collect()
    }

    /// An answer came, or the client's patience is at an end.
    pub fn answered(&mut self, at: Moment, answer: &Answer, ledger: &mut Ledger) -> Next {
        let Some(client) = self.waiting(answer.call) else {
            return Next::Nothing;
        };
        let Some(errand) = self.errands[client] else {
            return Next::Nothing;
        };
        let done = match (&answer.result, errand.want) {
            (Ok(reply), Want::Apply { request_id, .. }) => {
                ledger.acknowledge(request_id, counter::applied_state(reply));
                true
            }
            (Ok(reply), Want::Get { id }) => {
                let state = counter::got_state(reply);
                ledger.saw(Seen {
                    id,
                    state,
                    at,
                    settled: errand.settled,
                    node: errand.node,
                });
                true
            }
            // It was applied before, and its answer is no longer held.
            (Err((Code::AlreadyExists, _)), Want::Apply { request_id, .. }) => {
                ledger.acknowledge(request_id, None);
                true
            }
            (Err((Code::NotFound, _)), Want::Get { id }) => {
                ledger.saw(Seen {
                    id,
                    state: None,
                    at,
                    settled: errand.settled,
                    node: errand.node,
                });
                true
            }
            (Err((code, message)), _) => {
                if errand.settled {
                    self.last_failure = Some(format!("{code:?} {message}"));
                }
                false
            }
        };
        if done || errand.tries >= TRIES_MAX {
            if done || !errand.settled {
                self.errands[client] = None;
            }
            return Next::Over(client);
        }
        Next::Again(
            client,
            Duration::from_millis(20) + self.dice.tail(Duration::from_millis(150)),
        )
    }
}
