//! What the catalog keeps of a channel: a marshalled `PChannelMeta`, as the schema has it. It carries no version
//! byte: fields that are added later are skipped by readers that do not know them, and that is its version.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use trefoil_proto::streaming::{
    PChannelInfo, PChannelMeta, PChannelMetaHistory, PChannelMetaState, StreamingNodeInfo,
};
use trefoil_proto::{Decode, Each, Encode};

use crate::channels::dialect::Dialect;
pub use crate::channels::open::{
    CHANNEL_NAME_BYTES_MAX as NAME_BYTES_MAX, is_channel_name as is_name,
};

/// One life of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation {
    /// New with every start of the node's process, and positive.
    pub server_id: i64,
    /// Where it is dialled.
    pub address: Arc<str>,
}

impl Incarnation {
    /// An incarnation.
    #[must_use]
    pub fn new(server_id: i64, address: &str) -> Self {
        Self {
            server_id,
            address: address.into(),
        }
    }

    fn read(info: &StreamingNodeInfo<'_>) -> Self {
        Self::new(info.server_id, info.address)
    }

    /// The incarnation as it travels.
    #[must_use]
    pub fn info(&self) -> StreamingNodeInfo<'_> {
        StreamingNodeInfo {
            server_id: self.server_id,
            address: &self.address,
        }
    }
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It was created and never assigned.
    Uninitialized,
    /// Its term and node are decided; the node may not have opened it yet.
    Assigning,
    /// Its node has opened it.
    Assigned,
    /// Its node is not believed to have it, and nobody else is.
    Unavailable,
}

impl State {
    const fn wire(self) -> PChannelMetaState {
        match self {
            Self::Uninitialized => PChannelMetaState::UNINITIALIZED,
            Self::Assigning => PChannelMetaState::ASSIGNING,
            Self::Assigned => PChannelMetaState::ASSIGNED,
            Self::Unavailable => PChannelMetaState::UNAVAILABLE,
        }
    }

    const fn read(state: PChannelMetaState) -> Option<Self> {
        Some(match state {
            PChannelMetaState::UNINITIALIZED => Self::Uninitialized,
            PChannelMetaState::ASSIGNING => Self::Assigning,
            PChannelMetaState::ASSIGNED => Self::Assigned,
            PChannelMetaState::UNAVAILABLE => Self::Unavailable,
            _ => return None,
        })
    }
}

/// A node that had the channel, or may have it, and whose removal is not known to be complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// The highest term the node was given.
    pub term: i64,
    /// Which node.
    pub node: Incarnation,
}

/// Adds an owner to the histories. There is one for each incarnation, at its highest term: a node that lets a
/// term go lets all lower ones go, so that one `Remove` is enough.
pub fn remember(histories: &mut Vec<History>, owner: History) {
    match histories.iter_mut().find(|known| known.node == owner.node) {
        Some(known) => known.term = known.term.max(owner.term),
        None => histories.push(owner),
    }
}

/// All that is kept of a channel but its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Grows with every assignment; 1 before the first.
    pub term: i64,
    /// How far it is.
    pub state: State,
    /// Its node at that term; none before the first assignment.
    pub node: Option<Incarnation>,
    /// Earlier nodes, one for each incarnation.
    pub histories: Vec<History>,
}

/// A value of the catalog is no `PChannelMeta` of that channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is no meta of that channel")
    }
}

impl core::error::Error for Damaged {}

impl Meta {
    /// The term of a channel that was never assigned: the first that is assigned is 2.
    pub const FIRST_TERM: i64 = 1;

    /// A channel that was created and never assigned.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            term: Self::FIRST_TERM,
            state: State::Uninitialized,
            node: None,
            histories: Vec::new(),
        }
    }

    /// Reads the meta of the channel `name`.
    ///
    /// # Errors
    /// [`Damaged`] if it is none: of another channel, without a term, in no known state, or without the node
    /// that a state demands.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Damaged> {
        let read = PChannelMeta::parse(bytes).map_err(|_| Damaged)?;
        let channel = read.channel.filter(|channel| channel.name == name);
        let term = channel.ok_or(Damaged)?.term;
        let state = State::read(read.state).ok_or(Damaged)?;
        let node = read.node.as_ref().map(Incarnation::read);
        // There must be a higher term, or the channel could never be given to another node.
        let is_term = (Self::FIRST_TERM..i64::MAX).contains(&term);
        if !is_term || (node.is_none() && state != State::Uninitialized) {
            return Err(Damaged);
        }
        let mut histories = Vec::new();
        for history in &read.histories {
            let history = history.map_err(|_| Damaged)?;
            let node = history.node.as_ref().ok_or(Damaged)?;
            let owner = History {
                term: history.term,
                node: Incarnation::read(node),
            };
            remember(&mut histories, owner);
        }
        Ok(Self {
            term,
            state,
            node: node.filter(|_| state != State::Uninitialized),
            histories,
        })
    }

    /// Writes the meta of the channel `name` in the place of what `bytes` holds.
    pub fn write(&self, name: &str, bytes: &mut Vec<u8>) {
        let histories = self.histories.iter().map(|history| PChannelMetaHistory {
            term: history.term,
            node: Some(history.node.info()),
        });
        let meta = PChannelMeta {
            channel: Some(PChannelInfo {
                name,
                term: self.term,
            }),
            node: self.node.as_ref().map(Incarnation::info),
            state: self.state.wire(),
            histories: Each(histories),
        };
        bytes.clear();
        bytes.resize(meta.encoded_len(), 0);
        let written = meta.encode_to_slice(bytes);
        debug_assert_eq!(written, Ok(bytes.len()), "it was measured");
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self::new()
    }
}

