//! The stable codes of errors: the first word of every status message a machine sends.
//!
//! | code | gRPC code | meaning | what a caller may do |
//! |---|---|---|---|
//! | `TF-C01` | RESOURCE_EXHAUSTED | a limit of this node is reached | retry with back-off |
//! | `TF-C02` | FAILED_PRECONDITION | the caller belongs to another cluster | correct the cluster name |
//! | `TF-C03` | FAILED_PRECONDITION | the caller places ids by other settings | give all nodes one placement setting |
//! | `TF-C04` | INVALID_ARGUMENT | the message cannot be decoded | correct the message |
//! | `TF-C05` | RESOURCE_EXHAUSTED | the message is larger than the limit | send less, or raise the limit |
//! | `TF-C06` | DEADLINE_EXCEEDED | the deadline passed; the outcome is unknown | retry with the same request id |
//! | `TF-C07` | UNAVAILABLE | the peer cannot be reached; nothing was sent | retry |
//! | `TF-C08` | UNIMPLEMENTED | no such method here | call another node or version |
//! | `TF-C09` | UNAVAILABLE | this node is stopping | retry elsewhere |
//! | `TF-C10` | INVALID_ARGUMENT | a stream of one message ended without it, or held two | correct the client |
//! | `TF-C11` | FAILED_PRECONDITION | the caller uses this node's own name | give every node a name of its own |
//! | `TF-C12` | FAILED_PRECONDITION | the caller keeps its journals in another store | let all nodes of a cluster share one store |
//! | `TF-C13` | PERMISSION_DENIED | only callers on the node's own machine, or known by certificate or token, may ask for this | call from there, or show one |
//! | `TF-C14` | UNAUTHENTICATED | the caller's certificate does not name the node it says it is | issue one for its host name |
//! | `TF-C15` | UNAUTHENTICATED | the caller shows no token, or another than this node's | give all of them one token |
//! | `TF-C16` | UNAUTHENTICATED | the peer is there, and one side does not trust the other; nothing was sent | look at the certificates of both |
//! | `TF-R01` | UNAVAILABLE | not the owner, and the call was forwarded already | resolve again, retry |
//! | `TF-R02` | UNAVAILABLE | this side of a partition holds no majority | retry, or call another node |
//! | `TF-R03` | ABORTED | ownership moved during the call; the outcome is unknown | retry with the same request id |
//! | `TF-R04` | NOT_FOUND | no actor of this id has ever been written | create it by Apply |
//! | `TF-R05` | RESOURCE_EXHAUSTED | the actor's mailbox, or the node's, is full | retry with back-off |
//! | `TF-R06` | UNAVAILABLE | this node is draining | retry elsewhere |
//! | `TF-R07` | ALREADY_EXISTS | a request of this id was applied before; its answer is no longer held | read the state |
//! | `TF-R08` | INTERNAL | the actor could not be loaded, or its code failed | look at the node's log |
//! | `TF-R09` | UNAVAILABLE | the store did not answer, or refused | retry with back-off |
//! | `TF-R10` | INVALID_ARGUMENT | too many messages in one Apply | split it |
//! | `TF-R11` | UNAVAILABLE | this node does not know yet who owns what | retry with back-off |
//! | `TF-R12` | UNKNOWN | the owner was lost during the call; the outcome is unknown | retry with the same request id |

/// A limit of this node is reached.
pub const BUSY: &str = "TF-C01: a limit of this node is reached; retry with back-off";
/// The caller belongs to another cluster.
pub const OTHER_CLUSTER: &str = "TF-C02: the caller belongs to a cluster of another name";
/// The caller places ids by other settings.
pub const OTHER_PLACEMENT: &str = "TF-C03: the caller's placement settings differ from this node's";
/// The message cannot be decoded.
pub const MALFORMED: &str = "TF-C04: the message cannot be decoded";
/// The message is too large.
pub const TOO_LARGE: &str = "TF-C05: the message is larger than this node accepts";
/// The deadline passed.
pub const DEADLINE: &str = "TF-C06: the deadline passed; the outcome is unknown";
/// The peer cannot be reached.
pub const UNREACHABLE: &str = "TF-C07: the peer cannot be reached";
/// No such method.
pub const NO_METHOD: &str = "TF-C08: this node does not serve the method";
/// The node is stopping.
pub const STOPPING: &str = "TF-C09: this node is stopping";
/// Not exactly one message on a unary call.
pub const NOT_ONE_MESSAGE: &str = "TF-C10: a unary call must carry exactly one message";
/// The caller uses this node's own name.
pub const SAME_NAME: &str = "TF-C11: the caller uses this node's own name";
/// The caller keeps its journals elsewhere.
pub const OTHER_STORE: &str =
    "TF-C12: the caller keeps its journals in another store; all nodes of a cluster must share one";
/// Not for anybody.
pub const OPERATORS_ONLY: &str = "TF-C13: only callers on this node's own machine, or known by certificate or token, may ask for this";
/// The certificate names others.
pub const NOT_NAMED: &str = "TF-C14: the caller's certificate does not name the node it says it is";
/// No token, or the wrong one.
pub const NO_TOKEN: &str = "TF-C15: the caller does not show this node's token";
/// One side does not trust the other.
pub const UNTRUSTED: &str =
    "TF-C16: the peer is there, and one side does not trust the other; nothing was sent";
/// Not the owner, and forwarded already.
pub const NOT_OWNER: &str = "TF-R01: not the owner, and the call was forwarded already";
/// No majority on this side.
pub const NO_MAJORITY: &str = "TF-R02: this side of a partition holds no majority of the hosts";
/// Ownership moved during the call.
pub const MOVED: &str = "TF-R03: ownership moved during the call; the outcome is unknown";
/// No such actor.
pub const NOT_FOUND: &str = "TF-R04: no actor of this id has ever been written";
/// Mailbox full.
pub const MAILBOX_FULL: &str = "TF-R05: the mailbox is full; retry with back-off";
/// Draining.
pub const DRAINING: &str = "TF-R06: this node is draining; call another";
/// Applied before, answer no longer held.
pub const APPLIED_BEFORE: &str =
    "TF-R07: a request of this id was applied before; its answer is no longer held";
/// The actor failed.
pub const ACTOR_FAILED: &str = "TF-R08: the actor could not be loaded or its code failed";
/// The store did not answer.
pub const STORE: &str = "TF-R09: the store did not answer or refused";
/// Too many messages in one Apply.
pub const TOO_MANY_MESSAGES: &str = "TF-R10: too many messages in one Apply";
/// Views are still being collected.
pub const NOT_READY: &str = "TF-R11: this node does not know yet who owns what";
/// The owner was lost during the call.
pub const OWNER_LOST: &str = "TF-R12: the owner was lost during the call; the outcome is unknown";

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_lists_every_code_once() {
        let source = include_str!("codes.rs");
        // A constant's text may stand on the line after its name.
        let used: BTreeSet<&str> = source
            .split("\npub const ")
            .skip(1)
            .filter_map(|constant| constant.split('"').nth(1)?.split(':').next())
            .collect();
        let listed: std::vec::Vec<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
            .collect();
        assert_eq!(used, listed.iter().copied().collect());
        assert_eq!(used.len(), listed.len());
    }
}
