//! Whatever comes from outside, nobody panics, and strangers are remembered by nothing.
//!
//! A case has about a hundred inputs. `PROPTEST_CASES` says how many cases there are, an eighth of them: 256 if it is
//! not set.

use alloc::vec::Vec;

use proptest::prelude::*;

use trefoil_proto::streaming::{
    PChannelInfo, StreamingNodeManagerAssignRequest, StreamingNodeManagerRemoveRequest,
};

use super::world::{CHANNEL, World, config};
use crate::channels::open::Policy;
use crate::channels::worker::*;
use crate::header::{Header, HeaderWriter};
use crate::identity::Identity;
use crate::memory::MemoryStore;
use crate::status::Code;
use crate::stream::StreamIn;

const METHODS: [MethodId; 7] = [
    streaming::NODE_STATES,
    streaming::ASSIGN,
    streaming::REMOVE,
    streaming::COLLECT_STATUS,
    streaming::PRODUCE,
    streaming::CONSUME,
    streaming::DISCOVER,
];

/// Bytes that look like a message now and then.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let tagged =
        (0..5_u8, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, inner)| {
            let mut bytes = Vec::from([tag << 3 | 2, inner.len() as u8]);
            bytes.extend(inner);
            bytes
        });
    let nested = (0..5_u8, tagged).prop_map(|(tag, inner)| {
        let mut bytes = Vec::from([tag << 3 | 2, inner.len() as u8]);
        bytes.extend(inner);
        bytes
    });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), nested]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn better_14_any_bytes_are_borne(frames in proptest::collection::vec(bytes(), 1..12), open: bool, value in "[ -~]{0,60}") {
        let mut world = World::new(&MemoryStore::new(), 1);
        if open {
            world.open(2);
        }
        for method in METHODS {
            let mut room = [0; 256];
            let mut header = HeaderWriter::new(&mut room);
            for key in ["create-producer", "create-consumer", "serverid", "cluster"] {
                let _ = header.push(key, value.as_bytes());
            }
            let strange = world.accept(method, header.finish());
            let plain = world.accept(method, Header(&frames[0]));
            for frame in &frames {
                world.hear(strange, StreamIn::Frame(frame));
                world.hear(plain, StreamIn::Frame(frame));
            }
        }
        if open {
            let (producer, consumer) = (world.producer(2), world.consumer(2, Policy::All, &[]));
            for frame in &frames {
                world.hear(producer, StreamIn::Frame(frame));
                world.hear(consumer, StreamIn::Frame(frame));
            }
            world.hear(producer, StreamIn::HalfClosed);
            world.hear(consumer, StreamIn::HalfClosed);
        }
        world.run();
        let strangers = world.worker.channels().filter(|channel| channel.name != CHANNEL);
        prop_assert!(strangers.count() <= 2 * frames.len(), "only an Assign is remembered");
    }
}

/// Whoever finds the port could take all channels away.
#[test]
fn who_is_not_known_gives_and_takes_no_channel_where_strangers_are_not_believed() {
    let node = Identity {
        node: "a:1",
        boot: 1,
        incarnation: 1,
        cluster: "c",
        placement: 0,
        store: 0,
        electorate: 0,
        features: 0,
    };
    let mut room = [0; 512];
    let mut header = HeaderWriter::new(&mut room);
    node.write(&mut header).unwrap();
    let ours = header.finish();
    let pchannel = |term| {
        Some(PChannelInfo {
            name: CHANNEL,
            term,
        })
    };
    for (believes_strangers, trusted, header, is_heard) in [
        (true, false, Header::EMPTY, true),
        (false, true, Header::EMPTY, true),
        (false, false, ours, true),
        (false, false, Header::EMPTY, false),
    ] {
        let config = WorkerConfig {
            believes_strangers,
            ..config(1)
        };
        let mut world = World::with(&MemoryStore::new(), config);
        world.trusted = true;
        world.open(2);
        world.trusted = trusted;
        let pchannel = (pchannel(2), pchannel(3));
        let remove = StreamingNodeManagerRemoveRequest {
            pchannel: pchannel.0,
        };
        let assign = StreamingNodeManagerAssignRequest {
            pchannel: pchannel.1,
        };
        let calls = [
            world.call_as(header, streaming::REMOVE, &remove),
            world.call_as(header, streaming::ASSIGN, &assign),
        ];
        world.run();
        for call in calls {
            let (code, _, _) = world.io.ended[&call];
            let expected = if is_heard {
                Code::Ok
            } else {
                Code::PermissionDenied
            };
            assert_eq!(code, expected);
        }
        let term = world.worker.channel(CHANNEL).unwrap().term;
        assert_eq!(term, if is_heard { 3 } else { 2 });
        // Anybody may read and write: that is what tokens and certificates are for.
        let producer = world.producer(term as i64);
        assert_eq!(world.end_of(producer), None);
    }
}
