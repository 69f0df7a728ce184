//! A record that was delivered.

use bytes::{BufMut, Bytes, BytesMut};
use trefoil_core::channels::messages::Properties;

/// A record of a channel. Cheap to clone: it owns one block of bytes, with the payload, the id and the properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the records of this consumer from 1.
    pub delivery: u64,
    /// Its time tick: records come in their order. Milliseconds since 1970 in the upper 46 bits.
    pub time_tick: Option<u64>,
    block: Bytes,
    payload_len: usize,
    id_len: usize,
}

/// Bytes before the key of each property.
const HEAD: usize = 8;

impl Record {
    pub(super) fn new(
        delivery: u64,
        id: &[u8],
        time_tick: Option<u64>,
        payload: &[u8],
        properties: Properties<'_>,
    ) -> Self {
        let entries = || properties.iter().flatten();
        let len: usize = entries().map(|(k, v)| HEAD + k.len() + v.len()).sum();
        let mut block = BytesMut::with_capacity(payload.len() + id.len() + len);
        block.put_slice(payload);
        block.put_slice(id);
        for (key, value) in entries() {
            // A frame has at most 256 MiB.
            block.put_u32_le(key.len() as u32);
            block.put_u32_le(value.len() as u32);
            block.put_slice(key.as_bytes());
            block.put_slice(value);
        }
        Self {
            delivery,
            time_tick,
            block: block.freeze(),
            payload_len: payload.len(),
            id_len: id.len(),
        }
    }

    /// What was appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.block[..self.payload_len]
    }

    /// The payload, to be kept without the rest being copied.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.block.slice(..self.payload_len)
    }

    /// Where it stands in its channel; opaque.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.block[self.payload_len..self.payload_len + self.id_len]
    }

    /// Its properties, those of the protocol too, which begin with `_`.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.block[self.payload_len + self.id_len..];
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(HEAD)?;
            let [key, value] = [&head[..4], &head[4..]].map(|len| {
                len.try_into()
                    .map_or(0, |len| u32::from_le_bytes(len) as usize)
            });
            let (key, tail) = tail.split_at_checked(key)?;
            let (value, tail) = tail.split_at_checked(value)?;
            rest = tail;
            Some((str::from_utf8(key).ok()?, value))
        })
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, key: &str) -> Option<&[u8]> {
        let found = self.properties().find(|(known, _)| *known == key);
        found.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_proto::streaming::Message;
    use trefoil_proto::wire::{Decode, Encode};

    #[test]
    fn a_record_gives_back_what_it_was_made_of() {
        let properties: [(&str, &[u8]); 3] = [("_t", b"2"), ("", b""), ("k", b"\xff\x00")];
        let message = Message {
            payload: b"payload",
            properties: &properties[..],
        };
        let mut bytes = vec![0; message.encoded_len()];
        message.encode_to_slice(&mut bytes).unwrap();
        let read: Message<'_, Properties<'_>> = Message::parse(&bytes).unwrap();
        let record = Record::new(7, b"id", Some(9), read.payload, read.properties);
        assert_eq!((record.delivery, record.time_tick), (7, Some(9)));
        assert_eq!(
            (record.payload(), record.id()),
            (&b"payload"[..], &b"id"[..])
        );
        assert_eq!(record.payload_bytes(), &b"payload"[..]);
        assert!(record.properties().eq(properties));
        assert_eq!(record.property("k"), Some(&b"\xff\x00"[..]));
        assert_eq!(record.property("x"), None);
    }
}
