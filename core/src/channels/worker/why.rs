//! Why callers of a worker are refused.

use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::{Failure, StatusRoom};
use crate::codes;
use crate::id::StreamId;
use crate::machine::Io;

/// A reason, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    OtherNode,
    OtherCluster,
    Stopping,
    Busy,
    Malformed,
    NoMessage,
    IsOpen,
    Stale,
    Overtaken,
    NotHere,
    OtherTerm,
    Fenced,
    NoVersion,
    NoType,
    NoPayload,
    MessageTooLarge,
    Unknown,
    NotAppended,
    Unreadable,
    RecordTooLarge,
    NoPolicy,
}

impl Why {
    /// As it is said.
    pub(super) const fn failure(self) -> Failure<'static> {
        let (code, cause) = match self {
            Self::OtherNode => (ErrorCode::ChannelNotExist, codes::OTHER_NODE),
            Self::OtherCluster => (ErrorCode::InvalidArgument, codes::OTHER_CLUSTER),
            Self::Stopping => (ErrorCode::OnShutdown, codes::STOPPING),
            Self::Busy => (ErrorCode::Inner, codes::BUSY),
            Self::Malformed => (ErrorCode::InvalidArgument, codes::MALFORMED),
            Self::NoMessage => (ErrorCode::InvalidArgument, codes::NOT_ONE_MESSAGE),
            Self::IsOpen => (ErrorCode::IgnoredOperation, codes::IS_OPEN),
            Self::Stale => (ErrorCode::IgnoredOperation, codes::STALE),
            Self::Overtaken => (ErrorCode::UnmatchedChannelTerm, codes::OVERTAKEN),
            Self::NotHere => (ErrorCode::ChannelNotExist, codes::CHANNEL_NOT_HERE),
            Self::OtherTerm => (ErrorCode::UnmatchedChannelTerm, codes::OTHER_TERM),
            Self::Fenced => (ErrorCode::ChannelFenced, codes::CHANNEL_FENCED),
            Self::NoVersion => (ErrorCode::Inner, codes::NO_MESSAGE_VERSION),
            Self::NoType => (ErrorCode::Inner, codes::NO_MESSAGE_TYPE),
            Self::NoPayload => (ErrorCode::Inner, codes::NO_PAYLOAD),
            Self::MessageTooLarge => (ErrorCode::InvalidArgument, codes::MESSAGE_TOO_LARGE),
            Self::Unknown => (ErrorCode::Inner, codes::APPEND_UNKNOWN),
            Self::NotAppended => (ErrorCode::Inner, codes::NOT_APPENDED),
            Self::Unreadable => (ErrorCode::Inner, codes::UNREADABLE),
            Self::RecordTooLarge => (ErrorCode::InvalidArgument, codes::UNSENDABLE),
            Self::NoPolicy => (ErrorCode::InvalidArgument, codes::NO_POLICY),
        };
        Failure::new(code, cause)
    }
}

/// Ends a stream with a failure.
pub(super) fn refuse(io: &mut dyn Io, dialect: Dialect, stream: StreamId, failure: Failure<'_>) {
    let mut room = StatusRoom::new();
    io.end(stream, failure.status(dialect, &mut room));
}
