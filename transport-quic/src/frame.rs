//! What is on the wire: the layouts of `PROTOCOL.md`, and nothing else.

use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::VarInt;
use trefoil_core::status::Code;

/// Name of the protocol and its version, as TLS negotiates it (ALPN).
pub(crate) const ALPN: &[u8] = b"trefoil/1";

/// Bytes before each frame.
pub(crate) const WORD_BYTES: usize = 4;

/// Largest payload a word can say.
pub(crate) const LENGTH_MAX: usize = (1 << LENGTH_BITS) - 1;

const LENGTH_BITS: u32 = 29;

/// Bytes of the payload of a status frame, at most.
pub(crate) const STATUS_BYTES_MAX: usize = 64 << 10;

/// Bytes of a status message, at most; more is cut off.
const STATUS_MESSAGE_MAX: usize = 16 << 10;

/// Codes of RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE.
pub(crate) mod reason {
    use quinn::VarInt;

    /// Nothing is wrong; nothing more is needed.
    pub(crate) const NO_ERROR: VarInt = VarInt::from_u32(0);
    /// The call is not wanted any more.
    pub(crate) const CANCELLED: VarInt = VarInt::from_u32(1);
    /// The other side broke the protocol.
    pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(2);
    /// Nothing of the call was applied.
    pub(crate) const REFUSED: VarInt = VarInt::from_u32(3);
    /// A frame is larger than this side takes.
    pub(crate) const TOO_LARGE: VarInt = VarInt::from_u32(4);
    /// This side is stopping.
    pub(crate) const CLOSING: VarInt = VarInt::from_u32(5);
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message = 0,
    Request = 1,
    Header = 2,
    Status = 3,
}

/// Kind and length of the payload that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) len: usize,
}

/// A kind that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownKind;

impl Word {
    pub(crate) const fn decode(bytes: [u8; WORD_BYTES]) -> Result<Self, UnknownKind> {
        let word = u32::from_le_bytes(bytes);
        let kind = match word >> LENGTH_BITS {
            0 => Kind::Message,
            1 => Kind::Request,
            2 => Kind::Header,
            3 => Kind::Status,
            _ => return Err(UnknownKind),
        };
        Ok(Self {
            kind,
            len: word as usize & LENGTH_MAX,
        })
    }

    /// The word as it is sent. Lengths are bounded before: by the limits, which are below 2^29.
    pub(crate) const fn encode(self) -> [u8; WORD_BYTES] {
        (((self.kind as u32) << LENGTH_BITS) | (self.len & LENGTH_MAX) as u32).to_le_bytes()
    }
}

/// The frame a call begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) header: Bytes,
}

/// Bytes before the metadata and the path of a request.
const REQUEST_FIXED: usize = 2 + 8;

impl Request {
    /// Length of the payload.
    pub(crate) const fn len(path: &str, header: &[u8]) -> usize {
        REQUEST_FIXED + path.len() + header.len()
    }

    /// Writes a payload of exactly [`len`](Self::len) bytes. The path is at most 65,535 bytes long.
    pub(crate) fn write(out: &mut [u8], path: &str, timeout: Option<Duration>, header: &[u8]) {
        let (lengths, rest) = out.split_at_mut(2);
        lengths.copy_from_slice(&(path.len() as u16).to_le_bytes());
        let (text, rest) = rest.split_at_mut(path.len());
        text.copy_from_slice(path.as_bytes());
        let (nanos, pairs) = rest.split_at_mut(8);
        nanos.copy_from_slice(&nanos_of(timeout).to_le_bytes());
        pairs.copy_from_slice(header);
    }

    /// Reads a payload; `None` if it ends too early.
    pub(crate) fn read(mut payload: Bytes) -> Option<Self> {
        let path_len = usize::from(payload.try_get_u16_le().ok()?);
        if payload.len() < path_len {
            return None;
        }
        let path = payload.split_to(path_len);
        let nanos = payload.try_get_u64_le().ok()?;
        Some(Self {
            path,
            timeout: (nanos > 0).then(|| Duration::from_nanos(nanos)),
            header: payload,
        })
    }
}

