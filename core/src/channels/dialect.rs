//! The dialects of the protocol. They share package, services and paths, and nothing on the wire says which
//! one is spoken: who constructs a machine says so.

use trefoil_proto::streaming::StreamingCode as Seed;
use trefoil_proto::v2024_08::streaming::StreamingCode as V2024_08;

use crate::status::Code;

/// Which of the dialects is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// That of the schema, of July 2024.
    #[default]
    Seed,
    /// That of the first clients, of August 2024: other numbers of `StreamingCode` and of `ProduceRequest`, and
    /// message ids that are text.
    V2024_08,
}

/// Why something failed, in whatever dialect: a `StreamingCode` without its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The channel is there already. Unknown to `V2024_08`.
    ChannelExist,
    /// The node does not have the channel.
    ChannelNotExist,
    /// A later term has the channel.
    ChannelFenced,
    /// The node is stopping.
    OnShutdown,
    /// A message came out of order.
    InvalidRequestSeq,
    /// The node has the channel at another term.
    UnmatchedChannelTerm,
    /// An operation came too late and changed nothing.
    IgnoredOperation,
    /// The node failed inside.
    Inner,
    /// There is no more. Unknown to `V2024_08`.
    Eof,
    /// The request makes no sense.
    InvalidArgument,
    /// Not known.
    Unknown,
}

impl Dialect {
    /// The number of a code.
    #[must_use]
    pub const fn number(self, code: ErrorCode) -> i32 {
        match self {
            Self::Seed => match code {
                ErrorCode::ChannelExist => Seed::CHANNEL_EXIST.0,
                ErrorCode::ChannelNotExist => Seed::CHANNEL_NOT_EXIST.0,
                ErrorCode::ChannelFenced => Seed::CHANNEL_FENCED.0,
                ErrorCode::OnShutdown => Seed::ON_SHUTDOWN.0,
                ErrorCode::InvalidRequestSeq => Seed::INVALID_REQUEST_SEQ.0,
                ErrorCode::UnmatchedChannelTerm => Seed::UNMATCHED_CHANNEL_TERM.0,
                ErrorCode::IgnoredOperation => Seed::IGNORED_OPERATION.0,
                ErrorCode::Inner => Seed::INNER.0,
                ErrorCode::Eof => Seed::EOF.0,
                ErrorCode::InvalidArgument => Seed::INVAILD_ARGUMENT.0,
                ErrorCode::Unknown => Seed::UNKNOWN.0,
            },
            Self::V2024_08 => match code {
                ErrorCode::ChannelNotExist => V2024_08::CHANNEL_NOT_EXIST.0,
                ErrorCode::ChannelFenced => V2024_08::CHANNEL_FENCED.0,
                ErrorCode::OnShutdown => V2024_08::ON_SHUTDOWN.0,
                ErrorCode::InvalidRequestSeq => V2024_08::INVALID_REQUEST_SEQ.0,
                ErrorCode::UnmatchedChannelTerm => V2024_08::UNMATCHED_CHANNEL_TERM.0,
                ErrorCode::IgnoredOperation => V2024_08::IGNORED_OPERATION.0,
                ErrorCode::Inner => V2024_08::INNER.0,
                ErrorCode::InvalidArgument => V2024_08::INVAILD_ARGUMENT.0,
                ErrorCode::ChannelExist | ErrorCode::Eof | ErrorCode::Unknown => {
                    V2024_08::UNKNOWN.0
                }
            },
        }
    }

    /// The code of a number; `Unknown` for numbers without one. That of `OK` is none: it is no failure.
    #[must_use]
    pub fn code(self, number: i32) -> ErrorCode {
        let known = ErrorCode::ALL.into_iter();
        let mut known = known.filter(|code| self.number(*code) == number);
        known
            .next()
            .filter(|_| number != Seed::UNKNOWN.0)
            .unwrap_or(ErrorCode::Unknown)
    }
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ChannelExist,
        Self::ChannelNotExist,
        Self::ChannelFenced,
        Self::OnShutdown,
        Self::InvalidRequestSeq,
        Self::UnmatchedChannelTerm,
        Self::IgnoredOperation,
        Self::Inner,
        Self::Eof,
        Self::InvalidArgument,
        Self::Unknown,
    ];

    /// The code of gRPC that a stream ends with.
    #[must_use]
    pub const fn grpc(self) -> Code {
        match self {
            Self::ChannelExist => Code::AlreadyExists,
            Self::ChannelNotExist
            | Self::ChannelFenced
            | Self::OnShutdown
            | Self::InvalidRequestSeq
            | Self::UnmatchedChannelTerm
            | Self::IgnoredOperation => Code::FailedPrecondition,
            Self::Inner => Code::Unavailable,
            Self::InvalidArgument => Code::InvalidArgument,
            Self::Eof | Self::Unknown => Code::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_knows_its_numbers_and_no_others() {
        let numbers = |dialect: Dialect| ErrorCode::ALL.map(|code| dialect.number(code));
        assert_eq!(numbers(Dialect::Seed), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 999]);
        assert_eq!(
            numbers(Dialect::V2024_08),
            [999, 1, 2, 3, 4, 5, 6, 7, 999, 8, 999]
        );
        for dialect in [Dialect::Seed, Dialect::V2024_08] {
            for code in ErrorCode::ALL {
                let back = dialect.code(dialect.number(code));
                let unknown = dialect.number(code) == 999;
                assert_eq!(back, if unknown { ErrorCode::Unknown } else { code });
            }
            for number in [-1, 0, 11, 998, i32::MAX] {
                assert_eq!(dialect.code(number), ErrorCode::Unknown);
            }
        }
        assert_eq!(Dialect::V2024_08.code(9), ErrorCode::Unknown);
    }

    #[test]
    fn line_09_each_code_has_its_code_of_grpc() {
        let of_grpc = ErrorCode::ALL.map(|code| code.grpc() as i32);
        // ALREADY_EXISTS, FAILED_PRECONDITION, UNAVAILABLE, UNKNOWN, INVALID_ARGUMENT, UNKNOWN.
        assert_eq!(of_grpc, [6, 9, 9, 9, 9, 9, 9, 14, 2, 3, 2]);
    }
}
