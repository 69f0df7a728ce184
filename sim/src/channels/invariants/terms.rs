//! Terms, as the catalog has them: they grow, each belongs to one start of one node, no call names one before it is
//! written, and each is opened once.
//!
//! Planted against it: `two-mint`, a coordinator that calls before it has written, so that two mint one term.

use std::collections::BTreeMap;

use trefoil_core::channels::coordinator::meta::{Meta, State};
use trefoil_proto::Decode;
use trefoil_proto::streaming::StreamingNodeManagerAssignRequest;

use super::{Court, Invariant};
use crate::channels::order::Call;
use crate::channels::subject::channel_of;
use crate::net::Process;

/// What the catalog has been told of one channel.
#[derive(Clone, Debug, Default)]
struct Channel {
    last: Option<Meta>,
    /// The number of the node each term was given to.
    granted: BTreeMap<i64, i64>,
    /// Who opened each term.
    opened: BTreeMap<u64, Process>,
}

/// All channels.
#[derive(Debug)]
pub struct Terms {
    channels: Vec<Channel>,
}

impl Terms {
    /// So many channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel::default(); channels],
        }
    }

    /// What the catalog has of a channel, as far as it was looked at.
    #[must_use]
    pub fn last(&self, channel: usize) -> Option<&Meta> {
        self.channels[channel].last.as_ref()
    }

    /// How many channels the catalog has.
    #[must_use]
    pub fn created(&self) -> usize {
        let created = |channel: &&Channel| channel.last.is_some();
        self.channels.iter().filter(created).count()
    }

    /// Whether a term was given to a node of this number.
    #[must_use]
    pub fn is_granted(&self, channel: usize, term: i64, server_id: i64) -> bool {
        self.channels[channel].granted.get(&term) == Some(&server_id)
    }

    /// A value is written to the catalog.
    pub fn written(&mut self, channel: usize, meta: Meta, court: &mut Court<'_>) {
        let known = &mut self.channels[channel];
        if let Some(last) = &known.last {
            let moved = meta.term == last.term && meta.node != last.node;
            if meta.term < last.term || moved || meta.state == State::Uninitialized {
                let text = format!("c{channel}: {last:?} is followed by {meta:?}");
                court.broken(Invariant::Terms, text);
            }
        }
        if let Some(node) = &meta.node {
            known.granted.insert(meta.term, node.server_id);
        }
        known.last = Some(meta);
    }

    /// A node is called.
    pub fn called(&self, call: &Call, court: &mut Court<'_>) {
        let request = StreamingNodeManagerAssignRequest::parse(&call.frame).unwrap_or_default();
        let named = request.pchannel.unwrap_or_default();
        let Some(channel) = channel_of(named.name) else {
            return;
        };
        let server_id = call.server_id.parse().unwrap_or(0);
        if !call.removal && !self.is_granted(channel, named.term, server_id) {
            let (to, term) = (&call.to, named.term);
            let text = format!("c{channel}: {to} is to open term {term}, which it was not given");
            court.broken(Invariant::Terms, text);
        }
    }

    /// A node serves a channel.
    pub fn opened(&mut self, channel: usize, term: u64, by: Process, court: &mut Court<'_>) {
        if let Some(other) = self.channels[channel].opened.insert(term, by) {
            let text = format!("c{channel}: {other:?} and {by:?} open term {term}");
            court.broken(Invariant::Terms, text);
        }
    }
}