/// Zero says that there is no timeout, so that one of zero is said as one of a nanosecond.
fn nanos_of(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1)
    })
}

/// The frame an answer ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: Bytes,
    pub(crate) details: Bytes,
}

/// Bytes before the message of a status.
const STATUS_FIXED: usize = 1 + 2;

impl Status {
    /// What of a message and details is sent: the message is cut at a character, details that do not
    /// fit are left out.
    pub(crate) fn fit<'a>(message: &'a str, details: &'a [u8]) -> (&'a str, &'a [u8]) {
        let mut end = message.len().min(STATUS_MESSAGE_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let room = STATUS_BYTES_MAX - STATUS_FIXED - end;
        let details = if details.len() <= room { details } else { &[] };
        (&message[..end], details)
    }

    /// Length of the payload.
    pub(crate) const fn len(message: &str, details: &[u8]) -> usize {
        STATUS_FIXED + message.len() + details.len()
    }

    /// Writes a payload of exactly [`len`](Self::len) bytes, of what [`fit`](Self::fit) returned.
    pub(crate) fn write(out: &mut [u8], code: Code, message: &str, details: &[u8]) {
        out[0] = code as u8;
        out[1..3].copy_from_slice(&(message.len() as u16).to_le_bytes());
        let (text, rest) = out[3..].split_at_mut(message.len());
        text.copy_from_slice(message.as_bytes());
        rest.copy_from_slice(details);
    }

    /// The whole frame, word and payload.
    pub(crate) fn frame(code: Code, message: &str, details: &[u8]) -> Bytes {
        let (message, details) = Self::fit(message, details);
        let len = Self::len(message, details);
        let mut frame = vec![0; WORD_BYTES + len];
        let word = Word {
            kind: Kind::Status,
            len,
        };
        frame[..WORD_BYTES].copy_from_slice(&word.encode());
        Self::write(&mut frame[WORD_BYTES..], code, message, details);
        Bytes::from(frame)
    }

    /// Reads a payload; `None` if it ends too early.
    pub(crate) fn read(mut payload: Bytes) -> Option<Self> {
        let code = Code::from_wire(i32::from(payload.try_get_u8().ok()?));
        let message_len = usize::from(payload.try_get_u16_le().ok()?);
        if payload.len() < message_len {
            return None;
        }
        let message = payload.split_to(message_len);
        Some(Self {
            code,
            message,
            details: payload,
        })
    }
}

