//! Commands and outcomes that own what they hold, as they travel through the world.

use trefoil_core::ring::actor::Ran;
use trefoil_core::ring::actors::{ActorsCommand, Ticket};
use trefoil_core::ring::membership::MembershipCommand;
use trefoil_core::ring::node::RingCommand;
use trefoil_core::time::{Instant, WallClock};

/// A [`RingCommand`] with its bytes.
#[derive(Clone, Debug)]
pub enum Ask {
    /// What the clock on the wall says.
    Wall(WallClock),
    /// Become a member beside `host`.
    Join(String),
    /// Mutations of an actor.
    Apply {
        /// The caller's number.
        call: u64,
        /// The encoded request.
        request: Vec<u8>,
        /// What makes it exactly once.
        request_id: u128,
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// The state of an actor.
    Get {
        /// The caller's number.
        call: u64,
        /// The encoded request.
        request: Vec<u8>,
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// A job was done.
    Ran(Ticket, Ran),
    /// Move an actor away.
    Release(u64),
    /// Leave the cluster.
    Leave,
}

impl Ask {
    /// The command as the ring takes it.
    #[must_use]
    pub fn lend(&self) -> RingCommand<'_> {
        match *self {
            Self::Wall(wall) => RingCommand::Membership(MembershipCommand::Wall(wall)),
            Self::Join(ref host) => RingCommand::Membership(MembershipCommand::Join { host }),
            Self::Apply {
                call,
                ref request,
                request_id,
                deadline,
            } => RingCommand::Actors(ActorsCommand::Apply {
                call,
                request,
                request_id: Some(request_id),
                deadline,
            }),
            Self::Get {
                call,
                ref request,
                deadline,
            } => RingCommand::Actors(ActorsCommand::Get {
                call,
                request,
                deadline,
            }),
            Self::Ran(ticket, ref ran) => RingCommand::Actors(ActorsCommand::Ran {
                ticket,
                outcome: ran.outcome(),
            }),
            Self::Release(id) => RingCommand::Actors(ActorsCommand::Release { id }),
            Self::Leave => RingCommand::Leave,
        }
    }
}
