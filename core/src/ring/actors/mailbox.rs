//! An actor at work: one job at a time, appends behind it in flight, answers when they are durable.

use super::calls::{Phase, Verb};
use super::held::{Actor, Append, Leaving, Outcome, State, Work};
use super::ops::{InFlight, Purpose};
use super::{Actors, ActorsEvent, ActorsPlant, Lent, Ticket, activation, journal};
use crate::codes;
use crate::ring::actor::{self, Job};
use crate::status::{Code, Status};
use crate::storage::{Done, Op};

impl Actors {
    /// Does whatever an actor can do now. Harmless when it can do nothing.
    pub(super) fn advance(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        match actor.state {
            State::Fencing => self.fence(slot, actor.term, cx),
            State::Reading => self.read(slot, cx),
            State::Replaying => self.replay(slot, cx),
            State::Active => self.work(slot, cx),
            State::Proving => self.ask_log(slot, cx),
            State::Settling if actor.in_flight() => {}
            State::Settling => self.fence(slot, actor.term.saturating_add(1), cx),
            State::Ending => self.conclude(slot, cx),
        }
    }

    /// Begins the next job, if there is one and room for what it writes.
    fn work(&mut self, slot: u32, cx: &mut Lent<'_>) {
        loop {
            let actor = self.held.at(slot);
            if actor.state != State::Active || actor.running.is_some() {
                return;
            }
            if actor.unsent_kind.is_some() && !self.send_unsent(slot, cx) {
                return;
            }
            let actor = self.held.at(slot);
            if actor.appends.len() >= self.config.appends_max as usize {
                return;
            }
            let due = actor.records_since >= self.config.snapshot_records
                || actor.bytes_since >= self.config.snapshot_bytes;
            if due && actor.records_since > 0 {
                return self.run(slot, Work::Snapshot, |_, _| Job::Snapshot, cx);
            }
            match actor.mailbox.head() {
                Some(call) => self.begin(slot, call, cx),
                None => return self.rest(slot, cx),
            }
        }
    }

    /// The mailbox is empty.
    fn rest(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        let worth = match actor.leaving {
            Leaving::No => {
                if actor.is_quiet() {
                    self.held.enter_idle(cx.now, slot);
                }
                return;
            }
            Leaving::Idle => self.config.idle_snapshot_records.max(1),
            Leaving::Told => 1,
        };
        if !actor.appends.is_empty() || !actor.held.is_empty() {
            return;
        }
        if actor.records_since >= worth {
            return self.run(slot, Work::Snapshot, |_, _| Job::Snapshot, cx);
        }
        self.retire(slot, true, cx);
        self.conclude(slot, cx);
    }

    /// Runs the call at the head of the mailbox, or answers it at once.
    fn begin(&mut self, slot: u32, call: u32, cx: &mut Lent<'_>) {
        let (verb, request_id) = (self.calls.at(call).verb, self.calls.at(call).request_id);
        let actor = self.held.at(slot);
        let work = match verb {
            Verb::Get if !self.is_proved(slot, cx.now) => return self.prove_log(slot, cx),
            Verb::Get if actor.next == 0 => {
                self.counters.not_found += 1;
                return self.finish(call, Err(Status::new(Code::NotFound, codes::NOT_FOUND)), cx);
            }
            Verb::Get => Work::Get(call),
            Verb::Apply => Work::Apply(call),
        };
        if let Some(id) = request_id.filter(|_| verb == Verb::Apply) {
            if let Some(answer) = actor.dedupe.answer(id) {
                self.counters.duplicates += 1;
                let reply = &mut self.calls.at_mut(call).reply;
                reply.clear();
                reply.extend_from_slice(answer);
                return self.finish(call, Ok(()), cx);
            }
            if actor.dedupe.knows(id) {
                self.counters.duplicates += 1;
                return self.finish(
                    call,
                    Err(Status::new(Code::AlreadyExists, codes::APPLIED_BEFORE)),
                    cx,
                );
            }
        }
        self.unlink(call);
        self.place(call, slot, Phase::Running);
        match verb {
            Verb::Apply => self.run(slot, work, |_, request| Job::Apply { request }, cx),
            Verb::Get => self.run(slot, work, |_, _| Job::Get, cx),
        }
    }

