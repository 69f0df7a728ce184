//! A consumer and its node.

use trefoil_proto::v2024_08::streaming as august;
use trefoil_proto::{Decode, DecodeError, Encode, streaming as seed, wire};

use super::{Message, Properties, PropertiesOut, Spoken};
use crate::channels::dialect::Dialect;

/// What a consumer sends. Both dialects spell it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeRequest {
    /// The consumer wants no more.
    Close,
    /// Of a kind that is not known here: to be passed over.
    Unknown,
}

/// What a consumer is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConsumeResponse<'a, P = Properties<'a>> {
    /// The consumer is open; always first.
    Create {
        /// How ids are to be read. `Seed` does not say.
        wal_name: &'a str,
    },
    /// A record.
    Consume {
        /// Where it stands. In `V2024_08` it is text: an id that is not is sent empty.
        id: &'a [u8],
        /// The record.
        message: Message<'a, P>,
    },
    /// The stream ends.
    Close,
    /// Of a kind that is not known here: to be passed over.
    Unknown,
}

impl ConsumeRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with the frame.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        Ok(match seed::ConsumeRequest::parse(frame)?.request {
            Some(seed::ConsumeRequestRequest::Close(_)) => Self::Close,
            None => Self::Unknown,
        })
    }

    fn on_wire(self) -> seed::ConsumeRequest {
        seed::ConsumeRequest {
            request: match self {
                Self::Close => Some(seed::ConsumeRequestRequest::Close(
                    seed::CloseConsumerRequest {},
                )),
                Self::Unknown => None,
            },
        }
    }
}

impl Spoken for ConsumeRequest {
    fn len_in(&self, _: Dialect) -> usize {
        self.on_wire().encoded_len()
    }

    fn write_in(&self, _: Dialect, w: &mut wire::Writer<'_>) -> Result<(), wire::Full> {
        self.on_wire().encode(w)
    }
}

impl<'a> ConsumeResponse<'a> {
    /// Reads an answer. What is missing in a record is empty.
    ///
    /// # Errors
    /// What is wrong with the frame.
    pub fn decode(dialect: Dialect, frame: &'a [u8]) -> Result<Self, DecodeError> {
        match dialect {
            Dialect::Seed => {
                let view = seed::ConsumeResponse::parse(frame)?;
                view.check()?;
                Ok(match view.response {
                    Some(seed::ConsumeResponseResponse::Create(_)) => Self::Create { wal_name: "" },
                    Some(seed::ConsumeResponseResponse::Consume(consume)) => Self::Consume {
                        id: consume.id.unwrap_or_default().id,
                        message: consume.message.unwrap_or_default(),
                    },
                    Some(seed::ConsumeResponseResponse::Close(_)) => Self::Close,
                    None => Self::Unknown,
                })
            }
            Dialect::V2024_08 => {
                let view = august::ConsumeResponse::parse(frame)?;
                view.check()?;
                Ok(match view.response {
                    Some(august::ConsumeResponseResponse::Create(create)) => Self::Create {
                        wal_name: create.wal_name,
                    },
                    Some(august::ConsumeResponseResponse::Consume(consume)) => {
                        let message = consume.message.unwrap_or_default();
                        Self::Consume {
                            id: consume.id.unwrap_or_default().id.as_bytes(),
                            message: Message {
                                payload: message.payload,
                                properties: message.properties,
                            },
                        }
                    }
                    Some(august::ConsumeResponseResponse::Close(_)) => Self::Close,
                    None => Self::Unknown,
                })
            }
        }
    }
}

impl<P: PropertiesOut> Spoken for ConsumeResponse<'_, P> {
    fn len_in(&self, dialect: Dialect) -> usize {
        match dialect {
            Dialect::Seed => self.seed().encoded_len(),
            Dialect::V2024_08 => self.august().encoded_len(),
        }
    }

    fn write_in(&self, dialect: Dialect, w: &mut wire::Writer<'_>) -> Result<(), wire::Full> {
        match dialect {
            Dialect::Seed => self.seed().encode(w),
            Dialect::V2024_08 => self.august().encode(w),
        }
    }
}

impl<'a, P> ConsumeResponse<'a, P> {
    fn seed(&self) -> seed::ConsumeResponse<'a, &P> {
        use seed::ConsumeResponseResponse as Kind;
        let response = match self {
            Self::Create { .. } => Some(Kind::Create(seed::CreateConsumerResponse {})),
            Self::Consume { id, message } => Some(Kind::Consume(seed::ConsumeMessageReponse {
                id: Some(seed::MessageID { id }),
                message: Some(Message {
                    payload: message.payload,
                    properties: &message.properties,
                }),
            })),
            Self::Close => Some(Kind::Close(seed::CloseConsumerResponse {})),
            Self::Unknown => None,
        };
        seed::ConsumeResponse { response }
    }

    fn august(&self) -> august::ConsumeResponse<'a, &P> {
        use august::ConsumeResponseResponse as Kind;
        let response = match self {
            Self::Create { wal_name } => {
                Some(Kind::Create(august::CreateConsumerResponse { wal_name }))
            }
            Self::Consume { id, message } => Some(Kind::Consume(august::ConsumeMessageReponse {
                id: Some(august::MessageID {
                    id: core::str::from_utf8(id).unwrap_or_default(),
                }),
                message: Some(august::Message {
                    payload: message.payload,
                    properties: &message.properties,
                }),
            })),
            Self::Close => Some(Kind::Close(august::CloseConsumerResponse {})),
            Self::Unknown => None,
        };
        august::ConsumeResponse { response }
    }
}
