//! What a node and the process that keeps its store say to each other: frames over a local socket.
//!
//! Both begin with a greeting: four bytes of [`MAGIC`] and a version; then the node says which session this is
//! (`u64`, drawn; 0: none) and its name (`u32` length, bytes), and the store which it is (`u64`). Then come requests one way and answers the other, each a `u32`
//! length and as many bytes: a `u64` number of the request, which its answer bears again, a byte that says which operation
//! or outcome it is, and its fields in the
//! order of [`Op`] and [`Completion`]: numbers as `u64`, bytes behind their `u32` length; all little endian.
//! Every request is answered once, in any order; those on one log or key are carried out in the order of their coming.

use std::io::{self, Read};
use std::sync::Arc;

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId};

/// The first bytes of either side.
pub(crate) const MAGIC: [u8; 4] = *b"TRFS";
/// Version of all that follows the greeting.
pub(crate) const VERSION: u8 = 2;
/// Bytes of a frame that are taken. A record may have 256 MiB; a run of records as many and one more record.
const FRAME_BYTES_MAX: u32 = 600 << 20;
/// Bytes of a node's name that are taken.
const NAME_BYTES_MAX: u32 = 4_096;

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes one frame behind others.
struct Frame<'b> {
    out: &'b mut Vec<u8>,
    begins: usize,
}

impl<'b> Frame<'b> {
    fn new(out: &'b mut Vec<u8>, tag: Tag, kind: u8) -> Self {
        let begins = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&tag.0.to_le_bytes());
        out.push(kind);
        Self { out, begins }
    }

    fn number(self, number: u64) -> Self {
        self.out.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        put_bytes(self.out, bytes);
        self
    }

    /// `false` if the other side would not take it; then nothing is left of it.
    fn end(self) -> bool {
        let len = self.out.len() - self.begins - 4;
        let fits = u32::try_from(len)
            .ok()
            .filter(|len| *len <= FRAME_BYTES_MAX);
        match fits {
            Some(len) => {
                self.out[self.begins..self.begins + 4].copy_from_slice(&len.to_le_bytes());
            }
            None => self.out.truncate(self.begins),
        }
        fits.is_some()
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What exceeds 4 GiB exceeds a frame, too, and is taken away with it.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads the fields of a frame; `None` beyond its end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn short(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes_max(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.short()?;
        self.take(len as usize)
    }

    fn owner(&mut self) -> Option<OwnerId> {
        self.number().map(OwnerId)
    }
}

/// Reads one frame into `frame`; `false` where the other side has ended. Memory grows with what comes, not
/// with what is announced.
pub(crate) fn read_frame(from: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<bool> {
    let mut len = [0; 4];
    match from.read(&mut len)? {
        0 => return Ok(false),
        read => from.read_exact(&mut len[read..])?,
    }
    read_bytes(from, u32::from_le_bytes(len), FRAME_BYTES_MAX, frame)?;
    Ok(true)
}

fn read_bytes(from: &mut impl Read, len: u32, max: u32, into: &mut Vec<u8>) -> io::Result<()> {
    if len > max {
        return Err(broken("a frame is longer than any may be"));
    }
    into.clear();
    if from.take(u64::from(len)).read_to_end(into)? < len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What a node says first.
pub(crate) fn greeting_of_node(session: u64, node: &str) -> Vec<u8> {
    let mut greeting = [&MAGIC[..], &[VERSION], &session.to_le_bytes()].concat();
    put_bytes(&mut greeting, node.as_bytes());
    greeting
}

/// Session and name of the node that greets.
pub(crate) fn read_node(from: &mut impl Read) -> io::Result<(u64, Arc<str>)> {
    read_version(from)?;
    let mut session = [0; 8];
    from.read_exact(&mut session)?;
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut name = Vec::new();
    read_bytes(from, u32::from_le_bytes(len), NAME_BYTES_MAX, &mut name)?;
    let name = String::from_utf8(name).map_err(|_| broken("a name that is not text"))?;
    Ok((u64::from_le_bytes(session), name.into()))
}

/// What a store says first.
pub(crate) fn greeting_of_store(id: u64) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], &id.to_le_bytes()].concat()
}

/// Which store it is that greets.
pub(crate) fn read_store(from: &mut impl Read) -> io::Result<u64> {
    read_version(from)?;
    let mut id = [0; 8];
    from.read_exact(&mut id)?;
    Ok(u64::from_le_bytes(id))
}

fn read_version(from: &mut impl Read) -> io::Result<()> {
    let mut greeting = [0; 5];
    from.read_exact(&mut greeting)?;
    if greeting[..4] != MAGIC {
        return Err(broken("no store, and no node, greets so"));
    }
    if greeting[4] != VERSION {
        return Err(broken("the other side is of another version; update both"));
    }
    Ok(())
}

