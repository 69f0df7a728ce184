//! Nodes of another make. They are no members, so nobody tells whether they live: while this node leads it asks each,
//! at every interval, by `GetComponentStates` of `StreamingNodeStateService`.
//!
//! | answer | what it means |
//! |---|---|
//! | a number, `Healthy` | that start of the node lives; an earlier one at the address is over |
//! | a number, `Stopping` | the same, and it is drained |
//! | no number above zero, any other state, an error, none | silence; after `silence_max` of it the node is gone |
//!
//! Milvus finds its nodes in etcd and asks them for their status in every round. The status says nothing of which start
//! of a node answers; this does, so that a node that was started again is told from one that was not.
//!
//! # What keeps such a node from writing
//! Nothing of ours: its log is its own, and knows nothing of the fence of ours. So whenever a channel goes between
//! a node of another make and any other, a removal that is not answered is never given up, and one from a node that is
//! gone counts as done only after [`grace`](ForeignConfig::grace). Records stay in the log of the node that took them:
//! what one make of nodes wrote, another does not read, unless they share a log behind our back. Where both makes are in
//! one cluster, give one of them weight 0.

use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::Decode;
use trefoil_proto::common::StateCode;
use trefoil_proto::milvus::{ComponentStates, GetComponentStatesRequest};

use super::meta::Incarnation;
use super::nodes::{Known, Life};
use super::{Coordinator, CoordinatorCommand, DUE_FOREIGN, Kind, Lent};
use crate::header::HeaderWriter;
use crate::id::StreamId;
use crate::machine::Full;
use crate::method::streaming;
use crate::status::{Code, Status};
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant};
use crate::wire;

/// A node of another make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignNode {
    /// Where it is dialled; no member's address.
    pub address: String,
    /// Its share of the channels; one of weight 0 gets none.
    pub weight: u32,
}

/// The nodes of another make that may have channels; equal on all that may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignConfig {
    /// Which there are.
    pub nodes: Vec<ForeignNode>,
    /// How often each is asked how it is.
    pub probe_interval: Duration,
    /// How long one may be silent before it is gone. Too short, and a pause costs it its channels; too long, and they
    /// are away for as long when it is killed.
    pub silence_max: Duration,
    /// How long a former owner may write after it is gone: longer than the lease by which such a node stops itself,
    /// and a margin for the clocks. If it stops at nothing, no time is long enough.
    pub grace: Duration,
}

impl Default for ForeignConfig {
    /// None, and times for those that are added: the 10 s of Milvus's sessions, and 5 s of margin.
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            probe_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(5),
            grace: Duration::from_secs(15),
        }
    }
}

/// How far the asking of a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// The call under way, and what names it.
    call: Option<(StreamId, u32)>,
    /// What it said on it.
    said: Option<(i64, StateCode)>,
    /// When it last said that it lives, or the asking began.
    heard_at: Instant,
    /// Which start of it said so.
    server_id: Option<i64>,
}

impl Coordinator {
    /// From now on all are asked.
    pub(super) fn begin_probing(&mut self, now: Instant) {
        let probe = Probe {
            call: None,
            said: None,
            heard_at: now,
            server_id: None,
        };
        self.probes = alloc::vec![probe; self.config.foreign.nodes.len()];
        if !self.probes.is_empty() {
            self.timers.set(DUE_FOREIGN, now);
        }
    }

    /// Nobody is asked any more, and what was heard is forgotten: it will be out of date when it is of use again.
    pub(super) fn end_probing(&mut self, lent: &mut Lent<'_>) {
        self.timers.cancel(DUE_FOREIGN);
        for probe in core::mem::take(&mut self.probes) {
            if let Some((stream, _)) = probe.call {
                lent.io.end(stream, Status::new(Code::Cancelled, ""));
            }
            if let Some(server_id) = probe.server_id {
                self.nodes.forget(server_id);
            }
        }
    }

    /// Whether a node is of another make.
    fn is_foreign(&self, node: &Incarnation) -> bool {
        let mut all = self.config.foreign.nodes.iter();
        all.any(|foreign| *foreign.address == *node.address)
    }

    /// For how long a channel's former owner may write after it is gone, for all that the log of the next one can
    /// tell; none if that log fences it.
    pub(super) fn grace(&self, channel: u32, former: &Incarnation) -> Option<Duration> {
        let next = self.channels.at(channel).ledger.meta().node.as_ref();
        let mut both = [Some(former), next].into_iter().flatten();
        let foreign = both.any(|node| self.is_foreign(node));
        let foreign = foreign.then_some(self.config.foreign.grace);
        self.config.fencing.grace().max(foreign)
    }

