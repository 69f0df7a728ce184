//! Streams of producers.
//!
//! A message is taken while fewer than so many, and fewer than so many bytes, of its stream are on their way;
//! otherwise it waits, and its credit with it, so that a peer that sends faster than the log writes is slowed
//! down by the transport. Answers that the stream has no room for count as on their way.

use alloc::collections::VecDeque;

use super::backlog::Backlog;
use super::channel::Asker;
use super::slab::Key;
use super::tags::Of;
use super::why::Why;
use super::{Lent, Worker};
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::channels::messages::{ProduceRequest, ProduceResponse, Spoken, ids};
use crate::channels::open::Open;
use crate::codes;
use crate::id::StreamId;
use crate::machine::{Full, Io};
use crate::status::Status;
use crate::stream::StreamIn;
use crate::wire;

/// How this node calls its logs, where the dialect asks for it.
pub(super) const WAL_NAME: &str = "trefoil";

/// What became of a message, still to be said.
#[derive(Clone, Copy, Debug)]
struct Answer {
    asker: Asker,
    result: Result<u64, Why>,
}

/// One stream of a producer.
#[derive(Debug, Default)]
pub(super) struct Producer {
    stream: Option<StreamId>,
    channel: u32,
    /// Messages taken and not answered, and their bytes.
    in_flight: u32,
    bytes: u64,
    backlog: Backlog,
    /// It is among those of its channel whose messages wait.
    lined_up: bool,
    unsent: VecDeque<Answer>,
    /// The first message, that it is open, has not been sent.
    owes_create: bool,
    /// Something was heard of it.
    heard: bool,
    half_closed: bool,
    /// Its channel is going.
    ending: Option<Why>,
}

impl Producer {
    /// Makes ready for who comes next. Memory stays.
    fn open(&mut self, stream: StreamId, channel: u32) {
        self.backlog.clear();
        self.unsent.clear();
        let backlog = core::mem::take(&mut self.backlog);
        let unsent = core::mem::take(&mut self.unsent);
        *self = Self {
            stream: Some(stream),
            channel,
            backlog,
            unsent,
            owes_create: true,
            ..Self::default()
        };
    }

    /// Sends what was held up. An error if there is no room.
    fn flush(&mut self, dialect: Dialect, io: &mut dyn Io) -> Result<(), Full> {
        let stream = self.stream.ok_or(Full)?;
        if self.owes_create {
            let create = ProduceResponse::Create {
                producer_id: 0,
                wal_name: WAL_NAME,
            };
            wire::send(io, stream, &create.said(dialect))?;
            self.owes_create = false;
        }
        while let Some(answer) = self.unsent.front().copied() {
            say(answer, dialect, stream, io)?;
            self.unsent.pop_front();
            self.answered(answer.asker);
        }
        Ok(())
    }

    fn answered(&mut self, asker: Asker) {
        self.in_flight -= 1;
        self.bytes -= u64::from(asker.bytes);
    }

    fn take(&mut self, asker: Asker) {
        self.in_flight += 1;
        self.bytes += u64::from(asker.bytes);
    }

    /// Whether nothing is under way.
    fn is_done(&self) -> bool {
        let idle = self.in_flight == 0 && self.backlog.is_empty() && !self.lined_up;
        idle && self.unsent.is_empty() && !self.owes_create
    }
}

fn say(answer: Answer, dialect: Dialect, stream: StreamId, io: &mut dyn Io) -> Result<(), Full> {
    let request_id = answer.asker.request_id;
    match answer.result {
        Ok(sequence) => {
            let id = ids::id(dialect, sequence);
            let response = ProduceResponse::Result {
                request_id,
                id: id.as_bytes(),
            };
            wire::send(io, stream, &response.said(dialect))
        }
        Err(why) => {
            let response = ProduceResponse::Error {
                request_id,
                failure: why.failure(),
            };
            wire::send(io, stream, &response.said(dialect))
        }
    }
}

impl Worker {
    pub(super) fn open_producer(&mut self, stream: StreamId, open: &Open<'_>, lent: &mut Lent<'_>) {
        let slot = match self.opens(open) {
            Ok(slot) => slot,
            Err(why) => return self.refuse(stream, why.failure(), lent),
        };
        let Some((key, producer)) = self.producers.take() else {
            return self.refuse(stream, Why::Busy.failure(), lent);
        };
        producer.open(stream, slot);
        lent.io.adopt(stream, Of::Producer(key).tag());
        // If there is no room yet, it is said that there is.
        let _ = producer.flush(self.config.dialect, lent.io);
        self.channels[slot as usize].producers.push(key);
    }

