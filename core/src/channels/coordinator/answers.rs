//! What an answer of a node means for the channel it is about.

use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::codes;
use crate::status::{Cause, Code, Status};

/// What a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// To let a channel go.
    Remove,
    /// To open one.
    Assign,
}

/// What its answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// That life of the node is over.
    Dead,
    /// The node can never have the channel at this term.
    Never,
    /// The node calls the term out of date: never, or it has it already.
    OutOfDate,
    /// Asking again cannot help.
    Fatal,
    /// It may be done next time. `sent`: it may have been done this time, too.
    Again {
        /// Whether the node may have been asked.
        sent: bool,
    },
}

/// What Milvus says where a process of another server id answers.
const MILVUS_NOT_MATCH: &str = "node not match";

/// The stable code that a text begins with.
fn code_of(text: &str) -> &str {
    text.split([':', ' ']).next().unwrap_or_default()
}

/// Whether a failure says what one of our own codes says.
fn has_code(failure: &Failure<'_>, said: &str) -> bool {
    code_of(failure.cause) == code_of(said)
}

fn is_other_incarnation(failure: &Failure<'_>) -> bool {
    has_code(failure, codes::OTHER_NODE) || failure.cause.contains(MILVUS_NOT_MATCH)
}

/// What the end of a call means. An end without an answer is none.
pub(super) fn verdict(
    dialect: Dialect,
    what: What,
    answered: bool,
    status: &Status<'_>,
) -> Verdict {
    let Some(failure) = Failure::of_status(dialect, status) else {
        return if answered {
            Verdict::Done
        } else {
            Verdict::Again { sent: true }
        };
    };
    match status.cause {
        Cause::Refused | Cause::Local => return Verdict::Again { sent: false },
        Cause::Lost | Cause::Deadline => return Verdict::Again { sent: true },
        Cause::Untrusted => return Verdict::Fatal,
        Cause::Peer => {}
    }
    if is_other_incarnation(&failure) {
        return Verdict::Dead;
    }
    match (failure.code, what) {
        (ErrorCode::InvalidArgument, _) => Verdict::Fatal,
        (
            ErrorCode::IgnoredOperation
            | ErrorCode::UnmatchedChannelTerm
            | ErrorCode::ChannelNotExist,
            What::Remove,
        ) => Verdict::Done,
        (ErrorCode::IgnoredOperation, What::Assign) => {
            if has_code(&failure, codes::IS_OPEN) {
                Verdict::Done
            } else if has_code(&failure, codes::STALE) {
                Verdict::Never
            } else {
                Verdict::OutOfDate
            }
        }
        (ErrorCode::UnmatchedChannelTerm | ErrorCode::ChannelFenced, What::Assign) => {
            Verdict::Never
        }
        _ => by_code(status.code),
    }
}

/// By the code of gRPC, where the details do not say more.
const fn by_code(code: Code) -> Verdict {
    match code {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => Verdict::Fatal,
        Code::Unavailable | Code::ResourceExhausted => Verdict::Again { sent: false },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => Verdict::Again { sent: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::failure::StatusRoom;

    fn said(what: What, code: ErrorCode, cause: &str) -> Verdict {
        for dialect in [Dialect::Seed, Dialect::V2024_08] {
            let mut room = StatusRoom::new();
            let status = Failure::new(code, cause).status(dialect, &mut room);
            let status = status.caused_by(Cause::Peer);
            let verdict = verdict(dialect, what, false, &status);
            if dialect == Dialect::V2024_08 {
                return verdict;
            }
        }
        unreachable!()
    }

    #[test]
    fn line_13_ok_ignored_and_unmatched_count_as_removed() {
        let ok = Status::OK;
        assert_eq!(
            verdict(Dialect::Seed, What::Remove, true, &ok),
            Verdict::Done
        );
        for code in [ErrorCode::IgnoredOperation, ErrorCode::UnmatchedChannelTerm] {
            assert_eq!(said(What::Remove, code, "x"), Verdict::Done);
        }
        for code in [ErrorCode::OnShutdown, ErrorCode::Unknown, ErrorCode::Inner] {
            assert!(matches!(
                said(What::Remove, code, "x"),
                Verdict::Again { .. }
            ));
        }
    }

    #[test]
    fn an_end_without_an_answer_is_none() {
        for what in [What::Remove, What::Assign] {
            let again = Verdict::Again { sent: true };
            assert_eq!(verdict(Dialect::Seed, what, false, &Status::OK), again);
        }
    }

    #[test]
    fn better_13_another_life_of_the_node_is_the_end_of_this_one_in_our_words_and_in_milvus() {
        let milvus = "node not match[expectedNodeID=1][actualNodeID=2]";
        for what in [What::Remove, What::Assign] {
            let ours = said(what, ErrorCode::ChannelNotExist, codes::OTHER_NODE);
            assert_eq!(ours, Verdict::Dead);
            assert_eq!(
                said(what, ErrorCode::IgnoredOperation, milvus),
                Verdict::Dead
            );
            // In 2024 it came as a plain error.
            let plain = Status::new(Code::Unknown, milvus).caused_by(Cause::Peer);
            assert_eq!(
                verdict(Dialect::V2024_08, what, false, &plain),
                Verdict::Dead
            );
        }
    }

    #[test]
    fn what_a_node_says_of_a_term_is_told_apart() {
        let ignored = |cause| said(What::Assign, ErrorCode::IgnoredOperation, cause);
        assert_eq!(
            ignored("TF-L07: the channel is open at this term"),
            Verdict::Done
        );
        assert_eq!(
            ignored("TF-L08: this node was told something later"),
            Verdict::Never
        );
        assert_eq!(ignored("ignored operation"), Verdict::OutOfDate);
        let unmatched = said(What::Assign, ErrorCode::UnmatchedChannelTerm, "");
        assert_eq!(unmatched, Verdict::Never);
        let other = said(What::Assign, ErrorCode::ChannelNotExist, "no channel");
        assert_eq!(other, Verdict::Again { sent: true });
    }

    #[test]
    fn better_10_permanent_errors_are_fatal_and_nothing_else_is() {
        let plain = |code| {
            let status = Status::new(code, "x").caused_by(Cause::Peer);
            verdict(Dialect::Seed, What::Assign, false, &status)
        };
        assert_eq!(
            said(What::Assign, ErrorCode::InvalidArgument, "x"),
            Verdict::Fatal
        );
        for code in [
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::Unimplemented,
        ] {
            assert_eq!(plain(code), Verdict::Fatal);
        }
        for number in [1, 2, 4, 5, 6, 9, 10, 11, 13, 15] {
            assert_eq!(
                plain(Code::from_wire(number)),
                Verdict::Again { sent: true }
            );
        }
        let refused = Status::new(Code::Unavailable, "").caused_by(Cause::Refused);
        let verdict = verdict(Dialect::Seed, What::Assign, false, &refused);
        assert_eq!(verdict, Verdict::Again { sent: false });
    }
}
