//! How what is owed to a channel is done: one thing at a time for each, and none waits for another's.

use super::answers::{Verdict, What, verdict};
use super::channels::{Call, Doing};
use super::ledger::Owed;
use super::meta::{History, Incarnation, State};
use super::nodes::{Known, Life};
use super::{Coordinator, CoordinatorEvent, CoordinatorPlant, DUE_CHANNELS, FULL_WAIT, Kind, Lent};
use crate::codes;
use crate::header::HeaderWriter;
use crate::machine::Full;
use crate::method::streaming;
use crate::status::{Code, Status};
use crate::stream::{Class, StreamIn};
use crate::time::Instant;
use crate::wire;
use trefoil_proto::streaming::{
    PChannelInfo, StreamingNodeManagerAssignRequest, StreamingNodeManagerRemoveRequest,
};

/// How a former owner is removed.
enum Removal {
    /// It is called.
    Call(u32),
    /// It need not be.
    Skip,
    /// It may write until then, and cannot be asked.
    Wait(Instant),
}

impl Coordinator {
    /// Does what is owed to a channel, unless something is being done.
    pub(super) fn step(&mut self, at: u32, lent: &mut Lent<'_>) {
        if !self.is_serving() {
            return;
        }
        self.check_target(at, lent);
        while self
            .channels
            .get(at)
            .is_some_and(|slot| slot.doing == Doing::Nothing)
        {
            match self.channels.at(at).ledger.owed() {
                Owed::Nothing => return,
                Owed::Read | Owed::Write => return self.queue_at_catalog(at, lent),
                Owed::Remove(history) => self.remove(at, &history, lent),
                Owed::Assign { to, .. } => {
                    self.channels.at_mut(at).removals_over();
                    match self.nodes.find(&to) {
                        Known::Up(node) => self.queue_call(at, node, lent),
                        // It is waited for, or the channel is to be given another.
                        Known::Gone(_) | Known::Dead | Known::No => return,
                    }
                }
            }
        }
    }

    /// A node that does not live does not have its channels. Before the nodes are there, one that was never heard of
    /// may live.
    fn check_target(&mut self, at: u32, lent: &mut Lent<'_>) {
        let Some(slot) = self.channels.get(at) else {
            return;
        };
        let Some(node) = slot.ledger.meta().node.as_ref() else {
            if slot.ledger.target().is_none() && slot.ledger.is_created() {
                self.place_soon(lent.now);
            }
            return;
        };
        let lives = match self.nodes.find(node) {
            Known::Up(_) => true,
            Known::Gone(_) | Known::Dead => false,
            Known::No => !self.placing.is_ready(),
        };
        if !lives && self.channels.at_mut(at).ledger.lose() {
            self.meta_changed(at, lent);
        }
        if self.channels.at(at).ledger.target().is_none() {
            self.place_soon(lent.now);
        }
    }

    /// A channel's ledger may have changed: clients and the layer above are told what is new.
    pub(super) fn meta_changed(&mut self, at: u32, lent: &mut Lent<'_>) {
        if !self.channels.take_up(lent.now, at) {
            return;
        }
        let slot = self.channels.at_mut(at);
        let meta = slot.ledger.meta();
        match meta.node.as_ref().filter(|_| slot.shown) {
            Some(node) => lent.up.event(CoordinatorEvent::Assigned {
                channel: &slot.name,
                term: meta.term,
                node,
            }),
            None => lent.up.event(CoordinatorEvent::Unassigned {
                channel: &slot.name,
                term: slot.shown_term,
            }),
        }
        if slot.shown {
            slot.start_afresh();
            self.channels.set_moves(at, false);
            self.place_later(lent.now);
        }
        self.push_soon(lent.now);
    }

    /// Gives a channel to a node. `false` if it is there, or on its way there.
    pub(super) fn give(&mut self, at: u32, to: &Incarnation, lent: &mut Lent<'_>) -> bool {
        let slot = self.channels.at_mut(at);
        if !slot.ledger.assign(to) {
            return false;
        }
        if slot.ledger.meta().state != State::Uninitialized {
            slot.moved_at = Some(lent.now);
        }
        slot.start_afresh();
        self.interrupt(at, lent);
        self.step(at, lent);
        true
    }

