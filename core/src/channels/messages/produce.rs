//! A producer and its node.

use trefoil_proto::v2024_08::streaming as august;
use trefoil_proto::{Decode, DecodeError, Encode, streaming as seed, wire};

use super::{Message, Properties, PropertiesOut, Spoken};
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::codes;

/// What a producer sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProduceRequest<'a, P = Properties<'a>> {
    /// A record to append.
    Produce {
        /// Handed back in the answer; unique on its stream.
        request_id: i64,
        /// The record.
        message: Message<'a, P>,
    },
    /// The producer will send no more.
    Close,
    /// Of a kind that is not known here: to be passed over.
    Unknown,
}

/// What a producer is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProduceResponse<'a> {
    /// The producer is open; always first.
    Create {
        /// Its number on the node; zero, as Milvus has it.
        producer_id: i64,
        /// How ids are to be read. `Seed` does not say.
        wal_name: &'a str,
    },
    /// A record was appended.
    Result {
        /// That of the request.
        request_id: i64,
        /// Where it stands. In `V2024_08` it is text: an id that is not is sent empty.
        id: &'a [u8],
    },
    /// A record was not appended.
    Error {
        /// That of the request.
        request_id: i64,
        /// Why.
        failure: Failure<'a>,
    },
    /// All is answered and the stream ends.
    Close,
    /// Of a kind that is not known here: to be passed over.
    Unknown,
}

impl<'a> ProduceRequest<'a> {
    /// Reads a request. What is missing in a record is empty.
    ///
    /// # Errors
    /// What is wrong with the frame.
    pub fn decode(dialect: Dialect, frame: &'a [u8]) -> Result<Self, DecodeError> {
        match dialect {
            Dialect::Seed => {
                let view = seed::ProduceRequest::parse(frame)?;
                view.check()?;
                Ok(match view.request {
                    Some(seed::ProduceRequestRequest::Produce(produce)) => Self::Produce {
                        request_id: produce.request_id,
                        message: produce.message.unwrap_or_default(),
                    },
                    Some(seed::ProduceRequestRequest::Close(_)) => Self::Close,
                    None => Self::Unknown,
                })
            }
            Dialect::V2024_08 => {
                let view = august::ProduceRequest::parse(frame)?;
                view.check()?;
                Ok(match view.request {
                    Some(august::ProduceRequestRequest::Produce(produce)) => {
                        let message = produce.message.unwrap_or_default();
                        Self::Produce {
                            request_id: produce.request_id,
                            message: Message {
                                payload: message.payload,
                                properties: message.properties,
                            },
                        }
                    }
                    Some(august::ProduceRequestRequest::Close(_)) => Self::Close,
                    None => Self::Unknown,
                })
            }
        }
    }

    /// Reads the first request of a stream, which shows whether the caller speaks the other dialect: a record
    /// then looks like something that is never said first.
    ///
    /// # Errors
    /// `InvalidArgument`, if it does, and if the frame cannot be decoded.
    pub fn decode_first(dialect: Dialect, frame: &'a [u8]) -> Result<Self, Failure<'static>> {
        let request = Self::decode(dialect, frame)
            .map_err(|_| Failure::new(ErrorCode::InvalidArgument, codes::MALFORMED))?;
        if request.is_of_other(dialect, frame) {
            return Err(Failure::new(
                ErrorCode::InvalidArgument,
                codes::OTHER_DIALECT,
            ));
        }
        Ok(request)
    }

    fn is_of_other(&self, dialect: Dialect, frame: &[u8]) -> bool {
        /// Field 1: a record of `V2024_08`, unknown to `Seed`.
        const THEIR_PRODUCE: u32 = 10;
        /// Field 2: the close of `V2024_08`, a record of `Seed`.
        const THEIR_CLOSE: u32 = 18;
        match (dialect, self) {
            (Dialect::Seed, Self::Unknown) => holds(frame, THEIR_PRODUCE),
            (Dialect::V2024_08, Self::Close) => holds(frame, THEIR_CLOSE),
            (_, Self::Produce { .. })
            | (Dialect::Seed, Self::Close)
            | (Dialect::V2024_08, Self::Unknown) => false,
        }
    }
}

/// Whether `frame` has a message in the field of `tag` that is not empty.
fn holds(frame: &[u8], tag: u32) -> bool {
    let mut r = wire::Reader::new(frame);
    while let Ok(found) = r.tag() {
        if found == tag {
            if r.message().is_ok_and(|inner| !inner.is_empty()) {
                return true;
            }
        } else if r.skip(found).is_err() {
            return false;
        }
    }
    false
}

impl<P: PropertiesOut> Spoken for ProduceRequest<'_, P> {
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

impl<'a, P> ProduceRequest<'a, P> {
    fn seed(&self) -> seed::ProduceRequest<'a, &P> {
        let request = match self {
            Self::Produce {
                request_id,
                message,
            } => Some(seed::ProduceRequestRequest::Produce(
                seed::ProduceMessageRequest {
                    request_id: *request_id,
                    message: Some(Message {
                        payload: message.payload,
                        properties: &message.properties,
                    }),
                },
            )),
            Self::Close => Some(seed::ProduceRequestRequest::Close(
                seed::CloseProducerRequest {},
            )),
            Self::Unknown => None,
        };
        seed::ProduceRequest { request }
    }

