//! How calls about channels fail: a `google.rpc.Status` with one `StreamingError` in its details.

use trefoil_proto::google::Any;
use trefoil_proto::rpc;
use trefoil_proto::streaming::{StreamingCode, StreamingError};
use trefoil_proto::{Decode, Encode};

use super::dialect::{Dialect, ErrorCode};
use crate::status::{Cause, Code, Status};

/// The type of the details.
const TYPE_URL: &str = "type.googleapis.com/milvus.proto.streaming.StreamingError";

/// Bytes of the details of a status, the cause included.
const STATUS_BYTES: usize = 1_024;

/// Bytes of a cause that are sent; the rest is cut.
pub const CAUSE_BYTES_MAX: usize = STATUS_BYTES - 128;

/// Why a call, or one message of a stream, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For people. What this library sends begins with a stable code, see [`codes`](crate::codes).
    pub cause: &'a str,
}

/// The room that [`Failure::status`] writes into.
#[derive(Clone, Copy, Debug)]
pub struct StatusRoom([u8; STATUS_BYTES]);

impl StatusRoom {
    /// Room, not used yet.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; STATUS_BYTES])
    }
}

impl Default for StatusRoom {
    fn default() -> Self {
        Self::new()
    }
}

/// `text`, cut to at most `bytes` where a character ends.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl<'a> Failure<'a> {
    /// A failure.
    #[must_use]
    pub const fn new(code: ErrorCode, cause: &'a str) -> Self {
        Self { code, cause }
    }

    /// The failure as part of a message.
    #[must_use]
    pub fn error(self, dialect: Dialect) -> StreamingError<'a> {
        StreamingError {
            code: StreamingCode(dialect.number(self.code)),
            cause: cut(self.cause, CAUSE_BYTES_MAX),
        }
    }

    /// The failure that is part of a message.
    #[must_use]
    pub fn of_error(dialect: Dialect, error: StreamingError<'a>) -> Self {
        Self::new(dialect.code(error.code.0), error.cause)
    }

    /// The failure as the end of a stream. Its message is empty, as peers expect.
    pub fn status(self, dialect: Dialect, room: &mut StatusRoom) -> Status<'_> {
        let error = self.error(dialect);
        let mut bytes = [0; STATUS_BYTES];
        // A cause is cut so that both fit.
        let len = error.encode_to_slice(&mut bytes).unwrap_or(0);
        let details = [Any {
            type_url: TYPE_URL,
            value: &bytes[..len],
        }];
        let status = rpc::Status {
            code: self.code.grpc() as i32,
            message: "",
            details: &details[..],
        };
        let len = status.encode_to_slice(&mut room.0).unwrap_or(0);
        Status {
            code: self.code.grpc(),
            message: "",
            details: &room.0[..len],
            cause: Cause::Local,
        }
    }

    /// Why a stream that a peer ended failed: what its details say, or `Unknown` with the message. `None` if
    /// it went well.
    #[must_use]
    pub fn of_status(dialect: Dialect, status: &Status<'a>) -> Option<Self> {
        if status.code == Code::Ok {
            return None;
        }
        let said = rpc::Status::parse(status.details).ok();
        let mut details = said.iter().flat_map(|said| said.details.iter());
        let error = details.find_map(|any| {
            let any = any.ok().filter(|any| any.type_url == TYPE_URL)?;
            StreamingError::parse(any.value).ok()
        });
        Some(error.map_or_else(
            || Self::new(ErrorCode::Unknown, status.message),
            |error| Self::of_error(dialect, error),
        ))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| std::format!("{byte:02x}"))
            .collect()
    }

    /// Line 9 of what an implementation must do.
    #[test]
    fn a_failure_is_a_status_with_one_streaming_error() {
        let mut room = StatusRoom::new();
        let failure = Failure::new(ErrorCode::UnmatchedChannelTerm, "x");
        let status = failure.status(Dialect::Seed, &mut room);
        assert_eq!(
            (status.code, status.message),
            (Code::FailedPrecondition, "")
        );
        assert_eq!(
            hex(status.details),
            "08091a420a39747970652e676f6f676c65617069732e636f6d2f6d696c7675732e70726f746f2e737472\
             65616d696e672e53747265616d696e674572726f7212050806120178"
        );
        assert_eq!(Failure::of_status(Dialect::Seed, &status), Some(failure));
        let other = Failure::of_status(Dialect::V2024_08, &status).unwrap();
        assert_eq!(
            other.code,
            ErrorCode::IgnoredOperation,
            "6 is another code there"
        );
    }

    #[test]
    fn what_does_not_say_why_is_unknown() {
        let plain = Status::new(Code::Internal, "broken");
        let unknown = Failure::new(ErrorCode::Unknown, "broken");
        assert_eq!(Failure::of_status(Dialect::Seed, &plain), Some(unknown));
        for details in [&[255; 3][..], &[8, 9], &[26, 0]] {
            let status = Status { details, ..plain };
            assert_eq!(Failure::of_status(Dialect::Seed, &status), Some(unknown));
        }
        assert_eq!(Failure::of_status(Dialect::Seed, &Status::OK), None);
    }

    #[test]
    fn a_cause_of_any_length_fits() {
        let long: String = std::iter::repeat_n('ä', 5_000).collect();
        let mut room = StatusRoom::new();
        for dialect in [Dialect::Seed, Dialect::V2024_08] {
            let status = Failure::new(ErrorCode::Unknown, &long).status(dialect, &mut room);
            let back = Failure::of_status(dialect, &status).unwrap();
            let kept: Vec<char> = back.cause.chars().collect();
            assert_eq!(kept.len(), CAUSE_BYTES_MAX / 2);
            assert!(kept.iter().all(|char| *char == 'ä'));
        }
    }
}
