//! Whatever comes from outside, nobody panics, and strangers are remembered by nothing.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::world::{CHANNEL, World};
use crate::channels::open::Policy;
use crate::channels::worker::*;
use crate::header::{Header, HeaderWriter};
use crate::memory::MemoryStore;
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
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_borne(frames in proptest::collection::vec(bytes(), 1..12), open: bool, value in "[ -~]{0,60}") {
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