    /// Asks each, and gives up those that were silent for too long.
    pub(super) fn probe_all(&mut self, lent: &mut Lent<'_>) {
        let config = &self.config.foreign;
        let (interval, silence_max) = (config.probe_interval, config.silence_max);
        for at in 0..self.probes.len() {
            let probe = &self.probes[at];
            let is_silent = lent.now >= probe.heard_at + silence_max;
            if let Some(server_id) = probe.server_id.filter(|_| is_silent) {
                if let Some(node) = self.nodes.by_server(server_id) {
                    self.node_over(node, Life::Gone(lent.now), lent);
                }
            }
            if self.probes[at].call.is_none() && !self.is_member(at) {
                // If there is no room for a call, there will be some next time.
                let _ = self.probe(at, lent);
            }
        }
        self.timers.set(DUE_FOREIGN, lent.now + interval);
    }

    /// Whether a member lives at the address of a node of another make. Then nobody else does.
    fn is_member(&self, at: usize) -> bool {
        let node = self
            .nodes
            .by_address(&self.config.foreign.nodes[at].address);
        let lives = node.map(|node| self.nodes.at(node).incarnation.server_id);
        lives.is_some() && lives != self.probes[at].server_id
    }

    fn probe(&mut self, at: usize, lent: &mut Lent<'_>) -> Result<(), Full> {
        let tag = self.tag(Kind::Probe, at as u32);
        let to = lent.io.node(&self.config.foreign.nodes[at].address)?;
        let deadline = Some(lent.now + self.config.foreign.silence_max);
        let header = HeaderWriter::new(&mut []).finish();
        let method = streaming::NODE_STATES;
        let stream = lent
            .io
            .open(to, method, Class::Control, header, deadline, tag)?;
        let sent = wire::send(lent.io, stream, &GetComponentStatesRequest {});
        if sent.is_err() {
            lent.io.end(stream, Status::new(Code::Cancelled, ""));
            return sent;
        }
        lent.io.half_close(stream);
        self.probes[at].call = Some((stream, self.attempts));
        self.probes[at].said = None;
        Ok(())
    }

    /// Something happened on a call that asks a node how it is.
    pub(super) fn hear_probe(
        &mut self,
        at: u32,
        attempt: u32,
        event: &StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        let Some(probe) = self.probes.get_mut(at as usize) else {
            return;
        };
        if probe.call.is_none_or(|(_, meant)| meant != attempt) {
            return;
        }
        match event {
            StreamIn::Frame(frame) => {
                let said: Result<ComponentStates<'_>, _> = ComponentStates::parse(frame);
                let state = said.ok().and_then(|said| said.state);
                probe.said = state.map(|state| (state.node_id, state.state_code));
            }
            StreamIn::Ended(status) => {
                probe.call = None;
                let said = probe.said.filter(|_| status.code == Code::Ok);
                if let Some((server_id, state)) = said {
                    self.hear_state(at as usize, server_id, state, lent);
                }
            }
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    /// A node said how it is.
    fn hear_state(&mut self, at: usize, server_id: i64, state: StateCode, lent: &mut Lent<'_>) {
        let stops = state == StateCode::STOPPING;
        if !stops && state != StateCode::HEALTHY || self.is_member(at) {
            return;
        }
        let ForeignNode { address, weight } = self.config.foreign.nodes[at].clone();
        let is_up = |coordinator: &Self| {
            let node = Incarnation::new(server_id, &address);
            matches!(coordinator.nodes.find(&node), Known::Up(_))
        };
        if !is_up(self) && !stops {
            let command = CoordinatorCommand::NodeUp {
                server_id,
                address: &address,
                weight,
            };
            // A number that cannot be, or that another node has, is none; nor is one that is over.
            let _ = self.command(command, lent);
        }
        if !is_up(self) {
            return;
        }
        self.probes[at].server_id = Some(server_id);
        self.probes[at].heard_at = lent.now;
        let drains = |known: u32| self.nodes.at(known).drain_by.is_some();
        if stops && !self.nodes.by_server(server_id).is_some_and(drains) {
            // It is known, as was seen above.
            let _ = self.command(CoordinatorCommand::NodeStopping { server_id }, lent);
        }
    }
}
