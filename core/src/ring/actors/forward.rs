//! One hop to the owner: the frame goes out as it came, the answer comes back as it is.

use super::answer::LOST;
use super::calls::{Phase, Side, Verb, tag};
use super::{Actors, Lent};
use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::id::{NodeId, StreamId};
use crate::identity::{self, Identity};
use crate::machine::Full;
use crate::method::control_plane::{APPLY, GET};
use crate::status::{Cause, Code, Status};
use crate::stream::{Class, StreamIn};

/// Reads a request id: 32 hexadecimal digits, of which zero means none.
pub(super) fn request_id(text: &[u8]) -> Option<Option<u128>> {
    if text.len() != 32 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let id = u128::from_str_radix(core::str::from_utf8(text).ok()?, 16).ok()?;
    Some((id != 0).then_some(id))
}

/// What became of a call at another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Relay what the owner said.
    Final,
    /// It was turned away and nothing was applied.
    TurnedAway,
    /// Nothing was sent.
    Unsent,
    /// It was sent, and what became of it is unknown.
    Lost,
}

fn fate(status: &Status<'_>) -> Fate {
    match status.cause {
        Cause::Peer => match status.stable_code() {
            Some("TF-R01" | "TF-R06") => Fate::TurnedAway,
            _ => Fate::Final,
        },
        Cause::Refused | Cause::Untrusted => Fate::Unsent,
        Cause::Local if status.code == Code::Unavailable => Fate::Unsent,
        Cause::Local | Cause::Deadline => Fate::Final,
        Cause::Lost => Fate::Lost,
    }
}

impl Actors {
    /// Calls `node` for a call that nothing holds.
    pub(super) fn forward(&mut self, slot: u32, node: NodeId, cx: &mut Lent<'_>) {
        let drawn = (u128::from(self.rng.draw()) << 64) | u128::from(self.rng.draw()) | 1;
        let call = self.calls.at_mut(slot);
        let method = match call.verb {
            Verb::Apply => APPLY,
            Verb::Get => GET,
        };
        let mut buf = [0; 96];
        let mut header = HeaderWriter::new(&mut buf);
        let mut written = header.push(identity::HOP, b"1");
        if call.verb == Verb::Apply {
            // One id for all tries: the owner that applied the first does not apply the second.
            let id = *call.request_id.get_or_insert(drawn);
            let mut digits = [0; 32];
            digits[..16].copy_from_slice(&identity::hex((id >> 64) as u64));
            digits[16..].copy_from_slice(&identity::hex(id as u64));
            written = written.and_then(|()| header.push(identity::REQUEST, &digits));
        }
        let owner = tag(slot, Side::Owner);
        let opened = written.and_then(|()| {
            cx.io.open(
                node,
                method,
                Class::Bulk,
                header.finish(),
                call.deadline,
                owner,
            )
        });
        let Ok(stream) = opened else {
            return self.refuse(slot, Code::ResourceExhausted, codes::BUSY, cx);
        };
        call.phase = Phase::Forwarded { stream, node };
        call.reply.clear();
        call.replied = false;
        match cx.io.frame(stream, call.request.len()) {
            Ok(frame) => frame.copy_from_slice(&call.request),
            Err(Full) => {
                let status = Status::new(Code::ResourceExhausted, codes::TOO_LARGE);
                cx.io.end(stream, status);
                return self.finish(slot, Err(status), cx);
            }
        }
        cx.io.half_close(stream);
        self.counters.forwarded += 1;
    }

    /// Something came from the owner.
    pub(super) fn owner_says(
        &mut self,
        slot: u32,
        stream: StreamId,
        event: StreamIn<'_>,
        cx: &mut Lent<'_>,
    ) {
        match event {
            StreamIn::Header(header) => self.recognize(slot, header),
            StreamIn::Frame(bytes) => {
                let call = self.calls.at_mut(slot);
                if core::mem::replace(&mut call.replied, true) {
                    let status = Status::new(Code::Internal, codes::NOT_ONE_MESSAGE);
                    cx.io.end(stream, status);
                    return self.finish(slot, Err(status), cx);
                }
                call.reply.extend_from_slice(bytes);
            }
            StreamIn::Ended(status) => self.forwarded(slot, status, cx),
            StreamIn::Accepted { .. } | StreamIn::HalfClosed | StreamIn::Writable => {}
        }
    }

    /// An answer that carries our metadata comes from a node that honours request ids.
    fn recognize(&mut self, slot: u32, header: Header<'_>) {
        if let Phase::Forwarded { node, .. } = self.calls.at(slot).phase {
            if Identity::from_header(header).is_some() {
                self.know(node);
            }
        }
    }

    /// Remembers that a node is one of ours. One bit for each host ever heard of.
    pub(super) fn know(&mut self, node: NodeId) {
        let word = node.0 as usize / 64;
        if word >= self.ours.len() {
            self.ours.resize(word + 1, 0);
        }
        self.ours[word] |= 1 << (node.0 % 64);
    }

    fn knows(&self, node: NodeId) -> bool {
        self.ours
            .get(node.0 as usize / 64)
            .is_some_and(|word| word & (1 << (node.0 % 64)) != 0)
    }

    fn forwarded(&mut self, slot: u32, status: Status<'_>, cx: &mut Lent<'_>) {
        let call = self.calls.at(slot);
        let Phase::Forwarded { node, .. } = call.phase else {
            return;
        };
        let (verb, retried, replied) = (call.verb, call.retried, call.replied);
        if status.is_ok() {
            let broken = Status::new(Code::Internal, codes::NOT_ONE_MESSAGE);
            return self.finish(slot, if replied { Ok(()) } else { Err(broken) }, cx);
        }
        let (again, status) = match fate(&status) {
            Fate::Final => (false, status),
            Fate::TurnedAway => (true, status),
            Fate::Unsent => (false, Status::new(Code::Unavailable, codes::UNREACHABLE)),
            Fate::Lost => {
                let repeatable = verb == Verb::Get || self.knows(node);
                self.calls.at_mut(slot).doubtful = verb == Verb::Apply;
                (repeatable, LOST)
            }
        };
        if !again || retried {
            return self.finish(slot, Err(status), cx);
        }
        self.unlink(slot);
        self.calls.at_mut(slot).retried = true;
        self.counters.retried += 1;
        self.later(slot, status, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_32_digits_and_zero_is_none() {
        assert_eq!(
            request_id(b"0000000000000000000000000000002a"),
            Some(Some(42))
        );
        assert_eq!(request_id(&[b'0'; 32]), Some(None));
        assert_eq!(request_id(b"2a"), None);
        assert_eq!(request_id(b"+000000000000000000000000000002a"), None);
        assert_eq!(request_id(&[b'g'; 32]), None);
    }
}
