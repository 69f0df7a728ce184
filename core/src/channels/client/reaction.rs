//! What a failure is answered with: the table of the protocol.
//!
//! | failure | of a stream | of one record |
//! |---|---|---|
//! | UNMATCHED_CHANNEL_TERM, CHANNEL_NOT_EXIST, CHANNEL_FENCED | reported, then a larger term or back-off | the same: no later record of this term will do better |
//! | INVAILD_ARGUMENT | back-off or a larger term | given up: no repetition can help |
//! | all others | back-off or a larger term | sent again after a back-off |
//! | `Cancelled`, `DeadlineExceeded`, said without a `StreamingError` | returned to the caller | - |

use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::codes;
use crate::status::{Code, Status};

/// What to do about the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Tell the coordinator, and wait for a larger term or for a while.
    Report,
    /// Wait for a while or for a larger term.
    BackOff,
    /// Give up.
    Return,
}

/// What to do about a record that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordReaction {
    /// The stream is of no use any more.
    Leave,
    /// Send it again after a while.
    Again,
    /// Give it up.
    GiveUp,
}

/// Why a stream ended, and what to do about it.
pub(super) fn to_end<'a>(dialect: Dialect, status: &Status<'a>) -> (Failure<'a>, Reaction) {
    let Some(failure) = Failure::of_status(dialect, status) else {
        let ended = Failure::new(ErrorCode::Unknown, codes::STREAM_ENDED);
        return (ended, Reaction::BackOff);
    };
    // What the details say comes first: a failure that is not known came without them.
    let is_bare = failure.code == ErrorCode::Unknown;
    let is_final = matches!(status.code, Code::Cancelled | Code::DeadlineExceeded);
    if is_bare && is_final {
        return (failure, Reaction::Return);
    }
    (failure, to_failure(failure.code))
}

/// What to do about a stream that failed.
pub(super) const fn to_failure(code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::UnmatchedChannelTerm | ErrorCode::ChannelNotExist | ErrorCode::ChannelFenced => {
            Reaction::Report
        }
        ErrorCode::ChannelExist
        | ErrorCode::OnShutdown
        | ErrorCode::InvalidRequestSeq
        | ErrorCode::IgnoredOperation
        | ErrorCode::Inner
        | ErrorCode::Eof
        | ErrorCode::InvalidArgument
        | ErrorCode::Unknown => Reaction::BackOff,
    }
}

/// What to do about a record that failed on a stream that stays.
pub(super) const fn to_record(code: ErrorCode) -> RecordReaction {
    match code {
        ErrorCode::UnmatchedChannelTerm | ErrorCode::ChannelNotExist | ErrorCode::ChannelFenced => {
            RecordReaction::Leave
        }
        ErrorCode::InvalidArgument => RecordReaction::GiveUp,
        ErrorCode::ChannelExist
        | ErrorCode::OnShutdown
        | ErrorCode::InvalidRequestSeq
        | ErrorCode::IgnoredOperation
        | ErrorCode::Inner
        | ErrorCode::Eof
        | ErrorCode::Unknown => RecordReaction::Again,
    }
}

/// Whether a stream ended because a message on it was larger than the peer takes, as far as it can be told.
pub(super) fn is_too_large(status: &Status<'_>) -> bool {
    status.code == Code::ResourceExhausted
        && (status.stable_code() == Some("TF-C05") || status.message.contains("larger than max"))
}
