//! Who is dialled: one connection to an address, whatever number of links use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_core::id::LinkId;
use trefoil_core::stream::Class;

use crate::frame::reason::NO_ERROR;
use crate::inbox::Attempt;
use crate::wire::Wire;
use trefoil_transport::{Level, Stop};

/// One connection that is dialled or stands.
pub(crate) struct Peer {
    address: String,
    stop: Arc<Stop>,
    /// None while it is dialled.
    wire: Option<Arc<Wire>>,
    links: Vec<LinkId>,
}

impl Peer {
    /// Closes the connection, if there is one yet.
    fn close(&self) {
        self.stop.raise(Level::Close);
        if let Some(wire) = &self.wire {
            wire.close(NO_ERROR);
        }
    }
}

/// What a link has been given.
pub(crate) enum Joined {
    /// A connection that stands.
    Up,
    /// One that is being dialled.
    Dialling,
    /// Nothing yet: it is to be dialled.
    Fresh(Attempt, Arc<Stop>),
}

#[derive(Default)]
pub(crate) struct Peers {
    peers: BTreeMap<Attempt, Peer>,
    by_address: BTreeMap<String, Attempt>,
    /// By number; there are two for each node ever heard of.
    links: Vec<Option<(Attempt, Class)>>,
    attempts: u64,
}

impl Peers {
    /// Gives a link the connection of its address.
    pub(crate) fn join(&mut self, link: LinkId, address: &str, class: Class) -> Joined {
        self.leave(link);
        let at = link.0 as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        let known = self.by_address.get(address).copied();
        if let Some(attempt) = known
            && let Some(peer) = self.peers.get_mut(&attempt)
            // One that was lost just now is not worth waiting for.
            && !peer.wire.as_ref().is_some_and(|wire| wire.is_closed())
        {
            peer.links.push(link);
            self.links[at] = Some((attempt, class));
            return if peer.wire.is_some() {
                Joined::Up
            } else {
                Joined::Dialling
            };
        }
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        let stop = Arc::new(Stop::default());
        let peer = Peer {
            address: address.to_owned(),
            stop: Arc::clone(&stop),
            wire: None,
            links: vec![link],
        };
        self.peers.insert(attempt, peer);
        self.by_address.insert(address.to_owned(), attempt);
        self.links[at] = Some((attempt, class));
        Joined::Fresh(attempt, stop)
    }

    /// Takes a link from its connection, and closes that if nobody else uses it.
    pub(crate) fn leave(&mut self, link: LinkId) {
        let left = self.links.get_mut(link.0 as usize).and_then(Option::take);
        let Some((attempt, _)) = left else { return };
        let Some(peer) = self.peers.get_mut(&attempt) else {
            return;
        };
        peer.links.retain(|other| *other != link);
        if peer.links.is_empty() {
            peer.close();
            self.remove(attempt);
        }
    }

    /// The connection stands. Returns the links that use it.
    pub(crate) fn up(&mut self, attempt: Attempt, wire: Arc<Wire>) -> Vec<LinkId> {
        let Some(peer) = self.peers.get_mut(&attempt) else {
            // It was hung up just now.
            wire.close(NO_ERROR);
            return Vec::new();
        };
        peer.wire = Some(wire);
        peer.links.clone()
    }

    /// The connection is no more. Returns the links that used it.
    pub(crate) fn lost(&mut self, attempt: Attempt) -> Vec<LinkId> {
        let Some(peer) = self.remove(attempt) else {
            return Vec::new();
        };
        for link in &peer.links {
            self.links[link.0 as usize] = None;
        }
        peer.links
    }

    fn remove(&mut self, attempt: Attempt) -> Option<Peer> {
        let peer = self.peers.remove(&attempt)?;
        if self.by_address.get(&peer.address) == Some(&attempt) {
            self.by_address.remove(&peer.address);
        }
        Some(peer)
    }

    fn link(&self, link: LinkId) -> Option<(Attempt, Class)> {
        self.links.get(link.0 as usize).copied().flatten()
    }

    /// The class of a link that is dialled or stands.
    pub(crate) fn class(&self, link: LinkId) -> Option<Class> {
        self.link(link).map(|(_, class)| class)
    }

    /// The connection of a link that stands.
    pub(crate) fn wire(&self, link: LinkId) -> Option<&Arc<Wire>> {
        let (attempt, _) = self.link(link)?;
        self.peers.get(&attempt)?.wire.as_ref()
    }

    /// How many links there are, and connections.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.links.iter().flatten().count(), self.peers.len())
    }

    pub(crate) fn close_all(&self) {
        for peer in self.peers.values() {
            peer.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(4);
    const B: LinkId = LinkId(5);

    #[test]
    fn links_to_one_address_share_a_connection_until_the_last_leaves() {
        let mut peers = Peers::default();
        let Joined::Fresh(attempt, stop) = peers.join(A, "a:1", Class::Control) else {
            panic!("nothing to join")
        };
        assert!(matches!(
            peers.join(B, "a:1", Class::Bulk),
            Joined::Dialling
        ));
        assert_eq!(peers.class(B), Some(Class::Bulk));
        assert_eq!(peers.sizes(), (2, 1));
        peers.leave(A);
        assert_eq!((peers.sizes(), stop.level()), ((1, 1), Level::Run));
        peers.leave(B);
        assert_eq!((peers.sizes(), stop.level()), ((0, 0), Level::Close));
        assert!(peers.lost(attempt).is_empty(), "late news");
        assert!(matches!(
            peers.join(A, "a:1", Class::Control),
            Joined::Fresh(..)
        ));
    }

    #[test]
    fn a_lost_connection_is_lost_to_all_its_links() {
        let mut peers = Peers::default();
        let Joined::Fresh(attempt, _) = peers.join(A, "a:1", Class::Control) else {
            panic!("nothing to join")
        };
        peers.join(B, "a:1", Class::Bulk);
        assert_eq!(peers.lost(attempt), [A, B]);
        assert_eq!((peers.class(A), peers.sizes()), (None, (0, 0)));
        // A link that is dialled elsewhere leaves its old connection.
        peers.join(A, "a:1", Class::Control);
        peers.join(A, "b:1", Class::Control);
        assert_eq!(peers.sizes(), (1, 1));
    }
}