/// How the keys of all metas begin, below `root`.
#[must_use]
pub fn prefix(root: &str, dialect: Dialect) -> alloc::string::String {
    let folder = match dialect {
        Dialect::Seed => "pchannel-meta",
        Dialect::V2024_08 => "pchannel",
    };
    alloc::format!("{root}/streamingcoord-meta/{folder}/")
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn on(server_id: i64, state: State) -> Meta {
        Meta {
            term: 7,
            state,
            node: Some(Incarnation::new(server_id, "127.0.0.1:22222")),
            histories: Vec::new(),
        }
    }

    #[test]
    fn a_meta_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        let mut meta = on(3, State::Assigning);
        for (term, server_id) in [(2, 9), (5, 8)] {
            let node = Incarnation::new(server_id, "10.0.0.1:1");
            remember(&mut meta.histories, History { term, node });
        }
        for meta in [
            Meta::new(),
            meta,
            on(1, State::Assigned),
            on(2, State::Unavailable),
        ] {
            meta.write("c", &mut bytes);
            assert_eq!(Meta::parse("c", &bytes), Ok(meta));
            assert_eq!(Meta::parse("d", &bytes), Err(Damaged), "of another channel");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let mut bytes = Vec::new();
        on(7, State::Assigned).write("c", &mut bytes);
        let node = b"\x08\x07\x12\x0f127.0.0.1:22222";
        let mut expected = b"\x0a\x05\x0a\x01c\x10\x07\x12\x13".to_vec();
        expected.extend_from_slice(node);
        expected.extend_from_slice(b"\x18\x03");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_makes_no_sense_is_damaged_and_cuts_never_panic() {
        let mut bytes = Vec::new();
        let odd = |change: fn(&mut Meta)| {
            let mut meta = on(1, State::Assigned);
            change(&mut meta);
            let mut bytes = Vec::new();
            meta.write("c", &mut bytes);
            Meta::parse("c", &bytes)
        };
        assert_eq!(odd(|meta| meta.term = 0), Err(Damaged));
        assert_eq!(odd(|meta| meta.term = -1), Err(Damaged));
        assert_eq!(odd(|meta| meta.term = i64::MAX), Err(Damaged));
        assert_eq!(odd(|meta| meta.node = None), Err(Damaged));
        on(1, State::Assigning).write("c", &mut bytes);
        for cut in 0..bytes.len() {
            let _ = Meta::parse("c", &bytes[..cut]);
        }
        assert_eq!(Meta::parse("", &[]), Err(Damaged));
        assert_eq!(Meta::parse("c", &[255; 30]), Err(Damaged));
    }

    /// Milvus keeps an entry for each failed attempt: 43,669 bytes after 1,458 of them (#49139).
    #[test]
    fn better_07_a_record_of_1458_failed_attempts_on_a_node_is_read_as_one() {
        let node = Incarnation::new(77, "10.0.0.1:22222");
        let mut long = on(77, State::Assigning);
        long.term = 1_459;
        long.histories = (1..1_459)
            .map(|term| History {
                term,
                node: node.clone(),
            })
            .collect();
        let name = "by-dev-rootcoord-dml_0";
        let mut bytes = Vec::new();
        long.write(name, &mut bytes);
        assert!(bytes.len() > 30_000);
        let read = Meta::parse(name, &bytes).unwrap();
        assert_eq!(read.histories.len(), 1);
        assert_eq!(read.histories[0].term, 1_458);
        read.write(name, &mut bytes);
        assert!(bytes.len() < 300, "{} bytes", bytes.len());
    }

    #[test]
    fn names_are_1_to_256_bytes_and_keys_lie_where_the_dialect_has_them() {
        assert!(!is_name("") && is_name("a") && is_name(&"x".repeat(256)));
        assert!(!is_name(&"x".repeat(257)));
        assert_eq!(
            prefix("by-dev/meta", Dialect::Seed),
            String::from("by-dev/meta/streamingcoord-meta/pchannel-meta/")
        );
        assert_eq!(
            prefix("by-dev/meta", Dialect::V2024_08),
            String::from("by-dev/meta/streamingcoord-meta/pchannel/")
        );
    }
}
