//! Servers that say anything, in any order.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::world::{CHANNEL, Heard, World, config, pushed};
use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::channels::golden::encoded;
use crate::channels::messages::{ConsumeResponse, Message, ProduceResponse, Spoken};
use crate::channels::open::Policy;
use crate::method::streaming;
use crate::status::Cause;
use crate::testing::Opened;
use crate::time::Duration;

/// What may happen next. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Push(i64, i64, i64),
    Said(usize, Word),
    Bytes(usize, Vec<u8>),
    Ended(usize, u8, u8),
    Writable(usize),
    Produce(u64, usize),
    Open(u64, bool),
    Close(u64),
    Acknowledge(u64, u64),
    Full(bool),
    Pass(u64),
    Sleep,
}

#[derive(Clone, Debug)]
enum Word {
    Created,
    Result(i64),
    Refused(i64, usize),
    Record(u64),
    Closed,
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        4 => Just(Word::Created),
        4 => (-1_i64..8).prop_map(Word::Result),
        2 => (-1_i64..8, 0_usize..11).prop_map(|(id, code)| Word::Refused(id, code)),
        3 => (0_u64..30).prop_map(Word::Record),
        1 => Just(Word::Closed),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_i64..3, 0_i64..6, 0_i64..5).prop_map(|(g, l, t)| Step::Push(g, l, t)),
        12 => (any::<usize>(), word()).prop_map(|(at, word)| Step::Said(at, word)),
        1 => (any::<usize>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(at, bytes)| Step::Bytes(at, bytes)),
        4 => (any::<usize>(), 0_u8..17, 0_u8..12).prop_map(|(at, c, d)| Step::Ended(at, c, d)),
        1 => any::<usize>().prop_map(Step::Writable),
        6 => (0_u64..4, 0_usize..600).prop_map(|(key, len)| Step::Produce(key, len)),
        3 => (0_u64..4, any::<bool>()).prop_map(|(key, writes)| Step::Open(key, writes)),
        1 => (0_u64..4).prop_map(Step::Close),
        2 => (0_u64..4, 0_u64..6).prop_map(|(key, n)| Step::Acknowledge(key, n)),
        1 => any::<bool>().prop_map(Step::Full),
        2 => (0_u64..3_000).prop_map(Step::Pass),
        4 => Just(Step::Sleep),
    ]
}

/// The world with the streams that are open in it.
struct Chaos {
    world: World,
    streams: Vec<Opened>,
    accepted: u64,
    answered: u64,
}

impl Chaos {
    fn new(dialect: Dialect) -> Self {
        let mut world = World::with(ClientConfig {
            dialect,
            sessions_max: 3,
            records_max: 5,
            record_bytes_max: 1_000,
            unacknowledged_records_max: 3,
            ..config()
        });
        world.command(ClientCommand::Watch).unwrap();
        Self {
            world,
            streams: Vec::new(),
            accepted: 0,
            answered: 0,
        }
    }

    fn stream(&mut self, at: usize) -> Option<Opened> {
        self.streams.extend(self.world.io.fake.take_opened());
        let ended = &self.world.io.fake.ended;
        self.streams
            .retain(|open| !ended.iter().any(|(stream, _)| *stream == open.stream));
        let count = self.streams.len();
        (count > 0).then(|| self.streams[at % count].clone())
    }

