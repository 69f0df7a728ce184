//! A node that is not ours: the first claim wins, nothing is ever given up, and its messages are for
//! people.

extern crate std;

use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use trefoil_proto::control_plane::{
    ActorIdsReply, ExpiryAnnounce, OwnerChangeAck, OwnershipAnnounce,
};
use trefoil_proto::wire::Decode;

use super::net::{LATENCY_MAX, Net, Node, PERIOD};
use super::world::bytes;
use crate::id::MethodId;
use crate::method::control_plane;

pub(super) struct Legacy {
    name: String,
    owners: BTreeMap<u64, String>,
}

impl Legacy {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            owners: BTreeMap::new(),
        }
    }

    pub(super) fn owns(&self, id: u64) -> bool {
        self.owners.get(&id) == Some(&self.name)
    }

    /// An announcement, if the id may be claimed.
    pub(super) fn claim(&mut self, id: u64) -> Option<Vec<u8>> {
        if self.owners.contains_key(&id) {
            return None;
        }
        self.owners.insert(id, self.name.clone());
        Some(bytes(&OwnershipAnnounce {
            host: &self.name,
            ids: &[id][..],
        }))
    }

    pub(super) fn serve(&mut self, method: MethodId, frame: &[u8]) -> Vec<u8> {
        match method {
            control_plane::ANNOUNCE_OWNERSHIP => {
                let OwnershipAnnounce { host, ids } = OwnershipAnnounce::parse(frame).unwrap();
                let mut accepted = true;
                for id in ids.iter().map(Result::unwrap) {
                    accepted &= self.owners.entry(id).or_insert_with(|| host.into()) == host;
                }
                bytes(&OwnerChangeAck {
                    accepted,
                    message: if accepted { "" } else { "grain exists (?)" },
                })
            }
            control_plane::ANNOUNCE_EXPIRY => {
                let ExpiryAnnounce { host, ids } = ExpiryAnnounce::parse(frame).unwrap();
                for id in ids.iter().map(Result::unwrap) {
                    if self.owners.get(&id).is_some_and(|owner| owner == host) {
                        self.owners.remove(&id);
                    }
                }
                bytes(&OwnerChangeAck {
                    accepted: true,
                    message: "ok",
                })
            }
            control_plane::LOCAL_ACTOR_IDS => {
                let own: Vec<u64> = self
                    .owners
                    .keys()
                    .copied()
                    .filter(|id| self.owns(*id))
                    .collect();
                bytes(&ActorIdsReply { ids: &own[..] })
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn must_10_a_legacy_peer_ends_in_the_same_view_and_keeps_what_it_claimed() {
    let (mut held, mut contested) = (0, 0);
    for seed in 0..60 {
        let mut net = Net::settled(seed, 5, 1);
        net.loss_percent = 1;
        for id in 0..20 {
            let rival = net.rng.below(4) as usize;
            if net.rng.below(2) == 0 {
                net.claim(rival, id);
                net.pass(LATENCY_MAX / 4);
                net.claim_legacy(4, id);
            } else {
                net.claim_legacy(4, id);
                net.pass(LATENCY_MAX / 4);
                net.claim(rival, id);
            }
        }
        // A lost announcement of a legacy node is found by asking it, which comes to its turn.
        net.loss_percent = 0;
        net.pass(PERIOD * 5);
        net.check_views()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let Node::Legacy(legacy) = &net.nodes[4] else {
            panic!()
        };
        for id in 0..20 {
            let owner = net.agreed(id).unwrap();
            assert_eq!(
                legacy.owns(id),
                owner == Some(4),
                "seed {seed}, id {id}: {owner:?}"
            );
            let owner = owner.expect("somebody holds it");
            assert!(
                legacy.owners[&id].starts_with(&std::format!("host-{owner}:")),
                "seed {seed}, id {id}"
            );
            held += u32::from(legacy.owns(id));
            contested += u32::from(
                net.alive()
                    .iter()
                    .any(|node| net.ours(*node).lost.contains(&(id, 4))),
            );
        }
    }
    assert!(held > 200 && contested > 100, "{held} {contested}");
}
