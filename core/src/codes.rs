//! The stable codes of errors: the first word of every status message a machine sends.
//!
//! | code | gRPC code | meaning | what a caller may do |
//! |---|---|---|---|
//! | `TF-C01` | RESOURCE_EXHAUSTED | a limit of this node is reached | retry with back-off |
//! | `TF-C02` | FAILED_PRECONDITION; INVALID_ARGUMENT of the channels | the caller belongs to another cluster | correct the cluster name |
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
//! | `TF-C17` | FAILED_PRECONDITION | the peer says it is another host than the one that was called | correct the address, or the peer's host: both must be spelled alike |
//! | `TF-C18` | FAILED_PRECONDITION | a voter of another electorate, or of another epoch of it: no vote counts between the two | give all voters one list and one epoch; while an epoch is rolled out, go on with it |
//! | `TF-E01` | FAILED_PRECONDITION | this node does not lead | ask the leader |
//! | `TF-E02` | INVALID_ARGUMENT | no other voter has that address | write it as the list of voters does |
//! | `TF-E03` | FAILED_PRECONDITION | this voter is bound to a leader, leads, or must still be silent | wait for the end of the lease |
//! | `TF-E04` | UNAVAILABLE | this voter has not begun, or takes part no more | retry later |
//! | `TF-E05` | FAILED_PRECONDITION | this node takes part in no election | ask a voter |
//! | `TF-E06` | ABORTED | the leadership that was acted under has ended | stop what was begun under it |
//! | `TF-E07` | FAILED_PRECONDITION | that voter is a node of redhac, which never leads where its vote is not counted | name another |
//! | `TF-E08` | FAILED_PRECONDITION | this node follows, and does not vote | ask a voter |
//! | `TF-E11` | FAILED_PRECONDITION | the list of voters is another than the one kept at the same epoch | restore the list, or raise the epoch |
//! | `TF-E12` | FAILED_PRECONDITION | the electorate's epoch is before the one that was kept | give this voter the newest electorate |
//! | `TF-E13` | FAILED_PRECONDITION | the electorate's epoch is more than one after the one that was kept | none, if it was down meanwhile: it takes part when a voter of this epoch asks it something |
//! | `TF-E14` | FAILED_PRECONDITION | more than one voter differs from the epoch before | change one voter in each epoch |
//! | `TF-E15` | FAILED_PRECONDITION | no leader of the epoch before was heard of here | none, if others take part in this epoch; otherwise start all with the epoch before until there is a leader; a new cluster begins with epoch 1 |
//! | `TF-L01` | INVALID_ARGUMENT | the metadata that opens a producer or a consumer is absent or cannot be decoded | correct the client |
//! | `TF-L02` | INVALID_ARGUMENT | a channel's name has 1 to 256 bytes, and its term is above zero | correct the client |
//! | `TF-L03` | INVALID_ARGUMENT | a consumer does not say, in the listener's dialect, from where it wants records | name a policy |
//! | `TF-L04` | INVALID_ARGUMENT | a filter of a consumer is of no kind that is known here | leave it out |
//! | `TF-L05` | INVALID_ARGUMENT | the caller speaks another dialect of the channels than this listener | give both one dialect |
//! | `TF-L06` | FAILED_PRECONDITION | another node was meant, or an earlier start of this one | ask where the channel is now |
//! | `TF-L07` | FAILED_PRECONDITION | the channel is open at this term | none: it is what was asked for |
//! | `TF-L08` | FAILED_PRECONDITION | the node was told something later about the channel before | stop: this has been overtaken |
//! | `TF-L09` | FAILED_PRECONDITION | the node was told something later about the channel meanwhile | stop: this has been overtaken |
//! | `TF-L10` | FAILED_PRECONDITION | the node does not have the channel, or not any more | ask where the channel is now |
//! | `TF-L11` | FAILED_PRECONDITION | the node has the channel at another term | ask where the channel is now |
//! | `TF-L12` | FAILED_PRECONDITION | a later term has the channel's log | ask where the channel is now |
//! | `TF-L13` | UNAVAILABLE | a message has no payload, no type or no version | correct the message |
//! | `TF-L14` | INVALID_ARGUMENT | a message is larger than the node takes | send less, or raise the limit |
//! | `TF-L15` | UNAVAILABLE | the store does not say what became of a message; it may have been appended | send it again, with a number if it must not stand twice |
//! | `TF-L16` | UNAVAILABLE | the store failed, and a message was not appended | send it again |
//! | `TF-L17` | UNAVAILABLE | the channel's log holds a record that this node cannot read | look at the versions of the nodes, and check the store |
//! | `TF-L18` | INVALID_ARGUMENT | a record is larger than the node can send | raise the limit of messages |
//! | `TF-L19` | PERMISSION_DENIED | somebody who is not known gives or takes a channel | show a certificate or a token, or let the node believe strangers |
//! | `TF-L20` | FAILED_PRECONDITION | this node does not coordinate the channels | ask the leader, which is named if it is known |
//! | `TF-L21` | INVALID_ARGUMENT | a report names no channel, or no term above zero | correct the client |
//! | `TF-L22` | NOT_FOUND | no channel of that name | create it |
//! | `TF-L23` | NOT_FOUND | no node of that address is known to live | look at the list of nodes |
//! | `TF-L24` | ALREADY_EXISTS | a channel of that name is there | none |
//! | `TF-L25` | RESOURCE_EXHAUSTED | the coordinator's limit of channels, nodes or watchers is reached | raise the limit, or retry later |
//! | `TF-L26` | INVALID_ARGUMENT | a channel's name has 1 to 256 bytes, a node's address too, and its server id is above zero and at one address | correct the name |
//! | `TF-L27` | FAILED_PRECONDITION | the token is not above that of the leadership before | lead under a new one |
//! | `TF-L28` | ABORTED | a later leadership has written to the catalog | give up the leadership |
//! | `TF-L29` | UNAVAILABLE | the catalog holds more channels than this node can coordinate | raise its limit |
//! | `TF-L30` | in the answer | a node is to be drained, and no other takes channels | start one |
//! | `TF-L31` | FAILED_PRECONDITION | the node is stopping, and is not taken back | wait for its next start |
//! | `TF-L32` | in the answer | what the catalog holds under a channel's key is no meta of a channel, and is left alone | mend or remove the value, then let another node lead |
//! | `TF-L40` | RESOURCE_EXHAUSTED | a record, or what opens a consumer, has more bytes than this client sends | send less, or raise the limit |
//! | `TF-L41` | NOT_FOUND | no producer, or no consumer, of that number is open | open one |
//! | `TF-L42` | ALREADY_EXISTS | a producer or a consumer of that number is open | give each a number of its own |
//! | `TF-L43` | INVALID_ARGUMENT | a name, a property, a filter or a number that cannot be | correct the caller |
//! | `TF-L44` | UNAVAILABLE | the client is stopping | none |
//! | `TF-L45` | UNKNOWN | a record was not answered in the time it had | look whether it is in the log, or produce it again |
//! | `TF-L46` | UNKNOWN | the producer was closed before a record was answered | look whether it is in the log |
//! | `TF-L47` | FAILED_PRECONDITION | the first word on a stream was not that it is open | none: it is opened again |
//! | `TF-L48` | UNKNOWN | the node ended a stream without saying why | none: it is opened again |
//! | `TF-L49` | UNKNOWN | the node did not answer in time | none: the stream is opened again |
//! | `TF-L50` | FAILED_PRECONDITION | a later term has the channel, and the node did not end the stream | none: it is opened at that term |
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
/// It answers under another name.
pub const OTHER_HOST: &str =
    "TF-C17: the peer says it is another host than the one that was called";
