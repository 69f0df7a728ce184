//! Answers that own their bytes, read through the views of the schema.

use bytes::Bytes;
use trefoil_core::status::Code;
use trefoil_proto::control_plane::{ApplyRequest, ApplyResult, GetReply, GetRequest};
use trefoil_proto::google::Any;
use trefoil_proto::wire::{Decode, Encode};

use crate::error::{CallError, Remedy};

/// The answer to an Apply: the state after the batch and one result per message, in order.
#[derive(Clone, Debug)]
pub struct Applied {
    bytes: Bytes,
    repeated: bool,
}

impl Applied {
    pub(crate) fn new(bytes: Bytes) -> Result<Self, CallError> {
        checked::<ApplyResult<'_>>(&bytes)?;
        Ok(Self {
            bytes,
            repeated: false,
        })
    }

    /// The request had been applied before, and only the state is known.
    pub(crate) fn before(state: &Got) -> Self {
        let view = state.view();
        let reply: ApplyResult<'_> = ApplyResult {
            state: view.grain,
            ..ApplyResult::default()
        };
        Self {
            bytes: encode(&reply),
            repeated: true,
        }
    }

    /// The answer; it was checked when it arrived, so its lists iterate without errors.
    #[must_use]
    pub fn view(&self) -> ApplyResult<'_> {
        ApplyResult::parse(&self.bytes).unwrap_or_default()
    }

    /// Whether a request of the same id had been applied before, so that the results of its messages
    /// are no longer known and `view().mutations` is empty.
    #[must_use]
    pub const fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The encoded `ApplyResult`.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// The answer to a Get.
#[derive(Clone, Debug)]
pub struct Got {
    bytes: Bytes,
}

impl Got {
    pub(crate) fn new(bytes: Bytes) -> Result<Self, CallError> {
        checked::<GetReply<'_>>(&bytes)?;
        Ok(Self { bytes })
    }

    /// The answer.
    #[must_use]
    pub fn view(&self) -> GetReply<'_> {
        GetReply::parse(&self.bytes).unwrap_or_default()
    }

    /// The bytes of the actor's state.
    #[must_use]
    pub fn state(&self) -> &[u8] {
        self.view().grain.map_or(&[], |grain| grain.value)
    }

    /// The encoded `GetReply`.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

fn checked<'a, M: Decode<'a>>(bytes: &'a Bytes) -> Result<(), CallError> {
    M::parse(bytes)
        .and_then(|view| view.check())
        .map_err(|error| CallError {
            code: Code::Internal,
            message: format!("the answer cannot be decoded: {error}"),
            remedy: Remedy::Final,
        })
}

pub(crate) fn encode(message: &impl Encode) -> Bytes {
    let mut bytes = vec![0; message.encoded_len()];
    match message.encode_to_slice(&mut bytes) {
        Ok(_) => Bytes::from(bytes),
        // The length was measured one line above.
        Err(_) => Bytes::new(),
    }
}

pub(crate) fn apply_request(id: u64, messages: &[Any<'_>]) -> Bytes {
    encode(&ApplyRequest { id, messages })
}

pub(crate) fn get_request(id: u64) -> Bytes {
    encode(&GetRequest { id })
}
