//! How a stream ends.

/// The status codes of gRPC, numbers as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// The code of a number from the wire; numbers gRPC does not know are `Unknown`, as it demands.
    #[must_use]
    pub const fn from_wire(number: i32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }
}

/// Who ended the stream, as far as this process can tell. The wire does not carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The other side said so.
    Peer,
    /// Nothing listens at the peer's address: evidence that its process is gone.
    Refused,
    /// The connection was lost, or could not be made in time. No evidence of anything.
    Lost,
    /// Somebody is there, and one side does not trust the other: nothing was sent.
    Untrusted,
    /// The stream's deadline passed here.
    Deadline,
    /// This process did not try: the link is backing off, or a limit was reached.
    Local,
}

/// How a stream ended: a code, a message for people that begins with a stable error code, and
/// details for programs (`grpc-status-details-bin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The gRPC code.
    pub code: Code,
    /// Text for people; see [`codes`](crate::codes) for its first word.
    pub message: &'a str,
    /// An encoded `google.rpc.Status`, or nothing.
    pub details: &'a [u8],
    /// Who ended the stream.
    pub cause: Cause,
}

impl<'a> Status<'a> {
    /// The end of a stream that went well.
    pub const OK: Status<'static> = Status {
        code: Code::Ok,
        message: "",
        details: &[],
        cause: Cause::Peer,
    };

    /// A status without details.
    #[must_use]
    pub const fn new(code: Code, message: &'a str) -> Self {
        Self {
            code,
            message,
            details: &[],
            cause: Cause::Local,
        }
    }

    /// The same status, ended by `cause`.
    #[must_use]
    pub const fn caused_by(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// Whether the stream ended well.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self.code, Code::Ok)
    }

    /// The stable error code at the front of the message, if there is one.
    #[must_use]
    pub fn stable_code(&self) -> Option<&'a str> {
        let word = self.message.split([':', ' ']).next()?;
        word.starts_with("TF-").then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire_and_strangers_become_unknown() {
        for number in 0..=16 {
            assert_eq!(Code::from_wire(number) as i32, number);
        }
        assert_eq!(Code::from_wire(17), Code::Unknown);
        assert_eq!(Code::from_wire(-1), Code::Unknown);
    }

    #[test]
    fn the_stable_code_is_the_first_word() {
        assert_eq!(
            Status::new(Code::Aborted, "TF-R03: moved to b").stable_code(),
            Some("TF-R03")
        );
        assert_eq!(Status::new(Code::Aborted, "moved").stable_code(), None);
    }
}
