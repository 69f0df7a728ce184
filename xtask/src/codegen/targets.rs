//! What is generated from where.

/// One crate's worth of generated code.
pub(crate) struct Target {
    /// For messages of this program.
    pub(crate) name: &'static str,
    /// The folder of the .proto files, below the workspace root like all that follow.
    pub(crate) protos: &'static str,
    /// What becomes a Rust module.
    pub(crate) modules: &'static [Module],
    /// Where the views go, one file a module.
    pub(crate) views: &'static str,
    /// Where the owned types go, if they are wanted.
    pub(crate) owned: Option<&'static str>,
    /// Where the descriptors go, if they are wanted; below `views`.
    pub(crate) descriptors: Option<&'static str>,
    /// What the crate with the wire format is called from the generated code.
    pub(crate) wire_crate: &'static str,
}

/// A .proto file with its package and the Rust module made of it.
pub(crate) struct Module {
    /// Below the target's folder, or one that protox brings along. The module holds all messages
    /// of the package, whichever files they are in.
    pub(crate) file: &'static str,
    pub(crate) package: &'static str,
    pub(crate) name: &'static str,
}

/// The folder whose .proto files every target may import.
pub(crate) const SHARED: &str = "proto/proto";

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "proto",
        protos: SHARED,
        modules: PROTO,
        views: "proto/src/generated",
        owned: Some("proto/src/owned"),
        descriptors: Some("proto/src/generated/descriptors"),
        wire_crate: "crate",
    },
    Target {
        name: "the channels of August 2024",
        protos: "proto/proto/v2024_08",
        modules: &[Module {
            file: "streaming.proto",
            package: "milvus.proto.streaming",
            name: "streaming",
        }],
        views: "proto/src/generated/v2024_08",
        owned: None,
        descriptors: Some("proto/src/generated/v2024_08/descriptors"),
        wire_crate: "crate",
    },
    Target {
        name: "cart",
        protos: "node/proto",
        modules: &[Module {
            file: "cart.proto",
            package: "trefoil.cart.v1",
            name: "wire",
        }],
        views: "node/src/cart",
        owned: None,
        descriptors: None,
        wire_crate: "::trefoil_proto",
    },
];

/// The modules of `trefoil_proto`, which other targets may refer to.
pub(crate) const PROTO: &[Module] = &[
    Module {
        file: "admin.proto",
        package: "trefoil.admin.v1",
        name: "admin",
    },
    Module {
        file: "cache.proto",
        package: "cache",
        name: "cache",
    },
    Module {
        file: "channels.proto",
        package: "trefoil.channels.v1",
        name: "channels",
    },
    Module {
        file: "common.proto",
        package: "milvus.proto.common",
        name: "common",
    },
    Module {
        file: "control_plane.proto",
        package: "control_plane_messages",
        name: "control_plane",
    },
    Module {
        file: "google/protobuf/any.proto",
        package: "google.protobuf",
        name: "google",
    },
    Module {
        file: "google/rpc/status.proto",
        package: "google.rpc",
        name: "rpc",
    },
    Module {
        file: "milvus.proto",
        package: "milvus.proto.milvus",
        name: "milvus",
    },
    Module {
        file: "streaming.proto",
        package: "milvus.proto.streaming",
        name: "streaming",
    },
];

/// Strings that are `bytes` in the generated types and so exempt from the UTF-8 check: package,
/// message, nested message, field.
///
/// Values of properties are raw numbers in some deployments; refusing a whole message for one
/// would lose data that is not ours to judge.
pub(crate) const UTF8_EXEMPT: &[(&str, &str, &str, &str)] = &[(
    "milvus.proto.streaming",
    "Message",
    "PropertiesEntry",
    "value",
)];