/// Adds a request. `false` if it is too large for any frame: nothing was added.
pub(crate) fn write_op(out: &mut Vec<u8>, tag: Tag, op: Op<'_>) -> bool {
    let frame = match op {
        Op::Load { key } => Frame::new(out, tag, 0).bytes(key),
        Op::Scan {
            prefix,
            after,
            bytes_max,
        } => Frame::new(out, tag, 1)
            .bytes(prefix)
            .bytes(after)
            .number(bytes_max.into()),
        Op::Cas {
            key,
            fence,
            revision,
            value,
        } => Frame::new(out, tag, 2)
            .bytes(key)
            .number(fence)
            .number(revision)
            .bytes(value),
        Op::Fence { log, term, owner } => Frame::new(out, tag, 3)
            .bytes(log)
            .number(term)
            .number(owner.0),
        Op::Tail { log } => Frame::new(out, tag, 4).bytes(log),
        Op::Append {
            log,
            term,
            owner,
            expected,
            payload,
        } => Frame::new(out, tag, 5)
            .bytes(log)
            .number(term)
            .number(owner.0)
            .number(expected)
            .bytes(payload),
        Op::Read {
            log,
            from,
            bytes_max,
        } => Frame::new(out, tag, 6)
            .bytes(log)
            .number(from)
            .number(bytes_max.into()),
        Op::Trim {
            log,
            term,
            owner,
            before,
        } => Frame::new(out, tag, 7)
            .bytes(log)
            .number(term)
            .number(owner.0)
            .number(before),
        Op::Seal { log, term, owner } => Frame::new(out, tag, 8)
            .bytes(log)
            .number(term)
            .number(owner.0),
        Op::Keep { key, value } => Frame::new(out, tag, 9).bytes(key).bytes(value),
        Op::Recall { key } => Frame::new(out, tag, 10).bytes(key),
    };
    frame.end()
}

/// The request of a frame; `None` if it is none.
pub(crate) fn read_op(frame: &[u8]) -> Option<(Tag, Op<'_>)> {
    let f = &mut Fields(frame);
    let tag = Tag(f.number()?);
    // The fields of a struct are evaluated as they are written: in the order of the wire.
    let op = match f.byte()? {
        0 => Op::Load { key: f.bytes()? },
        1 => Op::Scan {
            prefix: f.bytes()?,
            after: f.bytes()?,
            bytes_max: f.bytes_max()?,
        },
        2 => Op::Cas {
            key: f.bytes()?,
            fence: f.number()?,
            revision: f.number()?,
            value: f.bytes()?,
        },
        3 => Op::Fence {
            log: f.bytes()?,
            term: f.number()?,
            owner: f.owner()?,
        },
        4 => Op::Tail { log: f.bytes()? },
        5 => Op::Append {
            log: f.bytes()?,
            term: f.number()?,
            owner: f.owner()?,
            expected: f.number()?,
            payload: f.bytes()?,
        },
        6 => Op::Read {
            log: f.bytes()?,
            from: f.number()?,
            bytes_max: f.bytes_max()?,
        },
        7 => Op::Trim {
            log: f.bytes()?,
            term: f.number()?,
            owner: f.owner()?,
            before: f.number()?,
        },
        8 => Op::Seal {
            log: f.bytes()?,
            term: f.number()?,
            owner: f.owner()?,
        },
        9 => Op::Keep {
            key: f.bytes()?,
            value: f.bytes()?,
        },
        10 => Op::Recall { key: f.bytes()? },
        _ => return None,
    };
    f.0.is_empty().then_some((tag, op))
}

/// Adds an answer. One that is too large for any frame goes as `Unknown`.
pub(crate) fn write_completion(out: &mut Vec<u8>, tag: Tag, completion: &Completion<Vec<u8>>) {
    let frame = match completion {
        Completion::Durable { sequence } => Frame::new(out, tag, 0).number(*sequence),
        Completion::Records(run) => Frame::new(out, tag, 1).bytes(run),
        Completion::Value { revision, value } => {
            Frame::new(out, tag, 2).number(*revision).bytes(value)
        }
        Completion::Values(run) => Frame::new(out, tag, 3).bytes(run),
        Completion::Tail {
            term,
            owner,
            first,
            next,
        } => Frame::new(out, tag, 4)
            .number(*term)
            .number(owner.0)
            .number(*first)
            .number(*next),
        Completion::Conflict { current } => Frame::new(out, tag, 5).number(*current),
        Completion::Fenced { term } => Frame::new(out, tag, 6).number(*term),
        Completion::Unknown => Frame::new(out, tag, 7),
    };
    if !frame.end() {
        Frame::new(out, tag, 7).end();
    }
}

