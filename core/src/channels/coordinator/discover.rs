//! What clients are told: the whole assignment, once for all of them, the latest only.
//!
//! A push is encoded once and copied into every stream that has room. A stream without room is passed over until it
//! has some, and is then given what is the latest: a client that does not read costs its place in a table here, and
//! what its stream may hold anyhow.

use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::common::{StateCode, Status as ProtoStatus};
use trefoil_proto::milvus::{ComponentInfo, ComponentStates};
use trefoil_proto::streaming::{
    AssignmentDiscoverRequest, AssignmentDiscoverRequestCommand, AssignmentDiscoverResponse,
    AssignmentDiscoverResponseResponse, CloseAssignmentDiscoverResponse,
    FullStreamingNodeAssignmentWithVersion, PChannelInfo, ReportAssignmentErrorRequest,
    StreamingNodeAssignment, VersionPair,
};
use trefoil_proto::{Decode, Each, Encode};

use super::meta::is_name;
use super::{Coordinator, CoordinatorPlant, DUE_PUSH, Kind, Lent, Standing, tag_of};
use crate::channels::dialect::ErrorCode;
use crate::channels::failure::{Failure, StatusRoom};
use crate::codes;
use crate::id::{MethodId, StreamId};
use crate::machine::Full;
use crate::method::streaming;
use crate::status::Status;
use crate::stream::StreamIn;
use crate::time::{Duration, Instant};
use crate::wire;

/// While changes follow each other, each wait is so many times the one before.
const DELAY_FACTOR: u32 = 8;

/// What this node is called where it is asked how it is.
const ROLE: &str = "streamingcoord";

/// A client.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    stream: StreamId,
    /// The count of the version it was sent last.
    sent: Option<i64>,
    /// Its stream had no room.
    is_full: bool,
    /// It will send no more: it is owed the end.
    closes: bool,
}

/// All clients, and what they are told.
#[derive(Debug)]
pub(super) struct Watchers {
    watchers: Vec<Option<Watcher>>,
    free: Vec<u32>,
    /// The latest, as it is sent; its version's count is `local`.
    frame: Vec<u8>,
    next: Vec<u8>,
    local: Option<i64>,
    /// How long the next change waits.
    delay: Duration,
    pushed_at: Instant,
}

impl Watchers {
    pub(super) const fn new(delay: Duration) -> Self {
        Self {
            watchers: Vec::new(),
            free: Vec::new(),
            frame: Vec::new(),
            next: Vec::new(),
            local: None,
            delay,
            pushed_at: Instant::ZERO,
        }
    }

    pub(super) const fn local(&self) -> Option<i64> {
        self.local
    }

    /// There is nothing to tell until a leadership has read the catalog.
    pub(super) fn unpublish(&mut self) {
        self.local = None;
        self.frame.clear();
        for watcher in self.watchers.iter_mut().flatten() {
            watcher.sent = None;
        }
    }

    fn add(&mut self, stream: StreamId, watchers_max: u32) -> Result<u32, Full> {
        let watcher = Some(Watcher {
            stream,
            sent: None,
            is_full: false,
            closes: false,
        });
        if let Some(at) = self.free.pop() {
            self.watchers[at as usize] = watcher;
            return Ok(at);
        }
        let at = self.watchers.len() as u32;
        if at >= watchers_max {
            return Err(Full);
        }
        self.watchers.push(watcher);
        Ok(at)
    }

    fn at_mut(&mut self, at: u32, stream: StreamId) -> Option<&mut Watcher> {
        let watcher = self.watchers.get_mut(at as usize)?.as_mut();
        watcher.filter(|watcher| watcher.stream == stream)
    }

    fn remove(&mut self, at: u32) {
        self.watchers[at as usize] = None;
        self.free.push(at);
    }
}

impl Coordinator {
    /// Somebody calls.
    pub(super) fn accept(&mut self, stream: StreamId, method: MethodId, lent: &mut Lent<'_>) {
        match method {
            streaming::COORD_STATES => lent.io.adopt(stream, tag_of(Kind::States, 0, 0)),
            streaming::DISCOVER if self.standing == Standing::StandBy => {
                self.refuse(stream, lent);
            }
            streaming::DISCOVER => match self.watchers.add(stream, self.config.watchers_max) {
                Ok(at) => {
                    lent.io.adopt(stream, tag_of(Kind::Watcher, at, 0));
                    self.tell(at, lent);
                }
                Err(Full) => self.fail(stream, ErrorCode::Inner, codes::COORDINATOR_FULL, lent),
            },
            // Not ours: refused as unimplemented.
            _ => {}
        }
    }

