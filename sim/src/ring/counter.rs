//! The actor of the simulator: it counts what it accepts and folds it into a digest, in order.
//!
//! Two histories that differ in anything have different states, so a state names the one history
//! that led to it.

use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_core::rng::Rng;
use trefoil_proto::control_plane::{ApplyRequest, ApplyResult, GetReply, GetRequest};
use trefoil_proto::google::Any;
use trefoil_proto::wire::{Decode, Encode};

/// Type of the messages that are accepted.
const ADD: &str = "type.googleapis.com/sim.Add";
/// Type of the messages that are refused.
const REFUSE: &str = "type.googleapis.com/sim.Refuse";

/// What a counter has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Messages accepted.
    pub count: u64,
    /// All of them, in order.
    pub digest: u64,
}

impl State {
    /// The state after one more message.
    #[must_use]
    pub fn after(self, nonce: u64) -> Self {
        Self {
            count: self.count + 1,
            digest: Rng::new(self.digest ^ nonce.rotate_left(17)).draw(),
        }
    }

    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    /// The state a counter wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (count, digest) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            digest: u64::from_le_bytes(digest.try_into().ok()?),
        })
    }
}

/// Makes counters.
#[derive(Clone, Copy, Debug)]
pub struct Counters;

impl Actor for State {
    fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        if message.type_url != ADD {
            return Err("refused as asked".into());
        }
        let nonce: [u8; 8] = message
            .value
            .try_into()
            .map_err(|_| Rejected("no nonce".into()))?;
        *self = self.after(u64::from_le_bytes(nonce));
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    fn type_url(&self) -> &str {
        "type.googleapis.com/sim.Counter"
    }
}

impl ActorKind for Counters {
    type Actor = State;

    fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<State, Failed> {
        snapshot.map_or(Ok(State::default()), |bytes| {
            State::from_bytes(bytes).ok_or(Failed)
        })
    }
}

fn encoded(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    match message.encode_to_slice(&mut bytes) {
        Ok(_) => bytes,
        Err(error) => unreachable!("the buffer has the length the message asked for: {error:?}"),
    }
}

/// An encoded request to add `nonce` to the counter `id`, with a message behind it that is refused
/// if `refused`.
#[must_use]
pub fn apply_request(id: u64, nonce: u64, refused: bool) -> Vec<u8> {
    let nonce = nonce.to_le_bytes();
    let messages = [
        Any {
            type_url: ADD,
            value: &nonce,
        },
        Any {
            type_url: REFUSE,
            value: &[],
        },
    ];
    let shown = if refused {
        &messages[..]
    } else {
        &messages[..1]
    };
    encoded(&ApplyRequest {
        id,
        messages: shown,
    })
}

/// An encoded request for the state of the counter `id`.
#[must_use]
pub fn get_request(id: u64) -> Vec<u8> {
    encoded(&GetRequest { id })
}

/// The state in an encoded answer to an Apply.
#[must_use]
pub fn applied_state(reply: &[u8]) -> Option<State> {
    State::from_bytes(ApplyResult::parse(reply).ok()?.state?.value)
}

/// The state in an encoded answer to a Get.
#[must_use]
pub fn got_state(reply: &[u8]) -> Option<State> {
    State::from_bytes(GetReply::parse(reply).ok()?.grain?.value)
}

/// The nonces of a record: an encoded `ApplyRequest` of accepted messages.
#[must_use]
pub fn nonces(request: &[u8]) -> Option<Vec<u64>> {
    let mut view = ApplyRequest::default();
    view.decode(request).ok()?;
    let mut nonces = Vec::new();
    for message in &view.messages {
        nonces.push(u64::from_le_bytes(message.ok()?.value.try_into().ok()?));
    }
    Some(nonces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_its_nonce() {
        assert_eq!(nonces(&apply_request(7, 42, false)), Some(vec![42]));
        assert_eq!(
            nonces(&apply_request(7, 42, true)),
            None,
            "a refused message is in no record"
        );
    }

    #[test]
    fn histories_that_differ_have_states_that_differ() {
        let (a, b) = (
            State::default().after(1).after(2),
            State::default().after(2).after(1),
        );
        assert_eq!(a.count, b.count);
        assert_ne!(a, b);
        assert_eq!(State::from_bytes(&a.to_bytes()), Some(a));
    }
}
