//! Nobody who was removed comes back by hearsay.
//!
//! A host that was in a view and left it may enter it again only if a packet of that host came since:
//! it answered, or it called. What others say of it is not enough; a host that died for good can
//! therefore never come back.
//!
//! Planted against it: `hearsay`.

use super::{Invariant, Verdict};
use crate::moment::Moment;
use crate::ring::subject::ViewNews;

/// When each host left each view.
#[derive(Debug)]
pub struct Removals {
    nodes: usize,
    /// By node and peer.
    removed: Vec<Option<Moment>>,
}

impl Removals {
    /// Nobody has been removed.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            removed: vec![None; nodes * nodes],
        }
    }

    /// A process knows nothing of what the one before it removed.
    pub fn forget(&mut self, node: usize) {
        self.removed[node * self.nodes..(node + 1) * self.nodes].fill(None);
    }

    /// A view changed; `heard` is when the node last took a packet of that peer.
    pub fn take(&mut self, news: ViewNews, heard: Moment, verdicts: &mut Vec<Verdict>) {
        let ViewNews { at, node, peer, up } = news;
        let removed = &mut self.removed[node * self.nodes + peer];
        if !up {
            *removed = Some(at);
            return;
        }
        if let Some(since) = removed.take().filter(|since| heard < *since) {
            let text = format!(
                "node {node} removed {peer} at {since}, heard it last at {heard}, and has it back"
            );
            verdicts.push(Verdict {
                at,
                invariant: Invariant::Resurrection,
                text,
            });
        }
    }
}