/// The answer of a frame; `None` if it is none.
pub(crate) fn read_completion(frame: &[u8]) -> Option<(Tag, Completion<Vec<u8>>)> {
    let f = &mut Fields(frame);
    let tag = Tag(f.number()?);
    let completion = match f.byte()? {
        0 => Completion::Durable {
            sequence: f.number()?,
        },
        1 => Completion::Records(f.bytes()?.to_vec()),
        2 => Completion::Value {
            revision: f.number()?,
            value: f.bytes()?.to_vec(),
        },
        3 => Completion::Values(f.bytes()?.to_vec()),
        4 => Completion::Tail {
            term: f.number()?,
            owner: f.owner()?,
            first: f.number()?,
            next: f.number()?,
        },
        5 => Completion::Conflict {
            current: f.number()?,
        },
        6 => Completion::Fenced { term: f.number()? },
        7 => Completion::Unknown,
        _ => return None,
    };
    f.0.is_empty().then_some((tag, completion))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: OwnerId = OwnerId(9);

    fn ops() -> Vec<Op<'static>> {
        let (log, term, owner) = (&b"log"[..], 7, OWNER);
        vec![
            Op::Load { key: b"k" },
            Op::Scan {
                prefix: b"p",
                after: b"",
                bytes_max: 3,
            },
            Op::Cas {
                key: b"k",
                fence: 1,
                revision: 2,
                value: b"v",
            },
            Op::Fence { log, term, owner },
            Op::Tail { log },
            Op::Append {
                log,
                term,
                owner,
                expected: 4,
                payload: &[0; 300],
            },
            Op::Read {
                log,
                from: 5,
                bytes_max: u32::MAX,
            },
            Op::Trim {
                log,
                term,
                owner,
                before: 6,
            },
            Op::Seal { log, term, owner },
            Op::Keep {
                key: b"k",
                value: b"",
            },
            Op::Recall { key: b"k" },
        ]
    }

    fn completions() -> Vec<Completion<Vec<u8>>> {
        vec![
            Completion::Durable { sequence: 1 },
            Completion::Records(vec![1; 100]),
            Completion::Value {
                revision: 2,
                value: vec![3],
            },
            Completion::Values(vec![]),
            Completion::Tail {
                term: 1,
                owner: OWNER,
                first: 2,
                next: 3,
            },
            Completion::Conflict { current: 4 },
            Completion::Fenced { term: 5 },
            Completion::Unknown,
        ]
    }

    /// The frames of a run, one after the other.
    fn frames(mut run: &[u8]) -> Vec<Vec<u8>> {
        let (mut frames, mut frame) = (Vec::new(), Vec::new());
        while read_frame(&mut run, &mut frame).unwrap() {
            frames.push(frame.clone());
        }
        frames
    }

    #[test]
    fn operations_and_outcomes_arrive_as_they_were_sent() {
        let mut out = Vec::new();
        for (at, op) in (0..).zip(ops()) {
            assert!(write_op(&mut out, Tag(at), op));
        }
        let read = frames(&out);
        assert_eq!(read.len(), ops().len());
        for ((at, op), frame) in (0..).zip(ops()).zip(&read) {
            assert_eq!(read_op(frame), Some((Tag(at), op)));
        }
        out.clear();
        for (at, completion) in (0..).zip(completions()) {
            write_completion(&mut out, Tag(at), &completion);
        }
        let read = frames(&out);
        let read: Vec<_> = read.iter().map(|f| read_completion(f).unwrap()).collect();
        let sent: Vec<_> = (0..).map(Tag).zip(completions()).collect();
        assert_eq!(read, sent);
    }

    #[test]
    fn what_is_cut_or_longer_than_it_says_is_refused() {
        let mut out = Vec::new();
        for op in ops() {
            out.clear();
            write_op(&mut out, Tag(1), op);
            let whole = &frames(&out)[0];
            for cut in 0..whole.len() {
                assert!(read_op(&whole[..cut]).is_none());
            }
            assert!(read_op(&[whole, &[0][..]].concat()).is_none());
        }
        for completion in completions() {
            out.clear();
            write_completion(&mut out, Tag(1), &completion);
            let whole = &frames(&out)[0];
            for cut in 0..whole.len() {
                assert!(read_completion(&whole[..cut]).is_none());
            }
        }
        assert!(read_op(&[&[0; 8][..], &[11]].concat()).is_none());
    }

    #[test]
    fn no_memory_is_taken_by_an_announced_length() {
        let mut frame = Vec::new();
        let cut = [&(500_u32 << 20).to_le_bytes()[..], &[1; 10]].concat();
        let error = read_frame(&mut &cut[..], &mut frame).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(frame.capacity() < 1 << 16);
        let error = read_frame(&mut &u32::MAX.to_le_bytes()[..], &mut frame).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn greetings_are_read_and_others_refused() {
        let greeting = greeting_of_node(3, "a:1");
        assert_eq!(read_node(&mut &greeting[..]).unwrap(), (3, "a:1".into()));
        assert_eq!(read_store(&mut &greeting_of_store(7)[..]).unwrap(), 7);
        for wrong in [&b"HTTP/1.1 400"[..], b"TRFS\x01........", b"TRF"] {
            assert!(read_store(&mut &*wrong).is_err());
            assert!(read_node(&mut &*wrong).is_err());
        }
    }
}
