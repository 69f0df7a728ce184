//! Streams of consumers.
//!
//! One read of the log is in flight for each at most, and none while its stream has no room: whoever is slow
//! costs what his stream may have waiting, and nothing here. What of a read had no room is read again.

use super::delivery::{Delivered, Wanted};
use super::slab::Key;
use super::tags::Of;
use super::why::Why;
use super::{Lent, Worker, record};
use crate::channels::failure::Failure;
use crate::channels::messages::{ConsumeRequest, ConsumeResponse, Spoken, ids};
use crate::channels::open::{OpenConsumer, Policy};
use crate::id::StreamId;
use crate::machine::Full;
use crate::status::Status;
use crate::storage::{Done, Op, Records};
use crate::stream::StreamIn;
use crate::wire;

/// What a consumer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waits {
    /// For nothing: it is to be fed.
    #[default]
    Nothing,
    /// For a read of the log.
    Read,
    /// For room in its stream.
    Room,
    /// For records that are not there yet.
    Records,
    /// For the store to take a read.
    Store,
}

/// One stream of a consumer.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    stream: Option<StreamId>,
    channel: u32,
    /// Number of the next record to look at.
    next: u64,
    wanted: Wanted,
    waits: Waits,
    /// The first message, that it is open, has not been sent.
    owes_create: bool,
    half_closed: bool,
}

impl Worker {
    pub(super) fn open_consumer(
        &mut self,
        stream: StreamId,
        open: &OpenConsumer<'_>,
        lent: &mut Lent<'_>,
    ) {
        let opened = self.opens(&open.open);
        let opened = opened.and_then(|slot| Ok((slot, self.start(slot, open.policy)?)));
        let (slot, next) = match opened {
            Ok(opened) => opened,
            Err(why) => return self.refuse(stream, why.failure(), lent),
        };
        let Some((key, consumer)) = self.consumers.take() else {
            return self.refuse(stream, Why::Busy.failure(), lent);
        };
        *consumer = Consumer {
            stream: Some(stream),
            channel: slot,
            next,
            wanted: Wanted::new(open.filters.iter()),
            waits: Waits::Nothing,
            owes_create: true,
            half_closed: false,
        };
        lent.io.adopt(stream, Of::Consumer(key).tag());
        self.channels[slot as usize].consumers.push(key);
        self.watch_fence(slot, lent);
        self.feed(key, lent);
    }

    /// Number of the next record that a consumer is to be given.
    pub(super) fn next_of(&self, key: Key) -> Option<u64> {
        Some(self.consumers.get(key)?.next)
    }

    /// Number of the first record that a policy wants. If it is forgotten, the first one kept takes its place.
    fn start(&self, slot: u32, policy: Policy<'_>) -> Result<u64, Why> {
        let number = |id| ids::sequence(self.config.dialect, id).ok_or(Why::NoPolicy);
        Ok(match policy {
            Policy::All => 0,
            Policy::Latest => self.channels[slot as usize].durable,
            Policy::StartFrom(id) => number(id)?,
            Policy::StartAfter(id) => number(id)?.saturating_add(1),
        })
    }

    pub(super) fn hear_consumer(&mut self, key: Key, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        match event {
            StreamIn::Frame(frame) => match ConsumeRequest::decode(frame) {
                // The end is when the peer says no more.
                Ok(ConsumeRequest::Close) => {}
                Ok(ConsumeRequest::Unknown) => self.counters.skipped += 1,
                Err(_) => self.cut_consumer(key, Why::Malformed.failure(), lent),
            },
            StreamIn::HalfClosed => {
                consumer.half_closed = true;
                self.finish_consumer(key, lent);
            }
            StreamIn::Writable => {
                if consumer.waits == Waits::Room {
                    consumer.waits = Waits::Nothing;
                }
                if consumer.half_closed {
                    self.finish_consumer(key, lent);
                } else {
                    self.feed(key, lent);
                }
            }
            StreamIn::Ended(_) => self.consumer_left(key, lent),
            StreamIn::Accepted { .. } | StreamIn::Header(_) => {}
        }
    }

