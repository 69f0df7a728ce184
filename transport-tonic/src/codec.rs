//! tonic's codec for messages that are bytes already.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Passes messages through. A message that arrives is a piece of tonic's buffer, not a copy of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawCodec {
    buffers: BufferSettings,
}

impl RawCodec {
    /// The codec of a method. Tonic allocates one buffer for what arrives on each call: a unary call
    /// should not pay for what pays on a long stream.
    pub(crate) fn new(streaming: bool) -> Self {
        let buffers = if streaming {
            BufferSettings::new(8 << 10, 32 << 10)
        } else {
            BufferSettings::new(1 << 10, 32 << 10)
        };
        Self { buffers }
    }
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

/// Bodies of ours are not made by tonic: it never encodes, and needs no buffer for it.
impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, 0)
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.buffers
    }
}
