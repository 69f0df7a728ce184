//! Nodes that have a part in the channels, and vote.

use std::time::Duration;

use trefoil_core::election::{ElectionConfig, Memory};
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::ring::membership::PartitionPolicy;
use trefoil_proto::google::Any;
use trefoil_runtime_tokio::{ChannelsConfig, Node, NodeOptions};
use trefoil_store::Store;

/// Longest wait for anything that must come. Only a failure takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Nobody;

impl ActorKind for Nobody {
    type Actor = Self;

    fn load(&self, _: u64, _: Option<&[u8]>) -> Result<Self, Failed> {
        Ok(Self)
    }
}

impl Actor for Nobody {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        Ok(())
    }

    fn snapshot(&self, _: &mut Vec<u8>) {}

    fn type_url(&self) -> &str {
        "type.googleapis.com/bench.Nobody"
    }
}

/// Starts the node that is `hosts[at]`, on a thread of its own.
pub(crate) async fn start(at: usize, hosts: &[String], store: &Store) -> Node {
    let host = &hosts[at];
    let mut options = NodeOptions::new(host.clone(), "bench");
    options.join = hosts.to_vec();
    options.incarnation = store.begin_incarnation(host).expect("a store");
    options.membership.partition = PartitionPolicy::KeepQuorum;
    options.election = Some(ElectionConfig {
        memory: Memory::Kept { first: true },
        ..ElectionConfig::lan(at, hosts)
    });
    let mut channels = ChannelsConfig::default();
    channels.coordinator.expected_nodes = hosts.len() as u32;
    options.channels = Some(channels);
    let node = Node::spawn(options, Nobody, store.session(host)).await;
    node.expect("a node that starts")
}
