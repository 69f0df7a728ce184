//! Who may speak with this node: by cluster and settings, by certificate, by token. And what this node
//! says of itself.

use alloc::string::String;
use alloc::vec::Vec;

use crate::addresses::AddressBook;
use crate::codes;
use crate::engine::EngineConfig;
use crate::header::{Header, HeaderWriter};
use crate::id::{LinkId, NodeId};
use crate::identity::{self, Identity};
use crate::limits::LimitsError;
use crate::link::Links;
use crate::machine::Full;
use crate::status::{Code, Status};

/// Room for one header with our identity and a machine's own pairs.
pub(crate) const HEADER_BYTES: usize = 2_048;

/// Longest reason of a peer that is remembered.
const REASON_BYTES_MAX: usize = 512;

/// Who a header says its sender is.
pub(crate) enum Sender {
    /// It does not say.
    Nobody,
    /// A node of ours, by its number if it has one.
    Node(Option<NodeId>),
}

/// The door of a node.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What answers carry: the identity, written once. Empty for a client, which has none.
    answering: Vec<u8>,
    /// What calls carry: the same with the token.
    calling: Vec<u8>,
    mismatches: u64,
    last_mismatch: (NodeId, String),
}

fn identity(config: &EngineConfig) -> Identity<'_> {
    Identity {
        node: config.node.as_str(),
        boot: config.boot,
        incarnation: config.incarnation,
        cluster: config.cluster.as_str(),
        placement: config.placement,
        store: config.store,
        electorate: config.electorate,
        features: config.features,
    }
}

fn written(
    write: impl FnOnce(&mut HeaderWriter<'_>) -> Result<(), Full>,
) -> Result<Vec<u8>, LimitsError> {
    let mut bytes = alloc::vec![0; HEADER_BYTES];
    let mut writer = HeaderWriter::new(&mut bytes);
    write(&mut writer).map_err(|Full| LimitsError::NameTooLong)?;
    let len = writer.finish().0.len();
    bytes.truncate(len);
    Ok(bytes)
}

impl Admission {
    pub(crate) fn new(config: &EngineConfig) -> Result<Self, LimitsError> {
        let token = config.token.as_deref();
        if token.is_some_and(|token| !identity::is_token(token)) {
            return Err(LimitsError::Token);
        }
        let identity = written(|writer| identity(config).write(writer))?;
        let answering = if config.anonymous {
            Vec::new()
        } else {
            identity
        };
        let calling = written(|writer| {
            writer.extend(Header(&answering))?;
            token.map_or(Ok(()), |token| {
                writer.push(identity::AUTHORIZATION, token.as_bytes())
            })
        })?;
        Ok(Self {
            answering,
            calling,
            mismatches: 0,
            last_mismatch: (NodeId(0), String::new()),
        })
    }

    /// What this node says of itself to nodes that call it.
    pub(crate) fn answering(&self) -> Header<'_> {
        Header(&self.answering)
    }

    /// What this node says of itself, and shows, to those it calls.
    pub(crate) fn calling(&self) -> Header<'_> {
        Header(&self.calling)
    }

    /// Callers refused and peers that refused this node.
    pub(crate) const fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// The last peer that was called and would not speak, and why.
    pub(crate) fn last_mismatch(&self) -> Option<(NodeId, &str)> {
        let (node, said) = &self.last_mismatch;
        (!said.is_empty()).then_some((*node, said.as_str()))
    }

    /// Who a caller is, if it may speak with us. `names` are those of its certificate.
    pub(crate) fn caller(
        &mut self,
        config: &EngineConfig,
        book: &AddressBook,
        header: Header<'_>,
        names: Option<&[u8]>,
    ) -> Result<Sender, Status<'static>> {
        let peer = Identity::from_header(header);
        let is_named = peer.is_none_or(|peer| match names {
            Some(names) => identity::names_host(names, peer.node),
            None => !config.certified,
        });
        let said = if !identity::shows_token(header, config.token.as_deref()) {
            Err((Code::Unauthenticated, codes::NO_TOKEN))
        } else if !is_named {
            Err((Code::Unauthenticated, codes::NOT_NAMED))
        } else {
            sender(config, book, peer).map_err(|why| (Code::FailedPrecondition, why))
        };
        said.map_err(|(code, why)| {
            self.mismatches += 1;
            Status::new(code, why)
        })
    }

    /// Whether the sender of an answer may speak with us, or why not.
    pub(crate) fn callee(
        &mut self,
        config: &EngineConfig,
        book: &AddressBook,
        link: LinkId,
        header: Header<'_>,
    ) -> Result<(), &'static str> {
        let peer = Identity::from_header(header);
        let said = sender(config, book, peer).map(drop);
        said.inspect_err(|why| self.refused_by(link, why))
    }

    /// A peer that was called and this node must not speak.
    pub(crate) fn refused_by(&mut self, link: LinkId, why: &str) {
        self.mismatches += 1;
        if why.starts_with("TF-") && why.len() <= REASON_BYTES_MAX {
            let (node, said) = &mut self.last_mismatch;
            *node = Links::end(link).0;
            said.clear();
            said.push_str(why);
        }
    }
}

/// Who says so of itself, if it may be in one cluster with us.
fn sender(
    config: &EngineConfig,
    book: &AddressBook,
    peer: Option<Identity<'_>>,
) -> Result<Sender, &'static str> {
    let Some(peer) = peer else {
        return Ok(Sender::Nobody);
    };
    if let Err(mismatch) = identity(config).accepts(&peer) {
        return Err(mismatch.message());
    }
    if peer.node == config.node && peer.boot != config.boot {
        return Err(codes::SAME_NAME);
    }
    // To call is not enough to be given a number: whoever makes members of callers does that.
    Ok(Sender::Node(book.find(peer.node)))
}
