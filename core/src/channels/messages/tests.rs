extern crate std;

use proptest::prelude::*;

use super::*;
use crate::channels::dialect::ErrorCode;
use crate::channels::failure::Failure;
use crate::channels::golden::{DIALECTS, encoded, recorded};
use crate::codes;

const APPEND: &str = "ProduceRequest.produce(id=1,payload=a,props{_t:1,_v:1})";
const PROPERTIES: [(&str, &[u8]); 2] = [("_t", b"1"), ("_v", b"1")];

const fn append() -> ProduceRequest<'static, [(&'static str, &'static [u8]); 2]> {
    ProduceRequest::Produce {
        request_id: 1,
        message: Message {
            payload: b"a",
            properties: PROPERTIES,
        },
    }
}

/// The id that was recorded in a dialect.
const fn recorded_id(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::Seed => b"\x02",
        Dialect::V2024_08 => b"z",
    }
}

#[test]
fn line_02_requests_have_the_numbers_of_their_dialect() {
    for dialect in DIALECTS {
        let frame = recorded(dialect, APPEND);
        assert_eq!(encoded(&append().said(dialect)), frame);
        let read = ProduceRequest::decode(dialect, &frame).unwrap();
        let ProduceRequest::Produce {
            request_id: 1,
            message,
        } = read
        else {
            panic!("{read:?}")
        };
        assert_eq!(message.payload, b"a");
        assert!(message.properties.iter().flatten().eq(PROPERTIES));
        // What was received is sent on as it came.
        assert_eq!(encoded(&read.said(dialect)), frame);

        let close = recorded(dialect, "ProduceRequest.close");
        let read = ProduceRequest::decode(dialect, &close).unwrap();
        assert_eq!(read, ProduceRequest::Close);
        assert_eq!(encoded(&read.said(dialect)), close);

        let close = recorded(dialect, "ConsumeRequest.close");
        assert_eq!(ConsumeRequest::decode(&close), Ok(ConsumeRequest::Close));
        assert_eq!(encoded(&ConsumeRequest::Close.said(dialect)), close);
    }
}

#[test]
fn line_02_answers_have_the_numbers_and_codes_of_their_dialect() {
    for dialect in DIALECTS {
        for (name, answer) in [
            (
                "ProduceResponse.create(producer_id=7)",
                ProduceResponse::Create {
                    producer_id: 7,
                    wal_name: "",
                },
            ),
            (
                "ProduceResponse.produce(result)",
                ProduceResponse::Result {
                    request_id: 1,
                    id: recorded_id(dialect),
                },
            ),
            (
                "ProduceResponse.produce(error fenced)",
                ProduceResponse::Error {
                    request_id: 1,
                    failure: Failure::new(ErrorCode::ChannelFenced, "x"),
                },
            ),
            ("ProduceResponse.close", ProduceResponse::Close),
        ] {
            let frame = recorded(dialect, name);
            assert_eq!(ProduceResponse::decode(dialect, &frame), Ok(answer));
            assert_eq!(encoded(&answer.said(dialect)), frame, "{name}");
        }
        for (name, answer) in [
            (
                "ConsumeResponse.create",
                ConsumeResponse::Create { wal_name: "" },
            ),
            ("ConsumeResponse.close", ConsumeResponse::Close),
        ] {
            let frame = recorded(dialect, name);
            assert_eq!(ConsumeResponse::decode(dialect, &frame), Ok(answer));
            assert_eq!(encoded(&answer.said(dialect)), frame, "{name}");
        }
    }
}

#[test]
fn the_name_of_the_log_is_said_in_the_later_dialect_alone() {
    for dialect in DIALECTS {
        let wal_name = "trefoil";
        let expected = match dialect {
            Dialect::Seed => "",
            Dialect::V2024_08 => wal_name,
        };
        let frame = encoded(
            &ProduceResponse::Create {
                producer_id: 0,
                wal_name,
            }
            .said(dialect),
        );
        let read = ProduceResponse::decode(dialect, &frame);
        let created = ProduceResponse::Create {
            producer_id: 0,
            wal_name: expected,
        };
        assert_eq!(read, Ok(created));
        let created: ConsumeResponse<'_> = ConsumeResponse::Create { wal_name };
        let frame = encoded(&created.said(dialect));
        let created = ConsumeResponse::Create { wal_name: expected };
        assert_eq!(ConsumeResponse::decode(dialect, &frame), Ok(created));
    }
}

#[test]
fn line_17_a_record_comes_back_with_an_id_that_nobody_looks_into() {
    for dialect in DIALECTS {
        let id = recorded_id(dialect);
        let record = ConsumeResponse::Consume {
            id,
            message: Message {
                payload: b"a",
                properties: PROPERTIES,
            },
        };
        let frame = encoded(&record.said(dialect));
        let read = ConsumeResponse::decode(dialect, &frame).unwrap();
        let ConsumeResponse::Consume {
            id: read_id,
            message,
        } = read
        else {
            panic!("{read:?}")
        };
        assert_eq!((read_id, message.payload), (id, &b"a"[..]));
        assert!(message.properties.iter().flatten().eq(PROPERTIES));
        assert_eq!(encoded(&read.said(dialect)), frame);
    }
}

