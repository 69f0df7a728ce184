//! The link machine: when to dial a peer, how long to back off, when to hang up.
//!
//! Each peer has up to two links, one per [`Class`]. A link is dialled when a stream wants it, and
//! only then: nothing is kept open for a peer nobody speaks to. After a failure the link backs off,
//! doubling with jitter until the peer has answered something (a connection that merely stands may be
//! closed by a peer that does not trust this side, as TLS 1.3 lets it), and streams that want it meanwhile end at once with the cause of the last
//! failure, so that a caller is never kept waiting for an attempt that is not being made. Only a link that
//! was of use and stood for as long as the longest wait is dialled again at once when it is lost: a refusal
//! then says without delay that the peer's process is gone.

use alloc::vec::Vec;

use crate::id::{LinkId, NodeId};
use crate::rng::Rng;
use crate::status::Cause;
use crate::stream::Class;
use crate::time::{Duration, Instant};
use crate::timers::Timers;
use crate::transport::LinkEvent;

/// How links are dialled.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Wait after the first failure. Too short and a dead peer costs a dial per call.
    pub backoff_min: Duration,
    /// Longest wait. Too long and a peer that came back is noticed late: keep it below the
    /// membership's hold.
    pub backoff_max: Duration,
    /// A dial that has not succeeded by then is given up as lost.
    pub dial_timeout: Duration,
    /// A link without streams for this long is hung up.
    pub idle: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_millis(500),
            dial_timeout: Duration::from_secs(2),
            idle: Duration::from_secs(300),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialing,
    Up,
    /// Until the link's timer.
    BackingOff(Cause),
}

#[derive(Clone, Debug)]
struct Link {
    state: State,
    /// In a row, since the peer was heard last.
    failures: u32,
    streams: u32,
    /// When it came up, and whether the peer was heard since.
    up_at: Instant,
    is_heard: bool,
}

/// What a stream that wants a link is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Open it: the link stands or is being dialled.
    Open(LinkId),
    /// Dial the link, then open.
    Dial(LinkId),
    /// Not now; the last attempt failed for this cause.
    Closed(Cause),
}

/// What a due timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDue {
    /// The dial took too long: hang up and treat it as lost.
    GiveUp(LinkId),
    /// Nobody uses the link: hang up.
    HangUp(LinkId),
}

/// All links of a process, indexed by node and class.
#[derive(Clone, Debug)]
pub struct Links {
    config: LinkConfig,
    links: Vec<Link>,
    timers: Timers,
    rng: Rng,
}

impl Links {
    /// Links to up to `nodes_max` nodes.
    #[must_use]
    pub fn new(config: LinkConfig, nodes_max: u32, seed: u64) -> Self {
        let count = nodes_max.saturating_mul(2);
        let fresh = Link {
            state: State::Idle,
            failures: 0,
            streams: 0,
            up_at: Instant::ZERO,
            is_heard: false,
        };
        Self {
            config,
            links: alloc::vec![fresh; count as usize],
            timers: Timers::new(count),
            rng: Rng::new(seed),
        }
    }

    /// The link to `node` for `class`.
    #[must_use]
    pub const fn id(node: NodeId, class: Class) -> LinkId {
        LinkId(node.0 * 2 + matches!(class, Class::Bulk) as u32)
    }

    /// The node and class of a link.
    #[must_use]
    pub const fn end(link: LinkId) -> (NodeId, Class) {
        let class = if link.0 & 1 == 0 {
            Class::Control
        } else {
            Class::Bulk
        };
        (NodeId(link.0 / 2), class)
    }

    /// A stream wants the link. `Way::Dial` counts as dialled from now on.
    pub fn want(&mut self, now: Instant, id: LinkId) -> Way {
        let Some(link) = self.links.get_mut(id.0 as usize) else {
            return Way::Closed(Cause::Local);
        };
        match link.state {
            State::Up => Way::Open(id),
            State::Dialing => Way::Open(id),
            State::BackingOff(cause) => Way::Closed(cause),
            State::Idle => {
                link.state = State::Dialing;
                self.timers.set(id.0, now + self.config.dial_timeout);
                Way::Dial(id)
            }
        }
    }

