//! A scripted node: what it does with the calls it gets.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use super::super::answers::What;
use super::super::*;
use crate::channels::dialect::ErrorCode;
use crate::codes;
use crate::status::Code;

/// How a node behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As a node of ours.
    Well,
    /// It takes everything and answers nothing.
    BlackHole,
    /// It says this to everything.
    Says(ErrorCode, &'static str),
    /// It ends calls with this, without details.
    Ends(Code),
    /// As one of Milvus: it ignores what it has done or is doing.
    Milvus,
    /// It never opens anything, and calls each term out of date.
    NeverOpens,
    /// It fails to open each term, and tries none twice.
    CannotOpen,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) server_id: i64,
    pub(super) mode: Mode,
    /// How long opening takes.
    pub(super) open: Duration,
    /// Term, whether it is available, and since when it is open.
    pub(super) channels: BTreeMap<String, (i64, bool, Instant)>,
}

/// A call as a node got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) at: Instant,
    pub(super) address: String,
    pub(super) what: What,
    pub(super) channel: String,
    pub(super) term: i64,
}

/// What a call ends with: a message, or a code and perhaps why.
pub(super) type Outcome = Result<(), (Code, Option<(ErrorCode, String)>)>;

/// What it answers, and after which time.
pub(super) type Answer = (Duration, Outcome);

impl Worker {
    /// What it does with a call: after which time it answers what, if it does.
    pub(super) fn take(&mut self, now: Instant, called: &Called, server_id: i64) -> Option<Answer> {
        let says = |code, cause: &str| {
            let details = Some((code, cause.to_string()));
            Some((Duration::ZERO, Err((Code::Unknown, details))))
        };
        match &self.mode {
            Mode::BlackHole => return None,
            Mode::Says(code, cause) => return says(*code, cause),
            Mode::Ends(code) => return Some((Duration::ZERO, Err((*code, None)))),
            Mode::NeverOpens if called.what == What::Assign => {
                let before = self.channels.get(&called.channel).copied();
                let spent = (called.term, false, now);
                self.channels.insert(called.channel.clone(), spent);
                assert!(
                    before.is_none_or(|(term, ..)| term < called.term),
                    "{called:?}"
                );
                return says(ErrorCode::Inner, "cannot open").map(|_| {
                    let details = Some((ErrorCode::UnmatchedChannelTerm, "spent".to_string()));
                    (Duration::ZERO, Err((Code::Unknown, details)))
                });
            }
            Mode::CannotOpen if called.what == What::Assign => {
                let spent = (called.term, false, now);
                let before = self.channels.insert(called.channel.clone(), spent);
                return if before.is_some_and(|(term, ..)| term == called.term) {
                    says(ErrorCode::UnmatchedChannelTerm, codes::STALE)
                } else {
                    says(ErrorCode::Inner, codes::UNREADABLE)
                };
            }
            Mode::Well | Mode::Milvus | Mode::NeverOpens | Mode::CannotOpen => {}
        }
        if server_id != self.server_id {
            return says(ErrorCode::ChannelNotExist, "TF-L06: another node was meant");
        }
        let (term, available, open_at) = self
            .channels
            .get(&called.channel)
            .copied()
            .unwrap_or((0, false, now));
        let ignored = |cause| says(ErrorCode::IgnoredOperation, cause);
        match called.what {
            What::Remove if called.term > term || (called.term == term && available) => {
                let state = (called.term, false, now);
                self.channels.insert(called.channel.clone(), state);
                Some((Duration::ZERO, Ok(())))
            }
            What::Remove => ignored("stale"),
            What::Assign if called.term > term => {
                let state = (called.term, true, now + self.open);
                self.channels.insert(called.channel.clone(), state);
                Some((self.open, Ok(())))
            }
            What::Assign if self.mode == Mode::Milvus => ignored("ignored operation"),
            What::Assign if called.term == term && available => {
                if now < open_at {
                    Some((open_at.since(now), Ok(())))
                } else {
                    ignored("TF-L07: the channel is open at this term")
                }
            }
            What::Assign => ignored("TF-L08: this node was told something later"),
        }
    }
}
