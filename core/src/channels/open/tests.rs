extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::channels::golden::{DIALECTS, encoded, long, recorded, recorded_header};

const CHANNEL: &str = "by-dev-rootcoord-dml_0";

fn header(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut room = vec![0; 20_000];
    let mut header = HeaderWriter::new(&mut room);
    for (key, value) in pairs {
        header.push(key, value.as_bytes()).unwrap();
    }
    header.header().0.to_vec()
}

fn text(bytes: &[u8]) -> std::string::String {
    let mut room = vec![0; base64::encoded_len(bytes.len())];
    let text = base64::encode(bytes, &mut room).unwrap();
    std::string::String::from_utf8(text.to_vec()).unwrap()
}

fn consumer_of(dialect: Dialect, request: &[u8]) -> Result<(), &'static str> {
    let header = header(&[(CREATE_CONSUMER, &text(request))]);
    let mut scratch = [0; REQUEST_BYTES_MAX];
    let opened = OpenConsumer::consumer(dialect, Header(&header), &mut scratch);
    opened.map(|_| ()).map_err(|failure| {
        assert_eq!(failure.code, ErrorCode::InvalidArgument);
        failure.cause
    })
}

fn producer_of(header: &[u8]) -> Result<(), &'static str> {
    let mut scratch = [0; REQUEST_BYTES_MAX];
    let opened = Open::producer(Header(header), &mut scratch);
    opened.map(|_| ()).map_err(|failure| {
        assert_eq!(failure.code, ErrorCode::InvalidArgument);
        failure.cause
    })
}

#[test]
fn line_03_a_producer_is_opened_by_its_metadata() {
    let open = Open {
        server_id: Some(7),
        cluster: Some("by-dev"),
        ..Open::new(CHANNEL, 2)
    };
    let (mut room, mut scratch) = ([0; 512], [0; 512]);
    let mut header = HeaderWriter::new(&mut room);
    open.write_producer(&mut header, &mut scratch).unwrap();
    let header = header.finish();
    assert_eq!(
        header.text(CREATE_PRODUCER),
        Some(recorded_header(CREATE_PRODUCER))
    );
    assert_eq!(
        (header.text(SERVER_ID), header.text(CLUSTER)),
        (Some("7"), Some("by-dev"))
    );
    assert_eq!(Open::producer(header, &mut [0; 512]), Ok(open));
}

#[test]
fn line_03_a_consumer_is_opened_by_its_metadata() {
    for dialect in DIALECTS {
        let filters = [Filter::TimeTickGt(1), Filter::VChannel("v0")];
        let consumer = OpenConsumer {
            open: Open::new(CHANNEL, 2),
            policy: Policy::All,
            filters: filters.iter().copied(),
        };
        let (mut room, mut scratch) = ([0; 512], [0; 512]);
        let mut header = HeaderWriter::new(&mut room);
        consumer.write_consumer(&mut header, &mut scratch).unwrap();
        let header = header.finish();
        assert_eq!(
            header.text(CREATE_CONSUMER),
            Some(recorded_header(CREATE_CONSUMER))
        );
        let request = recorded(dialect, "CreateConsumerRequest(all, tt>1, vchannel v0)");
        assert_eq!(consumer.request_len(), request.len());
        let mut scratch = [0; 512];
        let read = OpenConsumer::consumer(dialect, header, &mut scratch).unwrap();
        assert_eq!((read.open, read.policy), (consumer.open, Policy::All));
        assert!(read.filters.iter().eq(filters));
    }
}

