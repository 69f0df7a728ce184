//! `trefoil.channels.v1`: what operators are answered about channels. The node that leads answers; others say that
//! they do not.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::channels::{
    Channel, CreateRequestView, DrainReply, DrainRequest, ListReply, ListRequest, MoveReply,
    MoveRequest, Node, PlanReply, Step, UndrainReply, UndrainRequest,
};
use trefoil_proto::wire::{Decode, Encode};

use super::channels::Channels;
use crate::channels::balance::Reason;
use crate::channels::coordinator::meta::{Incarnation, State};
use crate::channels::coordinator::{
    ChannelView, CoordinatorCommand, CoordinatorRefused, PlannedMove, Waits,
};
use crate::codes;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::{Events, Full, Io};
use crate::method::channels;
use crate::status::{Code, Status};
use crate::stream::StreamIn;
use crate::time::{Duration, Instant};
use crate::wire;

/// Top byte of the tags of these streams.
pub const MACHINE: u8 = 6;

/// Bytes of a list in one answer, well below what an answer has room for.
const LIST_BYTES_MAX: usize = 48 << 10;

/// Answers one call.
pub(super) fn handle_stream(
    now: Instant,
    stream: StreamId,
    tag: Tag,
    event: StreamIn<'_>,
    channels: &mut Channels,
    io: &mut dyn Io,
    up: &mut dyn Events<Channels>,
) {
    match event {
        StreamIn::Accepted {
            method,
            from,
            trusted,
            ..
        } => match Caller::new(method, from, trusted) {
            Some(caller) => io.adopt(stream, caller.tag(method)),
            None => io.end(stream, FORBIDDEN),
        },
        StreamIn::Frame(bytes) => {
            let (method, caller) = Caller::of(tag);
            if !caller.may_ask(bytes, io) {
                return io.end(stream, FORBIDDEN);
            }
            let answered = Asked {
                now,
                stream,
                bytes,
                channels,
                io,
            }
            .answer(method, up);
            let (code, why) = match answered {
                Ok(()) => return,
                Err(Wrong::Malformed) => (Code::InvalidArgument, codes::MALFORMED),
                Err(Wrong::NoRoom) => (Code::ResourceExhausted, codes::TOO_LARGE),
                Err(Wrong::Refused(why)) => (Code::FailedPrecondition, why.message()),
            };
            io.end(stream, Status::new(code, why));
        }
        // It is answered later.
        StreamIn::HalfClosed if channels.creations.has(stream) => {}
        StreamIn::HalfClosed => io.end(
            stream,
            Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
        ),
        StreamIn::Ended(_) => channels.creations.ended(stream),
        StreamIn::Header(_) | StreamIn::Writable => {}
    }
}

const FORBIDDEN: Status<'_> = Status::new(Code::PermissionDenied, codes::OPERATORS_ONLY);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Somebody with an operator's rights.
    Operator,
    /// A node that may be anybody, and be drained if it wants to.
    Node(NodeId),
}

impl Caller {
    fn new(method: MethodId, from: Option<NodeId>, trusted: bool) -> Option<Self> {
        if trusted {
            return Some(Self::Operator);
        }
        from.filter(|_| method == channels::DRAIN).map(Self::Node)
    }

    const fn tag(self, method: MethodId) -> Tag {
        let who = match self {
            Self::Operator => 0,
            Self::Node(node) => node.0 as u64 + 1,
        };
        Tag::new(MACHINE, (who << 16) | method.0 as u64)
    }

    fn of(tag: Tag) -> (MethodId, Self) {
        let who = (tag.rest() >> 16).checked_sub(1);
        let who = who.map_or(Self::Operator, |node| Self::Node(NodeId(node as u32)));
        (MethodId(tag.rest() as u16), who)
    }

    /// A node is drained by operators, and by itself.
    fn may_ask(self, bytes: &[u8], io: &dyn Io) -> bool {
        match self {
            Self::Operator => true,
            Self::Node(node) => {
                DrainRequest::parse(bytes).is_ok_and(|request| request.host == io.name(node))
            }
        }
    }
}

/// Why a call is not answered by a message.
enum Wrong {
    Malformed,
    NoRoom,
    Refused(CoordinatorRefused),
}

