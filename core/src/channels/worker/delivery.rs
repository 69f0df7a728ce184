//! What a consumer is sent, and whether.

use alloc::vec::Vec;

use trefoil_proto::streaming::Message;
use trefoil_proto::wire::{Full, Writer, prefixed_len};
use trefoil_proto::{Decode, Encode};

use crate::channels::dialect::Dialect;
use crate::channels::messages::ids::{Written, base36, id, id_text};
use crate::channels::messages::properties::{LAST_CONFIRMED, TIME_TICK, VCHANNEL};
use crate::channels::open::Filter;

/// Tags of fields, the same in both dialects: lengths and bytes in front of them.
const FIELD_1: u32 = 10;
const FIELD_2: u32 = 18;

/// A record on its way to a consumer: a `ConsumeResponse` around the message as the log holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered<'a> {
    id: Written,
    last_confirmed: Written,
    tick: Written,
    message: &'a [u8],
}

impl<'a> Delivered<'a> {
    /// The record of a number. Records stand in the order of their ticks, so everything above this one's is
    /// found from here on.
    pub(super) fn new(dialect: Dialect, sequence: u64, tick: u64, message: &'a [u8]) -> Self {
        Self {
            id: id(dialect, sequence),
            last_confirmed: id_text(sequence),
            tick: base36(tick),
            message,
        }
    }

    fn properties(&self) -> [(&'static str, &[u8]); 2] {
        [
            (TIME_TICK, self.tick.as_bytes()),
            (LAST_CONFIRMED, self.last_confirmed.as_bytes()),
        ]
    }
}

/// Bytes of a field of so many bytes.
fn field(len: usize) -> usize {
    1 + prefixed_len(len)
}

impl Delivered<'_> {
    /// Bytes of the id, of the message, and of the answer without its own head.
    fn lens(&self) -> (usize, usize, usize) {
        let entry = |(key, value): (&str, &[u8])| field(field(key.len()) + field(value.len()));
        let [tick, last] = self.properties();
        let id = field(self.id.as_bytes().len());
        let message = self.message.len() + entry(tick) + entry(last);
        (id, message, field(id) + field(message))
    }
}

impl Encode for Delivered<'_> {
    fn encoded_len(&self) -> usize {
        field(self.lens().2)
    }

    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        let (id, message, answer) = self.lens();
        for (key, value) in self.properties().into_iter().rev() {
            w.bytes(FIELD_2, value)?;
            w.string(FIELD_1, key)?;
            w.head(FIELD_2, field(key.len()) + field(value.len()))?;
        }
        w.raw(self.message)?;
        w.head(FIELD_2, message)?;
        w.bytes(FIELD_1, self.id.as_bytes())?;
        w.head(FIELD_1, id)?;
        w.head(FIELD_2, answer)
    }
}

/// Which records a consumer wants: those that all its filters let through.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    from_tick: u64,
    vchannel: Option<Vec<u8>>,
    /// No record can be let through.
    nothing: bool,
}

impl Wanted {
    pub(super) fn new<'a>(filters: impl Iterator<Item = Filter<'a>>) -> Self {
        let mut wanted = Self::default();
        for filter in filters {
            match filter {
                Filter::TimeTickGt(tick) => {
                    wanted.nothing |= tick == u64::MAX;
                    wanted.from_tick = wanted.from_tick.max(tick.saturating_add(1));
                }
                Filter::TimeTickGte(tick) => wanted.from_tick = wanted.from_tick.max(tick),
                Filter::VChannel(name) => {
                    let name = name.as_bytes();
                    let other = wanted.vchannel.as_ref().is_some_and(|known| known != name);
                    wanted.nothing |= other;
                    wanted.vchannel = Some(name.to_vec());
                }
            }
        }
        wanted
    }

    pub(super) fn admits(&self, tick: u64, message: &[u8]) -> bool {
        if self.nothing || tick < self.from_tick {
            return false;
        }
        let Some(vchannel) = &self.vchannel else {
            return true;
        };
        let Ok(message) = Message::parse(message) else {
            return false;
        };
        let found = message.properties.get(&VCHANNEL);
        found.is_ok_and(|found| found == Some(vchannel.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::channels::messages::ConsumeResponse;
    use crate::channels::messages::properties::Reserved;

    fn message(vchannel: &[u8]) -> Vec<u8> {
        let message = Message {
            payload: b"abc",
            properties: [("_t", &b"2"[..]), ("_vc", vchannel)],
        };
        let mut bytes = vec![0; message.encoded_len()];
        message.encode_to_slice(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_record_is_delivered_with_its_id_and_two_properties_more() {
        let message = message(b"v");
        for dialect in [Dialect::Seed, Dialect::V2024_08] {
            let delivered = Delivered::new(dialect, 77, 40, &message);
            let mut frame = vec![0; delivered.encoded_len()];
            assert_eq!(delivered.encode_to_slice(&mut frame), Ok(frame.len()));
            assert!(frame.len() <= message.len() + 128);
            let Ok(ConsumeResponse::Consume { id: found, message }) =
                ConsumeResponse::decode(dialect, &frame)
            else {
                panic!()
            };
            assert_eq!(found, id(dialect, 77).as_bytes());
            assert_eq!(
                (message.payload, message.properties.len()),
                (&b"abc"[..], 4)
            );
            let said = Reserved::of(&message);
            assert_eq!(said.time_tick, Some(40));
            assert_eq!(said.last_confirmed, Some(id_text(77).as_bytes()));
            assert_eq!(
                (said.kind, said.vchannel),
                (Some(&b"2"[..]), Some(&b"v"[..]))
            );
        }
    }

    #[test]
    fn line_16_filters_are_anded() {
        let (v, w) = (message(b"v"), message(b"w"));
        let admits = |filters: &[Filter<'_>], tick, message: &[u8]| {
            Wanted::new(filters.iter().copied()).admits(tick, message)
        };
        use Filter::{TimeTickGt, TimeTickGte, VChannel};
        assert!(admits(&[], 0, b"\xff"));
        assert!(admits(&[TimeTickGt(4), TimeTickGte(5)], 5, &v));
        assert!(!admits(&[TimeTickGt(5), TimeTickGte(1)], 5, &v));
        assert!(!admits(&[TimeTickGt(u64::MAX)], u64::MAX, &v));
        assert!(admits(&[TimeTickGt(4), VChannel("v")], 5, &v));
        assert!(!admits(&[TimeTickGt(4), VChannel("v")], 5, &w));
        assert!(!admits(&[TimeTickGt(5), VChannel("v")], 5, &v));
        assert!(!admits(&[VChannel("v"), VChannel("w")], 5, &w));
        assert!(!admits(&[VChannel("")], 5, b""));
    }
}
