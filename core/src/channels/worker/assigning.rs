//! Calls of one message: channels are given and taken, and the node says how it is.

use trefoil_proto::common::{StateCode, Status as ComponentStatus};
use trefoil_proto::milvus::{ComponentInfo, ComponentStates};
use trefoil_proto::streaming::{
    StreamingNodeBalanceAttributes, StreamingNodeManagerAssignRequest,
    StreamingNodeManagerAssignResponse, StreamingNodeManagerCollectStatusResponse,
    StreamingNodeManagerRemoveRequest, StreamingNodeManagerRemoveResponse,
};
use trefoil_proto::{Decode, Encode};

use super::lifetime::{Assigned, Step, Verdict};
use super::slab::Key;
use super::tags::Of;
use super::why::Why;
use super::{Lent, Worker, WorkerPlant};
use crate::channels::failure::Failure;
use crate::channels::open::{SERVER_ID, channel};
use crate::header::Header;
use crate::id::{MethodId, StreamId};
use crate::method::streaming;
use crate::stream::StreamIn;
use crate::wire;

/// A call that has not been answered.
#[derive(Debug, Default)]
pub(super) struct Call {
    stream: Option<StreamId>,
    method: Option<MethodId>,
    waits: Option<Wait>,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
struct Wait {
    channel: u32,
    term: u64,
    removal: bool,
}

impl Worker {
    pub(super) fn open_call(
        &mut self,
        stream: StreamId,
        method: MethodId,
        header: Header<'_>,
        lent: &mut Lent<'_>,
    ) {
        let is_ours = matches!(
            method,
            streaming::NODE_STATES
                | streaming::ASSIGN
                | streaming::REMOVE
                | streaming::COLLECT_STATUS
        );
        if !is_ours {
            return;
        }
        let meant: Option<i64> = header.text(SERVER_ID).and_then(|text| text.parse().ok());
        if meant.is_some_and(|meant| meant != self.config.server_id) {
            return self.refuse(stream, Why::OtherNode.failure(), lent);
        }
        let Some((key, call)) = self.calls.take() else {
            return self.refuse(stream, Why::Busy.failure(), lent);
        };
        *call = Call {
            stream: Some(stream),
            method: Some(method),
            waits: None,
        };
        lent.io.adopt(stream, Of::Call(key).tag());
    }

    pub(super) fn hear_call(&mut self, key: Key, event: StreamIn<'_>, lent: &mut Lent<'_>) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        match event {
            StreamIn::Frame(frame) if call.waits.is_none() => self.called(key, frame, lent),
            // Nobody waits any more. What was begun goes on.
            StreamIn::Ended(_) => {
                if let Some(wait) = call.waits {
                    let channel = &mut self.channels[wait.channel as usize];
                    channel.calls.retain(|waiting| *waiting != key);
                    if self.plant == Some(WorkerPlant::CallerCancels) && channel.opening.is_some() {
                        channel.opening = None;
                        channel.lifetime.failed(wait.term);
                        self.unsettled.push(wait.channel);
                    }
                }
                self.calls.free(key);
            }
            StreamIn::HalfClosed if call.waits.is_none() => {
                self.refuse_call(key, Why::NoMessage.failure(), lent);
            }
            StreamIn::Accepted { .. }
            | StreamIn::Header(_)
            | StreamIn::Frame(_)
            | StreamIn::HalfClosed
            | StreamIn::Writable => {}
        }
    }

