//! The channels as they were spoken from August 2024 on: recorded bytes, and what each dialect makes of the other.

use trefoil_proto::v2024_08::streaming::*;
use trefoil_proto::{milvus, streaming as seed};

use crate::golden::{round, vectors_of};
use crate::pairs::view;

const RECORDED: &str = include_str!("../golden/channels_v2024_08.txt");

#[test]
fn every_vector_decodes_and_encodes_to_the_same_bytes() {
    let vectors = vectors_of(RECORDED, "aug05 ");
    assert_eq!(vectors.len(), 23);
    for (name, bytes) in &vectors {
        match name.split([' ', '.', '(']).next().unwrap() {
            "PChannelInfo" => {
                round::<PChannelInfo>(bytes);
            }
            "CreateProducerRequest" => {
                round::<CreateProducerRequest>(bytes);
            }
            "CreateConsumerRequest" => {
                round::<CreateConsumerRequest>(bytes);
            }
            "DeliverPolicy" => {
                round::<DeliverPolicy>(bytes);
            }
            "ProduceRequest" => {
                round::<ProduceRequest>(bytes);
            }
            "ProduceResponse" => {
                round::<ProduceResponse>(bytes);
            }
            "ConsumeRequest" => {
                round::<ConsumeRequest>(bytes);
            }
            "ConsumeResponse" => {
                round::<ConsumeResponse>(bytes);
            }
            "AssignmentDiscoverRequest" => {
                round::<AssignmentDiscoverRequest>(bytes);
            }
            "AssignmentDiscoverResponse" => {
                round::<AssignmentDiscoverResponseView<'_>>(bytes);
            }
            "StreamingNodeManagerAssignRequest" => {
                round::<StreamingNodeManagerAssignRequest>(bytes);
            }
            "ComponentStates" => {
                round::<milvus::ComponentStates>(bytes);
            }
            other => panic!("no message for {other}"),
        }
    }
}

#[test]
fn vectors_mean_what_they_are_called() {
    let v = vectors_of(RECORDED, "aug05 ");
    let produce =
        round::<ProduceRequest>(&v["ProduceRequest.produce(id=1,payload=a,props{_t:1,_v:1})"]);
    let Some(ProduceRequestRequest::Produce(produce)) = produce.request else {
        panic!()
    };
    assert_eq!(
        (produce.request_id, produce.message.unwrap().payload),
        (1, &b"a"[..])
    );

    let created = round::<ProduceResponse>(&v["ProduceResponse.create(producer_id=7)"]);
    let Some(ProduceResponseResponse::Create(created)) = created.response else {
        panic!()
    };
    assert_eq!((created.producer_id, created.wal_name), (7, ""));

    let done = round::<ProduceResponse>(&v["ProduceResponse.produce(result)"]);
    let Some(ProduceResponseResponse::Produce(done)) = done.response else {
        panic!()
    };
    let Some(ProduceMessageResponseResponse::Result(result)) = done.response else {
        panic!()
    };
    assert_eq!(result.id.unwrap().id, "z");

    let fenced = round::<ProduceResponse>(&v["ProduceResponse.produce(error fenced)"]);
    let Some(ProduceResponseResponse::Produce(answer)) = fenced.response else {
        panic!()
    };
    let Some(ProduceMessageResponseResponse::Error(error)) = answer.response else {
        panic!()
    };
    assert_eq!(error.code, StreamingCode::CHANNEL_FENCED);
}

#[test]
fn the_codes_have_the_numbers_that_were_recorded() {
    let recorded = RECORDED
        .lines()
        .find_map(|line| line.trim().strip_prefix("codes "))
        .unwrap();
    let ours = [
        ("OK", StreamingCode::OK),
        ("CHANNEL_NOT_EXIST", StreamingCode::CHANNEL_NOT_EXIST),
        ("CHANNEL_FENCED", StreamingCode::CHANNEL_FENCED),
        ("ON_SHUTDOWN", StreamingCode::ON_SHUTDOWN),
        ("INVALID_REQUEST_SEQ", StreamingCode::INVALID_REQUEST_SEQ),
        (
            "UNMATCHED_CHANNEL_TERM",
            StreamingCode::UNMATCHED_CHANNEL_TERM,
        ),
        ("IGNORED_OPERATION", StreamingCode::IGNORED_OPERATION),
        ("INNER", StreamingCode::INNER),
        ("INVAILD_ARGUMENT", StreamingCode::INVAILD_ARGUMENT),
        ("UNKNOWN", StreamingCode::UNKNOWN),
    ];
    assert_eq!(recorded.matches("STREAMING_CODE_").count(), ours.len());
    for (name, code) in ours {
        let line = format!("'STREAMING_CODE_{name}': {}", code.0);
        assert!(recorded.contains(&line), "{line}");
    }
}

/// What one dialect says is no error in the other, and means something else: so which is spoken is configured,
/// and a first frame like these is refused.
#[test]
fn a_mix_is_seen_in_the_first_request() {
    let append = "ProduceRequest.produce(id=1,payload=a,props{_t:1,_v:1})";
    let theirs = &vectors_of(RECORDED, "aug05 ")[append];
    let by_seed = view::<seed::ProduceRequest<'_>>(theirs).unwrap();
    assert_eq!(by_seed.request, None, "a request of no kind");

    let recorded = include_str!("../golden/channels_seed.txt");
    let ours = &vectors_of(recorded, "seed ")[append];
    let by_them = view::<ProduceRequest<'_>>(ours).unwrap();
    assert!(
        matches!(by_them.request, Some(ProduceRequestRequest::Close(_))),
        "a close"
    );
    let close = &vectors_of(RECORDED, "aug05 ")["ProduceRequest.close"];
    assert!(ours.len() > close.len(), "that is not empty");
}