    /// A channel that waits for its next attempt, or is stopped, is tried at once.
    pub(super) fn afresh(&mut self, at: u32, lent: &mut Lent<'_>) {
        let waits = matches!(
            self.channels.at(at).doing,
            Doing::BackOff | Doing::Stopped | Doing::Grace
        );
        if waits {
            self.channels.at_mut(at).start_afresh();
            self.interrupt(at, lent);
        }
        self.step(at, lent);
    }

    /// Whatever is being done for a channel is not waited for; what the catalog was asked is.
    pub(super) fn interrupt(&mut self, at: u32, lent: &mut Lent<'_>) {
        let slot = self.channels.at_mut(at);
        match slot.doing {
            Doing::Catalog | Doing::CatalogTurn => return,
            Doing::Nothing | Doing::CallTurn(_) => {}
            Doing::BackOff | Doing::Grace | Doing::Stopped => {
                slot.due = None;
                self.timers.cancel(DUE_CHANNELS + at);
            }
            Doing::Call(call) => {
                let status = Status::new(Code::Cancelled, "");
                lent.io.end(call.stream, status);
                if call.what == What::Assign {
                    slot.unknown_term = call.term;
                }
                slot.doing = Doing::Nothing;
                self.timers.cancel(DUE_CHANNELS + at);
                return self.call_over(call.node, lent);
            }
        }
        slot.doing = Doing::Nothing;
    }

    /// Its timer is due: the next attempt, or the end of what a removal may take.
    pub(super) fn channel_due(&mut self, at: u32, lent: &mut Lent<'_>) {
        let Some(slot) = self.channels.get(at) else {
            return;
        };
        if slot.due().is_some_and(|due| due <= lent.now) {
            self.interrupt(at, lent);
            self.step(at, lent);
        }
    }

    /// Sets the timer of a channel.
    fn arm(&mut self, at: u32) {
        match self.channels.at(at).due() {
            Some(due) => self.timers.set(DUE_CHANNELS + at, due),
            None => self.timers.cancel(DUE_CHANNELS + at),
        }
    }

    /// A former owner is to let a channel go.
    fn remove(&mut self, at: u32, history: &History, lent: &mut Lent<'_>) {
        match self.removal(at, &history.node, lent.now) {
            Removal::Call(node) => self.queue_call(at, node, lent),
            Removal::Skip => {
                self.counters.removals_skipped += 1;
                let slot = self.channels.at_mut(at);
                slot.ledger.removed(&history.node, history.term);
                slot.removal_over(history.node.server_id);
            }
            Removal::Wait(until) => {
                let slot = self.channels.at_mut(at);
                slot.doing = Doing::Grace;
                slot.due = Some(until);
                self.arm(at);
            }
        }
    }

    fn removal(&mut self, at: u32, node: &Incarnation, now: Instant) -> Removal {
        let gone_since = match self.nodes.find(node) {
            Known::Dead => return Removal::Skip,
            Known::Up(known) => {
                let by = self.removal_by(at, known, now);
                return if by.is_some_and(|by| by <= now) {
                    Removal::Skip
                } else {
                    Removal::Call(known)
                };
            }
            Known::Gone(since) => since,
            Known::No if !self.placing.is_ready() && now < self.nodes_by() => {
                return Removal::Wait(self.nodes_by());
            }
            // If it ever lived, it was gone when this leadership began.
            Known::No => self.led_since,
        };
        let until = self.grace(at, node).map(|grace| gone_since + grace);
        match until.filter(|_| !self.has(CoordinatorPlant::GoneIsRemoved)) {
            Some(until) if now < until => Removal::Wait(until),
            Some(_) | None => Removal::Skip,
        }
    }

    /// Until when the removal from a node that lives is waited for. Where nothing fences, for ever.
    fn removal_by(&mut self, at: u32, node: u32, now: Instant) -> Option<Instant> {
        let former = &self.nodes.at(node).incarnation;
        let server_id = former.server_id;
        if self.grace(at, former).is_some() {
            return None;
        }
        let (drain_by, wait) = (self.nodes.at(node).drain_by, self.config.remove_timeout);
        let slot = self.channels.at_mut(at);
        let by = slot.removal_from(server_id).unwrap_or(now + wait);
        // The deadline is for what the node had: what it was given later is asked back as ever.
        let drain_by = drain_by.filter(|drain_by| by < *drain_by + wait);
        let by = drain_by.map_or(by, |drain_by| drain_by.min(by));
        slot.remove_by(server_id, by);
        Some(by)
    }

