//! Hosts that come and go.

use super::claims::SELF;
use super::index::Host;
use super::{Directory, DirectoryEvent, DirectoryPlant, DirectoryRefused, OWN};
use crate::id::NodeId;
use crate::machine::{Events, Io};
use crate::ring::placement::Weight;
use crate::status::{Code, Status};
use crate::time::Instant;

impl Directory {
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of a command and the seams, lent one by one"
    )]
    pub(super) fn member_up(
        &mut self,
        now: Instant,
        node: NodeId,
        host: &str,
        weight: Weight,
        legacy: bool,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) -> Result<(), DirectoryRefused> {
        if node == OWN || *host == *self.config.host {
            return Ok(());
        }
        if let Some(slot) = self
            .peers
            .find(host)
            .filter(|slot| self.peers.is_live(*slot))
        {
            self.peers.at_mut(slot).legacy = legacy;
            return Ok(());
        }
        self.placement
            .add(node.0, host, weight)
            .map_err(DirectoryRefused::Placement)?;
        let Ok(slot) = self.peers.take_slot(node, host) else {
            self.placement.remove(node.0);
            return Err(DirectoryRefused::TooManyPeers);
        };
        self.drop_claims(slot, up);
        self.claims.host(slot, host);
        self.peers.came(slot, legacy);
        let peer = self.peers.at_mut(slot);
        // It asks for the ids of this node by itself; what changed lately may cross that request.
        peer.cursor = self.log.tail();
        peer.awaited = true;
        self.awaited += 1;
        if self.awaited == 1 {
            up.event(DirectoryEvent::Ready(false));
        }
        self.patience
            .set(u32::from(slot), now + self.config.fetch_patience);
        self.fetches.set(u32::from(slot), now);
        if self.entropy_at.is_none() {
            self.entropy_at = Some(now + self.rng.jitter(self.config.anti_entropy_interval, 10));
        }
        self.ask_due(now, io);
        self.pump(now, slot, io);
        Ok(())
    }

    pub(super) fn member_down(
        &mut self,
        now: Instant,
        node: NodeId,
        io: &mut dyn Io,
        up: &mut dyn Events<Self>,
    ) {
        let Some(slot) = self
            .peers
            .slot(node)
            .filter(|slot| self.peers.is_live(*slot))
        else {
            return;
        };
        self.stop_waiting(slot, up);
        let peer = self.peers.at_mut(slot);
        let calls = peer
            .sending
            .take()
            .map_or([None, None], |sending| sending.calls);
        let fetch = peer.fetch.take().map(|fetch| fetch.stream);
        self.fetching -= u16::from(fetch.is_some());
        for stream in calls.into_iter().chain([fetch]).flatten() {
            io.end(
                stream,
                Status::new(Code::Cancelled, "the host is no member any more"),
            );
        }
        for timers in [&mut self.sends, &mut self.fetches, &mut self.patience] {
            timers.cancel(u32::from(slot));
        }
        self.placement.remove(node.0);
        self.peers.went(slot, now);
        if self.peers.live.is_empty() {
            self.entropy_at = None;
        }
        if !self.planted(DirectoryPlant::DeadHostsClaimsKept) {
            self.drop_claims(slot, up);
        }
        // A request that had to wait for one of the streams that just ended.
        self.ask_due(now, io);
    }

    fn drop_claims(&mut self, slot: Host, up: &mut dyn Events<Self>) {
        debug_assert_ne!(slot, SELF);
        while let Some(id) = self.claims.pop(slot) {
            self.tell(id, up);
        }
        self.claims.shrink(slot);
    }

    /// Decisions no longer wait for the ids of a peer.
    pub(super) fn stop_waiting(&mut self, slot: Host, up: &mut dyn Events<Self>) {
        self.patience.cancel(u32::from(slot));
        if core::mem::take(&mut self.peers.at_mut(slot).awaited) {
            self.awaited -= 1;
            if self.awaited == 0 {
                up.event(DirectoryEvent::Ready(true));
            }
        }
    }
}
