//! A producer: its records, in order, from when they are given until they are answered.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::{Decode, Each, Encode};

use super::config::ClientConfig;
use super::interface::{ClientRefused, Dedupe};
use crate::channels::dialect::Dialect;
use crate::channels::messages::properties::{
    Decimal, LAST_CONFIRMED, PRODUCER, PRODUCER_BYTES_MAX, PRODUCER_SEQUENCE, TIME_TICK, TYPE,
    VERSION,
};
use crate::channels::messages::{Message, ProduceRequest, Spoken};
use crate::id::StreamId;
use crate::machine::{Full, Io};
use crate::time::{Duration, Instant, earliest};
use crate::wire;

/// Bytes of buffers that are kept for records to come.
const POOL_BYTES_MAX: usize = 8 << 20;

/// A record that is not answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) sequence: u64,
    /// On the present stream; zero if it was not sent on it.
    request_id: i64,
    /// How often it was sent, on any stream: it may have been appended.
    pub(super) sends: u32,
    deadline: Option<Instant>,
    /// An encoded `Message`.
    record: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Producer {
    pending: VecDeque<Pending>,
    /// Of the records in `pending`.
    bytes: usize,
    /// All before this one were sent on the present stream.
    unsent_from: usize,
    next_sequence: u64,
    next_request_id: i64,
    dedupe: Option<String>,
    timeout: Option<Duration>,
    /// The stream had no room.
    is_blocked: bool,
    /// Requests of the present stream that were given up before their answers came.
    forgotten: u32,
    /// Nothing is sent before: records were refused.
    pub(super) resume_at: Option<Instant>,
    /// Refusals since the last record that was appended.
    pub(super) refusals: u32,
    /// The caller was refused for want of room.
    pub(super) wants_room: bool,
    /// When what is owed to a caller that closed is given up.
    pub(super) close_by: Option<Instant>,
}

/// Buffers of records that were answered.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= POOL_BYTES_MAX {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

impl Producer {
    pub(super) fn new(
        timeout: Option<Duration>,
        dedupe: Option<Dedupe<'_>>,
    ) -> Result<Self, ClientRefused> {
        let fits = |name: &str| (1..=PRODUCER_BYTES_MAX).contains(&name.len());
        if dedupe.is_some_and(|dedupe| !fits(dedupe.producer)) {
            return Err(ClientRefused::Invalid);
        }
        Ok(Self {
            pending: VecDeque::new(),
            bytes: 0,
            unsent_from: 0,
            next_sequence: dedupe.map_or(1, |dedupe| dedupe.sequence),
            next_request_id: 1,
            dedupe: dedupe.map(|dedupe| dedupe.producer.into()),
            timeout,
            is_blocked: false,
            forgotten: 0,
            resume_at: None,
            refusals: 0,
            wants_room: false,
            close_by: None,
        })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let oldest = self.pending.front().and_then(|oldest| oldest.deadline);
        earliest(earliest(self.resume_at, self.close_by), oldest)
    }

    /// Takes a record in, to be sent.
    pub(super) fn push(
        &mut self,
        now: Instant,
        config: &ClientConfig,
        payload: &[u8],
        properties: &[(&str, &[u8])],
        pool: &mut Pool,
    ) -> Result<(), ClientRefused> {
        let ours = |key: &str| {
            matches!(
                key,
                TIME_TICK | LAST_CONFIRMED | PRODUCER | PRODUCER_SEQUENCE
            )
        };
        let is_text = |value: &[u8]| core::str::from_utf8(value).is_ok();
        if properties
            .iter()
            .any(|(key, value)| ours(key) || !is_text(value))
        {
            return Err(ClientRefused::Invalid);
        }
        // Nodes refuse what lacks these as a failure inside, which looks as if it could pass.
        let has = |wanted: &str| properties.iter().any(|(key, _)| *key == wanted);
        if payload.is_empty() || !has(TYPE) || !has(VERSION) {
            return Err(ClientRefused::Invalid);
        }
        let number = Decimal::new(self.next_sequence);
        let origin: [(&str, &[u8]); 2] = [
            (
                PRODUCER,
                self.dedupe.as_deref().unwrap_or_default().as_bytes(),
            ),
            (PRODUCER_SEQUENCE, number.as_bytes()),
        ];
        let origin = if self.dedupe.is_some() {
            &origin[..]
        } else {
            &[]
        };
        let message = Message {
            payload,
            properties: Each(properties.iter().chain(origin).copied()),
        };
        let len = message.encoded_len();
        let room = config.record_bytes_max as usize;
        if len.saturating_add(REQUEST_OVERHEAD) > config.request_bytes_max as usize {
            return Err(ClientRefused::TooLarge);
        }
        let is_over = !self.pending.is_empty() && self.bytes.saturating_add(len) > room;
        if is_over || self.pending.len() >= config.records_max as usize {
            self.wants_room = true;
            return Err(ClientRefused::Busy);
        }
        let mut record = pool.take();
        record.resize(len, 0);
        if message.encode_to_slice(&mut record).is_err() {
            return Err(ClientRefused::TooLarge);
        }
        self.bytes += len;
        self.pending.push_back(Pending {
            sequence: self.next_sequence,
            request_id: 0,
            sends: 0,
            deadline: self.timeout.map(|timeout| now + timeout),
            record,
        });
        self.next_sequence = self.next_sequence.saturating_add(1);
        Ok(())
    }

