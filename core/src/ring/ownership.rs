//! What actor routing asks of the directory: a seam inside the ring, so that neither machine names
//! the other and each is tested alone.

use crate::id::NodeId;
use crate::machine::Io;
use crate::time::Instant;

/// Where a call for an id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// This node owns the id.
    Local,
    /// Another node owns it, or places it on itself.
    Remote(NodeId),
    /// Nobody is known to own it and it is placed here: this node may claim it.
    Vacant,
    /// This node must not decide yet: a peer's ids have not been fetched.
    NotReady,
    /// This node must not own anything: it stands on the smaller side of a partition, or alone.
    NoMajority,
}

/// The ownership of ids as this node sees it.
pub trait Ownership {
    /// Where a call for `id` belongs. Cost: one hash look-up and one placement look-up; nothing is
    /// changed and nothing allocated.
    fn resolve(&self, id: u64) -> Route;

    /// Claims `id` for this node and tells the peers, batched. Claiming a claimed id does nothing.
    fn claim(&mut self, now: Instant, id: u64, io: &mut dyn Io);

    /// Gives `id` up and tells the peers, batched.
    fn release(&mut self, now: Instant, id: u64, io: &mut dyn Io);
}
