//! The table of remote procedures a node serves and calls.
//!
//! A transport knows methods and bytes, no machine: it turns a path into a [`MethodId`] and back, and
//! carries frames. Machines match on the constants of this module.

use alloc::vec::Vec;

use crate::id::MethodId;
use crate::stream::Class;
pub use trefoil_proto::MethodDescriptor;

/// One entry of the table.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Path and streaming sides, as the schema declares them.
    pub descriptor: MethodDescriptor,
    /// The connection its calls travel on.
    pub class: Class,
}

/// Methods of `control_plane_messages.ControlPlane`, in the order of the schema.
pub mod control_plane {
    use crate::id::MethodId;

    /// Liveness.
    pub const PING: MethodId = MethodId(0);
    /// Union of two views of the membership.
    pub const NEGOTIATE: MethodId = MethodId(1);
    /// The ids active on the callee.
    pub const LOCAL_ACTOR_IDS: MethodId = MethodId(2);
    /// Claims of ownership.
    pub const ANNOUNCE_OWNERSHIP: MethodId = MethodId(3);
    /// Mutations of one actor.
    pub const APPLY: MethodId = MethodId(4);
    /// Ends of ownership.
    pub const ANNOUNCE_EXPIRY: MethodId = MethodId(5);
    /// A host is leaving, or is said to be gone.
    pub const CLOSING: MethodId = MethodId(6);
    /// State of one actor.
    pub const GET: MethodId = MethodId(7);
}

/// Methods of `trefoil.admin.v1.Admin`.
pub mod admin {
    use crate::id::MethodId;

    /// This node's view of the cluster.
    pub const STATUS: MethodId = MethodId(8);
    /// Drain and leave.
    pub const LEAVE: MethodId = MethodId(9);
    /// Owners of some ids.
    pub const OWNER: MethodId = MethodId(10);
    /// A leader gives its leadership to another voter.
    pub const HAND_OVER: MethodId = MethodId(11);
}

/// Methods of `cache.Cache`.
pub mod cache {
    use crate::id::MethodId;

    /// Requests of one node and the answers of another, as long as both run.
    pub const STREAM_VALUES: MethodId = MethodId(12);
}

/// Methods of the services of `milvus.proto.streaming`.
pub mod streaming {
    use crate::id::MethodId;

    /// How the coordinator is.
    pub const COORD_STATES: MethodId = MethodId(13);
    /// How a node is.
    pub const NODE_STATES: MethodId = MethodId(14);
    /// Where the channels are, as long as both run.
    pub const DISCOVER: MethodId = MethodId(15);
    /// Records to be appended to one channel, and what became of them.
    pub const PRODUCE: MethodId = MethodId(16);
    /// Records of one channel.
    pub const CONSUME: MethodId = MethodId(17);
    /// A channel is given to a node.
    pub const ASSIGN: MethodId = MethodId(18);
    /// A channel is taken from a node.
    pub const REMOVE: MethodId = MethodId(19);
    /// What a node says of itself.
    pub const COLLECT_STATUS: MethodId = MethodId(20);
}

/// Methods of `trefoil.channels.v1.Channels`.
pub mod channels {
    use crate::id::MethodId;

    /// Which channels there are, and where.
    pub const LIST: MethodId = MethodId(21);
    /// Channels are made.
    pub const CREATE: MethodId = MethodId(22);
    /// A channel is put on a node.
    pub const MOVE: MethodId = MethodId(23);
    /// What would be moved.
    pub const PLAN: MethodId = MethodId(24);
    /// A node gives up its channels.
    pub const DRAIN: MethodId = MethodId(25);
    /// A node may have channels again.
    pub const UNDRAIN: MethodId = MethodId(26);
}

/// Whether a method of the knots takes exactly one message and gives one.
#[must_use]
pub const fn is_unary(method: MethodId) -> bool {
    !matches!(
        method,
        cache::STREAM_VALUES | streaming::DISCOVER | streaming::PRODUCE | streaming::CONSUME
    ) && method.0 < FIRST_MOUNTED.0
}

/// Whether a method is about ids: then both sides must place them alike and keep their journals in one
/// store. Neither the election nor the channels need the former.
#[must_use]
pub const fn is_about_ids(method: MethodId) -> bool {
    method.0 < cache::STREAM_VALUES.0 || method.0 > channels::UNDRAIN.0
}