    /// Sends what was not sent on this stream, in order, as far as there is room. Returns how many records
    /// were sent before.
    pub(super) fn flush(&mut self, dialect: Dialect, stream: StreamId, io: &mut dyn Io) -> u64 {
        let mut resent = 0;
        if self.is_blocked || self.resume_at.is_some() {
            return resent;
        }
        while let Some(pending) = self.pending.get_mut(self.unsent_from) {
            if pending.request_id == 0 {
                let request_id = self.next_request_id;
                if pending.send(dialect, request_id, stream, io).is_err() {
                    self.is_blocked = true;
                    return resent;
                }
                self.next_request_id += 1;
                resent += u64::from(pending.sends > 0);
                pending.request_id = request_id;
                pending.sends = pending.sends.saturating_add(1);
            }
            self.unsent_from += 1;
        }
        resent
    }

    /// The stream has room again.
    pub(super) fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// A request of this stream was answered for good: the record, which is taken out.
    pub(super) fn answered(&mut self, request_id: i64) -> Option<Pending> {
        let at = self.of_request(request_id)?;
        self.take(at)
    }

    /// A request of this stream is to be made again. Returns whether there is one.
    pub(super) fn again(&mut self, request_id: i64) -> bool {
        let Some(at) = self.of_request(request_id) else {
            return false;
        };
        self.pending[at].request_id = 0;
        self.unsent_from = self.unsent_from.min(at);
        true
    }

    /// Takes out the oldest record whose time is over.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Pending> {
        let oldest = self.pending.front()?;
        let is_over = oldest.deadline.is_some_and(|deadline| deadline <= now);
        if !is_over {
            return None;
        }
        self.forgotten = self
            .forgotten
            .saturating_add(u32::from(oldest.request_id != 0));
        self.take(0)
    }

    /// Whether an answer to no record that waits is one to a record that was given up; then once.
    pub(super) fn is_late(&mut self, request_id: i64) -> bool {
        let was_sent = (1..self.next_request_id).contains(&request_id);
        let is_late = was_sent && self.forgotten > 0;
        self.forgotten -= u32::from(is_late);
        is_late
    }

    /// Takes out the oldest record.
    pub(super) fn take_oldest(&mut self) -> Option<Pending> {
        self.take(0)
    }

    /// Takes out the largest record that is under way.
    pub(super) fn take_largest(&mut self) -> Option<Pending> {
        let under_way = self.pending.iter().enumerate();
        let under_way = under_way.filter(|(_, pending)| pending.request_id != 0);
        let (at, _) = under_way.max_by_key(|(_, pending)| pending.record.len())?;
        self.take(at)
    }

    /// All records are to be sent on another stream.
    pub(super) fn forget_stream(&mut self) {
        for pending in &mut self.pending {
            pending.request_id = 0;
        }
        (self.unsent_from, self.next_request_id) = (0, 1);
        (self.is_blocked, self.resume_at, self.forgotten) = (false, None, 0);
    }

    /// Whether the caller is to be told of room; then once.
    pub(super) fn has_room_again(&mut self, config: &ClientConfig) -> bool {
        let half = |limit: u32| limit as usize / 2;
        let is_room = self.pending.len() <= half(config.records_max)
            && self.bytes <= half(config.record_bytes_max);
        is_room && core::mem::take(&mut self.wants_room)
    }

    fn of_request(&self, request_id: i64) -> Option<usize> {
        let found = |pending: &Pending| pending.request_id == request_id;
        // Answers mostly come in order, so it is near the front.
        let at = self.pending.iter().position(found)?;
        (request_id > 0).then_some(at)
    }

    fn take(&mut self, at: usize) -> Option<Pending> {
        let pending = self.pending.remove(at)?;
        self.bytes -= pending.record.len();
        if at < self.unsent_from {
            self.unsent_from -= 1;
        }
        Some(pending)
    }
}

/// Bytes of a request beside its record: two tags, two lengths, the number.
const REQUEST_OVERHEAD: usize = 32;

impl Pending {
    /// The buffer of a record that is done with.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.record
    }

    fn send(
        &self,
        dialect: Dialect,
        request_id: i64,
        stream: StreamId,
        io: &mut dyn Io,
    ) -> Result<(), Full> {
        // What was encoded here is decoded here: nothing is missing.
        let message = Message::parse(&self.record).unwrap_or_default();
        let request = ProduceRequest::Produce {
            request_id,
            message,
        };
        wire::send(io, stream, &request.said(dialect))
    }
}
