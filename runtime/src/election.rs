//! The leadership as programs see it: a watch, commands, a lock with a fence.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot, watch};
use trefoil_core::codes;
use trefoil_core::election::token::Token;
use trefoil_core::election::{ElectionCommand, ElectionEvent, ElectionRefused};
use trefoil_core::node::NodeRefused;
use trefoil_core::time::Instant;

use crate::clock;
use crate::handle::Ask;

/// Who leads, as a node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leadership {
    /// This node does.
    Leading {
        /// The fencing token of the leadership.
        token: Token,
        /// The end of the lease by [`clock::now`], unless it is renewed before.
        until: Instant,
    },
    /// Another voter does.
    Following {
        /// Its address in the list of voters.
        leader: Arc<str>,
        /// Its token.
        token: Token,
    },
    /// Nobody, as far as this node knows.
    #[default]
    Leaderless,
}

impl Leadership {
    /// The token of the leadership, whosever it is.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::Leading { token, .. } | Self::Following { token, .. } => Some(*token),
            Self::Leaderless => None,
        }
    }

    /// The token, if it is this node that leads and its lease lasts at `now`.
    #[must_use]
    pub fn held(&self, now: Instant) -> Option<Token> {
        match self {
            Self::Leading { token, until } if now < *until => Some(*token),
            Self::Leading { .. } | Self::Following { .. } | Self::Leaderless => None,
        }
    }

    fn of(event: &ElectionEvent<'_>) -> Option<Self> {
        Some(match *event {
            ElectionEvent::Leading { token, until } => Self::Leading { token, until },
            ElectionEvent::Following { leader, token } => Self::Following {
                leader: leader.into(),
                token,
            },
            ElectionEvent::Leaderless => Self::Leaderless,
            ElectionEvent::Misbehaved { .. }
            | ElectionEvent::ElectorateRefused { .. }
            | ElectionEvent::Forgetful { .. }
            | ElectionEvent::Stopped => return None,
        })
    }

    /// Whether `self` is another leadership than `other`; a lease that grew is none.
    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leading { token, .. }, Self::Leading { token: other, .. }) => token != other,
            _ => self != other,
        }
    }
}

/// Publishes what an election tells; returns whether the leadership changed. A lease that only grew wakes
/// nobody.
pub(crate) fn publish(watch: &watch::Sender<Leadership>, event: &ElectionEvent<'_>) -> bool {
    let Some(news) = Leadership::of(event) else {
        return false;
    };
    watch.send_if_modified(|known| {
        let differs = news.differs(known);
        *known = news;
        differs
    })
}

/// A command that was refused; then nothing changed. Begins with a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub enum ElectionError {
    /// The election refused.
    Refused(ElectionRefused),
    /// This node takes part in no election.
    NoElection,
    /// The leadership has ended.
    Lost,
    /// The node was stopped.
    Stopped,
}

impl ElectionError {
    /// Code and message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Refused(why) => why.message(),
            Self::NoElection => codes::NO_ELECTION,
            Self::Lost => codes::LEADERSHIP_LOST,
            Self::Stopped => codes::STOPPING,
        }
    }
}

impl From<NodeRefused> for ElectionError {
    fn from(refused: NodeRefused) -> Self {
        match refused {
            NodeRefused::Election(why) => Self::Refused(why),
            // A ring refuses no command of an election.
            NodeRefused::NoElection
            | NodeRefused::Ring(_)
            | NodeRefused::Channels(_)
            | NodeRefused::NoChannels => Self::NoElection,
        }
    }
}

/// A command to the election that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedCommand {
    Campaign,
    HandOver { to: String },
    StepDown,
    Dead { voter: String },
    Stop,
}

impl OwnedCommand {
    pub(crate) fn lend(&self) -> ElectionCommand<'_> {
        match self {
            Self::Campaign => ElectionCommand::Campaign,
            Self::HandOver { to } => ElectionCommand::HandOver { to },
            Self::StepDown => ElectionCommand::StepDown,
            Self::Dead { voter } => ElectionCommand::Dead { voter },
            Self::Stop => ElectionCommand::Stop,
        }
    }
}

/// Whoever gave a command.
pub(crate) type Commander = oneshot::Sender<Result<(), ElectionError>>;

/// A node's part in an election: cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Election {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl Election {
    /// Who leads, as this node knew it last. Reads a published value; the node is not asked.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone()
    }

    /// A watch of the leadership. It wakes when the leader or the token changes; the end of the lease
    /// that it shows grows without that.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Whether this node leads: its lease is compared with the clock in this very call. A hint all the
    /// same, for the lease may end before the next instruction: a write carries the token.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.token().is_some()
    }

    /// The token, if this node leads in this moment.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        let leadership = self.leadership.borrow();
        leadership.held(clock::now())
    }

    /// Asks for the leadership now, instead of when it is this voter's turn.
    ///
    /// # Errors
    /// `TF-E08` if this node only follows; `TF-E03` if this voter is bound to a leader, leads itself, or must still be silent.
    pub async fn campaign(&self) -> Result<(), ElectionError> {
        self.command(OwnedCommand::Campaign).await
    }

    /// Gives the leadership to another voter, by its address in the list. Returns when this node has
    /// stopped to lead and the other was told; the watch shows when it leads.
    ///
    /// # Errors
    /// `TF-E01` if this node does not lead, `TF-E02` if nobody has the address.
    pub async fn hand_over(&self, to: &str) -> Result<(), ElectionError> {
        let to = to.to_owned();
        self.command(OwnedCommand::HandOver { to }).await
    }

    /// Leads no more. Another voter may lead at once, and so may this one.
    ///
    /// # Errors
    /// `TF-E01` if this node does not lead.
    pub async fn step_down(&self) -> Result<(), ElectionError> {
        self.command(OwnedCommand::StepDown).await
    }

    /// Says that a voter's process is gone for certain, as an orchestrator knows that has ended it:
    /// what was promised to it binds this voter no more. If it is not gone, two may lead.
    ///
    /// # Errors
    /// `TF-E02` if nobody has the address.
    pub async fn declare_dead(&self, voter: &str) -> Result<(), ElectionError> {
        let voter = voter.to_owned();
        self.command(OwnedCommand::Dead { voter }).await
    }

    /// Waits until this node leads, and returns the lock that goes with it: as long as it is held, no
    /// other voter holds it, and who held it before can be told apart by its lesser token.
    ///
    /// # Errors
    /// The node was stopped.
    pub async fn lock(&self) -> Result<Lock, ElectionError> {
        let mut watch = self.watch();
        loop {
            if let Some(token) = watch.borrow_and_update().held(clock::now()) {
                let election = self.clone();
                return Ok(Lock { election, token });
            }
            let changed = watch.changed().await;
            changed.map_err(|_| ElectionError::Stopped)?;
        }
    }

    pub(crate) async fn command(&self, command: OwnedCommand) -> Result<(), ElectionError> {
        let (commander, done) = oneshot::channel();
        let ask = Ask::Election { command, commander };
        let sent = self.asks.send(ask).await;
        sent.map_err(|_| ElectionError::Stopped)?;
        done.await.unwrap_or(Err(ElectionError::Stopped))
    }
}