    fn fail(&self, stream: StreamId, code: ErrorCode, cause: &str, lent: &mut Lent<'_>) {
        let mut room = StatusRoom::new();
        let status = Failure::new(code, cause).status(self.config.dialect, &mut room);
        lent.io.end(stream, status);
    }

    /// This node does not lead; it names who does, if it knows.
    fn refuse(&self, stream: StreamId, lent: &mut Lent<'_>) {
        let mut cause = String::from(codes::NOT_COORDINATOR);
        if let Some(leader) = &self.leader {
            cause.push_str("; the coordinator is at ");
            cause.push_str(leader);
        }
        self.fail(stream, ErrorCode::OnShutdown, &cause, lent);
    }

    /// This node leads no more: every client is told to look elsewhere.
    pub(super) fn dismiss_watchers(&mut self, lent: &mut Lent<'_>) {
        for at in 0..self.watchers.watchers.len() {
            if let Some(watcher) = self.watchers.watchers[at] {
                self.refuse(watcher.stream, lent);
                self.watchers.remove(at as u32);
            }
        }
    }

    /// Something happened on a client's stream.
    pub(super) fn hear_watcher(
        &mut self,
        at: u32,
        stream: StreamId,
        event: &StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        let Some(watcher) = self.watchers.at_mut(at, stream) else {
            return;
        };
        match event {
            StreamIn::Frame(frame) => self.hear_request(at, stream, frame, lent),
            StreamIn::HalfClosed => {
                watcher.closes = true;
                self.close(at, stream, lent);
            }
            StreamIn::Writable => {
                watcher.is_full = false;
                if watcher.closes {
                    self.close(at, stream, lent);
                } else {
                    self.tell(at, lent);
                }
            }
            StreamIn::Ended(_) => self.watchers.remove(at),
            StreamIn::Accepted { .. } | StreamIn::Header(_) => {}
        }
    }

    fn hear_request(&mut self, at: u32, stream: StreamId, frame: &[u8], lent: &mut Lent<'_>) {
        let Ok(request) = AssignmentDiscoverRequest::parse(frame) else {
            self.watchers.remove(at);
            return self.fail(stream, ErrorCode::InvalidArgument, codes::MALFORMED, lent);
        };
        match request.command {
            Some(AssignmentDiscoverRequestCommand::ReportError(report)) => {
                if self.hear_report(&report, lent).is_err() {
                    self.watchers.remove(at);
                    self.fail(stream, ErrorCode::InvalidArgument, codes::BAD_REPORT, lent);
                }
            }
            // A hint: the end of the stream is what counts. What is not known is skipped.
            Some(AssignmentDiscoverRequestCommand::Close(_)) | None => {}
        }
    }

    /// A client did not find a channel where it was said to be. What it was told instead does not matter.
    fn hear_report(
        &mut self,
        report: &ReportAssignmentErrorRequest<'_>,
        lent: &mut Lent<'_>,
    ) -> Result<(), ()> {
        let channel = report.pchannel.ok_or(())?;
        if !is_name(channel.name) || channel.term <= 0 {
            return Err(());
        }
        let at = self.channels.find(channel.name);
        let at = at.filter(|_| self.is_serving());
        let Some(at) = at.filter(|at| self.channels.at_mut(*at).ledger.report(channel.term)) else {
            self.counters.reports_stale += 1;
            return Ok(());
        };
        self.counters.reports += 1;
        self.meta_changed(at, lent);
        self.step(at, lent);
        Ok(())
    }

    /// The client has sent all: it is sent the last message, and the end.
    fn close(&mut self, at: u32, stream: StreamId, lent: &mut Lent<'_>) {
        let close = AssignmentDiscoverResponseResponse::Close(CloseAssignmentDiscoverResponse {});
        let response: AssignmentDiscoverResponse = AssignmentDiscoverResponse {
            response: Some(close),
        };
        if wire::send(lent.io, stream, &response).is_ok() {
            lent.io.end(stream, Status::OK);
            self.watchers.remove(at);
        } else if let Some(watcher) = self.watchers.at_mut(at, stream) {
            watcher.is_full = true;
        }
    }

    /// Sends a client the latest, unless it has it, or its stream has no room.
    fn tell(&mut self, at: u32, lent: &mut Lent<'_>) {
        let Watchers {
            watchers,
            frame,
            local,
            ..
        } = &mut self.watchers;
        let Some(watcher) = watchers[at as usize].as_mut() else {
            return;
        };
        if watcher.is_full || watcher.closes || local.is_none() || watcher.sent == *local {
            return;
        }
        match lent.io.frame(watcher.stream, frame.len()) {
            Ok(room) => {
                room.copy_from_slice(frame);
                watcher.sent = *local;
                self.counters.pushes += 1;
            }
            Err(Full) => watcher.is_full = true,
        }
    }

