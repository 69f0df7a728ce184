//! The write-ahead log beside a model that is a map of lists: whatever is asked for, whenever it is reopened.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use trefoil_core::storage::{Completion, Op, OwnerId, Records};
use trefoil_store::{Session, Store, StoreOptions};

use crate::crash::Tables;
use crate::disk::{Disk, Fault};

#[derive(Clone, Debug)]
enum Step {
    Fence {
        log: u8,
        term: u64,
        owner: u64,
    },
    Append {
        log: u8,
        term: u64,
        owner: u64,
        ahead: u64,
        bytes: usize,
    },
    Trim {
        log: u8,
        term: u64,
        owner: u64,
        before: u64,
    },
    Seal {
        log: u8,
        term: u64,
        owner: u64,
    },
    Read {
        log: u8,
        from: u64,
        bytes_max: u32,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..3_u8, 0..4_u64, 0..2_u64);
    prop_oneof![
        3 => who().prop_map(|(log, term, owner)| Step::Fence { log, term, owner }),
        20 => (who(), 0..20_u64, 0..300_usize).prop_map(|((log, term, owner), far, bytes)| {
            Step::Append { log, term, owner, ahead: far.saturating_sub(18), bytes }
        }),
        2 => (who(), 0..100_u64).prop_map(|((log, term, owner), before)| {
            Step::Trim { log, term, owner, before }
        }),
        1 => who().prop_map(|(log, term, owner)| Step::Seal { log, term: 9 * term, owner }),
        4 => (0..4_u8, 0..50_u64, 0..2_000_u32).prop_map(|(log, from, bytes_max)| {
            Step::Read { log, from, bytes_max }
        }),
        1 => Just(Step::Reopen),
    ]
}

/// A log, as simply as it can be said.
#[derive(Clone, Debug, Default)]
struct Model {
    term: u64,
    owner: u64,
    first: u64,
    records: Vec<Vec<u8>>,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn tail(&self) -> Completion<Vec<u8>> {
        Completion::Tail {
            term: self.term,
            owner: OwnerId(self.owner),
            first: self.first,
            next: self.next(),
        }
    }

    fn refuses(&self, term: u64, owner: u64) -> Option<Completion<Vec<u8>>> {
        let owns = self.term == term && self.owner == owner && term != u64::MAX;
        (!owns).then_some(Completion::Fenced { term: self.term })
    }

    fn fence(&mut self, term: u64, owner: u64) -> Completion<Vec<u8>> {
        let again = self.refuses(term, owner).is_none();
        if self.term >= term && !again {
            return Completion::Fenced { term: self.term };
        }
        (self.term, self.owner) = (term, owner);
        self.tail()
    }

    fn read(&self, from: u64, bytes_max: u32) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for (sequence, record) in (self.first..).zip(&self.records) {
            if sequence < from {
                continue;
            }
            if !found.is_empty() && bytes + record.len() > bytes_max as usize {
                break;
            }
            bytes += 12 + record.len();
            found.push((sequence, record.clone()));
        }
        found
    }
}

fn store(tables: &Tables, disk: &Disk) -> Store {
    let options = StoreOptions {
        segment_bytes_max: 4 << 10,
        ..StoreOptions::default()
    };
    Store::with_layers(tables.clone(), Arc::new(disk.clone()), options).unwrap()
}

fn read(session: &mut Session, log: &[u8], from: u64, bytes_max: u32) -> Vec<(u64, Vec<u8>)> {
    let outcome = session.run(Op::Read {
        log,
        from,
        bytes_max,
    });
    let Completion::Records(run) = outcome else {
        panic!("{outcome:?}");
    };
    let records = Records(&run);
    records
        .iter()
        .map(|(at, bytes)| (at, bytes.to_vec()))
        .collect()
}

/// Does one step on both sides.
fn take(step: &Step, session: &mut Session, logs: &mut BTreeMap<u8, Model>, salt: usize) {
    let owned = OwnerId;
    match *step {
        Step::Fence { log, term, owner } => {
            let expected = logs.entry(log).or_default().fence(term, owner);
            let (log, owner) = (&[log][..], owned(owner));
            assert_eq!(session.run(Op::Fence { log, term, owner }), expected);
        }
        Step::Append {
            log,
            term,
            owner,
            ahead,
            bytes,
        } => {
            let model = logs.entry(log).or_default();
            let payload = vec![salt as u8; bytes];
            let sequence = model.next() + ahead;
            let expected = match (model.refuses(term, owner), ahead) {
                (Some(refused), _) => refused,
                (None, 0) => {
                    model.records.push(payload.clone());
                    Completion::Durable { sequence }
                }
                (None, _) => Completion::Conflict {
                    current: model.next(),
                },
            };
            let outcome = session.run(Op::Append {
                log: &[log],
                term,
                owner: owned(owner),
                expected: sequence,
                payload: &payload,
            });
            assert_eq!(outcome, expected);
        }
        Step::Trim {
            log,
            term,
            owner,
            before,
        } => {
            let model = logs.entry(log).or_default();
            let expected = model.refuses(term, owner).unwrap_or_else(|| {
                let before = before.clamp(model.first, model.next());
                model.records.drain(..(before - model.first) as usize);
                model.first = before;
                Completion::Durable { sequence: before }
            });
            let outcome = session.run(Op::Trim {
                log: &[log],
                term,
                owner: owned(owner),
                before,
            });
            assert_eq!(outcome, expected);
        }
        Step::Seal { log, term, owner } => {
            let model = logs.entry(log).or_default();
            let expected = model.refuses(term, owner).unwrap_or_else(|| {
                model.term = u64::MAX;
                Completion::Durable {
                    sequence: model.next(),
                }
            });
            let (log, owner) = (&[log][..], owned(owner));
            assert_eq!(session.run(Op::Seal { log, term, owner }), expected);
        }
        Step::Read {
            log,
            from,
            bytes_max,
        } => {
            let expected = logs.entry(log).or_default().read(from, bytes_max);
            assert_eq!(read(session, &[log], from, bytes_max), expected);
        }
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_a_map_of_lists_does(steps in prop::collection::vec(step(), 1..400)) {
        let tables = Tables::new(Vec::new(), u64::MAX, io::ErrorKind::Other, false);
        let disk = Disk::new(Fault::NONE);
        let mut logs = BTreeMap::new();
        let mut opened = store(&tables, &disk);
        let mut session = opened.session("a");
        for (salt, step) in steps.iter().enumerate() {
            take(step, &mut session, &mut logs, salt);
            if matches!(step, Step::Reopen) {
                drop((session, opened));
                opened = store(&tables, &disk);
                session = opened.session("a");
            }
        }
        drop((session, opened));
        let opened = store(&tables, &disk);
        let mut session = opened.session("a");
        for (log, model) in &logs {
            prop_assert_eq!(session.run(Op::Tail { log: &[*log] }), model.tail());
            prop_assert_eq!(read(&mut session, &[*log], 0, u32::MAX), model.read(0, u32::MAX));
        }
    }
}
