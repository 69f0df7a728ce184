//! Sending a message on a stream: measured first, then written backward into the lent frame.

use trefoil_proto::wire::Encode;

use crate::id::StreamId;
use crate::machine::{Full, Io};
use crate::status::Status;

/// Adds `message` to `stream` as one frame.
///
/// # Errors
/// [`Full`] if the stream is over or has no room.
pub fn send(io: &mut dyn Io, stream: StreamId, message: &impl Encode) -> Result<(), Full> {
    let len = message.encoded_len();
    let frame = io.frame(stream, len)?;
    message.encode_to_slice(frame)?;
    Ok(())
}

/// Answers a unary call with `message` and ends it well.
///
/// # Errors
/// [`Full`] if the reply exceeds what the stream can carry; the stream is then still open.
pub fn reply(io: &mut dyn Io, stream: StreamId, message: &impl Encode) -> Result<(), Full> {
    send(io, stream, message)?;
    io.end(stream, Status::OK);
    Ok(())
}
