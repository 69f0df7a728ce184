//! Streams of records: how they are opened, lost, and opened again.

use super::producer::Producer;
use super::reaction::{self, Reaction};
use super::session::{Kind, Phase};
use super::{Client, ClientEvent, LEFT, Lent, session_tag, session_timer};
use crate::channels::backoff::Backoff;
use crate::channels::dialect::ErrorCode;
use crate::channels::failure::Failure;
use crate::channels::messages::{ConsumeRequest, ProduceRequest, Properties, Spoken};
use crate::channels::open::{Open, OpenConsumer};
use crate::codes;
use crate::header::HeaderWriter;
use crate::id::StreamId;
use crate::machine::Full;
use crate::method::streaming;
use crate::status::Status;
use crate::stream::Class;
use crate::wire;

/// Room for what opens a stream: metadata beyond 2 KiB is refused by this side.
const HEADER_BYTES: usize = 2_048;

impl Client {
    /// Sets the timer of a session to when it is due.
    pub(super) fn schedule(&mut self, slot: u32) {
        match self.sessions.at(slot).and_then(|session| session.due()) {
            Some(due) => self.timers.set(session_timer(slot), due),
            None => self.timers.cancel(session_timer(slot)),
        }
    }

    /// Opens a stream, if the channel is anywhere; else an assignment is waited for.
    pub(super) fn attempt(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        session.retry_at = None;
        let term = self.channels.term(session.channel);
        if term > 0 {
            session.tried_at = Some(lent.now);
            session.term = term;
            self.counters.attempts += 1;
            let opened = self.open(lent, slot);
            self.attempted(lent, slot, opened);
        }
        self.schedule(slot);
    }

    fn attempted(&mut self, lent: &Lent<'_>, slot: u32, opened: Result<StreamId, Full>) {
        let answer_by = lent.now + self.config.answer_timeout;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        match opened {
            Ok(stream) => {
                session.stream = Some(stream);
                session.phase = Phase::Opening;
                session.progress = false;
                session.answer_by = Some(answer_by);
            }
            Err(Full) => self.back_off(lent, slot),
        }
    }

    fn open(&mut self, lent: &mut Lent<'_>, slot: u32) -> Result<StreamId, Full> {
        let session = self.sessions.at(slot).ok_or(Full)?;
        let place = self.channels.place(session.channel).ok_or(Full)?;
        let node = lent.io.node(place.address)?;
        session.node = node;
        let open = Open {
            channel: place.channel,
            term: place.term,
            server_id: Some(place.server_id),
            cluster: self.config.cluster.as_deref(),
        };
        let (mut room, mut scratch) = ([0; HEADER_BYTES], [0; HEADER_BYTES]);
        let mut header = HeaderWriter::new(&mut room);
        let method = match &session.kind {
            Kind::Producer(_) => {
                open.write_producer(&mut header, &mut scratch)?;
                streaming::PRODUCE
            }
            Kind::Consumer(consumer) => {
                let opened = OpenConsumer {
                    open,
                    policy: consumer.policy(),
                    filters: consumer.filters(),
                };
                opened.write_consumer(&mut header, &mut scratch)?;
                streaming::CONSUME
            }
        };
        lent.io.open(
            node,
            method,
            Class::Bulk,
            header.finish(),
            None,
            session_tag(slot),
        )
    }

    /// The node's first word was the right one.
    pub(super) fn opened(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        session.phase = Phase::Open;
        session.answer_by = None;
        lent.up.event(ClientEvent::Opened {
            key: session.key,
            term: session.term,
        });
        self.flush(lent, slot);
        self.close_if_done(lent, slot);
        self.schedule(slot);
    }