    fn say(&mut self, to: &Opened, word: &Word) {
        if to.method == streaming::DISCOVER {
            return;
        }
        let dialect = self.world.dialect;
        let frame = if to.method == streaming::PRODUCE {
            let answer = match *word {
                Word::Created | Word::Record(_) => ProduceResponse::Create {
                    producer_id: 0,
                    wal_name: "",
                },
                Word::Result(request_id) => ProduceResponse::Result {
                    request_id,
                    id: b"z",
                },
                Word::Refused(request_id, code) => ProduceResponse::Error {
                    request_id,
                    failure: Failure::new(ErrorCode::ALL[code], "why"),
                },
                Word::Closed => ProduceResponse::Close,
            };
            encoded(&answer.said(dialect))
        } else {
            let tick = match *word {
                Word::Record(tick) => tick,
                Word::Created | Word::Result(_) | Word::Refused(..) | Word::Closed => 0,
            };
            let text = crate::channels::messages::ids::base36(tick);
            let answer = match word {
                Word::Created | Word::Result(_) | Word::Refused(..) => {
                    ConsumeResponse::Create { wal_name: "" }
                }
                Word::Record(_) => ConsumeResponse::Consume {
                    id: b"i",
                    message: Message {
                        payload: b"p",
                        properties: [("_tt", text.as_bytes())],
                    },
                },
                Word::Closed => ConsumeResponse::Close,
            };
            encoded(&answer.said(dialect))
        };
        self.world.event(to, StreamIn::Frame(&frame));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(global, local, term) => {
                let watch = self
                    .stream(0)
                    .filter(|first| first.method == streaming::DISCOVER);
                if let Some(watch) = watch {
                    let frame = pushed((global, local), &[(CHANNEL, term, 7, "n7:1")]);
                    self.world.event(&watch, StreamIn::Frame(&frame));
                }
            }
            Step::Said(at, ref word) => {
                if let Some(to) = self.stream(at) {
                    self.say(&to, word);
                }
            }
            Step::Bytes(at, ref bytes) => {
                if let Some(to) = self.stream(at) {
                    self.world.event(&to, StreamIn::Frame(bytes));
                }
            }
            Step::Ended(at, code, details) => {
                if let Some(to) = self.stream(at) {
                    self.streams.retain(|open| open.stream != to.stream);
                    self.end(&to, code, details);
                }
            }
            Step::Writable(at) => {
                if let Some(to) = self.stream(at) {
                    self.world.event(&to, StreamIn::Writable);
                }
            }
            Step::Produce(key, len) => {
                let taken = self.world.produce(key, &std::vec![0; len]);
                self.accepted += u64::from(taken.is_ok());
            }
            Step::Open(key, true) => {
                let _ = self.world.open_producer(key);
            }
            Step::Open(key, false) => {
                let _ = self.world.open_consumer(key, Policy::Latest, &[]);
            }
            Step::Close(key) => {
                let _ = self.world.command(ClientCommand::CloseProducer { key });
                let _ = self.world.command(ClientCommand::CloseConsumer { key });
            }
            Step::Acknowledge(key, delivery) => {
                let command = ClientCommand::Acknowledge { key, delivery };
                let _ = self.world.command(command);
            }
            Step::Full(full) => self.world.io.fake.full = full,
            Step::Pass(millis) => self.world.pass(Duration::from_millis(millis)),
            Step::Sleep if self.world.client.poll_timeout().is_some() => {
                self.world.sleep();
            }
            Step::Sleep => {}
        }
        for heard in self.world.take_heard() {
            if let Heard::Produced(..) | Heard::Failed(..) = heard {
                self.answered += 1;
            }
        }
    }

    fn end(&mut self, to: &Opened, code: u8, details: u8) {
        let code = Code::from_wire(i32::from(code));
        let status = Status::new(code, "").caused_by(Cause::Peer);
        match ErrorCode::ALL.get(usize::from(details)) {
            Some(failure) => self.world.fail(to, *failure),
            None => self.world.event(to, StreamIn::Ended(status)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2 * ProptestConfig::default().cases))]

    /// Nothing panics; due times are exact, which the world asserts; nothing is open beyond the limits; and
    /// every record that was taken is answered once, at the latest by a stop.
    #[test]
    fn better_14_any_order_of_anything_is_survived(
        steps in prop::collection::vec(step(), 0..120),
        august: bool,
    ) {
        let dialect = if august { Dialect::V2024_08 } else { Dialect::Seed };
        let mut chaos = Chaos::new(dialect);
        for step in &steps {
            chaos.step(step);
            prop_assert!(chaos.world.client.open_count() <= 3);
            prop_assert!(chaos.accepted - chaos.answered <= 15);
            prop_assert!(chaos.world.io.held.values().all(|held| *held >= 0));
        }
        chaos.world.command(ClientCommand::Stop).unwrap();
        chaos.step(&Step::Pass(60_000));
        prop_assert_eq!(chaos.answered, chaos.accepted);
        prop_assert_eq!(chaos.world.client.open_count(), 0);
        prop_assert_eq!(chaos.world.client.poll_timeout(), None);
    }

    /// However quickly servers refuse and coordinators move a channel, attempts are apart.
    #[test]
    fn every_retry_waits(codes in prop::collection::vec(0_usize..11, 1..30), moves: bool) {
        let (mut world, watch) = World::watching(config());
        world.open_producer(1).unwrap();
        let mut tried_at = world.now;
        for (local, code) in (2..).zip(codes) {
            let stream = world.opened(streaming::PRODUCE);
            world.fail(&stream, ErrorCode::ALL[code]);
            if moves {
                world.push(&watch, (1, local), &[(CHANNEL, local + 1, 8, "n8:1")]);
            }
            world.opened_none();
            world.sleep();
            prop_assert!(world.now.since(tried_at) >= Duration::from_millis(90));
            tried_at = world.now;
        }
    }
}