    /// There is something new to tell: soon, when more of it may have come.
    pub(super) fn push_soon(&mut self, now: Instant) {
        if self.standing != Standing::Serving {
            return;
        }
        let (watchers, config) = (&mut self.watchers, &self.config);
        if now.since(watchers.pushed_at) > config.push_delay_max {
            watchers.delay = config.push_delay;
        }
        let mut due = now + watchers.delay;
        if self.channels.shown == self.channels.len() {
            // Nothing more is on its way.
            let soonest = watchers.pushed_at + watchers.delay / DELAY_FACTOR;
            due = due.min(soonest.max(now + config.push_delay));
        }
        if self.timers.due(DUE_PUSH).is_none_or(|known| due < known) {
            self.timers.set(DUE_PUSH, due);
        }
    }

    /// Tells all clients the latest.
    pub(super) fn push(&mut self, lent: &mut Lent<'_>) {
        let longest = self.config.push_delay_max;
        self.watchers.delay = (self.watchers.delay * DELAY_FACTOR).min(longest);
        self.watchers.pushed_at = lent.now;
        self.publish(lent);
    }

    /// Encodes the assignment; if it is another than before, it gets the next version and is sent to all.
    pub(super) fn publish(&mut self, lent: &mut Lent<'_>) {
        let mut next = core::mem::take(&mut self.watchers.next);
        let local = match self.watchers.local {
            None => 0,
            Some(local) => {
                self.encode(local, &mut next);
                if next == self.watchers.frame {
                    self.watchers.next = next;
                    return;
                }
                local + 1
            }
        };
        self.encode(local, &mut next);
        self.watchers.next = core::mem::replace(&mut self.watchers.frame, next);
        self.watchers.local = Some(local);
        self.counters.versions += 1;
        for at in 0..self.watchers.watchers.len() {
            self.tell(at as u32, lent);
        }
    }

    /// The assigned channels by node: nodes in the order of their server ids, channels in that of their names.
    fn encode(&self, local: i64, frame: &mut Vec<u8>) {
        let shown = self.channels.in_order().filter(|(_, slot)| slot.shown);
        let on = shown.filter_map(|(at, slot)| Some((slot.ledger.meta().node.as_ref()?, at)));
        let mut on: Vec<_> = on.collect();
        // A stable order.
        on.sort_by_key(|(node, _)| *node);
        let by_node: Vec<_> = on.chunk_by(|(a, _), (b, _)| a == b).collect();
        let assignments = by_node.iter().map(|of_node| StreamingNodeAssignment {
            node: of_node.first().map(|(node, _)| node.info()),
            channels: Each(of_node.iter().map(|(_, at)| {
                let slot = self.channels.at(*at);
                PChannelInfo {
                    name: &slot.name,
                    term: slot.ledger.meta().term,
                }
            })),
        });
        let full = FullStreamingNodeAssignmentWithVersion {
            version: Some(VersionPair {
                // Checked when the leadership began.
                global: if self.has(CoordinatorPlant::NumberedByNode) {
                    self.config.server_id
                } else {
                    i64::try_from(self.token).unwrap_or(i64::MAX)
                },
                local,
            }),
            assignments: Each(assignments),
        };
        let response = AssignmentDiscoverResponse {
            response: Some(AssignmentDiscoverResponseResponse::FullAssignment(full)),
        };
        frame.clear();
        frame.resize(response.encoded_len(), 0);
        let written = response.encode_to_slice(frame);
        debug_assert_eq!(written, Ok(frame.len()), "it was measured");
    }

    /// Somebody asks how this node is.
    pub(super) fn hear_states(
        &mut self,
        stream: StreamId,
        event: &StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        let StreamIn::Frame(_) = event else {
            return;
        };
        let state_code = match self.standing {
            Standing::StandBy => StateCode::STAND_BY,
            Standing::Fencing | Standing::Reading | Standing::Checking => StateCode::INITIALIZING,
            Standing::Serving => StateCode::HEALTHY,
        };
        let states: ComponentStates<'_> = ComponentStates {
            state: Some(ComponentInfo {
                node_id: self.config.server_id,
                role: ROLE,
                state_code,
                ..ComponentInfo::default()
            }),
            status: Some(ProtoStatus::default()),
            ..ComponentStates::default()
        };
        if wire::reply(lent.io, stream, &states).is_err() {
            self.fail(stream, ErrorCode::Inner, codes::BUSY, lent);
        }
    }
}