    /// A stream is over, or is left: another one is opened when it may help.
    pub(super) fn lost(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        failure: Failure<'_>,
        reaction: Reaction,
    ) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let has_lasted = session.phase != Phase::Opening
            && session
                .tried_at
                .is_some_and(|at| lent.now.since(at) >= self.config.backoff_max);
        if session.progress || has_lasted {
            session.failures = 0;
        }
        session.forget_stream();
        let (key, channel, term) = (session.key, session.channel, session.term);
        lent.up.event(ClientEvent::Interrupted { key, failure });
        match reaction {
            Reaction::Return => return self.give_up(lent, slot, Some(failure)),
            Reaction::Report => {
                self.channels
                    .report(channel, term, failure.code, failure.cause);
                self.send_reports(lent);
            }
            Reaction::BackOff => {}
        }
        self.back_off(lent, slot);
        self.close_if_done(lent, slot);
        // A later term may be known already.
        self.assigned(lent, slot);
        self.schedule(slot);
    }

    fn back_off(&mut self, lent: &Lent<'_>, slot: u32) {
        let (min, max) = (self.config.backoff_min, self.config.backoff_max);
        if let Some(session) = self.sessions.at(slot) {
            session.failures = session.failures.saturating_add(1);
            let wait = Backoff { min, max }.after(session.failures, &mut self.rng);
            session.retry_at = Some(lent.now + wait);
        }
    }

    /// The assignment may have changed.
    pub(super) fn assigned(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let soonest = self.config.backoff_min;
        let superseded_by = lent.now + self.config.superseded_timeout;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let term = self.channels.term(session.channel);
        let is_newer = term > session.term;
        match session.phase {
            Phase::Waiting if term > 0 && (is_newer || session.retry_at.is_none()) => {
                // Terms that follow each other quickly make no hot loop.
                let from = session.tried_at.map_or(lent.now, |tried| tried + soonest);
                if from <= lent.now {
                    return self.attempt(lent, slot);
                }
                let retry_at = session.retry_at.map_or(from, |at| at.min(from));
                session.retry_at = Some(retry_at);
            }
            Phase::Opening | Phase::Open if is_newer => {
                session.superseded_by.get_or_insert(superseded_by);
            }
            Phase::Waiting | Phase::Opening | Phase::Open | Phase::Leaving | Phase::Closing => {
                return;
            }
        }
        self.schedule(slot);
    }

    /// A session's timer.
    pub(super) fn session_due(&mut self, lent: &mut Lent<'_>, slot: u32) {
        self.records_due(lent, slot);
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let is_due = |at: Option<_>| at.is_some_and(|at| at <= lent.now);
        if is_due(session.answer_by) {
            return match session.phase {
                Phase::Closing => {
                    self.end_stream(lent, slot);
                    self.give_up(lent, slot, None);
                }
                Phase::Waiting | Phase::Opening | Phase::Open | Phase::Leaving => {
                    self.leave(lent, slot, ErrorCode::Unknown, codes::NODE_SILENT);
                }
            };
        }
        if is_due(session.superseded_by) {
            return self.leave(lent, slot, ErrorCode::ChannelFenced, codes::SUPERSEDED);
        }
        if is_due(session.retry_at) {
            return self.attempt(lent, slot);
        }
        self.schedule(slot);
    }

    /// Leaves a stream for another.
    pub(super) fn leave(
        &mut self,
        lent: &mut Lent<'_>,
        slot: u32,
        code: ErrorCode,
        cause: &'static str,
    ) {
        self.end_stream(lent, slot);
        // What is decided here is no assignment's error.
        self.lost(lent, slot, Failure::new(code, cause), Reaction::BackOff);
    }

    pub(super) fn end_stream(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let session = self.sessions.at(slot);
        if let Some(stream) = session.and_then(|session| session.stream.take()) {
            lent.io.end(stream, LEFT);
        }
    }

    /// The node closed the stream: what it still answers is heard, and nothing is sent.
    pub(super) fn node_closes(&mut self, lent: &mut Lent<'_>, slot: u32) {
        self.say_close(lent, slot);
        let answer_by = lent.now + self.config.answer_timeout;
        if let Some(session) = self.sessions.at(slot) {
            session.phase = Phase::Leaving;
            session.superseded_by = None;
            session.answer_by = Some(answer_by);
        }
        self.schedule(slot);
    }

    /// Says that nothing more will come, and half-closes. A message that finds no room is left out: the
    /// half-close is what counts.
    fn say_close(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let dialect = self.config.dialect;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let Some(stream) = session.stream else { return };
        let _ = match &session.kind {
            Kind::Producer(_) => {
                let close: ProduceRequest<'_, Properties<'_>> = ProduceRequest::Close;
                wire::send(lent.io, stream, &close.said(dialect))
            }
            Kind::Consumer(_) => wire::send(lent.io, stream, &ConsumeRequest::Close.said(dialect)),
        };
        lent.io.half_close(stream);
    }

    /// The caller closes a session.
    pub(super) fn close(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let close_by = lent.now + self.config.close_timeout;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        if session.is_closing {
            return;
        }
        session.is_closing = true;
        if let Kind::Producer(producer) = &mut session.kind {
            producer.close_by = Some(close_by);
        }
        self.close_if_done(lent, slot);
        self.schedule(slot);
    }

    /// Goes on with a close once nothing is owed.
    pub(super) fn close_if_done(&mut self, lent: &mut Lent<'_>, slot: u32) {
        let answer_by = lent.now + self.config.answer_timeout;
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        let is_done = match &session.kind {
            Kind::Producer(producer) => producer.is_idle(),
            Kind::Consumer(_) => true,
        };
        if !session.is_closing || !is_done {
            return;
        }
        let phase = session.phase;
        match phase {
            Phase::Closing => return,
            Phase::Waiting => return self.give_up(lent, slot, None),
            Phase::Opening => {
                self.end_stream(lent, slot);
                return self.give_up(lent, slot, None);
            }
            Phase::Open => self.say_close(lent, slot),
            // It was said already.
            Phase::Leaving => {}
        }
        if let Some(session) = self.sessions.at(slot) {
            session.phase = Phase::Closing;
            session.superseded_by = None;
            session.answer_by = Some(answer_by);
            if let Kind::Producer(producer) = &mut session.kind {
                producer.close_by = None;
            }
        }
        self.schedule(slot);
    }

    /// A session is gone, and what it owes is not paid.
    pub(super) fn give_up(&mut self, lent: &mut Lent<'_>, slot: u32, failure: Option<Failure<'_>>) {
        let why = failure.unwrap_or(Failure::new(ErrorCode::Unknown, codes::SESSION_CLOSED));
        while let Some(pending) = self.sessions.producer(slot).and_then(Producer::take_oldest) {
            self.record_failed(lent, slot, pending, why, false);
        }
        let Some(session) = self.sessions.remove(slot) else {
            return;
        };
        self.timers.cancel(session_timer(slot));
        self.channels.leave(session.channel);
        lent.up.event(ClientEvent::Closed {
            key: session.key,
            failure,
        });
        self.settle(lent);
    }

    /// The stream of a session ended.
    pub(super) fn ended(&mut self, lent: &mut Lent<'_>, slot: u32, status: Status<'_>) {
        let (failure, reaction) = reaction::to_end(self.config.dialect, &status);
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        session.stream = None;
        if session.phase == Phase::Closing {
            let failure = (!status.is_ok()).then_some(failure);
            return self.give_up(lent, slot, failure);
        }
        if reaction::is_too_large(&status) {
            self.largest_failed(lent, slot);
        }
        self.lost(lent, slot, failure, reaction);
    }
}