    /// A channel is to call a node: when it is its turn.
    fn queue_call(&mut self, at: u32, node: u32, lent: &mut Lent<'_>) {
        if self.nodes.at(node).calls < self.config.calls_per_node_max {
            self.call(at, node, lent);
        } else {
            self.channels.at_mut(at).doing = Doing::CallTurn(node);
            self.nodes.at_mut(node).queue.push_back(at);
            self.arm(at);
        }
    }

    /// A call to a node is over: the next one has its turn.
    fn call_over(&mut self, node: u32, lent: &mut Lent<'_>) {
        let calls = &mut self.nodes.at_mut(node).calls;
        *calls = calls.saturating_sub(1);
        while self.nodes.at(node).life == Life::Up
            && self.nodes.at(node).calls < self.config.calls_per_node_max
        {
            let Some(at) = self.nodes.at_mut(node).queue.pop_front() else {
                return;
            };
            // It may have been given something else to do meanwhile.
            let slot = self.channels.get(at);
            if slot.is_some_and(|slot| slot.doing == Doing::CallTurn(node)) {
                self.channels.at_mut(at).doing = Doing::Nothing;
                self.step(at, lent);
            }
        }
    }

    fn call(&mut self, at: u32, node: u32, lent: &mut Lent<'_>) {
        let (what, term) = match self.channels.at(at).ledger.owed() {
            Owed::Remove(history) => (What::Remove, history.term),
            Owed::Assign { term, .. } => (What::Assign, term),
            Owed::Nothing | Owed::Read | Owed::Write => return,
        };
        match self.open_call(at, node, what, term, lent) {
            Ok(()) => {
                self.nodes.at_mut(node).calls += 1;
                match what {
                    What::Remove => self.counters.removes += 1,
                    What::Assign => self.counters.assigns += 1,
                }
                self.arm(at);
            }
            Err(Full) => {
                let slot = self.channels.at_mut(at);
                slot.say(codes::BUSY);
                slot.doing = Doing::BackOff;
                slot.due = Some(lent.now + FULL_WAIT);
                self.arm(at);
            }
        }
    }

    fn open_call(
        &mut self,
        at: u32,
        node: u32,
        what: What,
        term: i64,
        lent: &mut Lent<'_>,
    ) -> Result<(), Full> {
        let tag = self.tag(Kind::Call, at);
        let to = self.nodes.number(node, lent.io)?;
        let incarnation = &self.nodes.at(node).incarnation;
        let mut room = [0; 64];
        let mut header = HeaderWriter::new(&mut room);
        let server_id = alloc::format!("{}", incarnation.server_id);
        header.push("serverid", server_id.as_bytes())?;
        let deadline = Some(lent.now + self.config.attempt_timeout);
        let method = match what {
            What::Remove => streaming::REMOVE,
            What::Assign => streaming::ASSIGN,
        };
        let header = header.finish();
        let stream = lent
            .io
            .open(to, method, Class::Control, header, deadline, tag)?;
        let slot = self.channels.at_mut(at);
        let pchannel = Some(PChannelInfo {
            name: &slot.name,
            term,
        });
        let sent = match what {
            What::Remove => wire::send(
                lent.io,
                stream,
                &StreamingNodeManagerRemoveRequest { pchannel },
            ),
            What::Assign => wire::send(
                lent.io,
                stream,
                &StreamingNodeManagerAssignRequest { pchannel },
            ),
        };
        if sent.is_err() {
            lent.io.end(stream, Status::new(Code::Cancelled, ""));
            return sent;
        }
        lent.io.half_close(stream);
        slot.attempt = self.attempts;
        slot.due = None;
        slot.doing = Doing::Call(Call {
            stream,
            node,
            what,
            term,
            answered: false,
        });
        Ok(())
    }