    pub(super) fn hear_producer(&mut self, key: Key, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        let slot = producer.channel;
        match event {
            StreamIn::Frame(frame) => self.produced(key, frame, lent),
            StreamIn::HalfClosed => {
                producer.half_closed = true;
                self.finish_producer(key, lent);
            }
            StreamIn::Writable => {
                let flushed = producer.flush(self.config.dialect, lent.io);
                self.go_on_producing(key);
                if flushed.is_ok() {
                    self.finish_producer(key, lent);
                }
                self.pump(slot, lent);
            }
            StreamIn::Ended(_) => self.producer_left(key, lent),
            StreamIn::Accepted { .. } | StreamIn::Header(_) => {}
        }
    }

    fn produced(&mut self, key: Key, frame: &[u8], lent: &mut Lent<'_>) {
        let dialect = self.config.dialect;
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        let request = if producer.heard {
            ProduceRequest::decode(dialect, frame)
                .map_err(|_| Failure::new(ErrorCode::InvalidArgument, codes::MALFORMED))
        } else {
            ProduceRequest::decode_first(dialect, frame)
        };
        producer.heard = true;
        let (request_id, message) = match request {
            Ok(ProduceRequest::Produce {
                request_id,
                message,
            }) => (request_id, message),
            // The end is when the peer says no more.
            Ok(ProduceRequest::Close) => return,
            Ok(ProduceRequest::Unknown) => {
                self.counters.skipped += 1;
                return;
            }
            Err(failure) => return self.cut_producer(key, failure, lent),
        };
        let asker = Asker {
            producer: key,
            request_id,
            // Frames have at most 256 MiB.
            bytes: frame.len() as u32,
        };
        let (slot, ending) = (producer.channel, producer.ending);
        let refusal = if frame.len() > self.config.message_bytes_max as usize {
            Some(Why::MessageTooLarge)
        } else if !producer.backlog.is_empty()
            && producer.backlog.bytes() as u64 + u64::from(asker.bytes)
                > self.config.backlog_bytes_max
        {
            Some(Why::Busy)
        } else {
            ending
        };
        if let Some(why) = refusal {
            producer.take(asker);
            return self.answer(asker, Err(why), lent);
        }
        if producer.backlog.is_empty() && self.may_take(key, asker.bytes) && self.may_append(slot) {
            if let Some(producer) = self.producers.get_mut(key) {
                producer.take(asker);
            }
            if self.append(slot, asker, &message, lent).is_ok() {
                return;
            }
            if let Some(producer) = self.producers.get_mut(key) {
                producer.answered(asker);
            }
            self.retry_later(slot, lent);
        }
        if let Some(producer) = self.producers.get_mut(key) {
            producer.backlog.push(frame);
            if let Some(stream) = producer.stream {
                lent.io.hold(stream, asker.bytes);
            }
        }
        self.go_on_producing(key);
    }

    /// Whether a message of so many bytes may be on its way besides those that are. One always may.
    fn may_take(&self, key: Key, bytes: u32) -> bool {
        self.producers.get(key).is_some_and(|producer| {
            let fits = producer.bytes + u64::from(bytes) <= self.config.in_flight_bytes_max;
            producer.in_flight == 0 || (producer.in_flight < self.config.in_flight_max && fits)
        })
    }

    /// Puts a producer that has something waiting, and room for it, in its channel's line.
    fn go_on_producing(&mut self, key: Key) {
        let may = self.may_take(key, 0);
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        if may && !producer.lined_up && !producer.backlog.is_empty() {
            producer.lined_up = true;
            let slot = producer.channel;
            self.line_up(slot, key);
        }
    }

    /// Takes the first message that waits. Says whether the producer stays in line.
    pub(super) fn take_waiting(&mut self, key: Key, lent: &mut Lent<'_>) -> Result<bool, Full> {
        let dialect = self.config.dialect;
        let Some(producer) = self.producers.get_mut(key) else {
            return Ok(false);
        };
        let (slot, stream) = (producer.channel, producer.stream);
        // Taken out for as long as it is looked at; that the producer is in line keeps it from being done.
        let mut backlog = core::mem::take(&mut producer.backlog);
        let (mut bytes, mut taken) = (0, Ok(()));
        let mut left = false;
        if let Some(frame) = backlog.first() {
            bytes = frame.len() as u32;
            if self.may_take(key, bytes) {
                taken = self.append_waiting(slot, key, frame, dialect, lent);
            } else {
                left = true;
            }
        }
        if taken.is_ok() && !left {
            backlog.pop();
            if let Some(stream) = stream {
                lent.io.release(stream, bytes);
            }
        }
        let more = !backlog.is_empty() && !left;
        if let Some(producer) = self.producers.get_mut(key) {
            producer.backlog = backlog;
            producer.lined_up = more;
        }
        taken?;
        if !more {
            self.finish_producer(key, lent);
        }
        Ok(more)
    }