#[test]
fn an_id_that_is_no_text_is_not_sent_as_text() {
    let answer = ProduceResponse::Result {
        request_id: 1,
        id: b"\xff",
    };
    let frame = encoded(&answer.said(Dialect::V2024_08));
    let empty = ProduceResponse::Result {
        request_id: 1,
        id: b"",
    };
    assert_eq!(
        ProduceResponse::decode(Dialect::V2024_08, &frame),
        Ok(empty)
    );
    // The later dialect does not read it either.
    let frame = encoded(&answer.said(Dialect::Seed));
    assert!(ProduceResponse::decode(Dialect::V2024_08, &frame).is_err());
    assert_eq!(ProduceResponse::decode(Dialect::Seed, &frame), Ok(answer));
}

/// Decision 3, and line 20 of what is better.
#[test]
fn better_20_the_other_dialect_is_seen_in_the_first_frame() {
    let refused = Failure::new(ErrorCode::InvalidArgument, codes::OTHER_DIALECT);
    for (ours, theirs) in [
        (Dialect::Seed, Dialect::V2024_08),
        (Dialect::V2024_08, Dialect::Seed),
    ] {
        let frame = recorded(theirs, APPEND);
        assert_eq!(ProduceRequest::decode_first(ours, &frame), Err(refused));
        for name in [APPEND, "ProduceRequest.close"] {
            let frame = recorded(ours, name);
            let read = ProduceRequest::decode(ours, &frame);
            assert!(read.is_ok());
            assert_eq!(ProduceRequest::decode_first(ours, &frame).ok(), read.ok());
        }
    }
}

/// Line 8: later on the same frames are of kinds that are not known, or hints.
#[test]
fn line_08_what_is_not_known_is_passed_over() {
    for frame in [&[][..], &[0x22, 0], &[0x22, 1, 0]] {
        for dialect in DIALECTS {
            assert_eq!(
                ProduceRequest::decode_first(dialect, frame),
                Ok(ProduceRequest::Unknown)
            );
            assert_eq!(
                ProduceResponse::decode(dialect, frame),
                Ok(ProduceResponse::Unknown)
            );
            assert_eq!(
                ConsumeResponse::decode(dialect, frame),
                Ok(ConsumeResponse::Unknown)
            );
            assert!(encoded(&ConsumeRequest::Unknown.said(dialect)).is_empty());
        }
        assert_eq!(ConsumeRequest::decode(frame), Ok(ConsumeRequest::Unknown));
    }
    let theirs = recorded(Dialect::V2024_08, APPEND);
    assert_eq!(
        ProduceRequest::decode(Dialect::Seed, &theirs),
        Ok(ProduceRequest::Unknown)
    );
}

#[test]
fn line_06_an_answer_without_an_outcome_is_a_failure() {
    for dialect in DIALECTS {
        assert_eq!(
            ProduceResponse::decode(dialect, &[0x12, 2, 8, 5]),
            Ok(ProduceResponse::Error {
                request_id: 5,
                failure: Failure::new(ErrorCode::Unknown, ""),
            })
        );
    }
}

#[test]
fn what_cannot_be_decoded_is_said_to_be() {
    let malformed = Failure::new(ErrorCode::InvalidArgument, codes::MALFORMED);
    for dialect in DIALECTS {
        assert_eq!(
            ProduceRequest::decode_first(dialect, &[0xff]),
            Err(malformed)
        );
    }
    // Properties are looked through at once: their walk cannot fail later.
    let broken = [0x12, 6, 0x12, 4, 0x12, 2, 0x0a, 9];
    assert!(ProduceRequest::decode(Dialect::Seed, &broken).is_err());
    assert!(ConsumeResponse::decode(Dialect::Seed, &broken).is_err());
}

proptest! {
    #[test]
    fn any_frame_is_read_or_refused(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        for dialect in DIALECTS {
            if let Ok(ProduceRequest::Produce { message, .. }) = ProduceRequest::decode(dialect, &frame) {
                let _ = properties::Reserved::of(&message);
            }
            let _ = ProduceRequest::decode_first(dialect, &frame);
            let _ = ProduceResponse::decode(dialect, &frame);
            if let Ok(ConsumeResponse::Consume { message, .. }) = ConsumeResponse::decode(dialect, &frame) {
                let _ = properties::Reserved::of(&message);
            }
        }
        let _ = ConsumeRequest::decode(&frame);
    }

    /// As above, with the frames that are nearly right.
    #[test]
    fn any_bent_frame_is_read_or_refused(at: prop::sample::Index, bent: u8, cut: prop::sample::Index) {
        for dialect in DIALECTS {
            let mut frame = recorded(dialect, APPEND);
            let at = at.index(frame.len());
            frame[at] = bent;
            frame.truncate(cut.index(frame.len() + 1));
            if let Ok(ProduceRequest::Produce { message, .. }) = ProduceRequest::decode(dialect, &frame) {
                prop_assert!(message.properties.iter().all(|pair| pair.is_ok()));
            }
            let _ = ProduceRequest::decode_first(dialect, &frame);
        }
    }
}