    /// Something happened on a call.
    pub(super) fn hear_call(
        &mut self,
        at: u32,
        attempt: u32,
        event: &StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        let Some(slot) = self.channels.get(at).filter(|slot| slot.attempt == attempt) else {
            return;
        };
        let Doing::Call(call) = slot.doing else {
            return;
        };
        match event {
            StreamIn::Frame(_) => {
                self.channels.at_mut(at).doing = Doing::Call(Call {
                    answered: true,
                    ..call
                });
            }
            StreamIn::Ended(status) => {
                self.channels.at_mut(at).doing = Doing::Nothing;
                self.timers.cancel(DUE_CHANNELS + at);
                self.call_over(call.node, lent);
                self.answered(at, call, status, lent);
            }
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    /// A call has ended.
    fn answered(&mut self, at: u32, call: Call, status: &Status<'_>, lent: &mut Lent<'_>) {
        let mut means = verdict(self.config.dialect, call.what, call.answered, status);
        if self.has(CoordinatorPlant::TimeoutBurnsTerm) && means == (Verdict::Again { sent: true })
        {
            means = Verdict::Never;
        }
        let text = crate::channels::failure::Failure::of_status(self.config.dialect, status)
            .map_or("the call ended without an answer", |failure| failure.cause);
        match means {
            Verdict::Done => self.done(at, call),
            Verdict::Dead => {
                self.channels.at_mut(at).say(text);
                self.node_over(call.node, Life::Dead, lent);
            }
            Verdict::Again { .. } if self.has(CoordinatorPlant::AsksOnce) => {
                self.stop(at, text, lent);
            }
            Verdict::Fatal => self.stop(at, text, lent),
            Verdict::Never => self.never(at, call.term, text, lent),
            Verdict::OutOfDate => self.out_of_date(at, call.term, text, lent),
            Verdict::Again { sent } => {
                if sent && call.what == What::Assign {
                    self.channels.at_mut(at).unknown_term = call.term;
                }
                self.channels.at_mut(at).ledger.put_off();
                self.back_off(at, text, lent);
            }
        }
        self.step(at, lent);
    }

    fn done(&mut self, at: u32, call: Call) {
        let node = self.nodes.at(call.node).incarnation.clone();
        let slot = self.channels.at_mut(at);
        // That a node lets go of a term which it could not open says nothing of whether it can open the next.
        if slot.ledger.meta().node.as_ref() != Some(&node) || call.what == What::Assign {
            slot.failures = 0;
        }
        match call.what {
            What::Remove => {
                slot.ledger.removed(&node, call.term);
                slot.removal_over(node.server_id);
            }
            What::Assign => slot.ledger.opened(call.term),
        }
    }

    /// The node can never have the channel at this term: it is given a higher one, after a wait.
    fn never(&mut self, at: u32, term: i64, text: &str, lent: &mut Lent<'_>) {
        let slot = self.channels.at_mut(at);
        slot.doubted_since = None;
        slot.removals_over();
        slot.ledger.never(term);
        self.back_off(at, text, lent);
    }

    /// The node calls a term out of date. If it was asked before and that was not answered, it may be opening it.
    fn out_of_date(&mut self, at: u32, term: i64, text: &str, lent: &mut Lent<'_>) {
        let slot = self.channels.at_mut(at);
        let since = *slot.doubted_since.get_or_insert(lent.now);
        let may_open = slot.unknown_term == term;
        if may_open && lent.now < since + self.config.doubt_max {
            self.back_off(at, text, lent);
        } else {
            self.never(at, term, text, lent);
        }
    }

    /// An attempt failed: the next one is made later.
    pub(super) fn back_off(&mut self, at: u32, text: &str, lent: &mut Lent<'_>) {
        let failures = self.channels.at(at).failures.saturating_add(1);
        let wait = self.config.backoff.after(failures, &mut self.rng);
        let slot = self.channels.at_mut(at);
        slot.say(text);
        slot.failures = failures;
        slot.doing = Doing::BackOff;
        slot.due = Some(lent.now + wait);
        self.arm(at);
    }

    /// Trying again cannot help.
    pub(super) fn stop(&mut self, at: u32, text: &str, lent: &mut Lent<'_>) {
        let slot = self.channels.at_mut(at);
        slot.say(text);
        slot.failures = slot.failures.saturating_add(1);
        slot.doing = Doing::Stopped;
        slot.due = None;
        self.arm(at);
        let slot = self.channels.at(at);
        lent.up.event(CoordinatorEvent::Stopped {
            channel: &slot.name,
            why: slot.said(),
        });
    }
}