    fn append_waiting(
        &mut self,
        slot: u32,
        key: Key,
        frame: &[u8],
        dialect: Dialect,
        lent: &mut Lent<'_>,
    ) -> Result<(), Full> {
        // Only messages wait, and they were decoded before.
        let Ok(ProduceRequest::Produce {
            request_id,
            message,
        }) = ProduceRequest::decode(dialect, frame)
        else {
            return Ok(());
        };
        let asker = Asker {
            producer: key,
            request_id,
            bytes: frame.len() as u32,
        };
        if let Some(producer) = self.producers.get_mut(key) {
            producer.take(asker);
        }
        let appended = self.append(slot, asker, &message, lent);
        if let (Err(Full), Some(producer)) = (appended, self.producers.get_mut(key)) {
            producer.answered(asker);
        }
        appended
    }

    /// Tells a producer what became of a message, now or when there is room.
    pub(super) fn answer(&mut self, asker: Asker, result: Result<u64, Why>, lent: &mut Lent<'_>) {
        self.counters.refused += u64::from(result.is_err());
        let key = asker.producer;
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        producer.unsent.push_back(Answer { asker, result });
        // What has no room is said later.
        let _ = producer.flush(self.config.dialect, lent.io);
        self.go_on_producing(key);
        self.finish_producer(key, lent);
    }

    /// The channel goes: what is under way is finished, and no more is taken.
    pub(super) fn end_producer(&mut self, key: Key, why: Why, lent: &mut Lent<'_>) {
        if let Some(producer) = self.producers.get_mut(key) {
            producer.ending = Some(why);
            self.finish_producer(key, lent);
        }
    }

    /// Refuses what waits, of all producers of a channel to which nothing is appended any more.
    pub(super) fn refuse_waiting(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let (dialect, why) = (self.config.dialect, self.channels[slot as usize].why);
        self.channels[slot as usize].queue.clear();
        let mut at = 0;
        while let Some(key) = self.channels[slot as usize].producers.get(at).copied() {
            while let Some(producer) = self.producers.get_mut(key) {
                producer.lined_up = false;
                let Some(frame) = producer.backlog.first() else {
                    break;
                };
                let bytes = frame.len() as u32;
                let request = ProduceRequest::decode(dialect, frame);
                let request_id = match request {
                    Ok(ProduceRequest::Produce { request_id, .. }) => request_id,
                    Ok(ProduceRequest::Close | ProduceRequest::Unknown) | Err(_) => 0,
                };
                let asker = Asker {
                    producer: key,
                    request_id,
                    bytes,
                };
                producer.backlog.pop();
                producer.take(asker);
                if let Some(stream) = producer.stream {
                    lent.io.release(stream, bytes);
                }
                self.answer(asker, Err(why), lent);
            }
            self.finish_producer(key, lent);
            let still = self.channels[slot as usize].producers.get(at) == Some(&key);
            at += usize::from(still);
        }
    }

    /// Ends a stream whose peer, or whose channel, is done when all has been answered.
    fn finish_producer(&mut self, key: Key, lent: &mut Lent<'_>) {
        let dialect = self.config.dialect;
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        let over = producer.half_closed || producer.ending.is_some();
        let (true, true, Some(stream)) = (over, producer.is_done(), producer.stream) else {
            return;
        };
        let close = ProduceResponse::Close;
        if wire::send(lent.io, stream, &close.said(dialect)).is_err() {
            return;
        }
        match producer.ending.filter(|_| !producer.half_closed) {
            Some(why) => self.refuse(stream, why.failure(), lent),
            None => lent.io.end(stream, Status::OK),
        }
        self.producer_left(key, lent);
    }

    /// Ends a stream whatever is under way.
    pub(super) fn cut_producer(&mut self, key: Key, failure: Failure<'_>, lent: &mut Lent<'_>) {
        if let Some(stream) = self.producers.get(key).and_then(|p| p.stream) {
            self.refuse(stream, failure, lent);
        }
        self.producer_left(key, lent);
    }

    fn producer_left(&mut self, key: Key, lent: &mut Lent<'_>) {
        let Some(producer) = self.producers.get_mut(key) else {
            return;
        };
        let slot = producer.channel;
        producer.stream = None;
        producer.backlog.clear();
        self.producers.free(key);
        let channel = &mut self.channels[slot as usize];
        if let Some(at) = channel.producers.iter().position(|there| *there == key) {
            channel.producers.swap_remove(at);
        }
        self.check_closed(slot, lent);
    }
}
