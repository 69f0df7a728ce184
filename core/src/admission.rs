//! Who may speak with this node: by cluster and settings, by certificate, by token. And what this node
//! says of itself.

use alloc::string::String;
use alloc::vec::Vec;

use crate::addresses::AddressBook;
use crate::codes;
use crate::engine::EngineConfig;
use crate::header::{Header, HeaderWriter};
use crate::id::{LinkId, MethodId, NodeId};
use crate::identity::{self, Identity, Token};
use crate::limits::LimitsError;
use crate::link::Links;
use crate::machine::{Full, RefusedCaller};
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
pub(crate) struct Admission {
    /// What answers carry: the identity, written once. Empty for a client, which has none.
    answering: Vec<u8>,
    /// What calls carry: the same with the token.
    calling: Vec<u8>,
    mismatches: u64,
    last_mismatch: (NodeId, String),
}

impl core::fmt::Debug for Admission {
    /// Without what is shown to those that are called: a token may be part of it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Admission")
            .field("mismatches", &self.mismatches)
            .field("last_mismatch", &self.last_mismatch)
            .finish_non_exhaustive()
    }
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
        let token = config.token.as_ref().map(Token::text);
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
    pub(crate) fn caller<'a>(
        &mut self,
        config: &EngineConfig,
        book: &AddressBook,
        method: MethodId,
        header: Header<'a>,
        names: Option<&'a [u8]>,
    ) -> Result<Sender, (Status<'static>, RefusedCaller<'a>)> {
        let peer = Identity::from_header(header);
        let is_named = peer.is_none_or(|peer| match names {
            Some(names) => identity::names_host(names, peer.node),
            None => !config.certified,
        });
        let said = if !identity::shows_token(header, config.token.as_ref().map(Token::text)) {
            Err((Code::Unauthenticated, codes::NO_TOKEN))
        } else if !is_named {
            Err((Code::Unauthenticated, codes::NOT_NAMED))
        } else {
            sender(config, book, method, peer).map_err(|why| (Code::FailedPrecondition, why))
        };
        said.map_err(|(code, why)| {
            self.mismatches += 1;
            let refused = RefusedCaller {
                host: peer.map(|peer| peer.node),
                names: names.and_then(|names| core::str::from_utf8(names).ok()),
                why,
            };
            (Status::new(code, why), refused)
        })
    }

    /// Whether the sender of an answer may speak with us, or why not. Its certificate was compared with
    /// the host that was dialled, so that must be who it says it is: with a certificate of its own it
    /// could answer in the name of any other node.
    pub(crate) fn callee(
        &mut self,
        config: &EngineConfig,
        book: &AddressBook,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
    ) -> Result<(), &'static str> {
        let peer = Identity::from_header(header);
        let dialled = book.name(Links::end(link).0);
        // Whoever dials another of its own names hears itself.
        let is_other = |peer: Identity<'_>| peer.node != dialled && peer.node != config.node;
        let said = match sender(config, book, method, peer) {
            Ok(_) if peer.is_some_and(is_other) => Err(codes::OTHER_HOST),
            said => said.map(drop),
        };
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
    method: MethodId,
    peer: Option<Identity<'_>>,
) -> Result<Sender, &'static str> {
    let Some(peer) = peer else {
        return Ok(Sender::Nobody);
    };
    if let Err(mismatch) = identity(config).accepts(&peer, method) {
        return Err(mismatch.message());
    }
    if peer.node == config.node && peer.boot != config.boot {
        return Err(codes::SAME_NAME);
    }
    // To call is not enough to be given a number: whoever makes members of callers does that.
    Ok(Sender::Node(book.find(peer.node)))
}
