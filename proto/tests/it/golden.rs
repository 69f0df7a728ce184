//! Recorded bytes of the seed implementations.

use std::collections::BTreeMap;

use trefoil_proto::streaming::*;
use trefoil_proto::{Decode, Encode, Named, google, milvus, rpc};

use crate::pairs::{encoded, view};

const SEED: &str = include_str!("../golden/channels_seed.txt");

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').bytes();
    let digits: Vec<u32> = digits
        .map(|b| DIGITS.iter().position(|d| *d == b).unwrap() as u32)
        .collect();
    digits
        .chunks(4)
        .flat_map(|four| {
            let word = four
                .iter()
                .enumerate()
                .fold(0, |w, (i, d)| w | d << (18 - 6 * i));
            word.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect()
}

fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    vectors_of(SEED, "seed ")
}

/// The vectors of a file by their description.
pub(crate) fn vectors_of(text: &'static str, prefix: &str) -> BTreeMap<&'static str, Vec<u8>> {
    text.lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(|line| {
            let (name, bytes) = line.trim().rsplit_once(' ').unwrap();
            (name.trim(), hex(bytes))
        })
        .collect()
}

pub(crate) fn round<'a, V: Decode<'a> + Encode>(bytes: &'a [u8]) -> V {
    let view = view::<V>(bytes).unwrap();
    assert_eq!(encoded(&view), bytes);
    view
}

const CHANNEL: PChannelInfo<'_> = PChannelInfo {
    name: "by-dev-rootcoord-dml_0",
    term: 2,
};

#[test]
fn every_vector_decodes_and_encodes_to_the_same_bytes() {
    let vectors = vectors();
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
    let v = vectors();
    assert_eq!(
        round::<PChannelInfo>(&v["PChannelInfo(by-dev-rootcoord-dml_0,2)"]),
        CHANNEL
    );

    let produce =
        round::<ProduceRequest>(&v["ProduceRequest.produce(id=1,payload=a,props{_t:1,_v:1})"]);
    let Some(ProduceRequestRequest::Produce(produce)) = produce.request else {
        panic!()
    };
    let message = produce.message.unwrap();
    assert_eq!((produce.request_id, message.payload), (1, &b"a"[..]));
    let properties: Vec<_> = message.properties.iter().map(Result::unwrap).collect();
    assert_eq!(properties, [("_t", &b"1"[..]), ("_v", &b"1"[..])]);

    let fenced = round::<ProduceResponse>(&v["ProduceResponse.produce(error fenced)"]);
    let Some(ProduceResponseResponse::Produce(answer)) = fenced.response else {
        panic!()
    };
    let Some(ProduceMessageResponseResponse::Error(error)) = answer.response else {
        panic!()
    };
    assert_eq!(error.code, StreamingCode::CHANNEL_FENCED);

    let full = round::<AssignmentDiscoverResponseView<'_>>(
        &v["AssignmentDiscoverResponse.full v(3,5) node 7"],
    );
    let Some(AssignmentDiscoverResponseResponse::FullAssignment(full)) = full.response else {
        panic!()
    };
    assert_eq!(
        full.version,
        Some(VersionPair {
            global: 3,
            local: 5
        })
    );
    let node = full.assignments.iter().next().unwrap().unwrap();
    assert_eq!(node.node.unwrap().address, "127.0.0.1:22222");
    assert_eq!(node.channels.iter().collect::<Vec<_>>(), [Ok(CHANNEL)]);
}

#[test]
fn vectors_come_out_of_borrowed_slices_too() {
    let v = vectors();
    let response: AssignmentDiscoverResponse<_> = AssignmentDiscoverResponse {
        response: Some(AssignmentDiscoverResponseResponse::FullAssignment(
            FullStreamingNodeAssignmentWithVersion {
                version: Some(VersionPair {
                    global: 3,
                    local: 5,
                }),
                assignments: [StreamingNodeAssignment {
                    node: Some(StreamingNodeInfo {
                        server_id: 7,
                        address: "127.0.0.1:22222",
                    }),
                    channels: &[CHANNEL][..],
                }],
            },
        )),
    };
    assert_eq!(
        encoded(&response),
        v["AssignmentDiscoverResponse.full v(3,5) node 7"]
    );

    let properties = [("_t", &b"1"[..]), ("_v", &b"1"[..])];
    let request = ProduceRequest {
        request: Some(ProduceRequestRequest::Produce(ProduceMessageRequest {
            request_id: 1,
            message: Some(Message {
                payload: b"a",
                properties: &properties,
            }),
        })),
    };
    assert_eq!(
        encoded(&request),
        v["ProduceRequest.produce(id=1,payload=a,props{_t:1,_v:1})"]
    );

    let filter = |filter| DeliverFilter {
        filter: Some(filter),
    };
    let consumer = CreateConsumerRequest {
        pchannel: Some(CHANNEL),
        deliver_policy: Some(DeliverPolicy {
            policy: Some(DeliverPolicyPolicy::All(google::Empty {})),
        }),
        deliver_filters: [
            filter(DeliverFilterFilter::TimeTickGt(DeliverFilterTimeTickGT {
                time_tick: 1,
            })),
            filter(DeliverFilterFilter::Vchannel(DeliverFilterVChannel {
                vchannel: "v0",
            })),
        ],
    };
    assert_eq!(
        encoded(&consumer),
        v["CreateConsumerRequest(all, tt>1, vchannel v0)"]
    );
}

#[test]
fn headers_are_the_messages_in_base64() {
    let v = vectors();
    let header = |name: &str| {
        let line = SEED
            .lines()
            .find_map(|l| l.trim().strip_prefix("header ")?.strip_prefix(name))
            .unwrap();
        base64(line.trim_start_matches(':').trim())
    };
    let producer = header("create-producer");
    assert_eq!(producer, v["CreateProducerRequest"]);
    assert_eq!(
        round::<CreateProducerRequest>(&producer).pchannel,
        Some(CHANNEL)
    );
    let consumer = header("create-consumer");
    assert_eq!(consumer, v["CreateConsumerRequest(all, tt>1, vchannel v0)"]);
    round::<CreateConsumerRequest>(&consumer);
}

#[test]
fn status_details_hold_the_error() {
    let line = SEED
        .lines()
        .find_map(|l| l.trim().strip_prefix("grpc-status-details-bin payload "))
        .unwrap();
    let bytes = hex(line.trim());
    let status = round::<rpc::Status>(&bytes);
    assert_eq!(status.code, 9);
    let any = status.details.iter().next().unwrap().unwrap();
    assert_eq!(
        any.type_url.strip_prefix("type.googleapis.com/"),
        Some(StreamingError::NAME)
    );
    let error = round::<StreamingError>(any.value);
    assert_eq!(
        (error.code, error.cause),
        (StreamingCode::UNMATCHED_CHANNEL_TERM, "x")
    );
    let again = rpc::Status {
        code: 9,
        message: status.message,
        details: [any],
    };
    assert_eq!(encoded(&again), bytes);
}

#[test]
fn codes_have_the_numbers_of_the_seed() {
    let line = SEED
        .lines()
        .find_map(|l| l.trim().strip_prefix("codes {"))
        .unwrap();
    let mut seen = 0;
    for pair in line.trim_end_matches('}').split(", ") {
        let (name, number) = pair.split_once(": ").unwrap();
        let code = StreamingCode(number.parse().unwrap());
        assert_eq!(code.name(), Some(name.trim_matches('\'')));
        seen += 1;
    }
    assert_eq!(seen, 12);
}
