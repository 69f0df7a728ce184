//! Why something about a channel failed.

use trefoil_core::channels::client::ClientRefused;
use trefoil_core::channels::dialect::ErrorCode;
use trefoil_core::channels::failure::Failure;
use trefoil_core::codes;

/// A record, a producer or a consumer that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChannelError {
    /// For programs; absent where it was this side that refused.
    pub code: Option<ErrorCode>,
    /// What happened, beginning with the stable code (`TF-…`) if one of our nodes, or this side, said it.
    pub message: String,
    /// Whether it is certain that nothing was appended. If not, it may have been: a producer that drops what
    /// comes twice (see [`DedupeOptions`](super::DedupeOptions)) may send it again.
    pub is_certain: bool,
}

impl ChannelError {
    pub(super) fn of(failure: Failure<'_>, is_certain: bool) -> Self {
        let message = if failure.cause.is_empty() {
            format!("{:?}", failure.code)
        } else {
            failure.cause.to_owned()
        };
        Self {
            code: Some(failure.code),
            message,
            is_certain,
        }
    }

    pub(super) fn refused(why: ClientRefused) -> Self {
        Self {
            code: None,
            message: why.message().to_owned(),
            is_certain: true,
        }
    }

    /// The client has stopped.
    pub(super) fn stopped() -> Self {
        Self {
            code: None,
            message: codes::CLIENT_STOPPING.to_owned(),
            is_certain: false,
        }
    }

    /// The stable code, if there is one.
    #[must_use]
    pub fn stable_code(&self) -> Option<&str> {
        let code = self.message.split(':').next()?;
        code.starts_with("TF-").then_some(code)
    }
}