    fn august(&self) -> august::ProduceRequest<'a, &P> {
        let request = match self {
            Self::Produce {
                request_id,
                message,
            } => Some(august::ProduceRequestRequest::Produce(
                august::ProduceMessageRequest {
                    request_id: *request_id,
                    message: Some(august::Message {
                        payload: message.payload,
                        properties: &message.properties,
                    }),
                },
            )),
            Self::Close => Some(august::ProduceRequestRequest::Close(
                august::CloseProducerRequest {},
            )),
            Self::Unknown => None,
        };
        august::ProduceRequest { request }
    }
}

impl<'a> ProduceResponse<'a> {
    /// Reads an answer. One that says neither where a record stands nor why it does not is a failure that is
    /// not known.
    ///
    /// # Errors
    /// What is wrong with the frame.
    pub fn decode(dialect: Dialect, frame: &'a [u8]) -> Result<Self, DecodeError> {
        match dialect {
            Dialect::Seed => Ok(match seed::ProduceResponse::parse(frame)?.response {
                Some(seed::ProduceResponseResponse::Create(create)) => Self::Create {
                    producer_id: create.producer_id,
                    wal_name: "",
                },
                Some(seed::ProduceResponseResponse::Produce(produce)) => {
                    use seed::ProduceMessageResponseResponse as Outcome;
                    Self::outcome(
                        produce.request_id,
                        match produce.response {
                            Some(Outcome::Result(result)) => Ok(result.id.unwrap_or_default().id),
                            Some(Outcome::Error(error)) => Err(Failure::of_error(dialect, error)),
                            None => Err(Failure::new(ErrorCode::Unknown, "")),
                        },
                    )
                }
                Some(seed::ProduceResponseResponse::Close(_)) => Self::Close,
                None => Self::Unknown,
            }),
            Dialect::V2024_08 => Ok(match august::ProduceResponse::parse(frame)?.response {
                Some(august::ProduceResponseResponse::Create(create)) => Self::Create {
                    producer_id: create.producer_id,
                    wal_name: create.wal_name,
                },
                Some(august::ProduceResponseResponse::Produce(produce)) => {
                    use august::ProduceMessageResponseResponse as Outcome;
                    Self::outcome(
                        produce.request_id,
                        match produce.response {
                            Some(Outcome::Result(result)) => {
                                Ok(result.id.unwrap_or_default().id.as_bytes())
                            }
                            Some(Outcome::Error(error)) => {
                                Err(Failure::new(dialect.code(error.code.0), error.cause))
                            }
                            None => Err(Failure::new(ErrorCode::Unknown, "")),
                        },
                    )
                }
                Some(august::ProduceResponseResponse::Close(_)) => Self::Close,
                None => Self::Unknown,
            }),
        }
    }

    const fn outcome(request_id: i64, outcome: Result<&'a [u8], Failure<'a>>) -> Self {
        match outcome {
            Ok(id) => Self::Result { request_id, id },
            Err(failure) => Self::Error {
                request_id,
                failure,
            },
        }
    }

    fn seed(&self) -> seed::ProduceResponse<'a> {
        use seed::{ProduceMessageResponseResponse as Outcome, ProduceResponseResponse as Kind};
        let outcome = |request_id, response| {
            Kind::Produce(seed::ProduceMessageResponse {
                request_id,
                response: Some(response),
            })
        };
        let response = match *self {
            Self::Create { producer_id, .. } => {
                Some(Kind::Create(seed::CreateProducerResponse { producer_id }))
            }
            Self::Result { request_id, id } => Some(outcome(
                request_id,
                Outcome::Result(seed::ProduceMessageResponseResult {
                    id: Some(seed::MessageID { id }),
                }),
            )),
            Self::Error {
                request_id,
                failure,
            } => Some(outcome(
                request_id,
                Outcome::Error(failure.error(Dialect::Seed)),
            )),
            Self::Close => Some(Kind::Close(seed::CloseProducerResponse {})),
            Self::Unknown => None,
        };
        seed::ProduceResponse { response }
    }

    fn august(&self) -> august::ProduceResponse<'a> {
        use august::{ProduceMessageResponseResponse as Outcome, ProduceResponseResponse as Kind};
        let outcome = |request_id, response| {
            Kind::Produce(august::ProduceMessageResponse {
                request_id,
                response: Some(response),
            })
        };
        let response = match *self {
            Self::Create {
                producer_id,
                wal_name,
            } => Some(Kind::Create(august::CreateProducerResponse {
                wal_name,
                producer_id,
            })),
            Self::Result { request_id, id } => Some(outcome(
                request_id,
                Outcome::Result(august::ProduceMessageResponseResult {
                    id: Some(august::MessageID {
                        id: core::str::from_utf8(id).unwrap_or_default(),
                    }),
                }),
            )),
            Self::Error {
                request_id,
                failure,
            } => {
                let error = failure.error(Dialect::V2024_08);
                Some(outcome(
                    request_id,
                    Outcome::Error(august::StreamingError {
                        code: august::StreamingCode(error.code.0),
                        cause: error.cause,
                    }),
                ))
            }
            Self::Close => Some(Kind::Close(august::CloseProducerResponse {})),
            Self::Unknown => None,
        };
        august::ProduceResponse { response }
    }
}

impl Spoken for ProduceResponse<'_> {
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
