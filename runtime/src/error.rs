//! Errors a program sees, each with a stable code.

use trefoil_core::codes;
use trefoil_core::status::{Cause, Code, Status};

/// What a program may do about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing was applied: try again, perhaps after a while.
    Retry,
    /// It may or may not have been applied: try again with the same request id, or read the state.
    Uncertain,
    /// Trying again will not help.
    Final,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The status code, as gRPC numbers them.
    pub code: Code,
    /// What happened, beginning with the stable code (`TF-…`) if one of our nodes said it.
    pub message: String,
    /// What may be done about it.
    pub remedy: Remedy,
}

impl CallError {
    /// The error of a status.
    #[must_use]
    pub fn from_status(status: &Status<'_>) -> Self {
        Self {
            code: status.code,
            message: status.message.to_owned(),
            remedy: remedy(status),
        }
    }

    /// The node was stopped before it answered.
    #[must_use]
    pub fn stopped() -> Self {
        Self {
            code: Code::Unavailable,
            message: codes::STOPPING.to_owned(),
            remedy: Remedy::Uncertain,
        }
    }

    /// Too many calls are in flight from this program.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            code: Code::ResourceExhausted,
            message: codes::BUSY.to_owned(),
            remedy: Remedy::Retry,
        }
    }

    /// The stable code, if there is one.
    #[must_use]
    pub fn stable_code(&self) -> Option<&str> {
        Status::new(self.code, &self.message).stable_code()
    }
}

fn remedy(status: &Status<'_>) -> Remedy {
    match status.code {
        Code::ResourceExhausted if status.stable_code() == Some("TF-C05") => Remedy::Final,
        Code::Unavailable if status.cause == Cause::Lost => Remedy::Uncertain,
        Code::Unavailable | Code::ResourceExhausted => Remedy::Retry,
        Code::Aborted | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => {
            Remedy::Uncertain
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Remedy::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_is_never_called_harmless() {
        let lost = Status::new(Code::Unavailable, codes::UNREACHABLE).caused_by(Cause::Lost);
        assert_eq!(CallError::from_status(&lost).remedy, Remedy::Uncertain);
        let refused = lost.caused_by(Cause::Refused);
        assert_eq!(CallError::from_status(&refused).remedy, Remedy::Retry);
        let moved = CallError::from_status(&Status::new(Code::Aborted, codes::MOVED));
        assert_eq!(
            (moved.remedy, moved.stable_code()),
            (Remedy::Uncertain, Some("TF-R03"))
        );
    }
}