    /// Hands a job to the runtime.
    pub(super) fn run(
        &mut self,
        slot: u32,
        work: Work,
        job: impl for<'a> FnOnce(&'a Actor, &'a [u8]) -> Job<'a>,
        cx: &mut Lent<'_>,
    ) {
        self.runs = self.runs.wrapping_add(1);
        let ticket = (u64::from(slot) << 32) | u64::from(self.runs);
        let actor = self.held.at_mut(slot);
        actor.running = Some((ticket, work));
        let request = match work {
            Work::Apply(call) | Work::Get(call) => self.calls.at(call).request.as_slice(),
            Work::Load | Work::Replay | Work::Snapshot | Work::Drop => &[],
        };
        let job = job(actor, request);
        (cx.up)(ActorsEvent::Run {
            ticket: Ticket(ticket),
            id: actor.id,
            job,
        });
    }

    /// The runtime has done a job. A ticket that is not the present one is ignored.
    pub(super) fn ran(&mut self, ticket: Ticket, outcome: actor::Outcome<'_>, cx: &mut Lent<'_>) {
        let slot = (ticket.0 >> 32) as u32;
        let running = self
            .held
            .slots
            .get_mut(slot as usize)
            .filter(|actor| actor.live);
        let Some(work) = running.and_then(|actor| match actor.running {
            Some((own, work)) if own == ticket.0 => {
                actor.running = None;
                Some(work)
            }
            Some(_) | None => None,
        }) else {
            self.counters.strays += 1;
            return;
        };
        let ending = self.held.at(slot).state == State::Ending;
        match (work, outcome) {
            (Work::Drop, _) => self.free(slot, cx),
            (Work::Apply(call) | Work::Get(call), _) if ending => {
                // Nothing of it was appended, so it can run elsewhere.
                let lost = self.held.at(slot).lost;
                self.unlink(call);
                if lost {
                    self.moved(call, cx)
                } else {
                    self.route_or_free(call, cx)
                }
                self.conclude(slot, cx);
            }
            (_, _) if ending => self.conclude(slot, cx),
            (Work::Load | Work::Replay, actor::Outcome::Loaded) => self.advance(slot, cx),
            (Work::Load | Work::Replay, _) => self.fail(slot, activation::FAILED, cx),
            (Work::Apply(call), actor::Outcome::Applied { record, reply }) => {
                self.applied(slot, call, record, reply, cx);
            }
            (Work::Get(call), actor::Outcome::Got { reply }) => {
                self.counters.got += 1;
                self.answered(slot, call, reply, cx);
                self.advance(slot, cx);
            }
            (Work::Snapshot, actor::Outcome::Snapshot { bytes }) => {
                let actor = self.held.at_mut(slot);
                (actor.records_since, actor.bytes_since) = (0, 0);
                journal::write_snapshot(&mut self.scratch, actor.dedupe.ids(), bytes);
                self.counters.snapshots += 1;
                self.append(slot, true, cx);
                self.advance(slot, cx);
            }
            (Work::Apply(call) | Work::Get(call), _) => {
                self.finish(call, Err(activation::FAILED), cx);
                self.crashed(slot, cx);
            }
            (Work::Snapshot, _) => self.crashed(slot, cx),
        }
    }

    fn applied(&mut self, slot: u32, call: u32, record: &[u8], reply: &[u8], cx: &mut Lent<'_>) {
        self.counters.applied += 1;
        if !record.is_empty() {
            let request_id = self.calls.at(call).request_id;
            journal::write_mutations(&mut self.scratch, request_id, record);
            let actor = self.held.at_mut(slot);
            actor.records_since += 1;
            actor.bytes_since += self.scratch.len() as u64;
            if let Some(id) = request_id {
                actor.dedupe.applied(id, self.config.dedupe_ids);
            }
            self.append(slot, false, cx);
        }
        self.answered(slot, call, reply, cx);
        self.advance(slot, cx);
    }

    /// A call has its answer, which waits for every record it may depend on.
    fn answered(&mut self, slot: u32, call: u32, reply: &[u8], cx: &mut Lent<'_>) {
        let after = self.held.at(slot).next;
        let entry = self.calls.at_mut(call);
        entry.reply.clear();
        entry.reply.extend_from_slice(reply);
        entry.after = after;
        if self.held.at(slot).durable >= after
            || self.plant == Some(ActorsPlant::AnswerBeforeDurable)
        {
            return self.finish_well(call, cx);
        }
        self.unlink(call);
        self.place(call, slot, Phase::Held);
    }