    /// A stream was opened on the link.
    pub fn opened(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.0 as usize) {
            link.streams += 1;
            if link.state == State::Up {
                self.timers.cancel(id.0);
            }
        }
    }

    /// A stream of the link is over.
    pub fn closed(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.0 as usize) {
            link.streams = link.streams.saturating_sub(1);
            if link.streams == 0 && link.state == State::Up {
                self.timers.set(id.0, now + self.config.idle);
            }
        }
    }

    /// The peer answered on a stream of the link.
    pub fn heard(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.0 as usize) {
            link.failures = 0;
            link.is_heard = true;
        }
    }

    /// The transport reports on the link.
    pub fn handle(&mut self, now: Instant, id: LinkId, event: LinkEvent) {
        let Some(link) = self.links.get_mut(id.0 as usize) else {
            return;
        };
        match (event, link.state) {
            (LinkEvent::Up, State::Dialing) => {
                link.state = State::Up;
                (link.up_at, link.is_heard) = (now, false);
                if link.streams == 0 {
                    self.timers.set(id.0, now + self.config.idle);
                } else {
                    self.timers.cancel(id.0);
                }
            }
            // A report on a link that was hung up, or is backing off already, is late.
            (LinkEvent::Up, _) | (_, State::Idle | State::BackingOff(_)) => {}
            (LinkEvent::Refused, State::Dialing | State::Up) => {
                self.back_off(now, id, Cause::Refused)
            }
            // Whether the peer is gone is known when it is dialled. One that hangs up on everybody is
            // dialled no more often than one that refuses.
            (LinkEvent::Lost, State::Up)
                if link.is_heard && now >= link.up_at + self.config.backoff_max =>
            {
                link.state = State::Idle;
                self.timers.cancel(id.0);
            }
            (LinkEvent::Lost, State::Dialing | State::Up) => self.back_off(now, id, Cause::Lost),
            (LinkEvent::Untrusted, State::Dialing | State::Up) => {
                self.back_off(now, id, Cause::Untrusted);
            }
        }
    }

    fn back_off(&mut self, now: Instant, id: LinkId, cause: Cause) {
        let link = &mut self.links[id.0 as usize];
        let doubled = self
            .config
            .backoff_min
            .saturating_mul(1 << link.failures.min(16));
        link.failures += 1;
        link.state = State::BackingOff(cause);
        let wait = self.rng.jitter(doubled.min(self.config.backoff_max), 20);
        self.timers.set(id.0, now + wait);
    }

    /// Forgets a link. Says whether there is a connection, or an attempt at one, to be hung up.
    pub fn reset(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(id.0 as usize) else {
            return false;
        };
        self.timers.cancel(id.0);
        link.failures = 0;
        let was = core::mem::replace(&mut link.state, State::Idle);
        matches!(was, State::Up | State::Dialing)
    }

    /// One link whose time has come; call until there is none.
    pub fn pop_due(&mut self, now: Instant) -> Option<LinkDue> {
        loop {
            let (key, _) = self.timers.pop_due(now)?;
            let id = LinkId(key);
            let link = &mut self.links[key as usize];
            match link.state {
                State::BackingOff(_) => link.state = State::Idle,
                State::Dialing => {
                    self.back_off(now, id, Cause::Lost);
                    return Some(LinkDue::GiveUp(id));
                }
                State::Up if link.streams == 0 => {
                    link.state = State::Idle;
                    return Some(LinkDue::HangUp(id));
                }
                State::Up | State::Idle => {}
            }
        }
    }

    /// When [`pop_due`](Self::pop_due) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(6);

    fn links() -> Links {
        Links::new(LinkConfig::default(), 8, 1)
    }

    #[test]
    fn ids_and_ends_agree() {
        for class in [Class::Control, Class::Bulk] {
            assert_eq!(Links::end(Links::id(NodeId(3), class)), (NodeId(3), class));
        }
    }

    #[test]
    fn the_first_stream_dials_and_the_next_ones_wait() {
        let mut links = links();
        assert_eq!(links.want(Instant::ZERO, A), Way::Dial(A));
        assert_eq!(links.want(Instant::ZERO, A), Way::Open(A));
        links.opened(A);
        links.handle(Instant::ZERO, A, LinkEvent::Up);
        assert_eq!(links.want(Instant::ZERO, A), Way::Open(A));
        assert_eq!(links.poll_timeout(), None, "a link in use has no timer");
    }

    #[test]
    fn failures_back_off_doubling_and_an_answer_resets() {
        let mut links = links();
        let mut now = Instant::ZERO;
        let mut waits = [Duration::ZERO; 6];
        for wait in &mut waits {
            assert_eq!(links.want(now, A), Way::Dial(A));
            links.handle(now, A, LinkEvent::Refused);
            assert_eq!(links.want(now, A), Way::Closed(Cause::Refused));
            let due = links.poll_timeout().unwrap();
            *wait = due.since(now);
            now = due;
            assert_eq!(links.pop_due(now), None);
        }
        assert!(waits[1] > waits[0] && waits[2] > waits[1]);
        assert!(waits[5] <= Duration::from_millis(600));
        assert_eq!(links.want(now, A), Way::Dial(A));
        links.handle(now, A, LinkEvent::Up);
        // To stand is not to be trusted.
        links.handle(now, A, LinkEvent::Untrusted);
        now = links.poll_timeout().unwrap();
        assert!(
            now.since(Instant::ZERO) > waits.iter().sum::<Duration>() + Duration::from_millis(300)
        );
        assert_eq!(links.pop_due(now), None);
        assert_eq!(links.want(now, A), Way::Dial(A));
        links.handle(now, A, LinkEvent::Up);
        links.heard(A);
        links.handle(now, A, LinkEvent::Lost);
        assert!(links.poll_timeout().unwrap().since(now) <= Duration::from_millis(60));
    }

    #[test]
    fn a_link_that_stood_well_is_dialled_again_at_once_when_it_is_lost() {
        let config = LinkConfig::default();
        let mut links = links();
        let mut now = Instant::ZERO;
        // So that an unused link has a timer, which must not be taken for another.
        for streams in [1, 0] {
            assert_eq!(links.want(now, A), Way::Dial(A));
            links.handle(now, A, LinkEvent::Up);
            links.heard(A);
            if streams > 0 {
                links.opened(A);
            }
            now += config.backoff_max;
            links.handle(now, A, LinkEvent::Lost);
            links.closed(now, A);
            assert_eq!(links.poll_timeout(), None);
        }
        assert_eq!(links.want(now, A), Way::Dial(A));
        links.handle(now, A, LinkEvent::Refused);
        let due = links.poll_timeout().unwrap();
        assert!(
            due.since(now) >= config.backoff_min.mul_f32(0.8),
            "then it backs off"
        );
    }

    #[test]
    fn a_link_that_stood_briefly_or_said_nothing_backs_off() {
        for (stood, is_heard) in [(499, true), (5_000, false)] {
            let mut links = links();
            // It failed before: to stand is not to be of use.
            links.want(Instant::ZERO, A);
            links.handle(Instant::ZERO, A, LinkEvent::Refused);
            let now = links.poll_timeout().unwrap();
            links.pop_due(now);
            assert_eq!(links.want(now, A), Way::Dial(A));
            links.opened(A);
            links.handle(now, A, LinkEvent::Up);
            if is_heard {
                links.heard(A);
            }
            let now = now + Duration::from_millis(stood);
            links.handle(now, A, LinkEvent::Lost);
            assert_eq!(links.want(now, A), Way::Closed(Cause::Lost));
        }
    }

    #[test]
    fn a_link_that_is_forgotten_is_as_new() {
        let mut links = links();
        assert!(!links.reset(A));
        links.want(Instant::ZERO, A);
        assert!(links.reset(A), "the dial is to be given up");
        assert_eq!(links.poll_timeout(), None);
        links.want(Instant::ZERO, A);
        links.handle(Instant::ZERO, A, LinkEvent::Refused);
        assert!(!links.reset(A));
        assert_eq!(links.want(Instant::ZERO, A), Way::Dial(A));
    }

    #[test]
    fn a_dial_that_hangs_is_given_up() {
        let mut links = links();
        links.want(Instant::ZERO, A);
        let due = links.poll_timeout().unwrap();
        assert_eq!(links.pop_due(due), Some(LinkDue::GiveUp(A)));
        assert_eq!(links.want(due, A), Way::Closed(Cause::Lost));
        links.handle(due, A, LinkEvent::Up);
        assert_eq!(
            links.want(due, A),
            Way::Closed(Cause::Lost),
            "a late report changes nothing"
        );
    }

    #[test]
    fn an_unused_link_is_hung_up_and_dialled_anew() {
        let mut links = links();
        links.want(Instant::ZERO, A);
        links.opened(A);
        links.handle(Instant::ZERO, A, LinkEvent::Up);
        links.closed(Instant::from_millis(10), A);
        let due = links.poll_timeout().unwrap();
        assert_eq!(due, Instant::from_millis(10) + LinkConfig::default().idle);
        assert_eq!(links.pop_due(due), Some(LinkDue::HangUp(A)));
        assert_eq!(links.want(due, A), Way::Dial(A));
    }
}
