//! One voter: its process, its clock, its disk, and what it does to the world.

use trefoil_core::election::{Election, ElectionEvent};
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Full, Io};
use trefoil_core::status::Status;
use trefoil_core::storage::Op;
use trefoil_core::stream::Class;
use trefoil_core::time::Instant;

use crate::moment::{LocalClock, Moment};

/// What a voter asks of the world in one call.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Open { to: usize, stream: StreamId },
    Frame { stream: StreamId, bytes: Vec<u8> },
    HalfClose { stream: StreamId },
    End { stream: StreamId },
    Keep { tag: Tag, value: Vec<u8> },
    Recall { tag: Tag },
}

/// A voter.
#[derive(Debug)]
pub(super) struct Voter {
    pub(super) election: Option<Election>,
    pub(super) clock: LocalClock,
    pub(super) drift_ppm: i64,
    pub(super) boot: u32,
    pub(super) disk: Vec<u8>,
    /// The store answers in order: when its last answer comes.
    pub(super) store_busy: Moment,
    pub(super) paused_until: Moment,
    /// When it is next woken, so that older alarms are known.
    pub(super) alarm: Moment,
    /// Whether it has said its last word as a voter, and those it spoke to have heard it.
    pub(super) stopped: bool,
    /// Whether it takes streams of others.
    pub(super) listening: bool,
    /// When it was last told something.
    pub(super) last_input: Moment,
    pub(super) next_stream: u32,
    pub(super) unix_offset: i64,
    /// What it says of its electorate.
    pub(super) electorate_hash: u64,
}

/// The world as one voter sees it during one call.
pub(super) struct Hands<'a> {
    pub(super) voters: usize,
    pub(super) next_stream: &'a mut u32,
    pub(super) tags: &'a mut Vec<(StreamId, Tag)>,
    pub(super) deeds: &'a mut Vec<Deed>,
}

impl Io for Hands<'_> {
    fn open(
        &mut self,
        to: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        *self.next_stream += 1;
        let stream = StreamId::new(*self.next_stream, 1);
        self.tags.push((stream, tag));
        self.deeds.push(Deed::Open {
            to: to.0 as usize,
            stream,
        });
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.tags.push((stream, tag));
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if !self.tags.iter().any(|(known, _)| *known == stream) {
            return Err(Full);
        }
        self.deeds.push(Deed::Frame {
            stream,
            bytes: vec![0; len],
        });
        match self.deeds.last_mut() {
            Some(Deed::Frame { bytes, .. }) => Ok(bytes),
            _ => Err(Full),
        }
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.deeds.push(Deed::HalfClose { stream });
    }

    fn end(&mut self, stream: StreamId, _: Status<'_>) {
        self.tags.retain(|(known, _)| *known != stream);
        self.deeds.push(Deed::End { stream });
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        match op {
            Op::Keep { value, .. } => self.deeds.push(Deed::Keep {
                tag,
                value: value.to_vec(),
            }),
            Op::Recall { .. } => self.deeds.push(Deed::Recall { tag }),
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Fence { .. }
            | Op::Tail { .. }
            | Op::Append { .. }
            | Op::Read { .. }
            | Op::Trim { .. }
            | Op::Seal { .. } => return Err(Full),
        }
        Ok(())
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        let number = name.trim_start_matches('v').split(':').next();
        let number = number.and_then(|number| number.parse().ok());
        number
            .filter(|number| (*number as usize) < self.voters)
            .map(NodeId)
            .ok_or(Full)
    }

    fn name(&self, _: NodeId) -> &str {
        ""
    }

    fn forget(&mut self, _: NodeId) {}
}

/// What a voter said of the leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Leading { token: i64 },
    Stopped,
    Other,
}

impl Said {
    pub(super) const fn of(event: ElectionEvent<'_>) -> Option<Self> {
        match event {
            ElectionEvent::Leading { token, .. } => Some(Self::Leading {
                token: token.to_wire(),
            }),
            ElectionEvent::Following { .. } | ElectionEvent::Leaderless => Some(Self::Other),
            ElectionEvent::ElectorateRefused { .. }
            | ElectionEvent::Misbehaved { .. }
            | ElectionEvent::Forgetful { .. } => None,
            ElectionEvent::Stopped => Some(Self::Stopped),
        }
    }
}