    /// Reads on, if there is something to be read and nothing is waited for.
    fn feed(&mut self, key: Key, lent: &mut Lent<'_>) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        let Some(stream) = consumer.stream.filter(|_| consumer.waits == Waits::Nothing) else {
            return;
        };
        if consumer.owes_create {
            let create = ConsumeResponse::Create {
                wal_name: super::producing::WAL_NAME,
            };
            let create: ConsumeResponse<'_> = create;
            if wire::send(lent.io, stream, &create.said(self.config.dialect)).is_err() {
                consumer.waits = Waits::Room;
                return;
            }
            consumer.owes_create = false;
        }
        let channel = &mut self.channels[consumer.channel as usize];
        if consumer.next >= channel.durable {
            consumer.waits = Waits::Records;
            channel.sleepers.push(key);
            return;
        }
        let op = Op::Read {
            log: &channel.log,
            from: consumer.next,
            bytes_max: self.config.read_bytes_max,
        };
        if lent.io.submit(op, Of::Consumer(key).tag()).is_ok() {
            consumer.waits = Waits::Read;
        } else {
            self.starve(key, lent);
        }
    }

    /// The store did not take a read, or had nothing to say: it is asked again after a while.
    fn starve(&mut self, key: Key, lent: &Lent<'_>) {
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.waits = Waits::Store;
            self.starved.push_back(key);
            let until = lent.now + self.config.store_retry_delay;
            self.starved_until = Some(self.starved_until.map_or(until, |at| at.min(until)));
        }
    }

    pub(super) fn feed_starved(&mut self, lent: &mut Lent<'_>) {
        self.starved_until = None;
        for _ in 0..self.starved.len() {
            let Some(key) = self.starved.pop_front() else {
                return;
            };
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.waits = Waits::Nothing;
                self.feed(key, lent);
            }
        }
    }

    /// There are more records: whoever waited for them is fed.
    pub(super) fn wake(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let mut at = 0;
        while let Some(key) = self.channels[slot as usize].sleepers.get(at).copied() {
            let durable = self.channels[slot as usize].durable;
            match self.consumers.get_mut(key) {
                Some(consumer) if consumer.next >= durable => at += 1,
                found => {
                    if let Some(consumer) = found {
                        consumer.waits = Waits::Nothing;
                    }
                    self.channels[slot as usize].sleepers.swap_remove(at);
                    self.feed(key, lent);
                }
            }
        }
    }

    /// A read for a consumer ended.
    pub(super) fn deliver(&mut self, key: Key, done: &Done<'_>, lent: &mut Lent<'_>) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        consumer.waits = Waits::Nothing;
        if consumer.half_closed {
            return self.finish_consumer(key, lent);
        }
        match *done {
            // The last record is always kept, so there is one.
            Done::Records(records) if !records.is_empty() => {
                match self.deliver_records(key, records, lent) {
                    Ok(()) => self.feed(key, lent),
                    Err(why) => self.cut_consumer(key, why.failure(), lent),
                }
            }
            Done::Records(_)
            | Done::Durable { .. }
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Tail { .. }
            | Done::Conflict { .. }
            | Done::Fenced { .. }
            | Done::Unknown => self.starve(key, lent),
        }
    }

    fn deliver_records(
        &mut self,
        key: Key,
        records: Records<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), Why> {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return Ok(());
        };
        let durable = self.channels[consumer.channel as usize].durable;
        let before = consumer.next;
        for (sequence, payload) in records.iter() {
            if sequence >= durable {
                break;
            }
            if sequence < consumer.next {
                continue;
            }
            let record = record::read(payload).map_err(|_| Why::Unreadable)?;
            let wanted = |message: &&[u8]| consumer.wanted.admits(record.tick, message);
            if let Some(message) = record.message.filter(wanted) {
                let frame = Delivered::new(self.config.dialect, sequence, record.tick, message);
                if message.len() > self.config.message_bytes_max as usize {
                    return Err(Why::RecordTooLarge);
                }
                let stream = consumer.stream.ok_or(Why::NotHere)?;
                if wire::send(lent.io, stream, &frame) == Err(Full) {
                    consumer.waits = Waits::Room;
                    return Ok(());
                }
                self.counters.delivered += 1;
            }
            consumer.next = sequence + 1;
        }
        if consumer.next == before {
            // What was to be read has been forgotten.
            consumer.next = durable;
        }
        Ok(())
    }

    /// Ends a stream whose peer is done.
    fn finish_consumer(&mut self, key: Key, lent: &mut Lent<'_>) {
        let Some(stream) = self.consumers.get(key).and_then(|c| c.stream) else {
            return;
        };
        let close: ConsumeResponse<'_> = ConsumeResponse::Close;
        if wire::send(lent.io, stream, &close.said(self.config.dialect)).is_ok() {
            lent.io.end(stream, Status::OK);
            self.consumer_left(key, lent);
        }
    }

    /// Ends a stream whose channel goes. It reads on elsewhere.
    pub(super) fn end_consumer(&mut self, key: Key, why: Why, lent: &mut Lent<'_>) {
        if let Some(stream) = self.consumers.get(key).and_then(|c| c.stream) {
            let close: ConsumeResponse<'_> = ConsumeResponse::Close;
            // The failure says it again, if there is no room.
            let _ = wire::send(lent.io, stream, &close.said(self.config.dialect));
        }
        self.cut_consumer(key, why.failure(), lent);
    }

    fn cut_consumer(&mut self, key: Key, failure: Failure<'_>, lent: &mut Lent<'_>) {
        if let Some(stream) = self.consumers.get(key).and_then(|c| c.stream) {
            self.refuse(stream, failure, lent);
        }
        self.consumer_left(key, lent);
    }

    fn consumer_left(&mut self, key: Key, lent: &mut Lent<'_>) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        let slot = consumer.channel;
        consumer.stream = None;
        consumer.wanted = Wanted::default();
        let asleep = consumer.waits == Waits::Records;
        self.consumers.free(key);
        let channel = &mut self.channels[slot as usize];
        if let Some(at) = channel.consumers.iter().position(|there| *there == key) {
            channel.consumers.swap_remove(at);
        }
        if asleep {
            channel.sleepers.retain(|sleeper| *sleeper != key);
        }
        self.check_closed(slot, lent);
    }
}