/// First number free for methods a user mounts; the numbers below belong to the knots.
pub const FIRST_MOUNTED: MethodId = MethodId(64);

/// Methods by number and by path.
#[derive(Clone, Debug, Default)]
pub struct Methods {
    entries: Vec<(MethodId, Method)>,
}

impl Methods {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The methods of the ring and of the administration of a node.
    #[must_use]
    pub fn ring() -> Self {
        let mut methods = Self::new();
        for (number, descriptor) in (0..).zip(trefoil_proto::control_plane::service::METHODS) {
            let id = MethodId(number);
            let class = match id {
                control_plane::APPLY | control_plane::GET | control_plane::LOCAL_ACTOR_IDS => {
                    Class::Bulk
                }
                _ => Class::Control,
            };
            methods.mount(
                id,
                Method {
                    descriptor: *descriptor,
                    class,
                },
            );
        }
        for (number, descriptor) in (admin::STATUS.0..).zip(trefoil_proto::admin::service::METHODS)
        {
            methods.mount(
                MethodId(number),
                Method {
                    descriptor: *descriptor,
                    class: Class::Control,
                },
            );
        }
        methods
    }

    /// The method of the election alone.
    #[must_use]
    pub fn election() -> Self {
        Self::new().with_election()
    }

    /// These methods and that of the election. A vote must not wait behind bulk data.
    #[must_use]
    pub fn with_election(mut self) -> Self {
        for (number, descriptor) in
            (cache::STREAM_VALUES.0..).zip(trefoil_proto::cache::service::METHODS)
        {
            self.mount(
                MethodId(number),
                Method {
                    descriptor: *descriptor,
                    class: Class::Control,
                },
            );
        }
        self
    }

    /// These methods and those of the channels. A channel's assignment must not wait behind its records.
    #[must_use]
    pub fn with_channels(mut self) -> Self {
        use trefoil_proto::streaming::service::{
            streaming_coord_assignment_service as assignment,
            streaming_coord_state_service as coord, streaming_node_handler_service as handler,
            streaming_node_manager_service as manager, streaming_node_state_service as node,
        };
        for (id, descriptor, class) in [
            (
                streaming::COORD_STATES,
                coord::GET_COMPONENT_STATES,
                Class::Control,
            ),
            (
                streaming::NODE_STATES,
                node::GET_COMPONENT_STATES,
                Class::Control,
            ),
            (
                streaming::DISCOVER,
                assignment::ASSIGNMENT_DISCOVER,
                Class::Control,
            ),
            (streaming::PRODUCE, handler::PRODUCE, Class::Bulk),
            (streaming::CONSUME, handler::CONSUME, Class::Bulk),
            (streaming::ASSIGN, manager::ASSIGN, Class::Control),
            (streaming::REMOVE, manager::REMOVE, Class::Control),
            (
                streaming::COLLECT_STATUS,
                manager::COLLECT_STATUS,
                Class::Control,
            ),
        ] {
            self.mount(id, Method { descriptor, class });
        }
        let operators = trefoil_proto::channels::service::METHODS;
        for (number, descriptor) in (channels::LIST.0..).zip(operators) {
            self.mount(
                MethodId(number),
                Method {
                    descriptor: *descriptor,
                    class: Class::Control,
                },
            );
        }
        self
    }

    /// Adds a method, replacing one of the same number.
    pub fn mount(&mut self, id: MethodId, method: Method) {
        self.entries.retain(|(known, _)| *known != id);
        self.entries.push((id, method));
        self.entries.sort_unstable_by_key(|(id, _)| *id);
    }

