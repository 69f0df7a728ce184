//! Calls in and out: who is served, who is heard.

use super::calls::{Call, Heard, Purpose};
use super::{Lent, MACHINE, Membership, OWN};
use crate::codes;
use crate::header::Header;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity::{DRAIN, Identity, PROBE};
use crate::machine::Io;
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::stream::{Class, StreamIn};
use crate::time::Instant;

/// An accepted stream's tag: all that must be known of the caller when its message arrives.
#[derive(Clone, Copy)]
pub(super) struct Accepted {
    pub(super) method: MethodId,
    pub(super) caller: Option<NodeId>,
    /// It says who it is, known or not.
    pub(super) named: bool,
    /// It asks for a ping, or says that it drains.
    pub(super) marked: bool,
    /// It speaks for a start of its host that is over.
    pub(super) stale: bool,
    /// The low bits of the start it speaks for: by the time its message arrives there may be a newer.
    pub(super) start: u16,
}

impl Accepted {
    const FLAG: u64 = 1 << 55;
    const START: u16 = 0x7ff;

    pub(super) fn tag(self) -> Tag {
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        let node = self.caller.map_or(0, |node| u64::from(node.0));
        let flags = flag(self.caller.is_some(), 54)
            | flag(self.marked, 53)
            | flag(self.stale, 52)
            | flag(self.named, 51);
        Tag::new(
            MACHINE,
            Self::FLAG
                | flags
                | u64::from(self.start & Self::START) << 40
                | u64::from(self.method.0 & 0xff) << 32
                | node,
        )
    }

    /// Whether a newer start than the caller's is known by now.
    pub(super) const fn is_over(self, incarnation: u64) -> bool {
        self.stale || incarnation as u16 & Self::START != self.start
    }

    pub(super) fn from_tag(tag: Tag) -> Option<Self> {
        let rest = tag.rest();
        let flag = |bit: u32| rest >> bit & 1 == 1;
        (rest & Self::FLAG != 0).then(|| Self {
            method: MethodId((rest >> 32) as u16 & 0xff),
            caller: flag(54).then_some(NodeId(rest as u32)),
            marked: flag(53),
            stale: flag(52),
            named: flag(51),
            start: (rest >> 40) as u16 & Self::START,
        })
    }
}

impl Membership {
    pub(super) fn accepted(
        &mut self,
        stream: StreamId,
        from: Option<NodeId>,
        method: MethodId,
        header: Header<'_>,
        lent: &mut Lent<'_>,
    ) {
        let key = match method {
            control_plane::NEGOTIATE => Some(PROBE),
            control_plane::CLOSING => Some(DRAIN),
            control_plane::PING => None,
            _ => {
                return lent
                    .io
                    .end(stream, Status::new(Code::Unimplemented, codes::NO_METHOD));
            }
        };
        let identity = Identity::from_header(header);
        // A name without an identity, or our own, is no evidence of anybody.
        let caller = match (from, identity) {
            (Some(node), Some(_)) if node != OWN => Some(node),
            // Who says goodbye does not come in by it.
            (None, Some(identity)) if method != control_plane::CLOSING => {
                self.newcomer(identity.node, lent)
            }
            (Some(_) | None, _) => None,
        };
        let incarnation = identity.map_or(0, |identity| identity.incarnation);
        let known = caller
            .and_then(|node| self.hosts.by_node(node))
            .map(|slot| self.hosts.at(slot));
        let accepted = Accepted {
            method,
            caller,
            named: identity.is_some(),
            marked: key.is_some_and(|key| header.value(key).is_some()),
            stale: known.is_some_and(|host| incarnation < host.incarnation),
            start: incarnation as u16 & Accepted::START,
        };
        lent.io.adopt(stream, accepted.tag());
        if let Some(node) = caller.filter(|_| !accepted.stale) {
            self.called(node, incarnation, method, lent);
        }
    }