#[test]
fn line_03_absent_and_undecodable_metadata_is_refused() {
    let named = text(&[10, 0]);
    let one_bit_off = "ChoKFmJ5LWRldi1yb290Y29vcmQtZG1sXzAQA.==";
    for pairs in [
        &[][..],
        &[("create-producers", recorded_header(CREATE_PRODUCER))],
        &[(CREATE_PRODUCER, one_bit_off)],
        &[(CREATE_PRODUCER, "/w==")],
    ] {
        assert_eq!(producer_of(&header(pairs)), Err(codes::NOT_OPENED));
    }
    for pairs in [&[(CREATE_PRODUCER, "")][..], &[(CREATE_PRODUCER, &named)]] {
        assert_eq!(producer_of(&header(pairs)), Err(codes::NO_CHANNEL));
    }
    assert_eq!(producer_of(&[1, 2, 3]), Err(codes::NOT_OPENED));
}

#[test]
fn line_04_a_server_id_that_is_no_number_and_an_empty_cluster_are_not_checked() {
    let request = recorded_header(CREATE_PRODUCER);
    for (server_id, cluster, expected) in [
        ("", "", (None, None)),
        ("x7", "a", (None, Some("a"))),
        ("9223372036854775808", "a", (None, Some("a"))),
        ("-3", "", (Some(-3), None)),
    ] {
        let header = header(&[
            (CREATE_PRODUCER, request),
            (SERVER_ID, server_id),
            (CLUSTER, cluster),
        ]);
        let mut scratch = [0; 64];
        let open = Open::producer(Header(&header), &mut scratch).unwrap();
        assert_eq!((open.server_id, open.cluster), expected);
    }
}

#[test]
fn names_have_1_to_256_bytes_and_terms_are_above_zero() {
    for (name, term, fits) in [
        (long(256), 1, true),
        (long(257), 1, false),
        (long(0), 1, false),
        (long(1), 0, false),
        (long(1), -1, false),
        (long(1), i64::MAX, true),
    ] {
        let info = PChannelInfo { name: &name, term };
        let request = CreateProducerRequest {
            pchannel: Some(info),
        };
        let header = header(&[(CREATE_PRODUCER, &text(&encoded(&request)))]);
        let expected = if fits { Ok(()) } else { Err(codes::NO_CHANNEL) };
        assert_eq!(producer_of(&header), expected);
        assert_eq!(channel(Some(info)).is_ok(), fits);
    }
    assert!(channel(None).is_err());
}

#[test]
fn better_14_more_than_8_kib_is_refused_here() {
    let info = PChannelInfo {
        name: CHANNEL,
        term: 2,
    };
    let mut request = encoded(&CreateProducerRequest {
        pchannel: Some(info),
    });
    // An unknown field that fills it up.
    let filled = REQUEST_BYTES_MAX - request.len() - 3;
    request.extend([0x7a, (filled as u8 & 0x7f) | 0x80, (filled >> 7) as u8]);
    request.resize(REQUEST_BYTES_MAX, 0);
    assert_eq!(
        producer_of(&header(&[(CREATE_PRODUCER, &text(&request))])),
        Ok(())
    );
    request.push(0);
    let header = header(&[(CREATE_PRODUCER, &text(&request))]);
    let mut scratch = vec![0; 2 * REQUEST_BYTES_MAX];
    let refused = Open::producer(Header(&header), &mut scratch).unwrap_err();
    assert_eq!(refused.cause, codes::NOT_OPENED);
}

#[test]
fn line_16_policies_are_read_as_recorded() {
    for (name, id, policy) in [
        ("DeliverPolicy all", &b""[..], Policy::All),
        ("DeliverPolicy latest", b"", Policy::Latest),
        ("DeliverPolicy start_from", b"\x02", Policy::StartFrom(b"")),
        (
            "DeliverPolicy start_after",
            b"\x02",
            Policy::StartAfter(b""),
        ),
    ] {
        for dialect in DIALECTS {
            let recorded = recorded(dialect, name);
            let id = match dialect {
                Dialect::V2024_08 if !id.is_empty() => b"z",
                Dialect::Seed | Dialect::V2024_08 => id,
            };
            let policy = match policy {
                Policy::StartFrom(_) => Policy::StartFrom(id),
                Policy::StartAfter(_) => Policy::StartAfter(id),
                Policy::All | Policy::Latest => policy,
            };
            let read = DeliverPolicy::parse(&recorded).unwrap();
            assert_eq!(Policy::of(dialect, read.policy.unwrap()), Ok(policy));
            let written = DeliverPolicy {
                policy: Some(policy.on_wire()),
            };
            assert_eq!(encoded(&written), recorded);
        }
    }
}

