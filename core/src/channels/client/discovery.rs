//! The watch: one stream to one coordinator, on which assignments come and errors in them go.

use trefoil_proto::Decode;
use trefoil_proto::streaming::{
    AssignmentDiscoverRequest, AssignmentDiscoverRequestCommand as Request,
    AssignmentDiscoverResponseResponse as Response, AssignmentDiscoverResponseView,
    CloseAssignmentDiscoverRequest, FullStreamingNodeAssignmentWithVersion, PChannelInfo,
    ReportAssignmentErrorRequest, StreamingNodeAssignment,
};
use trefoil_proto::wire::Repeated;

use super::assignment::Assignment;
use super::{Client, LEFT, Lent, WATCH_TAG, WATCH_TIMER};
use crate::channels::backoff::Backoff;
use crate::channels::failure::Failure;
use crate::channels::open::CLUSTER;
use crate::header::HeaderWriter;
use crate::id::{NodeId, StreamId};
use crate::machine::Full;
use crate::method::streaming;
use crate::stream::{Class, StreamIn};
use crate::time::Instant;
use crate::wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody asked for it.
    Off,
    /// Until the timer.
    Waiting,
    /// Nothing was heard yet: whether this coordinator leads is not known.
    Asking,
    Watching,
    /// The coordinator closed the stream.
    Leaving,
    /// This side closed it for good.
    Closing,
}

#[derive(Debug)]
pub(super) struct Discovery {
    phase: Phase,
    stream: Option<StreamId>,
    node: NodeId,
    opened_at: Instant,
    /// Which coordinator is next.
    turn: usize,
    /// In a row.
    failures: u32,
    /// A report found no room.
    is_blocked: bool,
    pub(super) last: Assignment,
}

impl Discovery {
    pub(super) const fn new(turn: usize) -> Self {
        Self {
            phase: Phase::Off,
            stream: None,
            node: NodeId(0),
            opened_at: Instant::ZERO,
            turn,
            failures: 0,
            is_blocked: false,
            last: Assignment::new(),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.phase == Phase::Off
    }
}

impl Client {
    /// Somebody wants to know where channels are.
    pub(super) fn watch(&mut self, lent: &mut Lent<'_>) {
        if self.discovery.phase == Phase::Off {
            self.call_coordinator(lent);
        }
    }

    fn call_coordinator(&mut self, lent: &mut Lent<'_>) {
        let turn = self.discovery.turn % self.config.coordinators.len();
        self.discovery.turn = turn + 1;
        self.counters.watches += 1;
        match self.open_watch(turn, lent) {
            Ok(stream) => {
                self.discovery.stream = Some(stream);
                self.discovery.phase = Phase::Asking;
                self.discovery.opened_at = lent.now;
                self.discovery.is_blocked = false;
                self.channels.forget_reported();
                self.timers
                    .set(WATCH_TIMER, lent.now + self.config.answer_timeout);
            }
            Err(Full) => self.watch_later(lent),
        }
    }

    fn open_watch(&mut self, turn: usize, lent: &mut Lent<'_>) -> Result<StreamId, Full> {
        self.discovery.node = lent.io.node(&self.config.coordinators[turn])?;
        let mut room = [0; 512];
        let mut header = HeaderWriter::new(&mut room);
        if let Some(cluster) = &self.config.cluster {
            header.push(CLUSTER, cluster.as_bytes())?;
        }
        lent.io.open(
            self.discovery.node,
            streaming::DISCOVER,
            Class::Control,
            header.finish(),
            None,
            WATCH_TAG,
        )
    }

    /// The stream is over, or there was none.
    fn watch_later(&mut self, lent: &mut Lent<'_>) {
        let (min, max) = (self.config.watch_backoff_min, self.config.watch_backoff_max);
        // One that lasted was no failure; one that is lost at once again is, whatever was heard on it.
        if self.discovery.phase == Phase::Watching
            && lent.now.since(self.discovery.opened_at) >= max
        {
            self.discovery.failures = 0;
        }
        // All are asked before the wait grows: one of them leads.
        let rounds = self.discovery.failures / self.config.coordinators.len() as u32;
        self.discovery.failures = self.discovery.failures.saturating_add(1);
        (self.discovery.phase, self.discovery.stream) = (Phase::Waiting, None);
        let wait = Backoff { min, max }.after(rounds.saturating_add(1), &mut self.rng);
        self.timers.set(WATCH_TIMER, lent.now + wait);
    }

    /// The watch's timer.
    pub(super) fn watch_due(&mut self, lent: &mut Lent<'_>) {
        match self.discovery.phase {
            Phase::Waiting => self.call_coordinator(lent),
            Phase::Asking | Phase::Leaving => self.leave_watch(lent),
            Phase::Closing => {
                self.end_watch(lent);
                self.watch_closed(lent);
            }
            Phase::Off | Phase::Watching => {}
        }
    }

    /// The watch is closed for good.
    pub(super) fn close_watch(&mut self, lent: &mut Lent<'_>) {
        match self.discovery.phase {
            Phase::Off | Phase::Closing => {}
            Phase::Waiting => self.watch_closed(lent),
            Phase::Asking | Phase::Watching | Phase::Leaving => {
                self.say_watch_closes(lent);
                self.discovery.phase = Phase::Closing;
                self.timers
                    .set(WATCH_TIMER, lent.now + self.config.answer_timeout);
            }
        }
    }