    /// An event of a stream that was accepted.
    pub(super) fn serve(
        &mut self,
        stream: StreamId,
        call: Accepted,
        event: StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        match event {
            StreamIn::Frame(bytes) => {
                if self.drop_errand(stream) {
                    Self::misbehaved(call.caller, "two messages on a unary call", lent);
                    return lent.io.end(
                        stream,
                        Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                    );
                }
                match call.method {
                    control_plane::PING => self.answer_ping(stream, call, bytes, lent),
                    control_plane::NEGOTIATE => self.answer_negotiate(stream, call, bytes, lent),
                    _ => self.answer_closing(stream, call, bytes, lent),
                }
            }
            StreamIn::HalfClosed => {
                if !self.has_errand(stream) {
                    lent.io.end(
                        stream,
                        Status::new(Code::InvalidArgument, codes::NOT_ONE_MESSAGE),
                    );
                }
            }
            StreamIn::Ended(_) => {
                self.drop_errand(stream);
            }
            StreamIn::Accepted { .. } | StreamIn::Header(_) | StreamIn::Writable => {}
        }
    }

    /// An event of a stream that was opened.
    pub(super) fn heard(
        &mut self,
        stream: StreamId,
        at: u64,
        event: StreamIn<'_>,
        lent: &mut Lent<'_>,
    ) {
        let Some(call) = self.calls.at_mut(at, stream) else {
            return;
        };
        match event {
            StreamIn::Header(header) => {
                if let Some(identity) = Identity::from_header(header) {
                    if identity.node == lent.io.name(call.to) {
                        call.incarnation = Some(identity.incarnation);
                    } else {
                        call.heard = Heard::Bad;
                        let node = Some(call.to);
                        Self::misbehaved(node, "answered as another host", lent);
                    }
                }
            }
            StreamIn::Frame(bytes) => {
                let call = *call;
                let heard = match call.heard {
                    Heard::Nothing => self.answer_heard(call, bytes, lent),
                    Heard::Good | Heard::Negative | Heard::Bad => Heard::Bad,
                };
                if let Some(call) = self.calls.at_mut(at, stream) {
                    call.heard = heard;
                }
            }
            StreamIn::Ended(status) => {
                if let Some(call) = self.calls.remove(at, stream) {
                    self.call_ended(call, status, lent);
                    self.pump(lent);
                }
            }
            StreamIn::HalfClosed | StreamIn::Writable | StreamIn::Accepted { .. } => {}
        }
    }

    fn answer_heard(&mut self, call: Call, bytes: &[u8], lent: &mut Lent<'_>) -> Heard {
        match call.purpose {
            Purpose::Ping { slot, .. } => self.ping_answer(call, slot, bytes, lent),
            Purpose::Trial => match self.hosts.by_node(call.to) {
                Some(slot) => self.ping_answer(call, slot, bytes, lent),
                None => Heard::Bad,
            },
            Purpose::Ask { about, .. } => self.ask_answer(call, about, bytes, lent),
            Purpose::Exchange => self.exchange_answer(call, bytes, lent),
            Purpose::Relay | Purpose::Goodbye => Heard::Good,
        }
    }

    fn call_ended(&mut self, call: Call, status: Status<'_>, lent: &mut Lent<'_>) {
        match call.purpose {
            Purpose::Ping { slot, queued } => self.ping_ended(call, slot, queued, status, lent),
            Purpose::Trial => self.trial_ended(call, status, lent),
            Purpose::Ask { about, round } => self.ask_ended(call, about, round, status, lent),
            Purpose::Exchange => self.exchange_ended(call, status, lent),
            Purpose::Relay => {}
            Purpose::Goodbye => self.goodbye_ended(call, status, lent),
        }
    }
}

/// Opens a unary call and sends its message, or does nothing.
pub(super) fn open(
    to: NodeId,
    method: MethodId,
    header: Header<'_>,
    deadline: Instant,
    at: u32,
    message: &impl trefoil_proto::wire::Encode,
    io: &mut dyn Io,
) -> Option<StreamId> {
    let tag = Tag::new(MACHINE, u64::from(at));
    let stream = io
        .open(to, method, Class::Control, header, Some(deadline), tag)
        .ok()?;
    if crate::wire::send(io, stream, message).is_err() {
        io.end(stream, Status::new(Code::Cancelled, codes::BUSY));
        return None;
    }
    io.half_close(stream);
    Some(stream)
}
