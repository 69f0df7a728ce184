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
}

/// Whether a method of the knots takes exactly one message and gives one.
#[must_use]
pub const fn is_unary(method: MethodId) -> bool {
    method.0 <= admin::OWNER.0
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
        ] {
            assert_eq!(methods.method(id).map(|m| m.descriptor.path), Some(path));
            assert_eq!(methods.by_path(path).map(|(id, _)| id), Some(id));
        }
        assert!(methods.by_path("/no/Such").is_none());
    }
}