/// The lock of one leadership. It is held until the lease ends; what is done under it carries its
/// [`fence`](Self::fence), because nobody can be stopped in the moment when a lease ends. Dropping it
/// gives nothing back: the node leads on.
#[derive(Clone, Debug)]
pub struct Lock {
    election: Election,
    token: Token,
}

impl Lock {
    /// The token of the leadership.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The token as the catalog takes it for the fence of a write
    /// ([`Op::Cas`](trefoil_core::storage::Op::Cas)): once a greater one was written, this one is
    /// refused.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.token.fence()
    }

    /// Whether it is still held in this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.election.token() == Some(self.token)
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        let mut watch = self.election.watch();
        while watch.borrow_and_update().held(clock::now()) == Some(self.token) {
            // A node that was stopped leads no more.
            if watch.changed().await.is_err() {
                return;
            }
        }
    }

    /// Works until the work is done or the lock is lost; then the work is dropped where it waits.
    ///
    /// # Errors
    /// `TF-E06` if the lock was lost first.
    pub async fn run<W: Future>(&self, work: W) -> Result<W::Output, ElectionError> {
        let (mut work, mut lost) = (pin!(work), pin!(self.lost()));
        std::future::poll_fn(|cx| {
            // What is lost is looked at first: work that never waits must not outlive its lock.
            if lost.as_mut().poll(cx).is_ready() || !self.is_held() {
                return Poll::Ready(Err(ElectionError::Lost));
            }
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Gives the leadership up.
    ///
    /// # Errors
    /// `TF-E06` if it was lost before.
    pub async fn release(self) -> Result<(), ElectionError> {
        if !self.is_held() {
            return Err(ElectionError::Lost);
        }
        self.election.step_down().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::time::Duration;

    fn token(time: i64) -> Token {
        Token::from_wire(time << 10)
    }

    fn leading(time: i64, until: Instant) -> ElectionEvent<'static> {
        let token = token(time);
        ElectionEvent::Leading { token, until }
    }

    fn watched() -> (watch::Sender<Leadership>, Election, mpsc::Receiver<Ask>) {
        let watch = watch::Sender::new(Leadership::Leaderless);
        let (asks, heard) = mpsc::channel(4);
        let leadership = watch.subscribe();
        (watch, Election { asks, leadership }, heard)
    }

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        pin!(future).poll(cx)
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_lease_that_grew_wakes_nobody_and_is_known() {
        let (watch, election, _heard) = watched();
        let (now, mut woken) = (clock::now(), election.watch());
        assert!(publish(&watch, &leading(1, now)));
        assert!(woken.has_changed().unwrap());
        woken.mark_unchanged();
        assert!(
            !election.is_leader(),
            "the lease has ended, whatever was told"
        );
        assert!(!publish(&watch, &leading(1, now + HOUR)));
        assert!(!woken.has_changed().unwrap());
        assert_eq!(election.token(), Some(token(1)));
        assert!(publish(&watch, &leading(2, now + HOUR)));
        assert!(publish(&watch, &ElectionEvent::Leaderless));
        assert!(!publish(&watch, &ElectionEvent::Leaderless));
        assert_eq!(election.leadership(), Leadership::Leaderless);
    }

    #[test]
    fn a_lock_is_of_one_leadership() {
        let (watch, election, _heard) = watched();
        let later = clock::now() + HOUR;
        assert!(poll(election.lock()).is_pending());
        publish(&watch, &leading(1, later));
        let Poll::Ready(Ok(lock)) = poll(election.lock()) else {
            panic!("this node leads");
        };
        assert_eq!((lock.is_held(), lock.fence()), (true, 1 << 10));
        assert_eq!(poll(lock.run(async { 7 })), Poll::Ready(Ok(7)));
        assert!(poll(lock.lost()).is_pending());
        // The next leadership of this very node is not its own.
        publish(&watch, &leading(2, later));
        assert!(!lock.is_held() && poll(lock.lost()).is_ready());
        let mut ran = false;
        let run = poll(lock.run(async { ran = true }));
        assert_eq!(run, Poll::Ready(Err(ElectionError::Lost)));
        assert!(!ran);
        assert_eq!(poll(lock.release()), Poll::Ready(Err(ElectionError::Lost)));
    }
}
