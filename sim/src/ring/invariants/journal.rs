//! A journal never has two writers, and nothing that was acknowledged is lost.
//!
//! Looked at when a run is over, in the logs themselves, trimmed records included, with a reader of
//! records of its own:
//! - each record was written by who held the fence at that moment; terms never fall; one term has one
//!   owner, and one owner is one process;
//! - each request that a client was told of is in the journal of its actor;
//! - no request is there twice, however often it was sent;
//! - a snapshot holds what the records before it add up to.
//!
//! Planted against it: `no-fence`, `lying-store`, `answer-before-durable`, `forget-fence`.

use std::collections::BTreeMap;

use super::{Invariant, Verdict};
use crate::disk::{Log, Store};
use crate::moment::Moment;
use crate::net::Process;
use crate::ring::counter::{self, State};
use crate::ring::ledger::{Fate, Ledger};

/// One actor's journal, as it was read.
#[derive(Debug, Default)]
pub struct Journal {
    /// The state before the first request, and after each.
    pub states: Vec<State>,
    /// Requests, in order; zero for those without an id.
    pub requests: Vec<u128>,
}

enum Record<'a> {
    Mutations { request_id: u128, request: &'a [u8] },
    Snapshot { state: &'a [u8] },
}

fn parse(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, body) = bytes.split_first_chunk::<2>()?;
    match *head {
        [1, 1] => {
            let (id, request) = body.split_first_chunk::<16>()?;
            Some(Record::Mutations {
                request_id: u128::from_le_bytes(*id),
                request,
            })
        }
        [1, 2] => {
            let (count, rest) = body.split_first_chunk::<2>()?;
            let (_, state) = rest.split_at_checked(16 * usize::from(u16::from_le_bytes(*count)))?;
            Some(Record::Snapshot { state })
        }
        _ => None,
    }
}

/// The actor whose log has this name.
fn id_of(name: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(
        name.strip_prefix(b"a")?.try_into().ok()?,
    ))
}

/// Reads the journals of all actors, and says what is wrong with them.
pub fn read(store: &Store, at: Moment, verdicts: &mut Vec<Verdict>) -> BTreeMap<u64, Journal> {
    let mut journals = BTreeMap::new();
    let mut owners: BTreeMap<u64, Process> = BTreeMap::new();
    for (name, log) in store.logs() {
        let Some(id) = id_of(name) else { continue };
        let mut say = |text: String| {
            verdicts.push(Verdict {
                at,
                invariant: Invariant::Journal,
                text: format!("journal {id:016x}: {text}"),
            });
        };
        writers(log, &mut owners, &mut say);
        journals.insert(id, replay(log, &mut say));
    }
    journals
}

fn writers(log: &Log, owners: &mut BTreeMap<u64, Process>, say: &mut impl FnMut(String)) {
    let mut last = None;
    for (number, record) in log.records().iter().enumerate() {
        let (term, owner) = (record.term, record.owner);
        if record.fence != (term, owner) {
            say(format!(
                "record {number} of term {term} was written under the fence of term {}",
                record.fence.0
            ));
        }
        let writer = *owners.entry(owner.0).or_insert(record.writer);
        if writer != record.writer {
            say(format!(
                "record {number}: {writer:?} and {:?} are one owner",
                record.writer
            ));
        }
        if let Some((last_term, last_owner)) = last
            && (term < last_term || (term == last_term && owner != last_owner))
        {
            say(format!(
                "record {number}: term {term} of {owner:?} after {last_term} of {last_owner:?}"
            ));
        }
        last = Some((term, owner));
    }
}

fn replay(log: &Log, say: &mut impl FnMut(String)) -> Journal {
    let mut state = State::default();
    let mut journal = Journal {
        states: vec![state],
        requests: Vec::new(),
    };
    for (number, record) in log.records().iter().enumerate() {
        match parse(&record.payload) {
            Some(Record::Mutations {
                request_id,
                request,
            }) => {
                let Some(nonces) = counter::nonces(request) else {
                    say(format!(
                        "record {number} holds a request that cannot be read"
                    ));
                    continue;
                };
                state = nonces.into_iter().fold(state, State::after);
                if request_id != 0 && journal.requests.contains(&request_id) {
                    say(format!(
                        "request {request_id:032x} was applied again by record {number}"
                    ));
                }
                journal.requests.push(request_id);
                journal.states.push(state);
            }
            Some(Record::Snapshot { state: bytes }) => {
                if State::from_bytes(bytes) != Some(state) {
                    say(format!(
                        "snapshot {number} differs from the {} requests before it",
                        state.count
                    ));
                }
            }
            None => say(format!("record {number} cannot be read")),
        }
    }
    journal
}

/// Compares the journals with what the clients were told.
pub fn compare(
    journals: &BTreeMap<u64, Journal>,
    ledger: &Ledger,
    at: Moment,
    verdicts: &mut Vec<Verdict>,
) {
    for (request_id, entry) in ledger.entries() {
        let there = journals
            .get(&entry.id)
            .is_some_and(|journal| journal.requests.contains(&request_id));
        if entry.fate != Fate::Open && !there {
            let text = format!(
                "request {request_id:032x} of {:016x} was acknowledged and is lost",
                entry.id
            );
            verdicts.push(Verdict {
                at,
                invariant: Invariant::Journal,
                text,
            });
        }
    }
}
