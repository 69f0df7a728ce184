//! Where the channels are.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_proto::streaming::StreamingNodeAssignment;
use trefoil_proto::wire::Repeated;

/// Where a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The node, as it is dialled.
    pub host: Arc<str>,
    /// Which of its starts.
    pub server_id: i64,
    /// The term.
    pub term: i64,
}

/// Where all channels are that are assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelMap {
    /// The leadership of the coordinators, and the change under it; `(0, 0)` before the first is heard.
    pub version: (i64, i64),
    /// By the name of the channel.
    pub channels: BTreeMap<String, Placed>,
}

impl ChannelMap {
    pub(super) fn new(
        version: (i64, i64),
        assignments: Repeated<'_, StreamingNodeAssignment<'_>>,
    ) -> Self {
        let mut channels = BTreeMap::new();
        for assignment in assignments.iter().flatten() {
            let node = assignment.node.unwrap_or_default();
            let host: Arc<str> = node.address.into();
            for channel in assignment.channels.iter().flatten() {
                let placed = Placed {
                    host: Arc::clone(&host),
                    server_id: node.server_id,
                    term: channel.term,
                };
                channels.insert(channel.name.to_owned(), placed);
            }
        }
        Self { version, channels }
    }
}