    /// Gives the record in `scratch` the next number and submits it, or keeps it until the store
    /// has room.
    fn append(&mut self, slot: u32, snapshot: bool, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        actor.next += 1;
        actor.unsent_kind = Some(snapshot);
        core::mem::swap(&mut actor.unsent, &mut self.scratch);
        if actor.state == State::Active {
            self.send_unsent(slot, cx);
        }
    }

    /// Submits the record that waits. The sequence it expects is known, so that it need not wait
    /// for those before it.
    fn send_unsent(&mut self, slot: u32, cx: &mut Lent<'_>) -> bool {
        let actor = self.held.at_mut(slot);
        let Some(snapshot) = actor.unsent_kind else {
            return true;
        };
        let (log, sequence, generation) =
            (journal::log(actor.id), actor.next - 1, actor.generation);
        let payload = core::mem::take(&mut actor.unsent);
        let (term, owner) = (actor.term, actor.owner);
        let what = InFlight {
            purpose: Purpose::Append { sequence },
            slot,
            generation,
        };
        let op = Op::Append {
            log: &log,
            term,
            owner,
            expected: sequence,
            payload: &payload,
        };
        let sent = self.submit(what, op, cx);
        let actor = self.held.at_mut(slot);
        actor.unsent = payload;
        if sent {
            actor.unsent_kind = None;
            actor.appends.push_back(Append {
                sequence,
                submitted_at: cx.now,
                outcome: Outcome::InFlight,
                snapshot,
            });
            self.held.timers.cancel(slot);
        } else {
            self.held
                .timers
                .set(slot, cx.now + self.config.store_retry_delay);
        }
        sent
    }

    /// An append is over.
    pub(super) fn appended(&mut self, slot: u32, sequence: u64, done: Done<'_>, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        let Some(append) = actor
            .appends
            .iter_mut()
            .find(|append| append.sequence == sequence)
        else {
            return;
        };
        let durable = matches!(done, Done::Durable { sequence: s } if s == sequence);
        append.outcome = if durable {
            Outcome::Durable
        } else {
            Outcome::Unproved
        };
        self.prove(slot, cx);
        self.release_held(slot, cx);
        let refused = matches!(done, Done::Fenced { .. } | Done::Conflict { .. });
        match self.held.at(slot).state {
            State::Active | State::Proving if durable => self.advance(slot, cx),
            State::Active | State::Proving if refused => self.lose(slot, cx),
            State::Active | State::Proving => {
                let actor = self.held.at_mut(slot);
                (actor.state, actor.tries) = (State::Settling, 0);
                self.held.timers.cancel(slot);
                self.counters.unknown += 1;
                self.advance(slot, cx);
            }
            State::Settling | State::Ending => self.advance(slot, cx),
            State::Fencing | State::Reading | State::Replaying => {}
        }
    }

    /// Takes in the appends that are durable, and all before them.
    fn prove(&mut self, slot: u32, cx: &mut Lent<'_>) {
        loop {
            let actor = self.held.at_mut(slot);
            let Some(append) = actor
                .appends
                .front()
                .copied()
                .filter(|a| a.outcome == Outcome::Durable)
            else {
                return;
            };
            actor.appends.pop_front();
            actor.durable = append.sequence + 1;
            actor.proved_at = actor.proved_at.max(Some(append.submitted_at));
            if append.snapshot {
                self.trim(slot, append.sequence, cx);
            }
        }
    }

    /// Answers the calls whose records are all durable.
    pub(super) fn release_held(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let durable = self.held.at(slot).durable;
        while let Some(call) = self.held.at(slot).held.head() {
            if self.calls.at(call).after > durable {
                return;
            }
            self.finish_well(call, cx);
        }
    }

    /// Records below a durable snapshot are needed no more. If the store has no room the next
    /// snapshot trims for this one.
    pub(super) fn trim(&mut self, slot: u32, before: u64, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        let what = InFlight {
            purpose: Purpose::Trim,
            slot,
            generation: actor.generation,
        };
        let log = journal::log(actor.id);
        self.submit(
            what,
            Op::Trim {
                log: &log,
                term: actor.term,
                owner: actor.owner,
                before,
            },
            cx,
        );
    }
}