#[test]
fn line_16_no_policy_and_a_filter_of_no_kind_are_refused() {
    let info = Some(PChannelInfo {
        name: CHANNEL,
        term: 2,
    });
    let all = Some(DeliverPolicy {
        policy: Some(Policy::All.on_wire()),
    });
    let none = DeliverFilter { filter: None };
    let filters = [Filter::TimeTickGte(1).on_wire(), none];
    for (deliver_policy, filters, expected) in [
        (None, &filters[..1], Err(codes::NO_POLICY)),
        (
            Some(DeliverPolicy { policy: None }),
            &filters[..1],
            Err(codes::NO_POLICY),
        ),
        (all, &filters[..], Err(codes::NO_FILTER)),
        (all, &filters[..1], Ok(())),
    ] {
        let request = CreateConsumerRequest {
            pchannel: info,
            deliver_policy,
            deliver_filters: filters,
        };
        for dialect in DIALECTS {
            assert_eq!(consumer_of(dialect, &encoded(&request)), expected);
        }
    }
}

#[test]
fn line_17_ids_are_bytes_in_one_dialect_and_text_in_the_other() {
    let consumer = OpenConsumer {
        open: Open::new(CHANNEL, 2),
        policy: Policy::StartFrom(b"\xff"),
        filters: [].into_iter(),
    };
    let request = encoded(&consumer.request());
    assert_eq!(consumer_of(Dialect::Seed, &request), Ok(()));
    assert_eq!(
        consumer_of(Dialect::V2024_08, &request),
        Err(codes::NO_POLICY)
    );
}

#[test]
fn too_little_room_is_said() {
    let open = Open::new(CHANNEL, 2);
    let mut room = [0; 512];
    for scratch in [0, 27, 60] {
        let mut header = HeaderWriter::new(&mut room);
        let written = open.write_producer(&mut header, &mut vec![0; scratch]);
        assert_eq!(written, Err(Full));
    }
    let mut header = HeaderWriter::new(&mut room[..20]);
    assert_eq!(open.write_producer(&mut header, &mut [0; 512]), Err(Full));
}

proptest! {
    #[test]
    fn any_request_is_read_or_refused(request in prop::collection::vec(any::<u8>(), 0..300)) {
        for dialect in DIALECTS {
            let _ = consumer_of(dialect, &request);
        }
        let _ = producer_of(&header(&[(CREATE_PRODUCER, &text(&request))]));
    }

    #[test]
    fn any_metadata_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = producer_of(&bytes);
    }

    #[test]
    fn what_is_opened_comes_back(
        channel in ".{1,60}",
        term in 1_i64..,
        server_id: Option<i64>,
        id in prop::collection::vec(any::<u8>(), 0..40),
        ticks in prop::collection::vec(any::<u64>(), 0..5),
    ) {
        let consumer = OpenConsumer {
            open: Open { server_id, ..Open::new(&channel, term) },
            policy: Policy::StartAfter(&id),
            filters: ticks.iter().map(|tick| Filter::TimeTickGt(*tick)),
        };
        let (mut room, mut scratch) = ([0; 2_048], [0; 2_048]);
        let mut header = HeaderWriter::new(&mut room);
        consumer.write_consumer(&mut header, &mut scratch).unwrap();
        let mut scratch = [0; 2_048];
        let read = OpenConsumer::consumer(Dialect::Seed, header.header(), &mut scratch).unwrap();
        prop_assert_eq!((read.open, read.policy), (consumer.open, consumer.policy));
        prop_assert!(read.filters.iter().eq(consumer.filters));
    }
}
