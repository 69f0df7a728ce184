//! The other voters: the stream this node opened to each, and what is unanswered on it.

use alloc::string::String;
use alloc::vec::Vec;

use super::electorate::RETIRED;
use super::token::Token;
use super::{Kin, Seat};
use crate::id::{NodeId, StreamId};
use crate::time::{Duration, Instant};

/// Wait before a stream that failed is opened again: at first, and at most.
const REOPEN_MIN: Duration = Duration::from_millis(2);
const REOPEN_MAX: Duration = Duration::from_millis(500);
/// Wait before a stream is opened again that was not even dialled, because the link to the voter still waits
/// after somebody else's dial; and for how long after a loss. Whether the voter's process is gone is known
/// from a dial of one's own alone.
const REOPEN_SOON: Duration = Duration::from_millis(5);
const SOON_AFTER: Duration = Duration::from_secs(1);

/// Another voter. Its votes are counted on the stream that this node opened to it, and nowhere else: so
/// nobody votes in its name.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// As it is called on the wire.
    pub(super) addr: String,
    pub(super) node: Option<NodeId>,
    pub(super) stream: Option<StreamId>,
    /// It has said something on the stream.
    pub(super) heard: bool,
    /// What it said of itself on the stream.
    pub(super) kin: Kin,
    /// A redhac node that was told of a leader on the stream, or named one: not all may be said to one that
    /// knows none.
    pub(super) knows_leader: bool,
    /// Token and time of what was claimed toward a redhac node. It need not be answered.
    pub(super) claimed: Option<(Token, Instant)>,
    /// Under which token the redhac node was told that this node leads, right before the ping that is
    /// unanswered.
    pub(super) vouched: Option<Token>,
    /// The stream before was heard, and has ended; a dial that is refused now means more.
    pub(super) lost: bool,
    lost_at: Instant,
    /// When this node dialled: a refusal tells nothing about what was promised since, for what it met may
    /// have come back.
    pub(super) dialled_at: Instant,
    /// Token and time of the request that is unanswered.
    pub(super) asked: Option<(Token, Instant)>,
    /// A request fell due while another was unanswered.
    pub(super) owes_request: bool,
    pub(super) pinged: Option<Instant>,
    pub(super) ping_at: Instant,
    pub(super) round_trip: Option<Duration>,
    /// The electorate it named that is not ours, as it was told to the layer above.
    pub(super) other_electorate: u64,
    /// It has named our electorate.
    pub(super) is_ours: bool,
    /// When to open a stream, while there is none.
    pub(super) open_at: Instant,
    failures: u32,
}

impl Peer {
    fn new(addr: String) -> Self {
        Self {
            addr,
            node: None,
            stream: None,
            heard: false,
            kin: Kin::Unknown,
            knows_leader: false,
            claimed: None,
            vouched: None,
            lost: false,
            lost_at: Instant::ZERO,
            dialled_at: Instant::ZERO,
            asked: None,
            owes_request: false,
            pinged: None,
            ping_at: Instant::ZERO,
            round_trip: None,
            other_electorate: 0,
            is_ours: false,
            open_at: Instant::ZERO,
            failures: 0,
        }
    }

    /// Whether it has answered on a stream that stands.
    pub(super) const fn connected(&self) -> bool {
        self.stream.is_some() && self.heard
    }

    /// Something came on the stream; `true` if it is the first thing. Who has not said by then that it is
    /// one of ours is none.
    pub(super) fn hear(&mut self, now: Instant) -> bool {
        self.failures = 0;
        if self.kin == Kin::Unknown {
            self.kin = Kin::Redhac;
        }
        self.lost = false;
        let is_first = !core::mem::replace(&mut self.heard, true);
        if is_first {
            // What was waited for was this; the round trip is measured from now on.
            (self.pinged, self.ping_at) = (None, now);
        }
        is_first
    }

    /// Whether a stream that ends now was dialled at all. One that ends in the instant in which it was opened
    /// was not: the link waits, and tells what it remembers.
    pub(super) fn was_dialled(&self, now: Instant) -> bool {
        self.dialled_at < now
    }

    /// The stream is over; it is opened again at once if it was of use, later and later if not.
    pub(super) fn close(&mut self, now: Instant) {
        let was_heard = self.heard;
        self.stream = None;
        self.heard = false;
        self.kin = Kin::Unknown;
        self.knows_leader = false;
        (self.claimed, self.vouched) = (None, None);
        self.asked = None;
        self.owes_request = false;
        self.pinged = None;
        self.lost |= was_heard;
        if was_heard {
            (self.open_at, self.lost_at, self.failures) = (now, now, 0);
        } else if !self.was_dialled(now) && self.lost && now < self.lost_at + SOON_AFTER {
            self.open_at = now + REOPEN_SOON;
        } else {
            let wait = REOPEN_MIN.saturating_mul(1 << self.failures.min(8));
            self.open_at = now + wait.min(REOPEN_MAX);
            self.failures += 1;
        }
    }

    /// When something is to be done about the stream: it is to be opened, or pinged, or what is unanswered
    /// for `patience` is given up.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        if self.stream.is_none() {
            return self.open_at;
        }
        let asked = self.asked.map(|(_, sent)| sent + patience);
        let pinged = self.pinged.map(|sent| sent + patience);
        let waits = [asked, pinged].into_iter().flatten().min();
        let ping = if self.pinged.is_some() {
            Instant::FAR_FUTURE
        } else {
            self.ping_at
        };
        waits.unwrap_or(Instant::FAR_FUTURE).min(ping)
    }
}

/// All voters, this one included, by seat.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    all: Vec<Peer>,
}

impl Peers {
    pub(super) fn new(voters: &[String]) -> Self {
        Self {
            all: voters.iter().cloned().map(Peer::new).collect(),
        }
    }

    pub(super) fn at(&self, seat: Seat) -> &Peer {
        &self.all[usize::from(seat.0)]
    }

    pub(super) fn at_mut(&mut self, seat: Seat) -> &mut Peer {
        &mut self.all[usize::from(seat.0)]
    }

    pub(super) fn get(&self, seat: Seat) -> Option<&Peer> {
        self.all.get(usize::from(seat.0))
    }

    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut Peer> {
        self.all.get_mut(usize::from(seat.0))
    }

    /// The address of a seat, [`RETIRED`] if nobody has it.
    pub(super) fn addr(&self, seat: Seat) -> &str {
        let peer = self.all.get(usize::from(seat.0));
        peer.map_or(RETIRED, |peer| &peer.addr)
    }

    /// The voter called `addr`. Linear in the voters.
    pub(super) fn find(&self, addr: &str) -> Option<Seat> {
        let is_it = |peer: &Peer| peer.addr == addr && addr != RETIRED;
        let at = self.all.iter().position(is_it)?;
        u8::try_from(at).ok().map(Seat)
    }

    /// The voter whose node is `node`.
    pub(super) fn of_node(&self, node: NodeId) -> Option<Seat> {
        let at = self.all.iter().position(|peer| peer.node == Some(node))?;
        u8::try_from(at).ok().map(Seat)
    }

    /// Those among the voters that have answered on streams that stand.
    pub(super) fn connected(&self) -> impl Iterator<Item = &Peer> {
        self.all.iter().filter(|peer| peer.connected())
    }
}