    fn called(&mut self, key: Key, frame: &[u8], lent: &mut Lent<'_>) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        match call.method {
            Some(streaming::ASSIGN) => {
                let request = StreamingNodeManagerAssignRequest::parse(frame);
                let asked = request.map_err(|_| Why::Malformed.failure());
                let asked = asked.and_then(|request| channel(request.pchannel));
                self.asked(key, asked, false, lent);
            }
            Some(streaming::REMOVE) => {
                let request = StreamingNodeManagerRemoveRequest::parse(frame);
                let asked = request.map_err(|_| Why::Malformed.failure());
                let asked = asked.and_then(|request| channel(request.pchannel));
                self.asked(key, asked, true, lent);
            }
            Some(streaming::COLLECT_STATUS) => {
                let status = StreamingNodeManagerCollectStatusResponse {
                    balance_attributes: Some(StreamingNodeBalanceAttributes {}),
                };
                self.answer_call(key, &status, lent);
            }
            _ => {
                let code = if self.stopping {
                    StateCode::STOPPING
                } else {
                    StateCode::HEALTHY
                };
                let states: ComponentStates<'_> = ComponentStates {
                    state: Some(ComponentInfo {
                        node_id: self.config.server_id,
                        role: "streamingnode",
                        state_code: code,
                        ..ComponentInfo::default()
                    }),
                    status: Some(ComponentStatus::default()),
                    ..ComponentStates::default()
                };
                self.answer_call(key, &states, lent);
            }
        }
    }

    /// A channel is given or taken.
    fn asked(
        &mut self,
        key: Key,
        asked: Result<(&str, i64), Failure<'static>>,
        removal: bool,
        lent: &mut Lent<'_>,
    ) {
        let (name, term) = match asked {
            Ok((name, term)) => (name, term.unsigned_abs()),
            Err(failure) => return self.refuse_call(key, failure, lent),
        };
        if self.stopping && !removal {
            return self.refuse_call(key, Why::Stopping.failure(), lent);
        }
        let slot = if removal {
            let Some(slot) = self.find(name) else {
                self.removals.insert(self.hash_of(name), term);
                return self.answer_call(key, &StreamingNodeManagerRemoveResponse {}, lent);
            };
            slot
        } else {
            if self.find(name).is_none() && self.removals.has(self.hash_of(name), term) {
                return self.refuse_call(key, Why::Stale.failure(), lent);
            }
            let Some(slot) = self.find_or_make(name) else {
                return self.refuse_call(key, Why::Busy.failure(), lent);
            };
            slot
        };
        let channel = &mut self.channels[slot as usize];
        let verdict = if removal {
            channel.lifetime.remove(term)
        } else {
            channel.lifetime.assign(term)
        };
        let why = match verdict {
            Verdict::Waits => {
                channel.calls.push(key);
                if let Some(call) = self.calls.get_mut(key) {
                    call.waits = Some(Wait {
                        channel: slot,
                        term,
                        removal,
                    });
                }
                self.unsettled.push(slot);
                return;
            }
            Verdict::IsOpen => Why::IsOpen,
            Verdict::Stale => Why::Stale,
        };
        self.refuse_call(key, why.failure(), lent);
    }

    /// Does what is to be done with channels that something happened to, and answers who waited for it. Every
    /// input ends here.
    pub(super) fn settle(&mut self, lent: &mut Lent<'_>) {
        while let Some(slot) = self.unsettled.pop() {
            while let Some(step) = self.channels[slot as usize].lifetime.step() {
                match step {
                    Step::Open(term) => self.start_opening(slot, term, lent),
                    Step::Abandon(_) => self.abandon_opening(slot),
                    Step::Close(_) => self.close(slot, lent),
                }
            }
            self.answer_waiting(slot, lent);
        }
    }

    fn answer_waiting(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let mut at = 0;
        while let Some(key) = self.channels[slot as usize].calls.get(at).copied() {
            let channel = &self.channels[slot as usize];
            let wait = self.calls.get(key).and_then(|call| call.waits);
            let answer = wait.and_then(|wait| {
                if wait.removal {
                    channel.lifetime.removed(wait.term).then_some(None)
                } else {
                    let assigned = channel.lifetime.assigned(wait.term)?;
                    Some(match assigned {
                        Assigned::Open => None,
                        Assigned::Failed => Some(channel.why),
                        Assigned::Overtaken => Some(Why::Overtaken),
                    })
                }
            });
            let Some(refusal) = answer else {
                at += 1;
                continue;
            };
            self.channels[slot as usize].calls.remove(at);
            match (refusal, wait.is_some_and(|wait| wait.removal)) {
                (Some(why), _) => self.refuse_call(key, why.failure(), lent),
                (None, true) => {
                    self.answer_call(key, &StreamingNodeManagerRemoveResponse {}, lent);
                }
                (None, false) => {
                    self.answer_call(key, &StreamingNodeManagerAssignResponse {}, lent);
                }
            }
        }
    }

    fn answer_call(&mut self, key: Key, answer: &impl Encode, lent: &mut Lent<'_>) {
        let Some(stream) = self.calls.get(key).and_then(|call| call.stream) else {
            return;
        };
        self.calls.free(key);
        // A stream that was never written to has room, or is over.
        let _ = wire::reply(lent.io, stream, answer);
    }

    fn refuse_call(&mut self, key: Key, failure: Failure<'_>, lent: &mut Lent<'_>) {
        let Some(stream) = self.calls.get(key).and_then(|call| call.stream) else {
            return;
        };
        self.calls.free(key);
        self.refuse(stream, failure, lent);
    }
}