    /// The method of a number.
    #[must_use]
    pub fn method(&self, id: MethodId) -> Option<&Method> {
        let at = self.entries.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.entries[at].1)
    }

    /// The method of a path such as `/control_plane_messages.ControlPlane/Ping`. Linear in the
    /// number of methods, which is small; transports call it once a stream.
    #[must_use]
    pub fn by_path(&self, path: &str) -> Option<(MethodId, &Method)> {
        self.entries
            .iter()
            .find(|(_, method)| method.descriptor.path == path)
            .map(|(id, method)| (*id, method))
    }

    /// All methods in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (MethodId, &Method)> {
        self.entries.iter().map(|(id, method)| (*id, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_name_the_methods_of_the_schema() {
        let methods = Methods::ring();
        for (id, path) in [
            (
                control_plane::PING,
                "/control_plane_messages.ControlPlane/Ping",
            ),
            (
                control_plane::NEGOTIATE,
                "/control_plane_messages.ControlPlane/Negotiate",
            ),
            (
                control_plane::LOCAL_ACTOR_IDS,
                "/control_plane_messages.ControlPlane/GetLocalActorIds",
            ),
            (
                control_plane::ANNOUNCE_OWNERSHIP,
                "/control_plane_messages.ControlPlane/AnnounceOwnership",
            ),
            (
                control_plane::APPLY,
                "/control_plane_messages.ControlPlane/Apply",
            ),
            (
                control_plane::ANNOUNCE_EXPIRY,
                "/control_plane_messages.ControlPlane/AnnounceExpiry",
            ),
            (
                control_plane::CLOSING,
                "/control_plane_messages.ControlPlane/Closing",
            ),
            (
                control_plane::GET,
                "/control_plane_messages.ControlPlane/Get",
            ),
            (admin::STATUS, "/trefoil.admin.v1.Admin/Status"),
            (admin::LEAVE, "/trefoil.admin.v1.Admin/Leave"),
            (admin::OWNER, "/trefoil.admin.v1.Admin/Owner"),
            (admin::HAND_OVER, "/trefoil.admin.v1.Admin/HandOver"),
        ] {
            assert_eq!(methods.method(id).map(|m| m.descriptor.path), Some(path));
            assert_eq!(methods.by_path(path).map(|(id, _)| id), Some(id));
        }
        assert!(methods.by_path("/no/Such").is_none());
    }

    #[test]
    fn the_channels_are_mounted_where_they_are_asked_for() {
        let methods = Methods::ring().with_election().with_channels();
        for (id, path) in [
            (
                streaming::COORD_STATES,
                "/milvus.proto.streaming.StreamingCoordStateService/GetComponentStates",
            ),
            (
                streaming::NODE_STATES,
                "/milvus.proto.streaming.StreamingNodeStateService/GetComponentStates",
            ),
            (
                streaming::DISCOVER,
                "/milvus.proto.streaming.StreamingCoordAssignmentService/AssignmentDiscover",
            ),
            (
                streaming::PRODUCE,
                "/milvus.proto.streaming.StreamingNodeHandlerService/Produce",
            ),
            (
                streaming::CONSUME,
                "/milvus.proto.streaming.StreamingNodeHandlerService/Consume",
            ),
            (
                streaming::ASSIGN,
                "/milvus.proto.streaming.StreamingNodeManagerService/Assign",
            ),
            (
                streaming::REMOVE,
                "/milvus.proto.streaming.StreamingNodeManagerService/Remove",
            ),
            (
                streaming::COLLECT_STATUS,
                "/milvus.proto.streaming.StreamingNodeManagerService/CollectStatus",
            ),
            (channels::LIST, "/trefoil.channels.v1.Channels/List"),
            (channels::CREATE, "/trefoil.channels.v1.Channels/Create"),
            (channels::MOVE, "/trefoil.channels.v1.Channels/Move"),
            (channels::PLAN, "/trefoil.channels.v1.Channels/Plan"),
            (channels::DRAIN, "/trefoil.channels.v1.Channels/Drain"),
            (channels::UNDRAIN, "/trefoil.channels.v1.Channels/Undrain"),
        ] {
            let (found, method) = methods.by_path(path).unwrap();
            assert_eq!(found, id);
            let streams = method.descriptor.client_streaming;
            assert_eq!(is_unary(id), !streams, "{path}");
            assert!(!is_about_ids(id));
            assert!(Methods::ring().by_path(path).is_none());
        }
        assert!(is_about_ids(control_plane::GET) && is_about_ids(admin::OWNER));
        assert!(is_unary(control_plane::GET) && !is_unary(FIRST_MOUNTED));
    }

    #[test]
    fn the_election_is_mounted_where_it_is_asked_for() {
        const PATH: &str = "/cache.Cache/StreamValues";
        assert!(Methods::ring().by_path(PATH).is_none());
        assert_eq!(Methods::election().iter().count(), 1);
        for methods in [Methods::election(), Methods::ring().with_election()] {
            let (id, method) = methods.by_path(PATH).unwrap();
            assert_eq!((id, method.class), (cache::STREAM_VALUES, Class::Control));
        }
        let ring = Methods::ring().with_election();
        assert!(ring.method(control_plane::PING).is_some());
        assert!(ring.method(admin::OWNER).is_some());
    }
}