/// What a caller is told of a stream its callee reset.
pub(crate) fn reset_means(code: VarInt) -> (Code, &'static str) {
    if code == reason::CANCELLED {
        (Code::Cancelled, crate::error::CANCELLED)
    } else if code == reason::REFUSED || code == reason::CLOSING {
        (Code::Unavailable, crate::error::REFUSED)
    } else if code == reason::TOO_LARGE {
        (Code::ResourceExhausted, trefoil_core::codes::TOO_LARGE)
    } else {
        (Code::Internal, crate::error::PROTOCOL)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_core::header::HeaderWriter;

    use super::*;

    #[test]
    fn words_survive_and_unknown_kinds_are_refused() {
        for kind in [Kind::Message, Kind::Request, Kind::Header, Kind::Status] {
            for len in [0, 1, 0x1234_5678 & LENGTH_MAX, LENGTH_MAX] {
                let word = Word { kind, len };
                assert_eq!(Word::decode(word.encode()), Ok(word));
            }
        }
        for kind in 4..8_u32 {
            assert_eq!(
                Word::decode((kind << 29).to_le_bytes()),
                Err(UnknownKind),
                "kind {kind}"
            );
        }
    }

    fn request(path: &str, timeout: Option<Duration>, header: &[u8]) -> Bytes {
        let mut out = vec![0xaa; Request::len(path, header)];
        Request::write(&mut out, path, timeout, header);
        Bytes::from(out)
    }

    /// The bytes of the examples of the specification, in their order.
    fn specified() -> Vec<Vec<u8>> {
        let blocks = include_str!("../PROTOCOL.md").split("```hex").skip(1);
        let bytes = |block: &str| {
            let hex = block.split("```").next().unwrap().split_whitespace();
            hex.map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect()
        };
        blocks.map(bytes).collect()
    }

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let len = payload.len();
        let mut frame = Word { kind, len }.encode().to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn the_examples_of_the_specification_are_what_is_sent() {
        let mut pairs = [0; 6];
        let mut writer = HeaderWriter::new(&mut pairs);
        writer.push("k", b"v").unwrap();
        let pairs = writer.finish().0;
        let asked = request("/a.B/C", Some(Duration::from_millis(5)), pairs);
        let mut asking = frame(Kind::Request, &asked);
        asking.extend(frame(Kind::Message, b"hi"));
        let mut answering = frame(Kind::Header, b"");
        answering.extend(frame(Kind::Message, b"ho"));
        answering.extend(Status::frame(Code::Ok, "", b""));
        let refusing = Status::frame(Code::Unavailable, "no", b"d").to_vec();
        assert_eq!(specified(), [asking, answering, refusing]);
    }

    #[test]
    fn timeouts_are_nanoseconds_and_zero_is_none() {
        for (timeout, back) in [
            (None, None),
            (Some(Duration::ZERO), Some(Duration::from_nanos(1))),
            (Some(Duration::from_secs(5)), Some(Duration::from_secs(5))),
            (Some(Duration::MAX), Some(Duration::from_nanos(u64::MAX))),
        ] {
            let read = Request::read(request("/a/b", timeout, b"")).unwrap();
            assert_eq!(read.timeout, back);
        }
    }

    #[test]
    fn a_status_is_cut_to_what_fits() {
        let long = "ä".repeat(STATUS_MESSAGE_MAX);
        let details = vec![7; STATUS_BYTES_MAX];
        let (message, left) = Status::fit(&long, &details);
        assert_eq!((message.len(), left.len()), (STATUS_MESSAGE_MAX, 0));
        let (message, left) = Status::fit(&long[..3 * 2], &details[..100]);
        assert_eq!((message, left.len()), ("äää", 100));
        let frame = Status::frame(Code::Aborted, &long, &details[..100]);
        let word = Word::decode(frame[..4].try_into().unwrap()).unwrap();
        assert!(word.len <= STATUS_BYTES_MAX);
        assert_eq!(Status::read(frame.slice(4..)).unwrap().details.len(), 100);
    }

    #[test]
    fn a_status_of_a_later_version_is_unknown() {
        let read = Status::read(Bytes::from_static(&[200, 0, 0])).unwrap();
        assert_eq!(read.code, Code::Unknown);
    }

    proptest! {
        #[test]
        fn requests_survive_and_their_cuts_are_refused(
            path in "[a-zA-Z/._]{0,60}",
            nanos in proptest::option::of(1_u64..),
            header in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let timeout = nanos.map(Duration::from_nanos);
            let whole = request(&path, timeout, &header);
            let read = Request::read(whole.clone()).unwrap();
            prop_assert_eq!(&read.path, path.as_bytes());
            prop_assert_eq!(read.timeout, timeout);
            prop_assert_eq!(&read.header, &header[..]);
            for cut in 0..REQUEST_FIXED + path.len() {
                prop_assert_eq!(Request::read(whole.slice(..cut)), None);
            }
        }

        #[test]
        fn statuses_survive_and_their_cuts_are_refused(
            code in 0..=16_i32,
            message in ".{0,60}",
            details in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let frame = Status::frame(Code::from_wire(code), &message, &details);
            let whole = frame.slice(WORD_BYTES..);
            let read = Status::read(whole.clone()).unwrap();
            prop_assert_eq!(read.code, Code::from_wire(code));
            prop_assert_eq!(&read.message, message.as_bytes());
            prop_assert_eq!(&read.details, &details[..]);
            for cut in 0..STATUS_FIXED + message.len() {
                prop_assert_eq!(Status::read(whole.slice(..cut)), None);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = Bytes::from(bytes);
            let _ = Request::read(bytes.clone());
            let _ = Status::read(bytes);
        }
    }
}
