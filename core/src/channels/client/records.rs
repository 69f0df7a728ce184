//! What is said on the streams of records.

use super::consumer::Fate;
use super::interface::ClientRefused;
use super::producer::{Pending, Producer};
use super::reaction::{self, Reaction, RecordReaction};
use super::session::{Kind, Phase};
use super::{Client, ClientEvent, ClientPlant, Lent};
use crate::channels::backoff::Backoff;
use crate::channels::dialect::ErrorCode;
use crate::channels::failure::Failure;
use crate::channels::messages::properties::{Reserved, TYPE_TIME_TICK};
use crate::channels::messages::{ConsumeResponse, Message, ProduceResponse, Properties};
use crate::codes;
use crate::id::StreamId;

impl Client {
    /// A frame of a session's stream.
    pub(super) fn said(&mut self, lent: &mut Lent<'_>, slot: u32, stream: StreamId, frame: &[u8]) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        match session.kind {
            Kind::Producer(_) => self.producer_told(lent, slot, frame),
            Kind::Consumer(_) => self.consumer_told(lent, slot, stream, frame),
        }
    }

    fn producer_told(&mut self, lent: &mut Lent<'_>, slot: u32, frame: &[u8]) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let phase = session.phase;
        let said = ProduceResponse::decode(self.config.dialect, frame);
        match (phase, said) {
            (Phase::Opening, Ok(ProduceResponse::Create { .. })) => self.opened(lent, slot),
            (Phase::Opening, _) => self.first_was_wrong(lent, slot),
            (Phase::Waiting | Phase::Closing, _) | (_, Ok(ProduceResponse::Unknown)) => {}
            (Phase::Open | Phase::Leaving, Ok(ProduceResponse::Result { request_id, id })) => {
                self.produced(lent, slot, request_id, id);
            }
            (
                Phase::Open | Phase::Leaving,
                Ok(ProduceResponse::Error {
                    request_id,
                    failure,
                }),
            ) => self.refused(lent, slot, request_id, failure),
            (Phase::Open, Ok(ProduceResponse::Close)) => self.node_closes(lent, slot),
            (Phase::Leaving, Ok(ProduceResponse::Close)) => {}
            (Phase::Open | Phase::Leaving, Ok(ProduceResponse::Create { .. })) => {
                self.session_misbehaved(lent, slot, "a producer was opened twice");
            }
            (Phase::Open | Phase::Leaving, Err(_)) => self.unreadable(lent, slot),
        }
    }

    fn consumer_told(&mut self, lent: &mut Lent<'_>, slot: u32, stream: StreamId, frame: &[u8]) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let phase = session.phase;
        let said = ConsumeResponse::decode(self.config.dialect, frame);
        match (phase, said) {
            (Phase::Opening, Ok(ConsumeResponse::Create { .. })) => self.opened(lent, slot),
            (Phase::Opening, _) => self.first_was_wrong(lent, slot),
            (Phase::Waiting | Phase::Closing, _) | (_, Ok(ConsumeResponse::Unknown)) => {}
            (Phase::Open | Phase::Leaving, Ok(ConsumeResponse::Consume { id, message })) => {
                let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                self.deliver(lent, slot, stream, id, message, bytes);
            }
            (Phase::Open, Ok(ConsumeResponse::Close)) => self.node_closes(lent, slot),
            (Phase::Leaving, Ok(ConsumeResponse::Close)) => {}
            (Phase::Open | Phase::Leaving, Ok(ConsumeResponse::Create { .. })) => {
                self.session_misbehaved(lent, slot, "a consumer was opened twice");
            }
            (Phase::Open | Phase::Leaving, Err(_)) => self.unreadable(lent, slot),
        }
    }

    fn first_was_wrong(&mut self, lent: &mut Lent<'_>, slot: u32) {
        self.session_misbehaved(lent, slot, "its first word was not that the stream is open");
        self.leave(lent, slot, ErrorCode::InvalidRequestSeq, codes::NOT_CREATED);
    }

    fn unreadable(&mut self, lent: &mut Lent<'_>, slot: u32) {
        self.session_misbehaved(lent, slot, "a message that cannot be read");
        self.leave(lent, slot, ErrorCode::Inner, codes::MALFORMED);
    }

    fn produced(&mut self, lent: &mut Lent<'_>, slot: u32, request_id: i64, id: &[u8]) {
        let producer = self.sessions.producer(slot);
        let Some(pending) = producer.and_then(|producer| producer.answered(request_id)) else {
            return self.answer_to_nothing(lent, slot, request_id);
        };
        let sequence = pending.sequence;
        self.pool.give(pending.into_buffer());
        self.counters.produced += 1;
        if let Some(session) = self.sessions.at(slot) {
            session.progress = true;
            if let Kind::Producer(producer) = &mut session.kind {
                producer.refusals = 0;
            }
            let key = session.key;
            lent.up.event(ClientEvent::Produced { key, sequence, id });
        }
        self.answered(lent, slot);
    }

    fn answer_to_nothing(&mut self, lent: &mut Lent<'_>, slot: u32, request_id: i64) {
        let producer = self.sessions.producer(slot);
        if !producer.is_some_and(|producer| producer.is_late(request_id)) {
            self.session_misbehaved(lent, slot, "an answer to no request");
        }
    }

    /// One record was refused on a stream that stays open.
    fn refused(&mut self, lent: &mut Lent<'_>, slot: u32, request_id: i64, failure: Failure<'_>) {
        let (min, max) = (self.config.backoff_min, self.config.backoff_max);
        let Some(producer) = self.sessions.producer(slot) else {
            return;
        };
        match reaction::to_record(failure.code) {
            RecordReaction::GiveUp => match producer.answered(request_id) {
                Some(pending) => {
                    self.record_failed(lent, slot, pending, failure, true);
                    return self.answered(lent, slot);
                }
                None => return self.answer_to_nothing(lent, slot, request_id),
            },
            RecordReaction::Again if producer.again(request_id) => {
                // One wait for all that are refused meanwhile.
                if producer.resume_at.is_none() {
                    producer.refusals = producer.refusals.saturating_add(1);
                    let wait = Backoff { min, max }.after(producer.refusals, &mut self.rng);
                    producer.resume_at = Some(lent.now + wait);
                }
            }
            RecordReaction::Leave if producer.again(request_id) => {
                self.end_stream(lent, slot);
                return self.lost(lent, slot, failure, Reaction::Report);
            }
            RecordReaction::Again | RecordReaction::Leave => {
                return self.answer_to_nothing(lent, slot, request_id);
            }
        }
        self.schedule(slot);
    }

    /// A record is answered for good.
    fn answered(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let key = session.key;
        if let Kind::Producer(producer) = &mut session.kind {
            if producer.has_room_again(&self.config) {
                lent.up.event(ClientEvent::Room { key });
            }
        }
        self.close_if_done(lent, slot);
        self.schedule(slot);
    }

    /// Sends what has not been sent, if the stream is open.
    pub(super) fn flush(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let dialect = self.config.dialect;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let (Phase::Open, Some(stream)) = (session.phase, session.stream) else {
            return;
        };
        if let Kind::Producer(producer) = &mut session.kind {
            self.counters.resent += producer.flush(dialect, stream, lent.io);
        }
    }

    /// What of a producer is due.
    pub(super) fn records_due(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let late = Failure::new(ErrorCode::Unknown, codes::RECORD_LATE);
        let mut expired = false;
        while let Some(pending) = self
            .sessions
            .producer(slot)
            .and_then(|producer| producer.take_expired(lent.now))
        {
            self.record_failed(lent, slot, pending, late, false);
            expired = true;
        }
        let Some(producer) = self.sessions.producer(slot) else {
            return;
        };
        let is_due = |at: Option<_>| at.is_some_and(|at| at <= lent.now);
        if is_due(producer.close_by) {
            self.end_stream(lent, slot);
            return self.give_up(lent, slot, None);
        }
        if is_due(producer.resume_at) {
            producer.resume_at = None;
            self.flush(lent, slot);
        }
        if expired {
            self.answered(lent, slot);
        }
    }

    /// A record is given up.
    pub(super) fn record_failed(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        pending: Pending,
        failure: Failure<'_>,
        was_refused: bool,
    ) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        self.counters.failed += 1;
        lent.up.event(ClientEvent::ProduceFailed {
            key: session.key,
            sequence: pending.sequence,
            failure,
            is_certain: pending.sends <= u32::from(was_refused),
        });
        self.pool.give(pending.into_buffer());
    }

    /// A peer refused a message for its size: it can have been no other than the largest.
    pub(super) fn largest_failed(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let failure = Failure::new(ErrorCode::InvalidArgument, codes::TOO_LARGE);
        let largest = self
            .sessions
            .producer(slot)
            .and_then(Producer::take_largest);
        if let Some(pending) = largest {
            self.record_failed(lent, slot, pending, failure, false);
            self.answered(lent, slot);
        }
    }

    fn deliver(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        stream: StreamId,
        id: &[u8],
        message: Message<'_, Properties<'_>>,
        bytes: u32,
    ) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        session.progress = true;
        let key = session.key;
        let Kind::Consumer(consumer) = &mut session.kind else {
            return;
        };
        let reserved = Reserved::of(&message);
        if reserved.kind == Some(TYPE_TIME_TICK) {
            // It says that time passes; nobody asked.
            return;
        }
        match consumer.fate(reserved.time_tick) {
            Fate::Deliver => {}
            Fate::Skip if self.plant == Some(ClientPlant::DeliversAgain) => {}
            Fate::Skip => {
                self.counters.skipped += 1;
                return;
            }
            Fate::Misplaced => {
                return self.session_misbehaved(lent, slot, "a record before one that came");
            }
        }
        lent.up.event(ClientEvent::Record {
            key,
            delivery: consumer.next_delivery(),
            id,
            time_tick: reserved.time_tick,
            payload: message.payload,
            properties: message.properties,
        });
        let hold = consumer.delivered(&self.config, id, &reserved, bytes);
        self.counters.delivered += 1;
        if hold > 0 {
            lent.io.hold(stream, hold);
        }
    }

    /// The caller handled what it was given.
    pub(super) fn acknowledge(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        delivery: u64,
    ) -> Result<(), ClientRefused> {
        let session = self.sessions.at(slot).ok_or(ClientRefused::NoSuchKey)?;
        let stream = session.stream;
        let Kind::Consumer(consumer) = &mut session.kind else {
            return Err(ClientRefused::NoSuchKey);
        };
        let release = consumer.acknowledge(&self.config, delivery)?;
        if let Some(stream) = stream.filter(|_| release > 0) {
            lent.io.release(stream, release);
        }
        Ok(())
    }
}