/// It votes in another electorate.
pub const OTHER_ELECTORATE: &str =
    "TF-C18: a voter of another electorate or of another epoch of it";
/// Not the leader.
pub const NOT_LEADING: &str = "TF-E01: this node does not lead; ask the leader";
/// No such voter.
pub const NO_SUCH_VOTER: &str = "TF-E02: no other voter has this address";
/// It cannot campaign.
pub const BOUND: &str = "TF-E03: this voter is bound to a leader, leads, or must still be silent";
/// No part in the election now.
pub const NOT_VOTING: &str = "TF-E04: this voter has not begun, or takes part no more";
/// No part in any election.
pub const NO_ELECTION: &str = "TF-E05: this node takes part in no election";
/// The leadership ended.
pub const LEADERSHIP_LOST: &str = "TF-E06: the leadership that was acted under has ended";
/// A node of redhac is to lead.
pub const REDHAC_VOTER: &str =
    "TF-E07: that voter is a node of redhac, which never leads where its vote is not counted";
/// It only follows.
pub const NOT_A_VOTER: &str = "TF-E08: this node follows, and does not vote";
/// The list changed and the epoch did not.
pub const ELECTORATE_SAME_EPOCH: &str =
    "TF-E11: the list of voters is another than the one kept at the same epoch";
/// The epoch goes back.
pub const ELECTORATE_WENT_BACK: &str =
    "TF-E12: the electorate's epoch is before the one that was kept";
/// An epoch is left out.
pub const ELECTORATE_SKIPPED: &str =
    "TF-E13: the electorate's epoch is more than one after the one that was kept";
/// Too much changes at once.
pub const ELECTORATE_MANY_PLACES: &str =
    "TF-E14: more than one voter differs from the epoch before";
/// The epoch before never had a leader.
pub const ELECTORATE_UNSETTLED: &str =
    "TF-E15: no leader of the electorate's epoch before was heard of here";
/// Not the coordinator.
pub const NOT_COORDINATOR: &str = "TF-L20: this node does not coordinate the channels";
/// A report that names no channel.
pub const BAD_REPORT: &str = "TF-L21: a report must name a channel and a term above zero";
/// No such channel.
pub const NO_SUCH_CHANNEL: &str = "TF-L22: there is no channel of that name";
/// No such node.
pub const NO_SUCH_NODE: &str = "TF-L23: no node of that address is known to live";
/// The node is stopping.
pub const NODE_STOPS: &str = "TF-L31: the node is stopping, and is not taken back";
/// The channel is there already.
pub const CHANNEL_EXISTS: &str = "TF-L24: a channel of that name is there already";
/// A limit of the coordinator.
pub const COORDINATOR_FULL: &str =
    "TF-L25: the coordinator's limit of channels, nodes or watchers is reached";