impl From<Full> for Wrong {
    fn from(_: Full) -> Self {
        Self::NoRoom
    }
}

impl From<trefoil_proto::DecodeError> for Wrong {
    fn from(_: trefoil_proto::DecodeError) -> Self {
        Self::Malformed
    }
}

impl From<CoordinatorRefused> for Wrong {
    fn from(why: CoordinatorRefused) -> Self {
        Self::Refused(why)
    }
}

/// A call, and what it takes to answer it.
struct Asked<'a> {
    now: Instant,
    stream: StreamId,
    bytes: &'a [u8],
    channels: &'a mut Channels,
    io: &'a mut dyn Io,
}

impl Asked<'_> {
    fn answer(mut self, method: MethodId, up: &mut dyn Events<Channels>) -> Result<(), Wrong> {
        if !self.channels.coordinator().is_serving() {
            return Err(CoordinatorRefused::NotLeading.into());
        }
        match method {
            channels::CREATE => self.create(up),
            channels::MOVE => self.relocate(up),
            channels::PLAN => self.plan(),
            channels::DRAIN => self.drain(up),
            channels::UNDRAIN => self.undrain(up),
            _ => self.list(),
        }
    }

    fn list(self) -> Result<(), Wrong> {
        let request = ListRequest::parse(self.bytes)?;
        let most = match request.channels_max {
            0 => usize::MAX,
            most => most as usize,
        };
        let coordinator = self.channels.coordinator();
        let mut wanted = coordinator
            .channels()
            .filter(|channel| channel.name > request.after)
            .map(|channel| shown(self.now, &channel))
            .peekable();
        let (mut listed, mut bytes) = (Vec::new(), 0);
        while let Some(channel) = wanted.next_if(|channel| {
            bytes += channel.encoded_len() + 4;
            listed.is_empty() || (listed.len() < most && bytes <= LIST_BYTES_MAX)
        }) {
            listed.push(channel);
        }
        // Each page has them: they are few.
        let held = coordinator.held();
        let nodes = coordinator.nodes().map(|node| Node {
            host: &node.node.address,
            server_id: node.node.server_id,
            weight: node.weight,
            draining: node.drains,
            alive: node.lives,
            channels: held.get(node.node).copied().unwrap_or(0),
        });
        let mut bytes = 0;
        let nodes: Vec<_> = nodes
            .take_while(|node| {
                bytes += node.encoded_len() + 4;
                bytes <= LIST_BYTES_MAX / 4
            })
            .collect();
        let token = coordinator.version().map_or(0, |(token, _)| token);
        let reply = ListReply {
            more: wanted.peek().is_some(),
            channels: listed.as_slice(),
            nodes: nodes.as_slice(),
            token: i64::try_from(token).unwrap_or(i64::MAX),
        };
        Ok(wire::reply(self.io, self.stream, &reply)?)
    }

    fn create(&mut self, up: &mut dyn Events<Channels>) -> Result<(), Wrong> {
        let mut request = CreateRequestView::default();
        request.decode(self.bytes)?;
        request.check()?;
        let mut message = String::new();
        let mut missing = BTreeMap::new();
        for name in request.names.iter() {
            let name = name?;
            let command = CoordinatorCommand::Create { channel: name };
            let done = self.channels.command(self.now, command, self.io, up);
            let known = self.channels.coordinator().channel(name);
            let why = match (done, known) {
                (Err(why), _) if why != CoordinatorRefused::ChannelExists => why.message(),
                (_, Some(known)) if known.is_created => continue,
                (_, Some(known)) if known.waits == Waits::Stopped => known.reason,
                // Whoever asked for it first.
                (done, _) => {
                    missing.entry(String::from(name)).or_insert(done.is_ok());
                    continue;
                }
            };
            if message.is_empty() {
                message = String::from(why);
            }
        }
        let creations = &mut self.channels.creations;
        creations.add(self.stream, message, missing, self.io);
        Ok(())
    }

    fn relocate(&mut self, up: &mut dyn Events<Channels>) -> Result<(), Wrong> {
        let MoveRequest { channel, to } = MoveRequest::parse(self.bytes)?;
        let command = CoordinatorCommand::Move { channel, to };
        let done = self.channels.command(self.now, command, self.io, up);
        let reply = MoveReply {
            accepted: done.is_ok(),
            message: done.err().map_or("", CoordinatorRefused::message),
        };
        Ok(wire::reply(self.io, self.stream, &reply)?)
    }

    fn plan(self) -> Result<(), Wrong> {
        let mut planned: Vec<(_, _, _, Reason)> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        let mut each = |step: PlannedMove<'_>| {
            bytes += step.channel.len() + 32;
            bytes += step.to.address.len() + step.from.map_or(0, |from| from.address.len());
            more |= bytes > LIST_BYTES_MAX;
            if !more {
                let from = step.from.map(|from| from.address.clone());
                let channel = String::from(step.channel);
                planned.push((channel, from, step.to.address.clone(), step.reason));
            }
        };
        self.channels.coordinator().plan(self.now, &mut each)?;
        let steps: Vec<_> = planned
            .iter()
            .map(|(channel, from, to, reason)| Step {
                channel,
                from: from.as_deref().unwrap_or_default(),
                to,
                reason: match reason {
                    Reason::Orphaned => "orphaned",
                    Reason::Drained => "drained",
                    Reason::Unbalanced => "unbalanced",
                },
            })
            .collect();
        let steps = steps.as_slice();
        Ok(wire::reply(
            self.io,
            self.stream,
            &PlanReply { steps, more },
        )?)
    }

    fn drain(&mut self, up: &mut dyn Events<Channels>) -> Result<(), Wrong> {
        let DrainRequest { host, timeout_ms } = DrainRequest::parse(self.bytes)?;
        let deadline = (timeout_ms > 0).then(|| self.now + Duration::from_millis(timeout_ms));
        let has = |node: Option<&Incarnation>| node.is_some_and(|node| *node.address == *host);
        let all = self.channels.coordinator().channels();
        let count = all.filter(|channel| has(channel.node)).count();
        if !self.channels.others_take(host) {
            let reply = DrainReply {
                accepted: false,
                message: codes::NOWHERE_TO_GO,
                channels: u32::try_from(count).unwrap_or(u32::MAX),
            };
            return Ok(wire::reply(self.io, self.stream, &reply)?);
        }
        let command = CoordinatorCommand::Drain {
            address: host,
            deadline,
        };
        let done = self.channels.command(self.now, command, self.io, up);
        let reply = DrainReply {
            accepted: done.is_ok(),
            message: done.err().map_or("", CoordinatorRefused::message),
            channels: u32::try_from(count).unwrap_or(u32::MAX),
        };
        Ok(wire::reply(self.io, self.stream, &reply)?)
    }

    fn undrain(&mut self, up: &mut dyn Events<Channels>) -> Result<(), Wrong> {
        let UndrainRequest { host } = UndrainRequest::parse(self.bytes)?;
        let command = CoordinatorCommand::Undrain { address: host };
        let done = self.channels.command(self.now, command, self.io, up);
        let reply = UndrainReply {
            accepted: done.is_ok(),
            message: done.err().map_or("", CoordinatorRefused::message),
        };
        Ok(wire::reply(self.io, self.stream, &reply)?)
    }
}

/// A channel as it is shown.
fn shown<'a>(now: Instant, channel: &ChannelView<'a>) -> Channel<'a> {
    Channel {
        name: channel.name,
        term: channel.term,
        state: match channel.state {
            State::Uninitialized => "uninitialized",
            State::Assigning => "assigning",
            State::Assigned => "assigned",
            State::Unavailable => "unavailable",
        },
        host: channel.node.map_or("", |node| &node.address),
        waits: match channel.waits {
            Waits::Nothing => "",
            Waits::ForNode => "for a node",
            Waits::ForCatalog => "for the catalog",
            Waits::ForRemoval => "for a former owner to let it go",
            Waits::ForGrace => "for a former owner's lease to end",
            Waits::ForOpening => "for its node to open it",
            Waits::ForNextAttempt => "for the next attempt",
            Waits::Stopped => "for an operator",
        },
        reason: channel.reason,
        age_ms: u64::try_from(now.since(channel.since).as_millis()).unwrap_or(u64::MAX),
        failures: channel.failures,
    }
}

#[cfg(test)]
mod tests;
