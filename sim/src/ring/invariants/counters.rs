//! Answers show one history, and a Get in a settled world shows all of it.
//!
//! - The state in the answer to an Apply is that of the journal right after its record: acknowledged
//!   mutations of an actor are linearised by its journal.
//! - The state in the answer to a Get is that of some point of the journal. During faults it may be
//!   an old one: an owner that is losing its log may show what was durable before.
//! - When the world has settled, a Get at any node shows the whole journal, and so every acknowledged
//!   Apply, each once.
//!
//! Broken by the same bugs as [`journal`](super::journal), and on its own by a lost or doubled update.

use std::collections::BTreeMap;

use super::journal::Journal;
use super::{Invariant, Verdict};
use crate::moment::Moment;
use crate::ring::counter::State;
use crate::ring::ledger::{Fate, Ledger};

/// Compares what clients were shown with the journals.
pub fn check(
    journals: &BTreeMap<u64, Journal>,
    ledger: &Ledger,
    at: Moment,
    verdicts: &mut Vec<Verdict>,
) {
    let mut say = |at, text| {
        verdicts.push(Verdict {
            at,
            invariant: Invariant::Counters,
            text,
        })
    };
    for (request_id, entry) in ledger.entries() {
        let (Fate::Acknowledged(Some(state)), Some(journal)) =
            (entry.fate, journals.get(&entry.id))
        else {
            continue;
        };
        let Some(place) = journal
            .requests
            .iter()
            .position(|known| *known == request_id)
        else {
            continue;
        };
        if journal.states[place + 1] != state {
            say(
                at,
                format!(
                    "request {request_id:032x} was answered by {state:?}, its record made {:?}",
                    journal.states[place + 1]
                ),
            );
        }
    }
    let unwritten = [State::default()];
    for seen in ledger.seen() {
        let states = journals
            .get(&seen.id)
            .map_or(&unwritten[..], |journal| &journal.states);
        let last = states.last().copied().unwrap_or_default();
        match seen.state {
            Some(state) if seen.settled && state != last => {
                say(
                    seen.at,
                    format!(
                        "{:016x} at node {} is settled at {state:?}, its journal at {last:?}",
                        seen.id, seen.node
                    ),
                );
            }
            Some(state) if states.get(state.count as usize) != Some(&state) => {
                say(
                    seen.at,
                    format!(
                        "{:016x} at node {} showed {state:?}, which never was",
                        seen.id, seen.node
                    ),
                );
            }
            None if seen.settled && last.count > 0 => {
                say(
                    seen.at,
                    format!(
                        "{:016x} at node {} is not found, its journal is at {last:?}",
                        seen.id, seen.node
                    ),
                );
            }
            Some(_) | None => {}
        }
    }
}