/// No name.
pub const BAD_NAME: &str = "TF-L26: a channel's name and a node's address have 1 to 256 bytes, and a server id is above zero and at one address";
/// The token does not grow.
pub const TOKEN_NOT_GREATER: &str = "TF-L27: the token is not above that of the leadership before";
/// A later leadership writes.
pub const CATALOG_FENCED: &str = "TF-L28: a later leadership has written to the catalog";
/// Too many channels in the catalog.
pub const CATALOG_TOO_LARGE: &str =
    "TF-L29: the catalog holds more channels than this node can coordinate";
/// A node cannot be drained.
pub const NOWHERE_TO_GO: &str = "TF-L30: no other node takes channels";
/// A value of the catalog cannot be read.
pub const DAMAGED_META: &str = "TF-L32: what the catalog holds under the channel's key is no meta of a channel, and is left alone";
/// No opening of a producer or a consumer.
pub const NOT_OPENED: &str =
    "TF-L01: the metadata that opens a producer or a consumer is absent or cannot be decoded";
/// No channel has this name or term.
pub const NO_CHANNEL: &str =
    "TF-L02: a channel's name has 1 to 256 bytes, and its term is above zero";
/// From where?
pub const NO_POLICY: &str =
    "TF-L03: a consumer must say, in this listener's dialect, from where it wants records";
/// What kind of filter?
pub const NO_FILTER: &str = "TF-L04: a filter of the consumer is of no kind that is known here";
/// It speaks the other dialect.
pub const OTHER_DIALECT: &str =
    "TF-L05: the caller speaks another dialect of the channels than this listener";
/// Another start of a node.
pub const OTHER_NODE: &str = "TF-L06: another node was meant, or an earlier start of this one";
/// Open already.
pub const IS_OPEN: &str = "TF-L07: the channel is open at this term";
/// Too late from the beginning.
pub const STALE: &str = "TF-L08: this node was told something later about the channel before";
/// Too late meanwhile.
pub const OVERTAKEN: &str =
    "TF-L09: this node was told something later about the channel meanwhile";
/// Not here.
pub const CHANNEL_NOT_HERE: &str = "TF-L10: this node does not have the channel, or not any more";
/// Here, but not so.
pub const OTHER_TERM: &str = "TF-L11: this node has the channel at another term";
/// It has been taken over.
pub const CHANNEL_FENCED: &str = "TF-L12: a later term has the channel's log";
/// In Milvus' words.
pub const NO_MESSAGE_VERSION: &str = "TF-L13: unsupported message version";
/// In Milvus' words.
pub const NO_MESSAGE_TYPE: &str = "TF-L13: unsupported message type";
/// In Milvus' words.
pub const NO_PAYLOAD: &str = "TF-L13: empty payload";
/// A message is too large.
pub const MESSAGE_TOO_LARGE: &str = "TF-L14: the message is larger than this node takes";
/// Appended or not.
pub const APPEND_UNKNOWN: &str =
    "TF-L15: the store does not say what became of the message; it may have been appended";
/// Not appended.
pub const NOT_APPENDED: &str = "TF-L16: the store failed, and the message was not appended";
/// What stands there?
pub const UNREADABLE: &str = "TF-L17: the channel's log holds a record that this node cannot read";
/// A record is too large.
pub const UNSENDABLE: &str = "TF-L18: a record is larger than this node can send";
/// Who asks for this?
pub const COORDINATORS_ONLY: &str = "TF-L19: only a node of the cluster, or who is known by certificate or token, gives and takes channels";
/// More bytes than are sent.
pub const RECORD_TOO_LARGE: &str =
    "TF-L40: a record, or what opens a consumer, has more bytes than this client sends";
/// No such producer or consumer.
pub const NO_SUCH_SESSION: &str = "TF-L41: no producer, or no consumer, of that number is open";
/// The number is taken.
pub const SESSION_EXISTS: &str = "TF-L42: a producer or a consumer of that number is open";
/// What was asked cannot be.
pub const NOT_A_RECORD: &str = "TF-L43: a name, a property, a filter or a number that cannot be";
/// The client is stopping.
pub const CLIENT_STOPPING: &str = "TF-L44: the client is stopping";
/// No answer in time.
pub const RECORD_LATE: &str = "TF-L45: the record was not answered in the time it had";
/// The producer is gone.
pub const SESSION_CLOSED: &str = "TF-L46: the producer was closed before the record was answered";
/// Not opened as it should be.
pub const NOT_CREATED: &str = "TF-L47: the first word on the stream was not that it is open";
/// No reason was given.
pub const STREAM_ENDED: &str = "TF-L48: the node ended the stream without saying why";
/// The node says nothing.
pub const NODE_SILENT: &str = "TF-L49: the node did not answer in time";
/// A later term.
pub const SUPERSEDED: &str =
    "TF-L50: a later term has the channel, and the node did not end the stream";
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
