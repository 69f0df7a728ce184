//! A node that leaves gives its channels up first, while producers and consumers are still served: whoever leads is
//! asked to drain it, until it has none, or nobody takes them, or its time is over.

use super::channels::Channels;
use crate::channels::coordinator::CoordinatorCommand;
use crate::codes;
use crate::header::Header;
use crate::id::{StreamId, Tag};
use crate::machine::{Events, Io};
use crate::method::channels;
use crate::status::{Code, Status};
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant};
use crate::wire;
use trefoil_proto::channels::{DrainReply, DrainRequest};
use trefoil_proto::wire::Decode;

/// Top byte of the tags of calls to the leader.
pub(super) const MACHINE: u8 = 7;

/// How often is looked whether the channels are gone.
const GLANCE: Duration = Duration::from_millis(10);
/// How often a leader is asked: another one does not know what the last was told.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// How far a departure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Departure {
    /// The node stays.
    #[default]
    None,
    /// Its channels are going.
    Draining(Draining),
    /// They are gone, or as good as that.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draining {
    by: Instant,
    look_at: Instant,
    ask_at: Instant,
    asking: Option<StreamId>,
}

impl Departure {
    /// Begins, unless it has; `within` is how long it may take.
    pub(super) fn begin(&mut self, now: Instant, within: Duration) {
        if *self == Self::None {
            *self = Self::Draining(Draining {
                by: now + within,
                look_at: now,
                ask_at: now,
                asking: None,
            });
        }
    }

    /// When to go on.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self {
            Self::Draining(draining) => Some(draining.look_at),
            Self::None | Self::Over => None,
        }
    }

    /// Goes on; `true` once, when the node may leave.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        node: &mut Channels,
        io: &mut dyn Io,
        up: &mut dyn Events<Channels>,
    ) -> bool {
        let Self::Draining(draining) = self else {
            return false;
        };
        if now < draining.look_at {
            return false;
        }
        draining.look_at = now + GLANCE;
        if !node.has_any() || now >= draining.by {
            *self = Self::Over;
            return true;
        }
        if now >= draining.ask_at && draining.asking.is_none() {
            draining.ask_at = now + ASK_INTERVAL;
            if draining.ask(now, node, io, up).is_err() {
                *self = Self::Over;
                return true;
            }
        }
        false
    }

    /// What became of a call to the leader.
    pub(super) fn hear(&mut self, now: Instant, stream: StreamId, event: &StreamIn<'_>) {
        let Self::Draining(draining) = self else {
            return;
        };
        if draining.asking != Some(stream) {
            return;
        }
        match event {
            StreamIn::Frame(bytes) => {
                let reply = DrainReply::parse(bytes).unwrap_or_default();
                if !reply.accepted {
                    // Nobody takes them: to wait would help nobody.
                    (draining.by, draining.look_at) = (now, now);
                }
            }
            StreamIn::Ended(_) => draining.asking = None,
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }
}

/// Nobody takes the channels.
struct Nobody;

impl Draining {
    fn ask(
        &mut self,
        now: Instant,
        node: &mut Channels,
        io: &mut dyn Io,
        up: &mut dyn Events<Channels>,
    ) -> Result<(), Nobody> {
        if node.coordinator().is_serving() {
            if !node.others_take(node.host()) {
                return Err(Nobody);
            }
            let host = alloc::string::String::from(node.host());
            let command = CoordinatorCommand::Drain {
                address: &host,
                deadline: Some(self.by),
            };
            // Of a node it does not know it knows no channels.
            let _ = node.command(now, command, io, up);
            return Ok(());
        }
        let Some(leader) = node.leader() else {
            return Ok(());
        };
        // Without a number, or a stream, it is asked again.
        let Ok(to) = io.node(leader) else {
            return Ok(());
        };
        let left = self.by.since(now);
        let request = DrainRequest {
            host: node.host(),
            timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
        };
        let tag = Tag::new(MACHINE, 0);
        let deadline = Some(now + ASK_INTERVAL * 4);
        self.asking = io
            .open(
                to,
                channels::DRAIN,
                Class::Control,
                Header::EMPTY,
                deadline,
                tag,
            )
            .ok();
        if let Some(stream) = self.asking {
            if wire::send(io, stream, &request).is_err() {
                io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
                self.asking = None;
            } else {
                io.half_close(stream);
            }
        }
        Ok(())
    }
}