    fn watch_closed(&mut self, lent: &mut Lent<'_>) {
        self.timers.cancel(WATCH_TIMER);
        (self.discovery.phase, self.discovery.stream) = (Phase::Off, None);
        self.settle(lent);
    }

    /// Says that nothing more will come. What finds no room is left out: the half-close says it, too.
    fn say_watch_closes(&mut self, lent: &mut Lent<'_>) {
        let Some(stream) = self.discovery.stream else {
            return;
        };
        if self.discovery.phase != Phase::Leaving {
            let close = AssignmentDiscoverRequest {
                command: Some(Request::Close(CloseAssignmentDiscoverRequest {})),
            };
            let _ = wire::send(lent.io, stream, &close);
            lent.io.half_close(stream);
        }
    }

    fn end_watch(&mut self, lent: &mut Lent<'_>) {
        if let Some(stream) = self.discovery.stream.take() {
            lent.io.end(stream, LEFT);
        }
    }

    fn leave_watch(&mut self, lent: &mut Lent<'_>) {
        self.end_watch(lent);
        self.watch_later(lent);
    }

    /// Something happened on the watch.
    pub(super) fn watch_event(
        &mut self,
        lent: &mut Lent<'_>,
        stream: StreamId,
        event: StreamIn<'_>,
    ) {
        if self.discovery.stream != Some(stream) {
            return;
        }
        match event {
            StreamIn::Frame(frame) => self.watch_said(lent, frame),
            StreamIn::Writable => {
                self.discovery.is_blocked = false;
                self.send_reports(lent);
            }
            StreamIn::Ended(_) if self.discovery.phase == Phase::Closing => self.watch_closed(lent),
            StreamIn::Ended(_) => self.watch_later(lent),
            StreamIn::Accepted { .. } | StreamIn::Header(_) | StreamIn::HalfClosed => {}
        }
    }

    fn watch_said(&mut self, lent: &mut Lent<'_>, frame: &[u8]) {
        let view = AssignmentDiscoverResponseView::parse(frame);
        let view = view.and_then(|view| deep_check(view.response).map(|()| view));
        let Ok(view) = view else {
            self.misbehaved(
                lent,
                self.discovery.node,
                "an assignment that cannot be read",
            );
            if self.discovery.phase != Phase::Closing {
                self.leave_watch(lent);
            }
            return;
        };
        match (view.response, self.discovery.phase) {
            (Some(Response::FullAssignment(full)), phase @ (Phase::Asking | Phase::Watching)) => {
                let version = full.version.unwrap_or_default();
                let version = (version.global, version.local);
                if phase == Phase::Asking && self.is_behind(version) {
                    return self.leave_watch(lent);
                }
                self.discovery.phase = Phase::Watching;
                self.timers.cancel(WATCH_TIMER);
                if version > self.discovery.last.version {
                    self.assignment(lent, version, full.assignments, frame);
                }
                self.send_reports(lent);
            }
            (Some(Response::Close(_)), Phase::Asking | Phase::Watching) => {
                self.say_watch_closes(lent);
                self.discovery.phase = Phase::Leaving;
                self.timers
                    .set(WATCH_TIMER, lent.now + self.config.answer_timeout);
            }
            // Of no known kind, or too late.
            (_, _) => {}
        }
    }

    /// Whether a coordinator that says this first was deposed and does not know. A later leadership was heard
    /// of, and whoever has it is among the others.
    fn is_behind(&self, (leadership, _): (i64, i64)) -> bool {
        leadership < self.discovery.last.version.0 && self.config.coordinators.len() > 1
    }

    fn assignment(
        &mut self,
        lent: &mut Lent<'_>,
        version: (i64, i64),
        assignments: Repeated<'_, StreamingNodeAssignment<'_>>,
        frame: &[u8],
    ) {
        if frame.len() > self.config.assignment_bytes_max as usize {
            return self.misbehaved(lent, self.discovery.node, "an assignment that is too large");
        }
        self.discovery.last.replace(version, frame);
        self.channels.assign(&self.discovery.last);
        lent.up.event(super::ClientEvent::Assignment {
            version,
            assignments,
        });
        for slot in self.sessions.slots() {
            self.assigned(lent, slot);
        }
    }

    /// Sends the reports that wait, if a coordinator that leads listens.
    pub(super) fn send_reports(&mut self, lent: &mut Lent<'_>) {
        let (Phase::Watching, Some(stream)) = (self.discovery.phase, self.discovery.stream) else {
            return;
        };
        while !self.discovery.is_blocked {
            let Some((slot, report)) = self.channels.next_report() else {
                return;
            };
            let pchannel = PChannelInfo {
                name: report.channel,
                term: report.term,
            };
            let error = Failure::new(report.code, report.cause).error(self.config.dialect);
            let request = AssignmentDiscoverRequest {
                command: Some(Request::ReportError(ReportAssignmentErrorRequest {
                    pchannel: Some(pchannel),
                    err: Some(error),
                })),
            };
            if wire::send(lent.io, stream, &request).is_err() {
                self.discovery.is_blocked = true;
                return;
            }
            self.channels.sent(slot);
            self.counters.reports += 1;
        }
    }
}

/// Looks through every list inside: the checks of views end at the elements.
fn deep_check(
    response: Option<Response<Repeated<'_, StreamingNodeAssignment<'_>>>>,
) -> Result<(), trefoil_proto::DecodeError> {
    if let Some(Response::FullAssignment(FullStreamingNodeAssignmentWithVersion {
        assignments,
        ..
    })) = response
    {
        for assigned in assignments {
            assigned?.check()?;
        }
    }
    Ok(())
}
